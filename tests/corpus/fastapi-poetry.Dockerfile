FROM python:3.12-slim AS build
ARG POETRY_VERSION=1.8.3
RUN pip install "poetry==$POETRY_VERSION"
WORKDIR /src
COPY pyproject.toml poetry.lock ./
RUN --mount=type=cache,target=/root/.cache/pypoetry \
    poetry config virtualenvs.in-project true && poetry install --only main --no-root
COPY app ./app
RUN poetry build -f wheel

FROM python:3.12-slim
COPY --from=build /src/.venv /opt/venv
COPY --from=build /src/dist/*.whl /tmp/
ENV PATH="/opt/venv/bin:$PATH"
RUN pip install --no-deps /tmp/*.whl
STOPSIGNAL SIGINT
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]
