"""`lamina context`: ls, why, du. What is in a build context, which rule decided, what it weighs. Opens no store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.workshop.dockerfile_name import dockerfile_in
from lamina.workshop.parsing import host_platform, pairs

if TYPE_CHECKING:
    from lamina.context.inspect import Look
    from lamina.explain.readings import Reading
    from lamina.keys.filetree import FileRecord


def configure(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|why|du", parser_class=Parser)
    ls = actions.add_parser("ls", help="the files that a build sees, or those that it does not")
    why = actions.add_parser("why", help="which rule put a path in or kept it out, and what copies it")
    du = actions.add_parser("du", help="what is big, what changes often, and what had better stay out")
    why.add_argument("paths", nargs="+", metavar="PATH", help="a path below the context")
    why.add_argument("-C", "--context", default=".", metavar="DIR", help="the build context (default: .)")
    for action in (ls, du):
        action.add_argument("context", nargs="?", default=".", metavar="CONTEXT", help="the build context (default: .)")
    which = ls.add_mutually_exclusive_group()
    which.add_argument("--ignored", action="store_true", help="what the ignore rules keep out, and by which rule")
    which.add_argument("--copy", metavar="LINE|all", help="what the COPY or ADD on that line of the Dockerfile takes")
    du.add_argument("-n", "--top", type=int, default=10, metavar="N", help="how many entries to list (default: 10)")
    for action in (ls, why, du):
        action.add_argument("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile)")
        action.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="value of an ARG")
        action.add_argument("--target", default="", metavar="STAGE", help="only what this stage needs (default: all)")
        action.add_argument("--json", action="store_true", help="print JSON, see docs/formats/context.md")


def run(arguments: argparse.Namespace) -> int:
    """Raises BuildFailure `context-…` for a path that is not there, `usage-…`, and `dockerfile-…` for --copy."""
    from lamina.context.inspect import look

    directory = Path(arguments.context)
    dockerfile = Path(arguments.file) if arguments.file else dockerfile_in(directory)
    if arguments.file and not dockerfile.is_file():
        raise BuildFailure("dockerfile-not-found", f"there is no file {arguments.file}")
    whole = arguments.action != "ls" or arguments.ignored
    found = look(directory, dockerfile, whole=whole)
    for path, cause in found.kept.unreadable.items():
        print(f"warning: {path!r} cannot be read: {cause}", file=sys.stderr)
    match arguments.action:
        case "ls":
            document, lines = _ls(arguments, dockerfile, found)
        case "why":
            return _why(arguments, dockerfile, found)
        case _:
            from lamina.cli.context_weight import weigh

            takes = _if_readable(arguments, dockerfile, found.kept.records)
            document, lines = weigh(found, directory, takes, arguments.top)
    _print(arguments, found, document, lines)
    return 0


def _ls(arguments: argparse.Namespace, dockerfile: Path, found: Look) -> tuple[dict[str, Any], list[str]]:
    from lamina.explain.context import ignored
    from lamina.report.context import entry_lines, ignored_lines, reading_lines
    from lamina.report.context_json import entries, instruction

    kept = found.kept.records
    if arguments.copy:
        chosen = _on_line(_readings(arguments, dockerfile, kept), arguments.copy)
        copies = [{**instruction(one), "entries": entries(one.entries)} for one in chosen]
        return {"copies": copies}, [line for one in chosen for line in (*reading_lines(one), "")][:-1]
    if arguments.ignored:
        hidden = ignored(found.everything.records, kept, found.rules)
        return {"ignored": hidden}, ignored_lines(hidden)
    return {"entries": entries(kept)}, entry_lines(kept)


def _why(arguments: argparse.Namespace, dockerfile: Path, found: Look) -> int:
    from lamina.context.inspect import place, why
    from lamina.explain.context import behind_links, tell
    from lamina.explain.readings import taking
    from lamina.report.context import reason_lines
    from lamina.report.context_json import takings

    kept, everything = found.kept.records, found.everything.records
    takes = _if_readable(arguments, dockerfile, kept)
    # What each instruction would take if there were no rules.
    greedy = _readings(arguments, dockerfile, everything) if takes and found.rules is not None else ()
    told, lines = [], []
    failure: BuildFailure | None = None
    for written in arguments.paths:
        path = place(Path(arguments.context), written)
        if path is None:
            failure = failure or _outside(written)
            continue
        asked, path = path, behind_links(path, everything)
        reason, facts = why(found.kept, found.rules, path), tell(path, everything, kept, found.rules)
        taken = None if takes is None else taking(takes, path, kept)
        would = taking(greedy, path, everything) if reason.fate == "excluded" and facts.kind is not None else ()
        lines += reason_lines(asked, reason, facts, taken, would)
        told.append(
            {
                "asked": written,
                **to_builtins(reason),
                **to_builtins(facts),
                "taken_by": takings(taken),
                "would_be_taken_by": takings(would),
            }
        )
        if why(found.everything, None, path).fate == "missing":
            failure = failure or _absent(path, everything)
    _print(arguments, found, {"paths": told}, lines)
    sys.stdout.flush()
    if failure is not None:
        raise failure
    return 0


def _print(arguments: argparse.Namespace, found: Look, fields: dict[str, Any], lines: Sequence[str]) -> None:
    if arguments.json:
        from lamina.report.context_json import document

        print(document(arguments.context, found, fields))
    elif lines:
        print("\n".join(lines))


def _readings(arguments: argparse.Namespace, dockerfile: Path, records: Sequence[FileRecord]) -> tuple[Reading, ...]:
    """Raises BuildFailure `dockerfile-…`, `usage-bad-arguments`."""
    from lamina.dockerfile import parse
    from lamina.explain.readings import readings
    from lamina.plan.steps import PlanOptions

    try:
        text = dockerfile.read_bytes()
    except FileNotFoundError:
        hint = "name it with -f"
        raise BuildFailure("dockerfile-not-found", f"there is no {dockerfile}", hint=hint) from None
    except OSError as error:
        raise BuildFailure("dockerfile-unreadable", f"{dockerfile} cannot be read", cause=error.strerror) from None
    options = PlanOptions(
        platform=host_platform(),
        build_platform=host_platform(),
        build_args=pairs(arguments.build_arg, "--build-arg", from_environment=True),
        target=arguments.target,
        allow=frozenset({"security.insecure"}),
    )
    return readings(parse(text, str(dockerfile)), options, records)


def _if_readable(
    arguments: argparse.Namespace, dockerfile: Path, records: Sequence[FileRecord]
) -> tuple[Reading, ...] | None:
    """The same; None for a Dockerfile that cannot be used, as the context can be looked at without."""
    try:
        return _readings(arguments, dockerfile, records)
    except BuildFailure as failure:
        if failure.diagnostic.reference.startswith("usage-"):
            raise
        span = failure.diagnostic.span
        place = f"{span.file}:{span.line}: " if span else ""
        print(f"note: what the Dockerfile copies is not told: {place}{failure}", file=sys.stderr)
        return None


def _on_line(found: Sequence[Reading], wanted: str) -> Sequence[Reading]:
    if wanted == "all":
        return found
    chosen = [one for one in found if wanted.isdecimal() and one.span.line <= int(wanted) <= one.span.end_line]
    if chosen:
        return chosen
    lines = ", ".join(str(line) for line in sorted({one.span.line for one in found}))
    hint = f"such instructions begin on line {lines}" if lines else "the Dockerfile reads nothing from the context"
    raise BuildFailure("usage-bad-arguments", f"--copy {wanted}: nothing there reads the build context", hint=hint)


def _outside(path: str) -> BuildFailure:
    return BuildFailure(
        "context-path-outside",
        f"{path!r} is outside the build context, where no COPY can reach",
        hint="pass a directory above both as the context, or --build-context NAME=DIR to the build",
    )


def _absent(path: str, everything: Sequence[FileRecord]) -> BuildFailure:
    from lamina.keys.select import near

    similar = near(everything, path)
    hint = f"did you mean {' or '.join(similar[:2])}?" if similar else "paths are relative to the build context"
    return BuildFailure("context-path-missing", f"{path!r} does not exist in the build context", hint=hint)
