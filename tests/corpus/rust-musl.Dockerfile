FROM --platform=${BUILDPLATFORM:-linux/amd64} rust:1.79 AS build
ARG TARGETARCH
RUN <<EOF
set -eu
case "$TARGETARCH" in
  amd64) echo x86_64-unknown-linux-musl > /target ;;
  arm64) echo aarch64-unknown-linux-musl > /target ;;
  *) echo "no such platform" >&2; exit 1 ;;
esac
rustup target add "$(cat /target)"
EOF
COPY Cargo.toml Cargo.lock /w/
COPY src /w/src
WORKDIR /w
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/w/target,id=rust-$TARGETARCH \
    cargo build --release --target "$(cat /target)" && cp target/*/release/w /w/out
FROM scratch
COPY --from=build --chmod=755 /w/out /w
ENTRYPOINT ["/w"]
