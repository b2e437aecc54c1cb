"""Where the panel is after a resize: most terminals wrap the rows anew that were drawn before.

prompt_toolkit erases from as many rows above the cursor as it drew. In a terminal that has become
narrower those rows take more, and what is left over of them would stay as a ghost above the panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application

if TYPE_CHECKING:
    from prompt_toolkit.layout.screen import Screen as Drawn


def more_rows(lengths: Sequence[int], cursor_column: int, columns: int) -> int:
    """Return how many more rows are above the cursor once rows are wrapped at `columns` cells.

    Args:
        lengths: cells of each row above that of the cursor.
        cursor_column: where in its row the cursor is, from 0.
        columns: of the terminal, as it is now.

    >>> more_rows([80, 12, 60], 5, 60), more_rows([80, 12, 60], 5, 100)
    (1, 0)
    """
    wrapped = sum(max(length - 1, 0) // columns for length in lengths)
    return wrapped + cursor_column // columns


def wraps_anew(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal wraps rows anew; xterm, Linux's console and GNU screen do not."""
    is_screen = "STY" in environ and "TMUX" not in environ
    return not (is_screen or "XTERM_VERSION" in environ or environ.get("TERM") == "linux")


class Resizing(Application[None]):
    """An application that leaves no ghosts when the terminal is resized.

    Attributes:
        reflows: the terminal wraps rows anew.
    """

    reflows = False

    def _on_resize(self) -> None:
        self._go_up()
        super()._on_resize()

    def _redraw(self, render_as_done: bool = False) -> None:
        self._go_up()  # a frame may be due before the signal has come
        super()._redraw(render_as_done)

    def _go_up(self) -> None:
        """Go up by as many rows as what was drawn takes more now; what follows draws it anew."""
        drawn, columns = self.renderer.last_rendered_screen, self.output.get_size().columns
        if drawn is None or self.full_screen or not self.reflows:
            return
        at = drawn.get_cursor_position(self.layout.current_window)
        lengths = [self._length(drawn, row) for row in range(at.y)]
        self.output.cursor_up(more_rows(lengths, at.x, columns))

    def _length(self, drawn: Drawn, row: int) -> int:
        """Up to its last cell that can be seen."""
        cells = drawn.data_buffer[row]
        seen = (at for at, cell in cells.items() if cell.char.strip() or self._is_seen(cell.style))
        return max(seen, default=-1) + 1

    def _is_seen(self, style: str) -> bool:
        """Whether a blank in a style can be seen."""
        look = self.renderer.style.get_attrs_for_style_str(style)
        return bool(look.reverse or look.underline or look.bgcolor)
