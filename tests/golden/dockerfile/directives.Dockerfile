# syntax=docker/dockerfile:1
#Escape=`
 # check = skip=JSONArgsRecommended;error=true
# plain
# syntax=late
FROM a
RUN dir `
  c:\
