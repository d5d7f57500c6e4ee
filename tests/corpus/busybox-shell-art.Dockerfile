FROM busybox
RUN printf '%s\n' "a\$b" '\\' "tab\there" > /x \
 && awk 'BEGIN { print "#", "$1" }' # a comment for the shell
RUN [ -f /x ] && echo "[test]" || exit 1
RUN ["/bin/sh", "-c", "echo \"quoted\" $HOME"]
RUN ( cd /tmp; ls ) ; { echo b; } > /y 2>&1
