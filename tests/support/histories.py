"""Histories in memory, and the slow way to say which steps a build of each commit would run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tests.support.planning import LINUX

from lamina.advise.past import Change, Commit, History
from lamina.digest import Digest
from lamina.dockerfile.ignore import IgnoreRules
from lamina.engine.decision import keyed
from lamina.engine.inputs import Inputs, context_inputs, inline_inputs, joined, reads
from lamina.engine.request import BuildRequest
from lamina.keys.compute import SourceFacts, base_key, is_linked
from lamina.keys.filetree import FileRecord
from lamina.plan.steps import CopyOp, Inline, MetaOp, Plan, PlanOptions, StageRef, Step
from lamina.testing.context import MemoryContext

#: A context: path → text, `@target` for a link, text that begins with `!` for an executable.
Tree = Mapping[str, str]


def record_of(path: str, text: str) -> FileRecord:
    if text.startswith("@"):
        return FileRecord(path, "link", 0o777, target=text[1:])
    return FileRecord(path, "file", 0o755 if text.startswith("!") else 0o644, content=f"c{text}")


def history_of(trees: Sequence[Tree], *, own_git: bool = False) -> History:
    """The first tree is where it starts, each further one a commit."""
    commits = []
    for number, (before, now) in enumerate(pairwise(trees), 1):
        changes = [Change(path, record_of(path, now[path])) for path in now if before.get(path) != now[path]]
        changes += [Change(path, None) for path in before if path not in now]
        commits.append(Commit(f"{number:040d}", number * 86400, f"commit {number}", tuple(changes)))
    start = tuple(record_of(path, trees[0][path]) for path in sorted(trees[0]))
    return History("0" * 40, start, tuple(commits), own_git)


def context_of(tree: Tree, rules: IgnoreRules | None) -> MemoryContext:
    """What a build of one commit sees, by the rules of `context.scan`."""

    def out(path: str) -> bool:
        return rules is not None and rules.excluded(path)

    kept = {path for path in tree if not out(path)}
    folders = {above for path in tree for above in _above(path)}
    files = {path: tree[path].encode() for path in kept if tree[path][:1] != "@"}
    links = {path: tree[path][1:] for path in kept if tree[path][:1] == "@"}
    modes = {path: 0o755 for path in files if tree[path][:1] == "!"}
    return MemoryContext(files, links=links, modes=modes, dirs=[path for path in folders if not out(path)])


def slowly(plan: Plan, trees: Sequence[Tree], rules: IgnoreRules | None) -> list[set[str]]:
    """For each commit the addresses (`stage/ordinal`) of the steps that a build would run after builds of all commits
    before: every key computed anew with the builder's own functions."""
    request = BuildRequest("", b"", "Dockerfile", "", PlanOptions(platform=LINUX, build_platform=LINUX))
    known: set[object] = set()
    found: list[set[str]] = []
    for tree in trees:
        context = context_of(tree, rules)
        ran: set[str] = set()
        stages: dict[int, tuple[Digest, ...]] = {}
        for stage in plan.stages:
            if isinstance(stage.base, StageRef):
                stack = stages[stage.base.index]
            else:
                stack = (base_key(Digest(f"sha256:{stage.base_text}"), stage.platform).digest,)
            for step in stage.steps:
                if isinstance(step.op, MetaOp):
                    continue
                inputs = joined([_inputs(read, step, context, stages) for read in reads(step.op)])
                key = keyed(step, _digest(stack), None, stage.platform, inputs, request).key.digest
                if key not in known:
                    known.add(key)
                    ran.add(f"{stage.label}/{step.ordinal}")
                stack = (*stack, key) if _is_linked(step) else (key,)
            stages[stage.index] = stack
        found.append(ran)
    return found[1:]


def _is_linked(step: Step) -> bool:
    return isinstance(step.op, CopyOp) and is_linked(step.op)


def _digest(stack: tuple[Digest, ...]) -> Digest:
    """What a step stands on. The key of a linked copy does not tell what lies below it."""
    return Digest(" ".join(stack))


def _inputs(read: object, step: Step, context: MemoryContext, stages: Mapping[int, tuple[Digest, ...]]) -> Inputs:
    source, origin = read.source, read.origin  # type: ignore[attr-defined]
    if isinstance(source, Inline):
        return inline_inputs(read, source)  # type: ignore[arg-type]
    if isinstance(origin, StageRef):
        return Inputs((SourceFacts(source, (), Digest(f"{_digest(stages[origin.index])} {source}")),))
    return context_inputs(read, context, step.span)  # type: ignore[arg-type]


def _above(path: str) -> list[str]:
    found = []
    while "/" in path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
