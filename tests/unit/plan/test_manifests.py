"""Which further files a manifest names, or that it cannot be told."""

from __future__ import annotations

import pytest

from lamina.plan.manifests import further
from lamina.plan.named import Asked, More, Unclear

_COMPOSER = '{"repositories": {"a": {"type": "path", "url": "%s"}, "packagist.org": false}}'
_SOLUTION = r"""
Project("{F}") = "Web", "src\Web\Web.csproj", "{1}"
EndProject
Project("{G}") = "docs", "docs", "{2}"
EndProject
"""


def named(command: str, path: str, text: str, files: tuple[str, ...] = ()) -> list[str]:
    """What a file at `path` names, folders with a slash at the end. The command is started in `/app`."""
    asked = Asked(command.split()[0], tuple(command.split()), "/app")
    found: list[More] = list(further(asked, path, {path: text}.get, (path, *files)))
    return [one.path + "/" * one.folder for one in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-r base.txt", ["/app/requirements/base.txt"]),
        ("--constraint=../c.txt", ["/app/c.txt"]),
        ("-f ./vendor", ["/app/requirements/vendor/"]),
        ("--find-links links.html", ["/app/requirements/links.html"]),
        ("--find-links https://example.test/x", []),
        ("-c https://example.test/c.txt", []),
        # These are looked for where pip is started.
        ("./libs/tax[fast] ; python_version > '3'", ["/app/libs/tax/"]),
        ("libs/tax", ["/app/libs/tax/"]),
        ("-e libs", ["/app/libs/"]),
        ("-e git+https://example.test/x.git#egg=x", []),
        ("vendor/tax-1.0-py3-none-any.whl", ["/app/vendor/tax-1.0-py3-none-any.whl"]),
        ("file:///srv/tax", ["/srv/tax/"]),
        ("https://example.test/tax-1.0.tar.gz", []),
        ("tax @ https://example.test/tax-1.0.tar.gz", []),
        ("six>=1.16,<2 ; platform_system == 'Linux/x'", []),
        ("--no-index", []),
        ("# ./no", []),
    ],
)
def test_lists_of_pip(line: str, expected: list[str]) -> None:
    assert named("pip install -r requirements/prod.txt", "/app/requirements/prod.txt", line) == expected


@pytest.mark.parametrize(
    ("command", "path", "text", "expected"),
    [
        ("composer install", "composer.json", _COMPOSER % "libs/tax", ["/app/libs/tax/"]),
        ("composer install", "composer.json", _COMPOSER % "libs/*", ["/app/libs/"]),
        ("composer install", "composer.json", '{"repositories": [{"type": "vcs", "url": "https://x.test"}]}', []),
        ("mix deps.get", "mix.exs", '{:tax, path: "libs/tax"}, {:x, "~> 1.0"}', ["/app/libs/tax/"]),
        ("mix deps.get", "mix.exs", '# path: "no"\nelixirc_paths: ["lib"]', []),
        ("mix deps.get", "mix.exs", 'apps_path: "apps"', ["/app/apps/web/mix.exs"]),
        ("bundle install", "Gemfile", 'gem "rails", require: false # from File', []),
        ("pnpm i", "package.json", '{"pnpm": {"patchedDependencies": {"x@1": "p/x.patch"}}}', ["/app/p/x.patch"]),
        ("yarn", "package.json", '{"resolutions": {"x": "patch:x@npm%3A1#~/.yarn/x.patch"}}', ["/app/.yarn/x.patch"]),
        ("bun ci", "package.json", '{"patchedDependencies": {"x@1": "p/x.patch"}}', ["/app/p/x.patch"]),
        ("deno ci", "deno.json", '{"importMap": "map.json", "links": ["../own"]}', ["/app/map.json", "/own/"]),
        ("deno ci", "deno.jsonc", '{\n  // all\n  "importMap": "map.json",\n}', ["/app/map.json"]),
        ("gradle dependencies", "build.gradle", "apply plugin: 'java'\n// file('x')\ncompile 'a:b:1'", []),
        ("gradle dependencies", "build.gradle", "apply from: 'gradle/v.gradle'", ["/app/gradle/v.gradle"]),
        ("gradle dependencies", "web/build.gradle", 'apply from: "$rootDir/v.gradle"', ["/app/v.gradle"]),
        ("gradle dependencies", "settings.gradle.kts", 'includeBuild("build-logic")', ["/app/build-logic/"]),
        ("gradle dependencies", "build.gradle.kts", 'implementation(files("libs/a.jar"))', ["/app/libs/a.jar"]),
        ("gradle dependencies", "build.gradle", "compile fileTree(dir: 'libs', include: '*.jar')", ["/app/libs/"]),
        ("gradle dependencies", "build.gradle", "apply from: 'https://x.test/v.gradle'", []),
        ("dotnet restore", "Web/Web.csproj", '<ProjectReference Include="..\\Core\\Core.csproj" />',
         ["/app/Core/Core.csproj"]),
        ("dotnet restore", "Web.csproj", '<Import Project="$(MSBuildThisFileDirectory)..\\own.props" />',
         ["/own.props"]),
        ("dotnet restore", "Directory.Build.props",
         "<Import Project=\"$([MSBuild]::GetPathOfFileAbove('Directory.Build.props', '..'))\" />", []),
        ("dotnet restore", "Shop.sln", _SOLUTION, ["/app/src/Web/Web.csproj"]),
        ("dotnet restore", "Shop.slnx", '<Solution><Project Path="src/Web/Web.fsproj" /></Solution>',
         ["/app/src/Web/Web.fsproj"]),
        ("pnpm i", "pnpm-workspace.yaml", "patchedDependencies:\n  x@1: p/x.patch\n", ["/app/p/x.patch"]),
    ],
)  # fmt: skip
def test_other_manifests(command: str, path: str, text: str, expected: list[str]) -> None:
    assert named(command, f"/app/{path}", text, ("/app/apps/web/mix.exs", "/app/apps/web/lib/mix.exs")) == expected


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--no-install-workspace", ["/app/packages/tax/pyproject.toml"]),
        ("--no-install-project", ["/app/packages/tax/pyproject.toml", "/app/packages/tax/"]),
    ],
)
def test_members_of_a_workspace_are_installed_from_their_folders(flag: str, expected: list[str]) -> None:
    text = '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/old"]\n'
    files = ("/app/packages/tax/pyproject.toml", "/app/packages/old/pyproject.toml")
    assert named(f"uv sync {flag}", "/app/pyproject.toml", text, files) == expected


@pytest.mark.parametrize(
    ("command", "path", "text"),
    [
        ("pip install -r r.txt", "r.txt", "."),
        ("pip install -r r.txt", "r.txt", "-e ."),
        ("pip install -r r.txt", "r.txt", "tax @ file:libs/tax"),
        ("composer install", "composer.json", '{"extra": {"merge-plugin": {"include": ["x.json"]}}}'),
        ("composer install", "composer.json", _COMPOSER % "*"),
        ("composer install", "composer.json", "{"),
        ("composer install --no-scripts", "composer.json", '{"autoload": {"classmap": ["src"]}}'),
        ("composer install --no-scripts", "composer.json", '{"config": {"optimize-autoloader": true}}'),
        ("mix deps.get", "mix.exs", 'version: File.read!("VERSION")'),
        ("mix deps.get", "mix.exs", "{:tax, path: System.get_env()}"),
        ("bundle install", "Gemfile", "gemspec"),
        ("bundle install", "Gemfile", 'gem "tax", path: "engines/tax"'),
        ("bundle install", "Gemfile", 'require_relative "lib/version"'),
        ("bundle install", "Gemfile", 'Dir["gems/*"].each { |one| gem one }'),
        ("gradle dependencies", "build.gradle", "version = new File('VERSION').text"),
        ("gradle dependencies", "build.gradle", "def p = new Properties()\np.load(x)"),
        ("gradle dependencies", "build.gradle", "version = 'git describe'.execute().text"),
        ("gradle dependencies", "build.gradle.kts", 'apply(from = rootProject.file("x.gradle.kts"))'),
        ("dotnet restore", "Web.csproj", '<ProjectReference Include="$(Core)" />'),
        ("dotnet restore", "Web.csproj", '<ProjectReference Include="..\\*\\*.csproj" />'),
        ("dotnet restore", "Web.csproj", "<X Condition=\"Exists('x')\" />"),
        ("dotnet restore", "Web.csproj", "<HintPath>lib/x.dll</HintPath>"),
        ("deno ci", "deno.json", '{"links": ["."]}'),
        ("npm ci", "packages/cli/package.json", '{"bin": "shop.js"}'),
        ("npm ci", "package.json", '{"scripts": {"postinstall": "node x"}}'),
    ],
)
def test_what_cannot_be_told(command: str, path: str, text: str) -> None:
    with pytest.raises(Unclear):
        named(command, f"/app/{path}", text)
