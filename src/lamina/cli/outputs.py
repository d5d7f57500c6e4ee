"""`-o`: reading what is asked for, and writing an image in that form."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from lamina.cli.wire import Workshop
from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.oci.config import decode_config
from lamina.oci.reference import Reference

_TYPES = ("oci", "docker", "tar", "local")
_ATTRIBUTES = frozenset({"type", "dest", "name", "compression", "compression-level", "tar", "oci-mediatypes"})


class Output(Struct, frozen=True):
    """One `-o`. `dest` is a path, `-` for standard output; `level` None for the compression's own default."""

    type: str
    dest: str
    names: tuple[str, ...] = ()
    compression: str = "gzip"
    level: int | None = None
    as_tar: bool = True
    docker_types: bool = False


def parse_output(text: str) -> Output:
    """Read `type=oci,dest=PATH,…`, or a path alone (`type=local`), or `-` (`type=tar` to standard output).

    Raises BuildFailure `usage-output`.
    """
    if "=" not in text:
        return Output("tar", "-") if text == "-" else Output("local", text)
    values = dict(part.partition("=")[::2] for part in text.split(","))
    unknown = set(values) - _ATTRIBUTES
    kind, dest = values.get("type", "local"), values.get("dest", "")
    if unknown:
        raise _bad(text, f"{', '.join(sorted(unknown))} is not known", f"it takes {', '.join(sorted(_ATTRIBUTES))}")
    if kind not in _TYPES:
        raise _bad(
            text, f"there is no output type {kind!r}", f"one of {', '.join(_TYPES)}; the store has the image anyway"
        )
    if not dest:
        raise _bad(text, "dest is missing", f"write -o type={kind},dest=PATH")
    if values.get("compression", "gzip") not in ("gzip", "zstd", "uncompressed"):
        raise _bad(text, f"compression {values['compression']!r} is not known", "one of gzip, zstd, uncompressed")
    level = values.get("compression-level")
    if level is not None and not level.isdecimal():
        raise _bad(text, "compression-level is not a number", None)
    return Output(
        type=kind,
        dest=dest,
        names=tuple(filter(None, values.get("name", "").split(";"))),
        compression=values.get("compression", "gzip"),
        level=int(level) if level else None,
        as_tar=values.get("tar", "true") != "false",
        docker_types=values.get("oci-mediatypes", "false" if kind == "docker" else "true") == "false",
    )


def export(shop: Workshop, images: Sequence[Digest], tags: Sequence[Reference], output: Output) -> None:
    """Write an image of the store, or the images of several platforms: as one index, or a folder each.

    Raises BuildFailure `image-…`, `store-…`, `usage-output`.
    """
    names = output.names or tuple(str(tag) for tag in tags)
    match output.type:
        case "local" if len(images) == 1:
            _to_directory(shop, images[0], Path(output.dest))
        case "local":
            for image in images:
                platform = decode_config(shop.store.blobs.read(image)).platform
                _to_directory(shop, image, Path(output.dest) / str(platform).replace("/", "_"))
        case "tar" if len(images) == 1:
            _to_tar(shop, images[0], output.dest)
        case "tar":
            raise BuildFailure(
                "usage-output", "a tar holds the files of one platform", hint="write type=local or type=oci"
            )
        case _:
            _to_archive(shop, [(images, names)], output)


def save(shop: Workshop, images: Sequence[tuple[Digest, tuple[str, ...]]], output: Output) -> None:
    """Write several images into one archive."""
    _to_archive(shop, [((image,), names) for image, names in images], output)


def _to_archive(shop: Workshop, images: Sequence[tuple[Sequence[Digest], tuple[str, ...]]], output: Output) -> None:
    from lamina.cli.shipping import Shipper
    from lamina.image.archivesinks import DirectorySink, TarSink
    from lamina.image.dockerarchive import write_docker_archive
    from lamina.image.ocilayout import write_layout

    shipper = Shipper(shop, output.compression, output.level, docker=output.docker_types)
    named = [shipper.image(each[0], names) if len(each) == 1 else shipper.index(each, names) for each, names in images]
    write = write_docker_archive if output.type == "docker" else write_layout
    if not output.as_tar:
        write(DirectorySink(Path(output.dest)), named, shipper)
        return
    with _opened(output.dest) as stream:
        sink = TarSink(stream.write)
        write(sink, named, shipper)
        sink.close()


def _to_tar(shop: Workshop, image: Digest, dest: str) -> None:
    from lamina.image.flatten import flatten_to_tar

    layers, namespace = shop.layers_of(image), shop.rung.xattr
    with _opened(dest) as stream:
        flatten_to_tar(layers, stream.write, namespace)


def _to_directory(shop: Workshop, image: Digest, dest: Path) -> None:
    from lamina.image.flatten import flatten_to_directory

    layers, rung = shop.layers_of(image), shop.rung
    flatten_to_directory(layers, dest, rung.xattr, keep_owners=rung.name == "root")


@contextmanager
def _opened(dest: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is whole; `-` is standard output."""
    if dest == "-":
        if sys.stdout.isatty():
            raise BuildFailure(
                "usage-output", "refusing to write an archive to a terminal", hint="redirect it: > file.tar"
            )
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(dest)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            yield stream
        draft.replace(path)
    except OSError as error:
        raise BuildFailure("image-output-failed", f"cannot write {dest}", cause=error.strerror) from error
    finally:
        draft.unlink(missing_ok=True)


def _bad(text: str, message: str, hint: str | None) -> BuildFailure:
    return BuildFailure("usage-output", f"-o {text}: {message}", hint=hint)
