"""What keys and clicks do. `keys` says which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.search import stop_search
from rich.text import Text

from ssm_cli.commands.verbs import help_lines
from ssm_cli.errors import SsmError
from ssm_cli.repl.model import Model
from ssm_cli.repl.prompt.sequences import PASTE_CHARACTERS
from ssm_cli.repl.screen import Screen
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.shell.pipeline import lines_in
from ssm_cli.repl.shell.programs import edited
from ssm_cli.repl.shell.verbs import help_here
from ssm_cli.repl.tree.view import SORTS

LINE_END = "\n"
LINE_CHARACTERS = 10_000  # that the prompt shows: each is coloured at every key


HELP = (
    ("Tab, Shift-Tab", "complete, next and previous"),
    ("up, down", "what was typed before; Ctrl-R searches it; right takes the grey suggestion"),
    ("Alt-Enter", "another line below this one; Enter sends them all, one after the other"),
    ("Ctrl-X Ctrl-E", "edit the line in $EDITOR"),
    ("F1", "the keys and the commands"),
    ("F2", "the panel below the terminal's own scrollback, or all of the screen"),
    ("F3", "show only the nodes whose name contains what is typed then"),
    ("F4", "the report of the last crash, in the tree of the chosen worker's"),
    ("F5", "let the view stand still while the tree goes on"),
    ("F6, Shift-F6", "choose another pane: the output, the tree, the restart log"),
    ("F7", "sort by the next column"),
    ("F8", "let the mouse select text, or work in the view"),
    ("F9", "what there is to know of the chosen node, in place of the restart log"),
    ("PgUp, PgDn", "scroll the chosen pane"),
    ("in the tree", "up, down, Home, End move; Enter opens or closes, or calls a worker;"),
    ("", "right opens, left closes, / seeks; Esc or any other key leads back to the prompt"),
    ("Ctrl-C", "clear the line; while lines are carried out, stop waiting and drop the rest"),
    ("Ctrl-D", "on an empty line, behind all lines that wait: stop the tree in order and leave"),
    ("Ctrl-L, Ctrl-Z", "draw the screen anew; suspend, tree and all, until `fg`"),
)


def key_lines() -> list[str]:
    """The keys and what they do, one a line."""
    width = max(len(key) for key, _ in HELP)
    return [f"{key.ljust(width)}  {does}" for key, does in HELP]


class Actions:
    """The actions of a session.

    Args:
        app: it has the screen.
        buffer: what is typed.
        screen: what is chosen on it.
        model: what it shows.
        commands: carries out lines.
        environ: the environment variables.
        lend: a block in which another program has the terminal.
        face: changes the face of the session.
        leave: ends the session.
        lent: whether another program has the terminal.

    Attributes:
        buffer: what is typed.
        held: what was pasted before it, and is too long to be shown.
        mouse: it works in the view; else it selects text.
    """

    def __init__(
        self,
        app: Application[None],
        buffer: Buffer,
        screen: Screen,
        model: Model,
        *,
        commands: Commands,
        environ: Mapping[str, str],
        mouse: bool,
        lend: Callable[[], AbstractAsyncContextManager[None]],
        face: Callable[[str], None],
        leave: Callable[[], None],
        lent: Callable[[], bool],
    ) -> None:
        self.app = app
        self.buffer = buffer
        self.screen = screen
        self.held = ""
        self.mouse = mouse
        self._is_lent = lent
        self.quit = leave
        self._model = model
        self._commands = commands
        self._environ = environ
        self._lend = lend
        self._face = face
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_choosing(self) -> bool:
        """Whether a completion is selected in the menu."""
        state = self.buffer.complete_state
        return state is not None and state.current_completion is not None

    @property
    def held_words(self) -> str | None:
        """What is to be said of a long paste; None while there is none."""
        if not self.held:
            return None
        how = "Enter sends them, Ctrl-C drops them; `source FILE` takes a file"
        return f"{self.held.count(LINE_END) + 1:,} lines were pasted: {how}"

    def interrupt(self) -> None:
        """Ctrl-C: stop waiting for a call; else clear the line; else say how to leave."""
        if self._is_lent():
            return  # it is meant for the program that has the terminal
        if self.app.is_running and self.app.layout.is_searching:
            stop_search()
        elif self._commands.waiting is not None or self._commands.count:
            self._commands.interrupt()
        elif self.buffer.text or self.held:
            if self._commands.plain:
                self._commands.echo(f"{self.buffer.document.lines[-1]}^C")
            self.held = ""
            self.buffer.reset()
        else:
            self._model.notice("Ctrl-D stops the tree in order and leaves; F1 shows the keys", "")

    def enter(self) -> None:
        """Enter: send what was typed."""
        self.buffer.validate_and_handle()

    def paste(self, text: str) -> None:
        """Insert what was pasted, below each other if it is several lines; Enter sends them.

        What is too long to be shown is held before the line.
        """
        if len(text) > PASTE_CHARACTERS:
            self._model.notice(
                f"more than {PASTE_CHARACTERS:,} characters were pasted, and none taken; put them "
                "in a file, and type `source FILE`",
                "red",
            )
            return
        lines = LINE_END.join(lines_in(text))
        if len(lines) + len(self.buffer.text) <= LINE_CHARACTERS:
            self.buffer.insert_text(lines)
            return
        typed = self.buffer.document
        self.held += typed.text_before_cursor + lines
        self.buffer.document = Document(typed.text_after_cursor, 0)

    def take(self, text: str) -> bool:
        """Carry out many lines that came at once; False where keys mean something else now."""
        buffer, vi = self.buffer, self.app.vi_state
        typing = self.app.editing_mode is EditingMode.EMACS or vi.input_mode is InputMode.INSERT
        elsewhere = self.app.layout.is_searching or self.is_choosing or self.screen.is_chosen
        pending = self.app.key_processor.key_buffer or self._commands.question is not None
        if elsewhere or pending or self._is_lent() or not typing:
            return False
        first, *lines = lines_in(text)
        buffer.insert_text(first)
        for line in lines_in(self.held + buffer.text) + lines:
            self._commands.put(line.strip())
        self.held = ""
        buffer.reset()
        return True

    def help(self) -> None:
        """F1: the keys and the commands, in the output."""
        lines = (*key_lines(), "", *help_lines(), *help_here())
        self._model.say(Text(f"  {line}") for line in lines)

    def toggle_inline(self) -> None:
        """F2: the full screen, or the panel below the scrollback."""
        self._face("full" if self.screen.inline else "inline")

    def seek(self) -> None:
        """F3: put `filter ` into the prompt; where something is sought, seek nothing."""
        if self._model.tree.needle:
            self._model.tree.seek("")
            self._model.touch()
        else:
            self._write("filter ")

    def crash(self) -> None:
        """F4: the report of the last crash, of the chosen worker if one is."""
        name = self._model.tree.chosen_name() if self.screen.in_tree else None
        self._commands.put("crash" if name is None else f"crash {name}")

    def freeze(self) -> None:
        """F5: let the view stand still, or go on."""
        self._model.freeze()

    def sort(self) -> None:
        """F7: sort by the next column."""
        tree = self._model.tree
        tree.sort_by(SORTS[(SORTS.index(tree.sort) + 1) % len(SORTS)])
        self._model.touch()

    def toggle_mouse(self) -> None:
        """F8: let the mouse select text, or work in the view."""
        self.mouse = not self.mouse
        works = "works in the view" if self.mouse else "selects text"
        self._model.notice(f"the mouse {works}; F8 changes that", "")

    def detail(self) -> None:
        """F9: what there is to know of the chosen node, or the restart log again."""
        self._model.show_detail()

    def enter_row(self) -> None:
        """Enter in the tree: open or close a supervisor; put a call to a worker in the prompt."""
        if self._model.tree.chosen is not None:
            self.enter_at(self._model.tree.chosen)

    def enter_at(self, row: int) -> None:
        """The same for any row."""
        worker = self._model.tree.toggle(row)
        self._model.touch()
        if worker is not None:
            self._write(f"call {worker} ")

    def _write(self, text: str) -> None:
        """Begin the line with a text; what was typed is gone."""
        self.screen.leave_panes()
        self.buffer.text = text
        self.buffer.cursor_position = len(text)

    def open_row(self, *, opened: bool) -> None:
        """Right or left in the tree: open the chosen supervisor, or close it."""
        tree = self._model.tree
        name = tree.chosen_name()
        if name is not None and tree.source.size(name):
            (tree.open if opened else tree.close)(name)
            self._model.touch()

    def edit_line(self) -> None:
        """Ctrl-X Ctrl-E: what is typed, in the user's editor."""
        task = asyncio.get_running_loop().create_task(self._edit_line())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _edit_line(self) -> None:
        try:
            async with self._lend():
                text = await edited(self.buffer.text, ".ssm", self._environ)
        except SsmError as error:
            self._model.notice(str(error), "red")
            return
        if text is not None:
            self.buffer.text = text.rstrip("\n")[:LINE_CHARACTERS]
            self.buffer.cursor_position = len(self.buffer.text)

    def accept(self, buffer: Buffer) -> bool:
        """Each line waits for those before it; the prompt is free for the next at once."""
        self.screen.follow()
        lines, self.held = lines_in(self.held + buffer.text), ""
        if len(lines) < 2 and self._commands.answer("".join(lines)):
            return False
        for line in lines:
            self._commands.put(line.strip())
        return False
