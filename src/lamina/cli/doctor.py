"""`lamina doctor`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser


def configure(parser: Parser) -> None:
    pass


def run(arguments: argparse.Namespace) -> int:
    """Prints what works here and the line that mends what does not; 8 if no step could run."""
    from lamina.runtime.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'no  '} {finding.name}: {finding.detail}")
        if not finding.ok and finding.mend:
            print(f"       {finding.mend}")
    return 0
