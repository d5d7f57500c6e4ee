"""--format: the part of Go's templates that is known, and how values look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.template import fields, render
from lamina.diagnostics import BuildFailure

VALUE = {
    "Id": "sha256:1",
    "config": {
        "Env": ["A=1", "B=2"],
        "Labels": {"b": "2", "a.b": "1"},
        "Tty": False,
        "User": None,
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {},
    },
    "n": 3,
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.Id}}", "sha256:1"),
        ("{{ .ID }}!", "sha256:1!"),
        ("{{- .n -}}", "3"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[a.b:1 b:2]"),
        ("{{.Config.ExposedPorts}} {{.Config.Volumes}}", "map[80/tcp:{}] map[]"),
        ("{{.Config.Tty}} {{.Config.User}} {{.Nothing.At.All}}", "false <no value> <no value>"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{json .Nothing}}", "null"),
        ('{{index .Config.Labels "a.b"}}', "1"),
        ("{{index .Config.Env 1}}", "B=2"),
        ("{{index .Config.Env 9}}", "<no value>"),
        ('{{index .Config "Labels" "b"}}', "2"),
        (r"{{.Id}}\t{{.n}}\n", "sha256:1\t3\n"),
    ],
)
def test_what_is_printed(template: str, expected: str) -> None:
    assert render(template, VALUE) == expected


def test_the_whole_value_as_json() -> None:
    assert render("{{json .}}", {"a": 1}) == '{"a":1}'


@pytest.mark.parametrize(
    "template", ["{{range .Config.Env}}{{.}}{{end}}", "{{Id}}", "{{}}", "{{upper .Id}}", '{{"x"}}']
)
def test_what_is_not_known(template: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        render(template, VALUE)
    assert caught.value.diagnostic.reference == "usage-format"


def test_the_fields_of_a_template() -> None:
    assert fields(r"{{.Repository}}:{{.Tag}}\t{{json .ID}}") == ["Repository", "Tag", "ID"]


@given(st.text())
def test_any_text_is_rendered_or_refused(template: str) -> None:
    try:
        render(template, VALUE)
    except BuildFailure as failure:
        assert failure.diagnostic.reference == "usage-format"
