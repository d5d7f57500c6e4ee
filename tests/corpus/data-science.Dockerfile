FROM mambaorg/micromamba:1.5 AS env
COPY --chown=$MAMBA_USER:$MAMBA_USER environment.yml /tmp/env.yml
RUN micromamba install -y -n base -f /tmp/env.yml && \
    micromamba clean --all --yes
ARG NOTEBOOK_DIR=/work
WORKDIR ${NOTEBOOK_DIR}
COPY *.ipynb data/ ./
VOLUME ["/work/data", "/work/models"]
EXPOSE 8888
CMD jupyter lab --ip=0.0.0.0 --no-browser --notebook-dir="$NOTEBOOK_DIR"
