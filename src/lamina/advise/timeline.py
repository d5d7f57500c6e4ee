"""What a build context showed at each commit: the history as the ignore rules leave it, directories included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from lamina.advise.past import Change, History
from lamina.dockerfile.ignore import IgnoreRules
from lamina.keys.filetree import FileRecord

_GIT = ".git"
#: One thing in the repository's own folder stands for all that a commit changes there.
_GIT_FACT = ".git/HEAD"
_DIR_MODE = 0o755


class Event(Struct, frozen=True, gc=False):
    """One path of the context that a commit changed; None is absence."""

    path: str
    before: FileRecord | None
    after: FileRecord | None


class Timeline(Struct, frozen=True):
    """The context before the first commit, by path, and the events of each. `links` are all that there ever were."""

    start: dict[str, FileRecord]
    events: tuple[tuple[Event, ...], ...]
    links: frozenset[str]

    def head(self) -> dict[str, FileRecord]:
        """The context after the last commit."""
        tree = dict(self.start)
        for events in self.events:
            apply(tree, events)
        return tree


def apply(tree: dict[str, FileRecord], events: Iterable[Event]) -> None:
    """Bring a context from one commit to the next."""
    for event in events:
        if event.after is None:
            del tree[event.path]
        else:
            tree[event.path] = event.after


def timeline(history: History, rules: IgnoreRules | None) -> Timeline:
    """The history as a build with these ignore rules would see it (`context.scan`).

    Git knows no directories: one is there while a file is, with mode 0755, also if the rules keep the file out.
    """
    view = _View(rules)
    git = history.own_git and not (rules is not None and rules.excluded(_GIT))
    start = [Change(record.path, record) for record in history.start]
    begun = view.step([*start, *_own(git, history.start_id)])
    events = tuple(view.step([*commit.changes, *_own(git, commit.id)]) for commit in history.commits)
    found = {event.path: event.after for event in begun if event.after is not None}
    links = {event.path for event in begun if event.after is not None and event.after.kind == "link"}
    for step in events:
        links.update(event.path for event in step if event.after is not None and event.after.kind == "link")
    return Timeline(found, events, frozenset(links))


def _own(git: bool, commit: str) -> Iterator[Change]:
    if git:
        yield Change(_GIT_FACT, FileRecord(_GIT_FACT, "file", 0o644, content=commit))


class _View:
    """The files of the repository, and what of them and of their directories is seen."""

    def __init__(self, rules: IgnoreRules | None) -> None:
        self._rules = rules
        self._files: dict[str, FileRecord] = {}
        #: Directory → files below it, and entries below it that no rule keeps out.
        self._below: dict[str, int] = {}
        self._shown: dict[str, int] = {}
        self._seen: dict[str, FileRecord] = {}
        self._out: dict[str, bool] = {}

    def step(self, changes: Iterable[Change]) -> tuple[Event, ...]:
        """Apply changes to the files; what that changes of what is seen."""
        touched: dict[str, None] = {}
        for change in changes:
            was, now = self._files.get(change.path), change.after
            touched[change.path] = None
            if now is None:
                self._files.pop(change.path, None)
            else:
                self._files[change.path] = now
            if (was is None) != (now is None):
                self._count(change.path, 1 if was is None else -1, touched)
        return tuple(event for path in touched if (event := self._event(path)) is not None)

    def _count(self, path: str, more: int, touched: dict[str, None]) -> None:
        """A file came or went: so may the directories above it, and what they show."""
        shown = 0 if self._excluded(path) else more
        above = path
        while "/" in above:
            above = above.rpartition("/")[0]
            touched[above] = None
            before = self._below.get(above, 0)
            self._below[above] = before + more
            self._shown[above] = self._shown.get(above, 0) + shown
            if (before == 0) != (before + more == 0) and not self._excluded(above):
                shown += more

    def _event(self, path: str) -> Event | None:
        before, after = self._seen.get(path), self._now(path)
        if before == after:
            return None
        if after is None:
            del self._seen[path]
        else:
            self._seen[path] = after
        return Event(path, before, after)

    def _now(self, path: str) -> FileRecord | None:
        file = self._files.get(path)
        if file is not None:
            return None if self._excluded(path) else file
        if self._below.get(path, 0) > 0 and (not self._excluded(path) or self._shown[path] > 0):
            return FileRecord(path, "dir", _DIR_MODE)
        return None

    def _excluded(self, path: str) -> bool:
        if self._rules is None:
            return False
        known = self._out.get(path)
        if known is None:
            known = self._out[path] = self._rules.excluded(path)
        return known
