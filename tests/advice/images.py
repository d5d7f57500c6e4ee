"""Images with the real tools of each ecosystem: Debian's packages and, from the registries, what Debian lacks.

- `python`: Python with pip, pipenv, poetry and uv.
- `scripts`: Node.js with npm, yarn and pnpm, bun and deno; Ruby with bundler; PHP with composer.
- `compilers`: C and make, Rust, Go, Java with maven, Elixir.
- `gradle`: Java with Debian's gradle, which is of version 4.

The root file systems are kept in `.dev/`, as `examples.base_image` has them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from examples.base_image import debian_rootfs, python_rootfs
from tests.support.command import Command, write

_SCRIPTS = "ca-certificates,usr-is-merged,git,nodejs,npm,ruby-bundler,composer,unzip"
_COMPILERS = (
    "ca-certificates,usr-is-merged,gcc,libc6-dev,make,cargo,golang-go,maven,maven-debian-helper,"
    "libmaven-dependency-plugin-java,elixir"
)
_GRADLE = "ca-certificates,usr-is-merged,gradle,default-jdk-headless"
# Java's packages put links to their manuals there.
_MANUALS = 'mkdir -p "$1/usr/share/man/man1"'
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What Debian does not have, or too old.
_MORE = {
    "python": "RUN pip install --no-cache-dir --root-user-action=ignore pipenv==2024.4.0 poetry==1.8.5 uv==0.5.31\n",
    "scripts": "RUN npm install --global yarn@1.22.22 pnpm@9.15.9 bun@1.4.5 deno@2.9.6 && npm cache clean --force\n",
    "compilers": "",
    "gradle": "",
}


def provide(command: Command, names: Iterable[str], *, plain: bool = False) -> None:
    """Import images into a store and finish them; `plain` ones have what Debian has alone."""
    for name in sorted(set(names)):
        if plain:
            command.run("import", _rootfs(name), name, "--env", _PATH).ok()
            continue
        command.run("import", _rootfs(name), f"{name}-bare", "--env", _PATH).ok()
        with tempfile.TemporaryDirectory() as folder:
            context = write(Path(folder), {"Dockerfile": f"FROM {name}-bare\n{_MORE[name]}"})
            command.build(context, "-t", name).ok()


def _rootfs(name: str) -> Path:
    if name == "python":
        return python_rootfs()
    if name == "scripts":
        return debian_rootfs(name, _SCRIPTS)
    return debian_rootfs(name, _GRADLE if name == "gradle" else _COMPILERS, before=_MANUALS)
