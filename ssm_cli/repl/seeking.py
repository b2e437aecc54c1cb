"""Seeking: texts in the output and in the restart log, upwards from line to line."""

from __future__ import annotations

from collections.abc import Callable

from ssm_cli.errors import CommandError
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import Pane
from ssm_cli.repl.screen import Screen


class Seeking:
    """What is sought, and in which pane.

    Attributes:
        from_log: the search was begun in the pane of the log, which is chosen again behind it.
    """

    def __init__(self, screen: Screen, model: Model) -> None:
        self._screen, self._model = screen, model
        self._needle, self.from_log = "", False
        self._pane: Callable[[], Pane] = lambda: screen.output

    def find(self, needle: str) -> None:
        """Show the line of the output, above what is shown, that contains a text.

        Raises:
            CommandError: none does.
        """
        self._find(needle, lambda: self._screen.output)

    def find_in_log(self, needle: str) -> None:
        """The same in the restart log, or in the detail in its place."""
        self._find(needle, lambda: self._screen.beside)
        if self.from_log:
            self._screen.go_to("log")  # where `n` goes on

    def _find(self, needle: str, pane: Callable[[], Pane]) -> None:
        self._needle, self._pane = needle, pane
        if not pane().find(needle):
            raise CommandError(f"no line contains `{needle}`")

    def again(self) -> None:
        """Go on upwards, in the pane that was searched last."""
        if not self._needle:
            self._model.notice("nothing was sought yet; `find TEXT` seeks in the output")
        elif not self._pane().find(self._needle):
            self._model.notice(f"no line contains `{self._needle}`")
