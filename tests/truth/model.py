"""What each step of a state depends on, worked out in another way than lamina's: for the instructions of `shapes` only.

The rules are those of docs/formats/key.md and of the Dockerfile reference. Nothing here imports lamina.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from posixpath import join, normpath

from tests.truth.state import Entry, State

#: One file behind a part: the path that counts, the entry's kind, mode (None: does not count) and content, and where
#: it is in the context.
Record = tuple[str, str, int | None, bytes, str]
#: Of a part: a text, or files.
Value = str | tuple[Record, ...]
#: Instructions without a layer.
META = ("ARG", "ENV", "LABEL", "CMD", "EXPOSE", "USER", "SHELL", "HEALTHCHECK", "VOLUME", "ENTRYPOINT", "STOPSIGNAL")

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")


@dataclass(frozen=True)
class Step:
    """One instruction below FROM. `key` is equal for equal inputs on equal steps below; empty if it makes no layer."""

    stage: str
    number: int
    keyword: str
    text: str
    inputs: Mapping[str, Value]
    key: str = ""


@dataclass
class _Stage:
    label: str
    key: str
    base: str = ""
    args: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    cwd: str = "/"
    shell: str = "sh -c"
    steps: list[Step] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)

    def expand(self, text: str) -> str:
        return expand(text, {**self.args, **self.env})


def expand(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[3], found[2] or ""), text)


def steps(state: State) -> list[list[Step]]:
    """The stages that the last one needs, each with its steps."""
    stages: list[_Stage] = []
    outer: dict[str, str] = {}
    for line in state.lines:
        words = re.sub(r"\\\n\s*", "", line).split(None, 1)
        if not words or line.startswith("#"):
            continue
        keyword = words[0].upper()
        if keyword == "ARG" and not stages:
            name, _, default = words[1].partition("=")
            outer[name] = state.args.get(name, default)
        elif keyword == "FROM":
            stages.append(_begin(expand(words[1], outer), stages, state))
        else:
            _instruction(stages[-1], keyword, words[1], state, outer, stages)
    wanted, left = set[int](), [len(stages) - 1]
    while left:
        number = left.pop()
        if number not in wanted:
            wanted.add(number)
            left += stages[number].needs
    return [stage.steps for number, stage in enumerate(stages) if number in wanted]


def _begin(text: str, stages: list[_Stage], state: State) -> _Stage:
    image, *named = text.split()
    label = named[1] if named else f"stage-{len(stages)}"
    for number, stage in enumerate(stages):
        if stage.label == image:
            return _Stage(
                label, stage.key, "", dict(stage.args), dict(stage.env), stage.user, stage.cwd, stage.shell,
                needs=[number],
            )  # fmt: skip
    base = f"{image}-{state.base}"
    return _Stage(label, _digest("from", base), base)


def _instruction(
    stage: _Stage, keyword: str, rest: str, state: State, outer: Mapping[str, str], stages: list[_Stage]
) -> None:
    inputs: dict[str, Value] = {}
    linked = False
    match keyword:
        case "ARG":
            name, is_set, default = rest.partition("=")
            value = state.args.get(name, stage.expand(default) if is_set else outer.get(name))
            if value is not None:
                stage.args[name] = value
        case "ENV":
            pairs = [word.partition("=") for word in shlex.split(rest)]
            stage.env.update({name: value for name, _, value in [(n, e, stage.expand(v)) for n, e, v in pairs]})
        case "USER":
            stage.user = rest
        case "SHELL":
            stage.shell = rest
        case "WORKDIR":
            stage.cwd = normpath(join(stage.cwd, stage.expand(rest)))
            inputs = {"directory": stage.cwd, "owner": stage.user} if stage.cwd != "/" else {}
        case "RUN":
            inputs = _run(stage, rest, state, stages)
        case "COPY" | "ADD":
            inputs = _copy(stage, keyword, rest, state, stages)
            linked = "link" in inputs
        case _:
            assert keyword in META, keyword
    if inputs and stage.base and not any(step.key for step in stage.steps):
        inputs["base"] = stage.base
    text, number, key = f"{keyword} {rest}", len(stage.steps) + 1, ""
    if inputs:
        plain = {name: _keyed(value) for name, value in inputs.items() if name != "base"}
        key = _digest("scratch" if linked else stage.key, keyword, plain)
        stage.key = _digest(stage.key, key)
    stage.steps.append(Step(stage.label, number, keyword, text, inputs, key))


def _run(stage: _Stage, rest: str, state: State, stages: list[_Stage]) -> dict[str, Value]:
    given, command = _flags(rest)
    inputs: dict[str, Value] = {"command": f"{stage.shell} {command}"}
    scope = {name: value for name, value in stage.args.items() if name not in stage.env}
    inputs.update({f"env {name}": value for name, value in (*stage.env.items(), *scope.items())})
    inputs["order"] = " ".join((*stage.env, *scope))
    inputs.update({"user": stage.user, "directory": stage.cwd})
    for _, mount in given:
        words = dict(word.partition("=")[::2] for word in mount.split(","))
        target = words.get("target") or words.get("env") or words["id"]
        inputs[f"mount {target}"] = " ".join(f"{k}={v}" for k, v in words.items() if k not in ("source", "from"))
        if words.get("type", "bind") != "bind":
            continue
        source = words.get("source", ".").strip("/") or "."
        if "from" in words:
            inputs[f"source {words['source']}"] = _from(stage, words["from"], source, stages)
        else:
            found = _select(state.visible(), source, modes=True)
            whole = [(path if len(found) > 1 else "", *more) for path, *more in found]
            inputs[f"source {source}"] = tuple(whole)  # type: ignore[arg-type]
    return inputs


def _copy(stage: _Stage, keyword: str, rest: str, state: State, stages: list[_Stage]) -> dict[str, Value]:
    head, *bodies = rest.split("\n")
    given, places = _flags(head)
    options = dict(given)
    *sources, destination = stage.expand(places).split()
    chmod = options.get("chmod", "")
    inputs: dict[str, Value] = {}
    for source in sources:
        if source.startswith("<<"):
            quoted, name = source[2] in "'\"", source[2:].strip("'\"")
            end = bodies.index(name)
            text, bodies = "\n".join(bodies[:end]), bodies[end + 1 :]
            content = (text if quoted else stage.expand(text)).encode()
            inputs[f"source <<{name}"] = ((name, "file", 0o644, content, f"<<{name}"),)
        elif "from" in options:
            inputs[f"source {source}"] = _from(stage, options["from"], source, stages)
        else:
            excluded = [value for name, value in given if name == "exclude"]
            inputs[f"source {source}"] = tuple(
                _select(
                    state.visible(),
                    source,
                    modes=not chmod.isdigit(),
                    parents="parents" in options,
                    excluded=excluded,
                )
            )
    joined = destination if destination.startswith("/") else f"{stage.cwd.rstrip('/')}/{destination}"
    inputs["destination"] = joined
    inputs["owner"] = options.get("chown", "")
    inputs["mode"] = chmod
    inputs["unpack"] = "yes" if keyword == "ADD" else ""
    for name in ("link", "parents"):
        if name in options:
            inputs[name] = "yes"
    return inputs


def _from(stage: _Stage, name: str, source: str, stages: list[_Stage]) -> str:
    """Another stage's files: as good as known by that stage's key."""
    index = next((n for n, one in enumerate(stages) if one.label == name or str(n) == name))
    stage.needs.append(index)
    return f"{stages[index].key} {source}"


def _flags(rest: str) -> tuple[list[tuple[str, str]], str]:
    found = []
    rest = rest.lstrip()
    while match := _FLAG.match(rest):
        found.append((match[1], match[2] or ""))
        rest = rest[match.end() :].lstrip()
    return [(name, value) for name, value in found], rest


def _select(
    seen: Mapping[str, Entry], source: str, *, modes: bool, parents: bool = False, excluded: Sequence[str] = ()
) -> list[Record]:
    wanted = source.strip("/").split("/")
    found: list[Record] = []
    names = [path for path in sorted(seen) if _fits(path.split("/"), wanted)] if source != "." else ["."]
    for name in names:
        entry = Entry("dir", mode=0o755) if name == "." else seen[name]
        if entry.kind == "link":
            # A source that is a link is followed, and the file keeps the link's name; links below sources are copied.
            entry = seen.get(normpath(join("/", name, "..", entry.data.decode()))[1:], entry)
        below = [path for path in sorted(seen) if name == "." or path.startswith(f"{name}/")]
        top = name if parents else "." if entry.kind == "dir" else name.rpartition("/")[2]
        above = [name.rsplit("/", depth)[0] for depth in range(name.count("/"), 0, -1)] if parents else []
        chosen = [(folder, folder, seen[folder]) for folder in above] + [(top, name, entry)]
        if entry.kind == "dir":
            strip = 0 if parents or name == "." else len(name) + 1
            chosen += [(path[strip:], path, seen[path]) for path in below]
        found += [
            (keyed, one.kind, (one.mode if one.kind != "link" else 0o777) if modes else None, one.data, path)
            for keyed, path, one in chosen
            if not any(fnmatchcase(path.rpartition("/")[2], rule.removeprefix("**/")) for rule in excluded)
        ]
    return list(dict.fromkeys(found)) if parents else found


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(path) == len(pattern) and all(map(fnmatchcase, path, pattern))


def _keyed(value: Value) -> object:
    if isinstance(value, str):
        return value
    return [[path, kind, mode, hashlib.sha256(data).hexdigest()] for path, kind, mode, data, _ in value]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
