"""`-o`: reading what is asked for, and writing an image, or one for each of several platforms, in that form."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from lamina.cli.annotations import Annotations
from lamina.cli.wire import Workshop
from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.oci.config import decode_config
from lamina.oci.reference import Reference

_TYPES = ("oci", "docker", "tar", "local")
_ATTRIBUTES = frozenset(
    {"type", "dest", "name", "compression", "compression-level", "tar", "oci-mediatypes", "platform-split"}
)


class Output(Struct, frozen=True):
    """One `-o`. `dest` is a path, `-` for standard output; `level` None for the compression's own default. `split` is
    whether files lie in a directory for their platform; None: if there are several."""

    type: str
    dest: str
    names: tuple[str, ...] = ()
    compression: str = "gzip"
    level: int | None = None
    as_tar: bool = True
    docker_types: bool = False
    split: bool | None = None


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
        split=values["platform-split"] != "false" if "platform-split" in values else None,
    )


def export(
    shop: Workshop, images: Sequence[Digest], tags: Sequence[Reference], output: Output, annotations: Annotations
) -> Digest | None:
    """Write an image of the store, or the images of several platforms: as one index, or a directory each. Returns the
    digest of the manifest or index, if there is one.

    Raises BuildFailure `image-…`, `store-…`, `usage-…`.
    """
    if output.type in ("oci", "docker"):
        names = output.names or tuple(str(tag) for tag in tags)
        return _to_archive(shop, [(images, names)], output, annotations)[0]
    split = output.split if output.split is not None else len(images) > 1
    folders = {image: _folder(shop, image) if split else "" for image in images}
    if output.type == "tar":
        _to_tar(shop, folders, output.dest)
    else:
        for image, folder in folders.items():
            _to_directory(shop, image, Path(output.dest) / folder)
    return None


def save(shop: Workshop, images: Sequence[tuple[Digest, tuple[str, ...]]], output: Output) -> None:
    """Write several images into one archive."""
    _to_archive(shop, [((image,), names) for image, names in images], output, Annotations())


def _folder(shop: Workshop, image: Digest) -> str:
    """The directory that an image's files get beside those of other platforms: `linux_arm64`, as BuildKit has it."""
    return str(decode_config(shop.store.blobs.read(image)).platform).replace("/", "_")


def _to_archive(
    shop: Workshop,
    images: Sequence[tuple[Sequence[Digest], tuple[str, ...]]],
    output: Output,
    annotations: Annotations,
) -> list[Digest]:
    from lamina.cli.shipping import Shipper
    from lamina.image.archivesinks import DirectorySink, TarSink
    from lamina.image.dockerarchive import write_docker_archive
    from lamina.image.ocilayout import write_layout

    shipper = Shipper(shop, output.compression, output.level, docker=output.docker_types, annotations=annotations)
    named = [shipper.named(each, names) for each, names in images]
    write = write_docker_archive if output.type == "docker" else write_layout
    if not output.as_tar:
        write(DirectorySink(Path(output.dest)), named, shipper)
    else:
        with _opened(output.dest) as stream:
            sink = TarSink(stream.write)
            write(sink, named, shipper)
            sink.close()
    return [each.root.digest for each in named]


def _to_tar(shop: Workshop, folders: Mapping[Digest, str], dest: str) -> None:
    from lamina.image.flatten import flatten_several_to_tar

    if len(set(folders.values())) < len(folders):
        raise BuildFailure(
            "usage-output", "one tar cannot hold the files of several platforms unsplit", hint="drop platform-split"
        )
    stacks = {folder: shop.layers_of(image) for image, folder in folders.items()}
    with _opened(dest) as stream:
        flatten_several_to_tar(stacks, stream.write, shop.rung.xattr)


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
