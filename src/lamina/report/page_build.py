"""The report of one build: its steps over time, why they ran, what they cost, and the layers that came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lamina.explain.layers import Survey, Waste
from lamina.explain.layersteps import Layer
from lamina.explain.narrative import Fault, Narrative
from lamina.explain.story import Story, ToldStep
from lamina.explain.table import rows
from lamina.report.context import visible
from lamina.report.explain import cause_lines, reason
from lamina.report.explain_builds import project_name
from lamina.report.layers import text_of
from lamina.report.page import rendered, svg
from lamina.report.page_charts import Bar, Chart, Span, bars, timeline
from lamina.report.table import remark
from lamina.report.words import duration, size
from lamina.store.builds import Build

#: So many rows a chart of bars has, and steps that were dragged along are named, at most.
_BARS, _DRAGGED = 40, 12
_TONES = {
    "CHANGED": "var(--own)",
    "rebuilds": "url(#dragged)",
    "new": "var(--new)",
    "failed": "var(--failed)",
    "unknown": "var(--base)",
}
#: Each verdict with a sign, so that none is told by its colour alone.
_SIGNS = {"cached": "✓", "CHANGED": "●", "rebuilds": "↳", "new": "+", "failed": "✕", "metadata": "·", "fetched": "↓"}


class Layers(Struct, frozen=True):
    """The layers of the build's image."""

    layers: tuple[Layer, ...]
    found: Survey


def build_page(
    build: Build, names: Sequence[str], story: Story, narrative: Narrative, layers: Layers | None, notes: Sequence[str]
) -> bytes:
    """The page. `names` are those of the image now; `notes` are sentences on what is not known."""
    counted = narrative.summary
    steps = _steps(story)
    drawn, undated = _timeline(build, story)
    more = ["the moments at which its steps began were not noted, so each stage is drawn from 0 on"] if undated else []
    values = {
        "title": f"Build {build.id} of {visible(project_name(build.project))}",
        "build": build,
        "when": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(build.started)),
        "names": list(names),
        "failed": build.result != "done",
        "cards": [
            (f"{counted.cached} of {counted.total}", "steps came from the cache"),
            (duration(build.seconds), "the build took" if build.result == "done" else "until it failed"),
            (duration(counted.saved), "the cache saved"),
            *([(size(layers.found.size), f"in {len(layers.layers)} layers")] if layers is not None else []),
        ],
        "steps": steps,
        "stages": len(story.stages) > 1,
        "timeline": drawn,
        "costs": _costs(story),
        "faults": [_fault(fault) for fault in narrative.faults],
        "layers": _layers(layers) if layers is not None else None,
        "notes": [*more, *notes],
        "svg": svg,
    }
    return rendered("build.html.jinja", values)


def _steps(story: Story) -> list[dict[str, Any]]:
    told = {step.span.line: step for step in story.steps()}
    failed = {(step.span, step.text) for step in story.steps() if step.outcome == "failed"}
    found = []
    for row in rows(story):
        verdict = "failed" if (row.span, row.text) in failed else row.verdict
        step = told.get(row.span.line)
        ran = verdict not in ("cached", "metadata", "fetched")
        found.append(
            {
                "stage": row.stage,
                "line": row.span.line,
                "text": " ".join(row.text.split()),
                "verdict": verdict,
                "sign": _SIGNS.get(verdict, "?"),
                "why": remark(row),
                "seconds": duration(row.seconds) if ran else "",
                "saved": duration(row.saved) if row.verdict == "cached" and row.saved >= 0.05 else "",
                "size": size(step.size) if step is not None and step.text == row.text and step.size else "",
            }
        )
    return found


def _timeline(build: Build, story: Story) -> tuple[Chart | None, bool]:
    """The chart, None if nothing ran; and whether the moments had to be guessed."""
    spans: list[Span] = []
    lanes: list[str] = []
    undated = False
    for number, stage in enumerate(story.stages):
        ran = [step for step in stage.steps if step.outcome in ("done", "failed", "canceled")]
        lanes.append(visible(stage.label))
        at = 0.0
        for step in ran:
            dated = step.began >= build.started > 0
            undated = undated or not dated
            start = step.began - build.started if dated else at
            at = start + step.seconds
            label = f"{step.span.line} {' '.join(step.text.split())}"
            tip = f"line {label}\n{duration(step.seconds)}, from {start:.1f}s on\n{_cause(step)}"
            spans.append(Span(number, start, at, visible(label), _TONES[_verdict(step)], _tip(tip)))
    if not spans:
        return None, False
    return timeline("When each step ran, one lane a stage", lanes, spans), undated


def _verdict(step: ToldStep) -> str:
    if step.outcome == "failed":
        return "failed"
    own = [cause for cause in step.causes if cause.kind != "parent"]
    if not own:
        return "rebuilds"
    return "new" if own[0].kind in ("first_build", "evicted") else "CHANGED"


def _cause(step: ToldStep) -> str:
    own = [cause for cause in step.causes if cause.kind != "parent"]
    return f"because {reason(own[0])}" if own else "because a step above it ran"


def _costs(story: Story) -> Chart | None:
    found = []
    for step in story.steps():
        if step.outcome == "metadata" or max(step.seconds, step.saved) < 0.05:
            continue
        cached = step.outcome == "cached"
        seconds = step.saved if cached else step.seconds
        shown = f"{duration(seconds)}{' saved' if cached else ''}"
        tone = "url(#saved)" if cached else _TONES[_verdict(step)]
        tip = f"line {step.span.line}: {shown}\n{'cached' if cached else _cause(step)}"
        label = visible(f"{step.span.line} {' '.join(step.text.split())}")
        found.append((seconds, Bar(label, ((seconds, tone),), (shown,), _tip(tip))))
    if not found:
        return None
    dearest = sorted(found, key=lambda one: -one[0])[:_BARS]
    kept = [bar for seconds, bar in found if (seconds, bar) in dearest]
    return bars("What each step took, or took when it ran before it was cached", kept)


def _fault(fault: Fault) -> dict[str, Any]:
    step = fault.step
    dragged = [one.step for one in fault.dragged]
    files = [change.path for cause in fault.causes for change in cause.files]
    return {
        "line": step.span.line,
        "text": " ".join(step.text.split()),
        "failed": step.outcome == "failed",
        "reason": reason(fault.causes[0]),
        "details": [line.strip() for line in cause_lines(fault.causes)],
        "under": fault.under.span.line if fault.under is not None else None,
        "alike": [_short(one) for one in fault.alike],
        "dragged": [_short(one) for one in dragged[:_DRAGGED]],
        "more": len(dragged) - _DRAGGED,
        "spared": len(fault.spared),
        "seconds": duration(fault.seconds),
        "size": size(fault.size),
        "files": len(files),
        "cures": fault.cures,
    }


def _short(step: ToldStep) -> dict[str, Any]:
    return {"line": step.span.line, "text": " ".join(step.text.split()), "seconds": duration(step.seconds)}


def _layers(given: Layers) -> dict[str, Any]:
    layers, found = given.layers, given.found
    told, drawn = [], []
    for number, (layer, count) in enumerate(zip(layers, found.layers, strict=True), 1):
        where = "base" if layer.base else f"line {layer.span.line}" if layer.span else ""
        text = text_of(layer) or "(not told)"
        told.append(
            {
                "number": number,
                "where": where,
                "text": text,
                "size": size(count.size),
                "packed": size(layer.compressed) if layer.compressed is not None else "",
                "hidden": size(count.hidden) if count.hidden else "",
                "added": count.added,
                "changed": count.changed + count.attributes,
                "removed": count.removed,
            }
        )
        seen = "var(--base)" if layer.base else "var(--layer)"
        parts = ((float(count.size - count.hidden), seen), (float(count.hidden), "url(#waste)"))
        shown = size(count.size) + (f", {size(count.hidden)} hidden" if count.hidden else "")
        drawn.append(Bar(f"{number} {text}", parts, (shown,), _tip(f"layer {number} {where}\n{text}\n{shown}")))
    # The greatest ones, in the order in which they lie.
    largest = sorted(range(len(drawn)), key=lambda place: -found.layers[place].size)[:_BARS]
    chart = bars("Bytes of each layer, the lowest first", [drawn[place] for place in sorted(largest)], unit="B")
    return {
        "chart": chart,
        "rows": told,
        "size": size(found.size),
        "wasted": size(found.wasted) if found.wasted else "",
        "share": f"{100 * found.wasted / found.size:.1f} %" if found.size else "",
        "efficiency": f"{found.efficiency:.1%}",
        "wastes": [_waste(waste, layers) for waste in found.wastes],
    }


def _waste(waste: Waste, layers: Sequence[Layer]) -> dict[str, Any]:
    paths = [f"/{path} ({size(held)})" for path, held in waste.paths[:3]]
    return {
        "size": size(waste.size),
        "files": waste.files,
        "sort": waste.sort,
        "maker": _place(layers, waste.maker),
        "hider": _place(layers, waste.hider),
        "fix": waste.fix,
        "paths": paths,
    }


def _place(layers: Sequence[Layer], number: int) -> str:
    layer = layers[number]
    if layer.base:
        return f"base image, layer {number + 1}"
    return f"line {layer.span.line}" if layer.span is not None else f"layer {number + 1}"


def _tip(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
