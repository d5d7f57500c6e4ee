FROM a
COPY <<a.txt <<"b.txt" local /dest/
hello $x
a.txt
raw $x
b.txt
ADD --chmod=600 <<-E /e
		x
	E
