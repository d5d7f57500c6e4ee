FROM a
RUN x \
  y
COPY <<E /f
hi
E
