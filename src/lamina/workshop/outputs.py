"""`-o`: reading what is asked for, and writing an image, or one for each of several platforms, in that form."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID, Digest
from lamina.events import Reporter
from lamina.oci.config import decode_config
from lamina.oci.mediatypes import LEVELS
from lamina.oci.reference import Reference
from lamina.ports.images import ImageEntry
from lamina.workshop.annotations import Annotations
from lamina.workshop.layersource import layers_of
from lamina.workshop.parsing import reference
from lamina.workshop.wire import Workshop
from lamina.workshop.written import written

if TYPE_CHECKING:
    from lamina.oci.attestation import Provenance
    from lamina.workshop.shipping import Form

_TYPES = ("registry", "image", "oci", "docker", "tar", "local", "cacheonly")
#: Attribute → the types that take it. `name-canonical` says what is so anyway: results are named by digest, too.
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "type": _TYPES,
    "dest": ("oci", "docker", "tar", "local"),
    "name": ("registry", "image", "oci", "docker"),
    "push": ("image",),
    "push-by-digest": ("registry", "image"),
    "name-canonical": ("registry", "image"),
    "compression": ("registry", "image", "oci", "docker"),
    "compression-level": ("registry", "image", "oci", "docker"),
    "force-compression": ("registry", "image", "oci", "docker"),
    "oci-mediatypes": ("registry", "image", "oci", "docker"),
    "tar": ("oci", "docker"),
    "platform-split": ("tar", "local"),
}
#: What BuildKit has and lamina has elsewhere.
_INSTEAD = {
    "rewrite-timestamp": "--reproducible gives the files of layers a time that is the same everywhere",
    "source-date-epoch": "pass --source-date-epoch",
    "registry.insecure": "say so in lamina's configuration (docs/registries.md)",
    "unpack": "leave it out: the image is in the store, unpacked, whatever is written",
    "store": "leave it out: the image is in the store, whatever is written",
}
_ANNOTATIONS = {"annotation": "manifest", "annotation-manifest": "manifest", "annotation-index": "index"}
_ANNOTATED = ("registry", "image", "oci", "docker")


class Output(Struct, frozen=True):
    """One `-o`. `dest` is a path, `-` for standard output; `level` None for the compression's own default. `split` is
    whether files lie in a directory for their platform; None: if there are several. `push` sends an `image` to the
    registries of its names, `by_digest` without a tag. `exact` and `provenance` as in `Form`."""

    type: str
    dest: str = ""
    names: tuple[str, ...] = ()
    compression: str = "gzip"
    level: int | None = None
    as_tar: bool = True
    docker_types: bool = False
    split: bool | None = None
    force: bool = False
    push: bool = False
    by_digest: bool = False
    exact: frozenset[DiffID] = frozenset()
    annotations: Annotations = Annotations()
    provenance: Mapping[Digest, Provenance] = {}

    def form(self, annotations: Annotations) -> Form:
        """How its images are written, with these annotations beside its own."""
        from lamina.workshop.shipping import Form

        own = self.annotations
        joined = Annotations({**annotations.manifest, **own.manifest}, {**annotations.index, **own.index})
        return Form(
            self.compression,
            self.level,
            force=self.force,
            docker=self.docker_types,
            annotations=joined,
            exact=self.exact,
            provenance=self.provenance,
        )


def parse_output(text: str) -> Output:
    """Read `type=oci,dest=PATH,…` (fields as in CSV, so that quotes may hold a comma), or a path alone (`type=local`),
    or `-` (`type=tar` to standard output).

    Raises BuildFailure `usage-output`.
    """
    if "=" not in text:
        return Output("tar", "-") if text == "-" else Output("local", text)
    import csv  # here, because most builds have no output but the store

    fields = next(csv.reader([text], strict=False), [])
    values = dict(part.partition("=")[::2] for part in fields)
    kind, annotations = values.get("type", "local"), Annotations({}, {})
    if kind not in _TYPES:
        raise _bad(text, f"there is no output type {kind!r}", f"one of {', '.join(_TYPES)}")
    for name in values:
        place, dot, key = name.partition(".")
        if dot and key and place in _ANNOTATIONS and kind in _ANNOTATED:
            getattr(annotations, _ANNOTATIONS[place])[key] = values[name]
        elif name not in _ATTRIBUTES:
            if name in _INSTEAD:
                raise _bad(text, f"there is no {name}", _INSTEAD[name])
            known = [one for one, kinds in _ATTRIBUTES.items() if kind in kinds]
            known += [f"{one}.KEY" for one in _ANNOTATIONS if kind in _ANNOTATED]
            raise _bad(text, f"{name} is not known", f"type={kind} takes {', '.join(sorted(known))}")
        elif kind not in _ATTRIBUTES[name]:
            raise _bad(text, f"type={kind} has no {name}", f"{name} goes with {', '.join(_ATTRIBUTES[name])}")
    if kind in _ATTRIBUTES["dest"] and not values.get("dest"):
        piped = ", or pipe it: -o type=docker,dest=- … | docker load" if kind == "docker" else ""
        raise _bad(text, "dest is missing", f"write -o type={kind},dest=PATH{piped}")
    compression, level = _compression(text, values)
    names = values.get("name", "").replace(";", ",").split(",")
    return Output(
        type="image" if kind == "registry" else kind,
        dest=values.get("dest", ""),
        names=tuple(filter(None, map(str.strip, names))),
        compression=compression,
        level=level,
        as_tar=_flag(text, values, "tar", True),
        docker_types=not _flag(text, values, "oci-mediatypes", kind != "docker"),
        split=_flag(text, values, "platform-split", True) if "platform-split" in values else None,
        force=_flag(text, values, "force-compression", False),
        push=_flag(text, values, "push", kind == "registry"),
        by_digest=_flag(text, values, "push-by-digest", False),
        annotations=annotations,
    )


def check(outputs: Sequence[Output], tags: Sequence[Reference], shop: Workshop) -> None:
    """Find out before a build what its outputs would fail of: images to push have names, and credentials for their
    registries can be read. Raises BuildFailure `usage-…`, `registry-…`."""
    for output in outputs:
        names = image_names(output, tags)
        if output.push and not names:
            hint = "give the image a name: -t REGISTRY/NAME, or name=REGISTRY/NAME in the output"
            raise BuildFailure("usage-output", "an image that is to be pushed has no name", hint=hint)
        for registry in {name.registry for name in names} if output.push else ():
            # Here, because programs that keep credentials may not answer to a process in its own namespaces.
            shop.session.credentials.lookup(registry)


def keeps_name(outputs: Sequence[Output]) -> bool:
    """Whether an image gets the names of its build in the store: not if only the cache is to be filled."""
    return not outputs or any(output.type != "cacheonly" for output in outputs)


def attestable(output: Output) -> bool:
    """Whether a statement about the image can lie beside it: where there is an index of manifests."""
    return output.type in ("image", "oci")


def parse_outputs(texts: Sequence[str], *, attested: bool = False) -> list[Output]:
    """Read several; with `attested` at least one must be such that it can hold a statement.

    Raises BuildFailure `usage-output`, `usage-attest`.
    """
    found = [parse_output(text) for text in texts]
    if attested and not any(map(attestable, found)):
        hint = "add --push or -o type=oci,dest=PATH"
        raise BuildFailure("usage-attest", "nothing is written that could hold the provenance", hint=hint)
    return found


def image_names(output: Output, tags: Sequence[Reference]) -> tuple[Reference, ...]:
    """The names of an output's image: its own, else the build's. Raises BuildFailure `usage-image-name`."""
    return tuple(map(reference, output.names)) or tuple(tags)


def export(
    shop: Workshop,
    images: Sequence[Digest],
    tags: Sequence[Reference],
    output: Output,
    annotations: Annotations,
    reporter: Reporter | None = None,
) -> Digest | None:
    """Write an image of the store, or the images of several platforms: as one index, or a directory each. Returns the
    digest of the manifest or index, if there is one.

    Raises BuildFailure `image-…`, `store-…`, `registry-…`, `usage-…`.
    """
    if output.type == "image":
        return _to_image(shop, images, image_names(output, tags), output, annotations, reporter or Reporter())
    if output.type == "cacheonly":
        return None
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


def _to_image(
    shop: Workshop,
    images: Sequence[Digest],
    names: Sequence[Reference],
    output: Output,
    annotations: Annotations,
    reporter: Reporter,
) -> Digest:
    from lamina.workshop.pushing import push
    from lamina.workshop.shipping import Shipper

    if output.names:
        for image in images:
            shop.catalog.add(ImageEntry(image), names, time.time())
        platforms = [str(decode_config(shop.store.blobs.read(image)).platform) for image in images]
        shop.store.images.only([str(name) for name in names], platforms)
    form = output.form(annotations)
    if output.push:
        return push(shop, images, names, form, reporter, by_digest=output.by_digest)
    return Shipper(shop, form).named(images, ()).root.digest


def _to_archive(
    shop: Workshop,
    images: Sequence[tuple[Sequence[Digest], tuple[str, ...]]],
    output: Output,
    annotations: Annotations,
) -> list[Digest]:
    from lamina.image.archivesinks import DirectorySink, TarSink
    from lamina.image.dockerarchive import write_docker_archive
    from lamina.image.ocilayout import write_layout
    from lamina.workshop.shipping import Shipper

    shipper = Shipper(shop, output.form(annotations))
    if any(shipper.unmade(each) for each, _ in images):
        _ = shop.rung  # entered before there are threads that compress
    named = [shipper.named(each, names) for each, names in images]
    write = write_docker_archive if output.type == "docker" else write_layout
    if not output.as_tar:
        write(DirectorySink(Path(output.dest)), named, shipper)
    else:
        with written(output.dest, "an archive") as stream:
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
    stacks = {folder: layers_of(shop, image) for image, folder in folders.items()}
    with written(dest, "an archive") as stream:
        flatten_several_to_tar(stacks, stream.write, shop.rung.xattr)


def _to_directory(shop: Workshop, image: Digest, dest: Path) -> None:
    from lamina.image.flatten import flatten_to_directory

    layers, rung = layers_of(shop, image), shop.rung
    flatten_to_directory(layers, dest, rung.xattr, keep_owners=rung.name == "root")


def _compression(text: str, values: Mapping[str, str]) -> tuple[str, int | None]:
    compression, level = values.get("compression", "gzip"), values.get("compression-level")
    if compression not in LEVELS:
        raise _bad(text, f"compression {compression!r} is not known", f"one of {', '.join(LEVELS)}")
    if level is None:
        return compression, None
    if not (level.isascii() and level.isdecimal()):
        raise _bad(text, "compression-level is not a number", None)
    if int(level) > LEVELS[compression]:
        raise _bad(text, f"compression-level of {compression} ends at {LEVELS[compression]}", None)
    return compression, int(level)


def _flag(text: str, values: Mapping[str, str], name: str, default: bool) -> bool:
    written = values.get(name, str(default).lower())
    if written not in ("true", "false", "1", "0", ""):
        raise _bad(text, f"{name} is true or false, not {written!r}", None)
    return written not in ("false", "0")


def _bad(text: str, message: str, hint: str | None) -> BuildFailure:
    return BuildFailure("usage-output", f"-o {text}: {message}", hint=hint)
