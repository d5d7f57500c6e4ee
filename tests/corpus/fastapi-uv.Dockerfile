# syntax=docker/dockerfile:1.7
FROM ghcr.io/astral-sh/uv:0.4 AS uv
FROM debian:bookworm-slim AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    uv sync --frozen --no-install-project
COPY . /app
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen
FROM debian:bookworm-slim
COPY --link --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH
WORKDIR /app
CMD ["fastapi", "run"]
