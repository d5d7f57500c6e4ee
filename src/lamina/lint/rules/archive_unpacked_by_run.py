"""ArchiveUnpackedByRun: an archive is copied into a layer and unpacked in the next one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.dockerfile.syntax import Copy
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

_ARCHIVE = r"\.(?:tar|tar\.(?:gz|bz2|xz|zst)|tgz|tbz2?|txz)\Z"


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if not stage.shipped:
            continue
        for at, step in enumerate(stage.steps):
            if not isinstance(step.instruction, Copy) or not step.from_context:
                continue
            names = [source.rpartition("/")[2] for source in step.sources if re.search(_ARCHIVE, source)]
            for later in stage.steps[at + 1 :]:
                unpacked = [
                    name
                    for command in later.commands
                    if command.program == "tar" and any("x" in word.lstrip("-") for word in command.words[1:2])
                    for name in names
                    if any(word.rpartition("/")[2] == name for word in command.words)
                ]
                if unpacked:
                    yield Found(
                        step.instruction,
                        f"{unpacked[0]} is in this layer, and once more, unpacked, in that of line {later.line}",
                        "ADD unpacks a local archive and leaves the archive itself out",
                    )
                    break


RULE = Rule("ArchiveUnpackedByRun", "warning", "a local archive is unpacked by ADD", _check, hadolint=("DL3010",))
