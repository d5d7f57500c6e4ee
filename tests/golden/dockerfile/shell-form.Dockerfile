FROM a
RUN echo "$x" | tee 'y' && [ -f z ]
CMD ['a', 'b']
ENTRYPOINT [ "a" b ]
CMD ["a"] x
RUN [ "$a" = b ] && c
