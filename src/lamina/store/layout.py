"""Where things are below the root, and opening it: format check, creation, clear errors."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.store.failures import explained, from_os_error

#: The number in the file `format`. It rises when an older lamina could damage or misread what is there.
FORMAT = 3

_DIRECTORIES = ("blobs", "blobs/sha256", "layers", "facts", "tmp", "locks", "logs", "mounts")
#: Made when they are first needed. `contexts` and `unchanged` are memories of the command: stat caches, and builds that
#: found everything cached.
_LATER = ("cachemounts", "contexts", "downloads", "looks", "seen", "unchanged")
_OURS = frozenset({"format", "limit", "lost+found", "reserve", *_DIRECTORIES, *_LATER})


class Layout:
    """The paths of one store. Plain attributes: they are read on the hot path."""

    __slots__ = (
        "blobs",
        "cache_mounts",
        "downloads",
        "facts",
        "format",
        "index",
        "layers",
        "limit",
        "locks",
        "logs",
        "looks",
        "mounts",
        "ready",
        "reserve",
        "root",
        "tmp",
    )

    def __init__(self, root: Path) -> None:
        self.root = root
        #: Whether the store was there, and of this format, when it was opened.
        self.ready = False
        self.format = root / "format"
        self.index = root / "index.db"
        self.reserve = root / "reserve"
        self.limit = root / "limit"
        self.blobs = root / "blobs" / "sha256"
        self.layers = root / "layers"
        self.facts = root / "facts"
        self.tmp = root / "tmp"
        self.locks = root / "locks"
        self.logs = root / "logs"
        self.mounts = root / "mounts"
        self.cache_mounts = root / "cachemounts"
        self.downloads = root / "downloads"
        self.looks = root / "looks"

    def layer(self, number: int) -> Path:
        """The directory of layer `number`. Names are base 36 because overlayfs takes its list of layers in one page."""
        return self.layers / base36(number)


def base36(number: int) -> str:
    """`number` (0 or more) in digits and lower case letters."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
        if not number:
            return digits


def open_layout(root: Path) -> Layout:
    """The layout of the store at `root`. Where there is none, its directories are made; `mark_ready` ends that.

    Raises BuildFailure: `store-newer-format`, `store-not-a-directory`, `store-not-a-store`, `store-read-only`,
    `store-permission`, `store-full`.
    """
    layout = Layout(Path(os.path.abspath(root)))
    layout.ready = _is_ready(layout)
    if not layout.ready:
        _create(layout)
    elif not os.access(layout.root, os.W_OK):
        with explained(layout.root):
            read_only = bool(os.statvfs(layout.root).f_flag & os.ST_RDONLY)
        raise from_os_error(OSError(errno.EROFS if read_only else errno.EACCES, "not writable"), layout.root)
    return layout


def mark_ready(layout: Layout) -> None:
    """Write `format`: from here on the directory is a store. Done last, so that half a creation is done again."""
    with explained(layout.root):
        draft = layout.root / f"format.{os.getpid()}"
        draft.write_text(f"{FORMAT}\n")
        draft.rename(layout.format)


def _is_ready(layout: Layout) -> bool:
    """Whether the store is there and of this format. An older one is brought up before it is used; its file `format`
    stays meanwhile and is replaced last, so that no older lamina takes half a store for one that it is to make."""
    try:
        text = layout.format.read_text()
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise _not_a_directory(layout.root) from error
    except OSError as error:
        raise from_os_error(error, layout.root) from error
    except UnicodeDecodeError:
        text = ""
    if not text.strip().isdecimal():
        raise BuildFailure(
            "store-not-a-store",
            f"the file {layout.format} does not hold a format number",
            hint="choose another place with --root or $LAMINA_ROOT",
        )
    found = int(text)
    if found > FORMAT:
        raise BuildFailure(
            "store-newer-format",
            f"the store at {layout.root} has format {found}; this lamina knows formats up to {FORMAT}",
            hint="update lamina, or use another store with --root or $LAMINA_ROOT",
        )
    return found == FORMAT


def _create(layout: Layout) -> None:
    with explained(layout.root):
        try:
            layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _not_a_directory(layout.root) from error
        strangers = sorted(name for name in os.listdir(layout.root) if not _is_ours(name))
        if strangers:
            raise BuildFailure(
                "store-not-a-store",
                f"{layout.root} is not a lamina store and holds other files ({', '.join(strangers[:3])})",
                hint="choose an empty or new directory with --root or $LAMINA_ROOT",
            )
        for name in _DIRECTORIES:
            (layout.root / name).mkdir(exist_ok=True)


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(("format.", "index.db"))


def _not_a_directory(root: Path) -> BuildFailure:
    return BuildFailure(
        "store-not-a-directory",
        f"the store's place {root} is not a directory",
        hint="choose another place with --root or $LAMINA_ROOT",
    )


class FileLock:
    """An flock on `path`, held until `close` or the death of the process. Each object is its own holder, so it
    excludes threads of one process as well as other processes."""

    def __init__(self, path: Path, *, shared: bool = False, wait: bool = True) -> None:
        """Raises BlockingIOError if `wait` is False and another holds it; OSError if `path` cannot be opened."""
        self._file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(shared, wait)
        except BaseException:
            self.close()
            raise

    def _lock(self, shared: bool, wait: bool) -> None:
        fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))

    def change(self, *, shared: bool) -> None:
        """Become shared or exclusive without waiting. Raises BlockingIOError and is then shared again."""
        try:
            self._lock(shared, wait=False)
        except BlockingIOError:
            self._lock(shared=True, wait=True)
            raise

    @property
    def inode(self) -> int:
        return os.fstat(self._file).st_ino

    def close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1
