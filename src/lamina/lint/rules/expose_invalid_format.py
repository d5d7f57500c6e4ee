"""ExposeInvalidFormat: EXPOSE with an address or a port of the host. Rule: BuildKit's build checks."""

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
            if ":" in port and "$" not in port:
                place = only_place(subject.dockerfile, one, rf"(?<!\S){re.escape(port)}(?!\S)")
                inner = port.rpartition(":")[2]
                edits = (Edit(place, inner),) if place and inner else ()
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                yield Found(one, message, edits=edits)


RULE = Rule("ExposeInvalidFormat", "warning", "EXPOSE has ports of the container alone", _check, buildkit=True)
