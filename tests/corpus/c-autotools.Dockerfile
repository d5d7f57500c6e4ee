FROM gcc:14 AS build
ADD hello-2.12.tar.gz /src/
WORKDIR /src/hello-2.12
RUN ./configure --prefix=/usr --disable-nls CFLAGS="-O2 -static" \
    && make -j"$(nproc)" \
    && make DESTDIR=/stage install-strip
FROM gcr.io/distroless/base:nonroot
COPY --from=build /stage/ /
ENTRYPOINT ["/usr/bin/hello"]
CMD ["--greeting=hi"]
