"""The causes that are about files, and about what stands above and below: the first half of the table."""

from __future__ import annotations

from lamina.explain.entry import Entry
from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange, Sole
from lamina.keys.looks import Look, LookKind
from lamina.keys.schema import BASE, PARENT

_ORDER_HINT = "Declare it below the steps that are slow and do not read it."
_COPY = "FROM python:3.13\nCOPY . /app\nRUN pip install -r /app/requirements.txt"


def _files(change: FileChange, sole: Sole = "") -> MissCause:
    return MissCause("changed", "source .", "sha256:1…", "sha256:2…", (change,), total=1, sole=sole)


def _look(path: str, kind: LookKind) -> MissCause:
    return MissCause("parent", PARENT, origin="stage-0/2", look=Look(path, kind))


def _value(part: str, before: str, after: str) -> MissCause:
    return MissCause("changed", part, before, after)


#: In the order of the page: what happens most first.
FILE_CAUSES: tuple[Entry, ...] = (
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
)
