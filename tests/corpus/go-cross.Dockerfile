# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM golang:1.22 AS build
ARG TARGETOS TARGETARCH TARGETVARIANT
WORKDIR /src
RUN --mount=type=bind,source=go.sum,target=go.sum \
    --mount=type=bind,source=go.mod,target=go.mod \
    --mount=type=cache,target=/go/pkg/mod \
    go mod download -x
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,id=go-build-$TARGETARCH,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} go build -o /bin/tool .
FROM gcr.io/distroless/static AS final
COPY --from=build /bin/tool /
ENTRYPOINT ["/tool"]
FROM scratch AS binary
COPY --from=build /bin/tool /tool-${TARGETOS}-${TARGETARCH}
FROM final
