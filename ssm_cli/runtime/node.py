"""`Node`: a tree, running on the thread of its caller."""

from __future__ import annotations

import math
import signal
from random import Random
from types import TracebackType
from typing import Self

from ssm_cli.behaviour.reasons import ExitReason, reason_of, term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import CalledFromStep, Fenced, SsmError, StartFailed, StorageError
from ssm_cli.runtime.asking import Asking
from ssm_cli.runtime.clock import Clock, ManualClock, SystemClock
from ssm_cli.runtime.durable.keeper import keeper_for
from ssm_cli.runtime.durable.lives import resume
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.quarantine import Keeps
from ssm_cli.runtime.engine.cell import Status, SupervisorCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.guard import AlarmGuard, Guard, ManualGuard, NoGuard
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.looking.looks import Looks
from ssm_cli.runtime.looking.purity import Purity
from ssm_cli.runtime.performer.ending import terminate_supervisor
from ssm_cli.runtime.performer.loop import NEVER, pump
from ssm_cli.runtime.performer.starting import start_cell, without_collector
from ssm_cli.runtime.performer.supervise import root_down
from ssm_cli.runtime.remote.ports import Links
from ssm_cli.spec.judge import Judge
from ssm_cli.spec.model import SupervisorSpec

DRAIN_S = 1.0
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

    Raises:
        SpecError: the tree does not validate; with every complaint, before anything starts. What
            OTP's supervisor refuses itself is left to `start`, which raises with OTP's term.
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
        judge = Judge(tree)
        self.spec = tree
        self._name = tree.id if name is None else name
        clock = SystemClock() if clock is None else clock
        self._guard = choose_guard(clock, wanted=guard)
        chance = Random(seed)  # noqa: S311 - it spreads delays; it keeps no secret
        self._core = Core(SupervisorCell(tree, None), clock, self._guard, chance, judge)
        self._core.links = links
        self._store = store
        if verify_pure:
            self._core.advance = Purity(self._core).advance

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
        core = self._core
        if core.running:
            raise SsmError(f"{self._name} runs already")
        self._remember()
        core.gave_up = False
        core.running = True
        core.names[core.root.spec.id] = core.root
        core.pumping = True  # a reader of reports must not run the node while it starts
        try:
            with without_collector():
                outcome = start_cell(core, core.root)
        except BaseException:
            self._abandon()
            raise
        finally:
            core.pumping = False
        if outcome is not None:
            self._give_up(outcome)
        if core.keeper is not None:
            resume(core.keeper)
        self._settle()
        if not core.running and self.storage_error is not None:
            raise self.storage_error
        return self

    def _give_up(self, outcome: ExitReason | Ignore) -> None:
        """The root did not start."""
        core = self._core
        core.running = False
        core.queue.clear()
        core.lane.clear()
        self._guard.close()
        if core.keeper is not None:
            core.keeper.finish()
        ignored = isinstance(outcome, Ignore)
        why = "its init answered ignore" if isinstance(outcome, Ignore) else str(outcome)
        term = "ignore" if isinstance(outcome, Ignore) else term_of(outcome)
        complaints = core.judge.complaints
        said = "".join(f"\n{complaint}" for complaint in complaints)
        text = f"{self._name} did not start: {why}{said}"
        raise StartFailed(text, term=term, ignored=ignored, complaints=complaints)

    def _remember(self) -> None:
        """Read what is stored, at the first start."""
        if self._store is not None and self._core.keeper is None:
            self._core.keeper = keeper_for(self._core, self._store, self._cannot_write)

    def _cannot_write(self, error: StorageError) -> None:
        """Nothing more may be acknowledged: end, as soon as what runs has ended."""
        self._core.post(self._stop, "fenced" if isinstance(error, Fenced) else "storage")

    def _abandon(self) -> None:
        """Something outside the tree interrupted its start: stop what has started."""
        core = self._core
        core.guard.end()
        core.root.status = Status.RUNNING
        terminate_supervisor(core, core.root, reason_of("shutdown"), "infinity")
        root_down(core, reason_of("shutdown"))
        core.lane.clear()

    def stop(self, reason: object = "shutdown", *, drain: bool = True) -> None:
        """Stop the tree in order: children in reverse start order, each with its shutdown time.

        Inputs that wait already are served first, for at most a second, unless `drain` is off.
        Does nothing if the tree is down. Called from a reader of reports it takes effect next.
        """
        core = self._core
        if core.guard.cell is not None:
            raise CalledFromStep(f"{core.guard.cell.spec.id} stopped its own node from a step")
        if not core.running:
            return
        if core.pumping:
            core.post(self._stop, reason)
            return
        try:
            if drain:
                pump(core, NEVER, DRAIN_S)
        finally:
            core.pumping = True  # a reader that stops the node again comes too late
            try:
                self._stop(reason)
            finally:
                core.pumping = False
                self._settle()

    def _stop(self, reason: object) -> None:
        core = self._core
        if not core.running:
            return
        unserved = tuple(core.lane)
        core.lane.clear()
        final = reason_of(reason)
        try:
            self._stop_root(final)
        except KeyboardInterrupt:  # it cut one callback short; the others still end in order
            self._stop_root(final)
            raise
        finally:
            root_down(core, final)
            core.lane.extend(unserved)  # each finds the tree gone, and says so to whoever waits

    def _stop_root(self, reason: ExitReason) -> None:
        if self._core.root.status is Status.RUNNING:
            terminate_supervisor(self._core, self._core.root, reason, "infinity")

    def close(self) -> None:
        """Stop the tree if it runs, and close its store and its links."""
        self.stop()
        for held in (self._core.links, self._store):
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
        core = self._core
        if core.pumping:
            return
        pump(core, DONE, math.inf)
        if core.queue and core.wake is not None:
            core.wake()  # a resume, or a signal, has put inputs into the queue

    async def serve(self) -> None:
        """Run inside asyncio until the tree is down."""
        await self._attached().until_down()


def choose_guard(clock: Clock, *, wanted: bool) -> Guard:
    """The guard that fits the clock and the thread."""
    if not wanted:
        return NoGuard(clock)
    if isinstance(clock, ManualClock):
        return ManualGuard(clock)
    return AlarmGuard(clock) if hasattr(signal, "setitimer") else NoGuard(clock)
