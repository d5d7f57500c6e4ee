"""A second of the fuzzer's mutations with a fixed seed, and how long a very long file takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pytest
from tests.fuzz.mutate import mutated, seeds
from tests.fuzz.target import examine, plan

from lamina.dockerfile import parse

LINES = 10_000


@pytest.mark.parametrize("seed", range(3))
def test_mutations(seed: int) -> None:
    random, pool = Random(seed), seeds()
    for _ in range(150):
        examine(mutated(random, pool))


def test_a_long_file_plans(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> None:
    """The time is reported, not judged."""
    random = Random(1)
    forms = (
        "ENV V{n}=$V{p} W{n}=${{V{p}:-x}}",
        "RUN echo {n} $V{p} \\\n  && true",
        "COPY --chown=1:2 a{n} b /d/{n}/",
        "ARG A{n}=$A{p}-1",
        'LABEL l{n}="v $V{p}"',
        "WORKDIR /w/$V{p}{n}",
        "EXPOSE {p}",
        "# a comment {n}",
        "COPY <<E /h{n}\n$V{p}\nE",
        "FROM s{p} AS s{n}",
    )
    lines = ["FROM scratch AS s1"]
    stage = 1
    while len(lines) < LINES:
        number = len(lines)
        form = random.choice(forms[:-1]) if random.random() < 0.99 else forms[-1]
        if form is forms[-1]:
            lines.append(form.format(n=number, p=stage))
            stage = number
        else:
            lines += form.format(n=number, p=max(1, number - 1)).split("\n")
    text = "\n".join(lines).encode()
    began = time.perf_counter()
    dockerfile = parse(text, "Dockerfile")
    parsed = time.perf_counter()
    plan(dockerfile)
    planned = time.perf_counter()
    report = (
        f"{len(lines)} lines, {len(text)} bytes: parsed in {parsed - began:.2f} s, planned in {planned - parsed:.2f} s"
    )
    record_property("long-file", report)
    with capsys.disabled():
        print(f"\n{report}")
