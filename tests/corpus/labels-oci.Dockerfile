ARG CREATED
ARG REVISION=unknown
FROM alpine AS app
ARG CREATED
ARG REVISION
LABEL org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.description="Spaces, \"quotes\" and a \$ sign" \
      "com.example.key with space"="v"
LABEL a=b c='d e' f=g\ h
ENV ABC=hello DEF=${ABC:-none}
EXPOSE 80/tcp 80/udp 3000-3005
