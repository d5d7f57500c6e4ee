"""What `lamina plan` says of a forecast, also in a memo."""

from __future__ import annotations

from lamina.engine.forecast import Forecast
from lamina.explain.story import tell
from lamina.explain.table import rows, summary
from lamina.report.jsontext import json_page
from lamina.report.table import forecast_line


def as_json(found: Forecast) -> str:
    """What `--json` prints (docs/formats/plan.md)."""
    story = tell(found.stages)
    counted = summary(story)
    facts = {
        "steps": rows(story),
        "pending": counted.total - counted.cached,
        "total": counted.total,
        "seconds": found.seconds,
        "least": found.least,
    }
    return json_page(facts)


def summed_up(found: Forecast) -> str:
    """The line below the table."""
    counted = summary(tell(found.stages))
    return forecast_line(found.seconds, counted.total - counted.cached, counted.total, found.least)
