ARG A
ARG B= C="x y" D='q' E=$A "F"
FROM a
arg g=h\ i
