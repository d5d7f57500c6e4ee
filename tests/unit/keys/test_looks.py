"""Which look decides, and on which stacks looks decide at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import DiffID
from lamina.keys.looks import ANSWER, Altered, Look, Observations, SeenLayer, Stack, first_broken, fits

LOOKS = (Look("", "list"), Look("a", "entry"), Look("a", "read"), Look("b", "entry"))


def answers(*numbers: int) -> bytes:
    return b"".join(bytes([number]) * ANSWER for number in numbers)


SEEN = SeenLayer(LOOKS, answers(1, 2, 3, 4), 2)


@pytest.mark.parametrize(
    ("now", "broken"),
    [
        ((1, 2, 3, 4), None),
        ((9, 2, 3, 4), LOOKS[0]),
        ((1, 2, 9, 4), LOOKS[2]),
        ((1, 2, 3, 9), LOOKS[3]),
        ((1, 9, 9, 9), LOOKS[2]),
        ((1, 9, 3, 9), LOOKS[1]),
    ],
)
def test_the_first_look_that_is_answered_otherwise(now: tuple[int, ...], broken: Look | None) -> None:
    assert first_broken(SEEN, answers(*now)) == broken


def test_a_single_bit_of_an_answer_counts() -> None:
    for place in range(len(SEEN.answers) * 8):
        changed = bytearray(SEEN.answers)
        changed[place // 8] ^= 1 << place % 8
        assert first_broken(SEEN, bytes(changed)) == LOOKS[place // 8 // ANSWER]


@pytest.mark.parametrize("other", [b"", answers(1, 2, 3), answers(1, 2, 3, 4, 5), answers(1, 2, 3, 4)[:-1]])
def test_answers_to_other_looks_are_never_a_match(other: bytes) -> None:
    try:
        assert first_broken(SEEN, other) is not None
    except ValueError:
        pass


def test_a_step_that_saw_nothing_is_never_broken() -> None:
    assert first_broken(SeenLayer((), b"", 7), b"") is None


def test_looks_are_sorted_by_path_then_kind() -> None:
    assert sorted({*LOOKS}) == list(LOOKS)


def test_counts() -> None:
    both = Observations((SEEN, SeenLayer((Look("a", "entry"),), answers(1), 3)))
    assert both.files == 5
    assert both.read == 1


def diff(number: int) -> DiffID:
    return DiffID(f"sha256:{number:064x}")


@pytest.mark.parametrize(
    ("now", "then", "fit"),
    [
        (((1, False), (2, True)), ((1, False), (2, True)), True),
        (((1, False), (3, True)), ((1, False), (2, True)), True),
        (((1, False), (3, True), (4, True)), ((1, False), (2, True), (5, True)), True),
        (((1, True),), ((1, False),), False),
        (((2, True),), ((1, False),), False),
        (((2, False),), ((1, False),), False),
        (((2, False),), ((1, True),), False),
        (((1, False), (2, True)), ((1, False),), False),
        (((1, False),), ((1, False), (2, True)), False),
        ((), (), True),
    ],
)
def test_only_copied_layers_may_differ(
    now: tuple[tuple[int, bool], ...], then: tuple[tuple[int, bool], ...], fit: bool
) -> None:
    def stack(layers: tuple[tuple[int, bool], ...]) -> Stack:
        return tuple((diff(number), copied) for number, copied in layers)

    assert fits(stack(now), stack(then)) == fit


@pytest.mark.parametrize(
    ("look", "breaks"),
    [
        (Look("d", "entry"), False),
        (Look("d", "list"), True),
        (Look("d/new", "entry"), True),
        (Look("d/new2", "entry"), False),
        (Look("d/old", "read"), True),
        (Look("d/old", "entry"), True),
        (Look("", "list"), False),
        (Look("e", "list"), False),
        (Look("d/old/below", "entry"), False),
    ],
)
def test_what_a_change_of_files_breaks(look: Look, breaks: bool) -> None:
    assert Altered(frozenset({"d/new"}), frozenset({"d/old"})).breaks(look) == breaks


STACKS = st.lists(st.tuples(st.integers(0, 3).map(diff), st.booleans()), max_size=4).map(tuple)


@given(STACKS, STACKS)
def test_fitting_is_symmetric_and_every_stack_fits_itself(one: Stack, other: Stack) -> None:
    assert fits(one, one)
    assert fits(one, other) == fits(other, one)
