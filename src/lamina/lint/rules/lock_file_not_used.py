"""LockFileNotUsed: an install that may change or ignore the lock file, so that the layer depends on the day."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import settings
from lamina.lint.rule import Found, Rule
from lamina.lint.rules.lock_file_missing import lock_is_missing
from lamina.lint.subject import Subject
from lamina.plan.install_words import Install
from lamina.plan.installs import install_of

#: Variables by which a tool is told to be strict.
_STRICT = {
    "uv": {"UV_FROZEN", "UV_LOCKED"},
    "bundler": {"BUNDLE_DEPLOYMENT", "BUNDLE_FROZEN"},
    "yarn": {"CI", "YARN_ENABLE_IMMUTABLE_INSTALLS"},
    "pnpm": {"CI"},
    "npm": set[str](),
}


def _check(subject: Subject) -> Iterator[Found]:
    told: set[int] = set()
    for stage in subject.stages:
        chain = subject.chain(stage)
        names = settings(subject, stage) if any(step.installs for step in stage.steps) else frozenset()
        for at, step in enumerate(chain):
            for command in step.commands:
                install = install_of(command)
                if install is None or not install.locks or install.frozen or step.line in told:
                    continue
                given = {one.partition("=")[0] for one in command.env}
                if (names | given) & _STRICT.get(install.tool, set()) or _configured(chain[: at + 1], install):
                    continue
                # There is nothing to be used then.
                if lock_is_missing(subject, chain[:at], step, install):
                    continue
                told.add(step.line)
                yield Found(
                    step.instruction,
                    f"`{' '.join(command.words[:3])}` may install other versions than {install.locks[0]} says",
                    f"`{install.strictly}` installs what the lock file says, or fails",
                    severity="info" if install.tool == "bundler" else None,
                )


def _configured(steps: object, install: Install) -> bool:
    """Whether an earlier command has told the tool once and for all."""
    if install.tool not in ("bundler", "yarn", "pnpm") or not isinstance(steps, tuple):
        return False
    return any(
        command.program in (install.tool, "bundle")
        and command.words[1:2] == ("config",)
        and {"deployment", "frozen", "enableImmutableInstalls", "frozen-lockfile"} & set(command.words)
        for step in steps
        for command in step.commands
    )


RULE = Rule("LockFileNotUsed", "warning", "an install does what the lock file says", _check)
