"""`lamina plan`: what a build would do, and how long that would take; nothing is built."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time

from lamina.cli import planned
from lamina.cli.habits import without_effect
from lamina.cli.options import Parser, terminal_width
from lamina.diagnostics import BuildFailure

#: What the exit status says: something would run; and it would take longer than --budget.
SOMETHING_RUNS, OVER_BUDGET = 10, 11

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def configure(parser: Parser) -> None:
    told = f"0 if all is cached, {SOMETHING_RUNS} if a step would run, {OVER_BUDGET} if that takes longer than --budget"
    parser.epilog = f"Exit status: {told}."
    planned.configure(parser)
    add = parser.add_argument
    add("--no-cache", action="store_true", help="as if every step ran anew")
    add("--no-cache-filter", action="append", default=[], metavar="STAGE", help="as if a stage ran anew")
    add("--cache-from", action="append", default=[], metavar="type=T,…", help="a cache of other machines")
    add("--no-shared-cache", action="store_true", help="as for `lamina build`")
    add("--observe", action=argparse.BooleanOptionalAction, help="as for `lamina build`")
    add("--budget", metavar="TIME", help=f"exit with {OVER_BUDGET} if it would take longer, such as 60s")
    without_effect(add, "--label", value=True)
    add("--json", action="store_true", help="print the plan as JSON (docs/formats/plan.md)")


def run(arguments: argparse.Namespace) -> int:
    from lamina.api import forecast
    from lamina.cli.foretold import as_json, summed_up
    from lamina.cli.remember import begin_plan
    from lamina.explain.story import tell
    from lamina.explain.table import rows
    from lamina.report.table import table_lines

    budget = _budget(arguments.budget)
    memory = begin_plan(arguments, os.environ, time.time_ns())
    found = forecast(
        no_cache=arguments.no_cache,
        no_cache_stages=arguments.no_cache_filter,
        observe=arguments.observe,
        cache_from=() if arguments.no_shared_cache else arguments.cache_from or None,
        after=memory.note_plan if memory is not None else None,
        **planned.fields(arguments),
    )
    if arguments.json:
        print(as_json(found))
    else:
        width = terminal_width(sys.stdout)
        print("\n".join([*table_lines(rows(tell(found.stages)), width=width), "", summed_up(found)]))
    if budget is not None and found.seconds > budget:
        return OVER_BUDGET
    return os.EX_OK if found.all_cached else SOMETHING_RUNS


def _budget(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise BuildFailure("usage-bad-arguments", f"--budget {text!r}: write a number and s, m or h, such as 90s")
    return float(match[1]) * _SECONDS[match[2]]
