"""Serving: the loop is run by whoever waits, until there is an outcome or nothing is left to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

from ssm_cli.errors import CallTimeout, NoProc, SsmError, StorageError
from ssm_cli.runtime.durable.keeper import told_of
from ssm_cli.runtime.engine.cell import Cell
from ssm_cli.runtime.engine.failures import why_down
from ssm_cli.runtime.engine.pending import Pending, checked_seconds
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.runtime.performer.loop import NEVER, TURN_S, leave, pump, rest
from ssm_cli.runtime.performer.mend import loop_code, mend
from ssm_cli.runtime.performer.perform import fire_timers
from ssm_cli.runtime.performer.system import exit_signal, kill, note_act, note_done, stop_process

TIMEOUT_S = 5.0
BUSY_S = 1.0  # how long `run` serves workers that are never done
LINK_S = 0.05  # between two looks for news of remote children
DONE = Pending(done=True)
ENDS = (kill, stop_process, exit_signal)  # the system messages that end a process
NO_ANSWER = "the call timed out: no answer yet"
NOTHING_UNDER_WAY = "the call timed out: nothing that could answer is under way"


class Serving:
    """The part of a node that runs its loop for a caller that waits."""

    def __init__(self, world: World) -> None:
        self._world = world

    def wait(self, pending: Pending, timeout_s: float | None = TIMEOUT_S) -> Any:
        """Run the loop until `pending` has its outcome; return its output, or raise its error.

        A time-out ends the wait, not the request: it may be waited for again
        (`gen_server:wait_response/2`).

        Raises:
            CallError: any outcome but `replied`; `CallTimeout` also if there is none yet.
            CalledFromStep: a step waits for its own node.
        """
        forbid_reentry(self._world)
        checked_seconds(timeout_s)
        if (why := self.serve_until(pending, timeout_s)) is not None:
            raise CallTimeout(why, reason="timeout")
        return pending.result()

    def end(self, pending: Pending, timeout_s: float | None) -> None:
        """Run the loop until `pending` has its outcome, which may be that its time is over."""
        if (why := self.serve_until(pending, timeout_s)) is not None:
            pending.fail(CallTimeout(why, reason="timeout"))

    def serve_until(self, pending: Pending, timeout_s: float | None) -> str | None:
        """Run the loop until `pending` has its outcome, for one batch at least.

        Returns:
            None, or why there is no outcome: the time is over, nothing could bring one, or the
            clock stands still while workers feed each other.
        """
        world = self._world
        now_s = world.clock.now_s
        begun_s = now_s()
        end_s = math.inf if timeout_s is None else begun_s + timeout_s
        while True:
            left = pump(world, pending, end_s - now_s())
            if pending.done:
                return None
            left_s = end_s - now_s()
            if left_s <= 0 or (left and now_s() <= begun_s):
                return NO_ANSWER
            next_s = self._next_s() - now_s()
            if min(left_s, next_s) == math.inf:
                return NOTHING_UNDER_WAY
            if next_s > 0:
                rest(world, min(left_s, next_s))

    def _next_s(self) -> float:
        """Return when there is something to do again: now, at a timer, or never."""
        world = self._world
        if world.retries:
            return world.clock.now_s()
        next_s = world.timers.next_s()
        return next_s if world.outside.links is None else min(next_s, world.clock.now_s() + LINK_S)

    def run(self, for_s: float = 0.0) -> None:
        """Serve what waits, and the timers that come due within `for_s` seconds.

        Workers that send to each other without end are left at it after `for_s`, or after a
        second if that is longer; so are timers of 0 ms and restarts that fail. Runs go on
        meanwhile, and for a moment where that is 0.

        Raises:
            ValueError: `for_s` is no number of seconds; or it is infinite, and nothing is left that
                a `ManualClock` could be moved to.
        """
        world = self._world
        forbid_reentry(world)
        checked_seconds(for_s, "for_s", endless=False)
        looked = False
        now_s = world.clock.now_s
        begun_s = now_s()
        end_s, busy_end_s = begun_s + for_s, begun_s + max(for_s, BUSY_S)
        while world.running:
            if pump(world, NEVER, busy_end_s - begun_s):
                if now_s() >= busy_end_s or now_s() <= begun_s:
                    return
            else:
                next_s, served_s = min(world.timers.next_s(), end_s), now_s()
                if next_s > served_s:
                    rest(world, next_s - served_s)
                elif not looked and (runner := world.outside.runner) and runner.has_work():
                    looked = True
                    runner.glance()
                elif served_s >= end_s:
                    return
            begun_s = now_s()

    def turns(self, for_s: float = 0.0) -> Generator[None, None, None]:
        """`run`, a batch of inputs at a time: others get in where whoever takes them lets them.

        They end where nothing waits any more and `for_s` seconds are over, by the clock of the
        node: never, where workers send to each other without end.
        """
        world = self._world
        forbid_reentry(world)
        checked_seconds(for_s, "for_s", endless=False)
        now_s = world.clock.now_s
        end_s = now_s() + for_s
        while world.running:
            if not pump(world, NEVER, math.inf, rounds=1):
                next_s = min(world.timers.next_s(), end_s)
                if next_s > now_s():
                    rest(world, next_s - now_s())
                elif now_s() >= end_s:
                    return
            yield

    @loop_code
    def fire(self, now_s: float) -> None:
        """Fire the timers that are due: what they bring waits ahead of what comes now."""
        world = self._world
        world.pumping = True
        try:
            fire_timers(world, now_s)
        except BaseException:
            mend(world)
            leave(world)
            raise
        leave(world)

    def until_up(self) -> None:
        """Run the loop until the remote children that were asked for at a start are there."""
        world = self._world
        while world.is_coming_up():
            if not pump(world, NEVER, TURN_S) and world.is_coming_up():
                rest(world, max(0.0, self._next_s() - world.clock.now_s()))

    def turn(self, pending: Pending) -> None:
        """Serve the node for a turn, unless it is being served, or `pending` has its outcome."""
        if not self._world.pumping and not pending.done:
            pump(self._world, pending, TURN_S)

    def settle(self) -> None:
        """Empty the system lane, and try restarts that failed, for `SETTLE_S` at most."""
        world = self._world
        if world.pumping:
            return
        pump(world, DONE, math.inf)
        if world.queue and world.outside.wake is not None:
            world.outside.wake()  # a resume, or a signal, has put inputs into the queue

    @loop_code
    def act(self, function: Callable[..., Any], cell: Cell, *args: Any) -> Any:
        """Do something to a cell at once, then whatever it sets off; return its answer.

        Raises:
            NoProc: the tree does not run.
            CalledFromStep: a step asks its own node.
            StorageError: it has ended a worker, and that cannot be written.
        """
        world = self._world
        forbid_reentry(world)
        if not world.running:
            name = cell.spec.id
            raise NoProc(f"{name}: {why_down(world)}", worker=name, reason="noproc")
        self.settle()
        world.pumping = True  # a reader of reports must not run the node meanwhile
        noted = None
        try:
            noted = note_act(world, cell, function, args)
            answer = function(world, cell, *args)
            note_done(cell, noted)
            told = told_of_end(world, function)
        except BaseException as error:
            if not isinstance(error, SsmError):
                mend(world)
            else:
                note_done(cell, noted, failed=True)
            leave(world)
            self.settle()
            raise
        leave(world)
        self.settle()
        refuse_unwritten(world, cell, told)
        return answer


def told_of_end(world: World, function: Callable[..., Any]) -> Pending | None:
    """Return what fails if the end that a system message has brought about cannot be written."""
    keeper = world.outside.keeper
    return None if keeper is None or function not in ENDS else told_of(keeper)


def refuse_unwritten(world: World, cell: Cell, told: Pending | None) -> None:
    """Raise `StorageError` where an end could not be written, so that its state is as before."""
    if told is not None and told.error is not None:
        raise StorageError(
            f"{cell.spec.id}: its end could not be written, so its state is as before: "
            f"{world.outside.keeper.error or told.error}"
        )
