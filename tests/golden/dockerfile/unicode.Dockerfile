FROM a
ENV ä="ö ü" \
  ß=🐳
LABEL x=é
RUN echo x
