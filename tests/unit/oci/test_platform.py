"""Platform specifiers and which image serves which machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import digest_of
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, select_platform
from lamina.oci.platform import Platform, matches, parse_platform, preference

HERE = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("LINUX/X86-64", "linux/amd64"),
        (" linux/amd64 ", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("amd64/v2", "linux/amd64/v2"),
        ("linux", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("arm", "linux/arm/v7"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("arm/v7", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("i386", "linux/386"),
        ("linux/ppc64el", "linux/ppc64le"),
        ("riscv64", "linux/riscv64"),
        ("windows/amd64", "windows/amd64"),
        ("wasi/wasm", "wasi/wasm"),
    ],
)
def test_specifiers(text: str, expected: str) -> None:
    found = parse_platform(text, default=HERE)
    assert str(found) == expected
    assert parse_platform(expected, default=Platform("plan9", "mips")) == found


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "/amd64", "a/b/c/d", "z80", "li nux/amd64", "linux/ämd64", "linux/a.b"]
)
def test_invalid_specifiers(text: str) -> None:
    with pytest.raises(ValueError, match="is not a platform"):
        parse_platform(text, default=HERE)


@pytest.mark.parametrize(
    ("wanted", "offered", "rank"),
    [
        ("linux/amd64", "linux/amd64", 0),
        ("linux/amd64", "linux/amd64/v1", 0),
        ("linux/amd64", "linux/amd64/v3", None),
        ("linux/amd64/v3", "linux/amd64/v3", 0),
        ("linux/amd64/v3", "linux/amd64/v2", 1),
        ("linux/amd64/v3", "linux/amd64", 2),
        ("linux/amd64/v3", "linux/amd64/v4", None),
        ("linux/amd64", "linux/x86_64", 0),
        ("linux/arm64", "linux/arm64/v8", 0),
        ("linux/arm64", "linux/arm64", 0),
        ("linux/arm64", "linux/arm/v7", None),
        ("linux/arm/v7", "linux/arm/v7", 0),
        ("linux/arm/v7", "linux/arm", 0),
        ("linux/arm/v7", "linux/arm/v5", 2),
        ("linux/arm/v6", "linux/arm/v7", None),
        ("linux/amd64", "windows/amd64", None),
        ("linux/amd64", "unknown/unknown", None),
        ("linux/s390x", "linux/s390x", 0),
        ("linux/mips64le", "linux/mips64le/softfloat", 1),
        ("linux/ppc64le/power9", "linux/ppc64le/power8", None),
        ("linux/arm/vx", "linux/arm/v7", None),
    ],
)
def test_preference(wanted: str, offered: str, rank: int | None) -> None:
    def raw(text: str) -> Platform:
        return Platform(*text.split("/"))

    assert preference(raw(wanted), raw(offered)) == rank
    assert matches(raw(wanted), raw(offered)) is (rank is not None)


def entry(platform: Platform | None, name: str) -> Descriptor:
    return Descriptor(mediatypes.OCI_MANIFEST, digest_of(name.encode()), len(name), platform)


@pytest.mark.parametrize(
    ("wanted", "offers", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/amd64/v4", ["linux/amd64", "linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v3"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm64", ["unknown/unknown", "linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm64", ["unknown/unknown", "linux/amd64"], None),
        ("linux/arm64", ["", "linux/amd64"], ""),
        ("linux/amd64", ["", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", [], None),
    ],
)
def test_selection(wanted: str, offers: list[str], chosen: str | None) -> None:
    index = Index(2, tuple(entry(Platform(*text.split("/")) if text else None, text) for text in offers))
    found = select_platform(index, Platform(*wanted.split("/")))
    assert (found and found.digest) == (None if chosen is None else digest_of(chosen.encode()))


@given(st.text(alphabet="linuxarmd64v78/_- ", max_size=16) | st.text(max_size=16))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_platform(text, default=HERE)
    except ValueError:
        return
    assert parse_platform(str(found), default=HERE) == found
    assert preference(found, found) == 0
