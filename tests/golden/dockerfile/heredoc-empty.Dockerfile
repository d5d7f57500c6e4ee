FROM a
RUN <<E
E
COPY <<$NAME /x
line \
next
$NAME
