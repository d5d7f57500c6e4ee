FROM python:3.10
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN groupadd -r worker && useradd -r -g worker worker
WORKDIR /worker
ADD requirements /worker/requirements
RUN pip install -r requirements/base.txt -r requirements/worker.txt | tee /tmp/pip.log
COPY --chown=worker . /worker
USER worker:worker
ENTRYPOINT exec celery -A tasks worker --loglevel=${LOG_LEVEL:-info}
