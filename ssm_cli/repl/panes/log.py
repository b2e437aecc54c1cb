"""What has happened: the restart log, the output, and the detail of a node."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.formatted_text import StyleAndTextTuples

from ssm_cli.render.log import log_text
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import Pane, cropped, fragments, wrapped
from ssm_cli.runtime.views import Report


class LogPane(Pane):
    """The restart log, newest last.

    Args:
        model: what it shows.
        enter: called with the report on a line that was clicked at.
    """

    def __init__(self, model: Model, enter: Callable[[Report], None]) -> None:
        super().__init__(follow=True)
        self._model = model
        self._enter = enter

    def pressed(self, line: int) -> None:
        """See `Pane`: open the crash report."""
        self._enter(self._model.log[line])

    def count(self, width: int) -> int:
        """See `Pane`."""
        del width
        return len(self._model.log)

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        report = self._model.log[index]
        return self.cached((report.seq, width), lambda: cropped(log_text(report), width))


class DetailPane(Pane):
    """What there is to know of the chosen node."""

    def __init__(self, model: Model) -> None:
        super().__init__(follow=False)
        self._model = model
        self._wrapped: list[StyleAndTextTuples] = []

    def count(self, width: int) -> int:
        """See `Pane`."""
        lines = self._model.detail or ()
        self._wrapped = [fragments(part) for line in lines for part in wrapped(line, width)]
        return len(self._wrapped)

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        del width
        return self._wrapped[index]


class OutputPane(Pane):
    """What was typed and what came of it, newest last; long lines are wrapped.

    The wrapped lines are kept for one width and added to as output comes.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(follow=True)
        self._model = model
        self._width = 0
        self._seen = 0
        self._lines: list[StyleAndTextTuples] = []

    def count(self, width: int) -> int:
        """See `Pane`. Wraps what has come since the last frame."""
        model = self._model
        new = model.output_seq - self._seen
        if width != self._width or new > len(model.output):
            self._lines, self._width, new = [], width, len(model.output)
        if new:
            for text in list(model.output)[-new:]:
                self._lines.extend(fragments(line) for line in wrapped(text, width))
            del self._lines[: -2 * (model.output.maxlen or 1)]
            self._seen = model.output_seq
        return len(self._lines)

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        del width
        return self._lines[index]
