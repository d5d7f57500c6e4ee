# syntax=docker/dockerfile:1
FROM node:20-slim
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc,required=true npm ci
RUN --mount=type=secret,id=token,env=GITHUB_TOKEN \
    --mount=type=secret,id=aws,target=/run/aws,uid=1000,mode=0440 \
    ./fetch-private.sh
COPY . .
