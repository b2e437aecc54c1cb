"""A network in virtual time: delay, loss, cuts, pauses, crashes and clocks that drift.

Everything that happens is an entry of one heap; equal seeds give equal runs. A process has a
clock of its own. Messages and timers of a paused process wait until it goes on; those of a
crashed one are dropped.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Generator
from random import Random
from typing import Any

from ssm_cli.cluster.ports import Unknown

MAX_EVENTS = 2_000_000  # of one run; more, and it does not end


class Process:
    """A process: its clock, and whether it runs.

    Attributes:
        rate: how fast its clock goes; 1.1 gains a tenth.
        life: counts its crashes; what belongs to an earlier life is dropped.
        paused_until_s: as SIGSTOP and SIGCONT do; in true time.
        deaf, mute: nothing reaches it, nothing leaves it.
    """

    def __init__(self, name: str, rate: float = 1.0, offset_s: float = 0.0) -> None:
        self.name = name
        self.rate = rate
        self.offset_s = offset_s
        self.life = 0
        self.alive = True
        self.paused_until_s = 0.0
        self.deaf = False
        self.mute = False

    def crash(self) -> None:
        """It is gone, with all it knew."""
        self.life += 1
        self.alive = False


class Network:
    """The heap, the processes, and the weather between them.

    Args:
        seed: of all chance.
        delay_s: the longest delay of a message.
        loss: the share of messages that are lost.
    """

    def __init__(self, seed: int, *, delay_s: float = 0.01, loss: float = 0.0) -> None:
        self.random = Random(seed)  # noqa: S311 - it makes schedules; it keeps no secret
        self.delay_s = delay_s
        self.loss = loss
        self.true_s = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, true_s: float, function: Callable[..., None], *args: Any) -> None:
        """Call a function at a moment of true time."""
        self._count += 1
        heapq.heappush(self._heap, (true_s, self._count, function, args))

    def now_s(self, process: Process) -> float:
        """What its clock shows."""
        return process.offset_s + self.true_s * process.rate

    def after(
        self, process: Process, delay_s: float, function: Callable[..., None], *args: Any
    ) -> None:
        """A timer of a process: `delay_s` by its own clock."""
        due_s = self.true_s + delay_s / process.rate
        self.at(due_s, self._deliver, process, process.life, function, args)

    def _deliver(
        self, process: Process, life: int, function: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if process.life != life or not process.alive:
            return
        if self.true_s < process.paused_until_s:
            self.at(process.paused_until_s, self._deliver, process, life, function, args)
            return
        function(*args)

    def carry(self, process: Process, function: Callable[..., None], *args: Any, out: bool) -> None:
        """A message from a process to the servers (`out`), or from them to it; it may be lost."""
        if (process.mute if out else process.deaf) or self.random.random() < self.loss:
            return
        due_s = self.true_s + self.random.random() * self.delay_s
        if out:
            self.at(due_s, function, *args)
        else:
            self.at(due_s, self._deliver, process, process.life, function, args)

    def ask(
        self,
        process: Process,
        question: Callable[[], Any],
        heard: Callable[[Any], None],
        timeout_s: float,
    ) -> None:
        """Have the servers answer a question; `heard` is called once, with `Unknown` if in vain."""
        open_ = [True]

        def once(answer: Any) -> None:
            if open_:
                open_.clear()
                heard(answer)

        def there() -> None:
            self.carry(process, once, question(), out=False)

        self.after(process, timeout_s, once, Unknown("no answer came"))
        self.carry(process, there, out=True)

    def run(self, until_s: float) -> None:
        """Let everything happen up to a moment of true time."""
        for _ in range(MAX_EVENTS):
            if not self._heap or self._heap[0][0] > until_s:
                self.true_s = until_s
                return
            self.true_s, _, function, args = heapq.heappop(self._heap)
            function(*args)
        raise AssertionError(f"more than {MAX_EVENTS} events before {until_s:g} s")

    def complete(self, main: Coroutine[Any, Any, Any], most_s: float = 600.0) -> Any:
        """Run a coroutine to its end, in virtual time."""
        task = Task(self, main)
        end_s = self.true_s + most_s
        while not task.done and self._heap and self._heap[0][0] <= end_s:
            self.true_s, _, function, args = heapq.heappop(self._heap)
            function(*args)
        assert task.done, "a simulated coroutine waits for something that never happens"
        return task.result()


class Promise:
    """Something that a coroutine waits for."""

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self._then: Callable[[], None] | None = None

    def keep(self, value: Any) -> None:
        """It is there."""
        if not self.done:
            self.done, self.value = True, value
            if self._then is not None:
                self._then()

    def then(self, function: Callable[[], None]) -> None:
        """Call this once it is there."""
        self._then = function

    def __await__(self) -> Generator[Promise, None, Any]:
        if not self.done:
            yield self
        return self.value


class Task:
    """A coroutine that runs in virtual time."""

    def __init__(self, network: Network, main: Coroutine[Any, Any, Any]) -> None:
        self._main = main
        self._network = network
        self._value: Any = None
        self._error: BaseException | None = None
        self.done = False
        network.at(network.true_s, self._go)

    def _go(self) -> None:
        try:
            promise = self._main.send(None)
        except StopIteration as end:
            self.done, self._value = True, end.value
        except BaseException as error:  # noqa: BLE001 - handed to who asks for the result
            self.done, self._error = True, error
        else:
            promise.then(lambda: self._network.at(self._network.true_s, self._go))

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value
