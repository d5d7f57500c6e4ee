FROM node:20-slim AS base
ENV PNPM_HOME="/pnpm"
ENV PATH="$PNPM_HOME:$PATH"
RUN corepack enable
FROM base AS build
WORKDIR /repo
COPY --parents pnpm-lock.yaml pnpm-workspace.yaml package.json packages/*/package.json ./
RUN --mount=type=cache,id=pnpm,target=/pnpm/store pnpm install --frozen-lockfile
COPY --exclude=**/node_modules --exclude=**/*.test.ts . .
RUN pnpm run -r build
RUN pnpm deploy --filter=api --prod /prod/api
RUN pnpm deploy --filter=web --prod /prod/web
FROM base AS api
COPY --from=build /prod/api /prod/api
WORKDIR /prod/api
CMD ["pnpm", "start"]
FROM base AS web
COPY --from=build /prod/web /prod/web
WORKDIR /prod/web
EXPOSE 8001
CMD ["pnpm", "start"]
