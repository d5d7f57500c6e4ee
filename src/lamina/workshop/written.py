"""Writing a file that somebody asked for: under its name when it is whole, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lamina.diagnostics import BuildFailure


@contextmanager
def written(dest: str, what: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well; `-` is standard output. `what` is what it will hold
    (`an archive`), for messages.

    Raises BuildFailure `usage-output` for a terminal, `image-output-failed` for a file that cannot be written.
    """
    if dest == "-":
        if sys.stdout.isatty():
            hint = "name a file, or redirect it: > file"
            raise BuildFailure("usage-output", f"refusing to write {what} to a terminal", hint=hint)
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(dest)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _keeps_its_place(path):
            with path.open("wb") as stream:
                yield stream
            return
        with draft.open("wb") as stream:
            yield stream
        draft.replace(path)
    except OSError as error:
        raise BuildFailure("image-output-failed", f"cannot write {dest}", cause=error.strerror) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _keeps_its_place(path: Path) -> bool:
    """Devices, pipes and links (`/dev/null`, `/dev/stdout`) are written to: a new file under their name would take
    them away from the whole machine."""
    return path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir())
