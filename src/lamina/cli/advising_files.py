"""Putting a new text in the place of a file, at once: whoever looks sees the old one or the new one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile

from lamina.diagnostics import BuildFailure


def replace_file(path: Path, text: str) -> None:
    """Keeps the file's mode; follows a link to it. Raises BuildFailure `usage-not-written`."""
    target = Path(os.path.realpath(path))
    try:
        with NamedTemporaryFile("wb", dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        shutil.copymode(target, file.name)
        os.replace(file.name, target)
    except OSError as error:
        raise BuildFailure("usage-not-written", f"{path} cannot be written", cause=error.strerror) from None
