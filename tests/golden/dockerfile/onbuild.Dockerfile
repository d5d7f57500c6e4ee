FROM a
ONBUILD COPY . /app
onbuild  run --mount=type=cache,target=/c make \
  all
ONBUILD RUN <<E
echo
E
ONBUILD CMD ["a"]
