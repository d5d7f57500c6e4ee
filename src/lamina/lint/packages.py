"""What system package managers do, as far as rules need it: installs, updates of the index, what they leave. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lamina.dockerfile.shellcommands import ShellCommand
from lamina.dockerfile.syntax import Arg, Env, Run
from lamina.lint.subject import Stage, Step, Subject

_INSTALL = frozenset({"install", "add", "in", "localinstall", "groupinstall", "reinstall"})
_MANAGERS = {
    "apt-get": "apt",
    "apt": "apt",
    "aptitude": "apt",
    "apk": "apk",
    "yum": "yum",
    "dnf": "dnf",
    "microdnf": "dnf",
    "zypper": "zypper",
}
#: Options of the managers that take the next word.
_VALUES = frozenset({"-o", "-t", "--target-release", "-c", "-X", "--repository", "-p", "--root", "--virtual", "-a"})


class Packages(Struct, frozen=True):
    """One call of a package manager. `action`: install, update (of the index alone) or clean."""

    manager: str
    action: str
    packages: tuple[str, ...]
    options: frozenset[str]


def packages_of(command: ShellCommand) -> Packages | None:
    """What a command does with system packages; None if nothing."""
    manager = _MANAGERS.get(command.program)
    if manager is None:
        return None
    plain: list[str] = []
    skip = False
    for word in command.words[1:]:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = (word in _VALUES and manager != "dnf") or (word == "-t" and manager == "apk")
        else:
            plain.append(word)
    options = frozenset(word.partition("=")[0] for word in command.words[1:] if word.startswith("-"))
    if not plain:
        return None
    if plain[0] in _INSTALL:
        return Packages(manager, "install", tuple(plain[1:]), options)
    if plain[0] in ("update", "refresh", "ref", "makecache", "check-update") and manager in ("apt", "apk"):
        return Packages(manager, "update", (), options)
    if plain[0] in ("clean", "cc", "autoclean"):
        return Packages(manager, "clean", tuple(plain[1:]), options)
    return None


def removed(commands: Sequence[ShellCommand]) -> tuple[str, ...]:
    """The paths that `rm` takes away, without a `/*` at the end."""
    found: list[str] = []
    for command in commands:
        if command.program == "rm":
            found += [_trimmed(word) for word in command.words[1:] if not word.startswith("-")]
        elif command.program == "find" and "-delete" in command.words:
            found += [_trimmed(word) for word in command.words[1:2]]
    return tuple(found)


def _trimmed(path: str) -> str:
    while path.endswith(("/*", "/", "/.")):
        path = path.removesuffix("/*").removesuffix("/.").rstrip("/")
    return path.replace("$HOME", "/root").replace("~", "/root", 1) if path.startswith(("~", "$HOME")) else path


def removes(commands: Sequence[ShellCommand], path: str) -> bool:
    """Whether a command line takes `path` away, or a directory above it."""
    return any(path == one or path.startswith(f"{one}/") for one in removed(commands) if one.count("/") > 1)


def mounted(step: Step, path: str) -> bool:
    """Whether a cache or a tmpfs is mounted at `path`, or above or below it, so that it is in no layer."""
    if not isinstance(step.instruction, Run):
        return False
    for flag in step.instruction.flags:
        if flag.name != "mount":
            continue
        fields = dict(part.partition("=")[::2] for part in (flag.value or "").split(","))
        target = (fields.get("target") or fields.get("dst") or fields.get("destination") or "").rstrip("/")
        # A path with a variable can be anywhere.
        near = "$" in target or path == target or path.startswith(f"{target}/") or target.startswith(f"{path}/")
        if fields.get("type") in ("cache", "tmpfs") and target and near:
            return True
    return False


def settings(subject: Subject, stage: Stage) -> frozenset[str]:
    """The names that the stage and those below it set by ENV or declare by ARG, and those that its base has."""
    names: set[str] = set()
    for step in subject.chain(stage):
        if isinstance(step.instruction, Env | Arg):
            names.update(pair.name for pair in step.instruction.pairs)
    known = subject.images.get(stage.base)
    if known is not None and known.config is not None:
        names.update(item.partition("=")[0] for item in known.config.env)
    return frozenset(names)
