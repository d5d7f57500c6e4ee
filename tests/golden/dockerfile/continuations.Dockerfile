FROM a
RUN one \
    two\
  three \   
	four
RUN path\\
RUN trailing \\\
RUN x \
\
 y
