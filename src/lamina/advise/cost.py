"""What a step takes: as it was recorded, as the user says, or a guess by what it does, which is said to be one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from lamina.dockerfile.shellcommands import ShellCommand, shell_commands
from lamina.plan.installs import install_of
from lamina.plan.scripts import is_shell, script_in
from lamina.plan.steps import CopyOp, HttpSource, RunOp, Step

Basis = Literal["recorded", "given", "guess"]


class Cost(Struct, frozen=True):
    """Seconds of one run of a step, and what they rest on."""

    seconds: float
    basis: Basis


#: Seconds of an install, by tool: orders of magnitude, no more.
_INSTALLS = {"pip": 30.0, "gem": 30.0, "go": 30.0, "cargo": 120.0, "cargo chef": 120.0, "maven": 90.0, "gradle": 90.0}
_INSTALL = 60.0
#: Programs that compile, test or fetch, with the seconds of one start.
_SLOW = (
    (re.compile(r"(make|ninja|cmake|gcc|g\+\+|clang|rustc|javac|bazel|meson)\Z"), 60.0),
    (re.compile(r"(apt-get|apt|apk|dnf|microdnf|yum|zypper|pacman)\Z"), 20.0),
    (re.compile(r"(cargo|go|mvn|mvnw|gradle|gradlew|dotnet|npm|pnpm|yarn|npx|bun|bunx|deno|swift|mix|sbt)\Z"), 45.0),
    (re.compile(r"(curl|wget|git)\Z"), 5.0),
    (re.compile(r"(python|node|ruby|php|perl|java|pytest|tox)[\d.]*\Z"), 10.0),
)
_RUN, _COPY, _FETCH = 1.0, 0.2, 5.0


class CostBook:
    """The costs of steps by their texts, so that a step keeps its cost where it is moved to."""

    def __init__(self, recorded: Mapping[str, float], given: Mapping[str, float]) -> None:
        self._known: dict[str, Cost] = {text: Cost(seconds, "recorded") for text, seconds in recorded.items()}
        self._known.update((text, Cost(seconds, "given")) for text, seconds in given.items())

    def of(self, step: Step) -> Cost:
        """The cost of a step."""
        known = self._known.get(step.text)
        return known or Cost(guess(step), "guess")

    def seconds(self, step: Step) -> float:
        return self.of(step).seconds

    def derive(self, costs: Mapping[str, Cost]) -> CostBook:
        """The same book with the costs of steps that a change would make, or make cheaper."""
        book = CostBook({}, {})
        book._known = {**self._known, **costs}
        return book


def guess(step: Step) -> float:
    """Seconds by kind of instruction and by what a RUN starts."""
    match step.op:
        case RunOp() as op:
            return max(_RUN, sum(map(_command, commands_of(op))))
        case CopyOp(sources=sources):
            return _FETCH if any(isinstance(source, HttpSource) for source in sources) else _COPY
    return 0.0


def shares(texts: Iterable[str]) -> list[float]:
    """How the seconds of a RUN are likely to be divided among its parts; they add up to 1."""
    weights = [max(_RUN / 4, sum(map(_command, shell_commands(text)))) for text in texts]
    return [weight / sum(weights) for weight in weights]


def commands_of(op: RunOp) -> tuple[ShellCommand, ...]:
    """What a RUN starts, nothing where that cannot be told."""
    text = script_in(op)
    if text is not None:
        return shell_commands(text)
    return (ShellCommand(op.argv),) if op.argv and not is_shell(op.argv[0]) else ()


def _command(command: ShellCommand) -> float:
    install = install_of(command)
    if install is not None:
        return _INSTALLS.get(install.tool, _INSTALL)
    if command.program == "sleep" and len(command.words) > 1 and re.fullmatch(r"\d+(\.\d+)?", command.words[1]):
        return float(command.words[1])
    return next((seconds for pattern, seconds in _SLOW if pattern.match(command.program)), _RUN / 4)
