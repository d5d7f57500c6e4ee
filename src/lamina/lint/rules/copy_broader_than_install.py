"""CopyBroaderThanInstall: a COPY for an install takes more than the install reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.dockerfile.syntax import Run
from lamina.lint.copies import RUN_BY_INSTALLS, is_whole, meets, reads
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Step, Subject
from lamina.plan.install_words import Install

#: What is code beyond doubt. An install may run scripts of the project, so that other files could matter to it.
_CODE = (
    r"(?:\A|/)(?:src|app|tests?|templates|static|public|docs)/?\Z|\.(?:py|pyi|jsx?|tsx?|vue|rb|go|rs|java|kt|php|html|css|"
    r"scss|md|sql|png|svg)\Z"
)


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        before: set[str] = set()
        for at, step in enumerate(stage.steps):
            below = next((one for one in stage.steps[at + 1 :] if one.from_context or one.commands), None)
            if step.from_context and below is not None and isinstance(below.instruction, Run):
                for install in below.installs:
                    if install.reads and not install.project and install.tool not in before:
                        yield from _broad(subject, step, below, install)
                        break
            before |= {one.tool for one in step.installs if one.reads}


def _broad(subject: Subject, copy: Step, run: Step, install: Install) -> Iterator[Found]:
    if any(is_whole(source) for source in copy.sources) or not meets(copy, run, install):
        return
    taken = subject.context.on_line(copy.line) if subject.context is not None else None
    paths = [one.path for one in taken.entries if one.kind == "file"] if taken is not None else list(copy.sources)
    read = [path for path in paths if reads(install, path)]
    code = [
        path for path in paths if path not in read and re.search(_CODE, path) and not re.search(RUN_BY_INSTALLS, path)
    ]
    if read and code:
        some = f"{len(read)} of the {len(paths)} files" if taken is not None else f"{', '.join(read)} and not {code[0]}"
        yield Found(
            copy.instruction,
            f"{install.tool} on line {run.line} reads {some} that are copied here: a change to the others installs all "
            "again",
            f"copy {' '.join(read[:4])}{' …' if len(read) > 4 else ''} here, and the rest below line {run.line}",
        )


RULE = Rule("CopyBroaderThanInstall", "warning", "what is copied for an install is what it reads", _check)
