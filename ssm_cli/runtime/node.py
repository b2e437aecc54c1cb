"""`Node`: a tree, running on the thread of its caller."""

from __future__ import annotations

import math
import signal
from random import Random
from types import TracebackType
from typing import Any, Self

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.reasons import ExitReason, reason_of, term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.codec.build import codec_for
from ssm_cli.errors import CalledFromStep, DecodeError, Fenced, SsmError, StartFailed, StorageError
from ssm_cli.runtime.asking import Asking
from ssm_cli.runtime.clock import Clock, ManualClock, SystemClock
from ssm_cli.runtime.durable.keeper import keeper_for
from ssm_cli.runtime.durable.lives import resume
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.quarantine import Keeps
from ssm_cli.runtime.engine.cell import Status, SupervisorCell
from ssm_cli.runtime.engine.guard import AlarmGuard, Guard, ManualGuard, NoGuard
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.looks import Looks
from ssm_cli.runtime.looking.purity import Purity
from ssm_cli.runtime.performer.ending import terminate_supervisor
from ssm_cli.runtime.performer.intake import need_worker, put
from ssm_cli.runtime.performer.loop import NEVER, TURN_S, pump, step_one
from ssm_cli.runtime.performer.starting import start_cell, without_collector
from ssm_cli.runtime.performer.supervise import root_down
from ssm_cli.runtime.remote.far import far_of, send_far
from ssm_cli.runtime.remote.ports import Links
from ssm_cli.spec.model import SupervisorSpec

DRAIN_S = 1.0
FAR_S = 60.0  # how long a call of a worker on another computer is under way at most
DONE = Pending()
DONE.done = True


class Node(Asking, Looks, Keeps):
    """A tree, running on the thread of its caller. Implements `NodeApi`.

        with Node(load_tree("tree.yaml")) as node:
            node.call("kv2", b"Store x 1")

    It takes no thread and needs no asyncio: calling it runs it. Inside asyncio, `acall` and
    `serve` let the running loop do so. Two nodes in one process are independent.

    Args:
        tree: the root supervisor.
        name: the name others find it by; the id of the root by default.
        clock: where time comes from; a `ManualClock` in tests.
        seed: of the node's random source (the jitter of back-offs).
        store: where the states and inputs of workers with `persist` are kept (`FolderStore`). It
            stays open when the tree stops, for another start; `close` closes it.
        verify_pure: step every pure worker twice, on copies, and report those that differ.
        links: the way to remote children (`ClusterLinks`); open until it is closed, too.
        guard: whether callbacks are cut at their limits. It needs the main thread, since Python
            delivers signals there only; in another thread nothing is cut.
    """

    def __init__(
        self,
        tree: SupervisorSpec,
        *,
        name: str | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        guard: bool = True,
        store: Store | None = None,
        verify_pure: bool = False,
        links: Links | None = None,
    ) -> None:
        if not isinstance(tree, SupervisorSpec):
            raise TypeError(f"a tree is a Supervisor, got {tree!r}")
        self.spec = tree
        self._name = tree.id if name is None else name
        clock = SystemClock() if clock is None else clock
        self._guard = choose_guard(clock, wanted=guard)
        chance = Random(seed)  # noqa: S311 - it spreads delays; it keeps no secret
        self._world = World(SupervisorCell(tree, None), clock, self._guard, chance)
        self._world.links = links
        self._store = store
        if verify_pure:
            self._world.advance = Purity(self._world).advance

    @property
    def name(self) -> str:
        """The name others find the tree by."""
        return self._name

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the tree, depth-first in order.

        Raises:
            StartFailed: a child did not start. Those before it were stopped in reverse order;
                `term` says who and why in OTP's form.
            StorageError: what is stored cannot be read, or nothing can be written.
        """
        world = self._world
        if world.running:
            raise SsmError(f"{self._name} runs already")
        self._remember()
        world.gave_up = False
        world.running = True
        world.names[world.root.spec.id] = world.root
        world.pumping = True  # a reader of reports must not run the node while it starts
        try:
            with without_collector():
                outcome = start_cell(world, world.root)
        except BaseException:
            self._abandon()
            raise
        finally:
            world.pumping = False
        if outcome is not None:
            self._give_up(outcome)
        if world.keeper is not None:
            resume(world.keeper)
        self._settle()
        if not world.running and self.storage_error is not None:
            raise self.storage_error
        return self

    def _give_up(self, outcome: ExitReason | Ignore) -> None:
        """The root did not start."""
        world = self._world
        world.running = False
        world.queue.clear()
        world.lane.clear()
        self._guard.close()
        if world.keeper is not None:
            world.keeper.finish()
        ignored = isinstance(outcome, Ignore)
        why = "its init answered ignore" if isinstance(outcome, Ignore) else str(outcome)
        term = "ignore" if isinstance(outcome, Ignore) else term_of(outcome)
        raise StartFailed(f"{self._name} did not start: {why}", term=term, ignored=ignored)

    def _remember(self) -> None:
        """Read what is stored, at the first start."""
        if self._store is not None and self._world.keeper is None:
            self._world.keeper = keeper_for(self._world, self._store, self._cannot_write)

    def _cannot_write(self, error: StorageError) -> None:
        """Nothing more may be acknowledged: end, as soon as what runs has ended."""
        self._world.post(self._stop, "fenced" if isinstance(error, Fenced) else "storage")

    def _abandon(self) -> None:
        """Something outside the tree interrupted its start: stop what has started."""
        world = self._world
        world.guard.end()
        world.root.status = Status.RUNNING
        terminate_supervisor(world, world.root, reason_of("shutdown"), "infinity")
        root_down(world, reason_of("shutdown"))
        world.lane.clear()

    def stop(self, reason: object = "shutdown", *, drain: bool = True) -> None:
        """Stop the tree in order: children in reverse start order, each with its shutdown time.

        Inputs that wait already are served first, for at most a second, unless `drain` is off.
        Does nothing if the tree is down. Called from a reader of reports it takes effect next.
        """
        world = self._world
        if world.guard.cell is not None:
            raise CalledFromStep(f"{world.guard.cell.spec.id} stopped its own node from a step")
        if not world.running:
            return
        if world.pumping:
            world.post(self._stop, reason)
            return
        try:
            if drain:
                pump(world, NEVER, DRAIN_S)
        finally:
            world.pumping = True  # a reader that stops the node again comes too late
            try:
                self._stop(reason)
            finally:
                world.pumping = False
                self._settle()

    def _stop(self, reason: object) -> None:
        world = self._world
        if not world.running:
            return
        unserved = tuple(world.lane)
        world.lane.clear()
        final = reason_of(reason)
        try:
            self._stop_root(final)
        except KeyboardInterrupt:  # it cut one callback short; the others still end in order
            self._stop_root(final)
            raise
        finally:
            root_down(world, final)
            world.lane.extend(unserved)  # each finds the tree gone, and says so to whoever waits

    def _stop_root(self, reason: ExitReason) -> None:
        if self._world.root.status is Status.RUNNING:
            terminate_supervisor(self._world, self._world.root, reason, "infinity")

    def close(self) -> None:
        """Stop the tree if it runs, and close its store and its links."""
        self.stop()
        for held in (self._world.links, self._store):
            if held is not None:
                held.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(drain=kind is None)

    def _settle(self) -> None:
        world = self._world
        if world.pumping:
            return
        pump(world, DONE, math.inf)
        if world.queue and world.wake is not None:
            world.wake()  # a resume, or a signal, has put inputs into the queue

    async def serve(self) -> None:
        """Run inside asyncio until the tree is down."""
        await self._attached().until_down()

    # -- for servers on an event loop ------------------------------------------------------------

    def begin(self, worker: str, message: Any, request_id: str = "") -> Pending:
        """Start a call between two turns of the node; an idle node serves it at once.

        Durable inputs are written in the node's next turn, together with those of other clients.
        With a `request_id` a durable worker steps it once.

        Raises:
            QueueFull: there is no room; nothing was put into the queue.
            NoProc: no such worker.
            CalleeStopped: the tree is down.
        """
        world = self._world
        pending = Pending()
        if request_id:
            pending.request = request_id
        if (far := far_of(world, worker)) is not None:
            return send_far(world, far, message, pending, FAR_S)
        cell = need_worker(world, worker)
        if world.queue or world.lane or world.pumping or not world.running:
            put(world, cell, Kind.CALL, message, pending, wait=False)
            if not world.pumping:
                pump(world, pending, TURN_S)
            return pending
        before_s = world.timers.next_s()
        world.pumping = True
        try:
            step_one(world, cell, Kind.CALL, message, pending)
        finally:
            world.pumping, world.guard.cell = False, None
        changed = world.lane or world.queue or world.timers.next_s() != before_s
        if world.keeper is not None:
            changed = changed or world.keeper.has_work()
        if changed and world.wake is not None:
            world.wake()
        return pending

    def decode(self, worker: str, data: bytes, codec: str) -> Any:
        """Return the input of a worker that bytes stand for in a named codec.

        Raises:
            DecodeError: the bytes are none of this worker's inputs.
        """
        inputs = need_worker(self._world, worker).spec.start.inputs
        try:
            return codec_for(codec, inputs, None).decode(data)
        except DecodeError as error:
            error.worker = worker
            raise

    def now_s(self) -> float:
        """Return the node's monotonic clock, in seconds."""
        return self._world.clock.now_s()

    @property
    def last_seq(self) -> int:
        """The number of the last report."""
        return self._world.reports.seq


def choose_guard(clock: Clock, *, wanted: bool) -> Guard:
    """The guard that fits the clock and the thread."""
    if not wanted:
        return NoGuard(clock)
    if isinstance(clock, ManualClock):
        return ManualGuard(clock)
    return AlarmGuard(clock) if hasattr(signal, "setitimer") else NoGuard(clock)
