"""Which better orders are found, in ten ecosystems, and what is left alone because nobody knows that it is safe."""

from __future__ import annotations

import pytest
from tests.support.advising import LOCKS, advised, body
from tests.support.histories import Tree
from tests.support.planted import losses

from lamina.advise.wants import Seen


@pytest.mark.parametrize(
    ("install", "copied"),
    [
        ("pipenv install --deploy --system", "Pipfile Pipfile.lock"),
        ("pipenv sync", "Pipfile Pipfile.lock"),
        ("pip install -r requirements.txt", "requirements.txt"),
        ("pip install --no-cache-dir -r ./requirements.txt", "requirements.txt"),
        ("python3 -m pip install -r requirements.txt gunicorn", "requirements.txt"),
        ("poetry install --no-root", "pyproject.toml poetry.lock"),
        ("uv sync --locked --no-install-project", "pyproject.toml uv.lock"),
        ("npm ci", "package.json package-lock.json"),
        ("yarn install --frozen-lockfile", "package.json yarn.lock"),
        ("pnpm install --frozen-lockfile", "package.json pnpm-lock.yaml"),
        ("go mod download", "go.mod go.sum"),
        ("bundle install --frozen", "Gemfile Gemfile.lock"),
        ("cargo chef cook --recipe-path recipe.json", "recipe.json"),
        ("composer install --no-scripts --no-autoloader", "composer.json composer.lock"),
        ("mvn dependency:go-offline", "pom.xml"),
    ],
)
def test_what_an_install_reads_is_copied_first(install: str, copied: str) -> None:
    advice = advised(f"FROM base\nWORKDIR /app\nCOPY . .\nRUN {install}\nCMD x\n", LOCKS)
    assert body(advice) == ["WORKDIR /app", f"COPY {copied} ./", f"RUN {install}", "COPY . .", "CMD x"]
    assert advice.after.replay.seconds < advice.before.replay.seconds * 0.2


@pytest.mark.parametrize(
    ("install", "files", "lines"),
    [
        (
            "pip install -r requirements/prod.txt",
            {
                "requirements/prod.txt": "-r base.txt\n-c ../constraints.txt\n./libs/one\n",
                "requirements/base.txt": "# ./no\nrequests\n",
                "constraints.txt": "",
                "libs/one/setup.py": "",  # from where pip is started
            },
            [
                "COPY requirements/prod.txt requirements/base.txt ./requirements/",
                "COPY constraints.txt ./",
                "COPY libs/one ./libs/one/",
            ],
        ),
        (
            "pipenv install --deploy",
            {"Pipfile": '[packages]\nlib = {path = "./lib", editable = true}\n', "Pipfile.lock": "", "lib/x": ""},
            ["COPY Pipfile Pipfile.lock ./", "COPY lib ./lib/"],
        ),
        (
            "npm ci",
            {
                "package.json": '{"workspaces": ["packages/*"], "dependencies": {"own": "file:./own"}}',
                "package-lock.json": "{}",
                "packages/a/package.json": "{}",
                "packages/a/index.js": "",
                "packages/b/package.json": "{}",
                "own/package.json": "{}",
            },
            [
                "COPY package.json package-lock.json ./",
                "COPY packages/a/package.json ./packages/a/",
                "COPY packages/b/package.json ./packages/b/",
                "COPY own ./own/",
            ],
        ),
        (
            "pnpm install --frozen-lockfile",
            {
                "package.json": "{}",
                "pnpm-lock.yaml": "",
                "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n  - \"!apps/old\"\n",
                "apps/web/package.json": "{}",
                "apps/old/package.json": "{}",
                "patches/x.patch": "",
            },
            [
                "COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./",
                "COPY apps/web/package.json ./apps/web/",
                "COPY patches ./patches/",
            ],
        ),
        (
            "uv sync --frozen --no-install-workspace",
            {
                "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
                "uv.lock": "",
                "packages/one/pyproject.toml": "",
                "packages/one/code.py": "",
            },
            ["COPY pyproject.toml uv.lock ./", "COPY packages/one/pyproject.toml ./packages/one/"],
        ),
        (
            "go mod download",
            {"go.mod": "module x\nreplace y => ./y\n", "go.sum": "", "y/go.mod": "module y\n", "y/y.go": ""},
            ["COPY go.mod go.sum ./", "COPY y/go.mod ./y/"],
        ),
        (
            "dotnet restore Web/Web.csproj",
            {
                "Shop.sln": "",
                "nuget.config": "",
                "Directory.Packages.props": "<Project/>",
                "Web/Web.csproj": '<Project><ProjectReference Include="..\\Core\\Core.csproj" /></Project>',
                "Core/Core.csproj": "<Project/>",
                "Core/packages.lock.json": "{}",
                "Core/Core.cs": "",
                "Tests/Tests.csproj": "<Project/>",  # nobody refers to it
            },
            [
                "COPY Web/Web.csproj ./Web/",
                "COPY Directory.Packages.props nuget.config ./",
                "COPY Core/packages.lock.json Core/Core.csproj ./Core/",
            ],
        ),
        (
            "dotnet restore",
            {"Shop.sln": 'Project("{F}") = "Web", "Web\\Web.csproj", "{1}"\n', "Web/Web.csproj": "<Project/>"},
            ["COPY Shop.sln ./", "COPY Web/Web.csproj ./Web/"],
        ),
        (
            "./gradlew dependencies",
            {
                "settings.gradle.kts": 'include("app")\nincludeBuild("build-logic")\n',
                "gradlew": "",
                "gradle/libs.versions.toml": "",
                "gradle/wrapper/gradle-wrapper.jar": "",
                "app/build.gradle.kts": "",
                "app/src/App.kt": "",
                "build-logic/src/x.gradle.kts": "",
                "build-logic/src/x.kt": "",
            },
            [
                "COPY settings.gradle.kts gradlew ./",
                "COPY app/build.gradle.kts ./app/",
                "COPY gradle ./gradle/",
                "COPY build-logic ./build-logic/",
            ],
        ),
        (
            "deno ci",
            {
                "deno.json": '{"workspace": ["./packages/a"]}',
                "deno.lock": "{}",
                "packages/a/deno.json": "{}",
                "packages/a/mod.ts": "",
                "packages/b/deno.json": "{}",
            },
            ["COPY deno.json deno.lock ./", "COPY packages/a/deno.json ./packages/a/"],
        ),
        ("cd sub && npm ci", {"sub/package.json": "{}", "sub/package-lock.json": "{}", "package.json": "{}"},
         ["COPY sub/package.json sub/package-lock.json ./sub/"]),
    ],
)  # fmt: skip
def test_what_its_files_name_is_copied_too(install: str, files: Tree, lines: list[str]) -> None:
    advice = advised(f"FROM base\nWORKDIR /app\nCOPY . .\nRUN {install}\n", files)
    assert body(advice) == ["WORKDIR /app", *lines, f"RUN {install}", "COPY . ."]


@pytest.mark.parametrize(
    ("run", "files"),
    [
        ("make", {}),
        ("pip install .", {"setup.py": ""}),
        ("pip install -r requirements.txt", {"requirements.txt": "-e .\n"}),
        ("pip install -r requirements.txt", {}),
        ("pip install -r $LIST", {"requirements.txt": ""}),
        ("pip install -r requirements.txt > log.txt", {"requirements.txt": ""}),
        ("pip install $(cat requirements.txt)", {"requirements.txt": ""}),
        ("npm ci", {"package.json": '{"scripts": {"postinstall": "node x"}}', "package-lock.json": "{}"}),
        ("npm ci", {"package.json": "{ no json", "package-lock.json": "{}"}),
        ("npm ci", {"package.json": "{}", "package-lock.json": "{}", "node_modules/x": ""}),
        ("npm ci && npm run build", {"package.json": '{"scripts": {"prepare": "x"}}', "package-lock.json": "{}"}),
        ("bundle install", {"Gemfile": "gemspec\n", "Gemfile.lock": "", "x.gemspec": ""}),
        ("pipenv install", {"Pipfile": '[packages]\nme = {path = ".", editable = true}\n', "Pipfile.lock": ""}),
        ("apt-get install -y ./src/x.deb", {}),
        ("rm -rf /app/src", {}),
        ("python -c 1", {}),
    ],
)
def test_what_may_read_anything_stays_where_it_is(run: str, files: Tree) -> None:
    advice = advised(f"FROM base\nWORKDIR /app\nCOPY . .\nRUN {run}\nRUN apt-get install -y x\n", files)
    assert not advice.better and advice.patch() == ""


def test_a_variable_that_tells_the_tool_to_read_other_files() -> None:
    text = "FROM base\nENV PIP_CONSTRAINT=/app/c.txt\nWORKDIR /app\nCOPY . .\nRUN pip install x\n"
    assert not advised(text, {"c.txt": ""}).better


def test_steps_that_need_nothing_go_above() -> None:
    text = "FROM base\nCOPY . /app\nRUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*\n"
    text += "RUN useradd me && rm -rf /tmp/*\nWORKDIR /app\nRUN pip install uv\nRUN make\n"
    found = body(advised(text, {}))
    assert found.index("COPY . /app") == len(found) - 2 and found[-1] == "RUN make"


def test_comments_go_along_and_the_rest_stays_as_it_is() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n\nFROM base\n\n# all of it\n# really\nCOPY . /app/\n\n# tools\n"
        "RUN apk add \\\n    # a comment inside\n    git\n\n# build\nRUN make   # no comment\n# the end\n"
    )
    assert advised(text, {}).after.scene.sheet.text == (
        "# syntax=docker/dockerfile:1\n\nFROM base\n\n# tools\n"
        "RUN apk add \\\n    # a comment inside\n    git\n\n# all of it\n# really\nCOPY . /app/\n\n"
        "# build\nRUN make   # no comment\n# the end\n"
    )


def test_line_ends_are_kept() -> None:
    text = "FROM base\r\nWORKDIR /a\r\nCOPY . .\r\nRUN npm ci\r\nCMD x"
    found = advised(text, LOCKS).after.scene.sheet.text
    assert found.count("\r\n") == found.count("\n") == 6 and "COPY package.json package-lock.json ./\r\n" in found


def test_flags_of_the_copy_are_taken_over() -> None:
    text = "FROM base\nWORKDIR /a\nCOPY --chown=1:1 --exclude=x . ./in/\nRUN cd in && npm ci\n"
    assert body(advised(text, LOCKS))[1] == "COPY --chown=1:1 package.json package-lock.json ./in/"


def test_a_run_of_which_the_first_part_needs_nothing_is_split() -> None:
    text = "FROM base\nWORKDIR /a\nCOPY . .\nRUN pip install pipenv && \\\n    pip install . && make\n"
    advice = advised(text, {"setup.py": ""})
    assert body(advice) == ["WORKDIR /a", "RUN pip install pipenv", "COPY . .", "RUN pip install . && make"] or body(
        advice
    ) == ["WORKDIR /a", "RUN pip install pipenv", "COPY . .", "RUN pip install .     && make"]
    for kept in (
        "cd /x && pip install a && make",
        "export A=1 && make",
        "pip install a; make",
        "pip install a || make",
    ):
        assert not advised(f"FROM base\nWORKDIR /a\nCOPY . .\nRUN {kept}\n", {}).better


@pytest.mark.parametrize("begin", ["RUN <<EOF\n", "RUN <<EOF\n#!/bin/bash -e\n", "RUN bash -eux <<EOF\n"])
def test_an_install_in_a_script_is_understood(begin: str) -> None:
    run = f"{begin}# all of it\nset -eu\nnpm ci\nEOF"
    found = advised(f"FROM base\nWORKDIR /a\nCOPY . .\n{run}\nCMD x\n", LOCKS).after.scene.sheet.text
    assert found == f"FROM base\nWORKDIR /a\nCOPY package.json package-lock.json ./\n{run}\nCOPY . .\nCMD x\n"


def test_a_script_is_split_between_its_lines() -> None:
    head, rest = "set -eux\nexport CI=1\n", "# the rest\nnpm run build\nnpm \\\n  test\nEOF\n"
    text = f"FROM base\nWORKDIR /a\nCOPY . .\nRUN <<EOF\n{head}npm \\\n  ci\n\n{rest}"
    text = text.replace("npm \\\n  ci", "mkdir -p /x\n# packages\nnpm \\\n  ci")
    assert advised(text, LOCKS).after.scene.sheet.text == (
        "FROM base\nWORKDIR /a\nCOPY package.json package-lock.json ./\n"
        "# packages\nRUN export CI=1 \\\n    && mkdir -p /x \\\n    && npm ci\nCOPY . .\n"
        f"RUN <<EOF\n{head}\n{rest}"
    )


@pytest.mark.parametrize(
    "script",
    [
        "if true\nthen\nnpm ci\nfi\nmake",
        "npm ci || true\nmake",
        "cd x\nnpm ci\nmake",
        "npm ci\nmake\nrm -rf x",
        "x=1\nnpm ci\nmake",
        "cat <<X\nX\nnpm ci\nmake",
        "npm ci; make",
        "export GOFLAGS=-modfile=src/go.mod\ngo mod download\nmake",
        "PIP_CONSTRAINT=src/main pip install -r requirements.txt\nmake",
        "#!/usr/bin/env python3\nnpm ci\nmake",
    ],
)
def test_a_script_whose_lines_hang_together_stays(script: str) -> None:
    assert not advised(f"FROM base\nWORKDIR /a\nCOPY . .\nRUN <<EOF\n{script}\nEOF\n", LOCKS).better


def test_the_dependencies_before_the_project() -> None:
    files = {"pyproject.toml": "", "uv.lock": "", "poetry.lock": ""}
    found = body(advised("FROM base\nWORKDIR /a\nCOPY . .\nRUN uv sync --locked\n", files))
    assert found[1:] == [
        "COPY pyproject.toml uv.lock ./",
        "RUN uv sync --locked --no-install-project",
        "COPY . .",
        "RUN uv sync --locked",
    ]
    found = body(advised("FROM base\nWORKDIR /a\nCOPY . .\nRUN poetry install\n", files))
    assert "RUN poetry install --no-root" in found and found[-2:] == ["COPY . .", "RUN poetry install"]


def test_a_copy_that_lands_on_another_stays_behind_it() -> None:
    text = "FROM base\nWORKDIR /a\nCOPY src ./\nCOPY other ./\nRUN npm ci\n"
    files = {**LOCKS, "other/main": "x", "other/package.json": "{}", "other/package-lock.json": "{}"}
    found = body(advised(text, files))
    assert found[-3:] == ["RUN npm ci", "COPY src ./", "COPY other ./"]
    apart = {**LOCKS, "other/package.json": "{}", "other/package-lock.json": "{}"}
    assert body(advised(text, apart)) == ["WORKDIR /a", "COPY other ./", "RUN npm ci", "COPY src ./"]


def test_who_makes_a_folder_stays_who_makes_it() -> None:
    text = "FROM base\nCOPY --chown=1 src /data/\nCOPY package.json /data/x/\nRUN make\n"
    assert not advised(text, LOCKS).better
    assert body(advised(text.replace("--chown=1 ", ""), LOCKS))[0] == "COPY package.json /data/x/"
    text = "FROM base\nCOPY --chown=1 src /data/\nRUN mkdir -p /data/x\nRUN apt-get install -y x\n"
    assert not advised(text, {}).better
    assert advised(text.replace("--chown=1 ", ""), {}).better


def test_what_was_observed_counts_and_not_what_is_known() -> None:
    text = "FROM base\nWORKDIR /a\nCOPY . .\nRUN ./configure\n"
    key = ("RUN ./configure", "COPY . .")
    files = {"configure": "!x", "in/a": "", "in/b": ""}
    found = advised(text, files, seen={key: Seen(("configure", "in"), 3, 5)})
    assert body(found) == ["WORKDIR /a", "COPY configure ./", "COPY in ./in/", "RUN ./configure", "COPY . ."]
    assert "looked at 3 of the 5 files" in found.after.moves[0].why[0]
    text = text.replace("./configure", "npm ci")
    assert advised(text, LOCKS).better
    assert not advised(text, LOCKS, seen={("RUN npm ci", "COPY . ."): Seen(None, 9, 9)}).better


def test_an_argument_that_varies_goes_down_to_its_use() -> None:
    text = "FROM base\nARG SHA\nENV REV=$SHA\nRUN apt-get install -y x\nRUN pip install y\nCOPY . .\nRUN make\n"
    files: Tree = {}
    found = body(advised(text, files, varying=("SHA",), changing=("README",)))
    assert found.index("ARG SHA") > found.index("RUN pip install y") and found.index("ARG SHA") < found.index(
        "RUN make"
    )
    assert found.index("ENV REV=$SHA") == found.index("ARG SHA") + 1
    assert not advised(text, files, changing=()).better
    used = "FROM base\nARG SHA\nRUN apt-get install -y x=$SHA\nRUN pip install y\n"
    assert not advised(used, files, varying=("SHA",)).better


def test_only_the_stages_that_are_built() -> None:
    text = "FROM base AS unused\nCOPY . .\nRUN npm ci\nFROM base\nCOPY src /src\nRUN make\n"
    assert not advised(text, LOCKS).better


def test_a_stage_that_another_copies_from() -> None:
    text = "FROM base AS deps\nWORKDIR /d\nCOPY . .\nRUN npm ci\nFROM base\nCOPY --from=deps /d/x /n\nRUN make\n"
    advice = advised(text, LOCKS)
    assert body(advice)[1] == "COPY package.json package-lock.json ./"
    assert advice.after.replay.seconds == pytest.approx(10 * (0.2 + 0.2 + 60))


def test_a_tool_that_may_write_its_lock_file_is_told() -> None:
    advice = advised("FROM base\nWORKDIR /a\nCOPY . .\nRUN npm install\n", LOCKS)
    assert "package-lock.json anew" in advice.after.moves[0].risks[0]
    assert advised("FROM base\nWORKDIR /a\nCOPY . .\nRUN npm ci\n", LOCKS).after.moves[0].risks == ()


def test_ignore_lines_for_what_nobody_needs() -> None:
    text = "FROM base\nCOPY . .\nRUN make\n"
    lines = advised(text, {}, changing=("README",)).ignores
    assert [line.pattern for line in lines] == ["README*"] and lines[0].saved == pytest.approx(10 * 60.2)
    assert advised(text, {"pyproject.toml": "readme = 'README'\n"}, changing=("README",)).ignores == ()
    assert advised("FROM base\nCOPY README src /x/\nRUN make\n", {}, changing=("README",)).ignores == ()
    assert advised(text, {}, changing=("README",), ignored=("README",)).ignores == ()


def test_the_planted_order_is_found() -> None:
    """More of them: `./dev test-advice-planted`."""
    found = [losses(seed) for seed in range(40)]
    assert not any(one.is_worse for one in found)
    assert sum(one.is_found for one in found) >= 38


def test_an_install_that_runs_in_any_order_could_keep_its_downloads() -> None:
    text = (
        "FROM base\nWORKDIR /a\nCOPY requirements.txt .\nRUN {}pip install -r requirements.txt\nUSER me\nRUN npm ci\n"
    )
    (found,) = advised(text.format(""), LOCKS, changing=("requirements.txt",)).mounts
    assert (found.line, found.flags, found.commits) == (4, "--mount=type=cache,target=/root/.cache/pip", 10)
    mounted = text.format("--mount=type=cache,target=/root/.cache ")
    assert advised(mounted, LOCKS, changing=("requirements.txt",)).mounts == ()
    assert advised(text.format(""), LOCKS, changing=("README",)).mounts == ()
