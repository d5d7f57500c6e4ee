"""The way of a build that has nothing to do: what the last one said is said again, if nothing has changed since.

A fully cached build leaves a memo (`remember`), and another one for the plans that ask for the same. A command line of
the same words is answered from it without the engine, after a walk over the context by stat alone and a look into the
store's index. Whatever is in doubt is left to the ordinary way. A replay writes nothing: no build record, no log, no
time of last use, which is why a memo counts for a day only. It imports next to nothing, because the imports are what a
build with nothing to do spends its time on.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import sys
import time
from _sqlite3 import Connection, connect  # without `sqlite3`'s converters of dates, which are most of its import

from lamina import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from typing import Any, TextIO

#: Seconds for which a memo counts: what is used daily must look used to `cache prune --older-than`.
LIFETIME = 86_400
_MAX_BYTES = 64 << 20
#: Options that leave a build as it is but for its result's name and place; all take a value.
_VALUED = frozenset(
    (
        *("-t", "--tag", "-f", "--file", "--build-arg", "--target", "--platform", "--label", "--network"),
        *("--progress", "--root", "--jobs", "--ca-certs", "--runtime", "--modes"),
    )
)
_FLAGS = frozenset(("-q", "--quiet", "--observe", "--no-observe"))  # what is cached anyway is not observed
#: Those of these options that `lamina plan` has too, less --root, by their long names.
_PLANNED = {
    name: name if name.startswith("--") else "--file"
    for name in ("-f", "--file", "--build-arg", "--target", "--platform", "--network", "--modes")
}
_PLAN_VALUED = frozenset((*_PLANNED, "--root", "--budget"))
_PLAN_FLAGS = frozenset(("--json", "--observe", "--no-observe"))

#: What is asked of the index when a memo is written and again before it is used; the answers must be equal.
QUERIES = {
    "base": "SELECT image, manifest FROM tags JOIN images ON id = image WHERE name = ? AND tags.platform = ?",
    "tag": "SELECT image, platform FROM tags WHERE name = ? ORDER BY platform",
    "image": "SELECT platform, manifest FROM images WHERE id = ?",
    "blob": "SELECT size FROM blobs WHERE digest = ?",
    # All records that a look-up would see: a newer one would be used instead.
    "records": 'SELECT id, result, "check" FROM records WHERE key = ?1 OR content_key = ?1 ORDER BY id DESC',
    "snapshot": 'SELECT parent, layer, "check" FROM snapshots WHERE chain = ?',
}


def replay(command: str, words: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Answer `lamina COMMAND WORDS`, a build or a plan, from its memo; None if there is none that still holds. Returns
    the exit status."""
    started = time.monotonic()
    try:
        line = qualify_plan(words, environment) if command == "plan" else qualify(words, environment)
        if line is None:
            return None
        key, root, brief = line
        memo = load(root, key, time.time_ns())
        if memo is None or not holds(memo, root):
            return None
        if command == "plan":
            stream, text = sys.stdout, str(memo["json"]) if brief else _plan(memo)
        else:
            stream, text = (sys.stdout, str(memo["image"])) if brief else (sys.stderr, _answer(memo, started))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except Exception:  # whatever is wrong with a shortcut, the ordinary way knows what to say about it
        return None
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:  # nothing was written yet
        return None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is left is not tried again at the end
        return 141
    return 0


def qualify(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str, bool] | None:
    """The memo key of a build's command line, the store's real path, and whether it is `--quiet`; None if the command
    line must take the ordinary way whatever happened before.

    The memo is found by the words themselves, so this reads no more of them than it must.
    """
    found = _options(words, _VALUED, _FLAGS)
    if found is None:
        return None
    options, _ = found
    progress = _last(options, "--progress") or environment.get("BUILDKIT_PROGRESS") or "auto"
    quiet = any(name in ("-q", "--quiet") for name, _ in options)
    if progress not in ("auto", "plain") or (not quiet and progress == "auto" and sys.stderr.isatty()):
        return None
    return *_key(list(words), _last(options, "--root"), environment), quiet


def qualify_plan(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str, bool] | None:
    """As `qualify`, of a plan's command line, and whether it is `--json`."""
    found = _options(words, _PLAN_VALUED, _PLAN_FLAGS)
    # No budget is too small for a plan in which nothing runs; what is none has an error.
    if found is None or not all(_is_time(value) for name, value in found[0] if name == "--budget"):
        return None
    return *_plan_key(found, environment), any(name == "--json" for name, _ in found[0])


def plan_key(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The memo key of the plans that foretell the build with these words; None as for `qualify`."""
    found = _options(words, _VALUED, _FLAGS)
    return None if found is None else _plan_key(found, environment)[0]


#: The options in the order of the words, with their values ("" for a flag), and the context.
_Read = tuple[list[tuple[str, str]], str]


def _options(words: Sequence[str], valued: Container[str], flags: Container[str]) -> _Read | None:
    """What a command line says; None if it has more in it than these options and a directory of this machine."""
    options: list[tuple[str, str]] = []
    contexts: list[str] = []
    platforms = 0
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in flags:
            options.append((word, ""))
            continue
        if not word.startswith("-"):
            contexts.append(word)
            if not word or "://" in word or "@" in word or word.startswith("github.com/"):
                return None  # what lies elsewhere changes unseen
            continue
        if name not in valued or (equals and not name.startswith("--")):
            return None
        if not equals:
            value = next(rest, "-")
        if value.startswith("-") or (name == "--build-arg" and "=" not in value):
            return None
        platforms += value.count(",") + 1 if name == "--platform" else 0
        options.append((name, value))
    return None if len(contexts) > 1 or platforms > 1 else (options, contexts[0] if contexts else ".")


def _last(options: Iterable[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in reversed([*options]) if name == wanted), "")


def _plan_key(read: _Read, environment: Mapping[str, str]) -> tuple[str, str]:
    options, context = read
    # Only options that may be given more than once depend on their order, and among themselves.
    asked = sorted(((_PLANNED[name], value) for name, value in options if name in _PLANNED), key=lambda pair: pair[0])
    return _key(["plan", context, asked], _last(options, "--root"), environment)


def _key(line: list[Any], given: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The memo key of a command line, and the store's real path; `given` is the value of --root."""
    root = os.path.realpath(place(given, environment))
    # Where the user's own file is looked for; and the time that an image bears.
    settings = tuple(map(environment.get, ("XDG_CONFIG_HOME", "HOME", "SOURCE_DATE_EPOCH")))
    parts = (__version__, line, os.getcwd(), os.geteuid(), os.uname().machine, root, settings)
    return hashlib.sha256(repr(parts).encode()).hexdigest(), root


def _is_time(text: str) -> bool:
    """Whether --budget can be this; not all that it can be."""
    number = text[:-1] if text[-1:] in ("s", "m", "h") else text
    return number.isascii() and number.isdigit()


def place(given: str, environment: Mapping[str, str]) -> str:
    """Where the store is: the rule of `options.store_root`."""
    chosen = given or environment.get("LAMINA_ROOT")
    if chosen:
        return chosen
    if os.geteuid() == 0:
        return "/var/lib/lamina"
    return os.path.join(environment.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "lamina")


def memo_path(root: str, key: str) -> str:
    return os.path.join(root, "unchanged", key)


def load(root: str, key: str, now: int) -> dict[str, Any] | None:
    """A memo that is whole, ours, and not from the future; `now` in nanoseconds since the epoch.

    The first line of the file is the SHA-256 of what follows, which is marshalled: `json` would import `re`, and that
    takes longer than the rest. Only what this user wrote is read. Raises OSError, ValueError, EOFError.
    """
    descriptor = os.open(memo_path(root, key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        private = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not private or not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return None
        checksum, _, data = file.read().partition(b"\n")
    if hashlib.sha256(data).hexdigest().encode() != checksum:
        return None
    memo: dict[str, Any] = marshal.loads(data)
    age = now - memo["written"]
    return memo if memo["key"] == key and 0 <= age < LIFETIME * 1_000_000_000 else None


def holds(memo: Mapping[str, Any], root: str) -> bool:
    """Whether all that a memo stands on is as it was: cheap things first, the walk over the context last."""
    return (
        memo["boot"] == boot_id()
        and memo["format"] == read_text(os.path.join(root, "format"))
        and memo["directory"] == os.path.realpath(memo["context"])
        and os.access(os.path.join(memo["directory"], "."), os.R_OK)
        and all(known == identity(path) for path, known in memo["files"])
        and _store_holds(memo, root)
        and memo["fingerprint"] == fingerprint(memo["directory"], memo["visited"], None)
    )


def _store_holds(memo: Mapping[str, Any], root: str) -> bool:
    for name, size in memo["blobs"]:
        status = os.stat(os.path.join(root, "blobs", "sha256", name))
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
    for name in memo["layers"]:
        if not stat.S_ISDIR(os.stat(os.path.join(root, "layers", name)).st_mode):
            return False
    index = connect(f"file:{_quoted(os.path.join(root, 'index.db'))}?mode=ro", uri=True, timeout=1.0)
    try:
        return all(ask(index, name, question) == answer for name, question, answer in memo["rows"])
    finally:
        index.close()


def ask(index: Connection, name: str, question: Sequence[str]) -> list[list[Any]]:
    """The rows of one of `QUERIES`. Raises sqlite3.Error."""
    return [list(row) for row in index.execute(QUERIES[name], question)]


def identity(path: str) -> list[Any] | None:
    """What says that a file is still the one that was read; None if there is none. Links are followed, and where they
    lead counts too. Raises OSError."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return [os.path.realpath(path), *_numbers(status)]


def fingerprint(directory: str, visited: Iterable[str], limit: int | None) -> str | None:
    """A hash over all that stat says of these directories (relative to `directory`) and of the entries in them.

    None as soon as something was changed at `limit` (nanoseconds since the epoch) or later. Raises OSError.

    A directory counts as an entry by its name alone: either it is one of `visited` itself, or the ignore rules keep it
    out with all that is below it, and then its times (those of `.git`, say) mean nothing.
    """
    state = hashlib.sha256()
    for name in sorted(visited):
        path = os.path.join(directory, name) if name else directory
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            own = _numbers(os.fstat(descriptor))
            folders: list[str] = []
            found = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    s = entry.stat(follow_symlinks=False)  # no call of `_numbers`: a large context is all in this loop
                    found.append((entry.name, s.st_dev, s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
        finally:
            os.close(descriptor)
        if limit is not None and (max(own[-2:]) >= limit or any(max(one[-2:]) >= limit for one in found)):
            return None
        state.update(repr((name, own, sorted(folders), sorted(found))).encode())
    return state.hexdigest()


def _numbers(s: os.stat_result) -> tuple[int, int, int, int, int, int]:
    """Device, inode, mode, size, mtime, ctime: the order of `fingerprint`."""
    return s.st_dev, s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def boot_id() -> str:
    """The kernel's id of this boot. Raises OSError."""
    return read_text("/proc/sys/kernel/random/boot_id")


def read_text(path: str) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), encoding="utf-8") as file:
        return file.read()


def _quoted(path: str) -> str:
    """A path as part of a URI; the import of `urllib` would cost as much as all else here."""
    safe = b"/-_.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in os.fsencode(path))


def _answer(memo: Mapping[str, Any], started: float) -> str:
    summary = memo["summary"].replace(", 0.0s", f", {time.monotonic() - started:.1f}s", 1)
    return "\n".join([memo["progress"], *_table(memo, sys.stderr), "", summary, f"image {memo['image']}"])


def _plan(memo: Mapping[str, Any]) -> str:
    return "\n".join([*_table(memo, sys.stdout), "", memo["told"]])


def _table(memo: Mapping[str, Any], stream: TextIO) -> list[str]:
    """The lines of the table, as wide as where they go."""
    width = 120
    if stream.isatty():
        from shutil import get_terminal_size

        width = get_terminal_size((120, 24)).columns
    return [row if len(row) <= width else row[: width - 1] + "…" for row in memo["table"]]
