FROM ubuntu:24.04
ARG DEBIAN_FRONTEND=noninteractive
ENV LANG=C.UTF-8 TZ=Etc/UTC
RUN rm -f /etc/apt/apt.conf.d/docker-clean; echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-cache
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends \
      ca-certificates \
      curl \
      # editors
      vim-tiny nano \
      # network
      iproute2 \
      dnsutils
RUN curl -fsSL https://example.org/key.asc | gpg --dearmor -o /usr/share/keyrings/x.gpg && \
    echo "deb [signed-by=/usr/share/keyrings/x.gpg] https://example.org/apt $(. /etc/os-release && echo "$VERSION_CODENAME") main" \
      | tee /etc/apt/sources.list.d/x.list
