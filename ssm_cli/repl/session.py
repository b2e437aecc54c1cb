"""A session: the node, the prompt and the screen on one event loop, in one thread.

The screen is drawn by a ticker, not by the node: reports only mark it as out of date, so a storm
of restarts costs no more frames than a quiet tree. What goes wrong in a callback of anybody is
shown in the output; the tree lives on.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.layout import BufferControl, Window
from prompt_toolkit.layout.processors import AppendAutoSuggestion, BeforeInput
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.search import stop_search
from prompt_toolkit.widgets import SearchToolbar
from rich.text import Text

from ssm_cli.commands.results import Result
from ssm_cli.commands.verbs import help_lines
from ssm_cli.exit_codes import ExitCode
from ssm_cli.render.reply import PROMPT
from ssm_cli.repl.commands import Commands
from ssm_cli.repl.frames import Frames
from ssm_cli.repl.inline import Inline
from ssm_cli.repl.keys import HELP, bindings
from ssm_cli.repl.model import Model
from ssm_cli.repl.prompt.complete import HintLine, LineCompleter, LineLexer, LineReader
from ssm_cli.repl.prompt.history import PersistentHistory, history_path
from ssm_cli.repl.prompt.names import Names
from ssm_cli.repl.screen import STYLE, Screen
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import Report

PASTED_CHARACTERS = 10_000  # at once; each is coloured at every key


class Environment(Protocol):
    """What of the process a session needs; the command line's `Environment` has it."""

    @property
    def stdin(self) -> TextIO:
        """Where keys come from."""
        ...

    @property
    def stdout(self) -> TextIO:
        """The terminal."""
        ...

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        ...


class RunningNode(NodeApi, Protocol):
    """A node of this process, as far as a session needs it."""

    @property
    def running(self) -> bool:
        """Whether the tree is up."""
        ...

    @property
    def gave_up(self) -> bool:
        """Whether the root reached its restart intensity."""
        ...

    def start(self) -> object:
        """Start the tree; raises `StartFailed`."""
        ...

    async def serve(self) -> None:
        """Run until the tree is down."""
        ...

    def subscribe(self, reader: Callable[[Report], None]) -> Callable[[], None]:
        """Call `reader` with each report; the result ends that."""
        ...


def run_session(node: RunningNode, env: Environment, *, title: str) -> int:
    """Start the tree, open the prompt beside it, stop it in order.

    Args:
        node: not started yet.
        env: the streams and the environment variables; both streams are a terminal.
        title: what the status line calls the tree.

    Returns:
        7 if the root gave up, 143 after SIGTERM or SIGHUP, else 0.

    Raises:
        StartFailed: the tree did not come up; no screen was opened.
    """
    output = create_output(env.stdout)
    session = Session(node, env, title, source=create_input(env.stdin), output=output)
    return asyncio.run(session.run())


class Session:
    """One session. Its keys call its public methods; everything runs on the event loop."""

    def __init__(
        self,
        node: RunningNode,
        env: Environment,
        title: str,
        *,
        source: Input,
        output: Output,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._env = env
        self._code: int = ExitCode.DONE
        self._leaves = False
        self.model = Model(node, title, now)
        self._reader = LineReader(Names(node))
        self._commands = Commands(node, self._reader.names, self.model, self._after_command)
        self.buffer = self._make_buffer()
        self.screen, self.app = self._make_app(source, output)
        self.inline = Inline(self.app, self.screen, self.model)
        self.app.key_bindings = bindings(self)
        self._frames = Frames(self.app, self.model, self.inline.flush, now)

    def _make_buffer(self) -> Buffer:
        return Buffer(
            completer=LineCompleter(self._reader),
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            history=PersistentHistory(history_path(self._env.environ), self.model.notice),
            accept_handler=self._accept,
            multiline=False,
        )

    def _make_app(self, source: Input, output: Output) -> tuple[Screen, Application[None]]:
        search = SearchToolbar()
        control = BufferControl(
            self.buffer,
            lexer=LineLexer(self._reader),
            input_processors=[BeforeInput(PROMPT, style="bold ansigreen"), AppendAutoSuggestion()],
            search_buffer_control=search.control,
            preview_search=True,
        )
        prompt = Window(control, height=1)
        hint = HintLine(
            self._reader,
            lambda: self.buffer.text,
            lambda: prompt.horizontal_scroll,
            lambda: self._commands.waiting,
        )
        screen = Screen(self.model, prompt, hint, search)
        app: Application[None] = Application(
            layout=screen.layout,
            style=STYLE,
            full_screen=True,
            erase_when_done=True,
            input=source,
            output=output,
            color_depth=ColorDepth.DEPTH_1_BIT if self._env.environ.get("NO_COLOR") else None,
            max_render_postpone_time=None,
            before_render=lambda _: screen.place_menu(),
        )
        app.ttimeoutlen = 0.05  # Esc is felt at once
        return screen, app

    # --- keys ------------------------------------------------------------------------------

    @property
    def is_choosing(self) -> bool:
        """Whether a completion is selected in the menu."""
        state = self.buffer.complete_state
        return state is not None and state.current_completion is not None

    def interrupt(self) -> None:
        """Ctrl-C: stop waiting for a call; else clear the line; else say how to leave."""
        if self.app.layout.is_searching:
            stop_search()
        elif self._commands.waiting is not None:
            self._commands.interrupt()
        elif self.buffer.text:
            self.buffer.reset()
        else:
            self.model.notice("Ctrl-D stops the tree in order and leaves; F1 shows the keys", "")

    def quit(self) -> None:
        """Ctrl-D: leave the screen; the tree is stopped in order then, where Ctrl-C can be felt."""
        self._leaves = True
        self._leave_if_asked()

    def paste(self, text: str) -> None:
        """Insert what was pasted; several lines are joined, so that nothing is sent unseen."""
        if len(text) > PASTED_CHARACTERS:
            self.model.notice(
                f"{len(text):,} characters were pasted and none taken: the prompt takes "
                f"{PASTED_CHARACTERS:,}; put them in a file for `ssm run TREE --script FILE`",
                "red",
            )
            return
        self.buffer.insert_text(" ".join(text.splitlines()))

    def help(self) -> None:
        """F1: the keys and the commands, in the output."""
        self.model.say(Text(f"  {line}") for line in (*HELP, "", *help_lines()))

    def freeze(self) -> None:
        """F5: let the view stand still, or go on."""
        self.model.freeze()
        self._frames.draw()

    def _accept(self, buffer: Buffer) -> bool:
        """Enter: the line waits for those before it; the prompt is free for the next at once."""
        self.screen.follow()
        return not self._commands.put(buffer.text.strip())

    # --- life ------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start the tree, show the screen until the tree is down, say how it ended."""
        loop = asyncio.get_running_loop()
        unsubscribe = self._node.subscribe(self._on_report)
        try:
            self._node.start()
            loop.set_exception_handler(self._stray)
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._on_signal, number)
            await self._show()
        finally:
            unsubscribe()
            loop.set_exception_handler(None)
        self._say_goodbye()
        return ExitCode.GAVE_UP if self._node.gave_up else self._code

    async def _show(self) -> None:
        """The screen beside the tree, until both have ended."""
        serving = asyncio.create_task(self._node.serve())
        serving.add_done_callback(lambda _: self.quit())
        tasks = [asyncio.create_task(work) for work in (self._frames.run(), self._commands.run())]
        try:
            await self.app.run_async(pre_run=self._leave_if_asked, set_exception_handler=False)
        except EOFError:
            self._code = 128 + signal.SIGHUP  # the terminal went away
        finally:
            for task in tasks:
                task.cancel()
            if self._node.running:
                self._node.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
            await serving

    def _after_command(self, result: Result | None) -> None:
        """Show at once what a command came to; it may have changed the tree."""
        self._reader.forget()
        self._frames.invalidate()
        if result is not None and result.ends:
            self.quit()

    def _leave_if_asked(self) -> None:
        """Close the screen, once it is open."""
        if self._leaves and self.app.is_running and not self.app.is_done:
            self.app.exit()

    def _on_signal(self, number: int) -> None:
        """The shell's convention for a process that ended at a signal."""
        self._code = 128 + number
        self.quit()

    def _on_report(self, report: Report) -> None:
        """Called from inside the node: note it, and draw later."""
        self.model.on_report(report)
        self._reader.forget()

    def _stray(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """An exception that nobody caught: shown, and the tree lives on."""
        del loop
        self.model.defect(context.get("exception"), str(context.get("message", "")))

    def _say_goodbye(self) -> None:
        """Below the prompt that started us: what was last seen, and how it ended."""
        lines = self.inline.rest()
        lines += self.model.last_words() if self._node.gave_up else []
        lines.append(f"ssm: {self.model.summary(gave_up=self._node.gave_up)}")
        try:
            self._env.stdout.write("".join(f"{line}\n" for line in lines))
            self._env.stdout.flush()
        except OSError:
            if self._code == ExitCode.DONE:  # else there is nobody to tell
                raise
