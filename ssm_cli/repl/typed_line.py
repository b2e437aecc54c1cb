"""What is typed and pasted, until it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.layout import BufferControl, Window
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.processors import AppendAutoSuggestion, BeforeInput
from prompt_toolkit.widgets import SearchToolbar

from ssm_cli.repl.prompt.complete import HintLine, LineCompleter, LineLexer, LineReader
from ssm_cli.repl.prompt.history import PersistentHistory, history_path
from ssm_cli.repl.prompt.sequences import PASTE_CHARACTERS
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.shell.config import Settings
from ssm_cli.repl.shell.pipeline import lines_in

LINE_END = "\n"
PROMPT_ROWS = 5  # of an input of several lines that are seen
LINE_CHARACTERS = 10_000  # that the prompt shows: each is coloured at every key


@dataclass(eq=False)
class TypedLine:
    """Owns the line at the prompt, and what was pasted before it and is too long to be shown.

    Args:
        reader: reads what is typed.
        settings: whether what was typed is remembered.
        environ: the environment variables.
        commands: carries out lines.

    Attributes:
        buffer: what is typed: Enter sends it, Alt-Enter begins another line below it.
        window: where it is shown.
        hint: the line below that.
        search: the line that searches the history.
        held: what was pasted before it.
    """

    reader: LineReader
    settings: Settings
    environ: Mapping[str, str]
    commands: Commands

    def __post_init__(self) -> None:
        self.held = ""
        self._model = self.commands.model
        path = history_path(self.environ)
        self.buffer = Buffer(
            completer=LineCompleter(self.reader),
            complete_while_typing=True,
            enable_history_search=True,
            auto_suggest=AutoSuggestFromHistory(),
            history=PersistentHistory(path, self._model.notice) if self.settings.history else None,
            multiline=True,
        )
        self.search = SearchToolbar()
        control = BufferControl(
            self.buffer,
            lexer=LineLexer(self.reader),
            input_processors=[
                BeforeInput(lambda: self.commands.prompt, style="class:good"),
                AppendAutoSuggestion(),
            ],
            search_buffer_control=self.search.control,
            preview_search=True,
        )
        self.window = Window(control, height=lambda: Dimension.exact(self.rows))
        self.hint = HintLine(
            self.reader,
            text=lambda: self.buffer.document.current_line,
            scrolled=lambda: self.window.horizontal_scroll,
            said=self._said,
            mark=lambda: self.commands.prompt,
        )

    @property
    def rows(self) -> int:
        """How many rows the lines that are typed take on the screen."""
        return max(1, min(self.buffer.document.line_count, PROMPT_ROWS))

    @property
    def says(self) -> bool:
        """Whether there is something to say of what is asked or waits, or of the place in time."""
        return bool(any(self._said()[1:]) or self.commands.count)

    def _said(self) -> tuple[str | None, str | None, str]:
        asked = self.commands.asking.text or self.words
        return self.commands.waiting, asked, self._model.timeline.line

    @property
    def words(self) -> str | None:
        """What is to be said of a long paste; None while there is none."""
        if not self.held:
            return None
        how = "Enter sends them, Ctrl-C drops them; `source FILE` takes a file"
        return f"{self.held.count(LINE_END) + 1:,} lines were pasted: {how}"

    def begin(self, text: str) -> None:
        """Begin the line with a text; what was typed is gone."""
        self.buffer.text = text[:LINE_CHARACTERS]
        self.buffer.cursor_position = len(self.buffer.text)

    def clear(self) -> None:
        """Drop what was typed and pasted."""
        if self.commands.plain:
            self.commands.echo(f"{self.buffer.document.lines[-1]}^C")
        self.drop()

    def drop(self) -> str:
        """Drop it without a word; return it."""
        text, self.held = self.held + self.buffer.text, ""
        self.buffer.reset()
        return text

    def paste(self, text: str) -> None:
        """Insert what was pasted, below each other if it is several lines; Enter sends them."""
        if len(text) > PASTE_CHARACTERS:
            self._model.notice(
                f"more than {PASTE_CHARACTERS:,} characters were pasted, and none taken; put them "
                "in a file, and type `source FILE`",
                "bad",
            )
            return
        lines = LINE_END.join(lines_in(text))
        if len(lines) + len(self.buffer.text) <= LINE_CHARACTERS:
            self.buffer.insert_text(lines)
            return
        typed = self.buffer.document
        self.held += typed.text_before_cursor + lines
        self.buffer.document = Document(typed.text_after_cursor, 0)

    def take(self, text: str) -> None:
        """Send whole lines that came at once, the first of them behind what was typed."""
        first, *lines = lines_in(text)
        self.buffer.insert_text(first)
        for line in lines_in(self.held + self.buffer.text) + lines:
            self.commands.put(line.strip())
        self.held = ""
        self.buffer.reset()

    def accept(self, buffer: Buffer) -> bool:
        """Send the line. Each waits for those before it; the prompt is free for the next at once.

        Returns False: the buffer is to be emptied.
        """
        lines, self.held = lines_in(self.held + buffer.text), ""
        if len(lines) < 2 and self.commands.asking.answer("".join(lines)):
            return False
        for line in lines:
            self.commands.put(line.strip())
        return False
