"""What `lamina context` prints: listings, reasons and weights in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.context.inspect import Reason, Usage
from lamina.diagnostics import Diagnostic
from lamina.dockerfile.source import printable, shown
from lamina.explain.context import Changed, Ignored, Match, Told
from lamina.explain.junk import Suggestion
from lamina.explain.readings import Reading, Taking
from lamina.keys.filetree import FileRecord
from lamina.report.words import columns, size


def visible(path: str) -> str:
    """A path that cannot confuse a terminal: control characters as escapes, bytes that are not UTF-8 replaced."""
    text = printable(path)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def count(files: int, total: int | None = None) -> str:
    """`1 file`, `12 files, 3.4kB`."""
    told = f"{files} file{'s' if files != 1 else ''}"
    return told if total is None else f"{told}, {size(total)}"


def entry_lines(records: Sequence[FileRecord]) -> list[str]:
    """One line an entry that is no directory, or an empty one: size and path."""
    full = {record.path.rpartition("/")[0] for record in records}
    return _table(
        (size(record.size) if record.kind == "file" else record.kind, _named(record))
        for record in records
        if record.kind != "dir" or record.path not in full
    )


def ignored_lines(entries: Sequence[Ignored]) -> list[str]:
    """One line an entry: size, path, and the rule that keeps it out."""
    return _table((size(one.size), visible(one.path) + "/" * one.is_dir, _rule(one)) for one in entries)


def reading_lines(reading: Reading) -> list[str]:
    """An instruction with what it selects."""
    lines = [f"{_place(reading)}  {shown(reading.text)}", f"  {count(reading.files, reading.size)}"]
    if reading.unknown:
        lines.append(f"  only the base image knows {', '.join(f'${name}' for name in reading.unknown)}")
    lines += [f"  {visible(source)} names nothing in the context" for source in reading.missing]
    return lines + [f"  {line}" for line in entry_lines(reading.entries)]


def reason_lines(
    asked: str, reason: Reason, told: Told, taken: Sequence[Taking] | None, would: Sequence[Taking]
) -> list[str]:
    """Why a path is in the context or not, and which instructions take it (None: not known) or would without the
    rules. `asked` is the path before links were followed."""
    lines = [f"{visible(asked)} leads to {visible(reason.path)}"] if asked != reason.path else []
    lines.append(f"{visible(reason.path) or '.'}: {_fate(reason, told)}")
    if told.link is not None:
        lines.append(f"  {visible(told.link)} is a symbolic link")
    if reason.cause:
        lines.append(f"  {reason.cause}")
    lines += _matches(told)
    if told.kept or told.hidden:
        lines.append(f"  below it: {count(told.kept)} in the context, {count(told.hidden)} kept out")
    lines += [f"  {_taken(one)}" for one in taken or ()]
    if taken == () and reason.fate == "included":
        lines.append("  no instruction takes it")
    lines += [f"  but for the rules, {_taken(one)}" for one in would]
    return lines


def heaviest(entries: Sequence[Usage], top: int) -> list[str]:
    """The biggest entries; a directory that holds little else than one of its entries gives way to that one."""
    by_path = {one.path: one for one in entries}
    inner: set[str] = set()
    for one in entries:
        parent = by_path.get(one.path.rpartition("/")[0])
        if one.path and parent is not None and one.size == parent.size:
            inner.add(parent.path)
    rows = [one for one in entries if one.path and one.size and one.path not in inner][:top]
    return _table((size(one.size), count(one.files) if one.is_dir else "", _entry(one)) for one in rows)


def share_lines(found: Sequence[Reading], commits: Sequence[int] | None) -> list[str]:
    """What each instruction takes, and how many commits changed something of it (None: not known)."""
    told = [""] * len(found) if commits is None else [f"{n} commit{'s' if n != 1 else ''}" for n in commits]
    return _table(
        (size(one.size), count(one.files), changed, f"{_place(one)}  {shown(one.text)}")
        for one, changed in zip(found, told, strict=True)
    )


def changed_lines(entries: Sequence[Changed]) -> list[str]:
    """One line a file: commits and path."""
    return _table((str(one.commits), visible(one.path)) for one in entries)


def suggestion_lines(entries: Sequence[Suggestion]) -> list[str]:
    """One line an ignore line: what it saves, and why."""
    return _table((one.pattern, count(one.files, one.size), f"{visible(one.example)}: {one.reason}") for one in entries)


def finding_lines(findings: Sequence[Diagnostic]) -> list[str]:
    """Two lines a finding: the rule's place and what it does, then what to do."""
    lines = []
    for one in findings:
        place = f"{one.span.file}:{one.span.line}: " if one.span else ""
        lines.append(f"{place}{visible(one.message)}")
        lines += [f"  hint: {visible(one.hint)}"] if one.hint else []
    return lines


def _fate(reason: Reason, told: Told) -> str:
    match reason.fate:
        case "excluded":
            gone = "" if told.kind else ", though nothing is seen there"
            return f"kept out by {_ruled(reason)}{gone}"
        case "missing":
            return "does not exist"
        case "unreadable":
            return "cannot be seen, as a directory cannot be read"
    if reason.rule is None:
        return "in the context: no rule speaks of it"
    if not reason.rule.negated:
        return f"in the context for what is brought back below it; {_ruled(reason)} keeps out the rest"
    return f"in the context: {_ruled(reason)} brings it back"


def _ruled(reason: Reason) -> str:
    rule = reason.rule
    return f"{shown(rule.pattern)} ({rule.span.file}:{rule.span.line})" if rule else "no rule"


def _matches(told: Told) -> list[str]:
    rows = []
    for place, one in enumerate(told.matches, 1):
        decides = "this last one decides" if place == len(told.matches) > 1 else ""
        rows.append(
            (f"{one.rule.span.file}:{one.rule.span.line}", shown(one.rule.pattern), _effect(one, told), decides)
        )
    return [f"  {line}" for line in _table(rows)]


def _effect(one: Match, told: Told) -> str:
    verb, back = ("brings", "back") if one.rule.negated else ("keeps", "out")
    return f"{verb} it {back}" if one.at == told.path else f"{verb} {back} {visible(one.at)}/ and all below it"


def _taken(one: Taking) -> str:
    part = "in part " if one.part else ""
    return f"{part}taken by {_place(one.reading)}  {shown(one.reading.text)}"


def _named(record: FileRecord) -> str:
    path = visible(record.path)
    if record.kind == "dir":
        return f"{path}/"
    return f"{path} -> {visible(record.target)}" if record.kind == "link" else path


def _entry(one: Usage) -> str:
    return visible(one.path) + "/" * one.is_dir


def _rule(one: Ignored) -> str:
    return f"{shown(one.rule.pattern)} ({one.rule.span.file}:{one.rule.span.line})" if one.rule else ""


def _place(one: Reading) -> str:
    return f"{one.span.file}:{one.span.line}"


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    words = list(rows)
    return columns(words, gap=2) if words else []
