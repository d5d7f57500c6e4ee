"""Running the rules over a file, less those that are skipped, and mending what they found. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Severity
from lamina.dockerfile.directives import CheckOptions, parse_checks
from lamina.dockerfile.source import SPACE
from lamina.dockerfile.syntax import Dockerfile, Instruction
from lamina.lint.rule import Edit, Finding, Rule
from lamina.lint.subject import Subject

RANK: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}

_HADOLINT = r"hadolint\s+(?P<whole>global\s+)?ignore\s*=\s*(?P<names>[A-Za-z0-9_, ]+)"


class Choice(Struct, frozen=True):
    """Which rules run beyond what the file says: `skip` and `enable` hold names of rules, or `all`."""

    skip: frozenset[str] = frozenset()
    enable: frozenset[str] = frozenset()


_ALL = Choice()


class Checked(Struct, frozen=True):
    """The findings in the file's order. `strict` if the file says that warnings are errors (`error=true`)."""

    findings: tuple[Finding, ...]
    strict: bool


def check(subject: Subject, rules: Iterable[Rule], choice: Choice = _ALL) -> Checked:
    """Run the rules. Raises BuildFailure `dockerfile-bad-check` for a check directive that cannot be read."""
    options = options_of(subject.dockerfile)
    table = tuple(rules)
    codes = {code: rule.name for rule in table for code in rule.hadolint}
    skipped = choice.skip | frozenset(options.skip) | _global_ignores(subject.dockerfile, codes)
    enabled = choice.enable | frozenset(options.experimental)
    found: list[Finding] = []
    for rule in table:
        if "all" in skipped or rule.name in skipped:
            continue
        if not rule.on and not enabled & {"all", rule.name}:
            continue
        for one in rule.check(subject):
            if not _skipped_here(one.instruction, rule, codes):
                severity = one.severity or rule.severity
                if options.error and severity == "warning":
                    severity = "error"
                place = one.span or one.instruction.span
                found.append(Finding(rule.name, severity, one.message, place, one.hint, one.edits))
    found.sort(key=lambda one: (one.span.line, one.span.column, RANK[one.severity], one.rule, one.message))
    return Checked(tuple(dict.fromkeys(found)), options.error)


def options_of(dockerfile: Dockerfile) -> CheckOptions:
    """What `# check=…` at the top of the file says. Raises BuildFailure `dockerfile-bad-check`."""
    directive = next((one for one in dockerfile.directives if one.name == "check"), None)
    return parse_checks(directive.value, directive.span) if directive else CheckOptions()


def mended(text: str, findings: Sequence[Finding]) -> tuple[str, tuple[Finding, ...]]:
    """The text with the edits of the findings made, as far as they do not touch each other, and what was mended.

    The file's own line ends stay. A second round over the result mends what stood too close together.
    """
    # Only LF ends a line here, as for the parser: a lone form feed or U+2028 does not.
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    first = 1 if text.startswith("\ufeff") else 0
    taken: list[tuple[int, int]] = []
    changes: list[tuple[int, int, str]] = []
    done: list[Finding] = []
    for finding in findings:
        places = [(*_offsets(edit, starts, first, len(text)), edit.text) for edit in finding.edits]
        if not places or any(
            (start < end2 and start2 < end) or start == start2 for start, end, _ in places for start2, end2 in taken
        ):
            continue
        taken += [(start, end) for start, end, _ in places]
        changes += places
        done.append(finding)
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text, tuple(done)


def _offsets(edit: Edit, starts: Sequence[int], first: int, length: int) -> tuple[int, int]:
    span = edit.span

    def at(line: int, column: int) -> int:
        if line > len(starts):
            return length
        return starts[line - 1] + column - 1 + (first if line == 1 else 0)

    return at(span.line, span.column), at(span.end_line, span.end_column)


def _skipped_here(instruction: Instruction, rule: Rule, codes: dict[str, str]) -> bool:
    """Whether a comment right above the instruction takes the rule out for it."""
    if instruction.checks_skipped and {"all", rule.name} & set(instruction.checks_skipped):
        return True
    for comment in instruction.comment:
        match = re.match(_HADOLINT, comment) if comment.startswith("hadolint") else None
        if match and not match["whole"] and rule.name in {codes.get(name, name) for name in _names(match["names"])}:
            return True
    return False


def _global_ignores(dockerfile: Dockerfile, codes: dict[str, str]) -> frozenset[str]:
    """What `# hadolint global ignore=…` takes out of the whole file."""
    found: set[str] = set()
    for line in dockerfile.lines:
        if "hadolint" in line and line.lstrip(SPACE).startswith("#"):
            match = re.match(_HADOLINT, line.strip(SPACE).lstrip("# \t"))
            if match and match["whole"]:
                found.update(codes.get(name, name) for name in _names(match["names"]))
    return frozenset(found)


def _names(text: str) -> list[str]:
    return [name for name in re.split(r"[, ]+", text) if name]


def unknown_rules(names: Iterable[str], rules: Iterable[Rule]) -> BuildFailure | None:
    """A failure `usage-bad-arguments` about the first name that is no rule's."""
    known = {"all", *(rule.name for rule in rules)}
    for name in names:
        if name not in known:
            from lamina.dockerfile.spelling import meant

            hint = meant(name, known) or "`lamina check --list` lists the rules"
            return BuildFailure("usage-bad-arguments", f"there is no rule {name}", hint=hint)
    return None
