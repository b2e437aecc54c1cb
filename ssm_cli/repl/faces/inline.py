"""The inline face: the live panel below the terminal's own scrollback (F2).

The output goes into the scrollback, where the terminal's own search, selection and copying work;
the tree, the restart log and the prompt stay below it. prompt_toolkit's `patch_stdout` would
need a thread for that; printing at the pace of the frames does not.
"""

from __future__ import annotations

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from rich.text import Text

from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import fragments
from ssm_cli.repl.screen import Screen

PRINTED_LINES = 200  # at once; of more than that the oldest are left out, and counted


class Inline:
    """Whether the application is inline, and how far its output was printed."""

    def __init__(self, app: Application[None], screen: Screen, model: Model) -> None:
        self._app = app
        self._screen = screen
        self._model = model
        self._printed = 0

    def prepare(self, *, inline: bool) -> None:
        """Say which of the two faces the application is to have when it runs."""
        self._screen.inline = inline
        self._app.full_screen = self._app.renderer.full_screen = not inline

    def toggle(self) -> None:
        """Go from the full screen to the panel, or back. The output so far is printed too."""
        app, renderer = self._app, self._app.renderer
        renderer.erase()
        self.prepare(inline=not self._screen.inline)
        renderer.reset()
        if self._screen.inline:
            renderer.request_absolute_cursor_position()
        app.invalidate()

    async def flush(self) -> None:
        """Print what is new above the panel; nothing while the screen is full."""
        if self._screen.inline and self._app.is_running and self._model.output_seq > self._printed:
            await run_in_terminal(self._print)

    def skip(self) -> None:
        """What there is by now was printed by another face."""
        self._printed = self._model.output_seq

    def rest(self) -> list[str]:
        """The lines that were not printed before the panel was closed, without colour."""
        return [line.plain for line in self._new()] if self._screen.inline else []

    def _print(self) -> None:
        lines = self._new()
        self._app.print_text(
            FormattedText([part for line in lines for part in (*fragments(line), ("", "\n"))])
        )

    def _new(self) -> list[Text]:
        """The lines not printed yet, which count as printed from here on."""
        new = self._model.output_seq - self._printed
        self._printed = self._model.output_seq
        kept = list(self._model.output)[-min(new, PRINTED_LINES) :] if new else []
        left_out = new - len(kept)
        return [Text(f"... {left_out:,} lines left out"), *kept] if left_out else kept
