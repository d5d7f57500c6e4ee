"""What a RUN wants of the files that a COPY above it copies: all, by default; less where that is known or was observed.

What is not understood counts as reading everything. What is known is a tool's documentation (`plan.installs`), and
that package managers and the like read nothing of a project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from lamina.advise.cost import commands_of
from lamina.advise.landing import meets
from lamina.dockerfile.globs import match
from lamina.dockerfile.shellcommands import ShellCommand
from lamina.plan.install_words import Install
from lamina.plan.installs import TOLD, install_of
from lamina.plan.manifests import further
from lamina.plan.named import Asked, Reader, Unclear
from lamina.plan.scope import normal_path
from lamina.plan.scripts import script_in
from lamina.plan.steps import BindMount, RunOp

_PACKAGES = frozenset(["apt-get", "apt", "apt-key", "apk", "dnf", "microdnf", "yum", "zypper", "pacman"])
_ACCOUNTS = frozenset(["useradd", "groupadd", "adduser", "addgroup", "usermod"])
_NOTHING = frozenset(
    ["true", ":", "sleep", "set", "echo", "printf", "corepack", "ldconfig", "update-ca-certificates", "locale-gen"]
)
_PLACES = frozenset(["mkdir", "rm", "chmod", "chown", "ln", "touch"])
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
_HARMLESS = re.compile(r"[12&]?>+\s*/dev/null|2>&1|</dev/null")
_SUBSHELL = re.compile(r"\$\((?!nproc\))|`")
_LOCAL_PACKAGE = re.compile(r"(\.{0,2}/.*|.*\.(deb|rpm|apk))\Z")
#: What an install makes beside its manifests: a copied folder of that name would land on it.
_MADE = {**dict.fromkeys(("npm", "yarn", "pnpm", "bun", "deno"), "node_modules"), "dotnet": "obj", "gradle": ".gradle"}
#: How a tool is told to work in another folder, and those flags that name a file.
_ELSEWHERE = {
    "npm": ("--prefix", "-C"),
    "yarn": ("--cwd",),
    "pnpm": ("--dir", "-C"),
    "poetry": ("--directory", "-C"),
    "uv": ("--directory", "--project"),
    "composer": ("--working-dir", "-d"),
    "bun": ("--cwd",),
    "deno": ("--config", "-c", "--import-map", "--lock"),
    "dotnet": ("--configfile", "--source", "-s", "--lock-file-path"),
    "gradle": ("--project-dir", "-p"),
    "go": ("-C",),
    "bundler": ("--gemfile",),
    "maven": ("--file", "-f"),
}
_NAMES_FILE = ("--gemfile", "--file", "-f", *_ELSEWHERE["deno"], *_ELSEWHERE["dotnet"])
#: A package that a command names by a place rather than by a name.
_PLACE = re.compile(r"[./~$]|file:|.*\.(whl|zip|gz|tgz|gem|jar)\Z")


class Seen(Struct, frozen=True):
    """What an observed step looked at of a copy's files: paths in the context (files or folders); None if it cannot be
    put so. `looked` of `files` regular files."""

    paths: tuple[str, ...] | None
    looked: int
    files: int


class Wants(Struct, frozen=True):
    """`files` and `folders` are paths in the context; both empty: nothing of this copy. `why` says what that rests on,
    for people; `risks` what the tool may do that the order of steps changes."""

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    why: str = ""
    risks: tuple[str, ...] = ()


class Copied(Struct, frozen=True):
    """A COPY as a RUN below it sees it: `landed` is `landing.landing` of it, `others` that of all copies above the RUN
    together; `read` gives texts of context files."""

    landed: Mapping[str, str]
    others: Mapping[str, str]
    read: Reader


def wants(op: RunOp, copied: Copied, seen: Seen | None = None) -> Wants:
    """Raises Unclear where a RUN may want anything."""
    if seen is not None:
        return _observed(seen, copied)
    commands = commands_of(op)
    if not commands:
        raise Unclear("what it starts cannot be told")
    if any(isinstance(mount, BindMount) and meets(mount.target, copied.landed) for mount in op.mounts):
        raise Unclear("it mounts something over the copied files")
    text = _script(op)
    if re.search(r"[<>]", _HARMLESS.sub("", _QUOTED.sub("", text))):
        raise Unclear("it redirects to or from a file")
    if _SUBSHELL.search(text):
        raise Unclear("it puts in what another command says")
    set_here = [word.partition("=")[0] for one in commands for word in (*one.env, *_exported(one))]
    told = next((name for name in (*dict(op.env), *set_here) if re.match(TOLD, name)), None)
    cwd = op.cwd
    files: dict[str, None] = {}
    folders: dict[str, None] = {}
    tools: dict[str, None] = {}
    risks: dict[str, None] = {}
    for command in commands:
        if command.program == "cd" and len(command.words) == 2 and "$" not in command.words[1]:
            cwd = normal_path(f"{cwd}/{command.words[1]}" if command.words[1][:1] != "/" else command.words[1])
            continue
        install = install_of(command)
        if install is None and not _exported(command):
            _free(command, cwd, copied.landed)
        if install is None:
            continue
        if told is not None:
            raise Unclear(f"{told} may tell it to read other files")
        found = _install(install, command, cwd, copied)
        files.update(dict.fromkeys(found.files))
        folders.update(dict.fromkeys(found.folders))
        risks.update(dict.fromkeys(found.risks))
        tools[install.tool] = None
    single = tuple(path for path in files if not any(path.startswith(folder + "/") for folder in folders))
    if single or folders:
        why = f"needs of it what {' and '.join(tools)} is known to read"
    else:
        why = "is known to need nothing of it"
    return Wants(single, tuple(folders), why, tuple(risks))


def _exported(command: ShellCommand) -> tuple[str, ...]:
    """What `export NAME=value` sets."""
    words = command.words[1:]
    return words if command.program == "export" and all("=" in word and "$" not in word for word in words) else ()


def _script(op: RunOp) -> str:
    """What a RUN runs, less the comments of a script of several lines."""
    text = script_in(op)
    return op.argv[-1] if text is None else re.sub(r"(?m)^[ \t]*#.*$", "", text)


def _observed(seen: Seen, copied: Copied) -> Wants:
    if seen.paths is None:
        raise Unclear("it was seen to look at files that cannot be copied apart")
    context = set(copied.landed.values())
    files = tuple(path for path in seen.paths if path in context)
    folders = tuple(path for path in seen.paths if path not in context)
    return Wants(files, folders, f"looked at {seen.looked} of the {seen.files} files that it copies")


def _free(command: ShellCommand, cwd: str, landed: Mapping[str, str]) -> None:
    """Raises Unclear unless a command is known to have nothing to do with copied files."""
    program, words = command.program, command.words[1:]
    if not command.words or program in _NOTHING or program in _ACCOUNTS:
        return
    if program in _PACKAGES:
        local = next((word for word in words if _LOCAL_PACKAGE.match(word)), None)
        if local is not None:
            raise Unclear(f"{program} is given {local}")
        return
    if program in _PLACES:
        for word in words:
            if "$" in word:
                raise Unclear(f"{program} is given {word}")
            if not word.startswith("-"):
                fixed = re.split(r"[*?\[]", word, maxsplit=1)[0]
                # A pattern may mean all that is in the folder it begins in.
                fixed = word if fixed == word else fixed.rpartition("/")[0] or "/"
                if meets(normal_path(fixed if fixed.startswith("/") else f"{cwd}/{fixed}"), landed):
                    raise Unclear(f"{program} has to do with {word}, which is copied")
        return
    raise Unclear(f"{program} may read any file")


def _install(install: Install, command: ShellCommand, cwd: str, copied: Copied) -> Wants:
    if install.project:
        instead = f"; `{install.alone}` would not" if install.alone else ""
        raise Unclear(f"it installs the project's own code too{instead}")
    place = next((word for word in install.packages if _PLACE.match(word)), None)
    if place is not None:
        raise Unclear(f"it installs {place}, which may be a file of the project")
    cwd = _folder_of(install, command, cwd)
    if not install.reads:
        if install.packages:
            return Wants()
        raise Unclear("it names neither packages nor files")
    odd = next((path for path in install.reads if "$" in path or path.startswith(("http:", "https:"))), None)
    if odd is not None:
        raise Unclear(f"it reads {odd}")
    landed = copied.landed
    made = _MADE.get(install.tool)
    if made is not None and any(f"/{made}/" in path for path in landed):
        raise Unclear(f"{made} is copied, too")
    todo = [path for pattern in install.reads for path in _matching(pattern, cwd, copied.others)]
    named = [path for pattern in install.files for path in _matching(pattern, cwd, copied.others)]
    files: dict[str, None] = {}
    places = [normal_path(pattern if pattern[0] == "/" else f"{cwd}/{pattern}") for pattern in install.reads]
    folders = dict.fromkeys(place for place in places if place not in copied.others and meets(place, copied.others))
    by_name = install.packages and install.tool in ("pip", "uv")
    if not (todo or folders or by_name) or (install.files and not named):
        raise Unclear("what it installs from is not among the files that are copied")
    asked = Asked(install.tool, command.words, cwd)
    while todo:
        path = todo.pop(0)
        if path in files:
            continue
        files[path] = None
        for more in further(asked, path, _reader(copied), copied.others):
            if more.folder:
                folders[more.path] = None
            elif more.path in copied.others:
                todo.append(more.path)
            else:
                raise Unclear(f"{path} names {more.path}, which is not copied")
    for folder in folders:
        if not meets(folder, copied.others):
            raise Unclear(f"it installs {folder}, which is not copied")
    risks = () if install.frozen or not install.locks or install.tool == "go" else (_rewrites(install),)
    return Wants(
        tuple(landed[path] for path in files if path in landed),
        tuple(_context_folders(folders, landed)),
        risks=risks,
    )


def _folder_of(install: Install, command: ShellCommand, cwd: str) -> str:
    """The folder that an install works in."""
    for option in _ELSEWHERE.get(install.tool, ()):
        for at, word in enumerate(command.words):
            name, _, value = word.partition("=")
            if name == option:
                value = value or "".join(command.words[at + 1 : at + 2])
                if option in _NAMES_FILE or "$" in value:
                    raise Unclear(f"it is told by {option} where to look")
                cwd = normal_path(value if value.startswith("/") else f"{cwd}/{value}")
    return cwd


def _rewrites(install: Install) -> str:
    lock = install.locks[0]
    return f"{install.tool} may write {lock} anew here, and the copy below puts the committed one back"


def _matching(pattern: str, cwd: str, landed: Mapping[str, str]) -> Sequence[str]:
    """The landed files that a name or pattern means."""
    deep = pattern.startswith("**/")
    place = normal_path(pattern if pattern.startswith("/") else f"{cwd}/{pattern.removeprefix('**/')}")
    found = [place] if place in landed else []
    folder, _, name = place.rpartition("/")
    if (not found and re.search(r"[*?\[]", name)) or deep:
        inside = f"{folder}/"
        found += [
            path
            for path in landed
            if path.startswith(inside)
            and (deep or "/" not in path[len(inside) :])
            and match(name, path.rpartition("/")[2])
            and path not in found
        ]
    return sorted(found)


def _reader(copied: Copied) -> Callable[[str], str | None]:
    def read(path: str) -> str | None:
        context = copied.others.get(path)
        return copied.read(context) if context is not None else None

    return read


def _context_folders(folders: Mapping[str, None], landed: Mapping[str, str]) -> list[str]:
    """The folders as the context has them; Unclear where a copy puts together what the context has apart."""
    found = []
    for folder in folders:
        inside = f"{folder}/"
        below = [(path[len(inside) :], context) for path, context in landed.items() if path.startswith(inside)]
        if not below:
            continue
        rest, context = below[0]
        top = context.removesuffix("/" + rest)
        if top == context or any(other != f"{top}/{path}" for path, other in below):
            raise Unclear(f"the files of {folder} come from several places")
        found.append(top)
    return found
