"""The life cycle of a session: start of the tree, shown face, orderly end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Protocol, TextIO

from ssm_cli.errors import SsmError, StorageError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.repl.faces.dumb import Dumb
from ssm_cli.repl.faces.progress import ENDED, Progress, interruptible, workers_in
from ssm_cli.repl.faces.scrolling import Scrolling
from ssm_cli.repl.shell.programs import hand_back, in_foreground, need_shell
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import Report
from ssm_cli.spec.model import SupervisorSpec

Reader = Callable[[Report], None]
Serve = Callable[[], Coroutine[Any, Any, None]]
FOREGROUND_S = 0.1  # how often it is looked whether the shell has said `fg`
ENDING = (signal.SIGTERM, signal.SIGHUP)  # a session ends at them, as by Ctrl-D


class RunningNode(NodeApi, Protocol):
    """What a session needs of a node."""

    @property
    def spec(self) -> SupervisorSpec:
        """The tree that it runs."""
        ...

    @property
    def running(self) -> bool:
        """Whether the tree is up."""
        ...

    @property
    def gave_up(self) -> bool:
        """Whether the root reached its restart intensity."""
        ...

    @property
    def storage_error(self) -> StorageError | None:
        """Why durable state cannot be written; None if it can be."""
        ...

    @property
    def end_error(self) -> SsmError | None:
        """Why the tree has not come up after `start(wait=False)`, or had to end; else None."""
        ...

    def start(self, *, wait: bool = True) -> object:
        """Start the tree; raises `StartFailed`."""
        ...

    async def serve(self) -> None:
        """Run until the tree is down."""
        ...

    def subscribe(self, reader: Reader) -> Callable[[], None]:
        """Call `reader` with each report; the result unsubscribes it."""
        ...


@dataclass(eq=False)
class Life:
    """The life cycle of a session.

    Args:
        node: not started yet.
        scrolling: the faces of a terminal that can draw.
        dumb: the face of a terminal that cannot; else None.
        serve: runs the node until it is down.
        stdout: the terminal.
        now: a monotonic clock, in seconds.
        drop: drops what was typed and not carried out; says how much it was, or nothing.

    Attributes:
        shown: set but from `detach` to `fg`: nothing has the terminal then, and no line is begun.
    """

    node: RunningNode
    scrolling: Scrolling
    dumb: Dumb | None
    _: KW_ONLY
    serve: Serve
    stdout: TextIO
    now: Callable[[], float]
    drop: Callable[[], str]

    def __post_init__(self) -> None:
        self._app, self._model = self.scrolling.app, self.scrolling.model
        self._leaves = self._detaches = False
        self.shown = asyncio.Event()
        self.shown.set()
        self._code: int = ExitCode.DONE

    async def run(self, reader: Reader, *beside: Callable[[], Coroutine[Any, Any, None]]) -> int:
        """Start the tree, show it until it is down, say how it ended; return the exit code.

        Args:
            reader: called with each report.
            beside: coroutines that run beside the face, cancelled at its end.
        """
        loop = asyncio.get_running_loop()
        unsubscribe = self.node.subscribe(reader)
        try:
            start = partial(self.node.start, wait=False)
            self._watched(start, "starting", ("started",), workers_in(self.node.spec))
            self._model.recount()
            loop.set_exception_handler(self._stray)
            for number in ENDING:
                loop.add_signal_handler(number, self._on_signal, number)
            await self._show([asyncio.create_task(work()) for work in beside])
            self._say_goodbye()
        finally:
            unsubscribe()
            loop.set_exception_handler(None)
            for number in ENDING:  # a loop that closes first leaves signals a closed descriptor
                loop.remove_signal_handler(number)
        for error in (self.node.storage_error, self.node.end_error):
            if error is not None:
                raise error
        return ExitCode.GAVE_UP if self.node.gave_up else self._code

    def leave(self) -> None:
        """End the session, once a face is shown."""
        self._leaves = True
        self._leave_if_asked()

    def detach(self) -> None:
        """Give the terminal back to the shell; the tree goes on, and `fg` comes back.

        Raises:
            CommandError: there is no shell.
        """
        need_shell()
        self._detaches = True
        self.shown.clear()
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if not (self._leaves or self._detaches):
            return
        self.scrolling.take_back()
        if self.dumb is not None:
            self.dumb.end()
        if self._app.is_running and not self._app.is_done:
            self._app.exit()

    async def _show(self, tasks: list[asyncio.Task[None]]) -> None:
        """Run the face and the tree until both have ended."""
        serving = asyncio.create_task(self.serve())
        serving.add_done_callback(lambda _: self.leave())
        try:
            await self._show_face()
        except EOFError:
            self._code = 128 + signal.SIGHUP  # the terminal went away
        finally:
            for task in tasks:
                task.cancel()
            if self.node.running:
                stop = self.node.stop
                self._watched(stop, "stopping", ENDED, self._model.workers)
            await asyncio.gather(*tasks, return_exceptions=True)
            await serving

    async def _show_face(self) -> None:
        """Run the face until the session is left; in the background (`&`, detached) there is none.

        A terminal that goes away while it is another job's does not end the tree.
        """
        while not self._leaves:
            await self._until(lambda: in_foreground(self.stdout) is not False)
            if self._leaves:
                return
            if self.dumb is not None:
                await self.dumb.run()
            else:
                await self._app.run_async(pre_run=self._begin, set_exception_handler=False)
            if not self._detaches:
                return
            await self._go_on()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of the terminal, or the session is left."""
        while not (self._leaves or holds()):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(FOREGROUND_S)

    async def _go_on(self) -> None:
        """Go on in the background, until the shell says `fg`, or the tree is down."""
        loop, self._detaches = asyncio.get_running_loop(), False
        loop.remove_signal_handler(signal.SIGHUP)
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell's own end is not ours
        said = f"ssm: {self._model.title} goes on; `fg` or `ssm attach` comes back\n"
        dropped = self.drop()
        said += f"ssm: {dropped}: what is typed behind `detach` is not for it\n" if dropped else ""
        self.stdout.write(said)
        self.stdout.flush()
        try:
            await hand_back(self.stdout)
        except OSError as error:
            self._model.notice(f"not detached: {error.strerror}", "bad")
        await self._until(lambda: bool(in_foreground(self.stdout)))
        self.shown.set()
        signal.signal(signal.SIGHUP, before)
        loop.add_signal_handler(signal.SIGHUP, self._on_signal, signal.SIGHUP)

    def _begin(self) -> None:
        """Print what there is already above the prompt."""
        self._leave_if_asked()
        self.scrolling.flush()

    def _watched(
        self, do: Callable[[], object], what: str, events: tuple[str, ...], total: int
    ) -> None:
        """Start or stop the tree, showing progress; Ctrl-C interrupts at once."""
        if not self.stdout.isatty() or in_foreground(self.stdout) is False:
            do()
            return
        progress = Progress(self.stdout, self.now, what, events, total)
        unsubscribe = self.node.subscribe(progress.on_report)
        try:
            with interruptible():
                do()
        finally:
            unsubscribe()
            progress.end()

    def _on_signal(self, number: int) -> None:
        """End the session with 128 + the signal, as shells have it."""
        self._code = 128 + number
        self.leave()

    def _stray(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """Show an uncaught exception; the tree runs on."""
        del loop
        self._model.defect(context.get("exception"), str(context.get("message", "")))

    def _say_goodbye(self) -> None:
        """Print the last lines and how the tree ended, unless another job has the terminal."""
        if in_foreground(self.stdout) is False:
            return
        lines = (self.scrolling if self.dumb is None else self.dumb).rest()
        lines += self._model.last_words() if self.node.gave_up else []
        if not self.node.running:  # a tree elsewhere runs on
            lines.append(f"ssm: {self._model.summary(gave_up=self.node.gave_up)}")
        try:
            self.stdout.write("".join(f"{line}\n" for line in lines))
            self.stdout.flush()
        except OSError:
            if self._code == ExitCode.DONE:  # else there is nobody to tell
                raise
