"""Which further files an install reads because a file that it reads names them: includes, workspaces, local paths."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct

from lamina.dockerfile.ignore import rules_of
from lamina.plan.scope import normal_path

#: The text of a file, None if there is none or it is no text.
Reader = Callable[[str], str | None]

_SCRIPTS = ("preinstall", "install", "postinstall", "prepare", "prepublish")
_LOCAL = re.compile(r"(?:file|link|portal):(.*)\Z")
_PIP_OPTION = re.compile(r"(-r|-c|-e|--requirement|--constraint|--editable)[ =]\s*(\S+)")
_PIP_PATH = re.compile(r"(?:\.{1,2}/|/|file:|\.(?:\[|\Z))")
_GO_REPLACE = re.compile(r"=>\s*(\.{1,2}/\S*)")
_GO_USE = re.compile(r"(?m)^\s*(?:use\s+)?(\.{1,2}(?:/\S*)?)\s*(?://.*)?$")


class Unclear(Exception):
    """What an install reads cannot be told; the text says why."""


class More(Struct, frozen=True):
    """A further path that is read; a `folder` is needed with all below it."""

    path: str
    folder: bool = False


def further(tool: str, path: str, read: Reader, files: Iterable[str], *, scripts: bool) -> Iterator[More]:
    """What a file at `path` names. `files` are all paths that are there, from the root as `path` is; `scripts`: the
    install runs the project's own.

    Raises Unclear.
    """
    name = path.rpartition("/")[2]
    reader = _READERS.get(name) or (_requirements if tool in ("pip", "uv") and _is_list(name) else None)
    text = read(path) if reader is not None else None
    if reader is not None and text is not None:
        try:
            yield from reader(path, text, tuple(files), scripts)
        except (ValueError, TypeError, AttributeError) as error:
            raise Unclear(f"{path} cannot be read: {error}") from None


def _is_list(name: str) -> bool:
    return not name.endswith((".toml", ".lock", ".cfg", ".py"))


def _beside(path: str, other: str) -> str:
    """A path that a file names, from the root."""
    return normal_path(other if other.startswith("/") else f"{path.rpartition('/')[0]}/{other}")


def _folder(path: str, other: str) -> More:
    """A folder that a file has installed. Raises Unclear for the file's own, or one around it."""
    found = _beside(path, other)
    if path.startswith(found.rstrip("/") + "/"):
        raise Unclear(f"{path} has the project itself installed")
    return More(found, True)


def _requirements(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        option = _PIP_OPTION.match(line)
        if option is not None and option[1] in ("-r", "-c", "--requirement", "--constraint"):
            if "://" not in option[2]:
                yield More(_beside(path, option[2]))
            continue
        wanted = option[2] if option is not None else line
        if _PIP_PATH.match(wanted):
            local = wanted.removeprefix("file://").removeprefix("file:").partition("[")[0].partition(" ")[0]
            yield More(_beside(path, local)) if local.endswith((".whl", ".gz", ".zip")) else _folder(path, local)
        elif re.search(r"@\s*file:", wanted):
            raise Unclear(f"{path} installs from a path: {wanted}")


def _pipfile(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    yield from _paths(path, tomllib.loads(text), ("path", "file"))


def _pyproject(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    data = tomllib.loads(text)
    tool = data.get("tool", {})
    yield from _paths(path, tool.get("poetry", {}), ("path",))
    uv = tool.get("uv", {})
    yield from _paths(path, uv.get("sources", {}), ("path",))
    members = uv.get("workspace", {}).get("members", ())
    yield from (More(one) for one in _members(path, members, "pyproject.toml", files))


def _paths(path: str, data: Any, names: tuple[str, ...]) -> Iterator[More]:
    """The local paths of dependencies, wherever they stand in a table."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name in names and isinstance(value, str) and "://" not in value:
                yield More(_beside(path, value)) if value.endswith((".whl", ".gz", ".zip")) else _folder(path, value)
            else:
                yield from _paths(path, value, names)
    elif isinstance(data, list):
        for value in data:
            yield from _paths(path, value, names) if isinstance(value, dict) else ()


def _package(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    data = json.loads(text)
    own = [name for name in _SCRIPTS if name in data.get("scripts", {})]
    if own and scripts:
        raise Unclear(f"the script {own[0]!r} of {path} runs the project's own code during the install")
    for group in ("dependencies", "devDependencies", "optionalDependencies", "resolutions", "overrides"):
        for value in dict(data.get(group) or {}).values():
            local = _LOCAL.match(value) if isinstance(value, str) else None
            if local is not None:
                yield More(_beside(path, local[1])) if local[1].endswith((".tgz", ".gz")) else _folder(path, local[1])
    spaces = data.get("workspaces") or ()
    spaces = spaces.get("packages", ()) if isinstance(spaces, dict) else spaces
    yield from (More(one) for one in _members(path, spaces, "package.json", files))


def _pnpm(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    found, inside = [], False
    for line in text.splitlines():
        item = re.match(r"\s*-\s*[\"']?([^\"'#]+)[\"']?", line)
        if re.match(r"\S", line) and item is None:
            inside = line.startswith("packages:")
        elif inside and item is not None:
            found.append(item[1].strip())
    yield from (More(one) for one in _members(path, found, "package.json", files))


def _members(path: str, patterns: Iterable[str], manifest: str, files: tuple[str, ...]) -> Iterator[str]:
    """The manifests of a workspace's members."""
    wanted = [pattern.removeprefix("!") for pattern in patterns]
    marks = ["!" if pattern.startswith("!") else "" for pattern in patterns]
    if not wanted:
        return
    rules = rules_of([mark + _beside(path, one)[1:] for mark, one in zip(marks, wanted, strict=True)])
    for file in files:
        folder, _, name = file[1:].rpartition("/")
        if name == manifest and folder and rules.excluded(folder):
            yield file


def _go_mod(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    for found in _GO_REPLACE.finditer(text):
        yield More(_beside(path, f"{found[1].rstrip('/')}/go.mod"))


def _go_work(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    for found in _GO_USE.finditer(text):
        for name in ("go.mod", "go.sum"):
            member = _beside(path, f"{found[1].rstrip('/')}/{name}")
            if name == "go.mod" or member in files:
                yield More(member)


def _gemfile(path: str, text: str, files: tuple[str, ...], scripts: bool) -> Iterator[More]:
    found = re.search(r"(?m)^\s*(gemspec|eval_gemfile|path)\b|\bpath:|:path\s*=>|\b(?:File|require)\b", text)
    if found is not None:
        raise Unclear(f"{path} reads other files: {found[0].strip()}")
    yield from ()


_READERS: dict[str, Callable[[str, str, tuple[str, ...], bool], Iterator[More]]] = {
    "Pipfile": _pipfile,
    "pyproject.toml": _pyproject,
    "package.json": _package,
    "pnpm-workspace.yaml": _pnpm,
    "go.mod": _go_mod,
    "go.work": _go_work,
    "Gemfile": _gemfile,
}
