"""What makes a build come out the same on another machine: `--modes`, `--source-date-epoch`, `--reproducible`, and the
keys of `lamina.toml` with these names, settled into one value."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lamina.context.modes import Modes
from lamina.diagnostics import BuildFailure
from lamina.workshop.config import Configuration

Epoch = int | Literal["auto"]

#: The time of files and steps of a reproducible build that is given none: 2 January 1980, UTC. A zip archive holds no
#: time before 1980, and this is 1980 in all time zones.
FIXED = 315_619_200


class Sameness(Struct, frozen=True):
    """`epoch` is the image's time; `auto` is that of the commit, and with `lenient` `FIXED` where there is no
    repository. `times`: no file of a layer is later, and steps are offered it; None if files keep their times."""

    modes: Modes
    epoch: Epoch | None
    times: int | None
    lenient: bool

    def image_time(self, directory: Path) -> int | None:
        """The image's time in seconds since 1970. Raises BuildFailure `context-no-commit-time`."""
        if self.epoch != "auto":
            return self.epoch
        real = directory.resolve()
        if self.lenient and not any((place / ".git").exists() for place in (real, *real.parents)):
            return FIXED
        from lamina.context.gitlog import commit_time

        return commit_time(directory)


def settle(
    configuration: Configuration, modes: Modes | None, epoch: Epoch | None, reproducible: bool | None
) -> Sameness:
    """What is given on the command line wins over `lamina.toml`. Raises BuildFailure `usage-source-date-epoch` for a
    reproducible build with a time to come: its files would have others."""
    modes = modes or configuration.modes
    epoch = epoch if epoch is not None else configuration.source_date_epoch
    if not (configuration.reproducible if reproducible is None else reproducible):
        return Sameness(modes or "keep", epoch, None, False)
    times = epoch if isinstance(epoch, int) else FIXED
    if times > time.time():
        raise BuildFailure(
            "usage-source-date-epoch",
            f"the time {times} of a reproducible build is yet to come",
            hint="give one that has been, or leave --source-date-epoch out",
        )
    return Sameness(modes or "git", epoch if epoch is not None else "auto", times, epoch is None)
