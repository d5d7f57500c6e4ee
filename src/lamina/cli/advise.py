"""`lamina advise`: what the order of a Dockerfile has cost over the repository's history, and a better order."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.workshop.parsing import pairs

if TYPE_CHECKING:
    from lamina.advise.advice import Advice
    from lamina.advise.proof import Proof
    from lamina.workshop.advising import Facts

#: What the exit status says: a better order was found (and was not applied); the proof found a difference.
BETTER, DIFFERS = 10, 1

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def configure(parser: Parser) -> None:
    parser.epilog = (
        f"The exit status is {BETTER} if there is a better order that was not applied, {DIFFERS} if a proof failed."
    )
    add = parser.add_argument
    add("context", nargs="?", default=".", metavar="CONTEXT", help="the build context, in a git checkout")
    add_replay(add)
    add("--apply", action="store_true", help="write the better Dockerfile, if it is proved")
    add("--unproved", action="store_true", help="let --apply write it without a proof")
    add("--json", action="store_true", help="as JSON (docs/advise.md)")


def add_replay(add: Callable[..., object]) -> None:
    """The options of what is replayed and how, for `gathered`."""
    add("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile)")
    add("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="value of an ARG")
    add("--target", default="", metavar="STAGE", help="the stage to build (default: the last)")
    add("--platform", metavar="OS/ARCH", help="the platform to build for (default: this machine's)")
    add("--since", default="", metavar="REV|DATE", help="replay the commits after this one")
    add("--commits", type=_count, default=200, metavar="N", help="replay at most so many commits (default: 200)")
    cost = "what a step takes, such as 8=90s or 'npm ci=2m': by line, stage/number or text"
    add("--cost", action="append", default=[], metavar="STEP=TIME", help=cost)
    add("--varies", action="append", default=[], metavar="NAME", help="an ARG that each build gives another value")
    add("--observe", action="store_true", help="build once before, to see what steps look at")
    add("--prove", action="store_true", help="build both orders at head and at earlier commits, and compare the images")
    add("--commits-to-build", type=_count, default=3, metavar="K", help="earlier commits for --prove (default: 3)")


def run(arguments: argparse.Namespace) -> int:
    from lamina.report import advise as words

    if arguments.apply and not (arguments.prove or arguments.unproved):
        hint = "add --prove, which builds both orders and compares them; or --unproved to do without"
        raise BuildFailure("usage-bad-arguments", "--apply writes what is proved", hint=hint)
    known, advice, proof = gathered(arguments)
    applied = arguments.apply and advice.better and (proof is None or proof.verdict == "proved")
    if applied:
        from lamina.cli.advising_files import replace_file

        assert known.located.path is not None
        replace_file(known.located.path, advice.after.scene.sheet.text)
    if arguments.json:
        print(words.document(advice, known.notes, proof, applied))
    else:
        print("\n".join(words.lines(advice, known.notes, proof, applied)))
    if proof is not None and proof.verdict == "differs":
        return DIFFERS
    return BETTER if advice.better and not applied else 0


def gathered(arguments: argparse.Namespace) -> tuple[Facts, Advice, Proof | None]:
    """The replay with its advice, and the proof if one was asked for and there is something to prove.

    Raises BuildFailure `context-…`, `dockerfile-…`, `usage-bad-arguments`.
    """
    from lamina.advise.advice import advise
    from lamina.api import build
    from lamina.workshop.advising import Question, facts

    known = facts(
        Question(
            context=arguments.context,
            dockerfile=arguments.file,
            build_args=pairs(arguments.build_arg, "--build-arg", from_environment=True),
            target=arguments.target,
            platform=arguments.platform,
            since=arguments.since,
            commits=arguments.commits,
            costs=[_cost(text) for text in arguments.cost],
            varies=arguments.varies,
            root=arguments.root,
        ),
        build if arguments.observe else None,
    )
    advice = advise(known.case)
    if not arguments.prove or not advice.better:
        return known, advice, None
    from lamina.cli.proving import prove

    return known, advice, prove(advice, known, arguments.commits_to_build)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of commits")
    return int(text)


def _cost(text: str) -> tuple[str, float]:
    step, _, time = text.rpartition("=")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|)", time)
    if not step or match is None:
        raise BuildFailure("usage-bad-arguments", f"--cost {text!r}: write STEP=TIME, such as 8=90s or 'npm ci=2m'")
    return step, float(match[1]) * _SECONDS[match[2]]
