"""What building both orders has shown, as values."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Verdict = Literal["proved", "differs", "not tried"]


class Differing(Struct, frozen=True):
    """A path of the image (or a part of its configuration) that is not the same; `noise` says why that was to be
    expected, empty if it was not."""

    path: str
    what: str
    noise: str = ""


class BuiltCommit(Struct, frozen=True):
    """A commit built in both orders. `seconds` are what the steps that ran took in the old order and in the new one:
    None for the first commit, where everything runs, and where one could not be built, which `failed` tells. `same` is
    how many paths the two images have in common without a difference."""

    id: str
    subject: str
    seconds: tuple[float, float] | None
    same: int = 0
    differing: tuple[Differing, ...] = ()
    failed: str = ""

    @property
    def strange(self) -> tuple[Differing, ...]:
        """The differences that nothing explains."""
        return tuple(one for one in self.differing if not one.noise)


class Proof(Struct, frozen=True):
    """`proved`: all images that were built are the same, but for explained noise; `differs`: some are not; `not tried`:
    `why` says what kept it from being tried."""

    verdict: Verdict
    commits: tuple[BuiltCommit, ...] = ()
    why: str = ""

    @property
    def seconds(self) -> tuple[float, float]:
        """What all rebuilds took in the old order and in the new one."""
        known = [commit.seconds for commit in self.commits if commit.seconds is not None]
        return sum(old for old, _ in known), sum(new for _, new in known)
