FROM a
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=s --network=none --security=insecure make
RUN --mount=type=bind,\
    source=a,target=/b \
    --device=vendor.com/gpu cat
RUN --mount='type=bind,"source=a,b"' x
RUN -- --not-a-flag
RUN echo --mount=no
