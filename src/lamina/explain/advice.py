"""What would have avoided a rebuild, made concrete from the build's own instructions. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from lamina.explain.junk import suggestions
from lamina.explain.needed import Needed, Needs, unknown
from lamina.explain.story import Story, ToldStep
from lamina.explain.taxonomy import entry_of, name_of
from lamina.keys.decide import MissCause
from lamina.keys.filetree import FileRecord

#: What an installing command is told by → the files that it reads.
_READS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bpipenv\s+(install|sync)", ("Pipfile", "Pipfile.lock")),
    (r"\bpoetry\s+(install|sync)", ("pyproject.toml", "poetry.lock")),
    (r"\buv\s+sync", ("pyproject.toml", "uv.lock")),
    (r"\bpdm\s+(install|sync)", ("pyproject.toml", "pdm.lock")),
    (r"\bpnpm\s+(install|i)\b", ("package.json", "pnpm-lock.yaml")),
    (r"\byarn(\s+install)?\b", ("package.json", "yarn.lock")),
    (r"\bnpm\s+(ci|install|i)\b", ("package.json", "package-lock.json")),
    (r"\bbundle\s+install", ("Gemfile", "Gemfile.lock")),
    (r"\bgo\s+mod\s+download", ("go.mod", "go.sum")),
    (r"\bcomposer\s+install", ("composer.json", "composer.lock")),
    (r"\bcargo\s+fetch", ("Cargo.toml", "Cargo.lock")),
)
_NAMED = re.compile(
    r"[\w.-]*requirements[\w.-]*\.(txt|in)|constraints[\w.-]*\.txt|Pipfile(\.lock)?|pyproject\.toml|(poetry|uv|pdm)\.lock|"
    r"package(-lock)?\.json|yarn\.lock|pnpm-lock\.yaml|Gemfile(\.lock)?|go\.(mod|sum)|Cargo\.(toml|lock)|"
    r"composer\.(json|lock)"
)
_WORDS = re.compile(r"[\s=,;&|\"'()]+")
#: Options of pip before the name of a list.
_LISTS = ("-r", "--requirement", "-c", "--constraint")
_NOTHING = "Nothing would have avoided it"
_CACHE_MOUNT = "A cache mount keeps what it downloads: RUN --mount=type=cache,target=…"
#: A longer command is looked at so far.
_LOOKED = 4096
_NEEDS_NOTHING = re.compile(
    r"\b(apt-get|apt|apk|dnf|microdnf|yum|zypper|pacman)\b[^|;&]*\b(install|add|update|-S\w*)\b"
)
_INSTALLS_NAMES = re.compile(r"\b(pip3?|uv\s+pip)\s+install\s+(?!.*(-r\b|--requirement|-e\b|\s\.))")
#: What a build reads and an image has no use for.
_OWN = ("Dockerfile", ".dockerignore", "lamina.toml")
_WIDE = ("", ".", "./", "/", "*")


def advice(
    story: Story,
    step: ToldStep,
    causes: Sequence[MissCause],
    dragged: Sequence[ToldStep],
    needs: Needs = unknown,
) -> tuple[str, ...]:
    """Sentences about a step that ran for `causes` and dragged others along, the most concrete first. What observed
    steps needed is asked of `needs`; of others their texts tell."""
    name = name_of(causes[0])
    if name in ("file-content", "file-added", "file-removed", "file-type", "file-target", "files"):
        return _of_copy(step, causes, dragged, needs)
    if name == "variable":
        return _of_variable(story, step, causes[0], dragged)
    if name == "file-mode" and causes[0].sole != "mode":
        return _of_copy(step, causes, dragged, needs)
    cure = entry_of(causes[0]).cure
    return (cure,) if cure else ()


def _of_copy(step: ToldStep, causes: Sequence[MissCause], dragged: Sequence[ToldStep], needs: Needs) -> tuple[str, ...]:
    ignorable = _ignorable(step, causes)
    if ignorable:
        return (f"Add to the ignore file what the image does not need: {', '.join(ignorable)}.",)
    slow = _slowest(dragged)
    if slow is None or not step.text.upper().startswith(("COPY", "ADD")):
        return ()
    where = f"line {slow.span.line} ({_quoted(slow.text)})"
    changed = [change.path for cause in causes for change in cause.files]
    observed = needs(slow, step) if slow.looks is not None else None
    if observed is not None:
        return (_of_observed(step, slow, where, changed, observed),)
    free = _NEEDS_NOTHING.search(slow.text[:_LOOKED]) or _INSTALLS_NAMES.search(slow.text[:_LOOKED])
    if free and slow.looks is None:
        return (f"Put {where} above line {step.span.line}: it needs none of the files that are copied there.",)
    named = needed_files(slow.text)
    if not named:
        if slow.looks is not None or not is_wide(step.text):
            return ()
        told = f"If {where} needs only some of these files, copy those first, and the rest in a COPY below it."
        return (told,)
    if {path.rpartition("/")[2] for path in changed} & {path.rpartition("/")[2] for path in named}:
        return (f"{_NOTHING}: {where} reads what was changed. {_CACHE_MOUNT}",)
    files = " and ".join(named)
    return (f"Copy {files} alone before {where}, which names no other file, and the rest in a COPY below it.",)


def _of_observed(step: ToldStep, slow: ToldStep, where: str, changed: Sequence[str], needs: Needed) -> str:
    """What is known of a step that was observed, instead of what its text lets guess."""
    line = step.span.line
    if not needs.paths:
        return f"Put {where} above line {line}: it looked at none of the {needs.files} files that are copied there."
    looked = [path for path in changed if needs.has(path)]
    if looked:
        mount = f" {_CACHE_MOUNT}" if needed_files(slow.text) else ""
        return f"{_NOTHING}: {where} looked at what was changed, {looked[0]}.{mount}"
    instead = " and ".join(f"`{one}`" for one in needs.lines)
    seen = f"it looked at {needs.looked} of the {needs.files} files that line {line} copies"
    return f"Put {instead} before {where}, and the rest in a COPY below it: {seen}."


def _ignorable(step: ToldStep, causes: Sequence[MissCause]) -> tuple[str, ...]:
    """Ignore lines for all that changed, if it is nothing but the Dockerfile itself and what tools leave behind."""
    if not step.text.upper().startswith(("COPY", "ADD")) or "--from=" in step.text:
        return ()
    changed = [change for cause in causes for change in cause.files]
    if len(changed) < sum(cause.total for cause in causes):
        return ()
    lines: dict[str, None] = {}
    for change in changed:
        if change.path == step.span.file.rpartition("/")[2] or change.path in _OWN:
            lines[change.path] = None
            continue
        inside = "/x" if "dir" in (change.before, change.after) else ""
        found = suggestions([FileRecord(change.path + inside, "file", 0o644)], None)
        if not found:
            return ()
        lines[found[0].pattern] = None
    return tuple(lines)


def _of_variable(story: Story, step: ToldStep, cause: MissCause, dragged: Sequence[ToldStep]) -> tuple[str, ...]:
    name = cause.part.partition(" ")[2]
    declared = declaration(story, step, name)
    if declared is None:
        return (entry_of(cause).cure,)
    place = f"line {declared.span.line} ({_quoted(declared.text)})"
    readers = [one for one in (step, *dragged) if re.search(rf"\$\{{?{re.escape(name)}\b", one.text)]
    others = [one for one in (step, *dragged) if one not in readers]
    slow = _slowest(others)
    if slow is None:
        return (
            (f"{_NOTHING}: {name} is what line {step.span.line} is about; it is declared in {place}.",)
            if readers
            else ()
        )
    told = f"Put {place} below line {slow.span.line} ({_quoted(slow.text)}), whose text does not name {name}"
    return (f"{told}: a variable is an input of every RUN below its declaration.",)


def declaration(story: Story, step: ToldStep, name: str) -> ToldStep | None:
    """The last ARG or ENV of that name above a step, in its own stage."""
    stage = next(stage for stage in story.stages if step in stage.steps)
    above = stage.steps[: stage.steps.index(step)]
    pattern = re.compile(rf"(ARG|ENV)\s(.*\s)?{re.escape(name)}([=\s]|$)", re.IGNORECASE | re.DOTALL)
    return next((one for one in reversed(above) if pattern.match(one.text)), None)


def needed_files(command: str) -> tuple[str, ...]:
    """The files that an installing command reads: those that its text names, else those of its tool."""
    named: dict[str, None] = {}
    for part in re.split(r"[;&|]+", command[:_LOOKED]):
        words = _WORDS.split(part)
        listed = {word for option, word in pairwise(words) if option in _LISTS} if "pip" in part else set()
        for word in words:
            file = word.rpartition("/")[2] if word.startswith("/") else word.removeprefix("./")
            if word in listed or _NAMED.fullmatch(file.rpartition("/")[2]):
                named[file] = None
    if named:
        return tuple(named)
    return next((files for pattern, files in _READS if re.search(pattern, command[:_LOOKED])), ())


def is_wide(text: str) -> bool:
    """Whether a COPY takes a whole directory, by how it is written."""
    words = [word for word in text.split()[1:] if not word.startswith("--")]
    return any(word in _WIDE or word.endswith("/") for word in words[:-1])


def _slowest(steps: Sequence[ToldStep]) -> ToldStep | None:
    """The slowest RUN that is worth a word."""
    runs = [step for step in steps if step.text.upper().startswith("RUN")]
    # In tenths: of those that take about as long, the first.
    return max(runs, key=lambda step: round(step.seconds, 1), default=None)


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
