"""Every cause of a rebuild: what it means, an example, and what avoids it. The table behind `explain` and its page.

`name_of` gives the one entry of any cause that `keys.decide` can give; `docs/causes.md` is written from the same table
(`tests/support/causes_page.py`).
"""

from __future__ import annotations

from lamina.explain.entry import Entry
from lamina.explain.file_causes import FILE_CAUSES
from lamina.keys.decide import MissCause
from lamina.keys.facts import ChangeKind
from lamina.keys.schema import BASE, PARENT

_ORDER_HINT = "Declare it below the steps that are slow and do not read it."


def _value(part: str, before: str, after: str) -> MissCause:
    return MissCause("changed", part, before, after)


#: In the order of the page: what happens most first.
ENTRIES: tuple[Entry, ...] = (
    *FILE_CAUSES,
    Entry(
        "first-build",
        "It was never built before",
        "This store has no result of such an instruction of this Dockerfile to compare with.",
        "FROM debian\nRUN make",
        "nothing: it is the first build",
        MissCause("first_build"),
    ),
    Entry(
        "evicted",
        "Its layer is no longer in the store",
        "It was built with just these inputs, and its layer was pruned since, or was damaged and set aside.",
        "FROM debian\nRUN make",
        "`lamina cache prune` needed the room",
        MissCause("evicted"),
        "A larger store: `lamina cache limit`, or a gentler `lamina cache prune`.",
    ),
    Entry(
        "forced",
        "The build was told not to use the cache",
        "`--no-cache`, or `--no-cache-filter` for its stage.",
        "FROM debian\nRUN make",
        "`lamina build --no-cache`",
        MissCause("forced"),
        "Leave the option out.",
    ),
    Entry(
        "order",
        "The same inputs in another order",
        "The order of variables, mounts and sources counts: the step sees it.",
        "FROM debian\nENV A=1\nENV B=2\nRUN make",
        "the two ENV lines were swapped",
        MissCause("order", before="env A env B", after="env B env A"),
        "Keep the order, or put such lines below the slow steps.",
    ),
    Entry(
        "platform",
        "The platform is another",
        "A step for linux/arm64 is another step than the same for linux/amd64; each has its own place in the cache.",
        "FROM debian\nRUN make",
        "`--platform linux/arm64`",
        _value("platform", "linux/amd64", "linux/arm64"),
    ),
    Entry(
        "user",
        "The user is another",
        "USER is an input of RUN: it decides who runs the command. The name counts as it is written.",
        "FROM debian\nUSER app\nRUN make",
        "`USER app` was added",
        _value("user", "", "app"),
        "Put USER below the steps that do not need it.",
    ),
    Entry(
        "directory",
        "The working directory is another",
        "WORKDIR decides where a command runs and which directory is made.",
        "FROM debian\nWORKDIR /app\nRUN make",
        "`/app` became `/srv`",
        _value("directory", "/app", "/srv"),
    ),
    Entry(
        "network",
        "The network is another",
        "What the step runs with: `default`, `none` or `host`, by `RUN --network` or the command's `--network`.",
        "FROM debian\nRUN make",
        "`lamina build --network none`",
        _value("network", "default", "none"),
        "Write `--network` at the RUN that needs it, and not at the command.",
    ),
    Entry(
        "security",
        "The security mode is another",
        "`RUN --security=insecure` runs with all capabilities.",
        "FROM debian\nRUN --security=insecure make",
        "`--security=insecure` was added",
        _value("security", "sandbox", "insecure"),
    ),
    Entry(
        "mount",
        "A mount is another",
        "The type, the target and the options of a `RUN --mount` count. What a cache mount holds, and the value of a "
        "secret, do not.",
        "FROM python:3.13\nRUN --mount=type=cache,target=/root/.cache pip install django",
        "the mount was added",
        MissCause("added", "mount /root/.cache", after="cache /root/.cache write 755 0:0"),
    ),
    Entry(
        "hostname",
        "The sandbox's host name is another",
        "`BUILDKIT_SANDBOX_HOSTNAME` is seen by the command.",
        "FROM debian\nARG BUILDKIT_SANDBOX_HOSTNAME=one\nRUN make",
        "`one` became `two`",
        _value("hostname", "one", "two"),
    ),
    Entry(
        "host",
        "A name of --add-host is new or gone",
        "The names count, the addresses do not.",
        "FROM debian\nRUN make",
        "`--add-host db:10.0.0.5` was given",
        MissCause("added", "host db", after="db"),
    ),
    Entry(
        "epoch",
        "SOURCE_DATE_EPOCH is offered, or not any more",
        "With `--source-date-epoch` each step is offered a time to write in place of the clock's. Whether it is "
        "counts; which time it is does not, as every commit has another (but for an ARG of that name: a variable).",
        "FROM python:3.13\nRUN pip install django",
        "`--source-date-epoch auto` was given",
        MissCause("added", "epoch", after="offered"),
        'Say it once for all builds, in lamina.toml: `source-date-epoch = "auto"`.',
    ),
    Entry(
        "times",
        "The build is reproducible, or not any more",
        "In a reproducible build no file of a layer is later than a fixed time, which counts: the layers of other "
        "builds are of no use to it, nor its own to them.",
        "FROM debian\nCOPY . .",
        "`--reproducible` was given",
        MissCause("added", "times", after="315619200"),
        "Say it once for all builds, in lamina.toml: `reproducible = true`.",
    ),
    Entry(
        "destination",
        "The destination is another",
        "Where a COPY or ADD puts its files; a slash at the end counts.",
        "FROM scratch\nCOPY app.py /srv/",
        "`/srv/` became `/app/`",
        _value("destination", "/srv/", "/app/"),
    ),
    Entry(
        "owner",
        "The owner to be given is another",
        "`--chown` of a COPY or ADD; for WORKDIR the USER, who owns the new directory.",
        "FROM debian\nCOPY --chown=app . /app",
        "`--chown=app` was added",
        _value("owner", "", "app"),
    ),
    Entry(
        "mode",
        "The mode to be given is another",
        "`--chmod` of a COPY or ADD.",
        "FROM debian\nCOPY --chmod=755 run.sh /",
        "`--chmod=755` was added",
        _value("mode", "", "755"),
    ),
    Entry(
        "unpack",
        "Archives are unpacked, or not any more",
        "ADD unpacks local archives, COPY does not; `--unpack` says so for either.",
        "FROM scratch\nADD site.tar.gz /",
        "COPY became ADD",
        _value("unpack", "", "yes"),
    ),
    Entry(
        "link",
        "--link is new or gone",
        "A linked copy stands on nothing, so its key has no parent.",
        "FROM debian\nCOPY --link . /app",
        "`--link` was added",
        MissCause("added", "link", after="yes"),
    ),
    Entry(
        "parents",
        "--parents is new or gone",
        "With it a file lands below the directories that its source names.",
        "FROM scratch\nCOPY --parents src/a.py /",
        "`--parents` was added",
        MissCause("added", "parents", after="yes"),
    ),
    Entry(
        "tree",
        "A source is a repository, or not any more",
        "The files of a git repository land below the destination.",
        "FROM scratch\nADD https://example.com/tool.git /tool",
        "an address of a file became that of a repository",
        MissCause("added", "tree 1", after="yes"),
    ),
    Entry(
        "other-input",
        "Another input differs",
        "An input that this page does not tell apart; `lamina explain` shows its name and values.",
        "FROM debian\nRUN make",
        "a build by another version of lamina, whose steps have more inputs",
        _value("something", "1", "2"),
    ),
)

BY_NAME: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}

_KINDS = {
    "first_build": "first-build",
    "evicted": "evicted",
    "forced": "forced",
    "order": "order",
    "parent": "step-above",
}
_FAMILIES = {
    PARENT: "below",
    BASE: "base-image",
    "env": "variable",
    **{
        name: name
        for name in ("command", "script", "platform", "user", "directory", "network", "security", "mount", "hostname")
    },
    **{
        name: name
        for name in ("host", "epoch", "times", "destination", "owner", "mode", "unpack", "link", "parents", "tree")
    },
}
_CHANGES: dict[ChangeKind, str] = {
    "content": "file-content",
    "added": "file-added",
    "removed": "file-removed",
    "type": "file-type",
    "target": "file-target",
    "line-ends": "line-ends",
    "mode": "file-mode",
    "owner": "file-owner",
    "xattrs": "file-xattrs",
}


def name_of(cause: MissCause) -> str:
    """The name of a cause's entry; every cause has one."""
    if cause.look is not None:
        return f"observed-{cause.look.kind}"
    if cause.kind in _KINDS:
        return _KINDS[cause.kind]
    family = cause.part.partition(" ")[0]
    if family == "source":
        if cause.kind != "changed":
            return "sources"
        if cause.sole == "git":
            return "git"
        return _CHANGES[cause.files[0].kind] if cause.files else "files"
    return _FAMILIES.get(family, "other-input")


def entry_of(cause: MissCause) -> Entry:
    """A cause's entry."""
    return BY_NAME[name_of(cause)]
