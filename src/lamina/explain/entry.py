"""One row of the table of causes, and the causes that its examples show."""

from __future__ import annotations

from msgspec import Struct

from lamina.keys.decide import MissCause


class Entry(Struct, frozen=True):
    """One cause. `cause` is what lamina finds in the example, whose lines are `dockerfile`; `edit` says what was done
    between two builds. `cure` is what would have avoided it, one sentence or two, empty where nothing should."""

    name: str
    title: str
    meaning: str
    dockerfile: str
    edit: str
    cause: MissCause
    cure: str = ""
