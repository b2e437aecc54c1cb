"""The part of a node that knows its past."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ssm_cli.errors import Forgotten
from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.engine.guard import AlarmGuard, Guard, NoGuard
from ssm_cli.runtime.engine.recorder import Entry, Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.runtime.recording.acting import is_record
from ssm_cli.runtime.recording.restep import (
    give_again,
    no_terminate,
    step_again,
)
from ssm_cli.runtime.recording.rewind import first_in, world_at


class Memory:
    """What a node remembers of its inputs, and the tree as it was at each of them."""

    def __init__(
        self, world: World, beside: Callable[[World], Any], turns: Callable[[float], Iterator[None]]
    ) -> None:
        self._world = world
        self._beside = beside
        self._turns = turns

    def at(self, record: int) -> Any:
        """Return a `Node` that shows the tree as it was behind a record, and all that it set off.

        Nothing of a user's runs for it. It is for looking: its time stands still, and what is done
        to it stays in it. To go on from there, `fork` it. Costs some 10 us for each record since
        the last one at which the whole tree was kept.

        Raises:
            Forgotten: the record is not remembered any more, or not there yet.
            CalledFromStep: a step asks its own node.
        """
        going = self.turns_to(record)
        while True:
            try:
                next(going)
            except StopIteration as end:
                return end.value

    def turns_to(self, record: int) -> Generator[None, None, Any]:
        """Do as `at`, in turns: as what is returned is iterated over, others may get in between.

        It returns the tree in the end.
        """
        recorder = self.recorder()
        if recorder is None:
            name = self._world.root.spec.id
            why = "remembers nothing: give its node a history, Node(tree, history=N)"
            raise Forgotten(f"{name} {why}")
        forbid_reentry(self._world)
        if record == recorder.last() and first_in(recorder) is None:
            recorder.moment()  # much has happened at once, and the last one is forgotten
        return self._beside((yield from world_at(recorder, record)))

    def remember(self, most: int, record: int) -> None:
        """Begin to remember, behind a record; in a fork, which remembers nothing at first.

        Callbacks are cut by real time from now on, whatever the clock shows.
        """
        world = self._world
        known = world.reports.record_of
        world.remember(Recorder(world, most, number=record))
        world.history.moment()
        world.guard.close()
        world.guard = guard_by_real_time(world.guard)
        world.guard.tried = True
        world.outside.finish = no_terminate
        own, seq = world.history.marks.record_of, world.reports.seq
        world.reports.record_of = lambda n: own(n) if n > seq or known is None else known(n)

    def step_again(
        self, recorder: Recorder, entries: Iterable[Entry], instead: Mapping[int, Any],
        awaited: Sequence[Entry] = (),
    ) -> Iterator[None]:  # fmt: skip
        """Serve again what another node has served, in a fork of it; see `recording/restep.py`.

        Goes on as what it returns is iterated over: somebody else may be served in between.
        """
        known = [*entries]
        yield from step_again(recorder, self._world, known, instead, self._turns, awaited=awaited)

    def give_again(
        self, recorder: Recorder, entries: Iterable[tuple[Entry, bool]], instead: Mapping[int, Any]
    ) -> Iterator[None]:
        """Give a fork what another was given by hand, at the times of then; the rest it brings.

        Each comes with whether the other had served before it what waited there at first. Goes on
        as `step_again`.
        """
        world = self._world
        for entry, served in entries:
            wait_s = max(0.0, recorder.instants.of(entry[0])[0] - world.clock.now_s())
            if served or wait_s:
                yield from self._turns(wait_s)
            if world.running:
                give_again(recorder, world, entry, instead)
                if served:
                    yield from self._turns(0.0)

    def first_record(self) -> int:
        """Return the first record that `at` can show; 0 is the start of the tree."""
        recorder = self.recorder()
        if recorder is None:
            return 0
        first = first_in(recorder)
        return recorder.last() if first is None else first

    def answered(self) -> int:
        """Return the record of the call whose outcome was told last; 0 if nothing is remembered."""
        recorder = self.recorder()
        return 0 if recorder is None else recorder.answered

    def recorder(self) -> Recorder | None:
        """Return what the node remembers; None where that is nothing."""
        return self._world.history  # type: ignore[no-any-return]  # what is below does not know it

    def note_asker(self, record: int, who: str) -> None:
        """Remember who has asked for what a record came from: `prompt`, a connection, a script."""
        recorder = self.recorder()
        if recorder is not None and record:
            recorder.askers[record] = who

    @contextmanager
    def asked_by(self, who: str) -> Iterator[None]:
        """A block in which `who` asks for changes by hand, or a reason for them: records say so."""
        outside, recorder = self._world.outside, self.recorder()
        behind, before = 0 if recorder is None else recorder.last(), outside.asker
        outside.asker = who
        try:
            yield
        finally:
            outside.asker = before
            self.note_changes(behind, who)

    def note_changes(self, behind: int, who: str) -> None:
        """Remember who has asked for the changes by hand behind a record, unless that is known."""
        recorder = self.recorder()
        if recorder is None:
            return
        for entry in reversed(recorder.ring):
            if entry[0] <= behind:
                return
            if entry[2] is None and is_record(entry):
                recorder.askers.setdefault(entry[0], who)


def guard_by_real_time(guard: Guard) -> Guard:
    """Return a guard with the limits of another that cuts by the clock of the machine."""
    clock = SystemClock()
    real: Guard = AlarmGuard(clock) if hasattr(signal, "setitimer") else NoGuard(clock)
    real.expect_as(guard)
    return real
