"""From arguments to a command's module, and from failures to words and exit statuses.

Each command is one module with `configure(parser)` and `run(arguments) -> int`; only the one that is asked for is
imported.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from lamina.cli import interrupts
from lamina.diagnostics import BuildFailure, exit_code

#: Command → (module, what `lamina --help` says of it), in the order of that page.
COMMANDS: dict[str, tuple[str, str]] = {
    "build": ("build", "build an image from a Dockerfile"),
    "plan": ("plan", "say what a build would rebuild, why, and how long it would take"),
    "check": ("check", "say what is wrong with a Dockerfile, or dear, before it is built"),
    "explain": ("explain", "say why a past build rebuilt what it did, or compare two builds"),
    "advise": ("advise", "say what the order of a Dockerfile cost over the git history, and find a better one"),
    "report": ("report", "write one HTML page of a past build, or of a replayed git history"),
    "key": ("key", "print the final key of a build without building"),
    "repro": ("repro", "build twice in two stores, and name the first step and file that differ"),
    "records": ("records", "export and import what builds were made of, to compare two machines"),
    "images": ("images", "list images"),
    "inspect": ("inspect", "show an image's configuration as JSON"),
    "history": ("history", "show an image's layers and instructions"),
    "layers": ("layers", "show what each layer holds and wastes, and compare two images"),
    "tag": ("tag", "give an image another name"),
    "rmi": ("rmi", "remove names of images"),
    "run": ("run", "run a command in a new container of an image"),
    "pull": ("pull", "fetch an image from a registry"),
    "push": ("push", "send an image to a registry"),
    "login": ("login", "log in to a registry"),
    "logout": ("logout", "log out of a registry"),
    "import": ("importing", "make an image from a root file system's tar"),
    "load": ("load", "load images from an archive (docker save, OCI layout)"),
    "save": ("save", "write images to an archive"),
    "export": ("export", "write an image's files as one tar"),
    "context": ("context", "show what is in a build context, which rule decided, what it weighs"),
    "cache": ("cache", "show, prune and verify what the store holds"),
    "doctor": ("doctor", "say what works on this machine, and what mends the rest"),
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Commands that do what Docker's of the same name do: the page has a line for several.
_ALSO = (
    ("images", ("images", "inspect", "history", "tag", "rmi", "run", "import", "export", "load", "save")),
    ("registries", ("pull", "push", "login", "logout")),
)


def run(words: Sequence[str]) -> int:
    """Run one command line (without the program's name)."""
    name, rest = (words[0], words[1:]) if words else ("--help", ())
    if name == "help" and rest:
        name, rest = rest[0], ("--help",)
    if name in ("-h", "--help", "help"):
        sys.stdout.write(help_page())
        return 0
    if name in ("-V", "--version", "version"):
        from lamina import __version__

        print(f"lamina {__version__}")
        return 0
    try:
        with interrupts.prompt():
            status = _command(name, rest)
            sys.stdout.flush()  # here, where a full disk or a reader that went away is answered below
            return status
    except BuildFailure as failure:
        from lamina.report.errors import diagnostic_lines

        print("\n".join(diagnostic_lines(failure.diagnostic, _sources(failure))), file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        interrupts.say()
        return interrupts.STATUS
    except BrokenPipeError:
        # The reader of our output went away (`lamina images | head`): nothing to say, and nobody to say it to.
        sys.stderr.close()
        return 141
    except Exception as error:
        if os.environ.get("LAMINA_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            return _no_room(error)
        print(f"error: lamina failed: {type(error).__name__}: {error}", file=sys.stderr)
        print("  hint: this is a bug; LAMINA_DEBUG=1 shows where it happened\n  [internal-bug]", file=sys.stderr)
        return exit_code("internal-bug")


def _no_room(error: OSError) -> int:
    """What standard output leads to is full (what the store or a named file lacks room for has failures of its own)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still unwritten: it would fail once more at the end
    print(f"error: the output cannot be written\n  cause: {error.strerror}\n  [image-output-failed]", file=sys.stderr)
    return exit_code("image-output-failed")


def help_page() -> str:
    """`lamina --help`: one screen."""
    lines = ["usage: lamina COMMAND …", "", "Builds container images without a daemon, and explains its cache.", ""]
    named = {name for _, names in _ALSO for name in names}
    lines += [f"  {name:<9} {text}" for name, (_, text) in COMMANDS.items() if name not in named]
    lines += ["", *(f"  {f'{about}:':<13}{'  '.join(names)} " for about, names in _ALSO)]
    lines += ["", "`lamina COMMAND --help` says more. Every command takes --root DIR, the store (or $LAMINA_ROOT).", ""]
    return "\n".join(lines)


def _sources(failure: BuildFailure) -> dict[str, list[str]]:
    """The lines of the file that a failure points into, if it can be read: its name is a path for the user."""
    span = failure.diagnostic.span
    if span is None:
        return {}
    try:
        text = Path(span.file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {span.file: text.removesuffix("\n").split("\n")}


def _command(name: str, rest: Sequence[str]) -> int:
    if name not in COMMANDS:
        from lamina.workshop.parsing import suggestion

        hint = suggestion(name, COMMANDS) or "`lamina --help` lists the commands"
        if name.startswith("-"):
            hint = "options come behind the command: lamina COMMAND --root DIR"
        raise BuildFailure("usage-unknown-command", f"lamina has no command {name!r}", hint=hint)
    from lamina.cli.options import make_parser

    module = import_module(f"lamina.cli.{COMMANDS[name][0]}")
    parser = make_parser(name, COMMANDS[name][1])
    module.configure(parser)
    parser.set_defaults(words=tuple(rest))
    status: int = module.run(parser.parse_args(rest))
    return status
