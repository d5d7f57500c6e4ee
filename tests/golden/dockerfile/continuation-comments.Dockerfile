FROM a
RUN a && \
  # inside
# at the margin
    b && \

  
    c # kept
