"""Commands that are compared as they are, whatever tool they belong to: what cases of travelling images consist of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.measure import CommandFailed, DaemonMemory, Sample, timed, written_out
from bench.table import Results
from msgspec import Struct


class Leg(Struct, frozen=True):
    """One tool's way of doing what `measure` names. `before` is called with the round's number, unmeasured, and gives
    the command; `count` lines of its output must hold `proof`. `daemon` is whose memory counts beside the command's."""

    measure: str
    tool: str
    before: Callable[[int], Sequence[str]]
    environment: Mapping[str, str]
    daemon: Callable[[], DaemonMemory] = lambda: DaemonMemory(())
    proof: str = ""
    count: int = 0


def run_legs(title: str, legs: Sequence[Leg], rounds: int, results: Results, log: Path) -> None:
    """All rounds of a case: measure after measure, the tools in an order that turns by one each round. What others have
    left for the disk is written before each command. Raises CommandFailed, also for output that lacks the proof."""
    print(f"{title}:", flush=True)
    for number in range(rounds):
        for measure in dict.fromkeys(leg.measure for leg in legs):
            same = [leg for leg in legs if leg.measure == measure]
            turn = number % len(same)
            for leg in same[turn:] + same[:turn]:
                sample = _run(leg, leg.before(number), log)
                results.setdefault(measure, {}).setdefault(leg.tool, []).append(sample)
                told = f"{sample.seconds:8.3f} s {sample.peak_mib:6.0f} MiB"
                print(f"  {leg.tool:<17} {measure} {told}", flush=True)


def _run(leg: Leg, command: Sequence[str], log: Path) -> Sample:
    written_out(log.parent)
    memory = leg.daemon()
    memory.reset()
    sample = timed(command, leg.environment, log)
    found = log.read_text(errors="replace").count(leg.proof) if leg.proof else leg.count
    if found < leg.count:
        raise CommandFailed(f"{leg.tool}, {leg.measure}: {leg.proof!r} is told {found} times, not {leg.count}")
    return Sample(sample.seconds, sample.peak_mib + memory.peak_mib())


def script(*commands: Sequence[str]) -> list[str]:
    """One shell that runs commands after each other, as long as they succeed."""
    from shlex import join

    return ["/bin/sh", "-ec", "\n".join(join(command) for command in commands)]
