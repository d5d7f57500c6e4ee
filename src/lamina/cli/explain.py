"""`lamina explain`: why a past build ran what it ran."""

from __future__ import annotations

import argparse
import time

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.explain.against import Against, set_against
from lamina.explain.narrative import narrate
from lamina.explain.needed import Needed, Needs, needed, needed_of
from lamina.explain.observed import seen_copies
from lamina.explain.story import Before, Story, ToldStep
from lamina.explain.table import summary
from lamina.keys.looks import Observations
from lamina.store.builds import Build
from lamina.workshop import chosen
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import Workshop, workshop

#: So many builds are listed unless all are asked for.
_LISTED = 20
#: So many earlier builds are looked through for the one that made a cached step.
_EARLIER = 100


def configure(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "what",
        nargs="*",
        metavar="BUILD|IMAGE STEP",
        help="a build's id or its beginning, or an image that it made (default: the last build of the project here, "
        "else of all); then a line of the Dockerfile or a piece of an instruction, to explain that step alone",
    )
    add("--against", metavar="BUILD", help="compare with another build, here or imported: what differs first")
    add("--observed", action="store_true", help="tell what observed steps looked at in copied files (build --observe)")
    add("--list", action="store_true", help="list the past builds")
    add("--json", action="store_true", help="print it as JSON (docs/formats/explain.md)")
    add("--all", action="store_true", help="tell all files, inputs and steps, not only the first ones")


def run(arguments: argparse.Namespace) -> int:
    words = tuple(arguments.what)
    if len(words) > 2 or (arguments.list and (words or arguments.against or arguments.observed)):
        raise BuildFailure("usage-bad-arguments", "write `lamina explain [BUILD|IMAGE] [STEP]`, or --list alone")
    if arguments.observed and arguments.against is not None:
        raise BuildFailure("usage-bad-arguments", "--observed and --against exclude each other")
    with workshop(store_root(arguments.root)) as shop:
        if arguments.list:
            print("\n".join(_list(shop, arguments)))
            return 0
        found = chosen.choose(shop, words)
        if arguments.against is not None:
            print("\n".join(_against(shop, found, arguments)))
            return 0
        tell = _observed if arguments.observed else _one
        print("\n".join(tell(shop, found, arguments)))
    return 0


def _one(shop: Workshop, found: chosen.Chosen, arguments: argparse.Namespace) -> list[str]:
    from lamina.report import explain as words
    from lamina.report import explain_json
    from lamina.report.explain_builds import heading

    now, names, story = time.time(), chosen.names_of(shop, found.build), found.story
    narrative = narrate(story, needs_of(shop, story)) if story is not None else None
    if arguments.json:
        return [explain_json.document(found.build, names, story, narrative, found.step)]
    failed = found.build.result != "done"
    log = [f"Its output is in {shop.store.layout.logs / found.build.log}"] if failed and found.build.log else []
    if story is None or narrative is None or (failed and not story.steps()):
        told = "Nothing more is known of it: it ended before its first step, or another version of lamina made it."
        return [heading(found.build, found.why, names, None, now), "", told, *log]
    lines = [heading(found.build, found.why, names, narrative.summary, now), ""]
    if found.step is not None:
        maker = _maker(shop, found.build, found.step)
        return lines + words.step_lines(found.step, story, narrative, maker, now, whole=arguments.all)
    if failed and not narrative.faults:
        return [*lines, "Every step that it came to was cached: it failed before the next one, or at its end.", *log]
    return lines + words.narrative_lines(narrative, story, whole=arguments.all) + log


def _observed(shop: Workshop, found: chosen.Chosen, arguments: argparse.Namespace) -> list[str]:
    from lamina.report import explain_json
    from lamina.report.explain_builds import heading
    from lamina.report.explain_observed import seen_lines

    asked = (found.step,) if found.step is not None else found.story.steps() if found.story is not None else ()
    observed = [step for step in asked if step.looks is not None]
    if not observed or found.story is None:
        what = f"line {found.step.span.line}" if found.step is not None else "no step"
        raise BuildFailure(
            "store-not-observed",
            f"{what} of build {found.build.id} was {'not ' if found.step is not None else ''}observed",
            hint="`lamina build --observe` observes each RUN that it runs and that stands on copied files, unless it "
            "read most of them the last time",
        )
    seen = []
    for step in observed:
        observations = _looks(shop, step)
        if observations is not None:
            layers = seen_copies(found.story, step, observations)
            seen.append((step, [(one, needed_of(one, shop.store.facts.get)) for one in layers]))
    if not seen:
        raise BuildFailure("store-not-observed", "what was looked at is no longer in this store")
    names = chosen.names_of(shop, found.build)
    if arguments.json:
        return [explain_json.observed(found.build, names, seen)]
    lines = [heading(found.build, found.why, names, summary(found.story), time.time())]
    for step, layers_seen in seen:
        lines += ["", *seen_lines(step, layers_seen, whole=arguments.all)]
    return lines


def needs_of(shop: Workshop, story: Story) -> Needs:
    """What observed steps of a story needed of copied files, as far as the store still knows."""

    def needs(step: ToldStep, copy: ToldStep) -> Needed | None:
        observations = _looks(shop, step)
        return needed(story, step, copy, observations, shop.store.facts.get) if observations is not None else None

    return needs


def _looks(shop: Workshop, step: ToldStep) -> Observations | None:
    """All that a step looked at; None if it was not observed, or that is gone."""
    if step.looks is None:
        return None
    from lamina.store.observations import KeptObservations

    return KeptObservations(shop.store.layout, shop.store.session).get(step.looks)


def _against(shop: Workshop, found: chosen.Chosen, arguments: argparse.Namespace) -> list[str]:
    from lamina.report import explain_json
    from lamina.report.explain_builds import against_lines, heading

    other = chosen.named(shop, arguments.against)
    if found.story is None or other.story is None:
        unknown = found.build if found.story is None else other.build
        raise BuildFailure(
            "store-build-untold",
            f"nothing is known of what build {unknown.id} did, so it cannot be compared",
            hint="it ended before its first step, or another version of lamina made it",
        )
    ended = (other.build.result == "done", found.build.result == "done")
    result = set_against(other.story, found.story, shop.store.facts.get, whole=ended)
    if found.step is not None:
        differences = tuple(one for one in result.differences if one.after == found.step)
        result = Against(differences, 1, result.same_key, result.schemas)
    if arguments.json:
        return [explain_json.comparison(other.build, found.build, result)]
    now = time.time()
    old, new = (
        heading(one.build, one.why, chosen.names_of(shop, one.build), summary(one.story) if one.story else None, now)
        for one in (other, found)
    )
    cut = [] if all(ended) else ["A build that failed is compared as far as it came."]
    return [f"was: {old}", f"now: {new}", *cut, "", *against_lines(result, whole=arguments.all)]


def _list(shop: Workshop, arguments: argparse.Namespace) -> list[str]:
    from lamina.report import explain_json
    from lamina.report.explain_builds import build_lines

    builds = shop.store.builds.last(-1 if arguments.all else _LISTED)
    stories = [chosen.story_of(shop, build) for build in builds]
    rows = [
        (build, summary(story) if story is not None else None, chosen.names_of(shop, build))
        for build, story in zip(builds, stories, strict=True)
    ]
    if arguments.json:
        return [explain_json.listing(rows)]
    return build_lines(rows, time.time()) if rows else ["this store has no builds yet"]


def _maker(shop: Workshop, build: Build, step: ToldStep) -> Before | None:
    """The build that made the layer of a cached step, as its own story tells it."""
    if step.outcome != "cached" or step.before is not None:
        return step.before
    for count, earlier in enumerate(shop.store.builds.newest(build.project)):
        if count == _EARLIER:
            break
        story = chosen.story_of(shop, earlier) if earlier.started < build.started else None
        made = _made(story, step) if story is not None else None
        if made is not None:
            return Before(earlier.id, made.text, made.seconds, earlier.started)
    return None


def _made(story: Story, step: ToldStep) -> ToldStep | None:
    wanted = step.key.digest if step.key is not None else None
    return next(
        (one for one in story.steps() if one.outcome == "done" and one.key is not None and one.key.digest == wanted),
        None,
    )
