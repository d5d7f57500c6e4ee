ARG ALPINE=3.20
FROM --platform=linux/amd64 alpine:$ALPINE AS amd64
ENV ARCH_FLAGS="-march=x86-64-v2"
FROM --platform=linux/arm64 alpine:$ALPINE AS arm64
ENV ARCH_FLAGS="-mcpu=neoverse-n1"
FROM alpine:$ALPINE AS built
ARG TARGETPLATFORM BUILDPLATFORM TARGETARCH
ARG FLAGS_amd64="-O2"
RUN echo "building on $BUILDPLATFORM for $TARGETPLATFORM" > /log
FROM built
COPY --from=amd64 /etc/os-release /amd64
COPY --from=arm64 /etc/os-release /arm64
