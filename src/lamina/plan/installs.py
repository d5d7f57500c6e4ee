"""What the well-known installers of dependencies read: from a command's words to the files that decide. Pure.

Knowledge of the tools' own documentation, for rules and advice. A command that is not understood is no install: it is
better to say nothing than to say something wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from lamina.dockerfile.shellcommands import ShellCommand


class Install(Struct, frozen=True):
    """One install. `reads` are the names (or patterns) that it reads below its working directory, in the order in which
    one writes them in a COPY; `locks` those of them that pin versions. `frozen`: it installs what the lock file says or
    fails; `strictly` is how to ask for that. `project`: it reads the project's own code too; `alone` is how to install
    the dependencies without it, empty if there is no such way. `packages` are named in the command itself, `caches`
    where it keeps what it has downloaded. `files` are those that the command itself names, such as with `-r`."""

    tool: str
    reads: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    frozen: bool = True
    strictly: str = ""
    project: bool = False
    alone: str = ""
    packages: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


# Patterns are compiled where they are used first: a short command pays for each at its start.
_PIP = r"pip3?(?:\.\d+)?\Z"
_PYTHON = r"python3?(?:\.\d+)?\Z"
_PATH_LIKE = r"(?:\.{1,2}(?:/|\[|\Z)|/|~/|[^@:]+/)|.*(?:\.whl|\.tar\.gz|\.zip)\Z"
_PIP_VALUES = frozenset(
    [
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "-t",
        "--target",
        "--prefix",
        "--root",
        "--platform",
        "--python-version",
        "--implementation",
        "--abi",
        "--progress-bar",
        "--proxy",
        "--timeout",
        "--retries",
        "--trusted-host",
        "--cache-dir",
        "--log",
        "--src",
        "--no-binary",
        "--only-binary",
        "--upgrade-strategy",
        "--config-settings",
        "--global-option",
        "--report",
    ]
)
_NODE_VALUES = frozenset(
    ["--prefix", "--registry", "--cache", "--cwd", "--dir", "-C", "--filter", "-F", "--loglevel", "--userconfig"]
)
_PIP_CACHE = ("/root/.cache/pip",)


def installs(commands: Sequence[ShellCommand]) -> tuple[Install, ...]:
    """The installs of a command line, in order."""
    return tuple(found for command in commands if (found := install_of(command)) is not None)


def install_of(command: ShellCommand) -> Install | None:
    """What a command installs; None if it is no install that is known."""
    words, program = list(command.words), command.program
    if program.startswith("python") and re.match(_PYTHON, program) and words[1:2] == ["-m"] and len(words) > 2:
        words = words[2:]
        program = words[0]
    if program == "corepack" and len(words) > 1:
        words = words[1:]
        program = words[0]
    rest = words[1:]
    if program.startswith("pip") and re.match(_PIP, program):
        return _pip(rest)
    reader = _TOOLS.get(program)
    return reader(rest) if reader is not None else None


def _plain(words: Sequence[str], values: frozenset[str] = frozenset()) -> list[str]:
    """The words that are no options and no values of options."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in values
        else:
            found.append(word)
    return found


def _options(words: Sequence[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("-")}


def _value_of(words: Sequence[str], *names: str) -> list[str]:
    """The values of an option that may stand several times: `-r x`, `-rx`, `--requirement=x`."""
    found: list[str] = []
    for at, word in enumerate(words):
        for name in names:
            if word == name:
                found += words[at + 1 : at + 2]
            elif word.startswith(f"{name}="):
                found.append(word[len(name) + 1 :])
            elif len(name) == 2 and word.startswith(name) and len(word) > 2 and not word.startswith("--"):
                found.append(word[2:])
    return found


def _pip(words: list[str]) -> Install | None:
    if not words or words[0] not in ("install", "wheel", "download"):
        return None
    rest = words[1:]
    named = (*_value_of(rest, "-r", "--requirement"), *_value_of(rest, "-c", "--constraint"))
    editable = _value_of(rest, "-e", "--editable")
    values = _PIP_VALUES | {"-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-w", "--wheel-dir", "-d"}
    plain = _plain(rest, values)
    paths = [word for word in (*plain, *editable) if re.match(_PATH_LIKE, word)]
    links = [one for one in _value_of(rest, "-f", "--find-links") if "://" not in one]
    return Install(
        tool="pip",
        reads=(*named, *(one.removeprefix("./").rstrip("/") or "/" for one in links)),
        frozen="--require-hashes" in rest,
        strictly="--require-hashes",
        project=bool(paths),
        packages=tuple(word for word in plain if word not in paths),
        caches=() if "--no-cache-dir" in rest else _PIP_CACHE,
        files=named,
    )


def _pipenv(words: list[str]) -> Install | None:
    plain, options = _plain(words, frozenset({"--python", "-r", "--categories"})), _options(words)
    if plain[:1] not in (["install"], ["sync"]):
        return None
    packages = tuple(plain[1:]) if plain[0] == "install" else ()
    lock = ("Pipfile.lock",)
    frozen = plain[0] == "sync" or bool(options & {"--deploy", "--ignore-pipfile"})
    reads = () if "--skip-lock" in options and packages else ("Pipfile", *lock)
    return Install("pipenv", reads, lock, frozen, "pipenv install --deploy", packages=packages, caches=_PIP_CACHE)


def _poetry(words: list[str]) -> Install | None:
    options = _options(words)
    if _plain(words)[:1] not in (["install"], ["sync"]):
        return None
    return Install(
        "poetry",
        ("pyproject.toml", "poetry.lock", "poetry.toml"),
        ("poetry.lock",),
        project="--no-root" not in options,
        alone="poetry install --no-root",
        caches=("/root/.cache/pypoetry",),
    )


def _uv(words: list[str]) -> Install | None:
    options = _options(words)
    if words[:1] == ["pip"]:
        found = _pip(words[1:])
        return None if found is None else _renamed(found, "uv", ("/root/.cache/uv",))
    if _plain(words)[:1] != ["sync"]:
        return None
    return Install(
        "uv",
        ("pyproject.toml", "uv.lock", "uv.toml", ".python-version"),
        ("uv.lock",),
        bool(options & {"--frozen", "--locked"}),
        "uv sync --locked",
        project=not options & {"--no-install-project", "--no-install-workspace", "--no-install-local"},
        alone="uv sync --no-install-project",
        caches=("/root/.cache/uv",),
    )


def _renamed(found: Install, tool: str, caches: tuple[str, ...]) -> Install:
    return Install(
        tool,
        found.reads,
        found.locks,
        found.frozen,
        found.strictly,
        found.project,
        found.alone,
        found.packages,
        caches,
        found.files,
    )


def _npm(words: list[str]) -> Install | None:
    plain, options = _plain(words, _NODE_VALUES), _options(words)
    if not plain or plain[0] not in ("ci", "install", "i", "add", "clean-install"):
        return None
    packages = tuple(plain[1:])
    caches = ("/root/.npm",)
    if packages or options & {"-g", "--global"}:
        return Install("npm", packages=packages or ("",), caches=caches)
    locks = ("package-lock.json", "npm-shrinkwrap.json")
    reads = ("package.json", *locks, ".npmrc")
    return Install("npm", reads, locks, plain[0] in ("ci", "clean-install"), "npm ci", caches=caches)


def _yarn(words: list[str]) -> Install | None:
    plain, options = _plain(words, _NODE_VALUES), _options(words)
    caches = ("/usr/local/share/.cache/yarn", "/root/.yarn/berry/cache")
    if plain[:2] == ["global", "add"] or plain[:1] == ["add"]:
        return Install("yarn", packages=tuple(plain[plain.index("add") + 1 :]) or ("",), caches=caches)
    if plain not in ([], ["install"]) or options & {"--version", "-v", "--help"}:
        return None
    reads = ("package.json", "yarn.lock", ".yarnrc", ".yarnrc.yml", ".yarn", ".npmrc")
    frozen = bool(options & {"--frozen-lockfile", "--immutable", "--pure-lockfile"})
    return Install("yarn", reads, ("yarn.lock",), frozen, "yarn install --immutable", caches=caches)


def _pnpm(words: list[str]) -> Install | None:
    plain, options = _plain(words, _NODE_VALUES), _options(words)
    if plain[:1] not in (["install"], ["i"], ["fetch"], ["add"]):
        return None
    caches = ("/root/.local/share/pnpm/store", "/pnpm/store")
    if plain[1:] or options & {"-g", "--global"}:
        return Install("pnpm", packages=tuple(plain[1:]) or ("",), caches=caches)
    reads = ("package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", ".pnpmfile.cjs", "patches")
    frozen = "--frozen-lockfile" in options or plain[0] == "fetch"
    return Install("pnpm", reads, ("pnpm-lock.yaml",), frozen, "pnpm install --frozen-lockfile", caches=caches)


def _bun(words: list[str]) -> Install | None:
    plain, options = _plain(words, _NODE_VALUES), _options(words)
    if plain not in (["install"], ["i"], ["ci"]) or options & {"-g", "--global"}:
        return None
    locks = ("bun.lock", "bun.lockb")
    frozen = "--frozen-lockfile" in options or plain == ["ci"]
    reads = ("package.json", *locks, "bunfig.toml", ".npmrc")
    return Install("bun", reads, locks, frozen, "bun install --frozen-lockfile", caches=("/root/.bun/install/cache",))


def _go(words: list[str]) -> Install | None:
    if words[:2] == ["mod", "download"]:
        return Install("go", ("go.mod", "go.sum", "go.work", "go.work.sum"), ("go.sum",), caches=("/go/pkg/mod",))
    if words[:1] == ["install"]:
        remote = tuple(word for word in _plain(words[1:]) if "@" in word)
        return Install("go", packages=remote) if remote else None
    return None


def _cargo(words: list[str]) -> Install | None:
    plain = _plain(words, frozenset({"--recipe-path", "--target", "--bin", "--package", "-p", "--version", "--git"}))
    caches = ("/usr/local/cargo/registry",)
    if plain[:2] == ["chef", "cook"]:
        recipe = _value_of(words, "--recipe-path") or ["recipe.json"]
        return Install("cargo chef", tuple(recipe), caches=caches, files=tuple(recipe))
    if plain[:1] == ["install"] and plain[1:] and "--path" not in words:
        return Install("cargo", packages=tuple(plain[1:]), frozen="--locked" in words, caches=caches)
    return None


def _bundle(words: list[str]) -> Install | None:
    if _plain(words, frozenset({"--jobs", "-j", "--retry", "--path", "--without", "--with"})) not in ([], ["install"]):
        return None
    frozen = bool(_options(words) & {"--frozen", "--deployment"})
    reads = ("Gemfile", "Gemfile.lock", ".ruby-version", "*.gemspec", "vendor/cache")
    caches = ("/usr/local/bundle/cache",)
    return Install("bundler", reads, ("Gemfile.lock",), frozen, "bundle config set frozen true", caches=caches)


def _gem(words: list[str]) -> Install | None:
    packages = tuple(_plain(words[1:], frozenset({"-v", "--version", "-i", "--install-dir", "-n", "--bindir"})))
    return Install("gem", packages=packages) if words[:1] == ["install"] and packages else None


def _composer(words: list[str]) -> Install | None:
    if _plain(words, frozenset({"-d", "--working-dir"}))[:1] != ["install"]:
        return None
    scripts = not _options(words) & {"--no-scripts", "--no-autoloader"}
    return Install(
        "composer",
        ("composer.json", "composer.lock", "symfony.lock", "auth.json"),
        ("composer.lock",),
        project=scripts,
        alone="composer install --no-scripts --no-autoloader",
        caches=("/root/.composer/cache", "/tmp/cache"),
    )


def _mvn(words: list[str]) -> Install | None:
    goals = _plain(words, frozenset({"-f", "--file", "-s", "--settings", "-P", "-pl", "--projects"}))
    if not goals or not all(
        re.search(r"dependency(?:-plugin)?(?::[\d.]+)?:(?:go-offline|resolve)", one) for one in goals
    ):
        return None
    return Install("maven", ("pom.xml", "**/pom.xml", ".mvn", "mvnw"), caches=("/root/.m2",))


def _gradle(words: list[str]) -> Install | None:
    if _plain(words, frozenset({"-p", "--project-dir"})) not in (["dependencies"], ["resolveDependencies"]):
        return None
    scripts = ("settings.gradle", "build.gradle", "settings.gradle.kts", "build.gradle.kts")
    reads = (
        *scripts,
        "gradle.properties",
        "gradle",
        "gradlew",
        "gradle.lockfile",
        "**/build.gradle",
        "**/*.gradle.kts",
    )
    return Install("gradle", reads, caches=("/root/.gradle", "/home/gradle/.gradle"))


def _dotnet(words: list[str]) -> Install | None:
    if words[:1] != ["restore"]:
        return None
    named = tuple(word.removeprefix("./") for word in _plain(words[1:]) if not word.startswith("$"))
    reads = (*named, "**/*.csproj", "**/*.fsproj", "**/*.sln", "nuget.config", "NuGet.Config", "Directory.*.props")
    return Install("dotnet", (*reads, "packages.lock.json"), caches=("/root/.nuget/packages",))


def _mix(words: list[str]) -> Install | None:
    if words[:1] != ["deps.get"]:
        return None
    return Install("mix", ("mix.exs", "mix.lock"), ("mix.lock",), caches=("/root/.hex",))


_TOOLS: dict[str, Callable[[list[str]], Install | None]] = {
    "pipenv": _pipenv,
    "poetry": _poetry,
    "uv": _uv,
    "npm": _npm,
    "yarn": _yarn,
    "pnpm": _pnpm,
    "bun": _bun,
    "go": _go,
    "cargo": _cargo,
    "bundle": _bundle,
    "bundler": _bundle,
    "gem": _gem,
    "composer": _composer,
    "mvn": _mvn,
    "mvnw": _mvn,
    "gradle": _gradle,
    "gradlew": _gradle,
    "dotnet": _dotnet,
    "mix": _mix,
}
