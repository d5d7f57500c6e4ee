"""CodeBeforeDependencies: the whole context, or a folder of code, is copied above the install of the dependencies.

Then every change to its files installs them again: the mistake that costs most, and the simplest to mend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.dockerfile.source import shown
from lamina.dockerfile.syntax import Instruction
from lamina.lint import folders
from lamina.lint.copies import is_gem, is_whole, meets, named_further, wanted
from lamina.lint.packages import packages_of
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Step, Subject
from lamina.plan.install_words import Install
from lamina.plan.installs import install_of

#: What may stand in a RUN beside an install without needing the code.
_BESIDE = frozenset(["rm", "mkdir", "set", "true", "echo", "find", "useradd", "groupadd", "adduser", "addgroup", "cd"])


def _check(subject: Subject) -> Iterator[Found]:
    told: set[int] = set()
    for stage in subject.stages:
        chain = subject.chain(stage)
        for at, copy in enumerate(chain):
            if copy.line in told or not copy.from_context or not any(map(is_whole, copy.sources)):
                continue
            before = {one.tool for step in chain[:at] for one in step.installs if one.reads}
            found = _dragged(subject, chain[at + 1 :], copy, before)
            if found:
                told.add(copy.line)
                yield _found(subject, copy.instruction, found)
        for apart in folders.above(subject, stage):
            if not told & {copy.line for copy in apart.copies}:
                told |= {copy.line for copy in apart.copies}
                yield folders.told(apart)


def _dragged(
    subject: Subject, steps: Sequence[Step], copy: Step, before: set[str]
) -> list[tuple[Step, Install | None]]:
    """The steps that install below a copy of everything, each with the install that needs files, or None for one that
    reads nothing of the context."""
    found: list[tuple[Step, Install | None]] = []
    for step in steps:
        for install in step.installs:
            # Dependencies that are there already are not installed again in earnest, nor is what needs the code itself.
            if install.tool in before or (install.project and not install.alone):
                continue
            if install.reads and not meets(copy, step, install):
                continue
            # The Gemfile of a gem reads its gemspec, and that the code.
            if (install.tool == "bundler" and is_gem(subject)) or named_further(subject, step, install) is None:
                continue
            found.append((step, install if install.reads else None))
            break
        else:
            calls = (packages_of(command) for command in step.commands)
            # What is removed again in the same RUN was for what that does with the code.
            if not (_does_more(step) and _removes_packages(step)) and any(
                call is not None and call.action == "install" and call.packages for call in calls
            ):
                found.append((step, None))
    return found


def _found(subject: Subject, copy: Instruction, dragged: Sequence[tuple[Step, Install | None]]) -> Found:
    line = copy.span.line
    needing = [(step, install) for step, install in dragged if install is not None]
    others = [str(step.line) for step, install in dragged if install is None]
    if not needing:
        lines = f"line {others[0]}" if len(others) == 1 else f"lines {', '.join(others)}"
        if any(_does_more(step) for step, _ in dragged):
            return Found(
                copy,
                f"all files are copied above {lines}, which installs packages that need none of them",
                f"install the packages in a RUN of their own, and that above line {line}",
            )
        return Found(
            copy,
            f"all files are copied above {lines}, which installs packages and reads none of them",
            f"move this {copy.keyword} below line {others[-1]}: then a change to a file installs nothing again",
        )
    step, install = needing[0]
    command = next((one for one in step.commands if _starts(one.words, install)), step.commands[0])
    names = " ".join(wanted(subject, install))
    message = (
        f"all files are copied above `{shown(' '.join(command.words))}` (line {step.line}): a change to any of them "
        "installs the dependencies again"
    )
    hint = f"put `COPY {names} ./` above line {step.line}, and this {copy.keyword} below it"
    if install.project and install.alone:
        hint = f"put `COPY {names} ./` and `RUN {install.alone}` above line {line}"
    elif _does_more(step):
        hint = f"put `COPY {names} ./` and `RUN {' '.join(command.words)}` above line {line}"
    more = named_further(subject, step, install) or ()
    if more:
        listed = ", ".join(more[:4]) + (" and others" if len(more) > 4 else "")
        hint += f"; these name {listed}: copy that before it, too"
    if others:
        hint += (
            f"; line {' and '.join(others)} reads none of the files and can stand above all"
            if len(others) == 1
            else (f"; lines {', '.join(others)} read none of the files and can stand above all")
        )
    return Found(copy, message, hint)


def _does_more(step: Step) -> bool:
    """Whether a RUN also starts what may need the code."""
    return any(
        command.words
        and install_of(command) is None
        and packages_of(command) is None
        and command.program not in _BESIDE
        for command in step.commands
    )


def _removes_packages(step: Step) -> bool:
    return any(
        command.program in ("apk", "apt-get", "apt", "dnf", "microdnf", "yum", "zypper")
        and {"del", "purge", "remove", "autoremove", "erase", "rm"} & set(command.words[1:])
        for command in step.commands
    )


def _starts(words: Sequence[str], install: Install) -> bool:
    return any(install.tool.split()[0] in word for word in words[:3])


RULE = Rule("CodeBeforeDependencies", "warning", "dependencies are installed before the code is copied", _check)
