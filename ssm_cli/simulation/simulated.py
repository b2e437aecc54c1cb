"""Simulated: a fork of a tree that inputs and faults are given to, in virtual time.

Theory of operation. Steps, inits and time-outs of the fork go through here. A fault is either
something that the runtime knows how to do (a kill, an input too many), or an answer in the place of
a callback's: it raises, or lets time pass by the fork's own clock and is cut where the real one
would be. User code runs under a guard that cuts by the time of the machine, so that a step which
really hangs does not hold the tree that lives beside the fork.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome, advance
from ssm_cli.behaviour.results import Ok
from ssm_cli.errors import CallError, CallTimeout, QueueFull, SsmError, StepTimeout, message_of
from ssm_cli.history.shrink_tree import TreeInput
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.entries import RunDue, TimeoutDue, TimerDue
from ssm_cli.runtime.engine.guard import INIT, Guard
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.purity import Purity
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.outside import is_from_outside, is_raised_by_code
from ssm_cli.runtime.performer.forks import own_answer
from ssm_cli.runtime.recording.restep import no_terminate
from ssm_cli.simulation.faults import Fault, FaultKind
from ssm_cli.simulation.observed import Sightings
from ssm_cli.simulation.patience import PatientGuard
from ssm_cli.simulation.stand_ins import Injected, come_to_rest, has_more, world_of

HANG_S = 60.0  # of a step without a limit
UNANSWERED_S = 5.0  # after which a call counts as failed
MOST_PENDING = 1_000  # calls that wait for an answer
PURE_STEPS = 16  # of each worker that are stepped twice, to see whether they are pure


class Strike(msgspec.Struct, frozen=True):
    """An input in whose step a fault happens."""

    kind: FaultKind


class LeapingClock(ManualClock):
    """A manual clock whose wall time can be set, back as well."""

    def set_wall_s(self, by_s: float) -> None:
        """Set the wall time by so many seconds; the monotonic time goes on as it was."""
        self._epoch_s += by_s


class Common(msgspec.Struct):
    """What the forks of one simulation have in common.

    Attributes:
        guard: cuts user code by the time of the machine.
        skipped: by worker that is left out, the state that it keeps.
    """

    guard: Guard
    skipped: Mapping[str, Any] = {}


class Simulated:
    """A fork with faults in it. Implements what `shrink_tree` wants of a node.

    Args:
        node: the fork.
        kept: what it shares with its own forks.
        checks: look whether workers are pure, by stepping their first inputs twice.

    Attributes:
        node: the fork.
        observed: what has been seen of it.
    """

    def __init__(self, node: Node, kept: Common, *, checks: bool = False) -> None:
        self.node, self._kept = node, kept
        world = self._world = world_of(node)
        world.guard = kept.guard
        if world.outside.unwatch is not None:  # nobody but this runs it: what is due is looked for
            world.outside.unwatch()
            world.outside.unwatch = None
        world.outside.advance, world.outside.init = self._advance, self._init
        world.outside.finish = no_terminate
        self.observed = Sightings(world)
        self._pure = Purity(world) if checks else None
        self._failing: dict[str, Fault] = {}
        self._slow_s: dict[str, float] = {}
        self._calls: list[tuple[float, Pending]] = []
        for cell in world.names.values():
            if isinstance(cell, WorkerCell):
                cell.ensure_extra().checked = True
                replan(cell)

    @property
    def gave_up(self) -> bool:
        """Whether the root is down."""
        return not self.node.running

    def fork(self, *, checks: bool = False, remembers: int = 0) -> Simulated:
        """Return a simulation that goes on from here by itself.

        `checks` as above; `remembers` so many records of what is served.
        """
        clock = self._world.clock
        node = self.node.fork(clock=LeapingClock(clock.wall_s(), clock.now_s()), guard=False)
        if remembers:
            node.remember(remembers, 0)
        other = Simulated(node, self._kept, checks=checks)
        other._failing, other._slow_s = dict(self._failing), dict(self._slow_s)
        return other

    def give(self, one: TreeInput) -> None:
        """Let time pass, then give an input to a worker, or put a fault there; serve what comes."""
        if isinstance(self._kept.guard, PatientGuard):
            self._kept.guard.look()
        self._pass(one.after_s)
        if not self.node.running:
            return
        if type(one.message) is Fault:
            self._strike(one.worker, one.message)
        else:
            self._give(one)
        come_to_rest(self.node)
        if self._world.running and self._world.queue:
            self.observed.flood(self._world.queue[0][0].spec.id)
        self._settle_calls()

    # -- inputs --------------------------------------------------------------------------------

    def _give(self, one: TreeInput) -> None:
        if one.worker in self._kept.skipped:
            return
        try:
            if one.kind is Kind.CALL:
                self.observed.calls += 1
                pending = self.node.send_request(one.worker, one.message)
                if len(self._calls) < MOST_PENDING:
                    self._calls.append((self.node.now_s(), pending))
            elif one.kind is Kind.CAST:
                self.node.cast_nowait(one.worker, one.message)
            else:
                self.node.info(one.worker, one.message)
        except CallError as error:
            self.observed.fail(error, counts=one.kind is Kind.CALL)

    def _settle_calls(self) -> None:
        """Count the calls that have an outcome, and those that are unanswered for too long."""
        now_s, waiting = self.node.now_s(), []
        for at_s, pending in self._calls:
            if pending.done:
                if isinstance(pending.error, SsmError):
                    self.observed.fail(pending.error, counts=True)
            elif now_s - at_s > UNANSWERED_S:
                self.observed.fail(CallTimeout("", reason="timeout"), counts=True)
            else:
                waiting.append((at_s, pending))
        self._calls = waiting

    def _pass(self, seconds: float) -> None:
        if seconds <= 0:
            return
        end_s = self.node.now_s() + seconds
        if not self._world.queue:  # else its workers send to each other without end
            self.node.run(seconds)
        if has_more(self._world):
            self._clock().advance_s(end_s - self.node.now_s())
            come_to_rest(self.node)

    # -- faults --------------------------------------------------------------------------------

    def _strike(self, worker: str, fault: Fault) -> None:
        cell = self._world.names.get(worker)
        if fault.kind is FaultKind.LATE:
            self._clock().advance_s(fault.seconds)
        elif fault.kind is FaultKind.JUMP:
            self._clock().set_wall_s(fault.seconds)
        elif not isinstance(cell, WorkerCell) or worker in self._kept.skipped:
            return
        elif fault.kind is FaultKind.LOSE_TIMER:
            lose_timer(self._world, cell)
        elif cell.status is CellStatus.RUNNING and not cell.suspended:
            self._hit(cell, fault)

    def _clock(self) -> LeapingClock:
        clock = self._world.clock
        assert isinstance(clock, LeapingClock), "that of a simulation"
        return clock

    def _hit(self, cell: WorkerCell, fault: Fault) -> None:
        """Do something to a worker that runs."""
        worker = cell.spec.id
        match fault.kind:
            case FaultKind.KILL:
                self.node.kill(worker)
            case FaultKind.SLOW:
                self._slow_s[worker] = fault.seconds
            case FaultKind.FILL_QUEUE:
                self._fill(worker, fault)
            case FaultKind.FAIL_INIT | FaultKind.SLOW_INIT:
                self._failing[worker] = fault
                self._world.queue.append((cell, Kind.INFO, Strike(FaultKind.CRASH), None))
            case _:
                self._world.queue.append((cell, Kind.INFO, Strike(fault.kind), None))

    def _fill(self, worker: str, fault: Fault) -> None:
        """Write an input to the queue until it is full."""
        for _ in range(self._world.bound + 1):
            try:
                self.node.cast_nowait(worker, fault.given)
            except QueueFull as error:
                self.observed.fail(error, counts=False)
                return

    # -- in the place of callbacks -------------------------------------------------------------

    def _advance(
        self, behaviour: Any, kind: Kind, message: Any, caller: Any, state: Any
    ) -> Outcome:
        """Run a step, or the fault that happens in it; see `dispatch.advance`."""
        cell = self._world.guard.cell
        assert isinstance(cell, WorkerCell), "a worker steps"
        name = cell.spec.id
        if name in self._kept.skipped:
            return Outcome(state)
        if type(message) is Strike:
            if message.kind is FaultKind.HANG:
                self._overrun(cell, cell.limit_s(0))
            else:
                raise Injected("a crash that chaos has put here")
            return Outcome(state)
        if (slow_s := self._slow_s.pop(name, 0.0)) > 0:
            self._clock().advance_s(slow_s)
        twice = self._pure if cell.steps < PURE_STEPS else None
        run = advance if twice is None else twice.advance
        if twice is not None and not self._can_copy(cell, message, state):
            return Outcome(state)  # nothing is stepped on a state that may be that of a live tree
        try:
            return run(behaviour, kind, message, caller, state)
        except StepTimeout:
            self.observed.cut += 1
            raise
        except KeyboardInterrupt as error:
            raise own_crash(error) from error

    def _can_copy(self, cell: WorkerCell, message: Any, state: Any) -> bool:
        """Return whether a state can be copied; say of a worker whose cannot that it is not pure.

        A fork shares what cannot be copied with the tree beside it.
        """
        try:
            deepcopy(state)
        except BaseException as error:
            if is_from_outside(self._kept.guard, error) and not is_raised_by_code(error):
                raise
            how = f"its state cannot be copied ({message_of(error)[:200]})"
            detail = {"input": shown(self._world, cell, message), "how": how}
            self._world.report("impure", cell, detail)
            return False
        return True

    def _overrun(self, cell: WorkerCell, limit_s: float) -> None:
        """Let a callback hang until it is cut at its limit; without one, for `HANG_S`."""
        self._clock().advance_s(min(limit_s, HANG_S))
        if limit_s <= HANG_S:
            error = StepTimeout(f"{cell.spec.id} ran longer than {limit_s * 1000:g} ms")
            error.owner = id(self._kept.guard)
            raise error

    def _init(self, name: str, *args: Any) -> Any:
        """Run an init, or the fault that happens in it."""
        cell = self._world.names[name]
        if name in self._kept.skipped:
            return Ok(self._kept.skipped[name])
        fault = self._failing.pop(name, None)
        if fault is not None and isinstance(cell, WorkerCell):
            if fault.times > 1:
                self._failing[name] = msgspec.structs.replace(fault, times=fault.times - 1)
            if fault.kind is FaultKind.FAIL_INIT:
                raise Injected("an init that chaos has let fail")
            self._overrun(cell, cell.limit_s(INIT))
        try:
            return own_answer(self._world, name, *args)
        except KeyboardInterrupt as error:
            raise own_crash(error) from error


def own_crash(error: KeyboardInterrupt) -> Exception:
    """Return a `KeyboardInterrupt` of the code itself as a crash; raise a real one again."""
    if not is_raised_by_code(error):
        raise error
    return Injected("KeyboardInterrupt, which the code has raised itself")


def lose_timer(world: World, cell: WorkerCell) -> None:
    """Forget the next timer of a worker, or the end of its time-out: it never comes."""
    own = [
        (due_s, number)
        for due_s, number, entry in world.timers.waiting()
        if isinstance(entry, TimerDue | TimeoutDue | RunDue) and entry.cell is cell
    ]
    if own:
        world.timers.cancel(min(own)[1])
