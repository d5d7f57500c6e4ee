"""Writes `docs/causes.md` from the table of causes: `python -m tests.support.causes_page` in the project's root."""

from __future__ import annotations

from pathlib import Path

from lamina.explain.entry import Entry
from lamina.explain.taxonomy import ENTRIES
from lamina.report.explain import reason

PAGE = Path(__file__).parents[2] / "docs" / "causes.md"

_HEAD = """# Why a step is built again

Every cause that lamina can name, from the table that its code uses (`lamina.explain.taxonomy`; this page is written by
`python -m tests.support.causes_page`). `lamina plan` names the cause before a build, `lamina build` at its end, and
`lamina explain` afterwards. The names are those in `lamina explain --json`. What a key is made of:
[key.md](formats/key.md).

What is *no* cause: times of files, owners of files in the build context, comments and line breaks between instructions,
names of stages, the value of a secret, what a cache mount holds, another machine, another time zone.
"""


def page() -> str:
    """The whole page."""
    contents = "\n".join(f"- [{entry.title}](#{entry.name})" for entry in ENTRIES)
    return "\n".join([_HEAD, contents, *map(_section, ENTRIES)])


def _section(entry: Entry) -> str:
    avoids = entry.cure or "Nothing should: the result is meant to be another."
    example = "\n".join(f"    {line}" for line in entry.dockerfile.split("\n"))
    return f"""
<a id="{entry.name}"></a>
## {entry.title}

`{entry.name}`: {entry.meaning}

{example}

Example: {entry.edit}. Lamina says:

    ran because {reason(entry.cause)}

**What avoids it:** {avoids}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
