"""Which further files the build scripts of gradle and the projects of .NET name. Pure.

Both are programs: what is not of one of the usual forms cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.plan.named import Asked, More, Unclear, beside

_COMMENTS = re.compile(r"(?s)/\*.*?\*/|(?m:(?:^|(?<=\s))//.*$)")
_GRADLE_WORD = (
    r"[\s(]*(?:from\s*[:=]\s*|dir\s*[:=]\s*)?(?:file\s*\(\s*)?"
    r"[\"'](\$\{?root(?:Dir|Project\.projectDir)\}?/)?([^\"'$]+)[\"']"
)
#: What names a file in the usual form; `fileTree` and `includeBuild` a folder.
_GRADLE_NAMES = re.compile(rf"\b(apply|includeBuild|fileTree|files)\b{_GRADLE_WORD}")
#: What reads or runs something, whatever its form.
_GRADLE_READS = re.compile(
    r"\b(?:file|files|fileTree|flatDir|includeFlat|includeBuild|exec|providers\.(?:exec|fileContents)|commandLine|"
    r"File|Files|Paths|FileInputStream|ProcessBuilder|Properties|load|readText|readLines|evaluate|newInstance|"
    r"listFiles|eachDir|eachFile|walk|execute)\s*[({\"']|\.execute\(\)|\bapply\s*\(?\s*from\b"
)

_XML_COMMENTS = re.compile(r"(?s)<!--.*?-->")
_REFERENCE = re.compile(r"<ProjectReference\b[^>]*?\bInclude\s*=\s*\"([^\"]*)\"")
_IMPORT = re.compile(r"<Import\b[^>]*?\bProject\s*=\s*\"([^\"]*)\"")
_ANALYSER = re.compile(r"<(?:HintPath|RestoreSources|RestoreAdditionalProjectSources|RestoreConfigFile)\b")
#: How the file of this name in a folder above is taken in, which is copied with all of that name.
_ABOVE = re.compile(r"\$\(\[MSBuild\]::GetPathOfFileAbove\(\s*'?(?:Directory\.[\w.]+|\$\(MSBuildThisFile\))'?")
_SOLUTION = re.compile(r"(?m)^\s*Project\(\"[^\"]*\"\)\s*=\s*\"[^\"]*\",\s*\"([^\"]+)\"")
_SLNX = re.compile(r"<Project\b[^>]*?\bPath\s*=\s*\"([^\"]*)\"")
_PROJECT = re.compile(r".*\.\w+proj\Z")


def gradle(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    """A build script, or the settings: scripts that it applies, builds that it includes, local archives."""
    text = _COMMENTS.sub("", text)
    for found in _GRADLE_NAMES.finditer(text):
        word, root, named = found[1], found[2], found[3]
        if word == "apply" and "from" not in found[0]:
            continue  # a plug-in
        if "://" in named:
            continue
        yield More(
            beside(f"{asked.cwd.rstrip('/')}/" if root else path, named), folder=word in ("includeBuild", "fileTree")
        )
    odd = _GRADLE_READS.search(_GRADLE_NAMES.sub(" ", text))
    if odd is not None:
        raise Unclear(f"{path} may read other files: {odd[0].strip()}")


def dotnet_project(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    """A project, or properties that projects take in: the projects that it refers to, the files that it imports."""
    text = _XML_COMMENTS.sub("", text)
    for found in _IMPORT.finditer(text):
        if not _ABOVE.match(found[1]):
            yield More(_windows(path, found[1].removeprefix("$(MSBuildThisFileDirectory)")))
    for found in _REFERENCE.finditer(text):
        yield More(_windows(path, found[1].removeprefix("$(MSBuildThisFileDirectory)")))
    odd = _ANALYSER.search(text) or re.search(r"\bExists\s*\(|\$\(\[System\.|<Exec\b", text)
    if odd is not None:
        raise Unclear(f"{path} may read other files: {odd[0]}")
    lock = beside(path, "packages.lock.json")
    if _PROJECT.match(path) and lock in files:
        yield More(lock)


def dotnet_solution(path: str, text: str, files: tuple[str, ...], asked: Asked) -> Iterator[More]:
    """The projects of a solution; its folders have no file."""
    for found in (_SLNX if path.endswith(".slnx") else _SOLUTION).finditer(text):
        if _PROJECT.match(found[1]):
            yield More(_windows(path, found[1]))


def _windows(path: str, other: str) -> str:
    """A path of a project's file, from the root. Raises Unclear for what only MSBuild can tell."""
    if re.search(r"[$*@;%]", other):
        raise Unclear(f"{path} names {other}, which cannot be told")
    return beside(path, other.replace("\\", "/"))
