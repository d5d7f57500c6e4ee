"""Build arguments: which names are known where, and with what value (Dockerfile reference, "ARG")."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.syntax import Arg, Pair
from lamina.dockerfile.words import expand
from lamina.oci.platform import Platform
from lamina.plan.steps import PlanOptions

#: Usable in RUN without ARG, and then in no key, history or image.
PROXY_NAMES = frozenset(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)


#: Build arguments that mean something without an ARG (Dockerfile reference, "BuildKit built-in build args").
SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"


#: What the time may be set to, too: that of a context from elsewhere. BuildKit leaves it unset for a directory.
_CONTEXT = "context"


def source_date_epoch(options: PlanOptions, scope: Mapping[str, str]) -> int | None:
    """The time that the image is to bear, in seconds since the epoch: the build argument, or the default that an ARG
    above the first FROM gives it; `scope` has the global arguments. Raises BuildFailure `usage-source-date-epoch`."""
    text = options.build_args.get(SOURCE_DATE_EPOCH, scope.get(SOURCE_DATE_EPOCH, ""))
    if text in ("", _CONTEXT):
        return None
    # Ten thousand years: what a date can be written of.
    if not text.isdecimal() or int(text) > 253_402_300_799:
        raise BuildFailure(
            "usage-source-date-epoch",
            f"SOURCE_DATE_EPOCH={text} is not a number of seconds since 1970",
            hint="pass --build-arg SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)",
        )
    return int(text)


def global_args(instructions: tuple[Arg, ...], options: PlanOptions, escape: str, target: str) -> dict[str, str]:
    """The arguments that FROM lines see: platform arguments, then the ARGs above the first FROM, in order.

    `target` is the name of the stage that is built, empty if it has none. A name without any value is left out, so
    that `${X:-d}` works. Raises BuildFailure for a bad substitution.
    """
    values = {**_platform("TARGET", options.platform), **_platform("BUILD", options.build_platform)}
    values["TARGETSTAGE"] = target or "default"
    for name in list(values):
        if name in options.build_args:
            values[name] = options.build_args[name]
    for instruction in instructions:
        before = dict(values)
        for pair in instruction.pairs:
            value = options.build_args.get(pair.name, _default(pair, before, escape))
            if value is not None:
                values[pair.name] = value
    if values.get(SOURCE_DATE_EPOCH) == _CONTEXT:
        del values[SOURCE_DATE_EPOCH]
    return values


def stage_arg(
    pair: Pair, env: Mapping[str, str], outer: Mapping[str, str], options: PlanOptions, escape: str
) -> str | None:
    """The value that an ARG line gives a name inside a stage, None for none: the command line's, else the line's own
    default, else the global one (a bare `ARG X` imports it)."""
    given = options.build_args.get(pair.name)
    if given is not None and (pair.name, given) != (SOURCE_DATE_EPOCH, _CONTEXT):
        return given
    if pair.value is not None:
        return _default(pair, env, escape)
    return outer.get(pair.name)


def _default(pair: Pair, env: Mapping[str, str], escape: str) -> str | None:
    return None if pair.value is None else expand(pair.value, env, escape=escape, span=pair.span)


def _platform(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }
