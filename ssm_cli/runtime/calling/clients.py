"""Clients: many callers on one thread, each a generator, whose calls are served side by side.

Theory of operation. A client runs until it yields what it asks; its call goes into the queue, and
the next client runs. When all wait, the node serves what is in the queue, and each outcome puts its
client among those that are ready. So clients take turns, and run outside of the node's loop: they
may do with the node whatever its owner may.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import CallTimeout, DecodeError, SsmError
from ssm_cli.runtime.calling.calls import Calls
from ssm_cli.runtime.calling.casts import written
from ssm_cli.runtime.calling.waiting import TIMEOUT_S
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.pending import Pending, checked_seconds, late
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.runtime.performer.loop import NEVER, TURN_S, pump, rest

T = TypeVar("T")
Client = Generator[tuple[str, Any], Any, T]
CALL, RUNNING = Kind.CALL, CellStatus.RUNNING
LONGEST_REST_S = 60.0  # at a time; a call without a time-out waits for news of remote children


class Clients:
    """The part of a node that runs many clients at once."""

    def __init__(self, world: World, calls: Calls) -> None:
        self._world = world
        self._calls = calls

    def run_clients(self, *clients: Client[T], timeout_s: float | None = TIMEOUT_S) -> list[T]:
        """Run clients side by side until the last is done; what each returned, in their order.

        A client is a generator. It yields `(worker, message)` to call a worker, and is sent the
        output; bytes for bytes, as by `call`. Any other outcome is raised where it waits, as `call`
        would raise it. Clients take turns: what they ask is served in the order in which they asked
        it, and each call has `timeout_s` seconds. An exception that leaves a client is raised here;
        the others are closed where they wait, and what they have asked is served all the same.

        Raises:
            CalledFromStep: a step, or a reader of reports or outcomes, runs clients.
            TypeError: a client is no generator, or yields something else.
        """
        forbid_reentry(self._world)
        checked_seconds(timeout_s)
        with ExitStack() as stack:
            for client in clients:
                if not isinstance(client, Generator):
                    raise TypeError(f"a client is a generator that yields calls, got {client!r}")
                stack.callback(client.close)
            return Talks(self._calls, self._world, clients, timeout_s).run()


class Talk:
    """One client, and its call that waits for an outcome: a `Waiter` of one call after the other.

    Attributes:
        send: lets the client go on with an output.
        worker, begun_s: whom it called last, and when.
        cell: the worker whose codec writes the output of that call, if it was made with bytes.
        value, error: its outcome, once the talk was put among those that are ready by `hear`.
        place: which of the clients it is.
    """

    __slots__ = ("begun_s", "cell", "client", "error", "hear", "place", "send", "value", "worker")

    def __init__(
        self, client: Client[Any], place: int, begun_s: float, hear: Callable[[Talk], None]
    ) -> None:
        self.client, self.send, self.hear = client, client.send, hear
        self.place, self.begun_s, self.worker = place, begun_s, ""
        self.cell: WorkerCell | None = None
        self.value: Any = None
        self.error: SsmError | None = None

    def resolve(self, value: Any) -> None:
        """The outcome is `replied` with `value`."""
        self.value = value
        self.hear(self)

    def cut(self, error: SsmError) -> None:
        """Do nothing: the exception leaves `run_clients`, which closes each client."""

    def fail(self, error: SsmError) -> None:
        """The outcome is that of `error`."""
        self.error = error
        self.hear(self)

    def single(self) -> Pending:
        """Its call as one that ends in the first outcome that it is told."""
        return Pending(notify=self.end)

    def end(self, pending: Pending) -> None:
        """The call that `single` made has its outcome."""
        self.value, self.error = pending.value, pending.error
        self.hear(self)


class Talks:
    """Clients that run side by side."""

    def __init__(
        self, calls: Calls, world: World, clients: Sequence[Client[Any]], timeout_s: float | None
    ) -> None:
        self._calls = calls
        self._world = world
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._ready: list[Talk] = []
        self._look_s = -math.inf  # when to look for calls whose time is over
        now_s, hear = world.clock.now_s(), self._ready.append
        self._talks = {n: Talk(client, n, now_s, hear) for n, client in enumerate(clients)}
        self._results: list[Any] = [None] * len(clients)
        self._ready += self._talks.values()  # a client is first sent None

    def run(self) -> list[Any]:
        """Run them until the last is done."""
        world, ready = self._world, self._ready
        while self._talks:
            now_s = world.clock.now_s()
            if now_s >= self._look_s:
                self._end_overdue(now_s)
            if ready:
                self._go_on(now_s)
            pump(world, NEVER, TURN_S)
            if self._talks and not (ready or world.queue or world.lane or world.retries):
                self._rest()
        return self._results

    def _go_on(self, now_s: float) -> None:
        """Let each client that is ready run up to its next call."""
        world, talks = self._world, tuple(self._ready)
        names, queue, bound = world.names, world.queue, world.bound
        limit_s = now_s - self._timeout_s
        self._ready.clear()
        for talk in talks:
            try:
                if talk.error is None and talk.cell is None and talk.begun_s >= limit_s:
                    asked = talk.send(talk.value)
                else:
                    asked = self._tell(talk, limit_s)
            except StopIteration as end:
                self._results[talk.place] = end.value
                del self._talks[talk.place]
                continue
            try:
                worker, message = asked
            except (TypeError, ValueError):
                raise TypeError(f"a client yields (worker, message), got {asked!r}") from None
            talk.worker, talk.begun_s = worker, now_s
            cell = names.get(worker)
            if (
                type(cell) is WorkerCell
                and type(message) is not bytes
                and cell.status is RUNNING
                and not (cell.step is None and cell.suspended)
                and len(queue) < bound
            ):
                queue.append((cell, CALL, message, talk))
            else:
                self._ask(talk, message)

    def _tell(self, talk: Talk, limit_s: float) -> tuple[str, Any]:
        """Send a client an output that has to be written; raise an error where it waits."""
        error, cell = talk.error, talk.cell
        talk.error = talk.cell = None
        if error is None and talk.begun_s < limit_s:
            error = late(talk.worker, self._timeout_s)
        if error is None and cell is not None:
            try:
                talk.value = written(self._world, cell, talk.value)
            except DecodeError as cannot:
                error = cannot
        try:
            return talk.send(talk.value) if error is None else talk.client.throw(error)
        finally:
            del error  # it holds this frame, which must not hold the error

    def _ask(self, talk: Talk, message: Any) -> None:
        """Send a call with bytes, of a worker elsewhere, of none, or while there is no room."""
        worker, limit_s = str(talk.worker), None
        cell = self._world.find(worker)
        if not isinstance(cell, WorkerCell):
            limit_s = None if self._timeout_s == math.inf else self._timeout_s
        elif type(message) is bytes:
            talk.cell = cell
        try:
            self._calls.send_request(worker, message, talk.end, limit_s)
        except SsmError as error:
            talk.fail(error)

    def _waiting(self) -> list[Talk]:
        """The clients that wait for an outcome."""
        ready = set(map(id, self._ready))
        return [talk for talk in self._talks.values() if id(talk) not in ready]

    def _end_overdue(self, now_s: float) -> None:
        """End the calls whose time is over, and note when to look again."""
        for talk in self._waiting():
            if now_s - talk.begun_s >= self._timeout_s:
                self._give_up(talk, late(talk.worker, self._timeout_s))
        first_s = min((talk.begun_s for talk in self._waiting()), default=now_s)
        self._look_s = first_s + self._timeout_s

    def _give_up(self, talk: Talk, error: SsmError) -> None:
        """A client waits no longer: it goes on in another talk, and nobody hears this one."""
        talk.hear = unheard
        other = Talk(talk.client, talk.place, talk.begun_s, self._ready.append)
        self._talks[talk.place] = other
        other.fail(error)

    def _rest(self) -> None:
        """Nothing is under way: let time pass, to the next timer or the end of the first call."""
        now_s = self._world.clock.now_s()
        next_s = min(self._world.timers.next_s(), self._look_s)
        if next_s == math.inf and self._world.outside.links is None:
            for talk in self._waiting():
                why = "the call timed out: nothing that could answer is under way"
                self._give_up(talk, CallTimeout(why, worker=talk.worker, reason="timeout"))
        elif next_s > now_s:
            rest(self._world, min(next_s - now_s, LONGEST_REST_S))


def unheard(talk: Talk) -> None:
    """An outcome that comes late: the client of this talk waits no longer."""
    del talk
