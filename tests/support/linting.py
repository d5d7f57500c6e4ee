"""Checking a Dockerfile's text, with a context that exists in memory alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from lamina.dockerfile import parse
from lamina.dockerfile.ignore import parse_ignore
from lamina.explain.context import prefixes
from lamina.explain.readings import readings
from lamina.keys.filetree import FileRecord
from lamina.lint.check import Checked, Choice, check
from lamina.lint.rule import Finding
from lamina.lint.subject import Context
from lamina.lint.survey import survey
from lamina.lint.table import RULES
from lamina.oci.config import ImageConfig
from lamina.oci.platform import Platform
from lamina.plan.steps import PlanOptions
from lamina.workshop.checking import context_of

HERE = Platform("linux", "amd64")
IGNORE = ".dockerignore: "


def checked(
    text: str,
    files: Sequence[str] | Mapping[str, str] | None = None,
    *,
    enable: str = "all",
    skip: Sequence[str] = (),
    images: Mapping[str, ImageConfig] | None = None,
) -> Checked:
    """The findings of all rules. `files` are the paths of a context, perhaps with texts; a line `.dockerignore: a b` is
    an ignore file."""
    dockerfile = parse(text.encode(), "Dockerfile")
    context = None if files is None else context_with(text, files)
    subject = survey(dockerfile, HERE, context=context, images=images)
    return check(subject, RULES, Choice(frozenset(skip), frozenset(enable.split(","))))


def found(text: str, rule: str, files: Sequence[str] | Mapping[str, str] | None = None) -> list[Finding]:
    """The findings of one rule."""
    return [one for one in checked(text, files).findings if one.rule == rule]


def lines(text: str, rule: str, files: Sequence[str] | None = None) -> list[int]:
    """The lines on which one rule finds something."""
    return [one.span.line for one in found(text, rule, files)]


def context_with(text: str, files: Sequence[str] | Mapping[str, str]) -> Context:
    """A context of these files, and what the Dockerfile takes of it. Files without a text cannot be read."""
    ignore = next((line.removeprefix(IGNORE) for line in files if line.startswith(IGNORE)), None)
    rules = None if ignore is None else parse_ignore("\n".join(ignore.split()).encode(), ".dockerignore")
    paths = [one for one in files if not one.startswith(IGNORE)]
    folders = {above for path in paths for above in prefixes(path)[:-1]}
    records = [FileRecord(path, "dir", 0o755) for path in folders] + [
        FileRecord(path, "file", 0o644, 1) for path in paths
    ]
    kept = sorted(
        (one for one in records if rules is None or not rules.excluded(one.path)), key=lambda record: record.path
    )
    options = PlanOptions(platform=HERE, build_platform=HERE)
    context = context_of(kept, rules, readings(parse(text.encode(), "Dockerfile"), options, kept))
    return replace(context, read=files.get) if isinstance(files, Mapping) else context
