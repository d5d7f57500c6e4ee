"""What an ignore file lets into the context, compared with a builder that uses Docker's own pattern matcher.

Not compared, because this builder departs from Docker: `**bar`, and a negation with wildcards below
a directory that an earlier rule excludes.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from lamina.dockerfile.ignore import parse_ignore

LISTING = """
dir/x dir/sub/y foo/bar foo/foobar foobar bar baz a/b/c.md a/b/d.txt a/x.md z.txt #f ^c a] *.q axb a.b README.md
src/main.py src/test/test_main.py src/deep/er/keep .git/config !n
"""
FILES = LISTING.split()


@pytest.mark.parametrize(
    "lines",
    [
        "dir/**\n#f\n.\n/z.txt\na\n!a/b/c.md\n",
        "*\n!src\nsrc/**/test*\n",
        "**/*.md\n!README.md\n!a/*.md\n",
        "  dir  \n #f\n\\*.q\na.b\n./foo//bar\n",
        "**\n!dir\n",
        "**/ba?\na/**/c.md\n[a-b]xb\n",
        "\ufeffdir\r\n!dir/sub\r\nfoo/**/**\n",
        "src/\n!src/deep/\nsrc/deep/er/../er\n",
        ".*\n!!n\n?a?\n**/b/**\n",
    ],
)
def test_the_same_files_stay(tmp_path: Path, lines: str) -> None:
    context = tmp_path / "context"
    for name in FILES:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)
    dockerfile, ignore = tmp_path / "Dockerfile", tmp_path / "ignore"
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    ignore.write_bytes(lines.encode())
    store = ("--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs")
    output = f"type=tar,dest={tmp_path / 'out.tar'}"
    command = ["buildah", *store, "build", "-q", "--isolation", "chroot", "--ignorefile", str(ignore)]
    subprocess.run([*command, "-f", str(dockerfile), "-o", output, str(context)], check=True, capture_output=True)
    with tarfile.open(tmp_path / "out.tar") as archive:
        kept = {member.name for member in archive if member.isfile()}
    rules = parse_ignore(lines.encode(), "ignore")
    assert {name for name in FILES if not rules.excluded(name)} == kept
