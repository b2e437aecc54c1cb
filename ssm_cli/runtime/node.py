"""`Node`: a tree, running on the thread of its caller."""

from __future__ import annotations

import signal
from random import Random
from types import TracebackType
from typing import Self

from ssm_cli.behaviour.reasons import SHUTDOWN, ExitReason, reason_of, term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import CalledFromStep, Fenced, SsmError, StartFailed, StorageError
from ssm_cli.runtime.calling.acalls import AsyncCalls
from ssm_cli.runtime.calling.calls import Calls
from ssm_cli.runtime.calling.casts import Casts
from ssm_cli.runtime.calling.clients import Clients
from ssm_cli.runtime.calling.messages import Messages
from ssm_cli.runtime.calling.requests import Requests
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.clock import Clock, ManualClock, SystemClock
from ssm_cli.runtime.durable.keeper import keeper_for
from ssm_cli.runtime.durable.lives import resume_sent
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.quarantine import Keeps
from ssm_cli.runtime.engine.cell import SupervisorCell
from ssm_cli.runtime.engine.entries import StopTree
from ssm_cli.runtime.engine.guard import AlarmGuard, Guard, ManualGuard, NoGuard
from ssm_cli.runtime.engine.outside import in_signal_handler
from ssm_cli.runtime.engine.watch import watch
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.looks import Looks
from ssm_cli.runtime.looking.purity import Purity
from ssm_cli.runtime.performer.loop import NEVER, pump
from ssm_cli.runtime.performer.starting import start_cell, without_collector
from ssm_cli.runtime.performer.stopping import let_clock_go, stop_tree
from ssm_cli.runtime.remote.ports import Links
from ssm_cli.spec.judge import Judge
from ssm_cli.spec.model import SupervisorSpec

DRAIN_S = 1.0


class Node:
    """A tree, running on the thread of its caller. Implements `NodeApi`.

        with Node(load_tree("tree.yaml")) as node:
            node.call("kv2", b"Store x 1")

    It takes no thread and needs no asyncio: calling it runs it. Inside asyncio, `acall` and
    `serve` let the running loop do so. Two nodes in one process are independent.

    Its methods belong to its parts, in `runtime/calling`, `looking` and `durable`:
    `Calls` (`call`, `call_value`, `send_request`, `begin`), `Casts`, `Clients` (`run_clients`),
    `AsyncCalls` (`acall`, `serve`), `Serving` (`wait`, `run`), `Requests` to supervisors,
    `Messages` (`get_state`, `suspend`, `kill`, ...), `Looks` (`tree`, `reports`), `Keeps`.

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
        self.name = tree.id if name is None else name
        clock = SystemClock() if clock is None else clock
        chance = Random(seed)  # noqa: S311 - it spreads delays; it keeps no secret
        guarding = choose_guard(clock, wanted=guard)
        self._world = World(SupervisorCell(tree, None), clock, guarding, chance, judge)
        self._world.outside.links = links
        self._store = store
        if verify_pure:
            self._world.outside.advance = Purity(self._world).advance
        self._bind()

    def _bind(self) -> None:
        """Make the methods of the parts those of the node."""
        world = self._world
        serving = self._serving = Serving(world)
        self.wait, self.run = serving.wait, serving.run
        calls = Calls(world, serving)
        self.call, self.call_value = calls.call, calls.call_value
        self.send_request, self.begin = calls.send_request, calls.begin
        self.run_clients = Clients(world, calls).run_clients
        casts = Casts(world)
        self.cast, self.cast_nowait, self.info = casts.cast, casts.cast_nowait, casts.info
        self.exists, self.data = casts.exists, casts.data
        self.encode, self.decode = casts.encode, casts.decode
        awaited = AsyncCalls(world)
        self.acall, self.acall_value = awaited.acall, awaited.acall_value
        self.serve = awaited.serve
        self._bind_requests(Requests(world, serving), Messages(world, serving))
        looks = Looks(world)
        self.names, self.tree, self.listing = looks.names, looks.tree, looks.listing
        self.reports, self.subscribe = looks.reports, looks.subscribe
        keeps = self._keeps = Keeps(world)
        self.stored, self.quarantined = keeps.stored, keeps.quarantined
        self.release_input = keeps.release_input

    def _bind_requests(self, asked: Requests, sent: Messages) -> None:
        self.which_children, self.count_children = asked.which_children, asked.count_children
        self.get_childspec, self.start_child = asked.get_childspec, asked.start_child
        self.terminate_child, self.restart_child = asked.terminate_child, asked.restart_child
        self.delete_child, self.whereis = asked.delete_child, asked.whereis
        self.request, self.begin_request = asked.request, asked.begin_request
        self.get_state, self.replace_state = sent.get_state, sent.replace_state
        self.suspend, self.resume = sent.suspend, sent.resume
        self.get_status, self.change_code = sent.get_status, sent.change_code
        self.keep, self.install, self.remove = sent.keep, sent.install, sent.remove
        self.trace, self.statistics = sent.trace, sent.statistics
        self.crash_reports, self.constructors = sent.crash_reports, sent.constructors
        self.kill, self.stop_process, self.exit = sent.kill, sent.stop_process, sent.exit

    @property
    def running(self) -> bool:
        """Whether the tree is up."""
        return self._world.running

    @property
    def gave_up(self) -> bool:
        """Whether the root has reached its restart intensity."""
        return self._world.gave_up

    @property
    def queue(self) -> int:
        """How many inputs wait in the queue."""
        return len(self._world.queue)

    @property
    def dropped(self) -> int:
        """How many messages have reached nobody; each has a `dropped` report."""
        return self._world.dropped

    @property
    def last_seq(self) -> int:
        """The number of the last report."""
        return self._world.reports.seq

    @property
    def storage_error(self) -> StorageError | None:
        """Why what must outlive the process cannot be written; None where it can be."""
        return self._keeps.storage_error

    def now_s(self) -> float:
        """Return the time of the node's clock: monotonic seconds."""
        return self._world.clock.now_s()

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
            raise SsmError(f"{self.name} runs already")
        self._remember()
        world.gave_up = False
        world.running = True
        watch(world)
        world.names[world.root.spec.id] = world.root
        world.pumping = True  # a reader of reports must not run the node while it starts
        try:
            with without_collector():
                outcome = start_cell(world, world.root)
        except BaseException:
            stop_tree(world, SHUTDOWN)
            world.lane.clear()
            raise
        finally:
            world.pumping = False
        if outcome is not None:
            self._give_up(outcome)
        if world.outside.keeper is not None:
            resume_sent(world.outside.keeper)
        self._serving.settle()
        if not world.running and self.storage_error is not None:
            raise self.storage_error
        return self

    def _give_up(self, outcome: ExitReason | Ignore) -> None:
        """Raise why the root did not start."""
        world = self._world
        world.running = False
        world.queue.clear()
        world.lane.clear()
        let_clock_go(world)
        if world.outside.keeper is not None:
            world.outside.keeper.finish()
        ignored = isinstance(outcome, Ignore)
        why = "its init answered ignore" if isinstance(outcome, Ignore) else str(outcome)
        term = "ignore" if isinstance(outcome, Ignore) else term_of(outcome)
        complaints = world.judge.complaints
        said = "".join(f"\n{complaint}" for complaint in complaints)
        text = f"{self.name} did not start: {why}{said}"
        raise StartFailed(text, term=term, ignored=ignored, complaints=complaints)

    def _remember(self) -> None:
        """Read what is stored, at the first start."""
        outside = self._world.outside
        if self._store is not None and outside.keeper is None:
            outside.keeper = keeper_for(self._world, self._store, self._cannot_write)

    def _cannot_write(self, error: StorageError) -> None:
        """End, as nothing more may be acknowledged, as soon as what runs has ended."""
        reason = "fenced" if isinstance(error, Fenced) else "storage"
        self._world.post(StopTree(reason_of(reason)))

    def stop(self, reason: object = "shutdown", *, drain: bool = True) -> None:
        """Stop the tree in order: children in reverse start order, each with its shutdown time.

        Inputs that wait already are served first, for at most a second, unless `drain` is off.
        Does nothing if the tree is down. Called from a reader of reports, or from the handler of a
        signal while the node runs, it takes effect next.

        Raises:
            CalledFromStep: a step stops its own node.
        """
        world = self._world
        inside = world.guard.cell
        if inside is not None and not in_signal_handler():
            raise CalledFromStep(f"{inside.spec.id} stopped its own node from a step")
        if not world.running:
            return
        if world.pumping or inside is not None:
            world.post(StopTree(reason_of(reason)))
            return
        try:
            if drain:
                pump(world, NEVER, DRAIN_S, retry=False)
        finally:
            world.pumping = True  # a reader that stops the node again comes too late
            try:
                stop_tree(world, reason_of(reason))
            finally:
                world.pumping = False
                self._serving.settle()

    def close(self) -> None:
        """Stop the tree if it runs, and close its store and its links."""
        self.stop()
        for held in (self._world.outside.links, self._store):
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


def choose_guard(clock: Clock, *, wanted: bool) -> Guard:
    """Return the guard that fits the clock and the thread."""
    if not wanted:
        return NoGuard(clock)
    if isinstance(clock, ManualClock):
        return ManualGuard(clock)
    return AlarmGuard(clock) if hasattr(signal, "setitimer") else NoGuard(clock)
