"""Where the files of a COPY land, and whether an install reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lamina.dockerfile.globs import BadGlob, match
from lamina.lint.subject import Step, Subject
from lamina.plan.install_words import Install
from lamina.plan.installs import install_of
from lamina.plan.named import Asked, Unclear
from lamina.plan.scope import normal_path

#: Code that installs read or run.
RUN_BY_INSTALLS = r"(?:\A|/)(?:setup\.py|conftest\.py|build\.rs|\.?[\w.-]*\.config\.[cm]?[jt]s|\.pnp\..*|\.yarn/.*)\Z"


def is_whole(source: str) -> bool:
    """Whether a source of a COPY is the whole context."""
    return "$" not in source and (normal_path(source) == "/" or source in ("*", "./*", "/*"))


def landing(step: Step) -> str | None:
    """The absolute destination of a COPY; None where it depends on the base image."""
    if "$" in step.dest:
        return None
    if step.dest.startswith("/"):
        return normal_path(step.dest)
    return None if step.cwd is None else normal_path(f"{step.cwd}/{step.dest}")


def directories(step: Step, install: Install) -> tuple[str | None, ...]:
    """Where an install looks for its files; None where the base image decides."""
    cwd = step.cwd
    for command in step.commands:
        if command.program == "cd" and len(command.words) == 2:
            to = command.words[1]
            cwd = None if "$" in to else normal_path(to if to.startswith("/") else f"{cwd or ''}/{to}")
            break
    absolute = tuple(normal_path(one).rpartition("/")[0] or "/" for one in install.files if one.startswith("/"))
    return absolute or (cwd,)


def meets(copy: Step, step: Step, install: Install) -> bool:
    """Whether what a COPY copies may be where an install looks."""
    place = landing(copy)
    return any(_related(place, one) for one in directories(step, install))


def _related(one: str | None, two: str | None) -> bool:
    if one is None or two is None:
        return True
    return one == two or _below(one, two) or _below(two, one)


def _below(path: str, directory: str) -> bool:
    return path.startswith("/" if directory == "/" else f"{directory}/")


def reads(install: Install, path: str) -> bool:
    """Whether an install reads a file of that path in the context, judged by its name."""
    parts = normal_path(path)[1:].split("/")
    name = parts[-1]
    for pattern in install.reads:
        last = pattern.rpartition("/")[2]
        if (
            f"/{pattern}/" in f"/{'/'.join(parts[:-1])}/"
            or _matches(last, name)
            or (any(c in name for c in "*?[") and _matches(name, last))
        ):
            return True
    return False


def _matches(pattern: str, name: str) -> bool:
    try:
        return match(pattern, name)
    except BadGlob:
        return False


def wanted(subject: Subject, install: Install) -> tuple[str, ...]:
    """The names to write into a COPY for an install: of what it reads, what the context has at its root; without a
    context the manifest and its lock file."""
    if install.files:
        return tuple(dict.fromkeys(one.rpartition("/")[2] for one in install.files if "$" not in one))
    plain = [one for one in install.reads if "*" not in one and "/" not in one]
    if subject.context is not None:
        there = {record.path for record in subject.context.records}
        found = tuple(one for one in plain if one in there)
        if found:
            return found
    return tuple(dict.fromkeys([*plain[:1], *[lock for lock in install.locks[:1] if lock in plain]]))


def copies(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps that copy from the context."""
    return (step for step in steps if step.from_context)


def named_further(subject: Subject, step: Step, install: Install) -> tuple[str, ...] | None:
    """What the manifests of an install name besides: files of the context and folders. None if they name the project's
    code itself, or it cannot be told what they read.

    The context is taken to lie where the install looks."""
    context = subject.context
    command = next((one for one in step.commands if install_of(one) == install), None)
    if context is None or command is None:
        return ()
    from lamina.plan.manifests import further

    files = tuple(f"/{record.path}" for record in context.records if record.kind != "dir")
    first = [path for path in files if "/" not in path[1:] and reads(install, path)] if not install.files else []
    todo = first or [path for path in files if any(path[1:] == one.removeprefix("./") for one in install.files)]
    known = set(todo)
    found: dict[str, None] = {}
    try:
        while todo:
            asked = Asked(install.tool, command.words, "/")
            for more in further(asked, todo.pop(), lambda path: context.read(path[1:]), files):
                if more.path not in known:
                    known.add(more.path)
                    found[more.path[1:]] = None
                    if not more.folder:
                        todo.append(more.path)
    except Unclear:
        return None
    return tuple(path for path in found if not any(path.startswith(f"{folder}/") for folder in found))


def is_gem(subject: Subject) -> bool:
    """Whether the context is a Ruby library: its Gemfile reads its own code, and it keeps no lock file."""
    records = subject.context.records if subject.context is not None else ()
    return any("/" not in record.path and record.path.endswith(".gemspec") for record in records)


def named(steps: Sequence[Step]) -> list[str]:
    """All sources that the copies among some steps name."""
    return [source for step in copies(steps) for source in step.sources]
