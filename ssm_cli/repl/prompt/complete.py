"""The prompt's completion, colours and hint line: three views of one reading of the line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import UIContent, UIControl
from prompt_toolkit.lexers import Lexer
from rich.cells import cell_len

from ssm_cli.render.sanitize import fit, one_line
from ssm_cli.repl.prompt.line import Line, Problem
from ssm_cli.repl.prompt.reading import read
from ssm_cli.repl.shell.names import Names

STYLES = {
    "verb": "class:verb",
    "name": "class:name",
    "option": "class:field",
    "constructor": "class:input",
    "field": "class:field",
    "value": "",
    "text": "class:good",
    "comment": "class:muted",
}
WRONG = "class:wrong"


class LineReader:
    """Reads lines, and keeps the last reading: colours and hint ask for the same line.

    Args:
        names: those of the tree.
        aliases: words for the beginning of a command.
    """

    def __init__(self, names: Names, aliases: Mapping[str, str] | None = None) -> None:
        self.names = names
        self.aliases = aliases or {}
        self._kept: tuple[str, Line] | None = None

    def read(self, text: str) -> Line:
        """The reading of a line."""
        if self._kept is None or self._kept[0] != text:
            self._kept = (text, read(text, self.names, self.aliases))
        return self._kept[1]

    def forget(self, *, names: bool = True) -> None:
        """The tree has changed: read again, and ask for its names again if those may have."""
        if names:
            self.names.forget()
        self.names.forget_states()
        self._kept = None


class LineCompleter(Completer):
    """Offers what may come next; on an empty line only when asked, so as not to hide replies."""

    def __init__(self, reader: LineReader) -> None:
        self._reader = reader

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """The candidates for the word before the cursor."""
        text = document.current_line_before_cursor
        asked = complete_event.completion_requested
        if not text.strip() and not asked:
            return
        line = read(text, self._reader.names, self._reader.aliases, anywhere=asked)
        typed = text[line.start :]
        for candidate in line.candidates:
            if candidate.text == typed and not asked:
                continue  # it is there already
            shown, meta = one_line(candidate.text), one_line(candidate.meta)
            yield Completion(candidate.text, -len(typed), display=shown, display_meta=meta)


class LineLexer(Lexer):
    """Colours the words that are known, and marks the one that is wrong."""

    def __init__(self, reader: LineReader) -> None:
        self._reader = reader

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """The fragments of each line; the prompt has one."""
        lines = [self._line(text) for text in document.lines]
        return lambda index: lines[index] if index < len(lines) else []

    def _line(self, text: str) -> StyleAndTextTuples:
        line = self._reader.read(text)
        styles = [""] * len(text)
        for token in line.tokens:
            styles[token.start : token.end] = [STYLES[token.kind]] * (token.end - token.start)
        problem = line.problem
        if problem is not None and problem.wrong:
            end = min(problem.end, len(text))
            styles[problem.start : end] = [WRONG] * (end - problem.start)
        return [(style, character) for style, character in zip(styles, text, strict=False)]


@dataclass(eq=False)
class HintLine(UIControl):
    """The line below the prompt: how to write it, or what is wrong, below the very word.

    Args:
        reader: reads the line.
        text: the line as it is now.
        scrolled: how many columns of the prompt are scrolled out of sight.
        said: what is waited for and what is asked, in words, None while nothing is; and what is
            said while nothing is typed.
        mark: what stands before the line.
    """

    reader: LineReader
    text: Callable[[], str]
    scrolled: Callable[[], int]
    said: Callable[[], tuple[str | None, str | None, str]]
    mark: Callable[[], str]

    def create_content(self, width: int, height: int) -> UIContent:
        """One line; called for each frame, after the prompt was drawn."""
        del height
        line = self._fragments(width)
        return UIContent(lambda _: line, line_count=1, show_cursor=False)

    def _fragments(self, width: int) -> StyleAndTextTuples:
        text, (waiting, question, idle) = self.text(), self.said()
        indent = " " * cell_len(self.mark())
        said = question or (not text and waiting) or (not text.strip() and idle)
        if said:
            style = "class:alert" if said == question else "class:muted"
            return [(style, fit(f"{indent}{one_line(said)}", width))]
        if not text.strip():
            return []
        line = self.reader.read(text)
        problem = line.problem
        if problem is not None and problem.wrong:
            return [("class:bad", fit(self._below(text, problem, width), width))]
        return self._signature(line.signature, indent, width)

    def _signature(
        self, signature: Iterable[tuple[str, bool]], indent: str, width: int
    ) -> StyleAndTextTuples:
        """The signature in `width` cells; an ellipsis stands for what has no room."""
        parts: StyleAndTextTuples = [("", indent)]
        words = [(one_line(part), lit) for part, lit in signature]
        left = width - len(indent)
        for at, (word, lit) in enumerate(words):
            style, rest = "class:name" if lit else "class:muted", " ".join(w for w, _ in words[at:])
            if cell_len(rest) > left < cell_len(word) + 2:  # a blank, and the ellipsis
                return [*parts, (style, fit(rest, left))]
            parts += [(style, word), ("", " ")]
            left -= cell_len(word) + 1
        return parts

    def _below(self, text: str, problem: Problem, width: int) -> str:
        """The message beside a `^` below the word that is wrong, where there is room for it."""
        column = max(cell_len(self.mark()) + cell_len(text[: problem.start]) - self.scrolled(), 0)
        message = one_line(problem.message)
        cells = cell_len(message) + 2
        if column + cells <= width:
            return f"{' ' * column}^ {message}"
        if cells <= column:
            return f"{' ' * (column - cells + 1)}{message} ^"
        return f"{' ' * max(width - cells, 0)}{message}"
