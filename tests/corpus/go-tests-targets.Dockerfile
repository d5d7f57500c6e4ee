FROM golang:1.21 AS base
WORKDIR /x
COPY go.* .
RUN go mod download
COPY . .
FROM base AS lint
COPY --from=golangci/golangci-lint:v1.59 /usr/bin/golangci-lint /usr/bin/
RUN golangci-lint run ./... && touch /ok
FROM base AS test
RUN go test -race -coverprofile=/cover.out ./...
FROM base AS build
RUN go build -o /app
FROM debian:12-slim AS release
COPY --from=lint /ok /tmp/lint-ok
COPY --from=test /cover.out /tmp/
COPY --from=build /app /usr/local/bin/app
CMD ["app"]
