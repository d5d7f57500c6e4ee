"""What the installers of languages that are compiled read: go, cargo, maven, gradle, dotnet, mix. Pure."""

from __future__ import annotations

import re

from lamina.plan.install_words import Install, option_names, plain_words, values_of

_GRADLE_VALUES = frozenset(
    ["-p", "--project-dir", "-x", "--exclude-task", "--configuration", "-g", "--gradle-user-home"]
)
#: Options of gradle by which it reads other scripts.
_GRADLE_ELSEWHERE = frozenset(
    ["-b", "--build-file", "-c", "--settings-file", "-I", "--init-script", "--include-build", "--project-cache-dir"]
)
_DOTNET_VALUES = frozenset(
    [
        *(
            "-r",
            "--runtime",
            "-a",
            "--arch",
            "--os",
            "-s",
            "--source",
            "--packages",
            "--configfile",
            "-v",
            "--verbosity",
        ),
        *("--lock-file-path", "--tool-manifest", "--add-source", "-p", "--property", "--root-config-directory"),
    ]
)
#: What MSBuild and NuGet look for in the folder of a project and in all above it.
_DOTNET_UPWARDS = (
    *("Directory.Build.props", "Directory.Build.targets", "Directory.Build.rsp", "Directory.Packages.props"),
    *("nuget.config", "NuGet.config", "NuGet.Config", "global.json"),
)


def go(words: list[str]) -> Install | None:
    """`go mod download`; `go install` of others' programs."""
    if words[:2] == ["mod", "download"]:
        return Install("go", ("go.mod", "go.sum", "go.work", "go.work.sum"), ("go.sum",), caches=("/go/pkg/mod",))
    if words[:1] == ["install"]:
        remote = tuple(word for word in plain_words(words[1:]) if "@" in word)
        return Install("go", packages=remote) if remote else None
    return None


def cargo(words: list[str]) -> Install | None:
    """`cargo chef cook`; `cargo install` of others' programs."""
    plain = plain_words(
        words, frozenset({"--recipe-path", "--target", "--bin", "--package", "-p", "--version", "--git"})
    )
    caches = ("/usr/local/cargo/registry",)
    if plain[:2] == ["chef", "cook"]:
        recipe = values_of(words, "--recipe-path") or ["recipe.json"]
        return Install("cargo chef", tuple(recipe), caches=caches, files=tuple(recipe))
    if plain[:1] == ["install"] and plain[1:] and "--path" not in words:
        return Install("cargo", packages=tuple(plain[1:]), frozen="--locked" in words, caches=caches)
    return None


def maven(words: list[str]) -> Install | None:
    """`mvn dependency:go-offline` and `resolve`."""
    goals = plain_words(words, frozenset({"-f", "--file", "-s", "--settings", "-P", "-pl", "--projects"}))
    if not goals or not all(
        re.search(r"dependency(?:-plugin)?(?::[\d.]+)?:(?:go-offline|resolve)", one) for one in goals
    ):
        return None
    return Install("maven", ("pom.xml", "**/pom.xml", ".mvn", "mvnw"), caches=("/root/.m2",))


def gradle(words: list[str]) -> Install | None:
    """`gradle dependencies`: of what the build scripts say, which may be in each folder."""
    if option_names(words) & _GRADLE_ELSEWHERE:
        return None
    tasks = plain_words(words, _GRADLE_VALUES)
    if not tasks or not all(
        re.fullmatch(r"(?::?\w+)*:?(?:dependencies|resolveDependencies|downloadDependencies)", one) for one in tasks
    ):
        return None
    scripts = ("settings.gradle", "build.gradle", "settings.gradle.kts", "build.gradle.kts")
    shared = ("gradle.properties", "gradle", "gradlew", "gradle.lockfile", "buildSrc")
    members = ("**/*.gradle", "**/*.gradle.kts", "**/gradle.properties", "**/gradle.lockfile")
    return Install("gradle", (*scripts, *shared, *members), caches=("/root/.gradle", "/home/gradle/.gradle"))


def gradle_wrapper(words: list[str]) -> Install | None:
    """`./gradlew` with what `gradle` knows; `./gradlew --version` fetches gradle alone."""
    if option_names(words) & {"--version", "-v"} and not plain_words(words):
        caches = ("/root/.gradle", "/home/gradle/.gradle")
        return Install("gradle wrapper", ("gradlew", "gradle/wrapper", "gradle.properties"), caches=caches)
    return gradle(words)


def dotnet(words: list[str]) -> Install | None:
    """`dotnet restore` of a project, a solution, or what lies in the folder; `dotnet tool restore`."""
    caches = ("/root/.nuget/packages",)
    upwards = tuple(f"{up}{name}" for name in _DOTNET_UPWARDS for up in ("", "../", "../../"))
    if words[:2] == ["tool", "restore"]:
        return Install("dotnet tool", (".config/dotnet-tools.json", "dotnet-tools.json", *upwards), caches=caches)
    if words[:1] != ["restore"]:
        return None
    rest = words[1:]
    named = tuple(word.removeprefix("./") for word in plain_words(rest, _DOTNET_VALUES))
    told = values_of(rest, "--configfile")
    local = [one for one in values_of(rest, "-s", "--source") if "://" not in one]
    found = named or ("*.sln", "*.slnx", "*.slnf", "*.csproj", "*.fsproj", "*.vbproj")
    below = tuple(f"**/{name}" for name in (*_DOTNET_UPWARDS, "packages.lock.json"))
    return Install(
        "dotnet",
        (*found, *told, *local, *upwards, "packages.lock.json", *below),
        caches=caches,
        files=(*named, *told),
    )


def mix(words: list[str]) -> Install | None:
    """`mix deps.get`."""
    if words[:1] != ["deps.get"]:
        return None
    return Install("mix", ("mix.exs", "mix.lock"), ("mix.lock",), caches=("/root/.hex",))
