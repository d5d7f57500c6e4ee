"""Addresses on the web: what ADD and a command line mean by one (Dockerfile reference, "ADD", and BuildKit's git URLs).

`https://host/x.git#ref:dir`, the query form `?ref=…&subdir=…`, `git@host:path`, `ssh://`, `git://`; any other `http(s)://`
is a file.
"""

from __future__ import annotations

import re

from lamina.plan.steps import GitSource, HttpSource

_SCP = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+:(?!//)")
_URL = re.compile(
    r"(?P<url>(?P<scheme>https?|git|ssh)://[^/?#]+(?P<path>[^?#]*))(?:\?(?P<query>[^#]*))?(?:#(?P<at>.*))?\Z"
)
_QUERY = frozenset({"ref", "branch", "tag", "commit", "checksum", "subdir", "submodules", "keep-git-dir"})
#: What people put into an address to be let in.
_SECRET_VALUES = re.compile(r"(?i)\b([\w-]*(?:token|secret|signature|password|key|sig|credential))=[^&#\s]+")
_USER = re.compile(r"//[^/@\s]*@")
_PERCENT = re.compile("%([0-9A-Fa-f]{2})")


def remote_source(text: str) -> HttpSource | GitSource | None:
    """What an address names, None for a path. Raises ValueError for a query that git sources do not have."""
    if _SCP.match(text):
        address, _, fragment = text.partition("#")
        return _git(address, fragment, "")
    match = _URL.match(text)
    if match is None:
        return None
    if match["scheme"] in ("http", "https") and not match["path"].endswith(".git"):
        return HttpSource(text)
    return _git(match["url"], match["at"] or "", match["query"] or "")


def shown(url: str) -> str:
    """A text with addresses as they may be shown: without user and password, nor a query's tokens."""
    return _SECRET_VALUES.sub(r"\1=…", _USER.sub("//", url))


def _git(url: str, fragment: str, query: str) -> GitSource:
    ref, _, subdir = fragment.partition(":")
    pairs = (item.partition("=") for item in query.split("&") if item)
    values = {_plain(name): _plain(value) for name, _, value in pairs}
    unknown = sorted(set(values) - _QUERY)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no part of a git URL's query: it takes {', '.join(sorted(_QUERY))}")
    if (ref or subdir) and values:
        raise ValueError("a git URL has either a fragment (#ref:dir) or a query (?ref=…), not both")
    named = [values[name] for name in ("ref", "branch", "tag", "commit") if values.get(name)]
    if len(set(named)) > 1:
        raise ValueError("a git URL names one of ref, branch, tag and commit")
    return GitSource(
        url,
        ref=ref or (named[0] if named else ""),
        subdir=(subdir or values.get("subdir", "")).strip("/"),
        checksum=values.get("checksum", ""),
        keep_git_dir=_truth(values, "keep-git-dir", default=False),
        submodules=_truth(values, "submodules", default=True),
    )


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
