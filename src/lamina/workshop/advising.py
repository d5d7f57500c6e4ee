"""What `lamina advise` rests on: the Dockerfile, the history, what the store knows of costs and observations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from lamina.advise.advice import Case
from lamina.advise.cost import CostBook
from lamina.advise.past import History
from lamina.advise.sheet import Sheet, sheet
from lamina.advise.wants import Seen
from lamina.context.ignore_file import load_rules
from lamina.diagnostics import BuildFailure
from lamina.history.log import contents, read_history
from lamina.oci.config import ImageConfig, RootFS, decode_config
from lamina.oci.reference import parse_reference
from lamina.plan.planner import make_plan
from lamina.plan.steps import ImageRef, MetaOp, Missing, Plan, PlanOptions, RunOp, Stage, Step
from lamina.workshop import locate
from lamina.workshop.advising_layers import layers_in
from lamina.workshop.parsing import host_platform, platform, store_root
from lamina.workshop.wire import Workshop, workshop

if TYPE_CHECKING:
    from lamina.engine.request import BuildResult

#: What stands for a value that no build has twice.
_MARK = "lamina-advise-varies"


class Question(Struct, frozen=True):
    """What advice is asked for: see `lamina.advice`. `costs` are seconds by a step's line, stage/number or text."""

    context: str | os.PathLike[str]
    dockerfile: str | os.PathLike[str] | None = None
    build_args: Mapping[str, str] = {}
    target: str = ""
    platform: str | None = None
    since: str = ""
    commits: int = 200
    costs: Sequence[tuple[str, float]] = ()
    varies: Sequence[str] = ()
    root: str | os.PathLike[str] | None = None


class Facts(Struct, frozen=True):
    """A case, with what a proof needs besides. `notes` are sentences on what the advice does not know."""

    case: Case
    located: locate.Located
    options: PlanOptions
    root: Path
    notes: tuple[str, ...]


def facts(asked: Question, observe: Callable[..., BuildResult] | None = None) -> Facts:
    """Gather everything. No step runs, unless there is `observe`: `lamina.build`, to see what steps look at.

    Raises BuildFailure `context-…`, `dockerfile-…`, `usage-bad-arguments`.
    """
    if locate.is_elsewhere(asked.context) or asked.dockerfile == "-":
        hint = "advice is made of a git checkout's history: pass its directory"
        raise BuildFailure("usage-bad-arguments", "the context and the Dockerfile must be files here", hint=hint)
    root = store_root(asked.root)
    if observe is not None:
        observe(
            asked.context,
            dockerfile=asked.dockerfile,
            build_args=asked.build_args,
            target=asked.target,
            platform=asked.platform,
            observe=True,
            cache_from=(),  # what comes from elsewhere is not observed
            cache_to=(),
            root=root,
        )
    located = locate.here(asked.context, asked.dockerfile)
    history = read_history(located.directory, limit=asked.commits, since=asked.since)
    varying = {name: f"{_MARK}-{name}" for name in asked.varies}
    options = PlanOptions(
        platform=platform(asked.platform),
        build_platform=host_platform(),
        build_args={**asked.build_args, **varying},
        target=asked.target,
    )
    with workshop(root) as shop:
        notes = list(history.notes)
        written = sheet(located.text, _name(located))
        planned = _planner(options, shop, notes)
        plan = planned(written)
        recorded = _recorded(shop, located.project, plan)
        head = history.head()

        def read(path: str) -> str | None:
            record = head.get(path)
            if record is None or record.kind != "file" or record.size:
                return None
            return contents(located.directory, (record.content,)).get(record.content, b"").decode("utf-8", "replace")

        case = Case(
            sheet=written,
            planned=planned,
            book=CostBook(recorded, _given(plan, asked.costs)),
            history=history,
            rules=load_rules(located.directory, located.path),
            read=read,
            seen=_seen(shop, located.project, plan),
            varying=varying,
            earlier=_earlier(located.directory, history, written.name),
            layers=layers_in(shop, located.project),
        )
        return Facts(case, located, options, root, tuple(dict.fromkeys(notes)))


def _earlier(directory: Path, history: History, name: str) -> list[tuple[int, Sheet]]:
    """The Dockerfiles that there were, each from its commit on; none if it never changed, or one cannot be read."""
    start = next((record for record in history.start if record.path == name), None)
    found = [(0, start)] if start is not None else []
    for place, commit in enumerate(history.commits, 1):
        found += [
            (place, change.after) for change in commit.changes if change.path == name and change.after is not None
        ]
    blobs = contents(directory, [record.content for _, record in found])
    if len(found) < 2 or found[0][0] != 0:
        return []
    try:
        return [(place, sheet(blobs[record.content], name)) for place, record in found]
    except (BuildFailure, KeyError):
        return []


def _name(located: locate.Located) -> str:
    """The Dockerfile's path from the context, as a diff has it, or from here if it lies elsewhere."""
    assert located.path is not None
    inner = os.path.relpath(os.path.realpath(located.path), os.path.realpath(located.directory))
    return str(located.path) if inner.startswith("../") else inner


def _planner(options: PlanOptions, shop: Workshop, notes: list[str]) -> Callable[[Sheet], Plan]:
    """Plans with the base images that the store has. Nothing is fetched: what is not there is taken to be empty."""
    known: dict[ImageRef, ImageConfig] = {}

    def planned(one: Sheet) -> Plan:
        while isinstance(plan := make_plan(one.parsed, options, known), Missing):
            for wanted, _ in plan.images:
                known[wanted] = _config(wanted, shop, notes)
        return plan

    return planned


def _config(wanted: ImageRef, shop: Workshop, notes: list[str]) -> ImageConfig:
    try:
        entry = shop.catalog.find(parse_reference(wanted.name), wanted.platform)
        if entry is not None:
            return decode_config(shop.store.blobs.read(entry.image_id))
    except ValueError:
        pass
    notes.append(
        f"{wanted.name} is not in the store: it is taken to have no variables, directory or triggers of its own"
    )
    return ImageConfig(wanted.platform.architecture, wanted.platform.os, RootFS("layers", ()))


def _recorded(shop: Workshop, project: str, plan: Plan) -> dict[str, float]:
    """What steps of these texts took: the median of the records of this project, else of others."""
    found: dict[str, float] = {}
    for stage, step in _steps(plan):
        records = shop.store.records.nearest(f"{stage.label}/{step.ordinal}", project, step.text)
        same = [record.seconds for record in records if record.text == step.text]
        if same:
            found[step.text] = median(same)
    return found


def _given(plan: Plan, costs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The costs that the user gives, by the texts of steps."""
    found: dict[str, float] = {}
    for word, seconds in costs:
        texts = [step.text for stage, step in _steps(plan) if _is_meant(word, stage, step)]
        if not texts:
            hint = "a step is named by its line, as stage/number, or by a part of its text"
            raise BuildFailure("usage-bad-arguments", f"--cost: no step is {word!r}", hint=hint)
        found.update(dict.fromkeys(texts, seconds))
    return found


def _is_meant(word: str, stage: Stage, step: Step) -> bool:
    if word.isdecimal():
        return step.span.line <= int(word) <= step.span.end_line
    return word == f"{stage.label}/{step.ordinal}" or word.lower() in step.text.lower()


def _steps(plan: Plan) -> Iterator[tuple[Stage, Step]]:
    return ((stage, step) for stage in plan.stages for step in stage.steps if not isinstance(step.op, MetaOp))


def _seen(shop: Workshop, project: str, plan: Plan) -> Mapping[tuple[str, str], Seen]:
    """What the observed steps of the project's last build that was observed looked at. A RUN with a heredoc must have
    had the same script then, and no other one with its first line: the text that names it does not tell."""
    from lamina.explain.needed import needed
    from lamina.explain.observed import copies_below
    from lamina.store.observations import KeptObservations
    from lamina.workshop.chosen import story_of

    found: dict[tuple[str, str], Seen] = {}
    scripts: dict[str, list[dict[str, str]]] = {}
    for _, step in _steps(plan):
        if isinstance(step.op, RunOp) and "<<" in step.text:
            scripts.setdefault(step.text, []).append(_script(step.op))
    for build in shop.store.builds.last(5, project):
        story = story_of(shop, build)
        for told_step in story.steps() if story is not None else ():
            if told_step.looks is None or story is None:
                continue
            parts = {part.name: part.value for part in told_step.key.parts} if told_step.key is not None else {}
            if told_step.text in scripts and scripts[told_step.text] != [
                {name: parts[name] for name in ("command", "script") if name in parts}
            ]:
                continue
            observations = KeptObservations(shop.store.layout, shop.store.session).get(told_step.looks)
            copies = copies_below(story, told_step)
            if observations is None or len(copies) != len(observations.seen):
                continue
            for copy, seen in zip(copies, observations.seen, strict=True):
                told = needed(story, told_step, copy, observations, shop.store.facts.get)
                looked = told.looked if told is not None else sum(look.kind == "read" for look in seen.looks)
                paths = told.paths if told is not None else None
                found.setdefault((told_step.text, copy.text), Seen(paths, looked, seen.files))
    return found


def _script(op: RunOp) -> dict[str, str]:
    """What a RUN starts, as it stands in its key (`keys.compute`)."""
    from msgspec import json

    found = {"command": json.encode(op.argv).decode()}
    return found if op.script is None else {**found, "script": op.script.content}
