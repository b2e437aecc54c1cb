"""The tree on the screen."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.formatted_text import StyleAndTextTuples

from ssm_cli.render.rows import row_key, row_text
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import Pane


class TreePane(Pane):
    """The live tree. Rows that were just restarted are brought into view, or the chosen one.

    Args:
        model: what it shows.
        enter: called at a click at the row that was chosen already.
        arrive: called at a click, for the keys to act here.
    """

    def __init__(self, model: Model, enter: Callable[[], None], arrive: Callable[[], None]) -> None:
        super().__init__(follow=False)
        self._arrive = arrive
        self._model = model
        self._enter = enter

    def count(self, width: int) -> int:
        """See `Pane`."""
        del width
        return self._model.tree.index.count

    def first(self, height: int) -> int:
        """See `Pane`; moved so that the row that matters is seen."""
        first = super().first(height)
        tree = self._model.tree
        if tree.chosen is not None:
            self._top = first = min(first, tree.chosen)
            if tree.chosen >= first + height:
                self._top = first = tree.chosen - height + 1
            return first
        place = tree.flashing_row()
        if place is None or first <= place < first + height:
            return first
        return max(0, min(place - height // 2, self._count - height))

    def scroll(self, lines: int) -> None:
        """See `Pane`; the chosen row moves along."""
        if self._model.tree.chosen is None:
            super().scroll(lines)
        else:
            self._model.tree.move(lines)

    def pressed(self, line: int) -> None:
        """See `Pane`: choose the row; the second time enter it."""
        again, self._model.tree.chosen = self._model.tree.chosen == line, line
        self._arrive()
        if again:
            self._enter()

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        tree = self._model.tree
        row = tree.row(index)
        flash = not row.hidden and row.node.id in tree.flashing
        chosen = tree.chosen == index
        key = (row_key(row), flash, chosen, width)
        return self.cached(key, lambda: row_text(row, width, flash=flash, chosen=chosen))
