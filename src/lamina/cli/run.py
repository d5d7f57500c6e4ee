"""`lamina run`: a command in a new container of an image."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lamina.cli.layersource import layers_of
from lamina.cli.options import Parser, pairs, store_root
from lamina.cli.stored import add_platform, stored
from lamina.cli.wire import workshop
from lamina.diagnostics import BuildFailure
from lamina.oci.config import RuntimeConfig, decode_config
from lamina.ports import Accounts, Mount, RunSpec, Workspace


def configure(parser: Parser) -> None:
    parser.add_argument("-i", "--interactive", action="store_true", help="give the container this terminal's input")
    parser.add_argument("-t", "--tty", action="store_true", help="the same: the container shares this terminal")
    parser.add_argument("--rm", action="store_true", help=argparse.SUPPRESS)  # a container never outlives its run
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE", help="environment variable")
    parser.add_argument("-u", "--user", metavar="USER", help="user, as in USER")
    parser.add_argument("-w", "--workdir", metavar="DIR", help="working directory")
    parser.add_argument("-v", "--volume", action="append", default=[], metavar="SOURCE:TARGET[:ro]", help="bind mount")
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="instead of the image's ENTRYPOINT")
    parser.add_argument("--network", default="host", choices=("host", "none"), help="network (default: host)")
    parser.add_argument("--runtime", default="auto", metavar="NAME", help="what runs it: bwrap, runc, crun, youki")
    add_platform(parser)
    parser.add_argument("image", metavar="IMAGE", help="a name or the beginning of an ID")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="instead of the image's CMD")


def run(arguments: argparse.Namespace) -> int:
    """Runs in the foreground and returns the command's exit status; the container's files are gone afterwards."""
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
    env.update(pairs(arguments.env, "--env", from_environment=True))
    return RunSpec(
        work=work,
        argv=_argv(arguments, config),
        env=env,
        cwd=arguments.workdir or config.working_dir or "/",
        user=user,
        network=arguments.network,
        hostname="lamina",
        mounts=tuple(map(_volume, arguments.volume)),
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


def _volume(text: str) -> Mount:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise BuildFailure("usage-bad-arguments", f"-v {text}: write SOURCE:/TARGET, or SOURCE:/TARGET:ro")
    path = Path(source).absolute()
    if not path.exists():
        raise BuildFailure("usage-bad-arguments", f"-v {text}: there is no {source}")
    return Mount("bind", target, path, read_only=mode == "ro")


def _write(stream: int, data: bytes) -> None:
    out = sys.stdout.buffer if stream == 1 else sys.stderr.buffer
    out.write(data)
    out.flush()
