FROM a
RUN ["a", "b c", "\u00e9\"\\"]
CMD [ ]
ENTRYPOINT [\
  "x",\
  "y"]
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
VOLUME ["/a b", "/c"]
HEALTHCHECK CMD ["t"]
