"""Lamina builds container images from Dockerfiles without a daemon, and explains its cache.

    import lamina

    result = lamina.build(".", tags=["app:1"])
    print(result.image_id)
    for stage in result.stages:
        for step in stage.steps:
            print(step.step.text, step.outcome, step.decision)

Errors are `lamina.BuildFailure` with a `Diagnostic`: a stable reference, the place in the Dockerfile, cause and hint.
Names are imported when they are first used, since start-up time is a feature.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lamina.advise.advice import Advice as Advice
    from lamina.api import advice as advice
    from lamina.api import build as build
    from lamina.api import check as check
    from lamina.api import forecast as forecast
    from lamina.api import key as key
    from lamina.api import story as story
    from lamina.diagnostics import BuildFailure as BuildFailure
    from lamina.diagnostics import Diagnostic as Diagnostic
    from lamina.engine.forecast import Forecast as Forecast
    from lamina.engine.request import BuildResult as BuildResult
    from lamina.engine.request import NotCached as NotCached
    from lamina.events import Reporter as Reporter
    from lamina.explain.story import Story as Story

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "BuildFailure",
    "BuildResult",
    "Diagnostic",
    "Forecast",
    "NotCached",
    "Reporter",
    "Story",
    "advice",
    "build",
    "check",
    "forecast",
    "key",
    "story",
]

_HOMES = {
    "advice": "lamina.api",
    "build": "lamina.api",
    "check": "lamina.api",
    "forecast": "lamina.api",
    "key": "lamina.api",
    "story": "lamina.api",
    "Advice": "lamina.advise.advice",
    "BuildFailure": "lamina.diagnostics",
    "Diagnostic": "lamina.diagnostics",
    "BuildResult": "lamina.engine.request",
    "NotCached": "lamina.engine.request",
    "Forecast": "lamina.engine.forecast",
    "Reporter": "lamina.events",
    "Story": "lamina.explain.story",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
