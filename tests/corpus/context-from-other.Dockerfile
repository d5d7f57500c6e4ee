FROM alpine AS base
COPY --from=docs / /docs/
FROM base
COPY --from=0 /docs /d
COPY --from=busybox:1.36 --link /bin/busybox /bin/bb
RUN --mount=from=base,source=/docs,target=/m ls /m
