"""UseraddLog: `useradd` with a high number writes a sparse log file, which a layer stores in full."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.places import behind, only_place
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject

#: From about here on the file is larger than 30 MB: lastlog has 292 bytes for each number up to the user's.
_HIGH = 100_000


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs(shipped=True):
        for command in step.commands:
            if command.program != "useradd" or {"-l", "--no-log-init"} & set(command.words):
                continue
            uid = _uid(command.words)
            if uid >= _HIGH:
                place = only_place(subject.dockerfile, step.instruction, r"\buseradd\b")
                edits = (Edit(behind(place), " --no-log-init"),) if place else ()
                yield Found(
                    step.instruction,
                    f"useradd makes a log file of {uid * 292 // 1_000_000} MB for user {uid}, nearly all of it empty",
                    "add --no-log-init",
                    edits=edits,
                )
                break


def _uid(words: tuple[str, ...]) -> int:
    for at, word in enumerate(words):
        value = words[at + 1] if word in ("-u", "--uid") and at + 1 < len(words) else word.partition("--uid=")[2]
        if value.isascii() and value.isdecimal() and len(value) < 12:
            return int(value)
    return 0


RULE = Rule("UseraddLog", "warning", "useradd with a high number makes no log", _check, hadolint=("DL3046",))
