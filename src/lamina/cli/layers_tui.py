"""`lamina layers --tui`: the layers on the left, the files of the chosen one on the right. Keys only.

The tree is drawn line by line from `explain.layerrows`: only what is on the screen is made into text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from lamina.explain.layerrows import Rows
from lamina.explain.layers import Survey
from lamina.explain.layersteps import Layer
from lamina.explain.layertree import Mark, Node, tree
from lamina.oci.changes import PathChanges
from lamina.report.context import visible
from lamina.report.layers import MARKS, entry_words, text_of, weight_words
from lamina.report.words import size

_STYLES: dict[Mark, Style] = {
    "": Style(),
    "added": Style(color="green"),
    "changed": Style(color="yellow"),
    "attributes": Style(color="cyan"),
    "removed": Style(color="red"),
}
#: What `a` goes through.
_SHOWN: tuple[Mark | None, ...] = (None, "added", "changed", "attributes", "removed")


class FileTree(ScrollView, can_focus=True):
    """The rows of one tree, with a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000000)", show=False),
        Binding("end", "move(1000000000)", show=False),
        Binding("enter,space", "fold", "fold"),
        Binding("right", "open", show=False),
        Binding("left", "close", show=False),
    ]

    def __init__(self, rows: Rows) -> None:
        super().__init__(id="files")
        self.rows = rows
        self.cursor = 0

    def show(self, rows: Rows) -> None:
        """Draw these rows from now on, from their beginning."""
        self.rows = rows
        self.changed(0)

    def changed(self, cursor: int | None = None) -> None:
        """Draw again: the rows are others."""
        if cursor is not None:
            self.cursor = cursor
        self.cursor = max(0, min(self.cursor, len(self.rows.rows) - 1))
        self.virtual_size = Size(self.size.width, len(self.rows.rows))
        self.refresh()
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False)

    def render_line(self, y: int) -> Strip:
        number, width = y + self.scroll_offset.y, self.size.width
        if number >= len(self.rows.rows):
            return Strip.blank(width, self.rich_style)
        node, depth = self.rows.rows[number]
        fold = " " if not node.children else "▾" if self.rows.is_open(node) else "▸"
        text = f"{MARKS[node.mark]} {weight_words(node):>14}  {'  ' * min(depth, 30)}{fold} {entry_words(node)}"
        style = self.rich_style + _STYLES[node.mark]
        if number == self.cursor:
            style += Style(reverse=True) if self.has_focus else Style(bold=True)
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)

    def action_move(self, by: int) -> None:
        self.changed(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.changed(self.cursor + by * max(1, self.size.height - 1))

    def action_fold(self) -> None:
        if self.rows.rows:
            self.rows.toggle(self.cursor)
            self.changed()

    def action_open(self) -> None:
        if self.rows.rows and not self.rows.is_open(self.rows.rows[self.cursor][0]):
            self.action_fold()

    def action_close(self) -> None:
        if not self.rows.rows:
            return
        if self.rows.is_open(self.rows.rows[self.cursor][0]):
            self.action_fold()
        else:
            self.changed(self.rows.parent(self.cursor))


class Explorer(App[None]):
    """An image's layers and files; `paths` is its inventory, `base` how many layers are the base image's."""

    CSS = """
    #layers { width: 45%; height: 100%; text-wrap: nowrap; text-overflow: ellipsis; border: round $primary; }
    #files { width: 1fr; border: round $primary; }
    #layers:focus, #files:focus { border: round $accent; }
    #word { display: none; }
    #status { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "other side", priority=True),
        Binding("slash", "word", "filter"),
        Binding("a", "marks", "added/changed/removed"),
        Binding("s", "sort", "size/name"),
        Binding("escape", "clear", "clear", show=False),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self, name: str, layers: Sequence[Layer], found: Survey, paths: Sequence[PathChanges], base: int
    ) -> None:
        super().__init__()
        self._name, self._layers, self._survey = visible(name), layers, found
        self._paths, self._base = paths, base
        self._trees: dict[int, Node] = {}
        self._mark: Mark | None = None
        self._by_size = True

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield OptionList(*self._options(), id="layers")
            yield FileTree(Rows(Node("")))
        yield Input(placeholder="part of a name", id="word")
        yield Static(id="status")
        yield Footer()

    @property
    def files(self) -> FileTree:
        return self.query_one(FileTree)

    def on_mount(self) -> None:
        chooser = self.query_one(OptionList)
        chooser.highlighted = 0
        chooser.focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._choose(event.option_index)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.files.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.files.focus()

    def action_word(self) -> None:
        word = self.query_one(Input)
        word.display = True
        word.focus()

    def action_clear(self) -> None:
        word = self.query_one(Input)
        word.value, self._mark = "", None
        word.display = False
        self._filter()
        self.files.focus()

    def action_marks(self) -> None:
        self._mark = _SHOWN[(_SHOWN.index(self._mark) + 1) % len(_SHOWN)]
        self._filter()

    def action_sort(self) -> None:
        self._by_size = not self._by_size
        self.files.rows.sort(by_size=self._by_size)
        self.files.changed(0)
        self._tell()

    def _choose(self, number: int) -> None:
        """Show the whole image (0), or what a layer does."""
        if number not in self._trees:
            layer = number - 1 if number else None
            self._trees[number] = tree(self._paths, layer=layer, base=self._base)
        rows = Rows(self._trees[number])
        rows.by_size = self._by_size
        rows.filter(self.query_one(Input).value, self._mark)
        self.files.show(rows)
        self._tell()

    def _filter(self) -> None:
        self.files.rows.filter(self.query_one(Input).value, self._mark)
        self.files.changed(0)
        self._tell()

    def _tell(self) -> None:
        shown, order = self._mark or "all", "size" if self._by_size else "name"
        found = self._survey
        told = f"{size(found.size)}, {size(found.wasted)} hidden"
        status = f"{self._name}: {told} · showing {shown}, by {order} · + added  ~ changed  @ mode or owner  - removed"
        self.query_one("#status", Static).update(Content(status))

    def _options(self) -> list[Option]:
        found = [Option(Content(f"      {size(self._survey.visible):>7}  the whole image, as a container sees it"))]
        for number, (layer, count) in enumerate(zip(self._layers, self._survey.layers, strict=True), 1):
            where = "base" if layer.base else f"line {layer.span.line}" if layer.span else ""
            text = f"{number:>3}   {size(count.size):>7}  {where:<8} {text_of(layer)}"
            found.append(Option(Content(text)))
        return found


def explore(name: str, layers: Sequence[Layer], found: Survey, paths: Sequence[PathChanges], base: int) -> None:
    """Run the explorer on this terminal until it is left."""
    Explorer(name, layers, found, paths, base).run()
