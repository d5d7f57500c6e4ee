"""Whether what one RUN does has anything to do with what another one does, as far as their tools are known."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from lamina.advise.cost import commands_of
from lamina.advise.landing import meets
from lamina.advise.recorded import Recorded, Written, touched
from lamina.advise.wants import Copied, wants
from lamina.dockerfile.shellcommands import ShellCommand
from lamina.plan.installs import install_of
from lamina.plan.named import Unclear
from lamina.plan.scripts import script_in
from lamina.plan.steps import RunOp

#: Tools that install into the same place, so that who comes last counts.
FAMILIES = (
    ("pip", "pipenv", "poetry", "uv", "pdm"),
    ("npm", "yarn", "pnpm", "bun", "deno"),
    ("bundler", "gem"),
    ("maven", "gradle", "gradle wrapper"),
    ("dotnet", "dotnet tool"),
    ("cargo", "cargo chef"),
)
#: What others may have been installed for: such a step may go up, and nothing goes above it.
SYSTEM = "system"
#: Programs that build, by the family whose installs they use.
_WORKERS = {
    **dict.fromkeys(("npm", "npx", "yarn", "pnpm", "bun", "bunx", "deno", "node", "corepack"), "npm"),
    "go": "go",
    "cargo": "cargo",
    **dict.fromkeys(("mvn", "mvnw", "gradle", "gradlew"), "maven"),
    "dotnet": "dotnet",
    **dict.fromkeys(("bundle", "rake"), "bundler"),
    "composer": "composer",
    "mix": "mix",
    **dict.fromkeys(("make", "configure", "cmake", "ninja", "gcc", "cc"), "make"),
}
#: Programs that say nothing of whose tools a RUN is of.
_ASIDE = frozenset(["cd", "mkdir", "true", ":", "echo", "sleep", "set", "test", "["])
_UNKNOWN = re.compile(r"\$\((?!nproc\))|`|<")


class Apart(Struct, frozen=True):
    """A RUN of which it is known whose tools it is of."""

    families: frozenset[str]


def family(tool: str) -> str:
    """What stands for all tools that install into the same place."""
    return next((names for names in FAMILIES if tool in names), (tool,))[0]


def families(commands: Sequence[ShellCommand]) -> frozenset[str]:
    """Whose tools a RUN is of. What names packages for the machine or its users may be there for others."""
    found = set()
    for command in commands:
        install = install_of(command)
        if install is None or not install.reads:
            found.add(SYSTEM)
        if install is not None:
            found.add(family(install.tool))
    return frozenset(found)


def apart_of(op: object) -> Apart | None:
    """The tools of a RUN that may be built apart from others; None if it starts anything else, or has mounts."""
    if not isinstance(op, RunOp) or op.mounts or op.network != "default" or op.user not in ("", "root", "0"):
        return None
    commands = commands_of(op)
    if not commands or _UNKNOWN.search(script_in(op) or op.argv[-1]):
        return None
    found: set[str] = set()
    for command in commands:
        install = install_of(command)
        if install is not None:
            # Packages that it names itself may be there for others.
            if not install.reads:
                return None
            found.add(family(install.tool))
        elif command.program in _WORKERS:
            found.add(_WORKERS[command.program])
        elif command.program not in _ASIDE:
            return None
    return Apart(frozenset(found)) if found else None


def may_differ(apart: Apart, op: RunOp) -> bool:
    """Whether a RUN is an install of tools that those of `apart` are not known to use."""
    commands = commands_of(op)
    theirs = families(commands) if commands else frozenset((SYSTEM,))
    return SYSTEM not in theirs and not theirs & apart.families


def is_free_of(op: RunOp, copied: Copied, results: Sequence[Written], recorded: Recorded, text: str) -> bool:
    """Whether a RUN neither reads the copied files nor, as it was built last, touches what another one has made."""
    try:
        wanted = wants(op, copied)
    except Unclear:
        return False
    landed = dict.fromkeys(touched(recorded, text), "")
    return not wanted.files and not wanted.folders and not any(meets(one.path, landed) for one in results)
