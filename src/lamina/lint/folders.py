"""Code, most often a folder, that is copied above an install which reads other files and nothing of it. Pure.

Quiet wherever the install could need what is copied: manifests or their workspaces in the folder, local paths, scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from lamina.dockerfile.shellcommands import ShellCommand
from lamina.dockerfile.source import shown
from lamina.dockerfile.syntax import Run
from lamina.lint.copies import RUN_BY_INSTALLS, is_gem, is_whole, landing, named_further, reads
from lamina.lint.packages import packages_of, settings
from lamina.lint.rule import Found
from lamina.lint.subject import Stage, Step, Subject
from lamina.plan.install_words import Install
from lamina.plan.installs import TOLD, install_of
from lamina.plan.scope import normal_path

#: Folders that hold code and no manifests, whoever names them so.
_CODE = frozenset(
    [
        *("src", "app", "source", "cmd", "internal", "views", "pages", "components", "test", "tests", "docs"),
        *("templates", "static", "public", "resources", "assets", "styles"),
    ]
)
#: Those that an install may look into, or run.
_ASKED = frozenset(
    [
        *("scripts", "script", "bin", "tools", "hack", "hooks", "prisma", "patches", "vendor", "third_party", "wheels"),
        *("packages", "modules", "crates", "libs", "lib", "deps", "plugins", "buildSrc", "gradle", "config", "docker"),
    ]
)
_CODE_FILE = r"\.(?:py|pyi|[cm]?jsx?|[cm]?tsx?|vue|svelte|rb|erb|go|rs|java|kt|php|cs|exs?|html|css|scss)\Z"
#: Tools whose members have manifests in any folder, so that its name says nothing.
_MEMBERS = {"dotnet": frozenset[str](), "gradle": frozenset(["src"]), "maven": frozenset(["src"])}
#: What makes a Python project that `-e .` in a list could name.
_PROJECT = frozenset({"setup.py", "setup.cfg", "pyproject.toml"})
#: Where files are copied to that package managers and their keys read, or that are programs.
_SYSTEM = r"/(?:(?:etc|usr/(?:local/|share/|bin|lib)|root|tmp|var|opt/.*/bin)\b.*)?\Z"
#: What may stand in a RUN between without making anything that the install reads.
_BETWEEN = frozenset(["mkdir", "useradd", "groupadd", "adduser", "addgroup", "chown", "chmod", "set", "true", "echo"])


class Above(Struct, frozen=True):
    """Copies of code above a RUN that installs without reading them; `install` is None for packages of the system or
    those that the command names. `next_to`: nothing runs between; `more`: the RUN also starts what may need the code.
    """

    copies: tuple[Step, ...]
    step: Step
    install: Install | None
    next_to: bool
    more: bool


def above(subject: Subject, stage: Stage) -> Iterator[Above]:
    """For each copy of a stage the first install that it stands above in vain; copies of one install together."""
    chain = subject.chain(stage)
    first = len(chain) - len(stage.steps)
    names = settings(subject, stage)
    if any(re.match(TOLD, name) for name in names):
        return
    groups: dict[int, list[tuple[Step, Install | None, bool]]] = {}
    for at, copy in enumerate(chain):
        if at >= first and copy.from_context and not any(map(_is_odd, copy.sources)):
            found = _first(subject, chain, at)
            if found is not None:
                place, install, next_to = found
                groups.setdefault(place, []).append((copy, install, next_to))
    for place, group in groups.items():
        copies = tuple(copy for copy, _, _ in group)
        step = chain[place]
        more = not all(one.program in (*_BETWEEN, "cd", "rm") or _installs(one) for one in step.commands)
        yield Above(copies, step, group[0][1], all(near for _, _, near in group), more)


def _installs(command: ShellCommand) -> bool:
    return install_of(command) is not None or packages_of(command) is not None


def _is_odd(source: str) -> bool:
    return is_whole(source) or "$" in source or "://" in source


def _first(subject: Subject, chain: Sequence[Step], at: int) -> tuple[int, Install | None, bool] | None:
    copy, next_to = chain[at], True
    before = {one.tool for step in chain[:at] for one in step.installs if one.reads}
    for place in range(at + 1, len(chain)):
        step = chain[place]
        if not isinstance(step.instruction, Run):
            if step.from_context and any(map(is_whole, step.sources)):
                return None
            continue
        install = next((one for one in step.installs if one.tool not in before), None)
        calls = [call for one in step.commands if (call := packages_of(one)) is not None]
        if install is not None and install.reads:
            ours = _reads_else(subject, chain[:place], copy, step, install)
            return (place, install, next_to) if ours else None
        packages = (install is not None and install.packages) or any(call.action == "install" for call in calls)
        if packages and not (install is not None and install.project):
            return (place, None, next_to) if _is_nothing(subject, copy, step) else None
        if not step.commands or not all(one.program in _BETWEEN or _installs(one) for one in step.commands):
            return None  # who knows what it makes of the files
        next_to = False
    return None


def _reads_else(subject: Subject, chain: Sequence[Step], copy: Step, step: Step, install: Install) -> bool:
    """Whether an install reads files that are copied apart, and surely nothing of a copy."""
    if install.project and not install.alone:
        return False
    others = [one for one in chain if one.from_context and one is not copy]
    named = [source for one in others for source in one.sources if not source.endswith("/")]
    named += [source for flag in step.instruction.flags for source in _bound(flag.name, flag.value or "")]
    if not any(reads(install, source) for source in named):
        return False
    unread = subject.context is None and install.tool in ("pip", "uv") and install.files
    if unread and any(source.rpartition("/")[2] in _PROJECT for source in named):
        return False
    if not _is_code(subject, copy, install) or _names(subject, copy, install):
        return False
    if install.tool == "bundler" and is_gem(subject):
        return False
    more = named_further(subject, step, install)
    return more is not None and not any(_within(path, one) for path in _taken(subject, copy) for one in more)


def _bound(name: str, value: str) -> Iterator[str]:
    """The file of the context that a mount shows to a RUN."""
    fields = dict(part.partition("=")[::2] for part in value.split(","))
    if name == "mount" and fields.get("type", "bind") == "bind" and "from" not in fields:
        yield fields.get("source") or fields.get("src") or ""


def _is_code(subject: Subject, copy: Step, install: Install | None) -> bool:
    """Whether a copy takes code, as far as one can tell by names, and nothing that an install is known to look into."""
    known = _MEMBERS.get(install.tool) if install is not None else None
    taken = _taken(subject, copy)
    for source in copy.sources:
        name = normal_path(source).rpartition("/")[2]
        if name in _ASKED or re.search(RUN_BY_INSTALLS, name) or name.startswith(".") or re.search(r"[*?\[]", name):
            return False
        inside = [path for path in taken if _within(path, normal_path(source)[1:])]
        if inside:
            if not any(re.search(_CODE_FILE, path) for path in inside):
                return False
        elif subject.context is not None or not (
            name in (_CODE if known is None else known) or re.search(_CODE_FILE, name)
        ):
            return False
    return bool(copy.sources)


def _taken(subject: Subject, copy: Step) -> list[str]:
    """The files of the context that a copy takes."""
    taken = subject.context.on_line(copy.line) if subject.context is not None else None
    return [one.path for one in taken.entries if one.kind != "dir"] if taken is not None else []


def _names(subject: Subject, copy: Step, install: Install) -> bool:
    """Whether a copy takes what an install reads, or a Python project that a list may name."""
    paths = _taken(subject, copy) or list(copy.sources)
    return any(reads(install, path) for path in paths)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _is_nothing(subject: Subject, copy: Step, step: Step) -> bool:
    """Whether an install of named packages has nothing to do with a copy: nor does the rest of the RUN, for what is
    installed and removed in one RUN belongs together."""
    place = landing(copy)
    free = all(one.program in (*_BETWEEN, "rm") or _installs(one) for one in step.commands)
    return free and _is_code(subject, copy, None) and (place is None or not re.match(_SYSTEM, place))


def told(found: Above) -> Found:
    """The finding, at the first of the copies."""
    copies, step = found.copies, found.step
    names = [source for copy in copies for source in copy.sources]
    what = f"{', '.join(names[:-1])} and {names[-1]} are" if len(names) > 1 else f"{names[0]} is"
    them = "them" if len(names) > 1 else "it"
    if found.install is None:
        message = f"{what} copied above line {step.line}, which installs packages and reads nothing of {them}"
    else:
        command = next(one for one in step.commands if install_of(one) == found.install)
        message = (
            f"{what} copied above `{shown(' '.join(command.words))}` (line {step.line}), which reads nothing of "
            f"{them}: a change there installs the dependencies again"
        )
    lines = [str(copy.line) for copy in copies]
    which = "this COPY" if len(lines) == 1 else f"the COPYs of lines {', '.join(lines)}"
    if copies[0].instruction.keyword == "ADD" and len(lines) == 1:
        which = "this ADD"
    if found.install is not None and found.install.project:
        hint = f"put `RUN {found.install.alone}` above {which}"
    elif found.install is not None and found.more:
        hint = f"put `RUN {shown(' '.join(command.words))}` above {which}"
    elif found.next_to:
        hint = f"move {which} below line {step.line}"
    else:
        hint = f"move {which} below line {step.line}, or that line with what it reads above"
    return Found(copies[0].instruction, message, hint)
