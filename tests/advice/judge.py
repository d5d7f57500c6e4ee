"""What `lamina advise` says of a case, and whether that is what it should say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.advice.case import Case, repository
from tests.support.command import Command
from tests.support.linting import IGNORE, checked

from lamina.cli.advise import BETTER
from lamina.dockerfile import parse


def advised(command: Command, case: Case, folder: Path, *flags: str) -> Any:
    """The document of `lamina advise --json` on the case's repository, which is made in `folder` if it is not there."""
    tree = folder / case.name
    if not tree.exists():
        repository(case, tree)
    done = command.run("advise", tree, "--json", *case.words(), *flags)
    assert done.code in (0, 1, BETTER), done.err
    return json.loads(done.out)


def complaints(case: Case, found: Any) -> Iterator[str]:
    """What is wrong with a document."""
    if bool(found["patch"]) != bool(case.order):
        moves = "; ".join(move["what"] for move in found["moves"])
        yield f"a better order was found: {moves}" if found["patch"] else "no better order was found"
        return
    if found["patch"]:
        texts = iter(_instructions(found["dockerfile"]))
        yield from (f"there is no {wanted!r} where it should be" for wanted in case.order if not _within(wanted, texts))
        if found["after"]["seconds"] >= found["before"]["seconds"]:
            yield "the new order is worse"
    lines = {one["pattern"] for one in found["ignore"]}
    yield from (f"no line {line!r} for the ignore file" for line in case.ignores if line not in lines)
    proof = found["proof"]
    if proof is not None and proof["verdict"] != "proved":
        differing = [one for built in proof["commits"] for one in built["differing"] if not one["noise"]]
        yield f"{proof['verdict']}: {proof['why']} " + "; ".join(f"{one['path']}: {one['what']}" for one in differing)


def alarms(case: Case) -> set[str]:
    """The rules of `lamina check` that warn; that these images have no tags is no fault."""
    files = {path: data.decode("utf-8", "replace") for path, data in case.files.items()}
    if ".dockerignore" in files:
        files[IGNORE + " ".join(files[".dockerignore"].split())] = ""
    found = checked(case.dockerfile, files, enable="", skip=["UntaggedBase"]).findings
    return {one.rule for one in found if one.severity != "info"}


def _within(wanted: str, texts: Iterator[str]) -> bool:
    return any(text.startswith(wanted) for text in texts)


def _instructions(dockerfile: str) -> list[str]:
    return [one.original for one in parse(dockerfile.encode(), "Dockerfile").instructions]
