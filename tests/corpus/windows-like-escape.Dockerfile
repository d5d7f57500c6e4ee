# escape=`
FROM debian:12
ENV WINPATH="C:\Program Files\App" OTHER=C:\x
RUN echo one `
    && echo two
WORKDIR /a`
b
CMD echo `
  done
