"""`lamina doctor`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.diagnostics import exit_code
from lamina.workshop.parsing import store_root


def configure(parser: Parser) -> None:
    pass


def run(arguments: argparse.Namespace) -> int:
    """Prints what works here and the line that mends what does not; 8 if no RUN step could run."""
    from lamina.runtime.doctor import examine, steps_can_run

    findings = examine(store_root(arguments.root).absolute())
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'no  '} {finding.name}: {finding.detail}")
        if not finding.ok and finding.mend:
            print(f"       {finding.mend}")
    if steps_can_run(findings):
        return 0
    print("RUN steps cannot run here; what they need is above")
    return exit_code("runtime-no-steps")
