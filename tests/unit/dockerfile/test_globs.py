"""Go's filepath.Match, from its documented cases."""

from __future__ import annotations

import pytest

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.globs import match


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("[a-ζ]*", "α", True),
        ("*[a-ζ]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "-", True),
        ("[!a]", "!", True),
        ("[!a]", "b", False),
        ("*x", "xxx", True),
        ("a.b", "axb", False),
        ("**", "a", True),
        ("**", "a/b", False),
        (".*", ".git", True),
        ("", "", True),
        ("a", "a\n", False),
        ("[^^]", "^", False),
        ("[a&&b]", "&", True),
    ],
)
def test_match(pattern: str, name: str, wanted: bool) -> None:
    assert match(pattern, name) is wanted


@pytest.mark.parametrize(
    "pattern", ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "[\\", "[]", "[z-a]"]
)
def test_bad_patterns_fail_whatever_the_name(pattern: str) -> None:
    for name in ("", "a", "zzz"):
        with pytest.raises(BuildFailure) as caught:
            match(pattern, name)
        assert caught.value.diagnostic.reference == "dockerfile-bad-pattern"
