"""The instructions that change only the image's configuration: each takes the scope and changes it.

Rule: the Dockerfile reference; details that implementers get wrong stand beside the code. A function returns the text
for the history behind the keyword.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile import syntax
from lamina.dockerfile.durations import nanoseconds
from lamina.dockerfile.words import expand_words
from lamina.oci.config import Healthcheck
from lamina.plan.failures import empty_value
from lamina.plan.scope import Scope

_PORT = re.compile(r"(?:(?P<address>.*):)?(?P<low>\d{1,5})(?:-(?P<high>\d{1,5}))?(?:/(?P<protocol>[a-zA-Z]+))?\Z")
#: Linux' signals (signal(7)), with or without SIG.
_SIGNAL = re.compile(
    r"(?:SIG)?(?:ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|"
    r"TERM|TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN(?:\+(?:[1-9]|1[0-5]))?|"
    r"RTMAX(?:-(?:[1-9]|1[0-4]))?)\Z|[0-9]{1,2}\Z"
)
_MAX_PORTS = 65_536


def env(scope: Scope, instruction: syntax.Env) -> str:
    # All values of one line see the variables as they were before it.
    pairs = [(scope.expand(p.name, p.span), scope.expand(p.value or "", p.span), p.span) for p in instruction.pairs]
    for name, value, span in pairs:
        if not name:
            raise empty_value("the name of an ENV", span)
        scope.set_env(name, value)
    return " ".join(f"{name}={value}" for name, value, _ in pairs)


def label(scope: Scope, instruction: syntax.Label) -> str:
    pairs = [(scope.expand(p.name, p.span), scope.expand(p.value or "", p.span)) for p in instruction.pairs]
    scope.labels.update(pairs)
    return " ".join(f"{name}={value}" for name, value in pairs)


def expose(scope: Scope, instruction: syntax.Expose) -> str:
    words = [
        word
        for text in instruction.ports
        for word in expand_words(text, scope.variables, escape=scope.escape, span=instruction.span)
    ]
    ports = [port for word in words for port in _ports(word, instruction.span)]
    if not ports:
        raise empty_value("EXPOSE", instruction.span)
    scope.change(exposed_ports={**scope.config.exposed_ports, **{port: {} for port in ports}})
    return f"[{' '.join(ports)}]"


def cmd(scope: Scope, instruction: syntax.Cmd) -> str:
    scope.cmd_set_here = True
    # Docker's mark for Windows, which BuildKit sets everywhere.
    scope.change(cmd=command_line(scope, instruction.command), args_escaped=True)
    return _go_list(scope.config.cmd or ())


def entrypoint(scope: Scope, instruction: syntax.Entrypoint) -> str:
    # Clears a CMD that came from the base image or the parent stage, not one set earlier in this stage.
    if not scope.cmd_set_here:
        scope.change(cmd=None)
    scope.change(entrypoint=command_line(scope, instruction.command))
    return _go_list(scope.config.entrypoint or ())


def user(scope: Scope, instruction: syntax.User) -> str:
    name = scope.expand(instruction.user, instruction.span)
    if not name:
        raise empty_value("USER", instruction.span)
    scope.change(user=name)
    return name


def volume(scope: Scope, instruction: syntax.Volume) -> str:
    paths = [scope.expand(path, instruction.span) for path in instruction.paths]
    if not all(path.strip() for path in paths):
        raise empty_value("a path of VOLUME", instruction.span)
    scope.change(volumes={**scope.config.volumes, **{path: {} for path in paths}})
    return f"[{' '.join(paths)}]"


def stopsignal(scope: Scope, instruction: syntax.Stopsignal) -> str:
    signal = scope.expand(instruction.signal, instruction.span)
    if not _SIGNAL.match(signal.upper()) or (signal.isdigit() and not 1 <= int(signal) <= 64):
        raise BuildFailure(
            "dockerfile-bad-signal",
            f"STOPSIGNAL {signal!r} is not a signal",
            span=instruction.span,
            hint="write a name such as SIGTERM, or a number from 1 to 64",
        )
    scope.change(stop_signal=signal)
    return signal


def shell(scope: Scope, instruction: syntax.Shell) -> str:
    scope.change(shell=instruction.argv)
    return f"[{' '.join(instruction.argv)}]"


def maintainer(scope: Scope, instruction: syntax.Maintainer) -> str:
    scope.author = instruction.name
    return instruction.name


def onbuild(scope: Scope, instruction: syntax.Onbuild) -> str:
    scope.change(on_build=(*(scope.config.on_build or ()), instruction.trigger))
    return instruction.trigger


def healthcheck(scope: Scope, instruction: syntax.Healthcheck) -> str:
    if instruction.command is None:
        scope.change(healthcheck=Healthcheck(test=("NONE",)))
        return "NONE"
    command = instruction.command
    test = ("CMD", *command.argv) if command.argv is not None else ("CMD-SHELL", command.text)
    retries = instruction.flag("retries")
    check = Healthcheck(
        test=test,
        interval=_duration(instruction, "interval"),
        timeout=_duration(instruction, "timeout"),
        start_period=_duration(instruction, "start-period"),
        start_interval=_duration(instruction, "start-interval"),
        retries=int(retries.value or 0) if retries else 0,
    )
    scope.change(healthcheck=check)
    return instruction.original.partition(" ")[2]


def command_line(scope: Scope, command: syntax.Command) -> tuple[str, ...]:
    """A command's argv: exec form as it is, shell form behind the SHELL in force at its line."""
    return command.argv if command.argv is not None else (*scope.shell(), command.text)


METADATA: dict[type[syntax.Instruction], Callable[[Scope, Any], str]] = {
    syntax.Env: env,
    syntax.Label: label,
    syntax.Expose: expose,
    syntax.Cmd: cmd,
    syntax.Entrypoint: entrypoint,
    syntax.User: user,
    syntax.Volume: volume,
    syntax.Stopsignal: stopsignal,
    syntax.Shell: shell,
    syntax.Maintainer: maintainer,
    syntax.Onbuild: onbuild,
    syntax.Healthcheck: healthcheck,
}


def _go_list(items: tuple[str, ...]) -> str:
    """A list as Docker writes it in the history: JSON strings, separated by blanks."""
    return "[" + " ".join(msgspec.json.encode(item).decode() for item in items) + "]"


def _ports(word: str, span: Span) -> list[str]:
    found = _PORT.match(word)
    low = int(found["low"]) if found else -1
    high = int(found["high"] or low) if found else -1
    protocol = ((found["protocol"] if found else None) or "tcp").lower()
    if not 0 <= low <= high < _MAX_PORTS or protocol not in ("tcp", "udp", "sctp"):
        raise BuildFailure(
            "dockerfile-bad-port",
            f"EXPOSE {word!r} is not a port",
            span=span,
            hint="write a port or a range, with a protocol if it is not tcp: 8080, 8000-8010, 53/udp",
        )
    return [f"{port}/{protocol}" for port in range(low, high + 1)]


def _duration(instruction: syntax.Healthcheck, name: str) -> int:
    """A duration flag in nanoseconds, 0 when it is absent; the parser has checked it."""
    flag = instruction.flag(name)
    return nanoseconds(flag.value or "0") if flag else 0
