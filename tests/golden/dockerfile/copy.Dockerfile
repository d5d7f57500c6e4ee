FROM a
COPY a b/ /dest/
COPY ["a b", "/c d/"]
COPY --from=build --chown=1:2 --chmod=755 --link /a /b
COPY --parents --exclude=*.md --exclude=x ./a/./b /c
COPY --link=FALSE a b
COPY "quoted" b
