"""`--provenance`, `--sbom`, `--attest`: what is to be said of an image beside it, and saying how it was built.

What is said is the same whenever and wherever the same is built: there is no time and no number of a run in it, so that
an image with its provenance can be reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lamina.diagnostics import BuildFailure

if TYPE_CHECKING:
    from lamina.engine.request import BuildRequest, BuildResult
    from lamina.oci.attestation import Provenance
    from lamina.workshop.outputs import Output

Mode = Literal["min", "max"]

_NO_SBOM = "leave it out, and let a scanner read the image"
_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")


def parse_mode(attest: Sequence[str], provenance: str | None, sbom: str | None) -> Mode | None:
    """What the three options ask for, as they are written; None: nothing. As in buildx the shorthands win over
    `--attest`.

    Raises BuildFailure `usage-attest`, and `usage-not-there` for a bill of materials.
    """
    wanted: dict[str, Mode | None] = {}
    for text in attest:
        fields = _fields("--attest", text)
        kind = fields.pop("type", "")
        if kind not in ("provenance", "sbom"):
            raise _bad(f"--attest {text}: there is no type {kind!r}", "write type=provenance")
        wanted[kind] = _mode(f"--attest {text}", fields)
    for kind, value in (("provenance", provenance), ("sbom", sbom)):
        if value:
            fields = {"disabled": "true"} if value.lower() in _FALSE else {}
            if value.lower() not in (*_TRUE, *_FALSE):
                fields = _fields(f"--{kind}", value)
            wanted[kind] = _mode(f"--{kind} {value}", fields)
    if wanted.get("sbom") is not None:
        raise BuildFailure("usage-not-there", "lamina build writes no bill of materials", hint=_NO_SBOM)
    return wanted.get("provenance")


def attested(
    outputs: Sequence[Output], results: Sequence[BuildResult], request: BuildRequest, mode: Mode
) -> list[Output]:
    """The outputs, with the provenance of the images for those that can hold it."""
    from msgspec.structs import replace

    from lamina.workshop.outputs import attestable

    said = {result.image_id: provenance(result, request, mode) for result in results}
    return [replace(one, provenance=said) if attestable(one) else one for one in outputs]


def provenance(result: BuildResult, request: BuildRequest, mode: Mode) -> Provenance:
    """The SLSA provenance (version 1) of a finished build. `max` also tells the values of build arguments, labels, and
    the Dockerfile's text; nothing of a secret is in either."""
    from lamina.oci.attestation import Provenance, package
    from lamina.oci.reference import parse_reference

    options = request.options
    told: dict[str, str] = {"target": options.target} if options.target else {}
    if mode == "max":
        told |= {f"build-arg:{name}": value for name, value in sorted(options.build_args.items())}
        told |= {f"label:{name}": value for name, value in sorted(options.labels.items())}
    dependencies = [
        {"uri": package(parse_reference(image.name), image.platform), "digest": _digest(base.digest)}
        for image, base in sorted(result.images.items(), key=lambda pair: (pair[0].name, str(pair[0].platform)))
    ]
    metadata: dict[str, Any] = {"lamina_key": result.key} if result.key is not None else {}
    if mode == "max":
        metadata["lamina_source"] = {"path": request.file, "text": request.dockerfile.decode("utf-8", "replace")}
    predicate = {
        "buildDefinition": {
            "buildType": "urn:lamina:dockerfile:1",
            "externalParameters": {
                "configSource": {"path": request.file.rpartition("/")[2]},
                "request": {
                    "frontend": "dockerfile.v0",
                    "args": told,
                    "locals": [{"name": "context"}, {"name": "dockerfile"}],
                },
            },
            "internalParameters": {"builderPlatform": str(options.build_platform)},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {"builder": {"id": ""}, "metadata": metadata},
    }
    return Provenance(tuple(package(tag, result.config.platform) for tag in request.tags), predicate)


def _digest(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}


def _fields(option: str, text: str) -> dict[str, str]:
    import csv

    fields: Sequence[str] = next(csv.reader([text], strict=False), [])
    for field in fields:
        if "=" not in field:
            raise _bad(f"{option} {text}: {field!r} has no value", "write true, false, mode=min or mode=max")
    return dict(field.partition("=")[::2] for field in fields)


def _mode(shown: str, fields: Mapping[str, str]) -> Mode | None:
    """What one kind of attestation is asked for."""
    if fields.get("disabled", "false").lower() in _TRUE:
        return None
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise _bad(f"{shown}: there is no mode {mode!r}", "it is min or max")
    if fields.get("version", "v1") != "v1":
        raise _bad(f"{shown}: version {fields['version']} of SLSA's provenance is not there", "leave version out: v1")
    return "max" if mode == "max" else "min"


def _bad(message: str, hint: str) -> BuildFailure:
    return BuildFailure("usage-attest", message, hint=hint)
