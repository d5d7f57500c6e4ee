"""The rules of order, cache, size and staleness: what is found, and what a reviewer would not want to hear."""

from __future__ import annotations

import pytest
from tests.support.linting import found, lines

APT = "apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*"

CODE = "CodeBeforeDependencies"

CASES: list[tuple[str, str, list[int]]] = [
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . .\nRUN npm ci", [2]),
    ("CodeBeforeDependencies", "FROM a:1\nADD ./ /app/\nWORKDIR /app\nRUN yarn && yarn build", [2]),
    ("CodeBeforeDependencies", f"FROM a:1\nCOPY . .\nRUN {APT}", [2]),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . .\nRUN pip install pipenv", [2]),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nRUN npm run build", []),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nRUN npm ci --omit=dev", []),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . .\nRUN pip install .", []),  # it needs the code
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . .\nRUN poetry install", [2]),  # which --no-root does not
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . .\nRUN make", []),
    ("CodeBeforeDependencies", "FROM a:1\nWORKDIR /docs\nCOPY . /docs\nWORKDIR /app\nRUN npm ci", []),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . /src\nRUN pip install -r /src/requirements.txt", [2]),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . /src\nRUN pip install -r /else/requirements.txt", []),
    ("CodeBeforeDependencies", "FROM a:1 AS b\nCOPY . .\nFROM b\nRUN npm ci\nFROM b\nRUN npm ci", [2]),
    ("CodeBeforeDependencies", "FROM a:1 AS b\nCOPY . .\nFROM a:1\nCOPY --from=b / /x\nRUN npm ci", []),
    ("CodeBeforeDependencies", "FROM a:1\nRUN <<EOF\nset -e\nnpm ci\nEOF\nCOPY . .\nRUN <<EOF\nnpm test\nEOF", []),
    ("CodeBeforeDependencies", "FROM a:1\nCOPY . .\nRUN <<EOF\nset -e\nnpm ci\nEOF", [2]),
    ("CodeBeforeDependencies", 'FROM a:1\nCOPY . .\nRUN ["npm", "ci"]', [2]),
    # A folder of code above an install that reads other files.
    (CODE, "FROM a:1\nCOPY package*.json ./\nCOPY src/ /app/src/\nRUN npm ci", [3]),
    (CODE, "FROM a:1\nCOPY app app\nCOPY templates templates\nCOPY r.txt .\nRUN pip install -r r.txt", [2]),
    (CODE, "FROM a:1\nCOPY src src\nRUN mkdir /x\nCOPY go.mod go.sum ./\nRUN go mod download", [2]),
    (CODE, "FROM a:1\nCOPY src src\nRUN --mount=type=bind,source=uv.lock,target=uv.lock uv sync --no-install-project",
     [2]),
    (CODE, "FROM a:1\nCOPY pyproject.toml uv.lock ./\nCOPY src src\nRUN uv sync --locked", [3]),
    (CODE, "FROM a:1\nCOPY src /app/src\nRUN apk add --no-cache git", [2]),
    (CODE, "FROM a:1\nCOPY src /app/src\nRUN pip install gunicorn", [2]),
    (CODE, "FROM a:1\nCOPY r.txt .\nCOPY main.py .\nRUN pip install -r r.txt", [3]),
    (CODE, "FROM a:1\nCOPY package.json yarn.lock ./\nCOPY next.config.js .\nRUN yarn --frozen-lockfile", []),
    # … but not where it may read the folder, or what is made of it.
    (CODE, "FROM a:1\nCOPY src src\nRUN npm ci", []),  # where is its manifest?
    (CODE, "FROM a:1\nCOPY app/ ./\nRUN pip install -r requirements.txt", []),
    (CODE, "FROM a:1\nCOPY package.json package-lock.json ./\nCOPY packages/ packages/\nRUN npm ci", []),
    (CODE, "FROM a:1\nCOPY package.json pnpm-lock.yaml ./\nCOPY patches patches\nRUN pnpm i --frozen-lockfile", []),
    (CODE, "FROM a:1\nCOPY package.json yarn.lock ./\nCOPY prisma prisma\nRUN yarn --frozen-lockfile", []),
    (CODE, "FROM a:1\nCOPY package.json yarn.lock ./\nCOPY scripts scripts\nRUN yarn --frozen-lockfile", []),
    (CODE, "FROM a:1\nCOPY setup.py r.txt ./\nCOPY src src\nRUN pip install -r r.txt", []),  # -e . in it
    (CODE, "FROM a:1\nCOPY r.txt .\nCOPY src src\nRUN pip install -r r.txt ./src", []),
    (CODE, "FROM a:1\nCOPY pyproject.toml .\nCOPY src src\nRUN pip install .", []),
    (CODE, "FROM a:1\nCOPY r.txt .\nCOPY wheels wheels\nRUN pip install --no-index -f wheels -r r.txt", []),
    (CODE, "FROM a:1\nENV PIP_CONSTRAINT=src/c.txt\nCOPY r.txt .\nCOPY src src\nRUN pip install -r r.txt", []),
    (CODE, "FROM a:1\nCOPY pom.xml .\nCOPY app app\nRUN mvn dependency:go-offline", []),  # a module
    (CODE, "FROM a:1\nCOPY pom.xml .\nCOPY src src\nRUN mvn dependency:go-offline", [3]),
    (CODE, "FROM a:1\nCOPY Shop.sln .\nCOPY src src\nRUN dotnet restore", []),
    (CODE, "FROM a:1\nCOPY package.json package-lock.json ./\nCOPY src src\nRUN src/gen.sh\nRUN npm ci", []),
    (CODE, "FROM a:1\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY src src\nRUN npm ci --omit=dev", []),
    (CODE, "FROM a:1\nCOPY src src\nCOPY . .\nRUN npm ci", [3]),  # once is enough
    (CODE, "FROM a:1\nCOPY src /src\nRUN apk add --virtual .b gcc && make -C /src && apk del .b", []),
    (CODE, "FROM a:1\nCOPY . .\nRUN apk add --virtual .b gcc && make && apk del .b", []),
    (CODE, "FROM a:1\nCOPY . .\nRUN apk add gcc && make", [2]),
    # Scripts of several lines.
    (CODE, "FROM a:1\nCOPY . .\nRUN <<EOF\n#!/usr/bin/env -S bash -e\nnpm ci\nEOF", [2]),
    (CODE, "FROM a:1\nCOPY . .\nRUN bash -euo pipefail <<'EOF'\nnpm ci\nEOF", [2]),
    (CODE, "FROM a:1\nCOPY . .\nRUN <<EOF\n#!/usr/bin/env python3\nnpm ci\nEOF", []),
    (CODE, "FROM a:1\nCOPY . .\nRUN python3 <<EOF\nnpm ci\nEOF", []),
    (CODE, "FROM a:1\nCOPY . .\nRUN cat <<EOF > /x\nnpm ci\nEOF", []),
    (CODE, "FROM a:1\nCOPY . .\nRUN <<EOF\ncat > /x <<X\nnpm ci\nX\ntrue\nEOF", []),
    ("AptListsKept", "FROM a:1\nRUN <<EOF\nset -e\napt-get update\napt-get install -y git\nEOF", [2]),
    ("AptListsKept", "FROM a:1\nRUN <<EOF\napt-get update\nrm -rf /var/lib/apt/lists/*\nEOF", []),
    (CODE, "FROM a:1\nCOPY src/ /\nRUN apk add git", []),  # perhaps its repositories
    (CODE, "FROM a:1\nCOPY docker/ /docker/\nRUN apt-get update && apt-get install -y git", []),
    (CODE, "FROM a:1\nCOPY package.json src ./\nRUN npm ci", []),  # CopyBroaderThanInstall says it
    ("CopyBroaderThanInstall", "FROM a:1\nCOPY requirements.txt app.py ./\nRUN pip install -r requirements.txt", [2]),
    ("CopyBroaderThanInstall", "FROM a:1\nCOPY requirements.txt ./\nRUN pip install -r requirements.txt", []),
    ("CopyBroaderThanInstall", "FROM a:1\nCOPY package.json .npmrc scripts ./\nRUN npm ci", []),  # may be scripts of it
    ("CopyBroaderThanInstall", "FROM a:1\nCOPY pyproject.toml README.md ./\nRUN poetry install", []),
    ("CopyBroaderThanInstall", "FROM a:1\nCOPY setup.py requirements.txt .\nRUN pip install -r requirements.txt", []),
    ("UntaggedBase", "FROM gcr.io/distroless/static\nCOPY a /", []),  # has no versions to choose from
    ("EarlyArg", "FROM a:1\nARG VERSION\nRUN a\nRUN b\nRUN c $VERSION", [2]),
    ("EarlyArg", "FROM a:1\nRUN a\nARG VERSION\nRUN c $VERSION", []),
    ("EarlyArg", "FROM a:1\nARG VERSION\nRUN a $VERSION\nRUN b", []),
    ("EarlyArg", "FROM a:1\nARG VERSION\nRUN a", []),  # perhaps the program reads its environment
    ("EarlyArg", "FROM a:1\nARG PIP_INDEX_URL\nRUN pip install x\nLABEL u=$PIP_INDEX_URL", []),
    ("EarlyArg", "FROM a:1\nARG TARGETARCH\nRUN a\nRUN b $TARGETARCH", []),
    ("EarlyArg", "FROM a:1\nARG A B\nRUN a $A\nRUN b $B", [2]),
    ("EarlyArg", "FROM a:1\nARG A\nCOPY x y\nRUN b $A", []),  # a COPY does not see it
    # An ARG for a LABEL or an ENV, which go down together.
    ("EarlyArg", f"FROM a:1\nARG GIT_SHA\nLABEL revision=$GIT_SHA\nRUN {APT}\nRUN pip install -r r", [2]),
    ("EarlyArg", f"FROM a:1\nARG GIT_SHA\nENV REV=$GIT_SHA\nRUN {APT}", [2]),
    ("EarlyArg", f"FROM a:1\nARG SHA=none\nENV A=$SHA\nLABEL b=$A\nRUN {APT}\nRUN echo $A", [2]),
    ("EarlyArg", f"FROM a:1\nRUN {APT}\nARG GIT_SHA\nLABEL revision=$GIT_SHA\nCOPY a b", []),
    ("EarlyArg", "FROM a:1\nARG VERSION\nLABEL version=$VERSION\nRUN make", []),  # which may read it
    ("EarlyArg", "FROM a:1\nARG VERSION\nENV VERSION=$VERSION\nRUN npm run build", []),
    ("EarlyArg", f"FROM a:1\nARG VERSION\nENV VERSION=$VERSION\nWORKDIR /$VERSION\nRUN {APT}", []),
    ("EarlyArg", f"FROM a:1\nARG COMMIT\nENV PIP_X=$COMMIT\nRUN {APT}", []),  # pip goes by it
    ("EarlyArg", f"FROM a:1\nARG POETRY_VERSION=1.8.3\nENV P=$POETRY_VERSION\nRUN {APT}", []),  # no build's own
    ("EarlyArg", f"ARG V_VERSION=1.8\nFROM a:1\nARG V_VERSION\nENV V=$V_VERSION\nRUN {APT}", []),
    ("EarlyArg", f"FROM a:1\nARG NAME\nLABEL name=$NAME\nRUN {APT}", []),
    ("EarlyArg", "FROM a:1\nARG COMMIT\nLABEL c=$COMMIT\nCOPY x y", []),
    ("LockFileMissing", "FROM a:1\nCOPY Pipfile ./\nRUN pipenv install --deploy", [3]),
    ("LockFileMissing", "FROM a:1\nCOPY package*.json ./\nRUN npm ci", []),
    ("LockFileMissing", "FROM a:1\nCOPY . .\nRUN npm ci", []),
    ("LockFileMissing", "FROM a:1\nCOPY app ./\nRUN npm ci", []),  # perhaps a directory
    ("LockFileMissing", "FROM a:1\nCOPY package.json ./\nRUN --mount=type=bind,target=/x npm ci", []),
    ("LockFileMissing", "FROM a:1\nCOPY --from=0 /x ./\nCOPY package.json ./\nRUN npm ci", []),
    ("LockFileNotUsed", "FROM a:1\nCOPY . .\nRUN npm install && pipenv install", [3]),
    ("LockFileNotUsed", "FROM a:1\nCOPY . .\nRUN npm install express && npm ci && npm install -g x", []),
    ("LockFileNotUsed", "FROM a:1\nENV UV_FROZEN=1\nCOPY . .\nRUN uv sync\nRUN UV_LOCKED=1 uv sync", []),
    ("LockFileNotUsed", "FROM a:1\nCOPY . .\nRUN uv sync\nRUN uv sync --locked", [3]),
    ("LockFileNotUsed", "FROM a:1\nCOPY . .\nRUN bundle config set deployment true\nRUN bundle install", []),
    ("LockFileNotUsed", "FROM a:1\nCOPY . .\nRUN bundle install", [3]),
    ("LockFileNotUsed", "FROM a:1\nCOPY package.json .\nRUN npm install", []),  # there is none: LockFileMissing
    ("PipWithoutHashes", "FROM a:1\nRUN pip install x", []),
    ("RecursiveChown", "FROM a:1\nWORKDIR /app\nCOPY . .\nRUN chown -R x . && chmod -R u+w /app", [4]),
    ("RecursiveChown", "FROM a:1\nCOPY . /app\nRUN chown -R x /", [3]),
    ("RecursiveChown",
     "FROM a:1\nCOPY . /app\nRUN chown -R x /app/log\nRUN chown x /app\nRUN chown -R x /application", []),
    ("RecursiveChown", "FROM a:1 AS b\nCOPY . /app\nRUN chown -R x /app\nFROM a:1\nCOPY --from=b /app /app", []),
    ("RecursiveChown", "FROM a:1 AS b\nCOPY . /app\nFROM b\nRUN chown --recursive x:y /app", [4]),
    ("CleanupInOtherLayer", f"FROM a:1\nRUN {APT}\nRUN apt-get clean", [3]),
    ("CleanupInOtherLayer", "FROM a:1\nCOPY x.deb /tmp/x.deb\nRUN dpkg -i /tmp/x.deb && rm /tmp/x.deb", [3]),
    ("CleanupInOtherLayer", "FROM a:1\nCOPY x.deb y.deb /tmp/\nRUN dpkg -i /tmp/x.deb && rm /tmp/x.deb", [3]),
    ("CleanupInOtherLayer", "FROM a:1\nRUN pip install x\nRUN rm -rf ~/.cache/pip", [3]),
    ("CleanupInOtherLayer", "FROM a:1\nRUN a\nRUN rm -rf /tmp/* && apt-get clean", []),
    ("CleanupInOtherLayer", "FROM a:1 AS b\nCOPY x /x\nRUN rm /x\nFROM a:1\nCOPY --from=b /y /y", []),
    ("CleanupInOtherLayer",
     "FROM a:1\nRUN --mount=type=cache,target=/root/.cache pip install x\nRUN rm -rf ~/.cache/pip", []),
    ("UpdateInOtherLayer", "FROM a:1\nRUN apt-get update\nRUN apt-get install -y x\nRUN apt-get install -y y", [3, 4]),
    ("UpdateInOtherLayer", "FROM a:1\nRUN apt-get update && apt-get install -y x\nRUN apt-get install -y y", [3]),
    ("UpdateInOtherLayer", f"FROM a:1\nRUN {APT}\nRUN {APT}", []),
    ("UpdateInOtherLayer", "FROM a:1\nRUN apk update\nRUN apk add x\nRUN apk add --no-cache y", [3]),
    ("UpdateInOtherLayer", "FROM a:1\nRUN apt-get install -y ./local.deb", []),
    ("MetadataCostsNothing", 'FROM a:1\nENV A=1\nUSER x\nEXPOSE 80\nRUN a\nCMD ["x"]', [4]),
    ("AptListsKept", "FROM a:1\nRUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install x", []),
    ("AptListsKept", "FROM a:1 AS b\nRUN apt-get update\nFROM a:1\nCOPY --from=b /x /x", []),
    ("AptListsKept", "FROM a:1 AS b\nRUN apt-get update\nFROM b\nCOPY x /x", [2]),
    ("AptListsKept", "FROM a:1\nRUN apt-get update && rm -r /var/lib/apt/lists", []),
    ("AptListsKept", "FROM a:1\nRUN apt-get update && find /var/lib/apt/lists -type f -delete", []),
    ("AptListsKept", "FROM a:1\nRUN apt-get update && apt-get install x\nRUN rm -rf /var/lib/apt/lists/*", []),
    ("AptRecommends", "FROM a:1\nRUN apt-get -o APT::Install-Recommends=0 install -y x", []),
    ("AptRecommends", "FROM a:1\nRUN echo 'APT::Install-Recommends 0;' > /etc/apt/apt.conf.d/x\nRUN apt install x", []),
    ("ApkCacheKept", "FROM a:1\nRUN apk update && apk add x", [2]),
    ("ApkCacheKept",
     "FROM a:1\nRUN apk add x && rm -rf /var/cache/apk/*\nRUN --mount=type=cache,target=/var/cache/apk apk add x", []),
    ("ApkCacheKept", "FROM a:1\nRUN apk --no-cache add x && apk del x", []),
    ("PackageCacheKept", "FROM a:1\nRUN yum -y install x\nRUN zypper -n in x\nRUN microdnf install x", [2, 3, 4]),
    ("PackageCacheKept",
     "FROM a:1\nRUN yum -y install x && yum clean all\nRUN dnf install x && rm -rf /var/cache/dnf", []),
    ("PackageCacheKept", "FROM a:1\nRUN yum -y install x && dnf clean all\nRUN zypper in x && zypper cc -a", []),
    ("PipCacheKept", "FROM a:1\nENV PIP_NO_CACHE_DIR=1\nRUN pip install x", []),
    ("PipCacheKept", "FROM a:1\nRUN PIP_NO_CACHE_DIR=1 pip install x\nRUN pip install /w/*.whl", []),
    ("PipCacheKept", "FROM a:1\nRUN --mount=type=cache,target=/root/.cache/pip pip install x", []),
    ("PipCacheKept", "FROM a:1\nRUN python -m pip install x && pip3 install -r y", [2]),
    ("YarnCacheKept", "FROM a:1\nRUN yarn\nRUN yarn build", [2]),
    ("UseraddLog", "FROM a:1\nRUN useradd -u 1000 a\nRUN useradd -l -u 1000000 b\nRUN useradd --uid=999999999 c", [4]),
    ("ArchiveUnpackedByRun", "FROM a:1\nCOPY a.tar.gz b.txt /t/\nRUN cd /t && tar xzf a.tar.gz", [2]),
    ("ArchiveUnpackedByRun", "FROM a:1\nCOPY a.tar.gz /t/\nRUN tar -czf b.tar.gz /t\nRUN tar -xf c.tar.gz", []),
    ("ConsecutiveRuns", "FROM a:1\nRUN a\nCOPY b c\nRUN d\nFROM a:1\nRUN e\nRUN f\nRUN --network=none g", [7]),
    ("WholeStageCopied", "FROM scratch AS r\nADD root.tar /\nFROM a:1\nCOPY --from=r / /\nCOPY --from=r / /x", []),
    ("WholeStageCopied", "FROM a:1\nWORKDIR /\nCOPY --from=busybox:1 / .", [3]),
    ("UntaggedBase", "ARG B=a\nFROM $B\nFROM a@sha256:" + 64 * "0" + "\nFROM localhost:5000/x\nFROM scratch", [2, 4]),
    ("UntaggedBase", "FROM a:1 AS b\nFROM b\nFROM a:$UNKNOWN", []),
    ("LatestBase", "FROM a:latest\nFROM a:latest-slim", [1]),
    ("UnpinnedSystemPackages",
     "FROM a:1\nRUN apt-get install -y a=1 ./b.deb\nRUN apk add c~=1 d\nRUN dnf install bash-5.1 @dev", [3]),
    ("UnpinnedTools",
     "FROM a:1\nRUN pip install 'a>=1' b[c]==2\nRUN npm i -g @x/y@1 z\nRUN go install a.b/c@latest", [3, 4]),
    ("UnpinnedTools",
     "FROM a:1\nRUN pip install -r x .\nRUN gem install a -v 1\nRUN go install a.b/c@v1\nRUN npm ci", []),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "expected"), CASES)
def test_lines(rule: str, text: str, expected: list[int]) -> None:
    assert lines(text, rule) == expected


def test_the_lessons_fault_is_told_with_its_cure() -> None:
    text = "FROM python:3\nWORKDIR /app\nCOPY . .\nRUN pip install pipenv\nRUN pipenv install --deploy --system"
    (one,) = found(text, "CodeBeforeDependencies")
    assert "`pipenv install --deploy --system` (line 5)" in one.message
    assert one.hint == (
        "put `COPY Pipfile Pipfile.lock ./` above line 5, and this COPY below it; "
        "line 4 reads none of the files and can stand above all"
    )


def test_the_names_in_the_hint_are_those_that_the_context_has() -> None:
    text = "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci"
    (one,) = found(text, "CodeBeforeDependencies", ["package.json", "npm-shrinkwrap.json", "a.js"])
    assert one.hint and "`COPY package.json npm-shrinkwrap.json ./`" in one.hint


def test_an_install_that_takes_the_project_along_is_told_to_be_split() -> None:
    (one,) = found("FROM a:1\nCOPY . .\nRUN uv sync --locked", "CodeBeforeDependencies")
    assert one.hint == "put `COPY pyproject.toml uv.lock ./` and `RUN uv sync --no-install-project` above line 2"


def test_what_needs_the_code_beside_an_install_stays_below_it() -> None:
    (one,) = found("FROM a:1\nCOPY . .\nRUN npm ci && npm run build", "CodeBeforeDependencies")
    assert one.hint == "put `COPY package.json package-lock.json ./` and `RUN npm ci` above line 2"
    (one,) = found("FROM a:1\nCOPY . .\nRUN apt-get install -y make && make", "CodeBeforeDependencies")
    assert one.hint == "install the packages in a RUN of their own, and that above line 2"


def test_what_the_manifests_name_is_to_be_copied_too() -> None:
    files = {
        "package.json": '{"workspaces": ["packages/*"], "dependencies": {"x": "file:local/x"}}',
        "package-lock.json": "{}",
        "packages/a/package.json": "{}",
        "local/x/package.json": "{}",
    }
    (one,) = found("FROM a:1\nCOPY . .\nRUN npm ci", "CodeBeforeDependencies", files)
    assert one.hint and one.hint.endswith("; these name local/x, packages/a/package.json: copy that before it, too")


def test_settings_of_npm_without_a_secret_are_none() -> None:
    text = "FROM a:1\nCOPY . ."
    assert not found(text, "SecretInCopy", {".npmrc": "save-exact=true\n"})
    assert found(text, "SecretInCopy", {".npmrc": "//registry.example.test/:_authToken=x\n"})
    assert found(text, "SecretInCopy", [".npmrc"]) and found(text, "SecretInCopy", {".env": "A=1\n"})


def test_an_install_that_runs_the_code_stays_below_it() -> None:
    files = {"package.json": '{"scripts": {"postinstall": "node setup.js"}}', "setup.js": ""}
    assert not found("FROM a:1\nCOPY . .\nRUN npm ci", "CodeBeforeDependencies", files)
    assert found("FROM a:1\nCOPY . .\nRUN npm ci --ignore-scripts", "CodeBeforeDependencies", files)


def test_a_gem_has_no_lock_file_and_its_gemfile_reads_its_code() -> None:
    text, files = "FROM a:1\nCOPY . .\nRUN bundle install", ["Gemfile", "shop.gemspec", "lib/shop.rb"]
    assert lines(text, "CodeBeforeDependencies", files) == lines(text, "LockFileMissing", files) == []
    assert lines(text, "CodeBeforeDependencies", ["Gemfile", "app.rb"]) == [2]


def test_a_directory_is_looked_into() -> None:
    text = "FROM a:1\nCOPY backend ./\nRUN npm ci"
    files = ["backend/package.json", "backend/package-lock.json", "backend/a.js", "backend/b.js", "other.js"]
    (one,) = found(text, "CopyBroaderThanInstall", files)
    assert "reads 2 of the 4 files" in one.message
    assert found(text, "CopyBroaderThanInstall") == []


def test_a_lock_that_the_context_has_not() -> None:
    text = "FROM a:1\nCOPY . .\nRUN npm install"
    assert lines(text, "LockFileMissing", ["package.json", "a.js"]) == [3]
    assert lines(text, "LockFileNotUsed", ["package.json", "a.js"]) == []
    assert lines(text, "LockFileMissing", ["package.json", "package-lock.json"]) == []
    assert lines(text, "LockFileNotUsed", ["package.json", "package-lock.json"]) == [3]


def test_a_name_that_changes_in_each_build_is_a_warning_and_another_one_an_info() -> None:
    text = "FROM a:1\nARG {}\nRUN a\nRUN b ${}"
    severities = {name: found(text.format(name, name), "EarlyArg")[0].severity for name in ("COMMIT", "FLAVOUR")}
    assert severities == {"COMMIT": "warning", "FLAVOUR": "info"}


def test_an_arg_goes_down_with_what_it_is_for() -> None:
    def told(rest: str) -> tuple[str, str | None]:
        (one,) = found(f"FROM a:1\nARG SHA\n{rest}", "EarlyArg")
        assert one.severity == "warning"
        return one.message.partition(", but ")[2] or one.message, one.hint

    again, or_end = " again whenever its value changes", "or to the end of the stage if line 6 does not read it"
    assert told(f"LABEL rev=$SHA\nRUN {APT}\nCOPY r r\nRUN pip install -r r") == (
        f"the RUNs of lines 4, 6 run{again}",
        "move ARG SHA and the LABEL of line 3 to the end of the stage",
    )
    assert told(f"ENV REV=$SHA\nLABEL rev=$REV\nRUN {APT}\nRUN make\nRUN make install") == (
        f"the RUN of line 5 runs{again}",
        f"move ARG SHA, the ENV of line 3 and the LABEL of line 4 below line 5, {or_end}",
    )
    assert told("LABEL rev=$SHA\nRUN make\nRUN echo $SHA > /rev") == (
        f"the RUN of line 4 runs{again}",
        "move ARG SHA and the LABEL of line 3 to just above line 5",
    )


def test_a_version_that_the_file_names_is_an_info() -> None:
    (one,) = found("FROM a:1\nARG VERSION=1.2\nRUN a\nRUN b $VERSION", "EarlyArg")
    assert one.severity == "info"


def test_what_a_source_names_is_no_junk() -> None:
    text = "FROM a:1\nCOPY dist /srv\nCOPY .npmrc /root/"
    files = ["dist/index.html", ".npmrc", "a.js"]
    assert found(text, "JunkInCopy", files) == [] and found(text, "SecretInCopy", files) == []


def test_a_folder_is_known_by_what_it_holds() -> None:
    text = "FROM a:1\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY shop shop\nRUN npm ci"
    manifests = {"package.json": "{}", "package-lock.json": "{}"}
    (one,) = found(text, CODE, {**manifests, "shop/a.js": ""})
    assert one.span.line == 4
    assert one.message == (
        "shop is copied above `npm ci` (line 5), which reads nothing of it: a change there installs the dependencies "
        "again"
    )
    assert one.hint == "move this COPY below line 5"
    member = {"package.json": '{"workspaces": ["shop"]}', "package-lock.json": "{}", "shop/package.json": "{}"}
    local = {"package.json": '{"dependencies": {"x": "file:shop"}}', "package-lock.json": "{}"}
    script = {"package.json": '{"scripts": {"prepare": "node shop/a.js"}}', "package-lock.json": "{}"}
    for files in (member, local, script):
        assert not found(text, CODE, {**files, "shop/a.js": ""})
    assert not found(text, CODE, {**manifests, "shop/logo.bin": ""})


def test_what_a_list_of_pip_names_stays_above_it() -> None:
    text = "FROM a:1\nCOPY r.txt .\nCOPY shop shop\nRUN pip install -r r.txt"
    files = {"shop/a.py": "", "setup.py": ""}
    assert not found(text, CODE, {**files, "r.txt": "-e .\n"})
    assert not found(text, CODE, {**files, "r.txt": "./shop\n"})
    assert found(text, CODE, {**files, "r.txt": "flask\n"})


def test_vendored_gems_are_read() -> None:
    text = "FROM a:1\nCOPY Gemfile Gemfile.lock ./\nCOPY {0} {0}\nRUN bundle install"
    files = {"Gemfile": "", "Gemfile.lock": "", "lib/a.rb": "", "vendor/cache/a.gem": "", "vendor/a.rb": ""}
    assert found(text.format("vendor"), CODE, files) == []
    assert found(text.format("app"), CODE, {**files, "app/a.rb": ""})


def test_what_is_built_in_the_same_run_needs_the_folder() -> None:
    text = "FROM a:1\nCOPY package.json package-lock.json ./\nCOPY resources resources\nRUN npm ci && npm run build"
    (one,) = found(text, CODE)
    assert one.hint == "put `RUN npm ci` above this COPY"


def test_folders_above_one_install_are_told_together() -> None:
    text = "FROM a:1\nCOPY package.json yarn.lock ./\nCOPY src src\nCOPY public public\nRUN yarn --frozen-lockfile"
    (one,) = found(text, CODE)
    assert one.message.startswith("src and public are copied above `yarn --frozen-lockfile` (line 5)")
    assert one.hint == "move the COPYs of lines 3, 4 below line 5"
