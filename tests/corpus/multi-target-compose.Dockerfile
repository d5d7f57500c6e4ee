FROM python:3.12-slim AS base
WORKDIR /code
COPY pyproject.toml .
RUN pip install .
FROM base AS dev
RUN pip install -e '.[dev]'
VOLUME /code
CMD ["watchfiles", "python -m app"]
FROM base AS test
COPY tests tests
RUN pytest -q
FROM base AS prod
COPY src src
CMD ["python", "-m", "app"]
