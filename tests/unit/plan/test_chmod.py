"""`--chmod`: octal and symbolic, against chmod(1) itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.plan.chmod import changed, normal

ACTION = st.builds(
    lambda operator, what: operator + what,
    st.sampled_from("+-="),
    st.sampled_from(("", "r", "w", "x", "X", "rw", "rwx", "rX", "s", "t", "xst", "u", "g", "o")),
)
CLAUSE = st.builds(
    lambda who, actions: who + "".join(actions),
    st.sampled_from(("u", "g", "o", "a", "ug", "go", "uo", "")),
    st.lists(ACTION, min_size=1, max_size=3),
)
MODE = st.lists(CLAUSE, min_size=1, max_size=3).map(",".join)


@given(MODE, st.integers(0, 0o7777))
@settings(max_examples=60, deadline=None)
def test_symbolic_modes_do_what_chmod_does(text: str, before: int) -> None:
    assert normal(text) == text
    folder = Path("/tmp")
    command = 'umask 0; f=$(mktemp); chmod "$2" "$f"; chmod -- "$1" "$f"; stat -c %a "$f"; rm "$f"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", text, f"{before:o}"], capture_output=True, text=True, check=True, cwd=folder
    )
    assert f"{changed(text, before, False):o}" == done.stdout.strip()


@pytest.mark.parametrize(
    ("text", "before", "is_dir", "after"),
    [
        ("755", 0o644, False, 0o755),
        ("0", 0o644, True, 0),
        ("4755", 0o644, False, 0o4755),
        ("u+X", 0o644, False, 0o644),
        ("u+X", 0o644, True, 0o744),
        ("go=", 0o777, True, 0o700),
        ("a=rX,u+w", 0o711, False, 0o755),
        ("g=u", 0o740, False, 0o770),
    ],
)
def test_what_a_mode_makes_of_another(text: str, before: int, is_dir: bool, after: int) -> None:
    assert changed(text, before, is_dir) == after


@pytest.mark.parametrize(("text", "same"), [("0755", "755"), ("00644", "644"), ("0", "0"), ("go=rX", "go=rX")])
def test_one_spelling(text: str, same: str) -> None:
    assert normal(text) == same


@pytest.mark.parametrize("text", ["", "8", "77777", "u", "u+q", "rwx", "+", "u+r,", "755,u+x", " 755"])
def test_what_is_no_mode(text: str) -> None:
    if text == "+":
        assert normal(text) == text  # chmod(1) takes it too: nothing is added for everybody
        return
    with pytest.raises(ValueError, match=r".+"):
        normal(text)
