"""The projects that are edited. Their steps show in the image all that they see, so that a stale result shows."""

from __future__ import annotations

import io
import tarfile

from tests.truth.state import State, tree

#: Writes name, type, mode, owner, content and target of everything below a directory.
_SHOW = (
    'find {0} | sort | while read -r p; do stat -c "%n %F %a %u %g" "$p"; '
    'if [ -h "$p" ]; then readlink "$p"; elif [ -f "$p" ]; then md5sum < "$p"; fi; done > {1}'
)


def show(folder: str, report: str) -> str:
    return _SHOW.format(folder, report)


_PYTHON: dict[str, str | bytes] = {
    "requirements.txt": "flask==2\nredis==5\n# tools\npytest==8\n",
    "src/app.py": "import flask\nimport redis\n\nprint(flask)\n",
    "src/util.py": "def f():\n    return 1\n",
    "docs/index.md": "# Shop\n\nText.\n",
    "setup.cfg": "[shop]\nname = shop\n",
}
_INSTALL = "RUN grep -v '^#' requirements.txt | sort > /installed"


def bad_order() -> State:
    """The lesson's bad order: everything is copied before anything is installed; `.git` comes along."""
    lines = (
        "FROM base",
        "WORKDIR /app",
        "COPY . .",
        _INSTALL,
        "RUN cat src/*.py > /built || :",
        f"RUN {show('/app', '/seen')}",
        'CMD ["sh", "-c", "cat /built"]',
    )
    git: dict[str, str | bytes] = {
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/index": b"DIRC\0\0\0\2",
        ".git/refs/main": "0123456789\n",
    }
    return State(lines, tree({**_PYTHON, **git}))


def good_order() -> State:
    """The good order, with early cutoff behind the installation."""
    lines = (
        "# syntax=docker/dockerfile:1",
        "FROM base",
        "LABEL org.shop=1",
        "WORKDIR /app",
        "COPY requirements.txt .",
        _INSTALL,
        "RUN wc -l < /installed > /count",
        "COPY src src",
        f"RUN {show('/app', '/seen')}",
        "COPY docs/index.md setup.cfg /docs/",
        "EXPOSE 80",
        'CMD ["sh"]',
    )
    return State(lines, tree(_PYTHON))


def stages() -> State:
    """Three stages and one that nobody needs; files go from stage to stage."""
    lines = (
        "FROM base AS tools",
        "COPY tools /tools",
        "RUN cat /tools/* | grep -v '^#' > /tool || :",
        "FROM base AS deps",
        "COPY requirements.txt /r",
        "RUN sort /r > /installed && mkdir /lib && cp /r /lib/r && ln -s r /lib/link",
        "FROM tools AS tested",
        "RUN wc -c < /tool > /size",
        "FROM base AS unused",
        "COPY docs /docs",
        "RUN cat /docs/* > /all",
        "FROM base",
        "COPY --from=tools /tool /bin/tool",
        "COPY --from=deps /lib /usr/lib/",
        "COPY --from=tested --chown=3:4 /size /size",
        "COPY src /src",
        f"RUN cat /bin/tool /size > /both; {show('/src', '/seen')}",
        "LABEL stage=last",
    )
    return State(lines, tree({**_PYTHON, "tools/a.sh": "echo a\n# a remark\n", "tools/b.sh": "echo b\n"}))


def binds() -> State:
    """Files that are mounted, not copied."""
    lines = (
        "FROM base AS made",
        "COPY docs /m",
        "RUN echo made >> /m/index.md",
        "FROM base",
        f"RUN --mount=type=bind,source=src,target=/src {show('/src', '/seen')}",
        "RUN --mount=type=bind,source=requirements.txt,target=/r grep -v '^#' /r > /installed || :",
        "RUN --mount=type=bind,from=made,source=/m,target=/m cat /m/* > /docs || :",
        "RUN --mount=type=bind,source=setup.cfg,target=/s --mount=type=cache,target=/c cat /s > /cfg",
        f"RUN --mount=target=/ctx {show('/ctx/src', '/again')}; ls -A /ctx > /names",
        "RUN --mount=type=tmpfs,target=/t echo x > /t/x; ls /t > /tmpfs",
    )
    return State(lines, tree(_PYTHON))


def variables() -> State:
    """Arguments and variables in every place where they count."""
    lines = (
        "ARG VERSION=1",
        "ARG IMAGE=base",
        "FROM ${IMAGE} AS first",
        "ARG VERSION",
        "ARG UNUSED=nothing",
        "ENV MODE=fast LEVEL=$VERSION",
        "RUN env | sort > /environment",
        "WORKDIR /opt/$VERSION",
        "COPY src/${FILE:-app.py} app-$VERSION.py",
        "FROM first",
        "ARG LATE=dark",
        "ENV FROM_ARG=${LATE}x",
        "RUN env | grep -v UNUSED | sort > /later; pwd > /where",
        "FROM base",
        "ARG OTHER=o",
        "COPY --from=1 /later /where /environment /",
        'RUN echo "$OTHER $VERSION" > /other',
        'ENV MODE="quite slow"',
        "LABEL version=$OTHER",
        "RUN env | sort > /last",
    )
    return State(lines, tree(_PYTHON), {"LATE": "bright"})


def allow_list() -> State:
    """An ignore file that lets in two names, and hides one path again."""
    lines = (
        "FROM base AS made",
        "RUN mkdir /made && echo 1 > /made/app.py && echo 2 > /made/hidden",
        "COPY src /made/src",
        "FROM base",
        "COPY . /all",
        "COPY src /source",
        "COPY --from=made /made /made",
        f"RUN {show('/all /source /made', '/seen')}",
    )
    files: dict[str, str | bytes] = {
        **_PYTHON,
        "src/out.tmp": "t\n",
        "src/deep/cache/x.bin": b"\0\1\2",
        "noise/log": "l\n",
    }
    return State(lines, tree(files), allowed=("src", "setup.cfg"), hidden=("src/out.tmp", "src/deep/cache"))


def flags() -> State:
    """The flags of COPY."""
    lines = (
        "FROM base",
        "COPY --chmod=755 bin /opt/bin/",
        "COPY --chown=5:6 docs /docs",
        "COPY --chown=nobody --chmod=0640 setup.cfg /etc/setup.cfg",
        "COPY --chmod=u+x,g-r src/app.py /app.py",
        "COPY --parents src/*.py docs /p/",
        "COPY --exclude=**/*.md --exclude=**/*.txt . /rest",
        "COPY --link requirements.txt /r",
        "RUN sort /r > /sorted",
        "COPY --link --chmod=600 docs/index.md /linked/",
        "USER nobody",
        "WORKDIR /home/nobody",
        "COPY src/util.py .",
        "USER root",
        f"RUN {show('/opt /docs /app.py /etc/setup.cfg /p /rest /linked /home', '/seen')}",
    )
    return State(lines, tree({**_PYTHON, "bin/run": "#!/bin/sh\n", "bin/stop": "#!/bin/sh\nexit\n"}))


def wildcards() -> State:
    """Patterns: what they match is what counts."""
    lines = (
        "FROM base",
        "COPY *.txt *.cfg /texts/",
        "COPY src/?.py /q/",
        "COPY part*/data /parts/",
        "COPY src/[a-m]*.py docs/*.md /some/",
        f"RUN {show('/texts /q /parts /some', '/seen')}",
    )
    more = {"src/a.py": "a\n", "src/b.py": "b\n", "part1/data": "1\n", "part2/other": "2\n", "notes.txt": "n\n"}
    return State(lines, tree({**_PYTHON, **more}))


def links() -> State:
    """Links in what is copied: to files, to directories, to nothing."""
    lines = (
        "FROM base",
        "COPY . /all",
        "COPY src /src",
        "RUN cat /all/current > /current; cat /src/alias > /alias || :",
        f"RUN {show('/all /src', '/seen')}",
    )
    targets = {
        "current": "setup.cfg",
        "src/alias": "app.py",
        "latest": "docs",
        "broken": "nowhere",
        "src/up": "../docs",
    }
    return State(lines, tree(_PYTHON, links=targets, folders=("empty",)))


def heredocs() -> State:
    """Texts in the Dockerfile itself."""
    lines = (
        "FROM base",
        "ARG NAME=shop",
        "COPY <<EOF /etc/shop.conf\nname=$NAME\nport=80\nEOF",
        "COPY <<'EOF' <<two /files/\nliteral $NAME\nEOF\nsecond ${NAME}\ntwo",
        "RUN <<EOF\ncat /etc/shop.conf > /conf\necho $NAME >> /conf\nEOF",
        "RUN <<EOF\n#!/bin/sh\necho script > /script\nls /files >> /script\nEOF",
        "COPY src/app.py /app.py",
        "RUN cat > /cat <<EOF\ntext $NAME\nEOF",
        f"RUN {show('/etc /files /app.py', '/seen')}",
    )
    return State(lines, tree(_PYTHON))


def secrets() -> State:
    """A secret that a step uses without leaving anything of it."""
    lines = (
        "FROM base",
        "RUN --mount=type=secret,id=token test -s /run/secrets/token && echo used > /used",
        "COPY requirements.txt /r",
        'RUN --mount=type=secret,id=token,env=TOKEN test -n "$TOKEN" && sort /r > /sorted',
        'SHELL ["/bin/sh", "-ec"]',
        "COPY src /src",
        f"RUN {show('/src', '/seen')}",
        "HEALTHCHECK CMD true",
    )
    return State(lines, tree(_PYTHON))


def archives() -> State:
    """An archive that is unpacked, and a copy of the same file that is not."""
    lines = (
        "FROM base",
        "ADD data.tar /data",
        "COPY data.tar /kept/",
        "ADD src/app.py /data/",
        f"RUN {show('/data /kept', '/seen')}",
        "VOLUME /data",
    )
    return State(lines, tree({**_PYTHON, "data.tar": archive("one\n")}))


def archive(text: str) -> bytes:
    """A tar of a directory and a file with this text."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        folder = tarfile.TarInfo("inside")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o750
        made.addfile(folder)
        member = tarfile.TarInfo("inside/text")
        member.size, member.uid = len(text), 7
        made.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def git_modes() -> State:
    """A project for which only those modes count that git knows."""
    bad = bad_order()
    config: dict[str, str | bytes] = {"lamina.toml": 'modes = "git"\n', "run.sh": "#!/bin/sh\n"}
    lines = (
        *bad.lines,
        "COPY --parents src/*.py docs /p/",
        "RUN --mount=target=/c stat -c %a /c/src /c/src/* > /modes",
    )
    return State(lines, dict(sorted({**bad.tree, **tree(config)}.items())))


SHAPES = (
    bad_order,
    good_order,
    stages,
    binds,
    variables,
    allow_list,
    flags,
    wildcards,
    links,
    heredocs,
    secrets,
    archives,
    git_modes,
)
