"""The JSON of `lamina explain`: see `docs/formats/explain.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import to_builtins

from lamina.explain.against import Against, Difference
from lamina.explain.narrative import Dragged, Fault, Narrative
from lamina.explain.needed import Needed
from lamina.explain.observed import SeenCopy, is_there
from lamina.explain.story import Story, ToldStep
from lamina.explain.table import Summary
from lamina.explain.taxonomy import name_of
from lamina.keys.decide import MissCause
from lamina.store.builds import Build


def document(
    build: Build, names: Sequence[str], story: Story | None, narrative: Narrative | None, step: ToldStep | None
) -> str:
    """One build, or one step of it."""
    fields: dict[str, Any] = {"build": _build(build, names, narrative.summary if narrative is not None else None)}
    if story is not None and narrative is not None:
        if step is None:
            fields["causes"] = [_fault(fault) for fault in narrative.faults]
        steps = story.steps() if step is None else (step,)
        stages = {one.address: stage.label for stage in story.stages for one in stage.steps}
        fields["steps"] = [_step(one, stages[one.address], narrative) for one in steps]
    return _dumped(fields)


def listing(builds: Sequence[tuple[Build, Summary | None, Sequence[str]]]) -> str:
    """The list of builds."""
    return _dumped({"builds": [_build(build, names, counted) for build, counted, names in builds]})


def comparison(before: Build, after: Build, found: Against) -> str:
    """Two builds, compared."""
    return _dumped(
        {
            "before": before.id,
            "after": after.id,
            "same_key": found.same_key,
            "compared": found.compared,
            "schemas": found.schemas,
            "differences": [_difference(one) for one in found.differences],
        }
    )


def observed(
    build: Build, names: Sequence[str], seen: Sequence[tuple[ToldStep, Sequence[tuple[SeenCopy, Needed | None]]]]
) -> str:
    """What the observed steps of a build looked at."""
    steps = [{**_placed(step), "layers": [_layer(one, needed) for one, needed in layers]} for step, layers in seen]
    return _dumped({"build": _build(build, names, None), "steps": steps})


def _layer(one: SeenCopy, needed: Needed | None) -> dict[str, Any]:
    looks = [
        {"path": f"/{look.path}", "kind": look.kind, "there": is_there(one.seen, number)}
        for number, look in enumerate(one.seen.looks)
    ]
    return {
        "copy": _place(one.copy),
        "destination": f"/{one.top}",
        "files": one.seen.files,
        "looks": looks,
        "needed": None if needed is None else list(needed.lines),
    }


def _build(build: Build, names: Sequence[str], counted: Summary | None) -> dict[str, Any]:
    told = to_builtins(build)
    del told["facts"]
    return {**told, "names": list(names), **(to_builtins(counted) if counted is not None else {})}


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "name": fault.name,
        "step": fault.step.address,
        "line": fault.step.span.line,
        "inputs": [_cause(cause) for cause in fault.causes],
        "alike": [step.address for step in fault.alike],
        "dragged": [_dragged(one) for one in fault.dragged],
        "spared": [step.address for step in fault.spared],
        "seconds": fault.seconds,
        "last_seconds": fault.last_time,
        "size": fault.size,
        "cures": list(fault.cures),
    }


def _dragged(one: Dragged) -> dict[str, Any]:
    saw = one.saw
    told = None if saw is None else {**to_builtins(saw.look), "change": to_builtins(saw.change)}
    return {"step": one.step.address, "line": one.step.span.line, "through": one.through, "saw": told}


def _step(step: ToldStep, stage: str, narrative: Narrative) -> dict[str, Any]:
    fault = next((one for one in narrative.faults if step in one.steps), None)
    return {
        "step": step.address,
        "stage": stage,
        "line": step.span.line,
        "text": step.text,
        "outcome": step.outcome,
        "how": step.how,
        "read": list(step.read),
        "observed": step.looks is not None,
        "kept": step.kept,
        "seconds": step.seconds,
        "saved": step.saved,
        "size": step.size,
        "causes": [_cause(cause) for cause in step.causes],
        "because": fault.step.address if fault is not None else None,
        "before": to_builtins(step.before),
        "key": to_builtins(step.key),
    }


def _cause(cause: MissCause) -> dict[str, Any]:
    return {"name": name_of(cause), **to_builtins(cause)}


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "sort": one.sort,
        "stage": one.stage,
        "before": _place(one.before),
        "after": _place(one.after),
        "inputs": [_cause(cause) for cause in one.causes],
    }


def _place(step: ToldStep | None) -> dict[str, Any] | None:
    return None if step is None else _placed(step)


def _placed(step: ToldStep) -> dict[str, Any]:
    return {"step": step.address, "line": step.span.line, "text": step.text}


def _dumped(fields: dict[str, Any]) -> str:
    """Bytes of names that are not UTF-8 become lone surrogates, as escapes."""
    return json.dumps(fields, indent=2)
