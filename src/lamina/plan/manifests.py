"""Which further files an install reads because a file that it reads names them: includes, workspaces, local paths."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lamina.dockerfile.ignore import rules_of
from lamina.plan.manifests_built import dotnet_project, dotnet_solution, gradle
from lamina.plan.named import Asked, More, Reader, Unclear, beside, named_folder, named_path
from lamina.plan.scope import normal_path

_SCRIPTS = ("preinstall", "install", "postinstall", "prepare", "prepublish")
_LOCAL = re.compile(r"(?:file|link|portal):(.*)\Z")
_PIP_OPTION = re.compile(r"(-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links)[ =]\s*(\S+)")
_PIP_PATH = re.compile(r"(?:\.{1,2}/|/|file:|\.(?:\[|\Z)|[^\s@:;]+/|\S+\.(?:whl|zip|tar\.gz)\Z)")
_GO_REPLACE = re.compile(r"=>\s*(\.{1,2}/\S*)")
_GO_USE = re.compile(r"(?m)^\s*(?:use\s+)?(\.{1,2}(?:/\S*)?)\s*(?://.*)?$")
_GEMS_ELSEWHERE = re.compile(
    r"(?m)^\s*(?:gemspec|eval_gemfile|path|require(?:_relative)?|load)\b|\bpath:|:path\s*=>|\b(?:File|Dir|IO|Pathname)\b"
)
_MIX_PATH = re.compile(r"\bpath:\s*(?:\"([^\"#]+)\"|(?=.))")
_MIX_APPS = re.compile(r"\bapps_path:\s*\"([^\"#]+)\"")
_MIX_CODE = re.compile(r"\b(?:File|Path|Code|System\.cmd)\b")
_PATCH = re.compile(r"(?:#|:\s*[\"']?)(?:~/|\./)?([^#\s\"']+\.patch)\b")


def further(asked: Asked, path: str, read: Reader, files: Iterable[str]) -> Iterator[More]:
    """What a file at `path` names. `files` are all paths that are there, from the root as `path` is.

    Raises Unclear.
    """
    name = path.rpartition("/")[2]
    reader = (
        _READERS.get(name)
        or _ENDINGS.get((asked.tool, name.rpartition(".")[2]))
        or (_requirements if asked.tool in ("pip", "uv") and _is_list(name) else None)
    )
    text = read(path) if reader is not None else None
    if reader is not None and text is not None:
        try:
            yield from reader(path, text, tuple(files), asked)
        except (ValueError, TypeError, AttributeError) as error:
            raise Unclear(f"{path} cannot be read: {error}") from None


def _is_list(name: str) -> bool:
    return not name.endswith((".toml", ".lock", ".cfg", ".py"))


def _requirements(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        option = _PIP_OPTION.match(line)
        wanted = option[2] if option is not None else line
        if option is None or option[1] in ("-e", "--editable"):
            if re.search(r"@\s*file:", wanted):
                raise Unclear(f"{path} installs from a path: {wanted}")
            if re.match(r"[\w+]+://", wanted) and not wanted.startswith("file:"):
                continue
            if _PIP_PATH.match(wanted) or option is not None:
                local = wanted.removeprefix("file://").removeprefix("file:").partition("[")[0].partition(" ")[0]
                # Other than what is included, this is looked for where pip is started.
                yield named_path(path, normal_path(local if local.startswith("/") else f"{asked.cwd}/{local}"))
        elif "://" not in wanted:
            found = beside(path, wanted)
            links = option[1] in ("-f", "--find-links") and not wanted.endswith((".html", ".htm"))
            yield More(found, folder=links)


def _pipfile(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    yield from _paths(path, tomllib.loads(text), ("path", "file"))


def _pyproject(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    data = tomllib.loads(text)
    tool = data.get("tool", {})
    yield from _paths(path, tool.get("poetry", {}), ("path",))
    uv = tool.get("uv", {})
    yield from _paths(path, uv.get("sources", {}), ("path",))
    space = uv.get("workspace", {})
    members = [*space.get("members", ()), *(f"!{one}" for one in space.get("exclude", ()))]
    alone = bool({"--no-install-workspace", "--no-install-local"} & set(asked.words))
    for one in _members(path, members, "pyproject.toml", files):
        yield More(one)
        if not alone:
            # One that others depend on is installed from its folder.
            yield More(one.rpartition("/")[0], True)


def _paths(path: str, data: Any, names: tuple[str, ...]) -> Iterator[More]:
    """The local paths of dependencies, wherever they stand in a table."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name in names and isinstance(value, str) and "://" not in value:
                yield named_folder(path, value)
            else:
                yield from _paths(path, value, names)
    elif isinstance(data, list):
        for value in data:
            yield from _paths(path, value, names) if isinstance(value, dict) else ()


def _package(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    data = json.loads(text)
    own = [name for name in _SCRIPTS if name in data.get("scripts", {})]
    if own and "--ignore-scripts" not in asked.words:
        raise Unclear(f"the script {own[0]!r} of {path} runs the project's own code during the install")
    # npm links the programs of members that are there, and makes them executable, which a copy below would undo.
    if path != normal_path(f"{asked.cwd}/package.json") and (
        data.get("bin") or "bin" in (data.get("directories") or {})
    ):
        raise Unclear(f"the programs of {path} are linked by the install")
    for group in ("dependencies", "devDependencies", "optionalDependencies", "resolutions", "overrides"):
        for value in dict(data.get(group) or {}).values():
            local = _LOCAL.match(value) if isinstance(value, str) else None
            if local is not None:
                yield named_folder(path, local[1])
                manifest = beside(path, f"{local[1]}/package.json")
                if manifest in files:
                    yield More(manifest)
            elif isinstance(value, str) and value.startswith("patch:"):
                yield from (More(beside(path, one)) for one in _PATCH.findall(value))
    patched = {**dict(dict(data.get("pnpm") or {}).get("patchedDependencies") or {})}
    patched.update(dict(data.get("patchedDependencies") or {}))
    yield from (More(beside(path, one)) for one in patched.values())
    spaces = data.get("workspaces") or ()
    spaces = spaces.get("packages", ()) if isinstance(spaces, dict) else spaces
    yield from (More(one) for one in _members(path, spaces, "package.json", files))


def _pnpm(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    found, inside = [], False
    for line in text.splitlines():
        item = re.match(r"\s*-\s*[\"']?([^\"'#]+)[\"']?", line)
        if re.match(r"\S", line) and item is None:
            inside = line.startswith("packages:")
        elif inside and item is not None:
            found.append(item[1].strip())
    yield from (More(one) for one in _members(path, found, "package.json", files))
    yield from (More(beside(path, one)) for one in _PATCH.findall(text))


def _members(path: str, patterns: Iterable[str], manifest: str, files: tuple[str, ...]) -> Iterator[str]:
    """The manifests of a workspace's members."""
    wanted = [pattern.removeprefix("!") for pattern in patterns]
    marks = ["!" if pattern.startswith("!") else "" for pattern in patterns]
    if not wanted:
        return
    rules = rules_of([mark + beside(path, one)[1:] for mark, one in zip(marks, wanted, strict=True)])
    for file in files:
        folder, _, name = file[1:].rpartition("/")
        if name == manifest and folder and rules.excluded(folder):
            yield file


def _deno(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    data = json.loads(re.sub(r"(?m)^\s*//.*$|,(?=\s*[}\]])", "", text) if path.endswith("c") else text)
    if isinstance(data.get("importMap"), str):
        yield More(beside(path, data["importMap"]))
    lock = data.get("lock")
    lock = lock.get("path") if isinstance(lock, dict) else lock
    if isinstance(lock, str) and beside(path, lock) in files:
        yield More(beside(path, lock))
    for link in (*(data.get("links") or ()), *(data.get("patch") or ())):
        yield named_folder(path, link)
    spaces = data.get("workspace") or ()
    spaces = spaces.get("members", ()) if isinstance(spaces, dict) else spaces
    for manifest in ("deno.json", "deno.jsonc", "package.json"):
        yield from (More(one) for one in _members(path, spaces, manifest, files))


def _go_mod(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    for found in _GO_REPLACE.finditer(text):
        yield More(beside(path, f"{found[1].rstrip('/')}/go.mod"))


def _go_work(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    for found in _GO_USE.finditer(text):
        for name in ("go.mod", "go.sum"):
            member = beside(path, f"{found[1].rstrip('/')}/{name}")
            if name == "go.mod" or member in files:
                yield More(member)


def _gemfile(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    found = _GEMS_ELSEWHERE.search(re.sub(r"(?m)(?:^|\s)#.*$", "", text))
    if found is not None:
        raise Unclear(f"{path} reads other files: {found[0].strip()}")
    yield from ()


def _composer(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    data = json.loads(text)
    if "merge-plugin" in (data.get("extra") or {}):
        raise Unclear(f"{path} takes in other files")
    if "--no-autoloader" not in asked.words and (
        any("classmap" in (data.get(one) or {}) for one in ("autoload", "autoload-dev"))
        or {"optimize-autoloader", "classmap-authoritative"} & set(data.get("config") or {})
    ):
        raise Unclear(f"the autoloader of {path} lists the classes of the project's code")
    spaces = data.get("repositories") or ()
    for space in spaces.values() if isinstance(spaces, dict) else spaces:
        if isinstance(space, dict) and space.get("type") in ("path", "artifact"):
            # `libs/*` is many: all of `libs`, then.
            fixed = re.split(r"[*?{\[]", space["url"], maxsplit=1)[0]
            yield named_folder(path, fixed if fixed == space["url"] else fixed.rpartition("/")[0] or ".")


def _mix(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    text = re.sub(r"(?m)(?:^|\s)#.*$", "", text)
    code = _MIX_CODE.search(text)
    if code is not None:
        raise Unclear(f"{path} may read other files: {code[0]}")
    for found in _MIX_PATH.finditer(text):
        if not found[1]:
            raise Unclear(f"{path} names a path that cannot be told")
        yield named_folder(path, found[1])
    for found in _MIX_APPS.finditer(text):
        inside = beside(path, found[1]) + "/"
        yield from (More(one) for one in files if re.fullmatch(re.escape(inside) + r"[^/]+/mix\.exs", one))


_READERS: dict[str, Callable[[str, str, tuple[str, ...], Asked], Iterator[More]]] = {
    "Pipfile": _pipfile,
    "pyproject.toml": _pyproject,
    "package.json": _package,
    "pnpm-workspace.yaml": _pnpm,
    "go.mod": _go_mod,
    "go.work": _go_work,
    "Gemfile": _gemfile,
    "composer.json": _composer,
    "mix.exs": _mix,
    "deno.json": _deno,
    "deno.jsonc": _deno,
}
#: By tool and the end of a file's name.
_ENDINGS: dict[tuple[str, str], Callable[[str, str, tuple[str, ...], Asked], Iterator[More]]] = {
    ("gradle", "gradle"): gradle,
    ("gradle", "kts"): gradle,
    **{("dotnet", end): dotnet_project for end in ("csproj", "fsproj", "vbproj", "props", "targets")},
    **{("dotnet", end): dotnet_solution for end in ("sln", "slnx")},
}
