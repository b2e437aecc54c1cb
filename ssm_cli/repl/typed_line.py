"""What is typed and pasted, until it is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

from ssm_cli.repl.prompt.sequences import PASTE_CHARACTERS
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.shell.pipeline import lines_in

LINE_END = "\n"
LINE_CHARACTERS = 10_000  # that the prompt shows: each is coloured at every key


@dataclass(eq=False)
class TypedLine:
    """Owns the line at the prompt, and what was pasted before it and is too long to be shown.

    Args:
        buffer: what is typed.
        commands: carries out lines.
        complain: says why something was not taken.

    Attributes:
        held: what was pasted before it.
    """

    buffer: Buffer
    commands: Commands
    complain: Callable[[str, str], None]

    def __post_init__(self) -> None:
        self.held = ""

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
            self.complain(
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
