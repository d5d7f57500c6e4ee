FROM a
LABEL "com.example"="a b" x=y
LABEL old value here
LABEL multi="line \
  more"
