"""A stage while it is walked: its configuration so far, its variables, and what one instruction does to them."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.dockerfile.words import expand
from lamina.oci.config import RuntimeConfig

#: What BuildKit puts into a configuration whose base has no PATH.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Scope:
    """Mutable while the planner walks one stage. `config` has neither variables nor labels, which are kept apart while
    the stage is walked; `finished` puts them together, so that ten thousand ENV lines are not copied ten thousand
    times. `args` are the declared ARGs that have a value, in order; the variable
    set last wins between ARG and ENV of one name, as in BuildKit (features: "ARG vs ENV")."""

    def __init__(self, config: RuntimeConfig, escape: str) -> None:
        self.config = config
        self.escape = escape
        self.args: dict[str, str] = {}
        #: All ARGs of the stage, with the value that the line gave, in the order in which they were first declared.
        self.declared: dict[str, str | None] = {}
        self.author = ""
        self.cmd_set_here = False
        self.labels = dict(config.labels)
        self._env = dict(item.partition("=")[::2] for item in config.env)
        self._variables = dict(self._env)
        self._env_changed = False
        if "PATH" not in self._variables:
            self.set_env("PATH", DEFAULT_PATH)

    @property
    def variables(self) -> dict[str, str]:
        """What `$NAME` means now."""
        return self._variables

    def expand(self, text: str, span: Span) -> str:
        return expand(text, self._variables, escape=self.escape, span=span)

    def change(self, **fields: object) -> None:
        self.config = replace(self.config, **fields)

    def set_env(self, name: str, value: str) -> None:
        """ENV: a name keeps its place when it is set again."""
        self._env[name] = value
        self._variables[name] = value
        self._env_changed = True
        self.args.pop(name, None)

    def set_arg(self, name: str, value: str | None) -> None:
        """ARG: without a value the name stays what it was."""
        if value is not None:
            self.args[name] = value
            self._variables[name] = value

    def finished(self) -> RuntimeConfig:
        """The whole configuration. An image's own variables stay as they are written until an ENV changes any."""
        written = tuple(f"{name}={value}" for name, value in self._env.items())
        return replace(self.config, labels=self.labels, env=written if self._env_changed else self.config.env)

    def run_environment(self) -> tuple[tuple[str, str], ...]:
        """The environment of a RUN: the configuration's, then the ARGs, which win over it."""
        return tuple({**self._env, **self.args}.items())

    def absolute(self, path: str) -> str:
        """A path joined to the working directory, `.` and `..` resolved; never above the root."""
        return normal_path(path if path.startswith("/") else f"{self.config.working_dir or '/'}/{path}")

    def shell(self) -> tuple[str, ...]:
        return self.config.shell or ("/bin/sh", "-c")


def normal_path(path: str) -> str:
    """An absolute POSIX path without `.`, `..`, or doubled slashes."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
