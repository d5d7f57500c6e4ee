FROM alpine
RUN --network=none ip addr || true
RUN --network=default --mount=type=tmpfs,target=/scratch,size=64m dd if=/dev/zero of=/scratch/x bs=1k count=10
RUN --security=sandbox id
