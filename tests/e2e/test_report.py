"""`lamina report` on real builds and a real history, opened in headless Chromium from a file, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command import Command, project
from tests.support.git_server import commit, git
from tests.support.pages import Reader, Seen, opened

SHOP = Path(__file__).parents[2] / "examples" / "shop"
DOCKERFILE = """FROM busybox AS left
COPY a.txt /
RUN sleep 0.2 && cp /a.txt /b.txt
FROM busybox AS right
COPY <script>.txt /
RUN sleep 0.2 && head -c 200000 /dev/zero > /big && rm /a || true
FROM busybox
COPY --from=left /b.txt /
COPY --from=right /big /
RUN rm /big
"""


@pytest.fixture
def build_page(lamina: Command, tmp_path: Path) -> Path:
    """The page of a second build, for which one file was changed."""
    folder = project(tmp_path / "shop", DOCKERFILE, {"a.txt": "1\n", "<script>.txt": "x\n"})
    lamina.build(folder, "-t", "shop").ok()
    (folder / "a.txt").write_text("2\n")
    lamina.build(folder, "-t", "shop").ok()
    page = tmp_path / "build.html"
    assert lamina.run("report", "shop", "-o", page).ok().out.startswith(f"{page}: ")
    return page


@pytest.fixture
def history_page(lamina: Command, tmp_path: Path) -> Path:
    """The page of the lesson's project in the bad order, whose code changes more often than its lock file."""
    tree = tmp_path / "lesson"
    shutil.copytree(SHOP, tree)
    shutil.copy(tree / "Dockerfile.bad", tree / "Dockerfile")
    git(tree, "init", "-q")
    commit(tree, {".dockerignore": ".git\n"})
    for number in range(12):
        commit(tree, {"Pipfile.lock" if number % 6 == 5 else "catalogue/views.py": f"# {number}\n"}, f"<b>{number}</b>")
    page = tmp_path / "history.html"
    costs = ("--cost", "pip install pipenv=12s", "--cost", "15=48s")
    lamina.run("report", "--history", tree, "--build-arg", "BASE=busybox", *costs, "-o", page).ok()
    return page


def empty(seen: Seen, part: str) -> list[str]:
    """The charts in which no mark is drawn that has an extent."""
    script = """part => [...document.querySelectorAll("figure")].filter(figure =>
        [...figure.querySelectorAll(`${part} [data-tip]`)].every(mark => {
            const box = mark.getBoundingClientRect();
            return box.width === 0 || box.height === 0;
        })).map(figure => figure.querySelector("figcaption").textContent)"""
    found: list[str] = seen.page.evaluate(script, part)
    return found


def clipped(seen: Seen) -> list[str]:
    """The words of charts that stand outside of the page, or on one another."""
    script = """() => {
        const found = [];
        for (const chart of document.querySelectorAll("figure svg")) {
            const texts = [...chart.querySelectorAll("text")].filter(text => text.getBoundingClientRect().width > 0);
            const boxes = texts.map(text => text.getBoundingClientRect());
            boxes.forEach((box, at) => {
                if (box.left < -1 || box.right > innerWidth + 1) found.push(`outside: ${texts[at].textContent}`);
                boxes.slice(at + 1).forEach((other, next) => {
                    const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
                    const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
                    const words = [texts[at].textContent, texts[at + 1 + next].textContent];
                    if (wide > 1 && high > 4) found.push(words.join(" on "));
                });
            });
        }
        return found;
    }"""
    found: list[str] = seen.page.evaluate(script)
    return found


def colour(seen: Seen) -> str:
    found: str = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


@pytest.mark.parametrize("kind", ["build_page", "history_page"])
def test_the_page_is_whole_in_a_browser(kind: str, request: pytest.FixtureRequest) -> None:
    page: Path = request.getfixturevalue(kind)
    titles = [title for title in Reader(page.read_bytes()).titles if not title.startswith("Rebuilding added up")]
    assert len(titles) >= 3
    for width, dark in ((1280, False), (1280, True), (400, False), (400, True)):
        with opened(page, width=width, dark=dark) as seen:
            shown, hidden = (".wide", ".narrow") if width > 720 else (".narrow", ".wide")
            # Lines have no marks of their own to point at.
            assert not {*empty(seen, shown)} & {*titles}
            assert {*titles} <= {*empty(seen, hidden)}
            assert clipped(seen) == []
            assert colour(seen) == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            # A page with nothing drawn on it is some few kilobytes.
            assert len(seen.page.screenshot(full_page=True)) > 20_000
        assert seen.said == []
        assert seen.asked == [page.as_uri()]


def test_pointing_at_a_block_tells_its_cause(history_page: Path) -> None:
    with opened(history_page) as seen:
        seen.page.hover(".grid .wide [data-tip*='line 12 ran because line 9 did']")
        tip = seen.page.locator("#tip")
        assert tip.is_visible()
        assert "catalogue/views.py" in tip.inner_text() and "<b>" in tip.inner_text()
    assert seen.said == []


def test_the_page_is_whole_without_scripts_and_on_paper(build_page: Path, history_page: Path) -> None:
    for page in (build_page, history_page):
        with opened(page, dark=True, script=False) as seen:
            assert seen.page.locator("figure .wide path").count() > 10
        with opened(page, dark=True) as seen:
            seen.page.emulate_media(media="print", color_scheme="dark")
            assert colour(seen) == "rgb(255, 255, 255)"
            pdf = seen.page.pdf()
            assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
        assert seen.said == []


def test_the_lanes_of_a_build_run_beside_each_other(build_page: Path) -> None:
    page = Reader(build_page.read_bytes())
    assert "were not noted" not in page.text
    assert any("line 3 RUN sleep" in tip and "from 0." in tip for tip in page.tips)
    assert page.loads == []
    # `big` is shipped and deleted one layer later.
    assert any("line 9 ships it, line 10 hides it" in row[2] for row in page.rows["waste"])


def test_to_standard_output(lamina: Command, tmp_path: Path) -> None:
    lamina.build(project(tmp_path / "a", "FROM busybox\nRUN true\n")).ok()
    done = lamina.run("report", "-o", "-").ok()
    assert done.out.startswith("<!DOCTYPE html>") and done.out.endswith("</html>\n")


@pytest.mark.parametrize(
    ("words", "reference", "told"),
    [
        (["--since", "HEAD~3"], "usage-bad-arguments", "--since is of the replay"),
        (["one", "--history", "."], "usage-bad-arguments", "not of both"),
        (["one"], "store-build-missing", "one"),
        (["--history", "/does/not/exist"], "context-", "/does/not/exist"),
        ([], "store-build-missing", "lamina build"),
    ],
)
def test_what_cannot_be_reported(lamina: Command, words: list[str], reference: str, told: str) -> None:
    done = lamina.run("report", *words)
    assert done.code not in (0, 70) and reference in done.err and told in done.err, done.err


def test_a_folder_that_is_not_there(lamina: Command, tmp_path: Path) -> None:
    lamina.build(project(tmp_path / "a", "FROM busybox\nRUN true\n")).ok()
    done = lamina.run("report", "-o", tmp_path / "none" / "page.html")
    assert "image-output-failed" in done.err


def test_without_its_libraries_it_says_what_to_install(lamina: Command) -> None:
    code = "import sys; sys.modules['vl_convert'] = None\nfrom lamina.cli import main; raise SystemExit(main())"
    environment = {**os.environ, "LAMINA_ROOT": str(lamina.root)}
    done = subprocess.run(
        [sys.executable, "-c", code, "report"], env=environment, capture_output=True, text=True, check=False
    )
    assert "pip install 'lamina[report]'" in done.stderr and "usage-no-report" in done.stderr
