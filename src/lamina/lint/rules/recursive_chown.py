"""RecursiveChown: `chown -R` or `chmod -R` on files of an earlier layer stores them a second time."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Add, Copy
from lamina.lint.copies import landing
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Step, Subject
from lamina.plan.scope import normal_path


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if not stage.shipped:
            continue
        chain = subject.chain(stage)
        first = len(chain) - len(stage.steps)
        copied: list[tuple[str, Step]] = []
        for at, step in enumerate(chain):
            if isinstance(step.instruction, Copy | Add) and (place := landing(step)) is not None:
                copied.append((place, step))
            elif at >= first:
                yield from _doubled(step, copied)


def _doubled(step: Step, copied: list[tuple[str, Step]]) -> Iterator[Found]:
    cwd = step.cwd
    for command in step.commands:
        if command.program == "cd" and len(command.words) == 2:
            cwd = None if "$" in command.words[1] else normal_path(f"{cwd or ''}/{command.words[1]}")
        if command.program not in ("chown", "chmod"):
            continue
        options = [word for word in command.words[1:] if word.startswith("-")]
        if not any(word == "--recursive" or (word[:2] != "--" and "R" in word) for word in options):
            continue
        for target in [word for word in command.words[1:] if not word.startswith("-")][1:]:
            if "$" in target or (cwd is None and not target.startswith("/")):
                continue
            path = normal_path(target if target.startswith("/") else f"{cwd}/{target}")
            found = next(
                (one for place, one in reversed(copied) if f"{place}/".startswith(f"{path.rstrip('/')}/")), None
            )
            if found is not None:
                flag = command.program
                yield Found(
                    step.instruction,
                    f"{flag} -R {target} stores the files of line {found.line} a second time, in this layer",
                    f"write --{flag}=… at the {found.instruction.keyword} of line {found.line}",
                )
                return


RULE = Rule("RecursiveChown", "warning", "owners and modes are given where files are copied", _check)
