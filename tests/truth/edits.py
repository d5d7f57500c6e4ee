"""Random edits of a state. Each gives the state after it, or None where it does not apply."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import NamedTuple

from tests.truth.shapes import archive
from tests.truth.state import Entry, How, State, with_parents


class Edited(NamedTuple):
    """`what` is for people; `how` as in `state.put`."""

    what: str
    state: State
    how: How = "in place"


#: Files that are not edited line by line.
_WHOLE = ("data.tar", "lamina.toml")

Edit = Callable[[State, Random], Edited | None]

#: Steps and patterns name these, so they are neither deleted nor renamed.
_NAMED = ("requirements.txt", "src/app.py", "src/util.py", "docs/index.md", "setup.cfg", "data.tar", "lamina.toml")


def _files(state: State, *, free: bool = False) -> list[str]:
    return [
        path
        for path, entry in state.tree.items()
        if entry.kind == "file" and path not in _WHOLE and not (free and path in _NAMED)
    ]


def _folders(state: State) -> list[str]:
    return [path for path, entry in state.tree.items() if entry.kind == "dir"]


def _changed(state: State, random: Random) -> tuple[str, Entry, bytes]:
    """A file with one line, somewhere, replaced."""
    path = random.choice(_files(state))
    entry = state.tree[path]
    lines = entry.data.splitlines(keepends=True) or [b"\n"]
    lines[random.randrange(len(lines))] = b"changed %d\n" % random.randrange(1000)
    return path, entry, b"".join(lines)


def content(state: State, random: Random) -> Edited:
    path, entry, data = _changed(state, random)
    return Edited(f"content of {path}", state.with_tree({path: replace(entry, data=data)}))


def line_inserted(state: State, random: Random) -> Edited:
    path = random.choice(_files(state))
    entry = state.tree[path]
    lines = entry.data.splitlines(keepends=True)
    lines.insert(random.randint(0, len(lines)), b"more %d\n" % random.randrange(1000))
    return Edited(f"a line more in {path}", state.with_tree({path: replace(entry, data=b"".join(lines))}))


def line_deleted(state: State, random: Random) -> Edited:
    path = random.choice(_files(state))
    entry = state.tree[path]
    lines = entry.data.splitlines(keepends=True) or [b""]
    del lines[random.randrange(len(lines))]
    return Edited(f"a line less in {path}", state.with_tree({path: replace(entry, data=b"".join(lines))}))


def comment(state: State, random: Random) -> Edited:
    """What the installation does not care about."""
    path = random.choice([path for path in ("requirements.txt", "tools/a.sh") if path in state.tree])
    entry = state.tree[path]
    data = b"# %d\n" % random.randrange(1000) + entry.data
    return Edited(f"a comment in {path}", state.with_tree({path: replace(entry, data=data)}))


def same_size_and_mtime(state: State, random: Random) -> Edited | None:
    path = random.choice(_files(state))
    entry = state.tree[path]
    if not entry.data.rstrip():
        return None
    data = bytes([entry.data[0] ^ 1]) + entry.data[1:]
    return Edited(f"content of {path}, not its size and mtime", state.with_tree({path: replace(entry, data=data)}),
                  "same times")  # fmt: skip


def replaced(state: State, random: Random) -> Edited:
    path, entry, data = _changed(state, random)
    return Edited(f"another file in the place of {path}", state.with_tree({path: replace(entry, data=data)}), "anew")


def swapped(state: State, random: Random) -> Edited | None:
    one, other = random.choice(_files(state)), random.choice(_files(state))
    if state.tree[one].data == state.tree[other].data:
        return None
    return Edited(f"{one} and {other} swapped", state.with_tree({one: state.tree[other], other: state.tree[one]}))


def line_ends(state: State, random: Random) -> Edited:
    path = random.choice(_files(state))
    entry = state.tree[path]
    unix = entry.data.replace(b"\r\n", b"\n")
    data = unix if unix != entry.data else unix.replace(b"\n", b"\r\n")
    return Edited(f"line ends of {path}", state.with_tree({path: replace(entry, data=data)}))


def mode(state: State, random: Random) -> Edited:
    path = random.choice(_files(state))
    entry = state.tree[path]
    bits = random.choice([0o600, 0o640, 0o644, 0o755, 0o444, 0o777])
    return Edited(f"mode of {path}", state.with_tree({path: replace(entry, mode=bits)}))


def folder_mode(state: State, random: Random) -> Edited:
    path = random.choice(_folders(state))
    bits = random.choice([0o700, 0o750, 0o755, 0o775, 0o777])
    return Edited(f"mode of {path}/", state.with_tree({path: replace(state.tree[path], mode=bits)}))


def umask(state: State, random: Random) -> Edited:
    """The same checkout under another umask."""
    mask = random.choice([0o002, 0o022, 0o027, 0o077])
    changes = {
        path: replace(entry, mode=(0o777 if entry.kind == "dir" or entry.mode & 0o100 else 0o666) & ~mask)
        for path, entry in state.tree.items()
        if entry.kind != "link"
    }
    return Edited(f"umask {mask:03o}", state.with_tree(changes))


def added(state: State, random: Random) -> Edited:
    folder = random.choice(["", *(f"{path}/" for path in _folders(state))])
    path = f"{folder}{random.choice(['new', 'aaa', 'zzz', 'n'])}{random.choice(['.py', '.txt', '.md', ''])}"
    entry = Entry("file", random.choice([b"", b"new\n", b"\0\1\n"]), random.choice([0o644, 0o755]))
    return Edited(f"{path} is new", state.with_tree({path: entry}))


def added_folder(state: State, random: Random) -> Edited:
    path = f"{random.choice(_folders(state))}/folder{random.randrange(3)}"
    return Edited(f"{path}/ is new", state.with_tree(with_parents({path: Entry("dir", mode=0o755)})))


def deleted(state: State, random: Random) -> Edited | None:
    free = _files(state, free=True)
    if not free:
        return None
    path = random.choice(free)
    siblings = [one for one in state.tree if one.rpartition("/")[0] == path.rpartition("/")[0]]
    return Edited(f"{path} is gone", state.with_tree({path: None})) if len(siblings) > 1 else None


def renamed(state: State, random: Random) -> Edited | None:
    free = _files(state, free=True)
    if not free:
        return None
    path = random.choice(free)
    folder, _, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    other = f"{folder}/{stem}{random.choice('xyz')}{dot}{ending}".lstrip("/")
    return Edited(f"{path} becomes {other}", state.with_tree({path: None, other: state.tree[path]}))


def moved(state: State, random: Random) -> Edited | None:
    free = _files(state, free=True)
    if not free:
        return None
    path = random.choice(free)
    other = f"{random.choice(_folders(state))}/{path.rpartition('/')[2]}"
    siblings = [one for one in state.tree if one.rpartition("/")[0] == path.rpartition("/")[0]]
    if other in state.tree or len(siblings) < 2:
        return None
    return Edited(f"{path} goes to {other}", state.with_tree({path: None, other: state.tree[path]}))


def retyped(state: State, random: Random) -> Edited | None:
    """A file becomes a link to another, or a link a file."""
    links = [path for path, entry in state.tree.items() if entry.kind == "link"]
    if links and random.random() < 0.5:
        path = random.choice(links)
        return Edited(f"{path} becomes a file", state.with_tree({path: Entry("file", b"was a link\n")}))
    free = _files(state, free=True)
    if not free:
        return None
    path = random.choice(free)
    return Edited(f"{path} becomes a link", state.with_tree({path: Entry("link", b"../setup.cfg", 0o777)}))


def target(state: State, random: Random) -> Edited | None:
    links = [path for path, entry in state.tree.items() if entry.kind == "link"]
    if not links:
        return None
    path = random.choice(links)
    entry = Entry("link", random.choice([b"setup.cfg", b"app.py", b"util.py", b"docs", b"none"]), 0o777)
    return Edited(f"target of {path}", state.with_tree({path: entry}))


def hidden_file(state: State, random: Random) -> Edited | None:
    """A change that the ignore file keeps from all steps."""
    if state.hidden and random.random() < 0.5:
        path = f"{state.hidden[-1]}"
        old = state.tree.get(path)
        path, old = (f"{path}/more", None) if old is not None and old.kind == "dir" else (path, old)
    elif state.allowed:
        path, old = f"noise/{random.choice('abc')}", None
    else:
        return None
    entry = Entry("file", b"%d\n" % random.randrange(1000))
    return Edited(f"ignored {path}", state.with_tree(with_parents({path: entry}) if old is None else {path: entry}))


def rule(state: State, random: Random) -> Edited | None:
    """One path more in the ignore file."""
    free = [path for path in _files(state, free=True) if path not in state.hidden]
    if not free:
        return None
    path = random.choice(free)
    if sum(one.rpartition("/")[0] == path.rpartition("/")[0] for one in state.visible()) < 2:
        return None
    return Edited(f"{path} in .dockerignore", replace(state, hidden=(*state.hidden, path)))


def remark(state: State, random: Random) -> Edited:
    return Edited("a comment in .dockerignore", replace(state, remark=f" {random.randrange(1000)}"))


def repacked(state: State, random: Random) -> Edited | None:
    if "data.tar" not in state.tree:
        return None
    entry = replace(state.tree["data.tar"], data=archive(f"{random.randrange(1000)}\n"))
    return Edited("what data.tar holds", state.with_tree({"data.tar": entry}))


# --- the Dockerfile, and what goes with it ---------------------------------------------------------------------------
def _numbers(state: State, pattern: str) -> list[int]:
    return [number for number, line in enumerate(state.lines) if re.match(pattern, line)]


def _inserted(state: State, random: Random, text: str) -> State:
    first = _numbers(state, "FROM")[0]
    number = random.randint(first + 1, len(state.lines))
    return replace(state, lines=(*state.lines[:number], text, *state.lines[number:]))


def dockerfile_comment(state: State, random: Random) -> Edited:
    return Edited("a comment in the Dockerfile", _inserted(state, random, f"# remark {random.randrange(1000)}"))


def metadata_line(state: State, random: Random) -> Edited:
    text = random.choice(["LABEL more={0}", "EXPOSE {0}", 'CMD ["echo", "{0}"]', "STOPSIGNAL SIGINT", "VOLUME /v{0}"])
    text = text.replace("{0}", str(random.randrange(1, 1000)))
    return Edited(f"{text} put in", _inserted(state, random, text))


def step_inserted(state: State, random: Random) -> Edited:
    number = random.randrange(1000)
    text = random.choice([f"RUN echo {number} > /put-in", f"WORKDIR /put/in/{number}/../..", "COPY setup.cfg /put-in"])
    return Edited(f"{text} put in", _inserted(state, random, text))


def variable_inserted(state: State, random: Random) -> Edited:
    text = random.choice(["ENV PUT_IN={0}", "ARG PUT_IN={0}", "ENV MODE={0}"]).replace(
        "{0}", str(random.randrange(1000))
    )
    return Edited(f"{text} put in", _inserted(state, random, text))


def step_dropped(state: State, random: Random) -> Edited | None:
    numbers = _numbers(state, r"RUN echo|COPY setup.cfg|ENV PUT|ARG PUT|RUN wc -l|RUN env \| sort > /env|LABEL|CMD")
    if not numbers:
        return None
    number = random.choice(numbers)
    lines = (*state.lines[:number], *state.lines[number + 1 :])
    return Edited(f"without {state.lines[number]}", replace(state, lines=lines))


def lines_swapped(state: State, random: Random) -> Edited | None:
    """Two steps that do not need each other change places."""
    pairs = [
        number
        for number, (one, other) in enumerate(zip(state.lines, state.lines[1:], strict=False))
        if {one.split()[0], other.split()[0]} <= {"COPY", "ADD", "LABEL", "ENV", "EXPOSE"} and one != other
    ]
    if not pairs:
        return None
    number = random.choice(pairs)
    one, other = state.lines[number : number + 2]
    lines = (*state.lines[:number], other, one, *state.lines[number + 2 :])
    return Edited(f"{one!r} and {other!r} swapped", replace(state, lines=lines))


def command(state: State, random: Random) -> Edited | None:
    numbers = [number for number in _numbers(state, "RUN") if "<<" not in state.lines[number]]
    if not numbers:
        return None
    number = random.choice(numbers)
    text = re.sub(r"( && : \d+)?$", f" && : {random.randrange(1000)}", state.lines[number])
    return Edited(f"the command {text}", state.with_line(number, text))


def heredoc(state: State, random: Random) -> Edited | None:
    numbers = [number for number, line in enumerate(state.lines) if "<<" in line and "\n" in line]
    if not numbers:
        return None
    number = random.choice(numbers)
    first, *body = state.lines[number].split("\n")
    at = 1 if body[0].startswith("#!") else 0
    body.insert(at, f"echo {random.randrange(1000)}")
    return Edited(f"the heredoc of {first}", state.with_line(number, "\n".join([first, *body])))


def spelling(state: State, random: Random) -> Edited | None:
    """Another spelling of the same instruction."""
    numbers = _numbers(state, r"(COPY|ADD|WORKDIR|USER|LABEL) [^<\n]*$")
    if not numbers:
        return None
    number = random.choice(numbers)
    keyword, rest = state.lines[number].split(None, 1)
    return Edited(f"another spelling of {keyword} {rest}", state.with_line(number, f"{keyword.lower()}  \\\n   {rest}"))


def environment(state: State, random: Random) -> Edited | None:
    numbers = _numbers(state, r"ENV \S+=")
    if not numbers:
        return None
    number = random.choice(numbers)
    text = re.sub(r'(ENV \w+=)("[^"]*"|\S*)', rf"\g<1>v{random.randrange(1000)}", state.lines[number])
    return Edited(f"now {text}", state.with_line(number, text))


def default(state: State, random: Random) -> Edited | None:
    numbers = [number for number in _numbers(state, r"ARG \w+=") if "IMAGE" not in state.lines[number]]
    if not numbers:
        return None
    number = random.choice(numbers)
    text = re.sub(r"=.*", f"=d{random.randrange(1000)}", state.lines[number])
    return Edited(f"now {text}", state.with_line(number, text))


def argument(state: State, random: Random) -> Edited | None:
    names = [match[1] for line in state.lines if (match := re.match(r"ARG (\w+)", line)) and match[1] != "IMAGE"]
    if not names:
        return None
    name = random.choice(names)
    args = dict(state.args)
    if name in args and random.random() < 0.4:
        del args[name]
        return Edited(f"no --build-arg {name}", replace(state, args=args))
    args[name] = f"a{random.randrange(1000)}"
    return Edited(f"--build-arg {name}={args[name]}", replace(state, args=args))


def stage_renamed(state: State, random: Random) -> Edited | None:
    names = [match[1] for line in state.lines if (match := re.match(r"FROM \S+ AS (\w+)$", line))]
    if not names:
        return None
    name, other = random.choice(names), f"stage{random.randrange(1000)}"
    lines = tuple(
        re.sub(rf"( AS |^FROM |--from=|,from=){name}\b", rf"\g<1>{other}", line) for line in state.lines
    )  # fmt: skip
    return Edited(f"the stage {name} is called {other}", replace(state, lines=lines))


def base(state: State, random: Random) -> Edited:
    return Edited("another image by the base's name", replace(state, base=3 - state.base))


def secret(state: State, random: Random) -> Edited:
    return Edited("the secret's value", replace(state, secret=f"secret{random.randrange(1000)}"))


OF_FILES: tuple[Edit, ...] = (
    content,
    line_inserted,
    line_deleted,
    comment,
    same_size_and_mtime,
    replaced,
    swapped,
    line_ends,
    mode,
    folder_mode,
    umask,
    added,
    added_folder,
    deleted,
    renamed,
    moved,
    retyped,
    target,
    hidden_file,
    rule,
    remark,
    repacked,
)
OF_INSTRUCTIONS: tuple[Edit, ...] = (
    dockerfile_comment,
    metadata_line,
    step_inserted,
    variable_inserted,
    step_dropped,
    lines_swapped,
    command,
    heredoc,
    spelling,
    environment,
    default,
    argument,
    stage_renamed,
    base,
    secret,
)

#: What is edited more often than anything else, by the name of the project that shows it.
FAVOURED: dict[str, tuple[Edit, ...]] = {
    "good_order": (comment, line_ends),
    "stages": (comment, stage_renamed),
    "variables": (default, argument, environment),
    "allow_list": (hidden_file, rule),
    "flags": (mode, folder_mode),
    "wildcards": (added, renamed),
    "links": (target, retyped),
    "heredocs": (heredoc, argument),
    "secrets": (secret,),
    "archives": (repacked,),
    "git_modes": (mode, umask),
}
