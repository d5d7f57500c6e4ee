FROM texlive/texlive:latest AS pdf
WORKDIR /doc
COPY *.tex *.bib figures/ ./
RUN latexmk -pdf -interaction=nonstopmode main.tex
FROM scratch AS out
COPY --from=pdf /doc/main.pdf /
