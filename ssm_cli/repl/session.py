"""A session: the node, the prompt and the screen on one event loop, in one thread.

The screen is drawn by a ticker, not by the node: reports only mark it as out of date, so a storm
of restarts costs no more frames than a quiet tree. An exception in any callback is shown in the
output; the tree runs on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Protocol, TextIO, cast

from prompt_toolkit.application import in_terminal
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import DummyOutput, Output, create_output
from rich.text import Text

from ssm_cli.commands.results import Result
from ssm_cli.commands.voice import report_line
from ssm_cli.errors import CommandError
from ssm_cli.render.ascii import TABLE, AsciiStream
from ssm_cli.render.outlet import ENOUGH_BYTES, Frame, unread
from ssm_cli.render.theme import theme_of
from ssm_cli.repl.actions import Actions
from ssm_cli.repl.application import make_app
from ssm_cli.repl.faces.dumb import Dumb
from ssm_cli.repl.faces.scrolling import Scrolling
from ssm_cli.repl.frames import Frames
from ssm_cli.repl.keys import bindings
from ssm_cli.repl.life import Life, RunningNode, Serve
from ssm_cli.repl.local import Locals
from ssm_cli.repl.model import Model
from ssm_cli.repl.prompt.complete import LineReader
from ssm_cli.repl.prompt.typed import Typed
from ssm_cli.repl.screen import Screen
from ssm_cli.repl.shell.commands import Commands, dropped
from ssm_cli.repl.shell.config import Settings, config_folder, load_settings
from ssm_cli.repl.shell.names import Names
from ssm_cli.repl.shell.pipeline import lines_in
from ssm_cli.repl.shell.programs import interactive, words_of
from ssm_cli.repl.typed_line import TypedLine
from ssm_cli.runtime.views import Report

RENAMES = frozenset({"start-child", "terminate-child", "delete-child", "source"})
"""The commands after which other names may be there; sorting a million again would be felt."""

ROOM_S = 0.02  # how soon it is looked again whether there is room for more output


class Environment(Protocol):
    """What a session needs of the process; the command line's `Environment` provides it."""

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


def run_session(
    node: RunningNode,
    env: Environment,
    *,
    title: str,
    ui: str | None = None,
    ascii_only: bool = False,
    quiet: bool = False,
    serve: Serve | None = None,
) -> int:
    """Start the tree, open the prompt beside it, stop it in order.

    Args:
        node: not started yet.
        env: the streams and the environment variables; both streams are a terminal.
        title: what the status line calls the tree.
        ui: `full`, `inline` or `plain`; None: as the settings say.
        ascii_only: draw with ASCII alone, whatever the settings say.
        quiet: print no reports in the plain face.
        serve: runs the node until it is down; by default the node's own `serve`.

    Returns:
        7 if the root gave up, 143 after SIGTERM or SIGHUP, else 0.

    Raises:
        StartFailed: the tree did not come up; no screen was opened.
        KeyboardInterrupt: Ctrl-C while it started or stopped; it is down.
    """
    settings, complaint = settings_of(env.environ)
    frame = Frame(env.stdout)
    stdout, frames = env.stdout, cast("TextIO", frame)
    if ascii_only or settings.ascii or not has_glyphs(env.stdout):
        stdout, frames = (cast("TextIO", AsciiStream(each)) for each in (stdout, frames))
    session = Session(
        node, env, title, source=create_input(env.stdin),
        output=DummyOutput() if is_dumb(env.environ) else create_output(frames),
        settings=settings, complaint=complaint, stdout=stdout, ui=ui, quiet=quiet, serve=serve,
    )  # fmt: skip
    frame.redraw = session.draw_anew
    return asyncio.run(session.run())


def is_dumb(environ: Mapping[str, str]) -> bool:
    """Whether the terminal can only print lines.

    >>> is_dumb({"TERM": "dumb"}), is_dumb({})
    (True, False)
    """
    return environ.get("TERM", "").lower() in ("dumb", "unknown")


def has_glyphs(stream: TextIO) -> bool:
    """Return whether a stream can write the characters that the screen is drawn with."""
    try:
        "".join(map(chr, TABLE)).encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def settings_of(environ: Mapping[str, str]) -> tuple[Settings, str | None]:
    """Return the user's settings; where they cannot be read, the usual ones, and why."""
    try:
        return load_settings(environ), None
    except CommandError as error:
        return Settings(), str(error)


@dataclass(eq=False)
class Session:
    """Composes the parts of one session. Everything runs on the event loop.

    Args:
        complaint: shown before all else.
        quiet: the plain face prints no reports. The others: see `run_session`.
    """

    node: RunningNode
    env: Environment
    title: str
    _: KW_ONLY
    source: Input
    output: Output
    settings: Settings
    complaint: str | None = None
    stdout: TextIO | None = None
    ui: str | None = None
    quiet: bool = False
    serve: Serve | None = None
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        node, env, settings, now = self.node, self.env, self.settings, self.now
        self._face = "plain" if is_dumb(env.environ) else self.ui or settings.ui
        self.model = Model(node, self.title, now)
        self._reader = LineReader(Names(node), settings.aliases)
        self.commands = Commands(
            node, self._reader.names, self.model, settings, self._after_command
        )
        self._line = TypedLine(self._reader, settings, env.environ, self.commands)
        self.buffer = self._line.buffer
        self.screen = Screen(
            self.model, self._line, lambda action, *on: self.actions.named(action)(*on)
        )
        self._typed = Typed(self.source, now, self.commands.has_room)
        self.app = make_app(
            self.screen, settings, env.environ, self._typed, self.output,
            mouse=lambda: self.actions.mouse and not self.screen.inline,
        )  # fmt: skip
        self.scrolling = Scrolling(self.app, self.screen, self.model)
        self._stdout = self.stdout or env.stdout
        self.dumb = None if not is_dumb(env.environ) else Dumb(
            env.stdin, self._stdout, self.model, self.commands,
            leave=self.quit, interrupt=self._interrupt,
        )  # fmt: skip
        self._join()
        self._typed.take = self.actions.take

    def _join(self) -> None:
        """Connect the frames, the life cycle and the actions."""
        node, env, settings, now = self.node, self.env, self.settings, self.now
        self.model.theme = theme_of(env.environ) if settings.theme == "auto" else settings.theme
        self._unread = partial(unread, env.stdout)
        face = self.dumb or self.scrolling
        self._frames = Frames(self.app, self.model, face.flush, now, self._unread)
        self._life = Life(
            node, self.scrolling, self.dumb,
            serve=self.serve or node.serve, stdout=self._stdout, now=now, drop=self._drop,
        )  # fmt: skip
        self.commands.echoes = self.dumb is None
        self.commands.room = self._room
        self._have_face(self._face)
        self.actions = Actions(
            self._line, self.scrolling, self.commands, environ=env.environ, mouse=settings.mouse,
            lend=self._lend, face=self._change_face, quit=self.quit,
        )  # fmt: skip
        self.app.key_bindings = bindings(self.actions)
        self.commands.page = self._page
        self.commands.here = Locals(
            node, self.actions, now,
            detach=self._life.detach, only_lines=self.dumb is not None,
        ).run  # fmt: skip

    async def run(self) -> int:
        """Start the tree, show the screen until the tree is down, say how it ended."""
        if self.complaint is not None:
            self.model.notice(self.complaint, "bad")
        startup = config_folder(self.env.environ) / "startup.ssm"
        if startup.is_file():
            self.commands.put(f"source {startup}")
        return await self._life.run(self._on_report, self._frames.run, self.commands.run)

    def draw_anew(self) -> None:
        """Draw the whole screen: frames were dropped as nobody read them."""
        if self.app.is_running:
            self.app.renderer.clear()
            self.app.invalidate()

    def quit(self) -> None:
        """Leave the screen; then the tree is stopped in order, and Ctrl-C interrupts that.

        Lines that wait are carried out first.
        """
        if self.commands.count:
            self.commands.put("quit")
        else:
            self._life.leave()

    # --- what the parts ask of each other ----------------------------------------------------

    def _interrupt(self) -> None:
        self.actions.interrupt()
        if self.dumb is not None and not self.commands.is_busy:
            self.dumb.flush(ask=True)

    def _drop(self) -> str:
        """Drop what was typed and not carried out; say how many lines, or nothing."""
        count = self.commands.drop()
        count += len(lines_in(self.actions.line.drop() + self._typed.drop()))
        return dropped(count) if count else ""

    def _have_face(self, face: str) -> None:
        """Have what goes with a face."""
        self._face = face
        self.commands.plain, self.model.printed = face == "plain", face != "full"
        self.scrolling.prepare(face)
        self._typed.hold(on=face == "plain")

    def _change_face(self, face: str) -> None:
        if self.dumb is not None and face != "plain":
            raise CommandError(f"this terminal can only print lines: no face {face}", column=4)
        if face != self._face:
            self.app.renderer.erase()
            self._have_face(face)
            self.scrolling.begin()

    def _after_command(self, result: Result | None) -> None:
        """Show the result of a command at once; it may have changed the tree."""
        self._reader.forget(names=result is not None and result.kind in RENAMES)
        self.model.stand(self.commands.results.place)
        if self.commands.count:
            self.model.touch()  # many lines share a frame
        elif self.dumb is None:
            self.app.invalidate()
            if self._face == "plain" and not self._unread():
                self.scrolling.flush()
        if result is not None and result.ends:
            self._life.leave()

    async def _room(self) -> None:
        """Let the output be printed before the next line is carried out; the tree is served."""
        if not self._life.shown.is_set():
            await self._life.shown.wait()
            return
        if self.dumb is not None:
            await asyncio.sleep(0)  # what has happened since is a part of the answer
            self.dumb.flush(ask=not self.commands.is_busy)
        while self._unread() > ENOUGH_BYTES if self.dumb else not self.scrolling.has_room:
            if not self._unread():
                self.scrolling.flush()
            await asyncio.sleep(0 if self.scrolling.has_room else ROOM_S)

    def _on_report(self, report: Report) -> None:
        """Note a report, to be drawn later; called from inside the node."""
        self.model.on_report(report)
        self._reader.forget(names=report.event == "starting" and report.detail.get("n", 1) == 1)
        if self._face == "plain" and not self.quiet:
            self.model.say([Text(report_line(report))])

    async def _page(self, result: Result) -> bool:
        """Show tall output in the pager; return whether it was shown there."""
        rows = self.app.output.get_size().rows
        tall = len(result.lines) >= rows and not result.error and self.settings.pager
        if not tall or self._face == "full" or self.dumb is not None or self.commands.count:
            return False
        text = "".join(f"{line}\n" for line in result.lines)
        async with self._lend():
            pager = words_of(self.env.environ, "PAGER", usual="less -FRX")  # it ends on little
            await interactive(pager, text.encode("utf-8", "surrogateescape"))
        return True

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[None]:
        """Lend the terminal to another program for a block; the tree runs on."""
        task = asyncio.current_task()
        self.scrolling.borrowers.add(task)
        try:
            async with in_terminal() if self.dumb is None else self.dumb.away():
                yield
        finally:
            self.scrolling.borrowers.discard(task)
