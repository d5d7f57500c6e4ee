"""A report read back: its text, its tables, and whatever it would load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_EMPTY = {"meta", "link", "img", "br", "hr", "input", "base"}
_LOADS = {"src", "srcset", "data", "poster", "action", "background"}


class Reader(HTMLParser):
    """`text` is all that is to be seen, `rows` the cells of each table by its id, `tips` those of charts' marks,
    `loads` all that a browser would fetch, `scripts` the scripts, `titles` those of the charts."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.text = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.tips: list[str] = []
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.titles: list[str] = []
        self._table = ""
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in _EMPTY:
            self._open.append(tag)
        self.loads += [value for name, value in given.items() if name in _LOADS and tag != "button"]
        if "href" in given and not given["href"].startswith("#"):
            self.loads.append(given["href"])
        self.loads += [value for value in given.values() if "url(" in value.replace("url(#", "")]
        if "data-tip" in given:
            self.tips.append(given["data-tip"])
        if tag == "figcaption":
            self.titles.append("")
        if tag == "script":
            self.scripts.append("")
        if tag == "table":
            self._table = given.get("id", "")
            self.rows.setdefault(self._table, [])
        if tag == "tr":
            self.rows[self._table].append([])
        if tag in ("td", "th"):
            self.rows[self._table][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts[-1] += data
            return
        if self._open[-1:] == ["style"]:
            self.loads += [data] if "url(" in data.replace("url(#", "") or "@import" in data else []
            return
        self.text += data
        if self._open[-1:] == ["figcaption"]:
            self.titles[-1] += data
        if "td" in self._open or "th" in self._open:
            self.rows[self._table][-1][-1] += data


class Seen:
    """A page in a browser; `said` is what it wrote into the console and what went wrong, `asked` what it loaded."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))


@contextmanager
def opened(path: Path, *, width: int = 1280, dark: bool = False, script: bool = True) -> Iterator[Seen]:
    """The page in headless Chromium, from its file, without a network."""
    with sync_playwright() as playwright:
        # As root there is no sandbox; what is opened is our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if dark else "light",
                offline=True,
                java_script_enabled=script,
            )
            seen = Seen(context.new_page())
            seen.page.goto(path.as_uri())
            yield seen
        finally:
            browser.close()
