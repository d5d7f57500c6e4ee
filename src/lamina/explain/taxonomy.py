"""Every cause of a rebuild: what it means, an example, and what avoids it. The table behind `explain` and its page.

`name_of` gives the one entry of any cause that `keys.decide` can give; `docs/causes.md` is written from the same table
(`tests/support/causes_page.py`).
"""

from __future__ import annotations

from msgspec import Struct

from lamina.keys.decide import MissCause
from lamina.keys.facts import ChangeKind, FileChange, Sole
from lamina.keys.looks import Look, LookKind
from lamina.keys.schema import BASE, PARENT


class Entry(Struct, frozen=True):
    """One cause. `cause` is what lamina finds in the example, whose lines are `dockerfile`; `edit` says what was done
    between two builds. `cure` is what would have avoided it, one sentence or two, empty where nothing should."""

    name: str
    title: str
    meaning: str
    dockerfile: str
    edit: str
    cause: MissCause
    cure: str = ""


_ORDER_HINT = "Declare it below the steps that are slow and do not read it."
_COPY = "FROM python:3.13\nCOPY . /app\nRUN pip install -r /app/requirements.txt"


def _files(change: FileChange, sole: Sole = "") -> MissCause:
    return MissCause("changed", "source .", "sha256:1…", "sha256:2…", (change,), total=1, sole=sole)


def _look(path: str, kind: LookKind) -> MissCause:
    return MissCause("parent", PARENT, origin="stage-0/2", look=Look(path, kind))


def _value(part: str, before: str, after: str) -> MissCause:
    return MissCause("changed", part, before, after)


#: In the order of the page: what happens most first.
ENTRIES: tuple[Entry, ...] = (
    Entry(
        "file-content",
        "A copied file has another content",
        "A COPY, an ADD or a bind mount selects a file whose bytes are not those of the last time. Its time does not "
        "count. Where both contents are known and are text, the lines are told.",
        _COPY,
        "one line of `app.py` was changed",
        _files(FileChange("app.py", "content", "1…", "2…", ((12, 12),))),
        "Copy only the files that a slow step needs before it, and the rest below it; keep out of the context, by the "
        "ignore file, what the image does not need.",
    ),
    Entry(
        "file-added",
        "A copied directory has a new file",
        "A file, link or directory is there that was not. Often it was made by a tool: a log, a cache, a test report.",
        _COPY,
        "`notes.log` was made by a test run",
        _files(FileChange("notes.log", "added", "", "file")),
        "Add an ignore line for what the image does not need; `lamina context du` suggests some.",
    ),
    Entry(
        "file-removed",
        "A copied directory has lost a file",
        "A file, link or directory is gone. A renamed one is told as one that is gone and one that is new.",
        _COPY,
        "`old.py` was deleted",
        _files(FileChange("old.py", "removed", "file", "")),
        "Copy only the files that a slow step needs before it, and the rest below it.",
    ),
    Entry(
        "file-type",
        "A path is of another type",
        "What was a file is a directory, a link or the like.",
        _COPY,
        "the directory `data` was put elsewhere, with a link in its place",
        _files(FileChange("data", "type", "dir", "link")),
    ),
    Entry(
        "file-target",
        "A symbolic link points elsewhere",
        "Links are copied as links: where they point to counts, what lies there does not.",
        _COPY,
        "`current` was made to point to the next version",
        _files(FileChange("current", "target", "v1", "v2")),
    ),
    Entry(
        "file-mode",
        "Only file modes differ",
        "The contents are the same, and permission bits are not. Two checkouts of one commit differ so when they were "
        "made with another umask (002 and 022), on a file system without modes, or by another user.",
        _COPY,
        "the repository was checked out anew with `umask 002`",
        _files(FileChange("app.py", "mode", "0644", "0664"), "mode"),
        '`modes = "git"` in lamina.toml, or `--modes git`: like git, that knows the executable bit and nothing else. '
        "Or `COPY --chmod=`, under which the modes of the sources do not count.",
    ),
    Entry(
        "file-owner",
        "Only file owners differ",
        "The contents are the same, and the owners are not. Owners count for `COPY --from` and for mounts from stages "
        "and images alone: files of the build context become 0:0.",
        "FROM builder AS made\nRUN make && chown -R $BUILDER /out\nFROM scratch\nCOPY --from=made /out /",
        "`$BUILDER` is another user",
        MissCause(
            "changed",
            "source /out",
            "sha256:1…",
            "sha256:2…",
            (FileChange("bin/tool", "owner", "1000:1000", "1001:1001"),),
            total=1,
            sole="owner",
        ),
        "`COPY --chown=0:0` (or any other fixed owner), under which the owners of the sources do not count.",
    ),
    Entry(
        "line-ends",
        "Only line ends differ",
        "The text is the same, with CRLF here and LF there: git was told to convert line ends at one checkout and not "
        "at the other.",
        _COPY,
        "the repository was checked out with `core.autocrlf = true`",
        _files(FileChange("run.sh", "line-ends", "1…", "2…"), "line-ends"),
        "`* text=auto eol=lf` in .gitattributes, then `git add --renormalize .`: every checkout has LF.",
    ),
    Entry(
        "git",
        "Only files of .git differ",
        "The copy takes the history with it, which changes with every commit, fetch and checkout.",
        _COPY,
        "an empty commit was made",
        _files(FileChange(".git/HEAD", "content", "1…", "2…"), "git"),
        "An ignore line: `.git`. A step that needs the commit gets it as an ARG that is declared late.",
    ),
    Entry(
        "file-xattrs",
        "Extended attributes differ",
        "An attribute that is copied (`user.*`, or `security.capability`) has another value, is new or is gone.",
        _COPY,
        "`setcap` was run on a file",
        _files(FileChange("ping", "xattrs", "", "security.capability")),
    ),
    Entry(
        "files",
        "The files are different",
        "The digest of the files is another, and the list that told which they were is not in the store any more.",
        _COPY,
        "files were changed, and the store was pruned in between",
        MissCause("changed", "source .", "sha256:1…", "sha256:2…"),
    ),
    Entry(
        "sources",
        "The instruction has a source more or less",
        "A COPY or ADD lists another number of sources, or a RUN mounts from more or fewer places.",
        "FROM scratch\nCOPY a.txt b.txt /",
        "`b.txt` was added to the instruction",
        MissCause("added", "source b.txt", after="sha256:2…"),
    ),
    Entry(
        "command",
        "The command is different",
        "The text of a RUN, heredocs included, or the SHELL that it is given to. Comments and line breaks between "
        "instructions do not count; those within the command do, as the shell sees them.",
        "FROM debian\nRUN apt-get update && apt-get install -y curl",
        "`git` was added to the packages",
        _value(
            "command", '["/bin/sh","-c","apt-get install -y curl"]', '["/bin/sh","-c","apt-get install -y curl git"]'
        ),
        "Put what changes often into a step of its own, below the slow one.",
    ),
    Entry(
        "script",
        "The script is different",
        "A heredoc that begins with `#!` is run as a program of its own, and its text counts.",
        "FROM debian\nRUN <<EOF\n#!/usr/bin/env bash\necho one\nEOF",
        "`echo one` became `echo two`",
        _value("script", "#!/usr/bin/env bash\necho one\n", "#!/usr/bin/env bash\necho two\n"),
    ),
    Entry(
        "variable",
        "A variable has another value, is new or is gone",
        "Every ENV, and every ARG that is declared above and has a value, is an input of each RUN below it, whether "
        "the command reads it or not: any program may.",
        "FROM python:3.13\nARG COMMIT\nRUN pip install django\nLABEL commit=$COMMIT",
        "`--build-arg COMMIT=` was given another commit",
        _value("env COMMIT", "3f2a…", "9b1c…"),
        _ORDER_HINT,
    ),
    Entry(
        "base-image",
        "The base image is another",
        "The name in FROM means another image than the last time: the tag was moved, and `--pull` or a pull fetched "
        "it, or the FROM was edited. The digest counts, never the name.",
        "FROM python:3.13\nRUN pip install django",
        "`python:3.13` was published anew",
        _value(BASE, "sha256:1…", "sha256:2…"),
        "Pin the image by its digest (`FROM python:3.13@sha256:…`) and choose when it changes.",
    ),
    Entry(
        "below",
        "What lies below is another",
        "The step itself is as before; the instruction or image that it stands on is not, or came out differently when "
        "it ran in another build (a step that is not repeatable: a date, a download).",
        "FROM debian\nWORKDIR /src\nRUN make",
        "`WORKDIR /src` was put above `RUN make`",
        _value(PARENT, "sha256:1…", "sha256:2…"),
        "Put new instructions below the slow ones. `lamina cache verify --steps` finds steps that are not repeatable.",
    ),
    Entry(
        "step-above",
        "A step above it ran",
        "Nothing of its own changed: it stands on files that were made anew. If they had come out the same, it would "
        "have been cached (early cutoff).",
        "FROM python:3.13\nCOPY . /app\nRUN pip install -r /app/requirements.txt",
        "a file of the COPY was changed; the RUN is dragged along",
        MissCause("parent", PARENT, origin="stage-0/2"),
        "Put slow steps above those that change often.",
    ),
    Entry(
        "observed-read",
        "It read a file that is different",
        "The step was observed (`--observe`): it looked at copied files, and one that it read has another content.",
        _COPY,
        "a dependency was added to `requirements.txt`",
        _look("app/requirements.txt", "read"),
    ),
    Entry(
        "observed-list",
        "It listed a directory where names changed",
        "The step was observed (`--observe`), and a directory that it listed has a new entry, has lost one, or has one "
        "of another type. Listing is what `ls`, `find`, patterns (`*.py`) and Python's imports do.",
        "FROM python:3.13\nCOPY . /app\nRUN python -m compileall /app/shop",
        "`shop/new.py` was added",
        _look("app/shop", "list"),
        "Name the files instead of a pattern; or keep what comes and goes in a directory that the step does not list.",
    ),
    Entry(
        "observed-entry",
        "It looked at a path that is otherwise",
        "The step was observed (`--observe`), and a path that it asked for by name is there now and was not, is gone, "
        "or has another type, mode, owner, size or time.",
        "FROM python:3.13\nCOPY . /app\nRUN if [ -e /app/setup.py ]; then pip install /app; fi",
        "`setup.py` was added",
        _look("app/setup.py", "entry"),
    ),
    Entry(
        "observed-link",
        "It followed a link that points elsewhere",
        "The step was observed (`--observe`), and a symbolic link that it followed or read has another target.",
        "FROM debian\nCOPY . /app\nRUN make -C /app/current",
        "`current` was made to point to the next version",
        _look("app/current", "link"),
    ),
    Entry(
        "observed-xattrs",
        "It looked at extended attributes that differ",
        "The step was observed (`--observe`), and a path has other extended attributes than those that it asked for.",
        "FROM debian\nCOPY . /app\nRUN getcap -r /app",
        "`setcap` was run on a file",
        _look("app/ping", "xattrs"),
    ),
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
    **{name: name for name in ("host", "epoch", "destination", "owner", "mode", "unpack", "link", "parents", "tree")},
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
