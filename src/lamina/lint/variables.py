"""The variables of a stage while it is walked by somebody who does not have the base image. Pure, and never fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.words import expand, expand_heredoc
from lamina.oci.config import ImageConfig

#: Images of well-known names that set no variable but PATH: what a file uses without setting it is set by nobody.
_PLAIN = frozenset(
    [
        "alpine",
        "busybox",
        "debian",
        "ubuntu",
        "fedora",
        "centos",
        "rockylinux",
        "almalinux",
        "amazonlinux",
        "archlinux",
        "scratch",
        "clearlinux",
    ]
)
#: Beyond so many names a misspelt one is not looked for.
_MANY = 300
_NEAR = 2


class Variables:
    """Values by name. `complete`: there are no others, so that a name that is not here has no value at all."""

    def __init__(self, values: Mapping[str, str], escape: str, complete: bool) -> None:
        self.values = dict(values)
        self.declared: set[str] = set()
        self.escape = escape
        self.complete = complete

    def copy(self) -> Variables:
        """For a stage that stands on this one."""
        other = Variables(self.values, self.escape, self.complete)
        other.declared = set(self.declared)
        return other

    def expand(self, text: str, span: Span, unset: set[str], *, heredoc: bool = False) -> str:
        """The text with what is known put in; what cannot be expanded stays as it is. A name that the base image may
        have stays too."""
        if "$" not in text and self.escape not in text and '"' not in text and "'" not in text:
            return text
        missing: set[str] = set()
        expander = expand_heredoc if heredoc else expand
        try:
            done = expander(text, self.values, escape=self.escape, span=span, on_unset=missing.add)
        except BuildFailure:
            return text
        missing -= self.declared
        unset |= missing
        return text if missing and not self.complete else done

    def reported(self, unset: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """The names that deserve a word, each with the one that was meant or empty. Where the base image may have set
        the variable, that is so only if it looks like another one's misspelling."""
        told = ((name, nearest(name, self.values)) for name in sorted(unset))
        return tuple((name, near) for name, near in told if near or self.complete)


def base_variables(image: str, known: Mapping[str, ImageConfig], escape: str) -> Variables:
    """The variables of a base image: those of its configuration if that is known, else PATH."""
    config = known.get(image)
    if config is not None and config.config is not None:
        values = dict(item.partition("=")[::2] for item in config.config.env)
        return Variables({"PATH": "", **values}, escape, complete=True)
    name = image.partition("@")[0].removeprefix("docker.io/").removeprefix("library/").partition(":")[0]
    return Variables({"PATH": ""}, escape, complete=name in _PLAIN)


def nearest(name: str, others: Iterable[str]) -> str:
    """The name that is at most two letters away, empty if there is none."""
    names = tuple(others)
    if len(names) > _MANY or len(name) < 3:
        return ""
    best, least = "", _NEAR + 1
    for other in names:
        if abs(len(other) - len(name)) < least and other != name and (far := _distance(name, other, least)) < least:
            best, least = other, far
    return best


def _distance(one: str, two: str, limit: int) -> int:
    """Levenshtein's distance, or `limit` if it is not below that."""
    above = list(range(len(two) + 1))
    for row, left in enumerate(one, 1):
        line = [row]
        for column, right in enumerate(two, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (left != right)))
        if min(line) >= limit:
            return limit
        above = line
    return above[-1]
