"""`lamina advise --prove`: both orders built at head and at earlier commits, and the images compared file by file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lamina.advise.advice import Advice
from lamina.advise.past import Commit
from lamina.advise.proof import BuiltCommit, Differing, Proof
from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.engine.request import BuildResult
from lamina.history.files import write_tree
from lamina.report.words import duration
from lamina.workshop.advising import Facts
from lamina.workshop.layersource import layers_of

_TWICE = "it differs between two builds of the same Dockerfile"
#: Parts of a configuration in which the two orders may differ without a meaning.
_UNORDERED = ("env",)


def prove(advice: Advice, known: Facts, count: int) -> Proof:
    """Build head and `count` earlier commits, evenly over the history, in both orders, oldest first.

    The commits' own files are written into a folder of their own; the Dockerfile and the ignore file are those of now.
    """
    with TemporaryDirectory(prefix="lamina-prove-") as folder:
        return _Proving(advice, known, Path(folder)).run(chosen(advice.case.history.commits, count))


def chosen(commits: Sequence[Commit], count: int) -> list[Commit]:
    """Head and up to `count` more, as far apart as can be, oldest first."""
    last = len(commits) - 1
    places = {round(last * at / max(1, count)) for at in range(count)} | {last}
    return [commits[at] for at in sorted(places)]


class _Proving:
    """The builds of one proof. `seen` are the keys that each order's builds came across."""

    def __init__(self, advice: Advice, known: Facts, folder: Path) -> None:
        self._known = known
        self._context = folder / "context"
        self._files = (folder / "old" / "Dockerfile", folder / "new" / "Dockerfile")
        self._seen: tuple[set[Digest], set[Digest]] = (set(), set())
        self._noise: dict[str, str] | None = None
        rules = advice.case.rules.rules if advice.case.rules is not None else ()
        for file, found in zip(self._files, (advice.before, advice.after), strict=True):
            file.parent.mkdir()
            file.write_text(found.scene.sheet.text, encoding="utf-8", errors="surrogateescape", newline="")
            ignored = "".join(f"{rule.pattern}\n" for rule in rules)
            file.with_name("Dockerfile.dockerignore").write_text(ignored, encoding="utf-8", errors="surrogateescape")

    def run(self, commits: Sequence[Commit]) -> Proof:
        built: list[BuiltCommit] = []
        for number, commit in enumerate(commits, 1):
            _say(f"commit {commit.id[:10]} ({number} of {len(commits)}): {commit.subject}")
            shutil.rmtree(self._context, ignore_errors=True)
            write_tree(self._known.located.directory, commit.id, self._context)
            built.append(self._commit(commit, first=not any(not one.failed for one in built)))
        if built[-1].failed:
            return Proof("not tried", tuple(built), f"the newest commit cannot be built: {built[-1].failed}")
        return Proof("differs" if any(one.strange for one in built) else "proved", tuple(built))

    def _commit(self, commit: Commit, *, first: bool) -> BuiltCommit:
        try:
            old = self._build(0, commit)
        except BuildFailure as failure:
            return BuiltCommit(commit.id, commit.subject, None, failed=str(failure))
        try:
            new = self._build(1, commit)
        except BuildFailure as failure:
            if failure.diagnostic.reference == "context-source-missing":
                return BuiltCommit(commit.id, commit.subject, None, failed=f"in the new order {failure}")
            told = Differing("the build", f"it fails in the new order: {failure}")
            return BuiltCommit(commit.id, commit.subject, None, differing=(told,))
        seconds = (self._seconds(0, old), self._seconds(1, new))
        _say(f"  old order {duration(seconds[0])}, new order {duration(seconds[1])}")
        same, differing = self._compared(old, new, commit)
        return BuiltCommit(commit.id, commit.subject, None if first else seconds, same, differing)

    def _build(self, order: int, commit: Commit, *, no_cache: bool = False) -> BuildResult:
        from lamina.api import build

        known = self._known
        varying = dict.fromkeys(known.case.varying, commit.id)
        return build(
            self._context,
            dockerfile=self._files[order],
            build_args={**known.options.build_args, **varying},
            target=known.options.target,
            platform=str(known.options.platform),
            observe=False,
            no_cache=no_cache,
            cache_from=(),
            cache_to=(),
            root=known.root,
        )

    def _seconds(self, order: int, result: BuildResult) -> float:
        """What the steps took that this order had not run before. One that the other order, or a build before the
        proof, has left in the store counts with what it took then: as if each order had a store of its own."""
        total, seen = 0.0, self._seen[order]
        for stage in result.stages:
            for step in stage.steps:
                key = step.record.key.digest if step.record is not None else None
                if step.outcome == "done":
                    total += step.seconds
                elif step.record is not None and key not in seen:
                    total += step.record.seconds
                if key is not None:
                    seen.add(key)
        return total

    def _compared(self, old: BuildResult, new: BuildResult, commit: Commit) -> tuple[int, tuple[Differing, ...]]:
        same, found = _differences(self._known.root, old.image_id, new.image_id)
        if found and self._noise is None:
            _say("  the images differ: the old order is built once more, to see what differs anyway")
            again = self._build(0, commit, no_cache=True)
            _, noise = _differences(self._known.root, old.image_id, again.image_id)
            self._noise = {one.path: one.noise or _TWICE for one in noise}
        noise_of = self._noise or {}
        told = (Differing(one.path, one.what, _TWICE if one.path in noise_of else one.noise) for one in found)
        return same, tuple(told)


def _differences(root: Path, old: Digest, new: Digest) -> tuple[int, list[Differing]]:
    """How many paths are the same, and what is not."""
    from lamina.explain.suspects import suspect
    from lamina.oci.config import decode_config
    from lamina.workshop.merged_compare import pairs
    from lamina.workshop.wire import workshop

    if old == new:
        _say("  it is the same image")
    same, found = 0, []
    with workshop(root) as shop:
        one, other = (decode_config(shop.store.blobs.read(image)).runtime for image in (old, new))
        for name in one.__struct_fields__:
            ours, theirs = getattr(one, name), getattr(other, name)
            if name in _UNORDERED:
                ours, theirs = sorted(ours), sorted(theirs)
            if ours != theirs:
                found.append(Differing(f"the configuration's {name}", f"{ours} → {theirs}"))
        try:
            for pair in pairs(layers_of(shop, old), layers_of(shop, new), shop.rung.xattr):
                if not pair.what:
                    same += 1
                    continue
                known = suspect(pair.path, pair.magic, pair.offset)
                found.append(Differing(pair.path, pair.what, known.why if known is not None else ""))
        except OSError as error:
            raise BuildFailure("image-layer-unreadable", "cannot read a layer", cause=str(error)) from None
    return same, found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
