"""`lamina push`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.cli.progress import opened
from lamina.diagnostics import BuildFailure
from lamina.oci.reference import Reference, parse_reference
from lamina.store.images import Image
from lamina.workshop.parsing import platforms, reference, store_root, suggestion
from lamina.workshop.wire import Workshop, workshop


def configure(parser: Parser) -> None:
    add = parser.add_argument
    add("image", metavar="NAME[:TAG]", help="a name of the store, of which the registry is a part")
    add("-a", "--all-tags", action="store_true", help="push all tags of NAME")
    add("--platform", metavar="OS/ARCH,…", help="of several platforms, these alone (default: all, with an index)")
    packed = "compress all layers so (default: those that are compressed stay as they are, others become gzip)"
    add("--compression", choices=("gzip", "zstd", "uncompressed"), help=packed)
    add("--progress", default="auto", choices=("auto", "tty", "plain", "rawjson"), help="how to report")
    add("-q", "--quiet", action="store_true", help="print the digest alone")


def run(arguments: argparse.Namespace) -> int:
    """Prints the digest of what was pushed, with `--all-tags` behind its name."""
    from lamina.workshop.pushing import push
    from lamina.workshop.shipping import Form

    name = reference(arguments.image)
    if name.digest is not None:
        raise BuildFailure("usage-bad-arguments", f"{arguments.image!r} names a digest; only names can be pushed")
    if arguments.all_tags and arguments.image.rpartition("/")[2].partition(":")[1]:
        raise BuildFailure("usage-bad-arguments", "--all-tags goes with a name without a tag")
    compression = arguments.compression
    form = Form(compression or "gzip", force=compression is not None, original=compression is None)
    with opened(arguments.progress, quiet=arguments.quiet) as reporter, workshop(store_root(arguments.root)) as shop:
        names = _all_tags(shop, name) if arguments.all_tags else [name]
        chosen = [(one, _images(shop, one, arguments.platform)) for one in names]
        done = [(one, push(shop, [image.id for image in images], [one], form, reporter)) for one, images in chosen]
    for one, digest in done:
        print(f"{one} {digest}" if arguments.all_tags else digest)
    return 0


def _images(shop: Workshop, name: Reference, wanted: str | None) -> list[Image]:
    """What a name holds: an image a platform. Raises BuildFailure `store-image-missing`, `usage-platform`."""
    held = [image for image in shop.store.images.list() if str(name) in image.names]
    chosen = [str(one) for one in platforms(wanted)] if wanted else [image.platform for image in held]
    found = sorted((image for image in held if image.platform in chosen), key=lambda image: image.platform)
    if found and (not wanted or len(found) == len(chosen)):
        return found
    if held:
        there = ", ".join(sorted(image.platform for image in held))
        message = f"{name.familiar()} is not in the store for all of {', '.join(chosen)}"
        raise BuildFailure("store-image-missing", message, hint=f"it is there for {there}")
    raise _missing(shop, name)


def _all_tags(shop: Workshop, name: Reference) -> list[Reference]:
    listed = {parse_reference(text) for image in shop.store.images.list() for text in image.names}
    place = name.registry, name.repository
    found = [one for one in listed if (one.registry, one.repository) == place and one.tag]
    if not found:
        raise _missing(shop, name)
    return sorted(found, key=lambda one: one.tag)


def _missing(shop: Workshop, name: Reference) -> BuildFailure:
    known = [parse_reference(text).familiar() for image in shop.store.images.list() for text in image.names]
    hint = suggestion(name.familiar(), known) or "`lamina images` lists what is there, `lamina tag` gives another name"
    return BuildFailure("store-image-missing", f"no image {name.familiar()!r} in the store", hint=hint)
