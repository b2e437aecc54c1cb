"""The help over the screen: keys first, then the commands, page by page."""

from __future__ import annotations

from rich.text import Text

from ssm_cli.commands.verbs import help_lines
from ssm_cli.repl.keymap import key_lines
from ssm_cli.repl.panes.lines import Pane, fragments, wrapped
from ssm_cli.repl.shell.verbs import help_here


class HelpPane(Pane):
    """All keys and commands; a line that ends in a colon is a title."""

    def __init__(self) -> None:
        super().__init__(follow=False)
        self._made_for = 0

    def page_of(self, width: int, height: int) -> tuple[int, int]:
        """The number of the page that is shown in `height` rows, and of how many."""
        step, self._count = max(height - 1, 1), self.count(width)
        pages = 1 + max(self._count - height + step - 1, 0) // step
        return 1 + min((self.first(height) + step - 1) // step, pages - 1), pages

    def count(self, width: int) -> int:
        """See `Pane`."""
        if width != self._made_for:
            self._made_for = width
            lines = (*key_lines(), "", "commands:", *help_lines(), "", *help_here())
            self.made = [
                fragments(part)
                for line in lines
                for part in wrapped(
                    Text(line, "name" if line.endswith(":") else ""), width, hang=_hang(line)
                )
            ]
        return len(self.made)


def _hang(line: str) -> int:
    """How far what a key or a command does is from where the line begins.

    >>> _hang("  F1, Ctrl-X h  the keys"), _hang("tree  print the tree")
    (14, 6)
    """
    begin = len(line) - len(line.lstrip())
    gap = line.find("  ", begin)
    return 0 if gap < 0 else len(line) - len(line[gap:].lstrip()) - begin
