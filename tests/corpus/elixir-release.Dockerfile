ARG ELIXIR=1.17.1 OTP=27.0
FROM hexpm/elixir:${ELIXIR}-erlang-${OTP}-debian-bookworm AS builder
WORKDIR /app
RUN mix local.hex --force && mix local.rebar --force
ENV MIX_ENV="prod"
COPY mix.exs mix.lock ./
RUN mix deps.get --only $MIX_ENV
RUN mkdir config
COPY config/config.exs config/${MIX_ENV}.exs config/
RUN mix deps.compile
COPY priv priv
COPY lib lib
RUN mix compile && mix release
FROM debian:bookworm-slim
WORKDIR "/app"
RUN chown nobody /app
COPY --from=builder --chown=nobody:root /app/_build/prod/rel/x ./
USER nobody
CMD ["/app/bin/server"]
