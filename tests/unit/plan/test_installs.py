"""What the well-known installers read."""

from __future__ import annotations

import pytest

from lamina.dockerfile.shellcommands import shell_commands
from lamina.plan.install_words import Install
from lamina.plan.installs import install_of


def install(text: str) -> Install | None:
    (command,) = shell_commands(text)
    return install_of(command)


def known(text: str) -> Install:
    found = install(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "tool", "reads", "frozen", "project"),
    [
        ("pip install -r requirements.txt", "pip", ("requirements.txt",), False, False),
        ("pip3.12 install -ra.txt --requirement=b.txt -c c.txt", "pip", ("a.txt", "b.txt", "c.txt"), False, False),
        ("python3 -m pip install --require-hashes -r r.txt", "pip", ("r.txt",), True, False),
        ("pip install .", "pip", (), False, True),
        ("pip install -e .[dev]", "pip", (), False, True),
        ("pip install ./pkg /wheels/x.whl", "pip", (), False, True),
        ("pip install libs/tax", "pip", (), False, True),
        (
            "pip install --find-links ./vendor --find-links=https://x.test -r r.txt",
            "pip",
            ("r.txt", "vendor"),
            False,
            False,
        ),
        ("pipenv install --deploy --system", "pipenv", ("Pipfile", "Pipfile.lock"), True, False),
        ("pipenv sync", "pipenv", ("Pipfile", "Pipfile.lock"), True, False),
        ("pipenv install", "pipenv", ("Pipfile", "Pipfile.lock"), False, False),
        (
            "poetry install --no-root --only main",
            "poetry",
            ("pyproject.toml", "poetry.lock", "poetry.toml"),
            True,
            False,
        ),
        ("poetry install", "poetry", ("pyproject.toml", "poetry.lock", "poetry.toml"), True, True),
        ("uv sync --frozen --no-install-project", "uv", ("pyproject.toml", "uv.lock"), True, False),
        ("uv sync", "uv", ("pyproject.toml", "uv.lock"), False, True),
        ("uv pip install -r r.txt", "uv", ("r.txt",), False, False),
        ("npm ci --omit=dev", "npm", ("package.json", "package-lock.json"), True, False),
        ("npm install --production", "npm", ("package.json", "package-lock.json"), False, False),
        ("npm i", "npm", ("package.json", "package-lock.json"), False, False),
        ("yarn", "yarn", ("package.json", "yarn.lock"), False, False),
        ("yarn --frozen-lockfile", "yarn", ("package.json", "yarn.lock"), True, False),
        ("yarn install --immutable", "yarn", ("package.json", "yarn.lock"), True, False),
        ("corepack pnpm install --frozen-lockfile", "pnpm", ("package.json", "pnpm-lock.yaml"), True, False),
        ("pnpm fetch", "pnpm", ("package.json", "pnpm-lock.yaml"), True, False),
        ("bun install", "bun", ("package.json", "bun.lock", "bun.lockb", "bunfig.toml"), False, False),
        ("bun ci", "bun", ("package.json", "bun.lock"), True, False),
        ("bun install --production --frozen-lockfile", "bun", ("package.json", "bun.lock"), True, False),
        ("deno install", "deno", ("deno.json", "deno.jsonc", "deno.lock", "package.json"), False, False),
        ("deno ci", "deno", ("deno.json", "deno.jsonc", "deno.lock"), True, False),
        ("deno install --frozen --entrypoint main.ts", "deno", ("deno.json",), True, True),
        ("deno cache main.ts", "deno", ("deno.json",), False, True),
        ("uv pip sync r.txt", "uv", ("r.txt",), False, False),
        ("go mod download -x", "go", ("go.mod", "go.sum"), True, False),
        ("cargo chef cook --release --recipe-path recipe.json", "cargo chef", ("recipe.json",), True, False),
        ("bundle install --jobs 4", "bundler", ("Gemfile", "Gemfile.lock"), False, False),
        ("composer install --no-scripts", "composer", ("composer.json", "composer.lock"), True, False),
        ("composer install --no-scripts -o", "composer", ("composer.json", "composer.lock"), True, True),
        ("composer install", "composer", ("composer.json", "composer.lock"), True, True),
        ("./mvnw -B dependency:go-offline", "maven", ("pom.xml",), True, False),
        ("gradle --no-daemon dependencies", "gradle", ("settings.gradle", "build.gradle"), True, False),
        ("./gradlew :app:dependencies --configuration x", "gradle", ("settings.gradle", "build.gradle"), True, False),
        ("./gradlew --version", "gradle wrapper", ("gradlew", "gradle/wrapper", "gradle.properties"), True, False),
        ("dotnet restore ./Shop/Shop.csproj", "dotnet", ("Shop/Shop.csproj",), True, False),
        ("dotnet restore -r linux-x64 Shop.sln --configfile n.config", "dotnet", ("Shop.sln", "n.config"), True, False),
        ("dotnet restore", "dotnet", ("*.sln", "*.slnx"), True, False),
        ("dotnet tool restore", "dotnet tool", (".config/dotnet-tools.json",), True, False),
        ("mix deps.get --only prod", "mix", ("mix.exs", "mix.lock"), True, False),
    ],
)
def test_what_an_install_reads(text: str, tool: str, reads: tuple[str, ...], frozen: bool, project: bool) -> None:
    found = known(text)
    assert found.tool == tool
    assert found.reads[: len(reads)] == reads
    assert (found.frozen, found.project) == (frozen, project)
    assert set(found.locks) <= set(found.reads)


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("pip install pipenv 'flask>=3' -i https://example.org/simple", ("pipenv", "flask>=3")),
        ("npm install -g pm2 yarn", ("pm2", "yarn")),
        ("npm i express", ("express",)),
        ("bun install -g serve", ("serve",)),
        ("bun add is-number", ("is-number",)),
        ("deno install -g npm:serve", ("npm:serve",)),
        ("yarn global add serve", ("serve",)),
        ("pnpm add -g turbo", ("turbo",)),
        ("go install example.org/x@latest", ("example.org/x@latest",)),
        ("cargo install cargo-chef --version 0.1.67", ("cargo-chef",)),
        ("gem install bundler -v 2.5", ("bundler",)),
        ("pipenv install requests", ("requests",)),
    ],
)
def test_packages_that_the_command_names(text: str, packages: tuple[str, ...]) -> None:
    assert known(text).packages == packages


@pytest.mark.parametrize(
    "text",
    [
        "make install",
        "pip list",
        "npm run build",
        "bun run build",
        "deno task build",
        "gradle build -x test",
        "gradle -b other.gradle dependencies",
        "./gradlew dependencies assemble",
        "dotnet publish -c Release",
        "yarn build",
        "go build ./...",
        "cargo build",
        "mvn package",
        "uv run x",
    ],
)
def test_what_is_no_install(text: str) -> None:
    assert install(text) is None
