"""What keys and clicks do. `keys` says which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import get_args

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.search import stop_search
from rich.text import Text

from ssm_cli.errors import CommandError, SsmError, message_of
from ssm_cli.repl.faces.scrolling import Scrolling
from ssm_cli.repl.keymap import PLAIN_SECTIONS, key_lines
from ssm_cli.repl.seeking import Seeking
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.shell.programs import edited
from ssm_cli.repl.shell.verbs import SORTS
from ssm_cli.repl.timeline import Data
from ssm_cli.repl.tree.acting import NEEDS_ENTER, Act, line_for
from ssm_cli.repl.typed_line import TypedLine

AT_PROMPT = ("prompt", "timeline")
"""The places whose keys act while one is at the prompt."""


@dataclass(eq=False)
class Actions:
    """The actions of a session.

    Args:
        line: what is typed, and what was pasted before it.
        scrolling: the face of the application: it has that, its screen and what it shows.
        commands: carries out lines.
        environ: the environment variables.
        mouse: it works in the view; else it selects text.
        lend: a block in which another program has the terminal.
        face: changes the face of the session.
        quit: ends the session.
    """

    line: TypedLine
    scrolling: Scrolling
    commands: Commands
    _: KW_ONLY
    environ: Mapping[str, str]
    mouse: bool
    lend: Callable[[], AbstractAsyncContextManager[None]]
    face: Callable[[str], None]
    quit: Callable[[], None]

    def __post_init__(self) -> None:
        face = self.scrolling
        self.app, self.screen, self.model = face.app, face.screen, face.model
        self.buffer = self.line.buffer
        self._tasks: set[asyncio.Task[None]] = set()
        self._traced: set[str] = set()
        self.seeking = Seeking(self.screen, self.model)
        self.buffer.accept_handler = self._accept
        self.buffer.on_text_changed += self._typed

    def named(self, action: str) -> Callable[..., None]:
        """The action that the table of keys means by a name."""
        acts = {act: partial(self.act, act) for act in get_args(Act)}
        step = self.model.timeline.step
        more: dict[str, Callable[[], None]] = {
            **acts,
            "earlier": lambda: self._go(partial(step, -1)),
            "later": lambda: self._go(partial(step, 1)),
            "earlier_crash": lambda: self._go(partial(step, -1, crash=True)),
            "later_crash": lambda: self._go(partial(step, 1, crash=True)),
            "earliest": lambda: self.go_to("start"),
            "latest": lambda: self.go_to("now"),
            "next_pane": lambda: self.screen.choose(1),
            "previous_pane": lambda: self.screen.choose(-1),
            "page_up": lambda: self.screen.chosen.page(-1),
            "page_down": lambda: self.screen.chosen.page(1),
            "up": lambda: self.screen.chosen.scroll(-1),
            "down": lambda: self.screen.chosen.scroll(1),
            "first": lambda: self.screen.chosen.ends(-1),
            "last": lambda: self.screen.chosen.ends(1),
            "leave": self.screen.leave_panes,
            "wrap": self.screen.wrap_log,
            "open_row": lambda: self.open_row(opened=True),
            "close_row": lambda: self.open_row(opened=False),
            "find_output": lambda: self._write("find "),
            "find_log": lambda: self._write("find-log ", from_log=True),
            "find_again": self.seeking.again,
            "freeze": self.model.freeze,
            "detail": self.model.show_detail,
        }
        return more.get(action) or getattr(self, action)

    def _typed(self, buffer: Buffer) -> None:
        """Whoever types is at the prompt again; the help stays, to be read meanwhile."""
        if buffer.text and self.screen.place in ("tree", "log", "detail"):
            self.screen.leave_panes()

    @property
    def is_choosing(self) -> bool:
        """Whether a completion is selected in the menu."""
        state = self.buffer.complete_state
        return state is not None and state.current_completion is not None

    def interrupt(self) -> None:
        """Ctrl-C: stop waiting for a call; else clear the line; else say how to leave."""
        if self.scrolling.borrowers:
            return  # it is meant for the program that has the terminal
        if self.app.is_running and self.app.layout.is_searching:
            stop_search()
        elif self.commands.waiting is not None or self.commands.count:
            self.commands.interrupt()
        elif self.buffer.text or self.line.held:
            self.line.clear()
        else:
            more = "`help` shows the commands" if self.screen.plain else "F1 shows the keys"
            self.model.notice(f"{self.model.leaving}; {more}", "")

    def take(self, text: str) -> bool:
        """Carry out many lines that came at once; False where keys mean something else now."""
        typing = self.app.editing_mode is EditingMode.EMACS
        typing = typing or self.app.vi_state.input_mode is InputMode.INSERT
        elsewhere = self.app.layout.is_searching or self.screen.place not in AT_PROMPT
        pending = self.app.key_processor.key_buffer or self.commands.asking.text is not None
        if elsewhere or self.is_choosing or pending or self.scrolling.borrowers or not typing:
            return False
        self.line.take(text)
        return True

    def help(self) -> None:
        """F1: open the keys and the commands, or close them; print the keys in the plain face."""
        if self.screen.plain:
            lines = [*key_lines(PLAIN_SECTIONS), "", "`help` shows the commands"]
            self.model.say(Text(line) for line in lines)
            return
        self.screen.show_help(shown=self.screen.place != "help")

    def toggle_inline(self) -> None:
        """F2: the full screen, or the panel below the scrollback."""
        self.face("full" if self.screen.inline else "inline")

    def seek(self) -> None:
        """F3: put `filter ` into the prompt; where something is sought, seek nothing."""
        if self.model.tree.needle:
            self.model.tree.seek("")
            self.model.touch()
        else:
            self._write("filter ")

    def filter_log(self) -> None:
        """The same for the restart log."""
        if self.model.needle:
            self.model.filter_log("")
        else:
            self._write("filter-log ")

    def timeline(self) -> None:
        """F10: show the timeline above the prompt, or no longer."""
        self.model.timeline.toggle()
        self.model.touch()

    def put(self, line: str) -> None:
        """Carry out a line that was not typed, and show what comes of it."""
        self.screen.output.follow = True
        self.commands.put(line)

    def go_to(self, where: str) -> None:
        """Go to a place in time, a record, `start` or `now`, without a line of output."""
        self._go(partial(self.model.timeline.go, where))

    def _go(self, step: Callable[[], Data]) -> None:
        """Go where a step along the timeline leads, once no command is carried out."""
        self.commands.when_free(partial(self._step, step))

    def _step(self, step: Callable[[], Data]) -> None:
        try:
            self.commands.results.go(step())
        except SsmError as error:
            self.model.notice(message_of(error))
        self.model.stand(self.commands.results.place)
        self.model.touch()

    def crash(self, name: str | None = None) -> None:
        """F4: the report of a worker's last crash: of this one, the chosen one, or any."""
        if name is None and self.screen.in_tree:
            name = self.model.tree.chosen_name()
        self.put("crash" if name is None else f"crash {name}")

    def sort(self) -> None:
        """F7: sort by the next column."""
        tree = self.model.tree
        titles = list(SORTS.values())
        tree.sort_by(titles[(titles.index(tree.sort) + 1) % len(titles)])
        self.model.touch()

    def toggle_mouse(self) -> None:
        """F8: let the mouse select text, or work in the view."""
        self.mouse = not self.mouse
        works = "works in the view" if self.mouse else "selects text"
        self.model.notice(f"the mouse {works}; F8 changes that", "")

    def enter_row(self) -> None:
        """Enter in the tree: open or close a supervisor; put a call to a worker in the prompt."""
        if self.model.tree.chosen is None:
            return
        worker = self.model.tree.toggle(self.model.tree.chosen)
        self.model.touch()
        if worker is not None:
            self._write(f"call {worker} ")

    def act(self, act: Act) -> None:
        """Carry out what a key does with the chosen row of the tree.

        What ends something is put in the prompt, for Enter to confirm.
        """
        name = self.model.tree.chosen_name()
        found = None if name is None else self.model.tree.source.glance(name)
        if found is None:
            return
        try:
            line = line_for(act, found.view, traced=found.view.id in self._traced)
        except CommandError as error:
            self.model.notice(str(error))
            return
        if act == "trace":
            self._traced ^= {found.view.id}
        if act in NEEDS_ENTER:
            self._write(line)
        else:
            self.put(line)

    def _write(self, text: str, *, from_log: bool = False) -> None:
        """Begin the line with a text; what was typed is gone."""
        self.seeking.from_log = from_log
        self.screen.leave_panes()
        self.line.begin(text)

    def open_row(self, *, opened: bool) -> None:
        """Right or left in the tree: open the chosen supervisor, or close it."""
        tree = self.model.tree
        name = tree.chosen_name()
        if name is not None and tree.source.size(name):
            (tree.open if opened else tree.close)(name)
            self.model.touch()

    def edit_line(self) -> None:
        """Ctrl-X Ctrl-E: what is typed, in the user's editor."""
        task = asyncio.get_running_loop().create_task(self._edit_line())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _edit_line(self) -> None:
        try:
            async with self.lend():
                text = await edited(self.buffer.text, ".ssm", self.environ)
        except SsmError as error:
            self.model.notice(str(error), "bad")
            return
        if text is not None:
            self.line.begin(text.rstrip("\n"))

    def _accept(self, buffer: Buffer) -> bool:
        """Send the line that was typed; see `TypedLine.accept`."""
        self.screen.follow()
        self.seeking.from_log &= buffer.text.startswith("find-log ")
        return self.line.accept(buffer)
