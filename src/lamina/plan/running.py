"""RUN: from syntax to `RunOp` (Dockerfile reference, "RUN" and "Here-documents")."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.heredocs import content, opening
from lamina.dockerfile.syntax import Run
from lamina.plan.failures import file_name
from lamina.plan.metadata import command_line
from lamina.plan.mounts import step_mounts
from lamina.plan.scope import Scope
from lamina.plan.stages import Outline, RawStage, copy_source
from lamina.plan.steps import Inline, PlanOptions, RunOp

#: Where a heredoc that is a program of its own is put, as in BuildKit.
SCRIPTS = "/dev/pipes"


def run_op(outlined: Outline, raw: RawStage, scope: Scope, instruction: Run, options: PlanOptions) -> RunOp:
    """Everything that a RUN needs. Raises BuildFailure `dockerfile-…` at the flag that is wrong."""
    network, security = (instruction.flag(name) for name in ("network", "security"))
    mounts = [flag for flag in instruction.flags if flag.name == "mount"]
    argv, script = _command(scope, instruction)
    op = RunOp(
        argv=argv,
        env=scope.run_environment(),
        args=tuple((name, scope.variables.get(name, "")) for name in scope.declared),
        user=scope.config.user,
        cwd=scope.config.working_dir or "/",
        network=network.value or "default" if network else "default",
        security=security.value or "sandbox" if security else "sandbox",
        script=script,
        hostname=options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", ""),
    )
    if mounts:
        found = step_mounts(scope, mounts, lambda text, span: copy_source(outlined, text, raw, span))
        op = replace(op, mounts=found)
    _check_entitlements(op, instruction, options)
    return op


def _command(scope: Scope, instruction: Run) -> tuple[tuple[str, ...], Inline | None]:
    """The argv, and the heredoc that is a program of its own.

    A heredoc alone is the script itself; with other words the shell gets the text as it was written, bodies included.
    """
    text, heredocs = instruction.command.text, instruction.heredocs
    if not heredocs:
        return command_line(scope, instruction.command), None
    if opening(text.strip()) is None:
        bodies = (f"\n{heredoc.body}{heredoc.name}" for heredoc in heredocs)
        return (*scope.shell(), text + "".join(bodies)), None
    body = content(heredocs[0])
    if body.startswith("#!"):
        name = file_name(heredocs[0])
        return (*scope.shell(), f"{SCRIPTS}/{name}"), Inline(name, body)
    return (*scope.shell(), body), None


def _check_entitlements(op: RunOp, instruction: Run, options: PlanOptions) -> None:
    device = instruction.flag("device")
    if device is not None:
        raise BuildFailure(
            "dockerfile-no-devices",
            "RUN --device is not there: steps see no device of the machine",
            span=device.span,
            hint="take the device out of the build: what needs it can run when the image runs",
        )
    if op.security == "insecure" and "security.insecure" not in options.allow:
        flag = instruction.flag("security")
        raise BuildFailure(
            "dockerfile-entitlement",
            "RUN --security=insecure is not allowed in this build",
            span=flag.span if flag else instruction.span,
            hint="if you trust this Dockerfile with the machine, pass --allow security.insecure",
        )
