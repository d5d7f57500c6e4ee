# escape=`
FROM a
COPY a\ c:\
ENV p="C:\x" q=a` b r="`"x"
RUN <<E `
  x `` 
`x
E
