"""`--cache-from` and `--cache-to` as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.sharing.places import Place, parse_from, parse_to


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("user/app", Place("registry", {"ref": "docker.io/user/app", "insecure": "false"})),
        ("type=registry,ref=h.example/app:cache", Place("registry", {"ref": "h.example/app", "insecure": "false"})),
        ("type=registry,ref=h:5000/app,insecure=true", Place("registry", {"ref": "h:5000/app", "insecure": "true"})),
        ("type=local,dest=d", Place("local", {"folder": "d"})),
        ("type=local,src=d", Place("local", {"folder": "d"})),
        ("type=s3,bucket=b,region=r,prefix=p/", Place("s3", {"bucket": "b", "prefix": "p/", "region": "r"})),
        ("type=gs,bucket=b", Place("gs", {"bucket": "b"})),
        ("type=az,account=a,container=c", Place("az", {"account": "a", "container": "c"})),
    ],
)
def test_places_are_the_same_for_both(text: str, place: Place) -> None:
    assert parse_from(text).place == place == parse_to(text).place


def test_how_it_is_written() -> None:
    plain = parse_to("user/app")
    assert (plain.mode, plain.compression, plain.level, plain.secret) == ("max", "gzip", None, None)
    assert plain.writer.startswith("lamina ")
    told = parse_to("type=registry,ref=a/b,mode=min,compression=zstd,compression-level=9,writer=ci on main,timeout=3")
    assert (told.mode, told.compression, told.level, told.writer, told.timeout) == ("min", "zstd", 9, "ci on main", 3)


def test_what_buildkit_takes_and_what_is_so_anyway() -> None:
    parse_to("type=registry,ref=a/b,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true")


def test_key_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    assert parse_to(f"type=local,dest=d,sign={tmp_path}/key").secret == b"k" * 32
    assert parse_from(f"type=local,src=d,verify={tmp_path}/key").secret == b"k" * 32
    (tmp_path / "short").write_bytes(b"k" * 15)
    with pytest.raises(BuildFailure, match="less than 16 bytes"):
        parse_from(f"type=local,src=d,verify={tmp_path}/short")


@pytest.mark.parametrize(
    "text",
    [
        *("type=gha", "type=inline", "type=", "type=s3,region=r", "type=az,container=c", "type=local"),
        *("type=registry,ref=a/b,timeout=0", "type=registry,ref=a/b,timeout=x", "type=registry,ref=UPPER/x y"),
        *("type=registry,ref=a/b@sha256:" + "0" * 64, "type=registry,ref=a/b,sign=key", "type=local,src=d,mode=max"),
    ],
)
def test_what_is_refused_when_reading(text: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_from(text)
    assert caught.value.diagnostic.reference.startswith("usage-")


@pytest.mark.parametrize(
    "fields", ["compression-level=10", "compression=zstd,compression-level=23", "compression-level=x", "mode=all"]
)
def test_what_is_refused_when_writing(fields: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_to(f"type=local,dest=d,{fields}")
    assert caught.value.diagnostic.reference == "usage-cache"
