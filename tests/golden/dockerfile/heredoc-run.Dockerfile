FROM a
RUN <<EOF
set -e
  keep $indent

# no comment
EOF
RUN <<EOF cat > /x && 3<<-"B C" sh
first
EOF
	tabs
	B C
RUN python3 <<'PY'
print("$x")
PY
RUN <<   SPACED
x
SPACED
