"""What the well-known installers of dependencies read: from a command's words to the files that decide. Pure.

Knowledge of the tools' own documentation, for rules and advice. A command that is not understood is no install: it is
better to say nothing than to say something wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from lamina.dockerfile.shellcommands import ShellCommand
from lamina.plan import installs_compiled, installs_node
from lamina.plan.install_words import Install, option_names, plain_words, values_of

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
#: Variables by which a tool is told to read other files.
TOLD = (
    r"(?i:PIP_(?:REQUIREMENT|CONSTRAINT|CONFIG_FILE|FIND_LINKS)|PIPENV_PIPFILE|BUNDLE_GEMFILE|"
    r"UV_(?:PROJECT|WORKING_DIRECTORY|FIND_LINKS)|NPM_CONFIG_(?:USERCONFIG|PREFIX)|GOFLAGS|GOWORK|MAVEN_ARGS)\Z"
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


def _pip(words: list[str]) -> Install | None:
    if not words or words[0] not in ("install", "wheel", "download"):
        return None
    rest = words[1:]
    named = (*values_of(rest, "-r", "--requirement"), *values_of(rest, "-c", "--constraint"))
    editable = values_of(rest, "-e", "--editable")
    values = _PIP_VALUES | {"-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-w", "--wheel-dir", "-d"}
    plain = plain_words(rest, values)
    paths = [word for word in (*plain, *editable) if re.match(_PATH_LIKE, word)]
    links = [one for one in values_of(rest, "-f", "--find-links") if "://" not in one]
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
    plain, options = plain_words(words, frozenset({"--python", "-r", "--categories"})), option_names(words)
    if plain[:1] not in (["install"], ["sync"]):
        return None
    packages = tuple(plain[1:]) if plain[0] == "install" else ()
    lock = ("Pipfile.lock",)
    frozen = plain[0] == "sync" or bool(options & {"--deploy", "--ignore-pipfile"})
    reads = () if "--skip-lock" in options and packages else ("Pipfile", *lock)
    return Install("pipenv", reads, lock, frozen, "pipenv install --deploy", packages=packages, caches=_PIP_CACHE)


def _poetry(words: list[str]) -> Install | None:
    options = option_names(words)
    if plain_words(words)[:1] not in (["install"], ["sync"]):
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
    options = option_names(words)
    if words[:2] == ["pip", "sync"]:
        named = tuple(plain_words(words[2:], _PIP_VALUES))
        return Install("uv", named, frozen="--require-hashes" in options, caches=("/root/.cache/uv",), files=named)
    if words[:1] == ["pip"]:
        found = _pip(words[1:])
        return None if found is None else _renamed(found, "uv", ("/root/.cache/uv",))
    if plain_words(words)[:1] != ["sync"]:
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


def _bundle(words: list[str]) -> Install | None:
    if plain_words(words, frozenset({"--jobs", "-j", "--retry", "--path", "--without", "--with"})) not in (
        [],
        ["install"],
    ):
        return None
    frozen = bool(option_names(words) & {"--frozen", "--deployment"})
    reads = ("Gemfile", "Gemfile.lock", ".ruby-version", "*.gemspec", "vendor/cache")
    caches = ("/usr/local/bundle/cache",)
    return Install("bundler", reads, ("Gemfile.lock",), frozen, "bundle config set frozen true", caches=caches)


def _gem(words: list[str]) -> Install | None:
    packages = tuple(plain_words(words[1:], frozenset({"-v", "--version", "-i", "--install-dir", "-n", "--bindir"})))
    return Install("gem", packages=packages) if words[:1] == ["install"] and packages else None


def _composer(words: list[str]) -> Install | None:
    if plain_words(words, frozenset({"-d", "--working-dir"}))[:1] != ["install"]:
        return None
    options = option_names(words)
    # An autoloader that is optimized lists the classes of the code.
    listed = options & {"-o", "--optimize-autoloader", "-a", "--classmap-authoritative"}
    code = "--no-autoloader" not in options and (bool(listed) or "--no-scripts" not in options)
    return Install(
        "composer",
        ("composer.json", "composer.lock", "symfony.lock", "auth.json"),
        ("composer.lock",),
        project=code,
        alone="composer install --no-scripts --no-autoloader",
        caches=("/root/.composer/cache", "/tmp/cache"),
    )


_TOOLS: dict[str, Callable[[list[str]], Install | None]] = {
    "pipenv": _pipenv,
    "poetry": _poetry,
    "uv": _uv,
    "npm": installs_node.npm,
    "yarn": installs_node.yarn,
    "pnpm": installs_node.pnpm,
    "bun": installs_node.bun,
    "deno": installs_node.deno,
    "go": installs_compiled.go,
    "cargo": installs_compiled.cargo,
    "bundle": _bundle,
    "bundler": _bundle,
    "gem": _gem,
    "composer": _composer,
    "mvn": installs_compiled.maven,
    "mvnw": installs_compiled.maven,
    "gradle": installs_compiled.gradle,
    "gradlew": installs_compiled.gradle_wrapper,
    "dotnet": installs_compiled.dotnet,
    "mix": installs_compiled.mix,
}
