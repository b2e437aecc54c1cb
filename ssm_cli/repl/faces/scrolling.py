"""The faces of the application: the full screen, the live panel (F2), and the plain prompt.

Inline and plain, the output goes into the terminal's own scrollback, where its search, selection
and copying work; below it stay the tree, the restart log and the prompt, or the prompt alone. The
terminal stays in raw mode while lines are printed: else it would edit and echo what is typed then.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.renderer import CPR_Support
from rich.text import Text

from ssm_cli.errors import counted
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import fragments
from ssm_cli.repl.screen import Screen

PRINTED_LINES = 1_000  # at once, beside the panel; of more than that the oldest are left out
ROOM_LINES = 500  # that may wait to be printed before the next command


@dataclass(eq=False)
class Scrolling:
    """Which face the application has, and how far its output was printed.

    Attributes:
        borrowers: the tasks that have lent the terminal to another program.
    """

    app: Application[None]
    screen: Screen
    model: Model

    def __post_init__(self) -> None:
        self.borrowers: set[asyncio.Task[object] | None] = set()
        self._cpr = self.app.renderer.cpr_support
        self._printed = 0

    def prepare(self, face: str) -> None:
        """Say which face the application is to have."""
        self.screen.inline, self.screen.plain = face != "full", face == "plain"
        renderer = self.app.renderer
        self.app.full_screen = renderer.full_screen = face == "full"
        renderer.cpr_support = CPR_Support.NOT_SUPPORTED if face == "plain" else self._cpr

    def begin(self) -> None:
        """Draw below what is there."""
        self.app.renderer.reset()
        if self.screen.inline:
            self.app.renderer.request_absolute_cursor_position()
        self.app.invalidate()

    @property
    def has_room(self) -> bool:
        """Whether few lines wait to be printed; the full screen prints none."""
        return not self.screen.inline or self.model.output_seq - self._printed < ROOM_LINES

    def flush(self) -> None:
        """Print what is new above the prompt; nothing while the screen is full, or is lent."""
        new = self.model.output_seq > self._printed
        if self.screen.inline and self.app.is_running and not self.borrowers and new:
            self.app.renderer.erase()
            lines = self._new()
            self.app.print_text(
                FormattedText([part for line in lines for part in (*fragments(line), ("", "\n"))])
            )
            self.begin()

    def take_back(self) -> None:
        """End the programs that have the terminal."""
        for task in self.borrowers:
            if task is not None:
                task.cancel()

    def rest(self) -> list[str]:
        """The lines that were not printed before the prompt was closed, without colour."""
        return [line.plain for line in self._new()] if self.screen.inline else []

    def _new(self) -> list[Text]:
        """The lines not printed yet, which count as printed from here on."""
        new = self.model.output_seq - self._printed
        self._printed = self.model.output_seq
        most = new if self.screen.plain else PRINTED_LINES
        kept = list(self.model.output)[-min(new, most) :] if new else []
        left_out = new - len(kept)
        return [Text(f"... {counted(left_out, 'line')} left out"), *kept] if left_out else kept
