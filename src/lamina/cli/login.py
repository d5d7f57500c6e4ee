"""`lamina login`."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from lamina import __version__
from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.oci.reference import parse_reference
from lamina.registry.credentials import Credentials
from lamina.registry.logins import check, keep
from lamina.workshop.registries import docker_config, read_settings

_MAX_PASSWORD = 1 << 16


def configure(parser: Parser) -> None:
    parser.add_argument("server", nargs="?", default="docker.io", metavar="SERVER", help="the registry's host[:port]")
    parser.add_argument("-u", "--username", metavar="USER", help="the user's name (default: it is asked for)")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("-p", "--password", metavar="PASSWORD", help="the password; others can see it on this machine")
    secret.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def run(arguments: argparse.Namespace) -> int:
    """Tries the credentials, then keeps them where Docker does."""
    registry, file = server(arguments.server), config_file()
    credentials = _asked(arguments, registry)
    check(read_settings(os.environ, __version__), registry, credentials)
    place = keep(file, registry, credentials)
    if place == str(file):
        print(f"the password is kept in {file}, encoded but not encrypted; credsStore changes that", file=sys.stderr)
    print("Login Succeeded")
    return 0


def server(text: str) -> str:
    """The registry that a SERVER word means: `host[:port]`, perhaps written as a URL. Raises BuildFailure
    `usage-bad-arguments`."""
    host = text.partition("://")[2] or text
    host = host.partition("/")[0]
    try:
        return parse_reference(f"{host}/x").registry if host not in ("docker.io", "index.docker.io") else "docker.io"
    except ValueError:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is not the name of a registry") from None


def config_file() -> Path:
    """Where credentials are kept. Raises BuildFailure `usage-bad-arguments`."""
    file = docker_config(os.environ)
    if file is None:
        raise BuildFailure("usage-bad-arguments", "there is no place for credentials", hint="set HOME or DOCKER_CONFIG")
    return file


def _asked(arguments: argparse.Namespace, registry: str) -> Credentials:
    username, password = arguments.username, arguments.password
    if arguments.password_stdin:
        if not username:
            raise BuildFailure("usage-bad-arguments", "--password-stdin goes with --username")
        raw = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
        try:
            password = raw.decode().removesuffix("\n").removesuffix("\r") if len(raw) <= _MAX_PASSWORD else ""
        except UnicodeDecodeError:
            password = ""
    elif password is not None:
        print("a password on the command line can be seen by others: use --password-stdin", file=sys.stderr)
    elif not sys.stdin.isatty():
        hint = 'echo "$PASSWORD" | lamina login --username USER --password-stdin'
        raise BuildFailure("usage-bad-arguments", "there is no terminal to ask for the password", hint=hint)
    try:
        if not username:
            print(f"Username for {registry}: ", end="", file=sys.stderr, flush=True)
            username = sys.stdin.readline().strip()
        if password is None:
            password = getpass.getpass(f"Password of {username}: ", stream=sys.stderr)
    except EOFError:
        password = ""
    if not username or not password or ":" in username:
        raise BuildFailure("usage-bad-arguments", "a login needs a user's name (without a colon) and a password")
    return Credentials(username, password)
