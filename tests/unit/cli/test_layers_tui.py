"""The explorer of layers, driven by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input, OptionList, Static

from lamina.cli.layers_tui import Explorer, FileTree
from lamina.diagnostics import Span
from lamina.digest import DiffID, Digest
from lamina.explain.layers import survey
from lamina.explain.layersteps import Layer
from lamina.oci.changes import Change, ChangeKind, PathChanges

LAYERS = (
    Layer(DiffID(Digest("sha256:0")), "base", None, True),
    Layer(DiffID(Digest("sha256:1")), "COPY [bold]markup[/] \x1b[31m /app", Span("Dockerfile", 4, 1, 4, 9)),
    Layer(DiffID(Digest("sha256:2")), "RUN rm", Span("Dockerfile", 5, 1, 5, 9)),
)


def put(path: str, *changes: tuple[int, ChangeKind, int], kind: str = "file") -> PathChanges:
    return PathChanges(path, tuple(Change(layer, change, kind, size, 9) for layer, change, size in changes))


PATHS = (
    put("app", (1, "added", 0), kind="directory"),
    put("app/[red]markup", (1, "added", 3000)),
    put("app/evil\x1b[2J", (1, "added", 500), (2, "removed", 0)),
    put("lib", (0, "added", 0), kind="directory"),
    put("lib/a", (0, "added", 10)),
    put("lib/b", (0, "added", 2000), (2, "attributes", 2000)),
)


def drive(act: Callable[[Pilot[None], Explorer], Awaitable[None]], paths: Sequence[PathChanges] = PATHS) -> None:
    async def session() -> None:
        app = Explorer("shop\x1b[2J", LAYERS, survey(LAYERS, paths), paths, 1)
        async with app.run_test(size=(110, 24)) as pilot:
            await act(pilot, app)

    asyncio.run(session())


def shown(app: Explorer) -> list[str]:
    """The rows on the screen, without mark and size."""
    files = app.files
    lines = [files.render_line(y).text for y in range(files.size.height)]
    return [line[18:].rstrip() for line in lines if line.strip()]


def test_folding_and_moving() -> None:
    async def act(pilot: Pilot[None], app: Explorer) -> None:
        assert shown(app) == ["▸ app/", "▸ lib/"]
        await pilot.press("tab", "enter", "down", "down", "down", "space")
        assert shown(app) == ["▾ app/", "    [red]markup", "    evil\\x1b[2J", "▾ lib/", "    b", "    a"]
        await pilot.press("end")
        assert app.files.cursor == 5
        await pilot.press("left")
        assert app.files.cursor == 3
        await pilot.press("left", "home", "left")
        assert shown(app) == ["▸ app/", "▸ lib/"]
        await pilot.press("right", "right", "pagedown", "pageup", "up")
        assert (app.files.cursor, len(app.files.rows.rows)) == (0, 4)

    drive(act)


def test_a_layer_is_chosen_on_the_left() -> None:
    async def act(pilot: Pilot[None], app: Explorer) -> None:
        chooser = app.query_one(OptionList)
        assert chooser.option_count == 4
        await pilot.press("down", "down", "down")
        assert app.files.rows.root.size == 2000
        await pilot.press("enter", "enter")
        assert isinstance(app.focused, FileTree)
        assert shown(app) == ["▾ lib/", "    b", "▸ app/"]

    drive(act)


def test_filter_marks_and_order() -> None:
    async def act(pilot: Pilot[None], app: Explorer) -> None:
        await pilot.press("slash", "b", "enter")
        assert shown(app) == ["▸ lib/"]  # the directory's own name fits
        await pilot.press("slash", "backspace", "e", "v", "i", "l", "enter")
        assert shown(app) == ["▾ app/", "    evil\\x1b[2J"]
        await pilot.press("escape")
        assert (shown(app), app.query_one(Input).display) == (["▸ app/", "▸ lib/"], False)
        for rows in (["▾ app/", "    [red]markup"], [], ["▾ lib/", "    b"], ["▾ app/", "    evil\\x1b[2J"]):
            await pilot.press("a")
            assert shown(app) == rows
        await pilot.press("a", "s")
        assert "by name" in str(app.query_one("#status", Static).render())
        assert shown(app) == ["▸ app/", "▸ lib/"]
        await pilot.press("tab", "enter", "q")
        assert not app.is_running

    drive(act)


def test_nothing_to_show() -> None:
    async def act(pilot: Pilot[None], app: Explorer) -> None:
        await pilot.press("tab", "enter", "left", "right", "down", "pageup")
        assert shown(app) == []

    drive(act, ())


def test_of_a_hundred_thousand_files_only_the_screen_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0
    plain = FileTree.render_line

    def counted(self: FileTree, y: int) -> Strip:
        nonlocal drawn
        drawn += 1
        return plain(self, y)

    monkeypatch.setattr(FileTree, "render_line", counted)
    paths = [put("all", (1, "added", 0), kind="directory")]
    paths += [put(f"all/file{number}", (1, "added", number)) for number in range(100_000)]

    async def act(pilot: Pilot[None], app: Explorer) -> None:
        await pilot.press("tab", "enter", "end")
        assert len(app.files.rows.rows) == 100_001
        await pilot.pause()
        assert shown(app)[-1] == "    file0"
        await pilot.press("slash", "9", "9", "9", "9", "9", "enter")
        assert shown(app) == ["▾ all/", "    file99999"]

    drive(act, paths)
    assert drawn < 2000
