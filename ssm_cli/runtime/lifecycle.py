"""The life of a node: start, stop, and what is read and closed with them."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import ExitReason, reason_of, term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import CalledFromStep, Fenced, SsmError, StartFailed, StorageError, TakenOver
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.durable.lives import resume_sent
from ssm_cli.runtime.durable.opening import keeper_for
from ssm_cli.runtime.durable.ports import Owned, Store
from ssm_cli.runtime.engine.bonds import empty_groups
from ssm_cli.runtime.engine.entries import StopTree
from ssm_cli.runtime.engine.failures import start_cause
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.engine.watch import watch
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import handler_codes, in_signal_handler
from ssm_cli.runtime.performer.children import without_collector
from ssm_cli.runtime.performer.loop import NEVER, pump
from ssm_cli.runtime.performer.mend import heal, is_looping, loop_code, mend
from ssm_cli.runtime.performer.starting import COMING, start_cell
from ssm_cli.runtime.performer.stopping import let_clock_go, stop_tree
from ssm_cli.runtime.reports import error_detail

DRAIN_S = 1.0


class Lifecycle:
    """The part of a node that starts and stops its tree."""

    def __init__(self, name: str, world: World, serving: Serving, store: Store | None) -> None:
        self._name = name
        self._world = world
        self._serving = serving
        self._store = store

    @loop_code
    def start(self, *, wait: bool = True) -> None:
        """Start the tree, depth-first in order.

        Unless told to `wait`, return once remote children were asked for: calls of what runs are
        served meanwhile, and `end_error` says why the rest has not come up in the end.

        Raises:
            StartFailed: a child did not start. Those before it were stopped in reverse order;
                `term` says who and why in OTP's form.
            StorageError: what is stored cannot be read, or nothing can be written.
        """
        world = self._world
        if world.running:
            raise SsmError(f"{self._name} runs already")
        handler_codes()  # to be known later on
        history = world.history
        world.remember(None)  # what a start answers is its first moment
        try:
            self._remember()
            world.gave_up = False
            world.outside.not_started, world.outside.keeps = None, False
            world.running = True
            watch(world)
            world.names[world.root.spec.id] = world.root
            world.pumping = True  # a reader of reports must not run the node while it starts
            with without_collector(world):
                outcome = start_cell(world, world.root)
            world.pumping = False
            if outcome is not None and outcome is not COMING:
                self._give_up(outcome)
        except BaseException:
            mend(world)
            world.lane.clear()
            world.pumping = False
            raise
        finally:
            world.remember(history)
        if history is not None:
            self._remember_from(history)
        self._come_up(wait=wait)

    def _come_up(self, *, wait: bool) -> None:
        """Serve what has waited for the start, and wait for the rest of it, if that is wanted."""
        world, keeper = self._world, self._world.outside.keeper
        if keeper is not None:
            resume_sent(keeper)
        self._serving.settle()
        if wait:
            try:
                self._serving.until_up()
            except BaseException:
                self.stop(drain=False)  # as where a start is interrupted that has not got so far
                raise
            if (error := self.end_error()) is not None:
                raise error from error.__cause__
        if not world.running and keeper is not None and keeper.error is not None:
            raise keeper.error

    def end_error(self) -> StartFailed | TakenOver | None:
        """Return why the tree did not come up in the end, or had to end; None for neither."""
        outside = self._world.outside
        if outside.taken_by:
            return TakenOver(
                f"another parent has taken the remote children over: {outside.taken_by}; "
                "this tree has ended, and they run on"
            )
        return None if outside.not_started is None else self._failed(outside.not_started)

    def _give_up(self, outcome: ExitReason | Ignore) -> None:
        """Raise why the root did not start."""
        world = self._world
        world.running = False
        world.queue.clear()
        empty_groups(world)
        world.lane.clear()
        let_clock_go(world)
        if world.outside.keeper is not None:
            world.outside.keeper.finish()
        error = self._failed(outcome)
        raise error from error.__cause__

    def _failed(self, outcome: ExitReason | Ignore) -> StartFailed:
        """Return the error that says why the root did not start."""
        world = self._world
        ignored = isinstance(outcome, Ignore)
        why = "its init answered ignore" if isinstance(outcome, Ignore) else str(outcome)
        term = "ignore" if isinstance(outcome, Ignore) else term_of(outcome)
        complaints = world.judge.complaints
        said = "".join(f"\n{complaint}" for complaint in complaints)
        what, cause = start_cause(outcome)
        text = f"{self._name} did not start: {why}{what}{said}"
        error = StartFailed(text, term=term, ignored=ignored, complaints=complaints)
        error.__cause__ = cause
        return error

    def _remember(self) -> None:
        """Read what is stored, at the first start."""
        outside = self._world.outside
        if self._store is not None and outside.keeper is None:
            if isinstance(self._store, Owned):
                self._store.need_for(self._name)
            outside.keeper = keeper_for(self._world, self._store, self._cannot_write)

    def _remember_from(self, history: Recorder) -> None:
        """Have a history begin behind its last record, or a later one that is stored."""
        history.begin(max(self._recorded(), history.last()))
        history.moment()

    def _recorded(self) -> int:
        """Return the number of the last record that is stored."""
        keeper = self._world.outside.keeper
        return 0 if keeper is None else keeper.recovered.record

    def _cannot_write(self, error: StorageError) -> None:
        """End, as nothing more may be acknowledged, as soon as what runs has ended."""
        reason = "fenced" if isinstance(error, Fenced) else "storage"
        self._world.post(StopTree(reason_of(reason)))

    @loop_code
    def stop(
        self, reason: object = "shutdown", *, drain: bool = True, keep_remote: bool = False
    ) -> None:
        """Stop the tree in order: children in reverse start order, each with its shutdown time.

        With `keep_remote` remote children live on, for the next parent of their tree.

        Inputs that wait already are served first, for at most a second, unless `drain` is off.
        Does nothing if the tree is down. Called from a reader of reports, or from the handler of a
        signal while the node runs, it takes effect next.

        Raises:
            CalledFromStep: a step stops its own node.
        """
        world = self._world
        inside = world.guard.cell
        looping = (world.pumping or inside is not None) and is_looping(world)
        if inside is not None and looping and not in_signal_handler():
            raise CalledFromStep(f"{inside.spec.id} stopped its own node from a step")
        if not world.running:
            return
        world.outside.keeps = world.outside.keeps or keep_remote
        if looping:
            world.post(StopTree(reason_of(reason)))
            return
        try:
            if world.pumping or inside is not None:
                heal(world)  # whatever that raises, the tree stops
            if drain:
                pump(world, NEVER, DRAIN_S, retry=False)
        finally:
            world.pumping = True  # a reader that stops the node again comes too late
            try:
                stop_tree(world, reason_of(reason))
            finally:
                world.pumping = world.running  # what is left of the tree is ended by the next call
                self._serving.settle()

    def note_failure(self, error: BaseException) -> None:
        """Report `loop_failed`: what runs the node has failed in something that is no call."""
        world = self._world
        world.report("loop_failed", world.root, {"error": error_detail(error)})

    def close(self) -> None:
        """Stop the tree if it runs, and close its store and its links."""
        self.stop()
        for held in (self._world.outside.links, self._store):
            if held is not None:
                held.close()
