"""ExposeProtoCasing: the protocol of EXPOSE is written in lower case. Rule: BuildKit's build checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.dockerfile.syntax import Expose
from lamina.lint.places import only_place
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for step in subject.steps():
        one = step.instruction
        if not isinstance(one, Expose):
            continue
        for port in one.ports:
            number, slash, protocol = port.rpartition("/")
            if slash and protocol != protocol.lower() and "$" not in protocol:
                place = only_place(subject.dockerfile, one, rf"(?<!\S){re.escape(port)}(?!\S)")
                edits = (Edit(place, f"{number}/{protocol.lower()}"),) if place else ()
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                yield Found(one, message, edits=edits)


RULE = Rule("ExposeProtoCasing", "warning", "EXPOSE has its protocol in lower case", _check, buildkit=True)
