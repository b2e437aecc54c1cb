"""The application that prompt_toolkit runs: buffer, prompt, hint and screen put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.layout import BufferControl, Window
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.processors import AppendAutoSuggestion, BeforeInput
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.styles import DynamicStyle
from prompt_toolkit.widgets import SearchToolbar

from ssm_cli.repl.faces.reflow import Resizing, wraps_anew
from ssm_cli.repl.prompt.complete import HintLine, LineCompleter, LineLexer, LineReader
from ssm_cli.repl.prompt.history import PersistentHistory, history_path
from ssm_cli.repl.screen import Screen
from ssm_cli.repl.shell.config import Settings
from ssm_cli.repl.themes import style

PROMPT_ROWS = 5  # of an input of several lines that are seen


def make_buffer(
    reader: LineReader,
    settings: Settings,
    environ: Mapping[str, str],
    notice: Callable[[str], None],
) -> Buffer:
    """The line that is typed; Enter sends it, Alt-Enter begins another one below it."""
    path = history_path(environ)
    history: History = PersistentHistory(path, notice) if settings.history else InMemoryHistory()
    return Buffer(
        completer=LineCompleter(reader),
        complete_while_typing=True,
        enable_history_search=True,
        auto_suggest=AutoSuggestFromHistory(),
        history=history,
        multiline=True,
    )


def prompt_rows(buffer: Buffer) -> int:
    """How many rows the lines that are typed take on the screen."""
    return max(1, min(buffer.document.line_count, PROMPT_ROWS))


def make_prompt(
    buffer: Buffer,
    reader: LineReader,
    said: Callable[[], tuple[str | None, str | None, str]],
    mark: Callable[[], str],
) -> tuple[Window, HintLine, SearchToolbar]:
    """The window of the prompt, the line below it, and the one that searches history.

    Args:
        buffer: what is typed.
        reader: reads it.
        said: what is waited for, what is asked, and what is said else, in words.
        mark: what stands before the line.
    """
    search = SearchToolbar()
    control = BufferControl(
        buffer,
        lexer=LineLexer(reader),
        input_processors=[BeforeInput(mark, style="class:good"), AppendAutoSuggestion()],
        search_buffer_control=search.control,
        preview_search=True,
    )
    prompt = Window(control, height=lambda: Dimension.exact(prompt_rows(buffer)))
    hint = HintLine(
        reader, lambda: buffer.document.current_line, lambda: prompt.horizontal_scroll, said, mark
    )
    return prompt, hint, search


def make_app(
    screen: Screen,
    settings: Settings,
    environ: Mapping[str, str],
    source: Input,
    output: Output,
    *,
    mouse: Callable[[], bool],
) -> Application[None]:
    """The application, not running."""
    app = Resizing(
        layout=screen.layout,
        style=DynamicStyle(lambda: style(screen.model.theme)),
        full_screen=True,
        erase_when_done=True,
        input=source,
        output=output,
        color_depth=ColorDepth.DEPTH_1_BIT if environ.get("NO_COLOR") else None,
        editing_mode=EditingMode.VI if settings.editing == "vi" else EditingMode.EMACS,
        mouse_support=Condition(mouse),
        max_render_postpone_time=None,
        before_render=lambda _: screen.place_menu(),
    )
    app.reflows = wraps_anew(environ)
    app.ttimeoutlen = 0.05  # Esc is felt at once
    return app
