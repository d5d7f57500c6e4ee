FROM scratch AS sources
ADD https://github.com/example/tool.git#v1.2.3:src /tool
ADD --keep-git-dir=true https://github.com/example/lib.git#main /lib
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.org/a.tar.gz /dist/
ADD --unpack=true https://example.org/b.tar.xz /unpacked/
FROM debian:12
COPY --from=sources / /src/
RUN make -C /src/tool
