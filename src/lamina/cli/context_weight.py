"""`lamina context du`: what a context weighs, what changes in it, and what had better stay out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamina.context.gitlog import changes
from lamina.context.inspect import Look, usage
from lamina.diagnostics import BuildFailure
from lamina.explain.context import ignored, most_changing
from lamina.explain.ignore_traps import traps
from lamina.explain.junk import suggestions
from lamina.explain.readings import Reading
from lamina.report import context as report
from lamina.report.context_json import instruction


def weigh(found: Look, directory: Path, takes: Sequence[Reading] | None, top: int) -> tuple[dict[str, Any], list[str]]:
    """The fields of the JSON answer, and the lines to print.

    `takes` are the instructions that read the context (None: not known); `top` is how many entries to list. Raises
    BuildFailure `usage-bad-arguments`.
    """
    if top < 1:
        raise BuildFailure("usage-bad-arguments", f"--top {top}: write a number of at least 1")
    kept, everything = found.kept.records, found.everything.records
    history = changes(directory)
    copies = takes or ()
    commits = None if history.unknown else [_touching(history.commits, one) for one in copies]
    changing = most_changing(history.commits, kept, top)
    weights = usage(kept)
    whole = next(one for one in weights if not one.path)
    hidden = ignored(everything, kept, found.rules)
    out = sum(one.files for one in hidden), sum(one.size for one in hidden)
    junk = suggestions(kept, found.rules, [path for one in copies for path in one.named])
    findings = traps(everything, kept, found.rules)
    document: dict[str, Any] = {
        "files": whole.files,
        "size": whole.size,
        "ignored": {"files": out[0], "size": out[1]},
        "largest": [one for one in weights if one.path and one.size][:top],
        "copies": [
            {**instruction(one), "commits": None if commits is None else commits[at]} for at, one in enumerate(copies)
        ]
        if takes is not None
        else None,
        "history": {"commits": len(history.commits), "unknown": history.unknown, "changed": changing},
        "suggestions": junk,
        "findings": findings,
    }
    past = f"what changes most, in {len(history.commits)} commits"
    return document, _sections(
        (
            f"in the context: {report.count(whole.files, whole.size)}"
            + (f"; kept out: {report.count(*out)}" if hidden else ""),
            report.heaviest(weights, top),
        ),
        ("what each instruction takes", report.share_lines(copies, commits)),
        (past, report.changed_lines(changing)) if changing else ("what changes most", [history.unknown or "nothing"]),
        ("ignore lines that would make the context smaller", report.suggestion_lines(junk)),
        ("ignore rules that deserve a look", report.finding_lines(findings)),
    )


def _touching(commits: Sequence[Sequence[str]], reading: Reading) -> int:
    """How many commits changed something that an instruction takes, of what is there still."""
    paths = {entry.path for entry in reading.entries}
    return sum(not paths.isdisjoint(changed) for changed in commits)


def _sections(*sections: tuple[str, Sequence[str]]) -> list[str]:
    """Titles with their lines below, a blank line between; what is empty is left out but the first."""
    lines: list[str] = []
    for title, rows in sections:
        if rows or not lines:
            lines += ["", title, *(f"  {row}" for row in rows)]
    return lines[1:]
