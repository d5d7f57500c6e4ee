"""`--annotation`: words about an image that stand in its manifest, or in the index over several."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lamina.diagnostics import BuildFailure


class Annotations(Struct, frozen=True):
    """What the manifests, and the index over several, are annotated with."""

    manifest: dict[str, str] = {}
    index: dict[str, str] = {}


def parse_annotations(values: Sequence[str]) -> Annotations:
    """Read `[manifest:|index:]KEY=VALUE` words, of the manifest if none is named. Raises BuildFailure
    `usage-bad-arguments`."""
    found = Annotations({}, {})
    for text in values:
        name, equals, value = text.partition("=")
        kinds, colon, key = name.rpartition(":")
        if not equals or not key or not {"manifest", "index"}.issuperset(kinds.split(",") if colon else ()):
            hint = "write KEY=VALUE, manifest:KEY=VALUE or index:KEY=VALUE"
            raise BuildFailure("usage-bad-arguments", f"--annotation {text!r} cannot be read", hint=hint)
        for kind in kinds.split(",") if colon else ("manifest",):
            (found.index if kind == "index" else found.manifest)[key] = value
    return found
