"""The driver: serves a node from an asyncio loop.

A turn of the loop gives the node about `TURN_S` seconds, then lets input and output, keys and
frames get in between; a node with nothing to do costs nothing.

A call that nothing waits ahead of is served on the spot, by the task that makes it (`serve`), and
its task then goes round the loop once, as if it had waited: clients take turns, and none needs a
future. The calls that are served so between two turns share `TURN_S` seconds as well; the rest
wait in the queue for the turn.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Odd
from ssm_cli.errors import CallError, CallTimeout, SsmError
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.pending import Pending, late
from ssm_cli.runtime.engine.world import Outside, World, call_of
from ssm_cli.runtime.performer.intake import put
from ssm_cli.runtime.performer.loop import NEVER, TURN_S, deal_with, leave, pump, step_now
from ssm_cli.runtime.performer.mend import heal, loop_code, mend

CALL = Kind.CALL
PAUSE = 0.1  # of the time that a try of a restart took
LONGEST_PAUSE_S = 0.25


def repeated(callback: Callable[[Driver], None]) -> Callable[[Driver], None]:
    """Have the driver take a turn again where a callback is interrupted: nobody else would."""

    def taken(driver: Driver) -> None:
        try:
            callback(driver)
        except BaseException:
            driver.wake(again=True)  # the turn that is scheduled may be the one that was cut
            raise

    return taken


class Driver:
    """Serves one node from one running loop."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._create_future = loop.create_future
        self._is_running = loop.is_running
        self._now_s = world.clock.now_s
        self._notify = self._settle  # bound once, not at each call
        self._world = world
        self._scheduled = False
        self._spot_end_s = 0.0  # until when calls are served on the spot, before the next turn
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = self.sweep_s = float("inf")
        self._until: list[tuple[asyncio.Future[None], Callable[[], bool]]] = []
        self._ends: dict[Pending, tuple[float, float, str]] = {}  # until when each call waits
        self._sweep: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()  # callers who wait for room
        self.watched = -1  # the file descriptor that brings news of remote children

    def wake(self, *, again: bool = False) -> None:
        """There is work: take a turn as soon as the loop gets to it, or one more."""
        if self.loop.is_closed():  # the node goes on without asyncio, served by its callers
            self._world.outside.wake = None
            return
        if again or not self._scheduled:
            self._scheduled = self.loop.call_soon(self._turn) is not None

    @repeated
    def _turn(self) -> None:
        self._scheduled = False
        world = self._world
        if not (world.pumping and heal(world)):
            pump(world, NEVER, TURN_S)
        tend(self, world.outside)
        keeper = world.outside.keeper
        full = keeper is not None and keeper.is_full()  # it wakes us when it is not
        self._let_in()
        if self.sweep_s <= self._now_s():
            self._sweep_over()
        if world.lane or (world.queue and not full) or (world.retries and not self._pause()):
            self.wake()
        self._await_timer()
        if self._until:
            self._tell()

    def _pause(self) -> bool:
        """Let others in for a while before a restart that took long is tried again."""
        world = self._world
        pause_s = min(LONGEST_PAUSE_S, world.try_s * PAUSE)
        world.retry_at_s = self._now_s() + pause_s if pause_s > TURN_S * PAUSE else 0.0
        return world.retry_at_s > 0

    def _let_in(self) -> None:
        """Let as many callers go on as there is room for, in the order in which they came."""
        room = self._world.bound - len(self._world.queue) if self._world.running else math.inf
        while self._waiting and room > 0:
            if not self._waiting[0].done():
                self._waiting[0].set_result(None)
                room -= 1
            self._waiting.popleft()  # last: what is interrupted is done again

    def _await_timer(self) -> None:
        world = self._world
        next_s = min(world.timers.next_s(), look_s(world.outside))
        if world.retries:
            next_s = min(next_s, world.retry_at_s)
        if next_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_s = next_s
        if next_s < float("inf"):
            delay_s = max(0.0, next_s - self._world.clock.now_s())
            self._timer = self.loop.call_later(delay_s, self._timer_due)

    def _timer_due(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        self._turn()

    def _tell(self, *, all_: bool = False) -> None:
        for future, holds in tuple(self._until):
            if (all_ or holds()) and not future.done():
                future.set_result(None)
        self._until = [one for one in self._until if not one[0].done()]  # last, as above

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that the node decides, which is looked at after each turn."""
        if not holds():
            future = self.loop.create_future()
            self._until.append((future, holds))
            self.wake()
            await future

    def is_full(self) -> bool:
        """Return whether a caller has to wait for room in the queue."""
        world = self._world
        return world.running and (bool(self._waiting) or len(world.queue) >= world.bound)

    async def room(self, timeout_s: float | None) -> None:
        """Wait until there is room in the queue, behind those who have come before.

        Raises:
            CallTimeout: there is none in time.
        """
        waits: Callable[..., None] | None = self._waiting.append
        try:
            async with asyncio.timeout(timeout_s):
                while waits is not None:
                    waits(waiter := self._create_future())
                    self.wake()
                    await waiter
                    full = self._world.running and len(self._world.queue) >= self._world.bound
                    waits = self._waiting.appendleft if full else None  # it has the next place
        except TimeoutError:
            raise CallTimeout("the call timed out: the queue is full", reason="timeout") from None

    @loop_code
    def serve(  # noqa: C901 - the quick way of a call, in one
        self, cell: WorkerCell, message: Any, timeout_s: float | None
    ) -> Awaitable[Any] | None:
        """Serve a call to a pure step on the spot; what its caller awaits then.

        None: it has to queue up, and nothing was done.
        """
        world = self._world
        if world.queue or world.lane or world.pumping or cell.step is None:
            return None
        if not self._is_running():  # another loop may run; to ask which one costs a system call
            return None
        begun_s = self._now_s()
        if not self._scheduled:
            self.wake()  # for what the step sets off, and to begin a new turn
            self._spot_end_s = begun_s + TURN_S
        elif begun_s > self._spot_end_s:
            return None
        error = pending = None
        if world.history is not None:
            world.history.next_at(begun_s)
        world.pumping = True
        try:
            output = step_now(world, cell, message)
            if type(output) is Odd:
                pending = Pending()
                deal_with(world, cell, message, pending, output)
        except BaseException:
            mend(world)
            leave(world)
            raise
        leave(world)
        if pending is not None:
            if not pending.done:
                return self._follow(pending, cell, timeout_s, begun_s)
            output, error = pending.value, pending.error
        if timeout_s is not None and self._now_s() > begun_s + timeout_s:
            error = late(cell.spec.id, timeout_s)
        return answered(output, error)

    def ask(
        self,
        cell: WorkerCell,
        message: Any,
        timeout_s: float | None,
        heard: Callable[[Pending], None] | None = None,
        request_id: str = "",
    ) -> asyncio.Future[Any]:
        """Put a call into the queue, which has room; the future that its outcome completes.

        Whoever is cancelled stops waiting; the step is not. `heard` is called at the very moment
        of the outcome.
        """
        world = self._world
        pending = call_of(world)
        pending.heard = heard
        if request_id:
            pending.request = request_id
        future = self._follow(pending, cell, timeout_s, self._now_s())
        if (
            cell.status is not CellStatus.RUNNING
            or world.pumping
            or len(world.queue) >= world.bound
        ):
            try:
                put(world, cell, CALL, message, pending, wait=False)
            except CallError:
                self._ends.pop(pending, None)  # it is raised here: nobody awaits the future
                raise
        else:
            world.queue.append((cell, CALL, message, pending))
            if not self._scheduled:
                self.wake()
        return future

    def _follow(
        self, pending: Pending, cell: WorkerCell, timeout_s: float | None, begun_s: float
    ) -> asyncio.Future[Any]:
        """The future that the outcome of a call completes, or the end of its time."""
        future: asyncio.Future[Any] = self._create_future()
        pending.future, pending.notify = future, self._notify
        if timeout_s is not None:
            end_s = begun_s + timeout_s
            self._ends[pending] = (end_s, timeout_s, cell.spec.id)
            if end_s < self.sweep_s:
                self._sweep_at(end_s)
        return future

    def _settle(self, pending: Pending) -> None:
        """The outcome of a call is there; one that comes late counts as `timeout`."""
        end = self._ends.get(pending)
        if end is not None and self._now_s() > end[0]:
            pending.error = late(end[2], end[1])
        future = pending.future
        if not future.done():
            if pending.error is None:
                future.set_result(pending.value)
            else:
                future.set_exception(pending.error)
        if pending.heard is not None:
            pending.heard(pending)
        self._ends.pop(pending, None)  # last: what is interrupted is done again, by a sweep

    def _sweep_at(self, end_s: float) -> None:
        """Look for calls whose time is over at `end_s`, unless that is done sooner anyway."""
        if self._sweep is not None:
            self._sweep.cancel()
        delay_s = max(0.0, end_s - self._world.clock.now_s())
        self._sweep = self.loop.call_later(delay_s, self._sweep_over)
        self.sweep_s = end_s  # last: a sweep that is interrupted is due until the next is set

    @repeated
    def _sweep_over(self) -> None:
        now_s = self._world.clock.now_s()
        over = [(pending, end) for pending, end in self._ends.items() if end[0] <= now_s]
        for pending, (_, timeout_s, worker) in over:
            pending.fail(late(worker, timeout_s))
        if self._ends:
            self._sweep_at(min(self._ends.values())[0])
        elif self._sweep is not None:
            self._sweep.cancel()
            self._sweep, self.sweep_s = None, float("inf")

    def close(self) -> None:
        """Let go of the loop."""
        for handle in filter(None, (self._timer, self._sweep)):
            handle.cancel()
        if self.watched >= 0:
            self.loop.remove_reader(self.watched)
        self._tell(all_=True)
        self._let_in()


@coroutine
def answered(output: Any, error: SsmError | None) -> Generator[None, None, Any]:
    """The output of a call that is done, or its error raised, after the loop has gone round once.

    A bare `yield` is how `asyncio.sleep(0)` lets others run.
    """
    yield
    if error is None:
        return output
    try:
        raise error
    finally:
        del error  # the error holds this frame, which must not hold the error


def tend(driver: Driver, outside: Outside) -> None:
    """Listen to the links, and have the runs that wait begin on the loop that runs."""
    if outside.links is not None:
        watch_links(driver, outside.links.fileno())
    if outside.runner is not None and outside.runner.has_work():
        outside.runner.go(driver.loop)


def look_s(outside: Outside) -> float:
    """Return when to look after the links at the latest."""
    return math.inf if outside.links is None else float(outside.links.due_s())


def watch_links(driver: Driver, number: int) -> None:
    """Have the loop tell of news of remote children, which come at this file descriptor."""
    if number != driver.watched:
        if driver.watched >= 0:
            driver.loop.remove_reader(driver.watched)
        if number >= 0:
            driver.loop.add_reader(number, driver.wake)
    driver.watched = number


def attach(world: World) -> Driver:
    """The driver of a node for the running loop; made at first use."""
    loop = asyncio.get_running_loop()
    driver = world.outside.driver
    if not isinstance(driver, Driver) or driver.loop is not loop or world.outside.wake is None:
        driver = Driver(world, loop)
        driver.wake()
        world.outside.driver, world.outside.wake = driver, driver.wake  # last: else it is made anew
    return driver
