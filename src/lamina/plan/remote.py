"""Addresses on the web: what ADD and a command line mean by one (Dockerfile reference, "ADD", and BuildKit's git URLs).

`https://host/x.git#ref:dir`, the query form `?ref=…&subdir=…`, `git@host:path`, `ssh://`, `git://`; any other `http(s)://`
is a file.
"""

from __future__ import annotations

import re

from lamina.plan.steps import GitSource, HttpSource, Inline, Source

_SCP = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+:(?!//)")
_URL = re.compile(
    r"(?P<url>(?P<scheme>https?|git|ssh)://[^/?#]+(?P<path>[^?#]*))(?:\?(?P<query>[^#]*))?(?:#(?P<at>.*))?\Z"
)
_QUERY = frozenset({"ref", "branch", "tag", "commit", "checksum", "subdir", "submodules", "keep-git-dir"})
_KINDS = {"tag": "refs/tags/", "branch": "refs/heads/"}
#: What people put into an address to be let in.
_SECRET_VALUES = re.compile(r"(?i)\b([\w-]*(?:token|secret|signature|password|key|sig|credential))=[^&#\s]+")
_USER = re.compile(r"//[^/?#\s]*@")
_PERCENT = re.compile("%([0-9A-Fa-f]{2})")


def remote_source(text: str) -> HttpSource | GitSource | None:
    """What an address names, None for a path. Raises ValueError for a query that git sources do not have."""
    if _SCP.match(text):
        before, _, fragment = text.partition("#")
        address, _, query = before.partition("?")
        return _git(address, fragment, query)
    match = _URL.match(text)
    if match is None:
        return None
    if match["scheme"] in ("http", "https") and not match["path"].endswith(".git"):
        return HttpSource(text)
    return _git(match["url"], match["at"] or "", match["query"] or "")


def shown(url: str) -> str:
    """A text with addresses as they may be shown: without user and password, nor a query's tokens."""
    return _SECRET_VALUES.sub(r"\1=…", _USER.sub("//", url))


def display(source: Source) -> str:
    """A source as people wrote it, without the user and password of an address."""
    match source:
        case str():
            return source
        case Inline(name=name):
            return f"<<{name}"
        case HttpSource(url=url) | GitSource(url=url):
            return shown(url)


def _git(url: str, fragment: str, query: str) -> GitSource:
    ref, _, subdir = fragment.partition(":")
    values = _query(query)
    refs = [ref, values.get("ref", "")]
    # As in BuildKit a tag or a branch is looked for by its full name, so that none passes for the other.
    refs += [_full(kind, values[name]) for name, kind in _KINDS.items() if name in values]
    commit = _one("checksum", [values.get("checksum", ""), values.get("commit", "")])
    return GitSource(
        url,
        ref=_one("ref", refs) or commit,
        subdir=_one("subdir", [subdir.strip("/"), values.get("subdir", "").strip("/")]),
        checksum=commit,
        keep_git_dir=_truth(values, "keep-git-dir", default=False),
        submodules=_truth(values, "submodules", default=True),
    )


def _query(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, _, value = (_plain(part) for part in item.partition("="))
        if name not in _QUERY:
            raise ValueError(f"{name!r} is no part of a git URL's query: it takes {', '.join(sorted(_QUERY))}")
        if name in values:
            raise ValueError(f"a git URL's query has {name} twice")
        if not value and name not in ("submodules", "keep-git-dir"):
            raise ValueError(f"a git URL's query has no value for {name}")
        values[name] = value
    return values


def _full(kind: str, name: str) -> str:
    return name if name.startswith(kind) else kind + name


def _one(what: str, values: list[str]) -> str:
    """The one value that was given, in the fragment or the query; empty for none. Raises ValueError for two."""
    given = list(dict.fromkeys(filter(None, values)))
    if len(given) > 1:
        raise ValueError(f"a git URL has one {what}, and here are {' and '.join(map(repr, given))}")
    return given[0] if given else ""


def _plain(text: str) -> str:
    return _PERCENT.sub(lambda match: chr(int(match[1], 16)), text.replace("+", " "))


def _truth(values: dict[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name)
    if text is None:
        return default
    if text.lower() in ("", "true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError(f"{name} is true or false, not {text!r}")
