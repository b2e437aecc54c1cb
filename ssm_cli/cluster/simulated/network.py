"""A network in virtual time: delay, loss, cuts, pauses, crashes and clocks that drift.

Equal seeds give equal runs. A process has a clock of its own. Messages and timers of a paused
process wait until it goes on; those of a crashed one are dropped, and its tasks end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar

from ssm_cli.cluster.ports import Unknown
from ssm_cli.cluster.simulated.loop import VirtualLoop

Value = TypeVar("Value")
LATE_S = 4.0  # longer than a lease
LET_GO_S = 5.0  # after which servers let go of who does not answer their pings
RUNS: ContextVar[Process | None] = ContextVar("RUNS", default=None)


class Cable:
    """What ties a computer to the network: nothing reaches it (`deaf`), nothing leaves it (`mute`).

    All processes of a computer share it, those too that begin while it is cut.

    """

    def __init__(self) -> None:
        self.deaf = False
        self.mute = False
        self._well_s = 0.0  # until when both ways were open

    @property
    def whole(self) -> bool:
        """Whether both ways are open."""
        return not (self.deaf or self.mute)

    def cut(self, true_s: float, *, deaf: bool = True, mute: bool = True) -> None:
        """Cut it, one way or both."""
        if self.whole:
            self._well_s = true_s
        self.deaf, self.mute = deaf, mute

    def heal(self) -> None:
        """Have both ways open again."""
        self.deaf = self.mute = False

    def is_let_go(self, true_s: float) -> bool:
        """Return whether the servers have let go of the connections that go over it."""
        return not self.whole and true_s - self._well_s >= LET_GO_S


class Process:
    """A process: its clock, its line, and whether it runs.

    Args:
        name: for people.
        rate: see below.
        offset_s: what its clock shows at the beginning.
        line: that of the computer it runs on; None for one of its own.

    Attributes:
        rate: how fast its clock goes; 1.1 gains a tenth.
        life: counts its crashes; what belongs to an earlier life is dropped.
        paused_until_s: as SIGSTOP and SIGCONT do; in true time. User code that does not return
            does the same to the process that runs it.
        frozen: the same, until it is told to go on; what comes meanwhile is `held`.
        line: the same.
    """

    def __init__(
        self, name: str, rate: float = 1.0, offset_s: float = 0.0, line: Cable | None = None
    ) -> None:
        self.name = name
        self.rate = rate
        self.offset_s = offset_s
        self.life = 0
        self.alive = True
        self.paused_until_s = 0.0
        self.frozen = False
        self.held: list[Callable[[], None]] = []
        self.line = line or Cable()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.context: Context = copy_context()
        self.context.run(RUNS.set, self)

    def thaw(self) -> None:
        """Let it go on."""
        self.frozen = False
        held, self.held = self.held, []
        for deliver in held:
            deliver()

    def crash(self) -> None:
        """It is gone, with all it knew."""
        self.life += 1
        self.alive = False
        for task in list(self.tasks):
            task.cancel()


def _of_a_process(loop: asyncio.AbstractEventLoop, main: Any, **more: Any) -> asyncio.Task[Any]:
    """Make a task that ends with the process that began it."""
    task = asyncio.Task(main, loop=loop, **more)
    process = RUNS.get()
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task


class Network:
    """The processes, and the weather between them.

    Args:
        seed: of all chance.
        delay_s: the longest delay of a message.
        loss: the share of messages that are lost.

    Attributes:
        late: the share of messages that take up to `LATE_S` instead.
        loop: runs all that happens.
    """

    def __init__(self, seed: int, *, delay_s: float = 0.01, loss: float = 0.0) -> None:
        self.random = Random(seed)  # noqa: S311 - it makes schedules; it keeps no secret
        self.delay_s = delay_s
        self.loss = loss
        self.late = 0.0
        self.loop = VirtualLoop()
        self.loop.set_task_factory(_of_a_process)

    @property
    def true_s(self) -> float:
        """True time, which no process sees."""
        return self.loop.time()

    def at(self, true_s: float, function: Callable[..., None], *args: Any) -> None:
        """Call a function at a moment of true time."""
        self.loop.call_at(true_s, function, *args)

    def now_s(self, process: Process) -> float:
        """What its clock shows."""
        return process.offset_s + self.true_s * process.rate

    def begin(self, process: Process, main: Coroutine[Any, Any, Any]) -> None:
        """Have a process run a coroutine; it ends when that process crashes."""
        self.loop.call_soon(self.loop.create_task, main, context=process.context)

    def after(
        self, process: Process, delay_s: float, function: Callable[..., None], *args: Any
    ) -> None:
        """A timer of a process: `delay_s` by its own clock."""
        due_s = self.true_s + delay_s / process.rate
        self._due(due_s, process, process.life, function, args)

    def _due(
        self,
        due_s: float,
        process: Process,
        life: int,
        function: Callable[..., None],
        args: tuple[Any, ...],
    ) -> None:
        deliver, context = self._deliver, process.context
        self.loop.call_at(due_s, deliver, process, life, function, args, context=context)

    def _deliver(
        self, process: Process, life: int, function: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if process.life != life or not process.alive:
            return
        if process.frozen:
            due = self._due
            process.held.append(lambda: due(self.true_s, process, life, function, args))
            return
        if self.true_s < process.paused_until_s:
            self._due(process.paused_until_s, process, life, function, args)
            return
        function(*args)

    def carry(self, process: Process, function: Callable[..., None], *args: Any, out: bool) -> None:
        """A message from a process to the servers (`out`), or from them to it; it may be lost."""
        if (process.line.mute if out else process.line.deaf) or self.random.random() < self.loss:
            return
        longest_s = LATE_S if self.late and self.random.random() < self.late else self.delay_s
        due_s = self.true_s + self.random.random() * longest_s
        if out:
            self.at(due_s, function, *args)
        else:
            self._due(due_s, process, process.life, function, args)

    async def ask(self, process: Process, question: Callable[[], Any], timeout_s: float) -> Any:
        """Have the servers answer a question; `Unknown` if no answer comes in time."""
        heard: asyncio.Future[Any] = self.loop.create_future()

        def once(answer: Any) -> None:
            if not heard.done():
                heard.set_result(answer)

        def there() -> None:
            answer = question()
            if answer is not None:
                self.carry(process, once, answer, out=False)

        self.after(process, timeout_s, once, Unknown("no answer came"))
        self.carry(process, there, out=True)
        return await heard

    def run(self, seconds: float) -> None:
        """Let everything happen within a time."""
        self.loop.run_for(seconds)

    def complete(self, main: Awaitable[Value]) -> Value:
        """Run a coroutine to its end, in virtual time."""
        return self.loop.complete(main)

    def close(self) -> None:
        """End it."""
        self.loop.end()
