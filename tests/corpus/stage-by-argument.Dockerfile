ARG FLAVOUR=slim
FROM debian:12 AS common
ENV A=1
FROM common AS flavour-slim
ENV SIZE=small
FROM common AS flavour-full
RUN apt-get update && apt-get install -y texlive
ENV SIZE=large
FROM flavour-${FLAVOUR} AS final
LABEL flavour=${FLAVOUR}
RUN echo $SIZE
