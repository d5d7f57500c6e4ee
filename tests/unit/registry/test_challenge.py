"""WWW-Authenticate: what registries send, and what the grammar allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.registry.challenge import Challenge, parse_challenges

REALM = "https://auth.docker.io/token"
BEARER = Challenge(
    "bearer",
    {"realm": REALM, "service": "registry.docker.io", "scope": "repository:a/b:pull,push"},
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ('Basic realm="r"', (Challenge("basic", {"realm": "r"}),)),
        ("Basic", (Challenge("basic", {}),)),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            (BEARER,),
        ),
        (
            f'BEARER Realm = "{REALM}" , service=registry.docker.io,\tscope="repository:a/b:pull,push"',
            (BEARER,),
        ),
        ("Bearer realm=https://x/t,service=s", (Challenge("bearer", {"realm": "https://x/t", "service": "s"}),)),
        (r'Basic realm="a \"quoted\" \\ realm"', (Challenge("basic", {"realm": r'a "quoted" \ realm'}),)),
        ('Basic realm=""', (Challenge("basic", {"realm": ""}),)),
        ("Negotiate, Basic realm=x", (Challenge("negotiate", {}), Challenge("basic", {"realm": "x"}))),
        ("Negotiate YII=, Basic realm=x", (Challenge("negotiate", {}), Challenge("basic", {"realm": "x"}))),
        (
            'Basic realm="a, Bearer b", , Bearer realm="c"',
            (Challenge("basic", {"realm": "a, Bearer b"}), Challenge("bearer", {"realm": "c"})),
        ),
        ('Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"', (
            Challenge("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
            Challenge("basic", {"realm": "simple"}),
        )),
        ('Bearer realm="unfinished', (Challenge("bearer", {}),)),
        ("=nonsense", ()),
    ],
)  # fmt: skip
def test_table(header: str, expected: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == expected


@given(st.text(alphabet=st.sampled_from('ab=",\\ \t:/Bearer'), max_size=80) | st.text(max_size=60))
def test_never_raises_and_ends(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


TOKEN = st.text(alphabet="abcXYZ019-_", min_size=1, max_size=8)


PARAMETERS = st.dictionaries(TOKEN.map(str.lower), st.text('a b,="\\:/', max_size=12), min_size=1)


@given(st.lists(st.tuples(TOKEN, PARAMETERS), max_size=4))
def test_what_is_written_by_the_grammar_is_read_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(f"{s} " + ",".join(f"{k}={quoted(v)}" for k, v in p.items()) for s, p in challenges)
    assert parse_challenges(header) == tuple(Challenge(scheme.lower(), params) for scheme, params in challenges)
