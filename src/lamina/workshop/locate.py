"""Where a build's files are: a directory, a stream, an address; and the named contexts beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from lamina.context.ignore_file import load_rules
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.plan.remote import remote_source, shown
from lamina.plan.steps import GitSource, HttpSource
from lamina.ports.images import ImageSource
from lamina.ports.sources import ContextReader
from lamina.workshop.config import Configuration, project_configuration
from lamina.workshop.dockerfile_name import dockerfile_in
from lamina.workshop.sameness import Sameness
from lamina.workshop.wire import Workshop

Pathlike = str | os.PathLike[str]

_WHERE = "it is a directory, docker-image://NAME, oci-layout://PATH, target:STAGE, or a git or http address"


class Located(Struct, frozen=True):
    """A build's directory and its Dockerfile: the bytes, the name for messages, the path if it has one. `project` tells
    apart the histories of different Dockerfiles in one store. `configuration` is what `lamina.toml` in the directory
    says. `elsewhere`: the directory is a copy for this build, and no ignore file counts, as in BuildKit, nor does a
    `lamina.toml`.
    """

    directory: Path
    text: bytes
    name: str
    path: Path | None
    project: str
    configuration: Configuration = Configuration()
    elsewhere: bool = False


def is_elsewhere(context: Pathlike) -> bool:
    """Whether a context must be fetched or read from a stream first."""
    return isinstance(context, str) and (context == "-" or _remote(context) is not None)


def here(context: Pathlike, dockerfile: Pathlike | bytes | None) -> Located:
    """A context that is a directory; `dockerfile` is a path from the working directory, the file's bytes, or None for
    the one in it. Raises BuildFailure `context-not-found`, `dockerfile-…`, `usage-configuration`."""
    directory = Path(context)
    if isinstance(dockerfile, bytes):
        text, name, path = dockerfile, "<stdin>", None
    else:
        path = Path(dockerfile) if dockerfile is not None else dockerfile_in(directory)
        text, name = _read(path, directory), str(path)
    # However the user spells the two paths, it is the same project.
    project = f"{os.path.realpath(directory)}:{os.path.realpath(path) if path else name}"
    return Located(directory, text, name, path, project, project_configuration(directory))


def fetched(
    context: Pathlike,
    dockerfile: Pathlike | bytes | None,
    shop: Workshop,
    held: ExitStack,
    build_args: Mapping[str, str],
) -> Located:
    """A context that is a stream (`-`) or an address: an archive, a repository, or a Dockerfile alone.

    `dockerfile` is a path inside it, or an absolute one of this machine. What was unpacked is deleted with `held`.
    Raises BuildFailure `fetch-…`, `context-…`, `dockerfile-…`, `usage-bad-arguments`.
    """
    context = os.fspath(context)
    called = "standard input" if context == "-" else shown(context)
    keep_git_dir = build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "").lower() in ("1", "t", "true")
    if dockerfile == "-":
        raise BuildFailure("usage-bad-arguments", "the context and the Dockerfile cannot both come from standard input")
    directory, text = _tree(context, called, shop, held, keep_git_dir)
    name = "Dockerfile"
    if isinstance(dockerfile, bytes):
        text, name = dockerfile, "<stdin>"
    elif dockerfile is not None and os.path.isabs(dockerfile):
        text, name = _read(Path(dockerfile), directory), os.fspath(dockerfile)
    elif text is None:
        name = os.path.normpath(dockerfile or dockerfile_in(directory).name)
        if not (directory / name).resolve().is_relative_to(directory.resolve()):
            raise BuildFailure("dockerfile-not-found", f"{name} leads out of the build context")
        text = _read(directory / name, directory, name)
    return Located(directory, text, name, None, f"{called}:{name}", elsewhere=True)


def _tree(
    context: str, called: str, shop: Workshop, held: ExitStack, keep_git_dir: bool = False
) -> tuple[Path, bytes | None]:
    """The context's directory; and the Dockerfile's bytes where the stream was nothing else."""
    remote = _remote(context)
    if isinstance(remote, GitSource):
        return shop.fetcher.git(replace(remote, keep_git_dir=remote.keep_git_dir or keep_git_dir)).root, None
    from lamina.workshop.archived_context import read_context

    _ = shop.rung  # ready to write owners and links, before there are threads
    place = shop.store.session.fresh()
    held.callback(shop.store.session.sweep, place)
    if remote is None:
        streamed = read_context(sys.stdin.buffer, place, called)
    else:
        download = shop.fetcher.http(remote)
        with (download.root / download.records[0].path).open("rb") as stream:
            streamed = read_context(stream, place, called)
    return streamed.directory, streamed.dockerfile


class NamedContexts(Struct):
    """`--build-context`: `values` for the plan, `readers` of those that are trees, and where images are found."""

    values: dict[str, str]
    readers: dict[str, ContextReader]
    images: ImageSource


def named_contexts(given: Mapping[str, Pathlike], shop: Workshop, held: ExitStack, same: Sameness) -> NamedContexts:
    """Make named contexts ready to be read: a directory, `docker-image://`, `oci-layout://`, `target:`, an address.

    `same` is the build's setting, which counts for them too; a `lamina.toml` of their own does not.

    Raises BuildFailure `usage-bad-arguments`, `context-…`, `fetch-…`.
    """
    found = NamedContexts({}, {}, shop.images)
    layouts = None
    for name, value in given.items():
        text = os.fspath(value)
        if text.startswith(("docker-image://", "target:")):
            found.values[name] = text
        elif text.startswith("oci-layout://"):
            if layouts is None:
                from lamina.workshop.named_contexts import LayoutImages

                layouts = LayoutImages(shop, shop.images)
                found.images = layouts
            found.values[name] = f"docker-image://{layouts.add(text)}"
        else:
            reader = _reader(name, text, shop, held, same)
            held.callback(reader.close)
            found.values[name], found.readers[name] = "tree", reader
    return found


def _reader(name: str, text: str, shop: Workshop, held: ExitStack, same: Sameness) -> DirectoryContext:
    if not text:
        raise BuildFailure("usage-bad-arguments", f"--build-context {name}=: write where it is", hint=_WHERE)
    if _remote(text) is not None:
        directory, alone = _tree(text, shown(text), shop, held)
        if alone is not None:
            raise BuildFailure("context-bad-archive", f"--build-context {name}: {shown(text)} is no archive")
        return DirectoryContext(directory, modes=same.modes, earliest=same.times)
    directory = Path(text)
    if not directory.is_dir():
        raise BuildFailure("context-not-found", f"--build-context {name}: there is no directory {text!r}", hint=_WHERE)
    rules = load_rules(directory, None)
    cache = shop.store.layout.root / "contexts"
    return DirectoryContext(directory, rules=rules, cache=cache, modes=same.modes, earliest=same.times)


def _remote(text: str) -> HttpSource | GitSource | None:
    if os.path.isdir(text):
        return None
    if text.startswith("github.com/"):  # a git address that Docker has always known
        address, mark, rest = text.partition("#")
        text = f"https://{address.removesuffix('.git')}.git{mark}{rest}"
    try:
        return remote_source(text)
    except ValueError as error:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is no build context", cause=str(error)) from None


def _read(path: Path, context: Path, name: str = "") -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        hint = "name it with -f, or pass the directory that holds it"
        if not context.is_dir():
            raise BuildFailure("context-not-found", f"the build context {str(context)!r} does not exist") from None
        raise BuildFailure("dockerfile-not-found", f"there is no {name or path}", hint=hint) from None
    except OSError as error:
        raise BuildFailure("dockerfile-unreadable", f"{name or path} cannot be read", cause=error.strerror) from None
