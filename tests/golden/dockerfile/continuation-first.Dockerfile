\
FROM a
\
  RUN x
