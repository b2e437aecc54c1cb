"""A tree from start to stop with commands in between, on one event loop.

Whatever ends the session (no more commands, a failure, a signal, a closed pipe, a root that gives
up), the tree is stopped in order first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from ssm_cli.cli.printer import Printer
from ssm_cli.commands.execute import LOG
from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Result, refused
from ssm_cli.errors import CommandError, SsmError, StartFailed, message_of
from ssm_cli.exit_codes import ExitCode
from ssm_cli.repl.shell.interpret import perform
from ssm_cli.repl.shell.results import Results

if TYPE_CHECKING:
    from ssm_cli.runtime.node import Node
    from ssm_cli.runtime.views import Report

Commands = AsyncIterator[Command | CommandError]


class Interrupts:
    """Handles SIGINT, SIGTERM and SIGHUP: the first stops the tree in order, a second exits.

    While the tree starts, the first raises `KeyboardInterrupt`, and `Node.start` stops what has
    started. Later nothing is raised into interrupted code (it may be half-way through a restart):
    the signal is stored, and the bound task is cancelled between two steps.

    `renew_by` gives SIGHUP another meaning, for those who have no terminal that hangs up.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.caught: int | None = None
        self.starting = False
        self._renew: Callable[[], object] | None = None
        self._task: asyncio.Task[object] | None = None
        self._before: list[tuple[int, object]] = []

    def __enter__(self) -> Self:
        for number in self.NUMBERS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._before.append((number, signal.signal(number, self._on_signal)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in reversed(self._before):
            signal.signal(number, handler)  # type: ignore[arg-type]  # it came from signal.signal

    def renew_by(self, renew: Callable[[], object]) -> None:
        """Have SIGHUP renew something from now on, whether it was ignored before or not."""
        self._renew = renew
        self._before.append((signal.SIGHUP, signal.signal(signal.SIGHUP, self._on_signal)))

    def wake(self) -> None:
        """Cancel the bound task; safe to call from a signal handler."""
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._cancel)

    def bind(self, task: asyncio.Task[object] | None) -> None:
        """Set the task that `wake` cancels; None for none."""
        self._task = task

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and self._renew is not None:
            self._renew()
            return
        if self.caught is not None:
            os._exit(128 + number)
        self.caught = number
        if self.starting:
            raise KeyboardInterrupt
        self.wake()


@dataclass(eq=False)
class Session:
    """Runs commands against a node of this process.

    Args:
        node: not started yet.
        printer: where results and reports go.
        keep_going: run on after a command that fails.
        reports: print them as they happen.
        serve: runs the node until it is down; by default `Node.serve`.
        log: see `execute`.

    Attributes:
        results: the results of the commands, by number.
    """

    node: Node
    printer: Printer
    _: KW_ONLY
    keep_going: bool = False
    reports: bool = True
    serve: Callable[[], Coroutine[Any, Any, None]] | None = None
    log: str = LOG

    def __post_init__(self) -> None:
        self._serve_node = self.serve or self.node.serve
        self.results = Results()
        self._interrupts = Interrupts()
        self._defect: BaseException | None = None
        self._silent_until_s = 0.0

    def run(self, commands: Commands | None, renew: Callable[[], None] | None = None) -> int:
        """Start the tree, run the commands, stop the tree; None waits until the tree ends.

        `renew` is called between two steps when SIGHUP arrives, which then ends nothing.

        Returns:
            7 if the root gave up; 128 + the signal that ended it (0 where there are no
            commands: a signal is how a headless tree ends); 141 if the reader of the output
            went away; else the code of the first command that failed, or 0.

        Raises:
            StartFailed: the tree did not come up.
            TakenOver: another process has its remote children.
            StorageError: durable state cannot be written.
            OSError: the output cannot be written.
            BaseException: a callback of the event loop raised it while commands were run, which is
                a defect of ssm. Without commands it is reported, and the tree goes on.
        """
        factory = quick_loop() if commands is None else None
        try:
            with self._interrupts, asyncio.Runner(loop_factory=factory) as runner:
                if renew is not None:
                    call_soon = runner.get_loop().call_soon_threadsafe
                    self._interrupts.renew_by(lambda: call_soon(renew))
                code = runner.run(self._run(commands))
        finally:
            self.node.close()
        return self._end(code, headless=commands is None)

    def _end(self, code: int, *, headless: bool) -> int:
        """Return the exit code, or raise why there is none; `code` is that of the commands."""
        if self._defect is not None:
            raise self._defect
        if self.node.storage_error is not None:
            raise self.node.storage_error
        if self.node.gave_up:
            self.printer.notice(
                "the tree gave up: the root reached its restart intensity; its reports say why"
            )
            return ExitCode.GAVE_UP
        if self._interrupts.caught is not None:
            return ExitCode.DONE if headless else 128 + self._interrupts.caught
        broken = self.printer.broken
        if broken is not None and not isinstance(broken, BrokenPipeError):
            raise broken
        return code if broken is None else ExitCode.BROKEN_PIPE

    async def _run(self, commands: Commands | None) -> int:
        handler = self._outlive if commands is None else self._on_defect
        asyncio.get_running_loop().set_exception_handler(handler)
        unsubscribe = self.node.subscribe(self._on_report) if self.reports else None
        try:
            self._start()
            if commands is None and not self.reports:
                self._tell("down")
            code = await self._serve(commands) if self.node.running else 0
            if self.node.end_error is not None:
                raise self.node.end_error
        except StartFailed:
            if not self.reports:
                self._tell("start_failed")
            raise
        else:
            return code
        finally:
            if unsubscribe is not None:
                unsubscribe()

    def _start(self) -> None:
        """Start the tree; it may be down afterwards if a signal was received."""
        try:
            self._interrupts.starting = True
            self.node.start(wait=False)  # clients are served, and remote children come
        except KeyboardInterrupt:
            if self._interrupts.caught is None:
                raise
        finally:
            self._interrupts.starting = False

    def _tell(self, event: str) -> None:
        """Print the reports of workers that this has happened to, though reports are off."""
        for report in self.node.reports():
            if report.event == event and report.kind == "worker":
                self.printer.report(report)

    async def _serve(self, commands: Commands | None) -> int:
        """Run the commands beside the tree, then stop it."""
        serving = asyncio.create_task(self._serve_node())
        self._interrupts.bind(asyncio.current_task())
        code = 0
        try:
            if not self._ending():
                code = await self._commands(commands, serving)
        except asyncio.CancelledError:
            if not self._ending():
                raise
        finally:
            self._interrupts.bind(None)
            if self.node.running:
                self.node.stop()
            await serving
        return code

    async def _commands(self, commands: Commands | None, serving: asyncio.Task[None]) -> int:
        """Run commands until they end, one fails, or the tree is down while none is available."""
        first = 0
        if commands is None:
            await asyncio.wait({serving})
            return first
        await self.node.until_up()
        while not self.node.gave_up and self.printer.broken is None:
            command = await self._next(commands, serving)
            if command is None:
                break
            result = await self._execute(command)
            self.printer.failed(result, command.place, keep_going=self.keep_going)
            await self.printer.drained()
            if result.ends:
                break
            first = first or int(result.exit_code)
            if first and not self.keep_going:
                break
            self.results.lose()
        return first

    async def _next(
        self, commands: Commands, serving: asyncio.Task[None]
    ) -> Command | CommandError | None:
        """Return the next command; None at the end, or if the tree ends first."""
        coming = asyncio.ensure_future(anext(commands, None))
        try:
            await asyncio.wait({coming, serving}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            coming.cancel()

    async def _execute(self, command: Command | CommandError) -> Result:
        if isinstance(command, CommandError):
            result = refused(command)
            self.printer.result(result)
            return result
        result, shown = await perform(
            command, self.node, self.results, show=self.printer.result, log=self.log
        )
        return result if result.error else shown

    def _ending(self) -> bool:
        """Return whether a signal, a broken stream or a defect ends the session."""
        signal_came = self._interrupts.caught is not None
        return signal_came or self.printer.broken is not None or self._defect is not None

    def _on_defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the session at an exception of a loop callback, instead of hanging.

        A client's connection that fails is its own affair.
        """
        error = context.get("exception")
        if "protocol" in context:
            self._outlive(loop, context)
        elif error is None:
            loop.default_exception_handler(context)
        elif self._defect is None:
            self._defect = error
            self._interrupts.wake()

    def _outlive(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report what the event loop tells of, and go on: it belongs to no call.

        Every time is a report; a line is printed once a second at most.
        """
        error = context.get("exception") or SsmError(str(context.get("message")))
        self.node.note_failure(error)
        if loop.time() >= self._silent_until_s:
            self._silent_until_s = loop.time() + 1
            kind = type(error).__name__
            self.printer.notice(f"the event loop failed, and goes on: {kind}: {message_of(error)}")

    def _on_report(self, report: Report) -> None:
        """Print a report; called from inside the node, never raises."""
        self.printer.report(report)
        if self.printer.broken is not None:
            self._interrupts.wake()


def quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory if it is installed; None for asyncio's own.

    Only for headless trees: uvloop cannot watch terminals and files. It saves a third of the time
    of a request.
    """
    try:
        return import_module("uvloop").new_event_loop  # type: ignore[no-any-return]  # optional
    except ImportError:
        return None
