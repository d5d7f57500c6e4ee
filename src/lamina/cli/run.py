"""`lamina run`: a command in a new container of an image."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lamina.cli import outside
from lamina.cli.habits import refused, switch, without_effect
from lamina.cli.options import Parser
from lamina.cli.stored import add_platform, stored
from lamina.diagnostics import BuildFailure
from lamina.oci.config import RuntimeConfig, decode_config
from lamina.ports.layers import Accounts
from lamina.ports.running import Mount, RunSpec
from lamina.ports.storing import Workspace
from lamina.workshop.layersource import layers_of
from lamina.workshop.parsing import pairs, store_root
from lamina.workshop.wire import workshop

#: For what asks for more of a container than a look into an image.
_ENGINE = "lamina runs a command to look into an image; for more, hand it on: lamina save IMAGE | docker load"
#: Options of `docker run` that are not there, and what to do instead.
_INSTEAD = {
    "-d --detach": "it runs in the foreground: leave it out, or let the shell put it into the background",
    "-p --publish": "leave it out: the container shares this machine's network, with the ports that its program opens",
    "-P --publish-all": "leave it out: the container shares this machine's network",
    "--pull": "run `lamina pull` before: an image that the store has is never asked for again",
    "--init": "leave it out",
    "--restart": _ENGINE,
    "--privileged": _ENGINE,
    "--cap-add": _ENGINE,
    "--cap-drop": _ENGINE,
    "--security-opt": _ENGINE,
    "--device": _ENGINE,
    "--gpus": _ENGINE,
    "--read-only": _ENGINE,
    "--volumes-from": _ENGINE,
    "--link": _ENGINE,
    "--ipc": _ENGINE,
    "--pid": _ENGINE,
    "--dns": "leave it out: the container asks the servers that this machine asks",
    "-m --memory": "start lamina in a control group with limits, as `systemd-run --scope -p MemoryMax=1G` does",
    "--cpus": "start lamina in a control group with limits, as `systemd-run --scope -p CPUQuota=100%` does",
}


def configure(parser: Parser) -> None:
    switch(parser.add_argument, "-i", "--interactive", help="give the container this terminal's input")
    switch(parser.add_argument, "-t", "--tty", help="the same: the container shares this terminal")
    without_effect(parser.add_argument, "--rm")  # a container never outlives its run
    without_effect(parser.add_argument, "-l", "--label", value=True)
    without_effect(parser.add_argument, "--name", value=True)
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE", help="environment variable")
    lines = "file with a NAME=VALUE a line; a NAME alone takes the value from here"
    parser.add_argument("--env-file", action="append", default=[], metavar="FILE", help=lines)
    parser.add_argument("-u", "--user", metavar="USER", help="user, as in USER")
    parser.add_argument("-w", "--workdir", metavar="DIR", help="working directory")
    parser.add_argument("-v", "--volume", action="append", default=[], metavar="SOURCE:TARGET[:ro]", help="bind mount")
    bound = "the same in words, also type=tmpfs"
    parser.add_argument("--mount", action="append", default=[], metavar="type=bind,source=…,target=…", help=bound)
    parser.add_argument("--tmpfs", action="append", default=[], metavar="TARGET", help="an empty directory in memory")
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="instead of the image's ENTRYPOINT")
    parser.add_argument("--network", "--net", default="host", metavar="host|none", help="network (default: host)")
    known = "a name that the container knows; host-gateway is this machine's address"
    parser.add_argument("--add-host", action="append", default=[], metavar="NAME:ADDRESS", help=known)
    parser.add_argument("--hostname", default="lamina", metavar="NAME", help="the container's own name")
    parser.add_argument("--ulimit", action="append", default=[], metavar="NAME=SOFT:HARD", help="a limit")
    parser.add_argument("--shm-size", metavar="BYTES", help="size of /dev/shm, such as 128m")
    parser.add_argument("--runtime", default="auto", metavar="NAME", help="what runs it: bwrap, runc, crun, youki")
    refused(parser.add_argument, _INSTEAD)
    add_platform(parser)
    parser.add_argument("image", metavar="IMAGE", help="a name or the beginning of an ID")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="instead of the image's CMD")


def run(arguments: argparse.Namespace) -> int:
    """Runs in the foreground and returns the command's exit status; the container's files are gone afterwards."""
    if arguments.network not in ("host", "none"):
        hint = "leave it out: the container shares this machine's network; none gives it no network"
        raise BuildFailure("usage-bad-arguments", f"there is no network {arguments.network!r}", hint=hint)
    with workshop(store_root(arguments.root), arguments.runtime) as shop:
        image = stored(shop, arguments.image, arguments)
        config = decode_config(shop.store.blobs.read(image.id))
        layers = layers_of(shop, image.id)
        tools = shop.start()
        with shop.store.snapshots.begin(None) as work:
            stack = Workspace(layers, work.upper, work.work, work.scratch)
            spec = _spec(arguments, config.runtime, stack, tools.layers)
            try:
                return tools.runner.run(spec, _write)
            except KeyboardInterrupt:
                tools.runner.stop()
                raise


def _spec(arguments: argparse.Namespace, config: RuntimeConfig, work: Workspace, accounts: Accounts) -> RunSpec:
    user = accounts.resolve_user(work.layers, arguments.user or config.user)
    env = dict(item.partition("=")[::2] for item in config.env)
    env.setdefault("HOME", user.home)
    if sys.stdin.isatty() and (arguments.interactive or arguments.tty):
        env.setdefault("TERM", os.environ.get("TERM", "xterm"))
    for path in arguments.env_file:
        env.update(pairs(_lines(path), f"--env-file {path}:", from_environment=True))
    env.update(pairs(arguments.env, "--env", from_environment=True))
    return RunSpec(
        work=work,
        argv=_argv(arguments, config),
        env=env,
        cwd=arguments.workdir or config.working_dir or "/",
        user=user,
        network=arguments.network,
        hostname=arguments.hostname,
        mounts=tuple(_mounts(arguments)),
        hosts=outside.hosts(arguments.add_host),
        limits=outside.limits(arguments.ulimit),
        shm_size=outside.size(arguments.shm_size, "--shm-size"),
        interactive=arguments.interactive or arguments.tty,
    )


def _argv(arguments: argparse.Namespace, config: RuntimeConfig) -> tuple[str, ...]:
    """ENTRYPOINT and CMD as Docker joins them: another entrypoint drops the image's CMD."""
    if arguments.entrypoint is not None:
        argv = ((arguments.entrypoint,) if arguments.entrypoint else ()) + tuple(arguments.command)
    else:
        argv = (config.entrypoint or ()) + (tuple(arguments.command) or config.cmd or ())
    if not argv:
        raise BuildFailure("usage-no-command", f"{arguments.image} has no command", hint="name one behind the image")
    return argv


def _lines(path: str) -> list[str]:
    """An --env-file, as Docker reads it: no quotes, `#` begins a comment at the start of a line alone."""
    try:
        text = Path(path).read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise BuildFailure("usage-bad-arguments", f"--env-file {path} cannot be read", cause=error.strerror) from None
    return [
        line.lstrip() for line in text.removeprefix("\ufeff").splitlines() if line.strip() and line.lstrip()[0] != "#"
    ]


def _mounts(arguments: argparse.Namespace) -> Iterator[Mount]:
    yield from map(_volume, arguments.volume)
    yield from map(_mount, arguments.mount)
    yield from (Mount("tmpfs", text.partition(":")[0], read_only=False) for text in arguments.tmpfs)


def _volume(text: str) -> Mount:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise BuildFailure("usage-bad-arguments", f"-v {text}: write SOURCE:/TARGET, or SOURCE:/TARGET:ro")
    return _bind(f"-v {text}", source, target, read_only=mode == "ro")


def _mount(text: str) -> Mount:
    """`type=bind,source=DIR,target=/DIR[,readonly]` or `type=tmpfs,target=/DIR`."""
    values = {
        name: value if equals else "true" for name, equals, value in (one.partition("=") for one in text.split(","))
    }
    kind = values.pop("type", "volume")
    target = values.pop("target", None) or values.pop("destination", None) or values.pop("dst", "")
    source = values.pop("source", None) or values.pop("src", "")
    readonly = values.pop("readonly", None) or values.pop("ro", "false")
    if kind not in ("bind", "tmpfs") or not target.startswith("/") or values or (kind == "bind") != bool(source):
        hint = "write type=bind,source=DIR,target=/DIR[,readonly] or type=tmpfs,target=/DIR"
        raise BuildFailure("usage-bad-arguments", f"--mount {text} is not known", hint=hint)
    if kind == "tmpfs":
        return Mount("tmpfs", target, read_only=False)
    return _bind(f"--mount {text}", source, target, read_only=readonly in ("true", "1"))


def _bind(option: str, source: str, target: str, *, read_only: bool) -> Mount:
    path = Path(source).absolute()
    if not path.exists():
        hint = f"there are no named volumes: for a directory, write ./{source}" if "/" not in source else None
        raise BuildFailure("usage-bad-arguments", f"{option}: there is no {source}", hint=hint)
    return Mount("bind", target, path, read_only=read_only)


def _write(stream: int, data: bytes) -> None:
    out = sys.stdout.buffer if stream == 1 else sys.stderr.buffer
    out.write(data)
    out.flush()
