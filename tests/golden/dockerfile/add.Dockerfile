FROM a
ADD --checksum=sha256:00 https://example.com/f /f
ADD --keep-git-dir=true https://example.com/r.git#v1:sub /r
ADD --unpack=false a.tar /a/
