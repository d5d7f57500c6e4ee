# a note
# escape=`
FROM a
RUN x \
 y
