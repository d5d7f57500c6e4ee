"""What an install is, and how its words are read. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Install(Struct, frozen=True):
    """One install. `reads` are the names (or patterns) that it reads below its working directory, in the order in which
    one writes them in a COPY; `locks` those of them that pin versions. `frozen`: it installs what the lock file says or
    fails; `strictly` is how to ask for that. `project`: it reads the project's own code too; `alone` is how to install
    the dependencies without it, empty if there is no such way. `packages` are named in the command itself, `caches`
    where it keeps what it has downloaded. `files` are those that the command itself names, such as with `-r`."""

    tool: str
    reads: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    frozen: bool = True
    strictly: str = ""
    project: bool = False
    alone: str = ""
    packages: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def plain_words(words: Sequence[str], values: frozenset[str] = frozenset()) -> list[str]:
    """The words that are no options and no values of options; `values` are the options that have one."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in values
        else:
            found.append(word)
    return found


def option_names(words: Sequence[str]) -> set[str]:
    """The names of options."""
    return {word.partition("=")[0] for word in words if word.startswith("-")}


def values_of(words: Sequence[str], *names: str) -> list[str]:
    """The values of an option that may stand several times: `-r x`, `-rx`, `--requirement=x`."""
    found: list[str] = []
    for at, word in enumerate(words):
        for name in names:
            if word == name:
                found += words[at + 1 : at + 2]
            elif word.startswith(f"{name}="):
                found.append(word[len(name) + 1 :])
            elif len(name) == 2 and word.startswith(name) and len(word) > 2 and not word.startswith("--"):
                found.append(word[2:])
    return found
