"""`Life`: what the records of one worker come to, stepped again: its state, its timers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, Kind, Odd, Outcome, advance, of_step
from ssm_cli.behaviour.effects import CancelTimer, Cast, Info, StartTimer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import NOTHING, TIMEOUT, Caller, Continue, TimeoutAfter
from ssm_cli.behaviour.runs import CancelRun, Run
from ssm_cli.behaviour.standing import check_standing
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.durable.again import Again, Taken
from ssm_cli.runtime.durable.checks import UNSTEPPED, Checks, Notes
from ssm_cli.runtime.durable.code import lasting_name
from ssm_cli.runtime.durable.fits import as_recorded, unfit
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import (
    Armed,
    Cause,
    Change,
    Code,
    Exit,
    How,
    Input,
    KeptTimeout,
    Record,
    Repair,
    Slot,
    Start,
    due_at,
    number_of,
)
from ssm_cli.runtime.durable.remedies import for_state
from ssm_cli.runtime.durable.snapshots import Saved
from ssm_cli.runtime.durable.timeouts import timeout_written
from ssm_cli.runtime.durable.values import ODD, Values

KINDS: dict[How, Kind] = {
    "call": Kind.CALL,
    "cast": Kind.CAST,
    "info": Kind.INFO,
    "timer": Kind.INFO,
    "timeout": Kind.INFO,
    "run": Kind.INFO,
    "continue": Kind.CONTINUE,
}
NOT_READ = "its code does not take it any more"
BRINGS = ("timer", "run")  # what a worker has under way, and a record takes off


class Brought(msgspec.Struct, frozen=True):
    """What a record has sent: as `Sent`, but with the value itself, whoever's codec it is for."""

    cause: Cause
    to: str
    how: How
    message: Any


class Life:
    """A worker, rebuilt from its saved state and the records behind it.

    Args:
        worker: its id.
        behaviour, values: its code, and how its inputs and states are written.
        saved: its saved state, if there is one.
        checks: what is compared with the records.
        again: what runs its code; without it there is no limit.

    Attributes:
        has, state: whether there is a state, and which; else it begins with `init`.
        timers: those under way, and runs, by slot.
        timeout: its time-out under way.
        latest: the last record behind its saved state, if there was any.
        by: the code that wrote what is stepped again.
        trouble: why it cannot go on; nothing is stepped then, until a record brings another state.
    """

    def __init__(
        self,
        worker: str,
        behaviour: Behaviour,
        values: Values,
        saved: Saved | None,
        checks: Checks,
        *,
        again: Again | None = None,
    ) -> None:
        self._again = checks.again = again or Again()
        self.worker = worker
        self.has = False
        self.state: Any = None
        self.timers: dict[Slot, Armed] = {}
        self.timeout: KeptTimeout = None
        self.trouble: Unrecovered | None = None
        self._behaviour, self._values, self._checks = behaviour, values, checks
        self._pure = behaviour.step if type(behaviour) is StateMachine else None
        self._decode = values.codec.decode
        self._odd: Odd | None = None
        self.latest: Record | None = None
        self.since = 0 if saved is None else saved.seq
        self.by = Code() if saved is None else saved.code()
        if saved is not None:
            self._begin(saved)

    def _begin(self, saved: Saved) -> None:
        self.has = saved.has
        self.timers = {timer.slot(): timer for timer in saved.timers}
        self.timeout = saved.timeout
        self._written_by(saved.code())
        if saved.has:
            try:
                self.state = self._revived(saved.state, saved.code(), saved.written())
            except Unrecovered as error:
                self.trouble = error

    def _written_by(self, code: Code) -> None:
        """The records from here on are of that code; of another one each is compared."""
        self.by = code
        self._checks.written_by(code)

    def again(self, seq: int, record: Record) -> Sequence[Brought]:
        """Do what a record says; what it sent to other workers, or to itself to go on with.

        What cannot be done is a `trouble`, and not raised; what comes then waits for a record that
        brings a state.
        """
        self.latest = record
        if self.trouble is not None:
            if type(record) is not Repair and getattr(record, "state", None) is None:
                return ()
            self.trouble = None
        try:
            if type(record) is not Input:
                return self._take(seq, record)
            if self.straight(seq, (record,), 0, 1):
                return ()
            return self._input(seq, record)
        except Unrecovered as error:
            return self._stuck(seq, record, error)

    def _stuck(self, seq: int, record: Record, error: Unrecovered) -> Sequence[Brought]:
        error.record = number_of(seq, record)
        self.trouble = None if self._checks.leaves_out(error) else error
        return ()

    def _take(self, seq: int, record: Record) -> Sequence[Brought]:
        match record:
            case Start():
                return self._start(seq, record)
            case Change(state=state, code=code):
                self._written_by(code if code.version else self.by)
                self._put(state, self.by, seq)
            case Repair():
                self._repaired(seq, record)
            case Exit():
                self.timeout = None
                return self._leave(kept=record.kept)
        return ()

    def _revived(self, data: bytes, by: Code, at: int) -> Any:
        try:
            return self._again.revive(self._checks.revive, data, by, at)
        except Unrecovered:
            raise
        except BaseException as error:
            what = f"to read its state raises {type(error).__name__}"
            raise self._cannot("migrate", what, error) from error

    def _put(self, state: bytes, by: Code, at: int) -> None:
        """Go on with a state that a record brings, and that was written up to the record `at`."""
        self._checks.forget()
        self.has, self.state = True, self._revived(state, by, at)

    def _repaired(self, seq: int, record: Repair) -> None:
        self._written_by(record.code)
        self.timers = {timer.slot(): timer for timer in record.timers}
        self.timeout, self.has = record.timeout, False
        self._checks.forget()
        if record.state is not None:
            at = seq if record.wrote is None else record.wrote
            self._put(record.state, record.code, at)

    def _leave(self, *, kept: bool) -> Sequence[Brought]:
        """A life has ended; what was under way goes on where its state does."""
        self.has = self.has and kept
        if not kept:
            self.timers.clear()
        return ()

    def _start(self, seq: int, record: Start) -> Sequence[Brought]:
        self.timeout = record.timeout
        self.timers = {timer.slot(): timer for timer in record.timers}
        self._written_by(record.code)
        if record.state is not None:
            by = record.code if record.code.version else Code(version=record.version)
            self._put(record.state, by, seq)
        if record.goes_on is None:
            return ()
        message = self._read(seq, record.goes_on)
        return (Brought((seq, -1), self.worker, "continue", message),)

    def straight(
        self, seq: int, records: Sequence[Record], at: int, most: int, taken: Taken = None
    ) -> int:
        """Step plain inputs that come one behind the other; return how many, at most `most`.

        Plain is what a pure step answers with a state and an output; all else is left to `again`.
        The first stands at `at` in `records`, and is record `seq` of the journal. Each is added to
        `taken`, if there is one.
        """
        pure, again = self._pure, self._again
        if pure is None or self.trouble is not None or self._odd is not None:
            return 0
        run = self._checks.unlooked(records, at, most, self.worker)
        count, answer, self._odd = again.straight(pure, self._decode, run, self.state, taken)
        if count:
            self.state, self.latest, self.timeout = answer[0], run[count - 1], None
            try:
                self._checks.passed(seq, run[:count], *answer)
            except Unrecovered as error:
                self._stuck(seq + count - 1, run[count - 1], error)
        return count

    def _input(self, seq: int, record: Input) -> Sequence[Brought]:
        how, outcome, odd = record.how, record.outcome, self._odd
        self._odd = None
        if outcome != "dropped" or how == "timeout":
            self.timeout = None
        strike_off(self, record)
        if outcome in UNSTEPPED:
            return self._leave(kept=record.kept)
        if odd is None:
            named = how == "timeout" and not record.data
            return self._careful(seq, record, TIMEOUT if named else self._read(seq, record.data))
        self._again.given = odd.given
        if odd.error is None:
            return self._careful(seq, record, odd.given, odd.answer)
        if odd.given is NOTHING:
            raise self._cannot("undecodable", NOT_READ, odd.error) from odd.error
        raise self._raises(odd.error) from odd.error

    def _read(self, seq: int, data: bytes) -> Any:
        """An input, by the codec that is here."""
        again = self._again
        reads = (self._decode, data) if data[:1] != ODD else (self._values.read, data, seq)
        try:
            again.given = again.step(*reads)
        except BaseException as error:
            raise self._cannot("undecodable", NOT_READ, error) from error
        return again.given

    def _cannot(self, reason: str, what: str, error: BaseException | None = None) -> Unrecovered:
        """Return why it cannot go on; of an exception what that says, unless it is from outside."""
        why = what if error is None else f"{what}: {self._again.said(error)}"
        return Unrecovered(why, worker=self.worker, reason=reason)

    def _raises(self, error: BaseException) -> Unrecovered:
        return self._cannot("raises", f"its code raises {type(error).__name__} for it", error)

    def _careful(
        self, seq: int, record: Input, message: Any, answer: Any = NOTHING
    ) -> Sequence[Brought]:
        """The same with effects, or for callbacks; `answer`: its step has answered already."""
        caller = Caller(0, []) if record.how == "call" else None
        call = advance, self._behaviour, KINDS[record.how], message, caller, self.state
        try:
            outcome = self._again.step(*(call if answer is NOTHING else (of_step, answer)))
        except BaseException as error:
            raise self._raises(error) from error
        wrong = unfit(outcome)
        if wrong:
            raise self._cannot("raises", f"it comes to what no record can carry: {wrong}")
        self.state = outcome.state
        self._checks.compare(seq, record, self.state, outcome.reply, outcome)
        return redo_effects(self, seq, record, as_recorded(outcome))

    def written(self, message: Any) -> bytes:
        """An input for this worker as it is recorded; raises `Unrecovered`."""
        try:
            return bytes(self._again.step(self._values.written, message))
        except BaseException as error:
            raise self._cannot("raises", self._again.said(error)) from error

    def saved(self, at_s: float, seq: int) -> Saved:
        """What is to be saved of it; raises `StorageError` where that cannot be written."""
        data = self._values.dump(self.state) if self.has else b""
        timers = tuple(self.timers.values())
        return self._values.saved(at_s, seq, (self.has, data), timers, self.timeout)

    def finish(self) -> None:
        """Compare what the last record says, and whether the code can go on from it."""
        if self.has and self.trouble is None:
            try:
                self._checks.finish(self.state)
                self._again.step(check_standing, self._behaviour, self.state)
            except Unrecovered as error:
                self.trouble = error
            except BaseException as error:  # noqa: BLE001 - what comes from outside, `said` raises
                why = f"its code cannot go on from its state: {self._again.said(error)}"
                self.trouble = self._cannot("migrate", why)


def take_given(life: Life) -> Any:
    """Return the input that the last record was decoded to, once; `NOTHING` if it was not."""
    again = life._again  # noqa: SLF001 - its own file
    given, again.given = again.given, NOTHING
    return given


def strike_off(life: Life, record: Input) -> None:
    """Take off the timer or the run that has brought an input, if there is no later one."""
    slot = record.how == "run", record.key
    armed = life.timers.get(slot) if record.how in BRINGS else None
    if armed is not None and armed.cause == record.cause:
        del life.timers[slot]


def redo_effects(life: Life, seq: int, record: Input, outcome: Outcome) -> list[Brought]:
    """Do to a worker what its step asks for; what it sends to others, or to itself to go on with.

    Raises:
        Unrecovered: no record can carry it.
    """
    sent: list[Brought] = []
    for index, effect in enumerate(outcome.effects):
        match effect:
            case StartTimer(key, ms, brings, absolute):
                due_s, after_ms = due_at(record.at_s, ms, absolute=absolute)
                data, cause = life.written(brings), (seq, index)
                armed = Armed(key, due_s, after_ms, data, cause)
                life.timers[armed.slot()] = armed
            case CancelTimer(key):
                life.timers.pop((False, key), None)
            case Run():
                armed = armed_run(effect, record.at_s, life.written(effect.args), (seq, index))
                life.timers[armed.slot()] = armed
            case CancelRun(key):
                life.timers.pop((True, key), None)
            case Cast(to, brings) | Info(to, brings) if record.sent is None:
                how: How = "cast" if isinstance(effect, Cast) else "info"
                target = life.worker if to is None else str.__str__(to)
                sent.append(Brought((seq, index), target, how, brings))
    match outcome.then:
        case Continue(brings):
            sent.append(Brought((seq, -1), life.worker, "continue", brings))
        case TimeoutAfter() as asked:
            life.timeout = timeout_written(asked, life.written)
    return sent


def armed_run(run: Run, at_s: float, data: bytes, cause: Cause | None) -> Armed:
    """Return a run that was asked for at that time as it is written."""
    name = lasting_name(run.function)
    due_s = at_s + run.timeout_ms / 1000
    return Armed(run.key, due_s, run.timeout_ms, data, cause, name, run.limit)


def taken_in(life: Life, brought: Brought, number: int) -> bytes | None:
    """An input for a worker, as it is recorded; None, and its trouble, where it cannot be.

    `number` is that of the record which has brought it.
    """
    try:
        return life.written(brought.message)
    except Unrecovered as error:
        error.record, life.trouble = number, life.trouble or error
    return None


def told(life: Life, store: Store) -> Unrecovered:
    """Why a worker cannot go on, with all that its reader has to know."""
    why, worker = life.trouble, life.worker
    assert why is not None, "asked only then"
    at = f"record {why.record}: " if why.record else ""
    by = life.by.digest
    ran = f"run the code that wrote it (digest {by}), or " if by else ""
    return Unrecovered(
        f"{worker} does not start ({why.reason}): {at}{why}. All of it is kept in "
        f"{store.where()}: {ran}{for_state(store, worker)}",
        worker=worker, reason=why.reason, record=why.record,
    )  # fmt: skip


def anew(
    worker: str,
    behaviour: Behaviour,
    values: Values,
    saved: Saved | None,
    *,
    again: Again | None = None,
) -> tuple[Life, list[str]]:
    """Return a life that takes what comes as it is: somebody wants to see it, and may consent.

    Returns:
        The life, and what has come otherwise, a line each.
    """
    checks = Notes(values, hides=does_hide(behaviour))
    return Life(worker, behaviour, values, saved, checks, again=again), checks.lines
