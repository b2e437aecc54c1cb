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
from functools import partial
from typing import Protocol, TextIO, cast

from prompt_toolkit.application import in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import DummyOutput, Output, create_output
from rich.text import Text

from ssm_cli.commands.results import Result
from ssm_cli.commands.voice import report_line
from ssm_cli.errors import CommandError
from ssm_cli.render.ascii import TABLE
from ssm_cli.render.outlet import ENOUGH_BYTES, Frame, unread
from ssm_cli.render.theme import theme_of
from ssm_cli.repl.actions import Actions
from ssm_cli.repl.application import make_app, make_buffer, make_prompt, prompt_rows
from ssm_cli.repl.faces.ascii import AsciiStream
from ssm_cli.repl.faces.dumb import Dumb
from ssm_cli.repl.faces.scrolling import Scrolling
from ssm_cli.repl.frames import Frames
from ssm_cli.repl.keys import bindings
from ssm_cli.repl.life import Life, RunningNode, Serve
from ssm_cli.repl.model import Model
from ssm_cli.repl.prompt.complete import LineReader
from ssm_cli.repl.prompt.typed import Typed
from ssm_cli.repl.screen import Screen
from ssm_cli.repl.shell.commands import Commands, dropped
from ssm_cli.repl.shell.config import Settings, load_settings, startup_path
from ssm_cli.repl.shell.local import Locals
from ssm_cli.repl.shell.names import Names
from ssm_cli.repl.shell.pipeline import lines_in
from ssm_cli.repl.shell.programs import interactive, pager_of
from ssm_cli.repl.travel import Travel
from ssm_cli.repl.views import Views
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
        settings=settings, stdout=stdout, ui=ui, serve=serve,
    )  # fmt: skip
    session.is_quiet, frame.redraw = quiet, session.draw_anew
    return asyncio.run(session.run(complaint))


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


class Session:
    """Composes the parts of one session. Everything runs on the event loop.

    Attributes:
        is_quiet: the plain face prints no reports.
    """

    def __init__(
        self,
        node: RunningNode,
        env: Environment,
        title: str,
        *,
        source: Input,
        output: Output,
        settings: Settings | None = None,
        stdout: TextIO | None = None,
        ui: str | None = None,
        serve: Serve | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = Settings() if settings is None else settings
        self._settings, self._environ = settings, env.environ
        self._face = "plain" if is_dumb(env.environ) else ui or settings.ui
        self.is_quiet = False
        self.model = Model(node, title, now)
        self._reader = LineReader(Names(node), settings.aliases)
        self.commands = Commands(
            node, self._reader.names, self.model, settings, self._after_command
        )
        self.buffer = make_buffer(
            self._reader, settings, env.environ, self.model.notice, self._accept
        )
        self.travel = Travel(self.model, self.commands)
        self.screen = self._make_screen()
        self._typed = Typed(source, now, self.commands.has_room)
        self.app = make_app(
            self.screen, settings, env.environ, self._typed, output, mouse=self._has_mouse
        )
        self.scrolling = Scrolling(self.app, self.screen, self.model)
        stdout = env.stdout if stdout is None else stdout
        self.dumb = None if not is_dumb(env.environ) else Dumb(
            env.stdin, stdout, self.model, self.commands,
            leave=self.quit, interrupt=self._interrupt,
        )  # fmt: skip
        self._join(node, env, stdout, now, serve or node.serve)
        self._typed.take = self.actions.take

    def _join(
        self,
        node: RunningNode,
        env: Environment,
        stdout: TextIO,
        now: Callable[[], float],
        serve: Serve,
    ) -> None:
        """Connect the frames, the life cycle and the actions."""
        settings = self._settings
        self.model.theme = theme_of(env.environ) if settings.theme == "auto" else settings.theme
        self._unread = partial(unread, env.stdout)
        self._frames = Frames(self.app, self.model, self._flush, now, self._unread)
        self._life = Life(
            node, self.app, self.scrolling, self.dumb, self.model,
            serve=serve, stdout=stdout, now=now, drop=self._drop,
        )  # fmt: skip
        self.commands.echoes = self.dumb is None
        self.commands.room = self._room
        self._have_face(self._face)
        self.actions = Actions(
            self.app, self.buffer, self.screen, self.model,
            commands=self.commands, environ=env.environ, mouse=settings.mouse,
            lend=self._lend, face=self._change_face, quit=self.quit,
            lent=lambda: bool(self.scrolling.borrowers), travel=self.travel.actions,
        )  # fmt: skip
        self.app.key_bindings = bindings(self.actions)
        self.commands.page = self._page
        views = Views(
            self.actions, self.scrolling, self.model, self.commands,
            face=self._change_face, detach=self._life.detach, only_lines=self.dumb is not None,
        )  # fmt: skip
        self.commands.here = Locals(
            node, self.model, self.commands, env.environ, now,
            lend=self._lend, views=views.verbs,
        ).run  # fmt: skip

    def _make_screen(self) -> Screen:
        commands = self.commands
        prompt, hint, search = make_prompt(
            self.buffer,
            self._reader,
            lambda: (
                commands.waiting,
                commands.asking.text or self.actions.line.words,
                self.model.timeline.line,
            ),
            mark=lambda: commands.prompt,
        )
        return Screen(
            self.model, prompt, lambda: prompt_rows(self.buffer), hint, search,
            says=lambda: bool(
                commands.asking.text or self.actions.line.held or commands.count
                or self.model.timeline.line
            ),
            enter=self._enter,
            crash=lambda report: self.actions.put(f"crash {report.id}"),
            press=lambda action: self.actions.named(action)(),
            go=self.travel.go_to,
        )  # fmt: skip

    async def run(self, complaint: str | None = None) -> int:
        """Start the tree, show the screen until the tree is down, say how it ended.

        `complaint` is shown before all else.
        """
        if complaint is not None:
            self.model.notice(complaint, "bad")
        startup = startup_path(self._environ)
        if startup.is_file():
            self.commands.put(f"source {startup}")
        return await self._life.run(self._on_report, self._frames.run, self.commands.run)

    def draw_anew(self) -> None:
        """Draw the whole screen: frames were dropped as nobody read them."""
        if self.app.is_running:
            self.app.renderer.clear()
            self._frames.invalidate()

    def quit(self) -> None:
        """Leave the screen; then the tree is stopped in order, and Ctrl-C interrupts that.

        Lines that wait are carried out first.
        """
        if self.commands.count:
            self.commands.put("quit")
        else:
            self._life.leave()

    # --- what the parts ask of each other ----------------------------------------------------

    def _accept(self, buffer: Buffer) -> bool:
        return self.actions.accept(buffer)

    def _enter(self, row: int) -> None:
        self.actions.enter_at(row)

    def _interrupt(self) -> None:
        self.actions.interrupt()
        if self.dumb is not None and not self.commands.is_busy:
            self.dumb.flush(ask=True)

    def _drop(self) -> str:
        """Drop what was typed and not carried out; say how many lines, or nothing."""
        count = self.commands.drop()
        count += len(lines_in(self.actions.line.drop() + self._typed.drop()))
        return dropped(count) if count else ""

    def _has_mouse(self) -> bool:
        """Return whether mouse events are handled; inline, the terminal scrolls itself."""
        return self.actions.mouse and not self.screen.inline

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
            self._frames.invalidate()
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
        if self._face == "plain" and not self.is_quiet:
            self.model.say([Text(report_line(report))])

    async def _flush(self) -> None:
        """Print new output where it scrolls; called before each frame."""
        if self.dumb is not None:
            self.dumb.flush()
        else:
            self.scrolling.flush()

    async def _page(self, result: Result) -> bool:
        """Show tall output in the pager; return whether it was shown there."""
        rows = self.app.output.get_size().rows
        tall = len(result.lines) >= rows and not result.error and self._settings.pager
        if not tall or self._face == "full" or self.dumb is not None or self.commands.count:
            return False
        text = "".join(f"{line}\n" for line in result.lines)
        async with self._lend():
            await interactive(pager_of(self._environ), text.encode("utf-8", "surrogateescape"))
        return True

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[None]:
        """Lend the terminal to another program for a block; the tree runs on."""
        task = asyncio.current_task()
        self.scrolling.borrowers.add(task)
        try:
            if self.dumb is not None:
                with self.dumb.away():
                    yield
            else:
                async with in_terminal():
                    yield
        finally:
            self.scrolling.borrowers.discard(task)
