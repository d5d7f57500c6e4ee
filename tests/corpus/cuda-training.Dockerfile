ARG CUDA=12.4.1
ARG UBUNTU=22.04
FROM nvidia/cuda:${CUDA}-cudnn-devel-ubuntu${UBUNTU} AS devel
ARG DEBIAN_FRONTEND=noninteractive
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;9.0+PTX"
RUN apt-get update && apt-get install -y --no-install-recommends \
        python3-pip \
        # needed to compile the kernels
        ninja-build \

        git \
    && apt-get clean
RUN --mount=type=cache,target=/root/.cache/pip,sharing=locked pip3 install torch==2.3.*
COPY kernels /src/kernels
RUN cd /src/kernels && python3 setup.py bdist_wheel -d /dist
FROM nvidia/cuda:${CUDA}-runtime-ubuntu${UBUNTU}
COPY --from=devel /dist /dist
LABEL cuda=${CUDA}
