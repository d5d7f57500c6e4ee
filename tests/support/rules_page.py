"""Writes the index of `docs/rules` and the table of hadolint's codes: `python -m tests.support.rules_page`."""

from __future__ import annotations

from pathlib import Path

from lamina.lint.rule import Rule
from lamina.lint.table import RULES

FOLDER = Path(__file__).parents[2] / "docs" / "rules"

_HEAD = """# The rules of `lamina check`

From the table that the code uses (`lamina.lint.table`); this page is written by `python -m tests.support.rules_page`.
How to call it, its forms of output and its exit status: [check](../formats/check.md). What hadolint calls them:
[hadolint](hadolint.md).

A rule that is `off` runs with `--enable RULE` or `# check=experimental=RULE`. One `with context` needs the build
context (`lamina check DIR`). `fix`: `--fix` mends what it finds, or some of it.

| rule | asks that | severity | | also |
|---|---|---|---|---|
"""

_HADOLINT = """# hadolint's rules here

Those of hadolint's rules that are about cache, layers, size and staleness, and those that BuildKit has as well, by the
names that they have here; written by `python -m tests.support.rules_page`. A comment `# hadolint ignore=DL3009` above
an instruction, or `# hadolint global ignore=DL3009` anywhere, counts for the rule that does its work here.

| hadolint | here | asks that |
|---|---|---|
"""

_REST = """
What is different:

- A rule about size looks at stages whose layers are shipped: the last one, one that no other stage uses, and those that
  they stand on. hadolint looks at all.
- A cache that is mounted where a tool keeps its downloads settles every such rule, whatever the tool.
- DL3008 and its like (pins) and DL3059 (consecutive RUNs) are off unless asked for.
- DL3010 speaks only where the archive is seen to be unpacked by a RUN; DL3046 from numbers of six digits on.

What hadolint has and this has not, because it is about neither cache nor layers, size or staleness: the style of
commands (DL1001, DL3001, DL3003, DL3004, DL3014, DL3020, DL3021, DL3027, DL3030, DL3034, DL3035, DL3038, DL3045,
DL3047, DL4001, DL4005, DL4006), users (DL3002, DL3066), registries (DL3026), label schemas (DL3048 to DL3056, DL3058),
HEALTHCHECK (DL3057), and ShellCheck's rules. What the parser and the planner refuse as errors is no rule: DL3011,
DL3022, DL3023, DL3043, DL3061. DL3044 (an ENV that refers to itself) is [UndefinedVar](undefined-var.md).
"""


def index() -> str:
    """The page that lists all rules."""
    return _HEAD + "".join(map(_row, RULES))


def hadolint() -> str:
    """The page of hadolint's codes."""
    codes = sorted(((code, rule) for rule in RULES for code in rule.hadolint), key=lambda pair: pair[0])
    return _HADOLINT + "".join(f"| {code} | {_link(rule)} | {rule.summary} |\n" for code, rule in codes) + _REST


def _row(rule: Rule) -> str:
    marks = [] if rule.on else ["off"]
    if rule.needs == "context":
        marks.append("with context")
    if "\n## Fix\n" in (FOLDER / f"{rule.page}.md").read_text(encoding="utf-8"):
        marks.append("fix")
    also = ", ".join([*(["BuildKit"] if rule.buildkit else []), *rule.hadolint])
    return f"| {_link(rule)} | {rule.summary} | {rule.severity} | {', '.join(marks)} | {also} |\n"


def _link(rule: Rule) -> str:
    return f"[{rule.name}]({rule.page}.md)"


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(index(), encoding="utf-8")
    (FOLDER / "hadolint.md").write_text(hadolint(), encoding="utf-8")
