"""A session: the node, the prompt and the screen on one event loop, in one thread.

The screen is drawn by a ticker, not by the node: reports only mark it as out of date, so a storm
of restarts costs no more frames than a quiet tree. An exception in any callback is shown in the
output; the tree runs on.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TextIO, cast

from prompt_toolkit.application import in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import Output, create_output

from ssm_cli.commands.results import Result
from ssm_cli.commands.voice import in_restart_log
from ssm_cli.errors import CommandError
from ssm_cli.render.ascii import TABLE
from ssm_cli.render.log import log_text
from ssm_cli.render.outlet import Frame, unread
from ssm_cli.render.theme import theme_of
from ssm_cli.repl.actions import Actions
from ssm_cli.repl.application import make_app, make_buffer, make_prompt, prompt_rows
from ssm_cli.repl.faces.ascii import AsciiStream
from ssm_cli.repl.faces.inline import Inline
from ssm_cli.repl.faces.plain import Plain
from ssm_cli.repl.frames import Frames
from ssm_cli.repl.keys import bindings
from ssm_cli.repl.life import Life, RunningNode, Serve
from ssm_cli.repl.model import Model
from ssm_cli.repl.prompt.complete import LineReader
from ssm_cli.repl.screen import Screen
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.shell.config import Settings, load_settings, startup_path
from ssm_cli.repl.shell.local import Locals
from ssm_cli.repl.shell.names import Names
from ssm_cli.repl.shell.programs import interactive, pager_of
from ssm_cli.runtime.views import Report

CLEAR = "\x1b[H\x1b[2J"  # cursor home, screen empty
COPIED_BYTES = 70_000  # that terminals take into their clipboard at once, before base64
RENAMES = frozenset({"start-child", "terminate-child", "delete-child", "source"})
"""The commands after which other names may be there; sorting a million again would be felt."""


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
    serve: Serve | None = None,
) -> int:
    """Start the tree, open the prompt beside it, stop it in order.

    Args:
        node: not started yet.
        env: the streams and the environment variables; both streams are a terminal.
        title: what the status line calls the tree.
        ui: `full`, `inline` or `plain`; None: as the settings say.
        ascii_only: draw with ASCII alone, whatever the settings say.
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
        node, env, title, source=create_input(env.stdin), output=create_output(frames),
        settings=settings, stdout=stdout, ui=ui, serve=serve,
    )  # fmt: skip
    frame.redraw = session.draw_anew
    if complaint is not None:
        session.model.notice(complaint, "bad")
    return asyncio.run(session.run())


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
    """Composes the parts of one session. Everything runs on the event loop."""

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
        self._settings = settings
        self._environ = env.environ
        self._ui = ui or settings.ui
        self.model = Model(node, title, now)
        self.model.theme = theme_of(env.environ) if settings.theme == "auto" else settings.theme
        self._reader = LineReader(Names(node), settings.aliases)
        self.commands = Commands(
            node, self._reader.names, self.model, settings, self._after_command
        )
        self.buffer = make_buffer(
            self._reader, settings, env.environ, self.model.notice, self._accept
        )
        self.screen = self._make_screen()
        self.app = make_app(
            self.screen, settings, env.environ, source, output, mouse=self._has_mouse
        )
        self.inline = Inline(self.app, self.screen, self.model)
        stdout = env.stdout if stdout is None else stdout
        self.plain = Plain(
            env.stdin, stdout, self.model,
            put=self.commands.put, leave=self.quit, interrupt=self._interrupt,
        )  # fmt: skip
        self._join(node, env, stdout, now, serve or node.serve)

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
        waiting = partial(unread, env.stdout)
        self._frames = Frames(self.app, self.model, self._flush, now, waiting)
        self._life = Life(
            node, self.app, self.inline, self.plain, self.model,
            serve=serve, stdout=stdout, now=now,
        )  # fmt: skip
        self._life.face = self._ui
        self.commands.echoes = self._ui != "plain"
        self.model.printed = self._ui != "full"
        self.actions = Actions(
            self.app, self.buffer, self.screen, self.model,
            commands=self.commands, environ=env.environ, mouse=settings.mouse,
            lend=self._lend, face=self._change_face, leave=self.quit,
        )  # fmt: skip
        self.app.key_bindings = bindings(self.actions)
        self.commands.page = self._page
        self.commands.here = Locals(
            node, self.model, self.commands, env.environ, now,
            lend=self._lend, views=self._views(),
        ).run  # fmt: skip

    def _views(self) -> dict[str, Callable[[str], None]]:
        """The verbs of the prompt that are about the screen."""
        screen, actions = self.screen, self.actions
        return {
            "ui": self._change_face,
            "mouse": lambda _: actions.toggle_mouse(),
            "theme": lambda name: setattr(self.model, "theme", name),
            "find": lambda text: actions.find(screen.output, text),
            "find-log": lambda text: actions.find(screen.log, text),
            "clear": lambda _: self._clear(),
            "copy": self._copy,
        }

    def _clear(self) -> None:
        """Empty the output, and the terminal's where that has it."""
        self.model.clear()
        if self.plain.on:
            self._write_raw(CLEAR)
        elif self.screen.inline:
            self.app.renderer.clear()

    def _write_raw(self, sequence: str) -> None:
        """Write a sequence for the terminal, behind what the face has written."""
        if self.plain.on:
            self.plain.flush()
        self.app.output.write_raw(sequence)
        self.app.output.flush()

    def _copy(self, text: str) -> None:
        """Have the terminal take a text into its clipboard (OSC 52).

        Raises:
            CommandError: it is too long for one.
        """
        data = self.commands.results.substitute(text).encode("utf-8", "surrogateescape")
        if len(data) > COPIED_BYTES:
            most = f"{COPIED_BYTES:,} bytes are taken; `> FILE` takes any"
            raise CommandError(f"{len(data):,} bytes are too many to copy; at most {most}")
        self._write_raw(f"\x1b]52;c;{b64encode(data).decode()}\x07")
        self.model.notice(f"copied {len(data):,} bytes, where the terminal allows it", "")

    def _make_screen(self) -> Screen:
        commands = self.commands
        prompt, hint, search = make_prompt(
            self.buffer, self._reader, lambda: (commands.waiting, commands.question)
        )
        return Screen(
            self.model, prompt, lambda: prompt_rows(self.buffer), hint, search,
            enter=self._enter,
            crash=self._crash,
            press=lambda action: self.actions.named(action)(),
        )  # fmt: skip

    async def run(self) -> int:
        """Start the tree, show the screen until the tree is down, say how it ended."""
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
        """Leave the screen; then the tree is stopped in order, and Ctrl-C interrupts that."""
        self._life.leave()

    # --- what the parts ask of each other ----------------------------------------------------

    def _accept(self, buffer: Buffer) -> bool:
        return self.actions.accept(buffer)

    def _crash(self, report: Report) -> None:
        self.commands.put(f"crash {report.id}")

    def _enter(self, row: int) -> None:
        self.actions.enter_at(row)

    def _interrupt(self) -> None:
        self.actions.interrupt()

    def _has_mouse(self) -> bool:
        """Return whether mouse events are handled; inline, the terminal scrolls itself."""
        return self.actions.mouse and not self.screen.inline

    def _change_face(self, face: str) -> None:
        self.commands.echoes = face != "plain"
        self.model.printed = face != "full"
        self._life.change_face(face)

    def _after_command(self, result: Result | None) -> None:
        """Show the result of a command at once; it may have changed the tree."""
        self._reader.forget(names=result is not None and result.kind in RENAMES)
        self._frames.invalidate()
        if self.plain.on:
            self.plain.flush(ask=True)
        if result is not None and result.ends:
            self.quit()

    def _on_report(self, report: Report) -> None:
        """Note a report, to be drawn later; called from inside the node."""
        self.model.on_report(report)
        self._reader.forget(names=report.event == "starting" and report.detail.get("n", 1) == 1)
        if self.plain.on and in_restart_log(report):
            self.model.say([log_text(report)])

    async def _flush(self) -> None:
        """Print new output in the plain and inline faces; called before each frame."""
        if self.plain.on:
            self.plain.flush()
        else:
            await self.inline.flush()

    async def _page(self, result: Result) -> bool:
        """Show tall output in the pager; return whether it was shown there."""
        rows = self.app.output.get_size().rows
        tall = len(result.lines) >= rows and not result.error and self._settings.pager
        if not tall or not (self.plain.on or self.screen.inline):
            return False
        text = "".join(f"{line}\n" for line in result.lines)
        async with self._lend():
            await interactive(pager_of(self._environ), text.encode("utf-8", "surrogateescape"))
        return True

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[None]:
        """Lend the terminal to another program for a block; the tree runs on."""
        if self.plain.on:
            with self.plain.away():
                yield
        else:
            async with in_terminal():
                yield
