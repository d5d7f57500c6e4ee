"""LockFileMissing: dependencies are installed without a lock file, so that the layer depends on the day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.lint.copies import copies, is_gem, is_whole, named, reads
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Step, Subject
from lamina.plan.install_words import Install

#: Tools whose projects may have nothing to lock.
_OFTEN_NONE = frozenset({"go", "composer"})


def _check(subject: Subject) -> Iterator[Found]:
    told: set[int] = set()
    for stage in subject.stages:
        chain = subject.chain(stage)
        for at, step in enumerate(chain):
            for install in step.installs:
                if install.locks and step.line not in told and lock_is_missing(subject, chain[:at], step, install):
                    told.add(step.line)
                    names = " or ".join(install.locks)
                    yield Found(
                        step.instruction,
                        f"{install.tool} finds no {names} here: what it installs depends on the day on which it runs",
                        f"make {install.locks[0]}, keep it in the repository, and copy it beside {install.reads[0]}",
                        severity="info" if install.tool in _OFTEN_NONE else None,
                    )


def lock_is_missing(subject: Subject, above: Sequence[Step], step: Step, install: Install) -> bool:
    """Whether an install surely has no lock file: it is not in the context, or is not among the files that are copied
    one by one. False where that cannot be told."""
    if install.tool == "bundler" and is_gem(subject):
        return False
    if any(flag.name == "mount" and "type=bind" in (flag.value or "") for flag in step.instruction.flags):
        return False
    if any(one.instruction.keyword in ("COPY", "ADD") and not one.from_context for one in above):
        return False
    lock = Install("", reads=install.locks)
    sources = named(above)
    if any(is_whole(one) or "$" in one or _directory(install, one) for one in sources):
        if subject.context is None:
            return False
        taken = [subject.context.on_line(one.line) for one in copies(above)]
        paths = [entry.path for one in taken if one is not None for entry in one.entries]
        return (
            bool(paths) and any(reads(install, path) for path in paths) and not any(reads(lock, path) for path in paths)
        )
    manifest = Install("", reads=install.reads[:1])
    return any(reads(manifest, one) for one in sources) and not any(reads(lock, one) for one in sources)


def _directory(install: Install, source: str) -> bool:
    """Whether a source may be a directory: a name without a dot that is none of the install's own."""
    return "." not in source.strip("./") and not reads(install, source)


RULE = Rule("LockFileMissing", "warning", "dependencies are installed from a lock file", _check)
