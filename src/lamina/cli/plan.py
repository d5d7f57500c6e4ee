"""`lamina plan`: what a build would do, and how long that would take; nothing is built."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys

from lamina.cli import planned
from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure

#: What the exit status says: something would run; and it would take longer than --budget.
SOMETHING_RUNS, OVER_BUDGET = 10, 11

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def configure(parser: Parser) -> None:
    planned.configure(parser)
    add = parser.add_argument
    add("--no-cache", action="store_true", help="as if every step ran anew")
    add("--no-cache-filter", action="append", default=[], metavar="STAGE", help="as if a stage ran anew")
    add("--cache-from", action="append", default=[], metavar="type=T,…", help="a cache of other machines")
    add("--no-shared-cache", action="store_true", help="as for `lamina build`")
    add("--observe", action=argparse.BooleanOptionalAction, help="as for `lamina build`")
    add("--budget", metavar="TIME", help=f"exit with {OVER_BUDGET} if it would take longer, such as 60s")
    add("--json", action="store_true", help="print the plan as JSON (docs/formats/plan.md)")


def run(arguments: argparse.Namespace) -> int:
    from lamina.api import forecast
    from lamina.explain.story import tell
    from lamina.explain.table import rows, summary
    from lamina.report.jsontext import json_page
    from lamina.report.table import forecast_line, table_lines

    budget = _budget(arguments.budget)
    found = forecast(
        no_cache=arguments.no_cache,
        no_cache_stages=arguments.no_cache_filter,
        observe=arguments.observe,
        cache_from=() if arguments.no_shared_cache else arguments.cache_from or None,
        **planned.fields(arguments),
    )
    story = tell(found.stages)
    table, counted = rows(story), summary(story)
    pending = counted.total - counted.cached
    if arguments.json:
        facts = {
            "steps": table,
            "pending": pending,
            "total": counted.total,
            "seconds": found.seconds,
            "least": found.least,
        }
        print(json_page(facts))
    else:
        width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 120
        told = forecast_line(found.seconds, pending, counted.total, found.least)
        print("\n".join([*table_lines(table, width=width), "", told]))
    if budget is not None and found.seconds > budget:
        return OVER_BUDGET
    return SOMETHING_RUNS if pending else os.EX_OK


def _budget(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise BuildFailure("usage-bad-arguments", f"--budget {text!r}: write a number and s, m or h, such as 90s")
    return float(match[1]) * _SECONDS[match[2]]
