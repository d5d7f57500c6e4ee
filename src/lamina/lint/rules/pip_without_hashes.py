"""PipWithoutHashes: pip installs from a file without checking hashes. A note: few projects do, and it is the lock that
pip has."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs():
        for install in step.installs:
            if install.tool in ("pip", "uv") and install.files and not install.frozen and not install.locks:
                yield Found(
                    step.instruction,
                    f"pip takes {install.files[0]} without hashes: what it installs may be another file tomorrow",
                    "`pip-compile --generate-hashes` or `uv export` writes them, and --require-hashes asks for them",
                )
                break


RULE = Rule("PipWithoutHashes", "info", "pip checks the hashes of what it installs", _check)
