FROM debian:12 AS one
RUN <<EOF bash
set -euo pipefail
for i in {1..3}; do echo "$i" >> /numbers; done
EOF
RUN python3 - <<'PY' > /out.txt
print("hello # no comment")
PY
RUN <<A cat > /a && <<B cat > /b
first
A
second
B
COPY <<config.yml <<"raw.txt" 3.txt /etc/app/
name: ${NAME:-app}
config.yml
$NOT_EXPANDED
raw.txt
RUN <<-SCRIPT
	#!/usr/bin/env python3
	print("shebang")
	SCRIPT
CMD ["cat", "/etc/app/config.yml"]
