FROM a
RUN cat<<EOF
RUN cat <<<word
RUN echo $((1<<3))
RUN ["sh", "<<EOF"]
RUN it's <<EOF
CMD <<EOF
RUN echo "<<EOF"
RUN echo <<""
