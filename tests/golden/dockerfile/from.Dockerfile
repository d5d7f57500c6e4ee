ARG V=3
FROM --platform=$BUILDPLATFORM golang:${V} AS Build-1.x
FROM scratch
from build-1.x as second
