"""Which past build a command means: by its id, by an image, or the last one of the project at hand."""

from __future__ import annotations

import os

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.explain.narrative import find_steps
from lamina.explain.story import SCHEMA, Story, ToldStep
from lamina.store.builds import Build
from lamina.workshop.parsing import host_platform
from lamina.workshop.wire import Workshop

#: A number of so many digits is a line of a Dockerfile, never the beginning of a build's id.
_LINE_DIGITS = 5


class Chosen(Struct, frozen=True):
    """A past build, with `why` it is this one (for the reader), its story, and the step that was asked for."""

    build: Build
    why: str
    story: Story | None
    step: ToldStep | None = None


def choose(shop: Workshop, words: tuple[str, ...]) -> Chosen:
    """The build (and step) that none, one or two words mean: BUILD, IMAGE, STEP, or BUILD STEP, or IMAGE STEP.

    Raises BuildFailure `store-build-…`, `store-image-…`, `usage-step-missing`, `usage-step-ambiguous`.
    """
    if not words:
        return last(shop)
    if len(words) == 2:
        return at_step(named(shop, words[0]), words[1])
    (word,) = words
    if is_line(word):
        return at_step(last(shop), word)
    try:
        found = named(shop, word)
    except BuildFailure as failure:
        if failure.diagnostic.reference not in ("store-build-missing", "store-image-missing"):
            raise
        return _step_or_nothing(shop, word, failure)
    return found


def last(shop: Workshop) -> Chosen:
    """The last build of the project in the working directory, else the last of all that were made here."""
    builds = shop.store.builds
    here = next((build for build in builds.newest(f"{os.path.realpath('.')}:") if not build.origin), None)
    if here is not None:
        return _chosen(shop, here, "The last build of this directory,")
    found = next((build for build in builds.newest() if not build.origin), None)
    if found is None:
        raise BuildFailure(
            "store-build-missing", "this store has no build to explain", hint="`lamina build` makes the first"
        )
    return _chosen(shop, found, "The last build in the store,")


def named(shop: Workshop, word: str) -> Chosen:
    """The build of this id or beginning of one, or else the newest build that made an image of this name or id.

    Raises BuildFailure `store-build-missing`, `store-build-ambiguous`, `store-image-ambiguous`.
    """
    builds = shop.store.builds
    build = None if is_line(word) else builds.get(word)
    if build is not None:
        return _chosen(shop, build, "")
    images = shop.store.images
    try:
        image = images.get(word, str(host_platform())) or images.resolve(word)
    except BuildFailure as failure:
        if failure.diagnostic.reference != "store-image-missing":
            raise
        imported = _by_image_id(shop, word)  # an image that another machine's build made, or that is gone since
        if imported is None:
            raise builds.missing(word) from None
        return imported
    found = builds.by_image(image.id)
    if found is None:
        raise BuildFailure(
            "store-build-missing",
            f"no build that this store remembers made the image {word!r}",
            hint="it was pulled or loaded, or its build is forgotten; `lamina explain --list` lists the builds",
        )
    return _chosen(shop, found, f"The newest build that made {word},")


def at_step(found: Chosen, word: str) -> Chosen:
    """The same build at one step. Raises BuildFailure `usage-step-missing`, `usage-step-ambiguous`."""
    steps = find_steps(found.story, word) if found.story is not None else ()
    if len(steps) == 1:
        return Chosen(found.build, found.why, found.story, steps[0])
    if steps:
        told = "; ".join(f"line {step.span.line}: {_short(step.text)}" for step in steps[:4])
        raise BuildFailure(
            "usage-step-ambiguous", f"{len(steps)} steps of build {found.build.id} match {word!r}", hint=told
        )
    raise _no_step(found, word)


def is_line(word: str) -> bool:
    """Whether a word is the number of a line."""
    return word.isdecimal() and word.isascii() and len(word) <= _LINE_DIGITS


def names_of(shop: Workshop, build: Build) -> tuple[str, ...]:
    """The names that a build's image has now."""
    if build.image is None:
        return ()
    try:
        return shop.store.images.resolve(Digest(build.image)).names
    except BuildFailure:
        return ()


def story_of(shop: Workshop, build: Build) -> Story | None:
    """A build's story, None if it has none that this lamina can read."""
    story = shop.store.builds.story(build.id, Story)
    return story if story is not None and story.schema == SCHEMA else None


def _chosen(shop: Workshop, build: Build, why: str) -> Chosen:
    return Chosen(build, why, story_of(shop, build))


def _by_image_id(shop: Workshop, word: str) -> Chosen | None:
    wanted = word.removeprefix("sha256:")
    if len(wanted) < 12:
        return None
    for build in shop.store.builds.newest():
        if build.image is not None and build.image.removeprefix("sha256:").startswith(wanted):
            return _chosen(shop, build, "The newest build that made this image,")
    return None


def _step_or_nothing(shop: Workshop, word: str, failure: BuildFailure) -> Chosen:
    """A word that is no build and no image: a piece of an instruction of the last build, if there is one."""
    try:
        found = last(shop)
    except BuildFailure:
        raise failure from None
    if found.story is not None and find_steps(found.story, word):
        return at_step(found, word)
    hint = failure.diagnostic.hint if failure.diagnostic.reference == "store-build-missing" else None
    raise BuildFailure(
        "store-build-missing",
        f"there is no build, image or step {word!r}",
        hint=hint or "`lamina explain --list` lists the builds",
    ) from None


def _no_step(found: Chosen, word: str) -> BuildFailure:
    steps = found.story.steps() if found.story is not None else ()
    lines = [step.span.line for step in steps]
    hint = f"its steps are on the lines {min(lines)} to {max(lines)}" if lines else "it has no steps to tell of"
    return BuildFailure("usage-step-missing", f"no step of build {found.build.id} matches {word!r}", hint=hint)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 50 else f"{line[:49]}…"
