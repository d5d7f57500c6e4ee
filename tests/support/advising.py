"""Advice on Dockerfiles and histories in memory."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.histories import Tree, history_of
from tests.support.planning import options

from lamina.advise.advice import Advice, Case, advise
from lamina.advise.cost import CostBook
from lamina.advise.scene import Layers, unbuilt
from lamina.advise.sheet import Sheet, sheet
from lamina.advise.wants import Seen
from lamina.dockerfile.ignore import rules_of
from lamina.oci.config import ImageConfig, RootFS
from lamina.plan.planner import make_plan
from lamina.plan.steps import ImageRef, Missing, Plan


def planned(one: Sheet, build_args: dict[str, str] | None = None) -> Plan:
    images: dict[ImageRef, ImageConfig] = {}
    while isinstance(made := make_plan(one.parsed, options(build_args=build_args or {}), images), Missing):
        images.update({ref: ImageConfig("amd64", "linux", RootFS("layers", ())) for ref, _ in made.images})
    return made


def advised(
    text: str,
    files: Tree,
    *,
    seen: dict[tuple[str, str], Seen] | None = None,
    varying: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    changing: tuple[str, ...] = ("src/main",),
    layers: Layers = unbuilt,
    past: Sequence[Tree] = (),
) -> Advice:
    """The advice on a history in which the `changing` files change ten times, the others never; or on the trees of
    `past`."""
    start = {"src/main": "0", "README": "0", **files}
    trees: Sequence[Tree] = past or [start, *({**start, **{path: str(n) for path in changing}} for n in range(1, 11))]
    marks = {name: f"mark-{name}" for name in varying}
    return advise(
        Case(
            sheet=sheet(text.encode(), "Dockerfile"),
            planned=lambda one: planned(one, marks),
            book=CostBook({}, {}),
            history=history_of(trees),
            rules=rules_of(ignored) if ignored else None,
            read=lambda path: {**start, **trees[-1]}.get(path),
            seen=seen or {},
            varying=marks,
            layers=layers,
        )
    )


def body(advice: Advice) -> list[str]:
    """The instructions of the new order, without FROM."""
    return [one.original for one in advice.after.scene.sheet.parsed.instructions][1:]


LOCKS = {
    "Pipfile": "",
    "Pipfile.lock": "{}",
    "poetry.lock": "",
    "uv.lock": "",
    "pyproject.toml": "",
    "requirements.txt": "django\n",
    "package.json": "{}",
    "package-lock.json": "{}",
    "yarn.lock": "",
    "pnpm-lock.yaml": "",
    "go.mod": "module x\n",
    "go.sum": "",
    "Gemfile": "source 'x'\n",
    "Gemfile.lock": "",
    "composer.json": "{}",
    "composer.lock": "{}",
    "pom.xml": "",
    "recipe.json": "{}",
}
