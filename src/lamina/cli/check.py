"""`lamina check`: what is wrong with a Dockerfile, or dear, before anything is built."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.workshop.parsing import pairs, platform

if TYPE_CHECKING:
    from lamina.workshop.checking import Examined

#: The exit status when something was found that `--fail-on` counts.
FOUND = 1


def configure(parser: Parser) -> None:
    add = parser.add_argument
    what = "the build context, whose files are looked at too, or a Dockerfile alone (default: .)"
    add("context", nargs="?", metavar="CONTEXT|FILE", help=what)
    add("-f", "--file", metavar="FILE", help="the Dockerfile (- = stdin); without CONTEXT no other file is looked at")
    add("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="value of an ARG")
    add("--platform", metavar="OS/ARCH", help="the platform to build for (default: this machine's)")
    add("--format", default="text", choices=("text", "json", "sarif", "github"), help="form of the answer")
    add("--level", default="warning", choices=("error", "warning", "info"), help="the least that is shown")
    add("--fail-on", default="warning", choices=("error", "warning", "info", "never"), help=f"what exits with {FOUND}")
    add("--skip", action="append", default=[], metavar="RULE,…", help="rules that do not count")
    add("--enable", action="append", default=[], metavar="RULE,…", help="rules that are off by default, or all")
    add("--fix", action="store_true", help="mend in the file what can be mended safely, and show what was done")
    add("--diff", action="store_true", help="show what --fix would do, and write nothing")
    add("--list", action="store_true", help="list the rules")


def run(arguments: argparse.Namespace) -> int:
    from lamina.workshop.checking import chosen, examine, mend, source_of

    if arguments.list:
        from lamina.lint.table import RULES
        from lamina.report.check import rule_lines

        print("\n".join(rule_lines(RULES)))
        return 0
    choice = chosen(_names(arguments.skip), _names(arguments.enable))
    built_for = platform(arguments.platform)
    source = source_of(arguments.context, arguments.file)
    changed = False
    try:
        if arguments.fix or arguments.diff:
            if arguments.fix and source.path is None:
                hint = "--diff shows what it would do"
                raise BuildFailure("usage-bad-arguments", "--fix needs a file to write to", hint=hint)
            source, diff = mend(source, built_for, choice)
            changed = bool(diff)
            if diff and arguments.format == "text":
                print("\n".join(diff))
            if changed and arguments.fix and source.path is not None:
                _write(source.path, source.text)
            if arguments.diff:
                return FOUND if changed and arguments.fail_on != "never" else 0
        build_args = pairs(arguments.build_arg, "--build-arg", from_environment=True)
        examined = examine(source, built_for, choice, build_args, arguments.root)
    except BuildFailure as failure:
        if arguments.format == "text" or not failure.diagnostic.reference.startswith("dockerfile-"):
            raise
        from lamina.workshop.checking import Examined

        examined = Examined(source, (), failure)
    return _answer(arguments, examined, changed)


def _answer(arguments: argparse.Namespace, examined: Examined, changed: bool) -> int:
    from lamina.lint.check import RANK
    from lamina.report import check as report

    shown = tuple(one for one in examined.findings if RANK[one.severity] <= RANK[arguments.level])
    failure = examined.failure.diagnostic if examined.failure is not None else None
    match arguments.format:
        case "json":
            print(report.json_text(examined.source.name, shown, failure))
        case "sarif":
            from lamina.report.sarif import sarif_text

            print(sarif_text(examined.source.name, shown, failure))
        case "github":
            print("\n".join(report.github_lines(shown, failure)), end="\n" if shown or failure else "")
        case _:
            sources = {examined.source.name: examined.source.lines()}
            if changed:
                print()
            print("\n".join(report.text_lines(shown, failure, examined.findings, sources)))
    if examined.failure is not None:
        return examined.failure.exit_code
    limit = RANK.get(arguments.fail_on, -1)
    return FOUND if any(RANK[one.severity] <= limit for one in examined.findings) else 0


def _names(values: list[str]) -> frozenset[str]:
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())


def _write(path: Path, text: bytes) -> None:
    try:
        path.write_bytes(text)
    except OSError as error:
        raise BuildFailure("dockerfile-unreadable", f"{path} cannot be written", cause=error.strerror) from None
