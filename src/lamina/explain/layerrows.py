"""The rows of a tree of files that is folded and filtered: what an explorer shows, made as far as it is open. Pure."""

from __future__ import annotations

from lamina.explain.layertree import Mark, Node


class Rows:
    """The entries below `root` that are to be seen: `rows` are nodes with their depth from 0. Directories are folded at
    first; a filter opens those that hold what it finds."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.rows: list[tuple[Node, int]] = []
        self.by_size = True
        #: Only entries whose name has this in it (and what lies below such directories), with this mark.
        self.word = ""
        self.mark: Mark | None = None
        self._open: set[Node] = set()
        self._kept: set[Node] | None = None
        self._found: set[Node] = set()
        self._fill()

    def is_open(self, node: Node) -> bool:
        return node in self._open or node in self._found

    def filter(self, word: str, mark: Mark | None) -> None:
        """Show only what fits both; an empty word and None fit all."""
        self.word, self.mark = word, mark
        self._search()
        self._fill()

    def sort(self, *, by_size: bool) -> None:
        """The biggest first, or by name."""
        self.by_size = by_size
        self._fill()

    def toggle(self, number: int) -> None:
        """Open or fold the directory in a row; of anything else, nothing happens."""
        node, depth = self.rows[number]
        if self.is_open(node):
            self._open.discard(node)
            self._found.discard(node)
            end = number + 1
            while end < len(self.rows) and self.rows[end][1] > depth:
                end += 1
            del self.rows[number + 1 : end]
        elif node.children:
            self._open.add(node)
            self.rows[number + 1 : number + 1] = self._below(node, depth + 1)

    def parent(self, number: int) -> int:
        """The row of the directory that a row lies in; itself at the top."""
        depth = self.rows[number][1]
        return next((above for above in range(number - 1, -1, -1) if self.rows[above][1] < depth), number)

    def _fill(self) -> None:
        self.rows = self._below(self.root, 0)

    def _below(self, top: Node, depth: int) -> list[tuple[Node, int]]:
        found: list[tuple[Node, int]] = []
        waiting = [(node, depth) for node in reversed(self._children(top))]
        while waiting:
            node, level = waiting.pop()
            found.append((node, level))
            if self.is_open(node):
                waiting += [(child, level + 1) for child in reversed(self._children(node))]
        return found

    def _children(self, node: Node) -> list[Node]:
        kept = self._kept
        ordered = node.ordered(by_size=self.by_size)
        return ordered if kept is None else [child for child in ordered if child in kept]

    def _search(self) -> None:
        self._found = set()
        if not self.word and self.mark is None:
            self._kept = None
            return
        word, kept = self.word.casefold(), set()
        order: list[tuple[Node, Node]] = []
        waiting = [(child, self.root, not word) for child in (self.root.children or {}).values()]
        while waiting:
            node, parent, inside = waiting.pop()
            order.append((node, parent))
            named = inside or word in node.name.casefold()
            if named and self.mark in (None, node.mark):
                kept.add(node)
            waiting += [(child, node, named) for child in (node.children or {}).values()]
        for node, parent in reversed(order):  # what lies deeper comes first
            if node in kept and parent is not self.root:
                kept.add(parent)
                # A directory that fits by its own name is shown folded.
                if not (word and word in parent.name.casefold() and self.mark is None):
                    self._found.add(parent)
        self._kept = kept
