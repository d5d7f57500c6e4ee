"""Which shell text a RUN with heredocs runs."""

from __future__ import annotations

import pytest
from tests.support.planning import options

from lamina.dockerfile import parse
from lamina.dockerfile.syntax import Run
from lamina.plan.planner import make_plan
from lamina.plan.scripts import script_in, script_of
from lamina.plan.steps import Plan, RunOp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN a && b", "a && b"),
        ("RUN <<EOF\na\nb\nEOF", "a\nb\n"),
        ("RUN <<-EOF\n\ta\n\tEOF", "a\n"),
        ("RUN <<EOF\n#!/bin/sh -e\na\nEOF", "#!/bin/sh -e\na\n"),
        ("RUN <<EOF\n#!/usr/bin/env python3\na\nEOF", None),
        ("RUN bash <<EOF\na\nEOF", "a"),
        ("RUN /bin/bash -euo pipefail -x <<'EOF'\na\nb\nEOF", "a\nb"),
        ("RUN <<EOF bash -e\na\nEOF", "a"),
        ("RUN python3 <<EOF\na\nEOF", "python3 <<EOF\na\nEOF"),
        ("RUN bash -c 'x' <<EOF\na\nEOF", "bash -c 'x' <<EOF\na\nEOF"),
        ("RUN bash x.sh <<EOF\na\nEOF", "bash x.sh <<EOF\na\nEOF"),
        ("RUN cat <<EOF > /x && b\na\nEOF", "cat <<EOF > /x && b\na\nEOF"),
        ("RUN <<A cat <<B\na\nA\nb\nB", "<<A cat <<B\na\nA\nb\nB"),
    ],
)
def test_the_text_is_the_same_before_and_after_planning(text: str, expected: str | None) -> None:
    parsed = parse(f"FROM scratch\n{text}\n".encode(), "Dockerfile")
    instruction = parsed.instructions[1]
    assert isinstance(instruction, Run)
    assert script_of(instruction) == expected
    plan = make_plan(parsed, options(), {})
    assert isinstance(plan, Plan)
    (op,) = [step.op for step in plan.stages[0].steps if isinstance(step.op, RunOp)]
    assert script_in(op) == expected
