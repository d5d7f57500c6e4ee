"""The usual suspects among files that come out differently, and their page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lamina.explain.suspects import SUSPECTS, suspect

PAGE = Path(__file__).parents[3] / "docs" / "verify.md"

CASES = [
    ("/usr/lib/python3/x.pyc", b"", 8, "`*.pyc`, `__pycache__`"),
    ("/app/__pycache__", b"", None, "`*.pyc`, `__pycache__`"),
    ("/var/log/dpkg.log", b"2026", 3, "`/var/log/…`"),
    ("/var/lib/apt/lists/deb_InRelease", b"", 3, "`/var/lib/apt/lists/…`"),
    ("/var/cache/ldconfig/aux-cache", b"", 30, "`/var/cache/…`"),
    ("/root/.cache/pip/http/1", b"", 30, "`.cache`, `_cacache`"),
    ("/root/.npm/_cacache/index-v5", b"", None, "`.cache`, `_cacache`"),
    ("/tmp/tmp.12345", b"", None, "`/tmp/…`, `/var/tmp/…`"),
    ("/var/tmp/x", b"", None, "`/tmp/…`, `/var/tmp/…`"),
    ("/etc/shadow", b"root:*", 30, "`/etc/shadow`"),
    ("/etc/shadow-", b"root:*", 30, "`/etc/shadow`"),
    ("/etc/machine-id", b"", 0, "`machine-id`, `ssh_host_*`"),
    ("/etc/ssh/ssh_host_rsa_key.pub", b"", 10, "`machine-id`, `ssh_host_*`"),
    ("/src/.git/index", b"DIRC", 10, "`.git/…`"),
    ("/root/.npm/_logs/2024-01-01T00_00_00_000Z-debug-0.log", b"0 verbose", None, "`.npm/_logs/…`"),
    ("/app/target/.rustc_info.json", b"{", 52, "`.rustc_info.json`"),
    ("/root/.composer/cache/files", b"", None, "`.composer/cache/…`"),
    ("/root/.gradle/caches/4.4.1/scripts/a/a.lock", b"", 1, "`.gradle/…/*.lock`, `*.bin`, `cache.properties`"),
    ("/src/.gradle/4.4.1/fileHashes/fileHashes.bin", b"", 9, "`.gradle/…/*.lock`, `*.bin`, `cache.properties`"),
    ("/src/.gradle/build.gradle", b"", 9, None),
    ("/usr/share/doc/x.gz", b"\x1f\x8b\x08\x00", 4, "gzip"),
    ("/usr/share/doc/x.gz", b"\x1f\x8b\x08\x00", 7, "gzip"),
    ("/usr/share/doc/x.gz", b"\x1f\x8b\x08\x00", 8, None),
    ("/usr/share/doc/x.gz", b"", 4, None),
    ("/usr/lib/libx.a", b"!<arch>\nx.o/", 24, "`*.a`"),
    ("/app/app.jar", b"PK\x03\x04\x14", 10, "zip, jar, wheel"),
    ("/app/all.tar", b"name", 136, "`*.tar`"),
    ("/etc/shadow.d", b"", 1, None),
    ("/home/tmp/x", b"", 1, None),
    ("/opt/var/log/x", b"", 1, None),
    ("/f", b"", 0, None),
]


@pytest.mark.parametrize(("path", "magic", "offset", "name"), CASES)
def test_a_file_and_its_suspect(path: str, magic: bytes, offset: int | None, name: str | None) -> None:
    found = suspect(path, magic, offset)
    assert (found.name if found else None) == name


def test_every_suspect_is_met() -> None:
    assert {name for *_, name in CASES if name} == {each.name for each in SUSPECTS}


def test_the_page_has_the_same_table() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## The usual suspects")[2]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    cells = [(each.name, each.why, each.cure) for each in SUSPECTS]
    assert [row for row in rows if row[0] != "what" and "---" not in row[0]] == cells
