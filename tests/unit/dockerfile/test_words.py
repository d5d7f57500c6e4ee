"""Variable expansion, form by form; values as BuildKit gives them."""

from __future__ import annotations

import pytest

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.words import expand, expand_heredoc, expand_words, names

ENV = {"v": "value", "e": "", "p": "foo/bar/foo/baz.tar.gz", "sp": "a b", "d": "$v", "q": "it's", "star": "a*c"}
SPAN = Span("Dockerfile", 3, 5, 3, 9)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("$v", "value"),
        ("${v}", "value"),
        ("a${v}b$v.c", "avaluebvalue.c"),
        ("$unset", ""),
        ("${unset}", ""),
        ("$e", ""),
        # Defaults: the colon treats empty as unset.
        ("${v:-w}", "value"),
        ("${v-w}", "value"),
        ("${e:-w}", "w"),
        ("${e-w}", ""),
        ("${u:-w}", "w"),
        ("${u-w}", "w"),
        ("${u:-$v}", "value"),
        ("${u:-${e:-deep}}", "deep"),
        ("${u:-a b}", "a b"),
        ("${u:-'$v'}", "$v"),
        ('${u:-"$v"}', "value"),
        (r"${u:-\}}", "}"),
        ("${u:-}", ""),
        # Alternatives.
        ("${v:+w}", "w"),
        ("${v+w}", "w"),
        ("${e:+w}", ""),
        ("${e+w}", "w"),
        ("${u:+w}", ""),
        ("${u+w}", ""),
        # Required.
        ("${v:?no}", "value"),
        ("${v?no}", "value"),
        ("${e?no}", ""),
        # Prefixes and suffixes.
        ("${p#*/}", "bar/foo/baz.tar.gz"),
        ("${p##*/}", "baz.tar.gz"),
        ("${p%.*}", "foo/bar/foo/baz.tar"),
        ("${p%%.*}", "foo/bar/foo/baz"),
        ("${p#x}", "foo/bar/foo/baz.tar.gz"),
        ("${p#f?o}", "/bar/foo/baz.tar.gz"),
        ("${p%gz}", "foo/bar/foo/baz.tar."),
        (r"${star#a\*}", "c"),
        (r"${star%\*c}", "a"),
        ("${p##[f]oo}", "foo/bar/foo/baz.tar.gz"),
        ("${u#x}", ""),
        ("${v#$v}", ""),
        # Replacements.
        ("${p/foo/x}", "x/bar/foo/baz.tar.gz"),
        ("${p//foo/x}", "x/bar/x/baz.tar.gz"),
        (r"${p//\//-}", "foo-bar-foo-baz.tar.gz"),
        ("${p/b*z/}", "foo/"),
        ("${v/a/$v}", "vvaluelue"),
        ("${v//*/x}", "x"),
        ("${v//l/}", "vaue"),
        ("${v/u?/X}", "valX"),
        # Quotes.
        ("'$v'", "$v"),
        ('"$v"', "value"),
        ("'a'\"b\"c", "abc"),
        ('"it\'s"', "it's"),
        ("'a\\b'", "a\\b"),
        ('"a b"', "a b"),
        ("$q", "it's"),
        # A value is not scanned again.
        ("$d", "$v"),
        # Escapes.
        (r"\$v", "$v"),
        (r"\${v}", "${v}"),
        (r"a\ b", "a b"),
        (r"\\", "\\"),
        (r"\n", "n"),
        ("end\\", "end"),
        (r'"\$v"', "$v"),
        (r'"\n"', r"\n"),
        (r'"\""', '"'),
        (r'"\\"', "\\"),
        # Names of the shell itself are always empty.
        ("$1", ""),
        ("$12x", "x"),
        ("$@", ""),
        ("$$", ""),
        ("$?", ""),
        ("$", "$"),
        ("a$ b", "a$ b"),
        ("$(x)", "$(x)"),
        ("$é", ""),
        ("${v:#va}", "lue"),
    ],
)
def test_one_word(text: str, wanted: str) -> None:
    assert expand(text, ENV) == wanted


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("${", "missing }"),
        ("${v", "missing }"),
        ("${v:", "missing }"),
        ("${v:-x", "missing }"),
        ("${}", "bad substitution"),
        ("${:-x}", "bad substitution"),
        ("${{v}", "bad substitution"),
        ("${v^}", "unsupported modifier ^"),
        ("${v:=x}", "unsupported modifier :="),
        ("${v/x}", "missing /"),
        ("${v/x/y", "missing }"),
        (r"${v#\a}", r"\a is no valid escape"),
        ("'open", "single quote"),
        ('"open', "double quote"),
        ("${u?}", "u: must be set"),
        ("${e:?}", "e: must not be empty"),
        ("${u:?tell $v}", "u: tell value"),
        ("${a:-" * 300 + "}" * 300, "nested too deeply"),
    ],
)
def test_bad_substitutions_say_why_and_where(text: str, cause: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        expand(text, ENV, span=SPAN)
    diagnostic = caught.value.diagnostic
    assert diagnostic.reference == "dockerfile-bad-substitution"
    assert diagnostic.span == SPAN
    assert diagnostic.cause is not None
    assert cause in diagnostic.cause


def test_the_backtick_as_escape() -> None:
    assert expand("`$v \\$v", ENV, escape="`") == "$v \\value"
    assert expand("C:\\dir\\", {}, escape="`") == "C:\\dir\\"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80 443", ("80", "443")),
        ("$sp", ("a", "b")),
        ('"$sp"', ("a b",)),
        ("x$sp", ("xa", "b")),
        (r"a\ b", ("a b",)),
        ("  a  ", ("a",)),
        ("$u", ()),
        ("''", ()),
        ("'a' b", ("a", "b")),
    ],
)
def test_words_are_split_after_expansion(text: str, wanted: tuple[str, ...]) -> None:
    assert expand_words(text, ENV) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a=$v\n", "a=value\n"),
        ("\"quotes\" 'stay'\n", "\"quotes\" 'stay'\n"),
        ("'$v'", "'value'"),
        ("\\\n", "\n"),
        ("\\\\\n", "\\\n"),
        ("\\$v\n", "$v\n"),
        ("it's\n", "it's\n"),
        ("${u:-x'y}\n", "x'y\n"),
    ],
)
def test_heredoc_bodies_keep_their_quotes(text: str, wanted: str) -> None:
    assert expand_heredoc(text, ENV) == wanted


def test_what_was_put_in_as_nothing_is_told() -> None:
    told: list[str] = []
    expand("$a ${b} ${c:-x} ${d:+x} ${e#x} $v '$f' \\$g ${c:-$h}", {"v": "1"}, on_unset=told.append)
    assert told == ["a", "b", "e", "h"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", set()),
        ("$a${b}", {"a", "b"}),
        ("${a:-$b}${c+${d}}", {"a", "b", "c", "d"}),
        ("${a:?x}", {"a"}),
        ("${a/$b/$c}", {"a", "b", "c"}),
        ("'$a' \\$b \"$c\"", {"c"}),
        ("$1 $@ $_x", {"_x"}),
    ],
)
def test_names(text: str, wanted: set[str]) -> None:
    assert names(text) == wanted


def test_names_in_a_heredoc_see_through_quotes() -> None:
    assert names("'$a'\n", heredoc=True) == {"a"}
