"""What has happened: the restart log, the output, and the detail of a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.formatted_text import StyleAndTextTuples
from rich.text import Text

from ssm_cli.render.log import log_text
from ssm_cli.render.reply import MARK
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import FAR, Pane, fragments, wrapped
from ssm_cli.runtime.views import Report

HANG = 11  # cells before a report's name: time and glyph
WHOLE = -1  # the part of a report that is all of it, cut


class LogPane(Pane):
    """The restart log, newest last; long reports take the rows that nothing else needs.

    Args:
        model: what it shows.
        enter: called with the name of the node that a line is about which was clicked at.

    Attributes:
        wraps: each report takes as many rows as it needs.
    """

    def __init__(self, model: Model, enter: Callable[[str], None]) -> None:
        super().__init__(follow=True)
        self.wraps = False
        self._model = model
        self._enter = enter
        self._rows: list[tuple[Report, int]] | None = None

    def pressed(self, line: int) -> None:
        """See `Pane`: open the crash report."""
        self._enter(self._row(line)[0].id)

    def count(self, width: int) -> int:
        """See `Pane`."""
        log = self._model.log
        idle = FAR if self.wraps else self._height - len(log)
        self._rows = None if idle <= 0 else self._spread(log, width, idle)
        return len(log) if self._rows is None else len(self._rows)

    def _spread(self, log: Sequence[Report], width: int, idle: int) -> list[tuple[Report, int]]:
        """The rows of all reports; the newest ones get those that are idle."""
        rows: list[tuple[Report, int]] = []
        for report in reversed(log):
            more = len(self._parts(report, width)) - 1
            if more <= idle:
                idle -= more
                rows += ((report, part) for part in range(more, -1, -1))
            else:
                rows.append((report, WHOLE))
        return rows[::-1]

    def _parts(self, report: Report, width: int) -> list[Text]:
        return wrapped(log_text(report), width, hang=HANG)

    def _row(self, index: int) -> tuple[Report, int]:
        return (self._model.log[index], WHOLE) if self._rows is None else self._rows[index]

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        report, part = self._row(index)
        return self.cached((report.seq, width, part), lambda: self._text(report, width, part))

    def _text(self, report: Report, width: int, part: int) -> Text:
        if part != WHOLE:
            return self._parts(report, width)[part]
        whole = log_text(report)
        whole.truncate(width, overflow="ellipsis")
        return whole


class DetailPane(Pane):
    """What there is to know of the chosen node."""

    def __init__(self, model: Model) -> None:
        super().__init__(follow=False)
        self._model = model

    def count(self, width: int) -> int:
        """See `Pane`."""
        return self.make(self._model.detail or (), width)


class OutputPane(Pane):
    """What was typed and what came of it, newest last; long lines are wrapped.

    The wrapped lines are kept for one width and added to as output comes. Before there is any,
    it says what can be typed.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(follow=True)
        self._model = model
        self._kept = (0, 0)
        self._seen = 0

    def count(self, width: int) -> int:
        """See `Pane`. Wraps what has come since the last frame."""
        model = self._model
        if not model.output_seq:
            return self.make(model.welcome, width)
        new = model.output_seq - self._seen
        kept = (width, model.output_taken)
        if kept != self._kept or new > len(model.output) or not self._seen:
            self.made, self._kept, new = [], kept, len(model.output)
        if new:
            for text in list(model.output)[-new:]:
                self.made.extend(fragments(line) for line in wrapped(text, width))
            del self.made[: -2 * (model.output.maxlen or 1)]
            self._seen = model.output_seq
        return len(self.made)

    def is_answer(self, text: str) -> bool:
        """See `Pane`: what was typed to find it is none."""
        return not text.startswith(f"{MARK} find ")
