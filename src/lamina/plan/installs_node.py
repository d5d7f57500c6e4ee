"""What the installers of JavaScript's packages read: npm, yarn, pnpm, bun, deno. Pure."""

from __future__ import annotations

from lamina.plan.install_words import Install, option_names, plain_words, values_of

_VALUES = frozenset(
    ["--prefix", "--registry", "--cache", "--cwd", "--dir", "-C", "--filter", "-F", "--loglevel", "--userconfig"]
)
_DENO_VALUES = frozenset(["-c", "--config", "--lock", "--import-map", "--cert", "-L", "--log-level"])


def npm(words: list[str]) -> Install | None:
    """`npm ci`, `npm install`."""
    plain, options = plain_words(words, _VALUES), option_names(words)
    if not plain or plain[0] not in ("ci", "install", "i", "add", "clean-install"):
        return None
    packages = tuple(plain[1:])
    caches = ("/root/.npm",)
    if packages or options & {"-g", "--global"}:
        return Install("npm", packages=packages or ("",), caches=caches)
    locks = ("package-lock.json", "npm-shrinkwrap.json")
    reads = ("package.json", *locks, ".npmrc")
    return Install("npm", reads, locks, plain[0] in ("ci", "clean-install"), "npm ci", caches=caches)


def yarn(words: list[str]) -> Install | None:
    """`yarn`, `yarn install`, of version 1 and later."""
    plain, options = plain_words(words, _VALUES), option_names(words)
    caches = ("/usr/local/share/.cache/yarn", "/root/.yarn/berry/cache")
    if plain[:2] == ["global", "add"] or plain[:1] == ["add"]:
        return Install("yarn", packages=tuple(plain[plain.index("add") + 1 :]) or ("",), caches=caches)
    if plain not in ([], ["install"]) or options & {"--version", "-v", "--help"}:
        return None
    reads = ("package.json", "yarn.lock", ".yarnrc", ".yarnrc.yml", ".yarn", ".npmrc")
    frozen = bool(options & {"--frozen-lockfile", "--immutable", "--pure-lockfile"})
    return Install("yarn", reads, ("yarn.lock",), frozen, "yarn install --immutable", caches=caches)


def pnpm(words: list[str]) -> Install | None:
    """`pnpm install`, `pnpm fetch`."""
    plain, options = plain_words(words, _VALUES), option_names(words)
    if plain[:1] not in (["install"], ["i"], ["fetch"], ["add"]):
        return None
    caches = ("/root/.local/share/pnpm/store", "/pnpm/store")
    if plain[1:] or options & {"-g", "--global"}:
        return Install("pnpm", packages=tuple(plain[1:]) or ("",), caches=caches)
    reads = ("package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", ".pnpmfile.cjs", "patches")
    frozen = "--frozen-lockfile" in options or plain[0] == "fetch"
    return Install("pnpm", reads, ("pnpm-lock.yaml",), frozen, "pnpm install --frozen-lockfile", caches=caches)


def bun(words: list[str]) -> Install | None:
    """`bun install`, `bun ci`. Where it has no lock file of its own it takes over that of another tool."""
    plain, options = plain_words(words, _VALUES), option_names(words)
    caches = ("/root/.bun/install/cache",)
    if plain[:1] in (["add"], ["a"]) or (
        plain[:1] in (["install"], ["i"]) and (plain[1:] or options & {"-g", "--global"})
    ):
        return Install("bun", packages=tuple(plain[1:]) or ("",), caches=caches)
    if plain not in (["install"], ["i"], ["ci"]):
        return None
    locks = ("bun.lock", "bun.lockb")
    frozen = "--frozen-lockfile" in options or plain == ["ci"]
    others = ("package-lock.json", "yarn.lock", "pnpm-lock.yaml")
    reads = ("package.json", *locks, "bunfig.toml", ".npmrc", *others)
    return Install("bun", reads, locks, frozen, "bun install --frozen-lockfile", caches=caches)


def deno(words: list[str]) -> Install | None:
    """`deno install` without names, `deno ci`. With an entry point, or `deno cache`, it reads the code."""
    plain, options = plain_words(words, _DENO_VALUES), option_names(words)
    caches = ("/deno-dir", "/root/.cache/deno")
    if plain[:1] not in (["install"], ["i"], ["ci"], ["cache"], ["add"]):
        return None
    if plain[0] == "add" or options & {"-g", "--global"}:
        return Install("deno", packages=tuple(plain[1:]) or ("",), caches=caches)
    code = plain[0] == "cache" or bool(options & {"-e", "--entrypoint"})
    if plain[1:] and not code:
        return Install("deno", packages=tuple(plain[1:]), caches=caches)
    named = tuple(values_of(words, "--config", "-c", "--lock", "--import-map"))
    reads = (*named, "deno.json", "deno.jsonc", "deno.lock", "package.json", ".npmrc")
    frozen = plain[0] == "ci" or "--frozen" in options
    alone = "deno install" if code else ""
    return Install("deno", reads, ("deno.lock",), frozen, "deno install --frozen", code, alone, caches=caches)
