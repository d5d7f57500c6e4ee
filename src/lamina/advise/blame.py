"""What the rebuilds of a replay came from: seconds by step that ran, and by the file or folder that made it run."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from lamina.advise.replay import Replay

#: A folder with more changed files than that is told as one.
_APART = 3


class Blamed(Struct, frozen=True):
    """A file, a folder (with a slash at its end; `files` is how many of its files changed) or a build argument
    (`$NAME`): at how many commits it made steps run, and the seconds that these took. Where a commit changed several
    files, each gets its part of the seconds."""

    path: str
    commits: int
    seconds: float
    files: int = 1


def blame(replay: Replay) -> tuple[Blamed, ...]:
    """Files that stand out, and folders for what lies together, what cost most first."""
    lost: dict[tuple[int, int], float] = {}
    for track in replay.tracks:
        for at, origin in track.ran.items():
            lost[at, origin] = lost.get((at, origin), 0.0) + track.seconds
    commits: dict[str, set[int]] = {}
    seconds: dict[str, float] = {}
    for (at, origin), cost in lost.items():
        paths = replay.changed(origin, at)
        for path in paths:
            commits.setdefault(path, set()).add(at)
            seconds[path] = seconds.get(path, 0.0) + cost / len(paths)
    return tuple(sorted(_gathered(commits, seconds), key=lambda one: (-one.seconds, -one.commits, one.path)))


def _gathered(commits: Mapping[str, set[int]], seconds: Mapping[str, float]) -> list[Blamed]:
    folders: dict[str, list[str]] = {}
    for path in commits:
        folders.setdefault(path.partition("/")[0] if "/" in path else "", []).append(path)
    found = []
    for folder, paths in folders.items():
        if folder and len(paths) > _APART:
            when = set().union(*(commits[path] for path in paths))
            found.append(Blamed(f"{folder}/", len(when), sum(seconds[path] for path in paths), len(paths)))
        else:
            found += [Blamed(path, len(commits[path]), seconds[path]) for path in paths]
    return found
