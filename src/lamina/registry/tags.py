"""A repository's tags (distribution-spec, "Content Discovery")."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import msgspec
from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.oci.reference import Reference
from lamina.registry.failures import malformed
from lamina.registry.session import Session, answered, failure, pull_scope
from lamina.registry.settings import Endpoint, endpoint
from lamina.registry.transport import origin

_MAX_PAGE_BYTES = 4 << 20
_MAX_PAGES = 200
_NEXT = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next"?', re.IGNORECASE)


class _Page(Struct, frozen=True):
    tags: tuple[str, ...] | None = None


def list_tags(session: Session, reference: Reference) -> tuple[str, ...]:
    """All tags of the reference's repository, in the registry's order. Raises BuildFailure `registry-…`."""
    place = endpoint(session.settings, reference.registry)
    what = f"the tags of {reference.registry}/{reference.repository}"
    found: list[str] = []
    url = f"/{reference.repository}/tags/list?n=1000"
    for _ in range(_MAX_PAGES):
        page, following = _page(session, place, reference, url, what)
        found.extend(page)
        if following is None:
            return tuple(found)
        url = following
    raise malformed(place.host, what, f"its list does not end after {_MAX_PAGES} pages")


def near(session: Session, place: Endpoint, reference: Reference) -> tuple[str, ...]:
    """Up to three tags that look like the reference's, from the first page alone; `()` if that cannot be read."""
    import difflib

    try:
        page, _ = _page(session, place, reference, f"/{reference.repository}/tags/list?n=500", "tags", attempts=1)
    except BuildFailure:
        return ()
    return tuple(difflib.get_close_matches(reference.tag, page, n=3, cutoff=0.5))


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_PAGE = msgspec.json.Decoder(_Page)


def _page(
    session: Session, place: Endpoint, reference: Reference, url: str, what: str, attempts: int | None = None
) -> tuple[tuple[str, ...], str | None]:
    """One page and the address of the next, None after the last."""
    scopes = (pull_scope(reference.repository),)
    with answered(place, what):
        answer = session.send(place, "GET", url, what=what, scopes=scopes, attempts=attempts)
        if answer.status != 200:
            raise failure(place, what, answer)
        raw = answer.body(_MAX_PAGE_BYTES)
    try:
        page = _PAGE.decode(raw).tags or ()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(place.host, what, "its list of tags is not one") from error
    following = _NEXT.search(answer.headers.get("Link", ""))
    if following is None:
        return page, None
    target = urljoin(answer.url, following[1])
    # Behind a proxy the scheme or host in `Link` may be wrong; only path and query of it are to be trusted.
    same = target if origin(target) == origin(answer.url) else urljoin(answer.url, _path_of(target))
    return page, same


def _path_of(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
