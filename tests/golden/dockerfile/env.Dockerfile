FROM a
ENV a=1 b="x y" c='z' d=e\ f g=
ENV legacy  rest of "line" 
ENV q = w
ENV x=$a${b:-c} y="$x"
ENV a=b \
  # c
  c=d
