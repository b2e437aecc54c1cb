"""`Life`: what the records of one worker come to, stepped again: its state, its timers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, Kind, advance
from ssm_cli.behaviour.effects import CancelTimer, Cast, Info, StartTimer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import NOTHING, TIMEOUT, Caller, Continue, TimeoutAfter
from ssm_cli.codec.port import Codec
from ssm_cli.errors import StorageDamaged, StorageError
from ssm_cli.runtime.durable.records import (
    Armed,
    Cause,
    Change,
    Exit,
    How,
    Input,
    Record,
    Start,
)
from ssm_cli.runtime.durable.snapshots import Saved
from ssm_cli.runtime.durable.values import Values, digest

KINDS: dict[How, Kind] = {
    "call": Kind.CALL,
    "cast": Kind.CAST,
    "info": Kind.INFO,
    "timer": Kind.INFO,
    "timeout": Kind.INFO,
    "continue": Kind.CONTINUE,
}
CHECK_EVERY = 64  # records between two whose hashes a recovery compares; a verification: all


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
        behaviour, codec, values: its code, and how its inputs and states are written.
        saved: its saved state, if there is one.
        check_every: compare the hashes of every so-many-th record.

    Attributes:
        has: whether there is a state; else it begins with `init`.
        state: the state.
        timers: those under way, by key.
        timeout_ms: its time-out under way.
        records: how many were stepped again.
        touched: whether there was any record behind its saved state.
        problem: why its saved state cannot be read; nothing is stepped then, until a record
            brings another state.
    """

    def __init__(
        self,
        worker: str,
        behaviour: Behaviour,
        codec: Codec,
        values: Values,
        saved: Saved | None,
        *,
        check_every: int = CHECK_EVERY,
    ) -> None:
        self.worker = worker
        self.has = False
        self.state: Any = None
        self.timers: dict[str, Armed] = {}
        self.timeout_ms: float | None = None
        self.records = 0
        self.touched = False
        self.problem: BaseException | None = None
        self._behaviour = behaviour
        self._pure = behaviour.step if type(behaviour) is StateMachine else None
        self._decode, self._encode = codec.decode, codec.encode
        self._since = 0 if saved is None else saved.seq
        self._values = values
        self._check_every = check_every
        self._last: tuple[int, Input] | None = None
        if saved is not None:
            self._begin(saved)

    def _begin(self, saved: Saved) -> None:
        self.has = saved.has
        self.timers = {timer.key: timer for timer in saved.timers}
        self.timeout_ms = saved.timeout_ms
        if saved.has:
            try:
                self.state = self._values.revive(saved.state, saved.machine, saved.version)
            except Exception as error:  # noqa: BLE001 - migrate is the user's; the start will fail
                self.problem = error

    def take(self, seq: int, record: Record) -> Sequence[Brought]:
        """Do what a record says; what it sent to other workers, or to itself to go on with.

        Raises:
            StorageDamaged: stepping gives something else than it gave then; the record is named.
        """
        if seq <= self._since:
            return ()
        self.touched = True
        if self.problem is not None and (brings := getattr(record, "state", None)) is not None:
            self.problem, self.has, self.state = None, True, self._values.load(brings)
        if self.problem is not None:
            return ()
        match record:
            case Input():
                return self._input(seq, record)
            case Start():
                return self._start(seq, record)
            case Change(state=state):
                self.has, self.state, self._last = True, self._values.load(state), None
            case Exit():
                self.timeout_ms = None
                self._leave(kept=record.kept)
        return ()

    def _leave(self, *, kept: bool) -> None:
        """A life has ended; what was under way goes on where its state does."""
        self.has = self.has and kept
        if not kept:
            self.timers.clear()

    def _start(self, seq: int, record: Start) -> Sequence[Brought]:
        self.timeout_ms = record.timeout_ms
        self.timers = {timer.key: timer for timer in record.timers}
        if record.state is not None:
            self.has, self.state, self._last = True, self._values.load(record.state), None
        if record.goes_on is None:
            return ()
        message = self._decode(record.goes_on)
        return (Brought((seq, -1), self.worker, "continue", message),)

    def _input(self, seq: int, record: Input) -> Sequence[Brought]:
        self.timeout_ms = None
        if record.how == "timer":
            timer = self.timers.get(record.key)
            if timer is not None and timer.cause == record.cause:  # else a later one of its key
                del self.timers[record.key]
        if record.outcome == "crashed":
            self._leave(kept=record.kept)
            return ()
        message = TIMEOUT if record.how == "timeout" else self._decode(record.data)
        self.records += 1
        if self._pure is not None:
            result = self._pure(message, self.state)
            if type(result) is tuple and len(result) == 2:
                self.state = result[0]
                self._compare(seq, record, result[1])
                return ()
        return self._careful(seq, record, message)

    def _careful(self, seq: int, record: Input, message: Any) -> Sequence[Brought]:
        """The same with effects, or for callbacks."""
        caller = Caller(0, []) if record.how == "call" else None
        try:
            outcome = advance(self._behaviour, KINDS[record.how], message, caller, self.state)
        except Exception as error:
            raise self._differs(seq, f"it raises {type(error).__name__}: {error}") from error
        self.state = outcome.state
        self._compare(seq, record, outcome.reply)
        sent: list[Brought] = []
        for index, effect in enumerate(outcome.effects):
            match effect:
                case StartTimer(key, after_ms, brings):
                    due_s = record.at_s + after_ms / 1000
                    data, cause = self._encode(brings), (seq, index)
                    self.timers[key] = Armed(key, due_s, after_ms, data, cause)
                case CancelTimer(key):
                    self.timers.pop(key, None)
                case Cast(to, brings) | Info(to, brings):
                    how: How = "cast" if isinstance(effect, Cast) else "info"
                    target = self.worker if to is None else to
                    sent.append(Brought((seq, index), target, how, brings))
        match outcome.then:
            case Continue(brings):
                sent.append(Brought((seq, -1), self.worker, "continue", brings))
            case TimeoutAfter(ms):
                self.timeout_ms = ms
        return sent

    def _compare(self, seq: int, record: Input, output: Any) -> None:
        self._last = (seq, record)
        if self.records % self._check_every == 0:
            self._check(seq, record)
            if record.output_hash and output is not NOTHING:
                self._check_output(seq, record, output)

    def _check(self, seq: int, record: Input) -> None:
        if record.state_hash and self._values.hash(self.state)[0] != record.state_hash:
            raise self._differs(seq, "its state is another one")

    def _check_output(self, seq: int, record: Input, output: Any) -> None:
        if digest(self._encode(output)) != record.output_hash:
            raise self._differs(seq, "its output is another one")

    def written(self, message: Any) -> bytes:
        """An input for this worker as its codec writes it."""
        return self._encode(message)

    def saved(self, at_s: float, seq: int) -> Saved:
        """What is to be saved of it; raises `StorageError` where that cannot be written."""
        values = self._values
        data = values.dump(self.state) if self.has else b""
        return Saved(
            self.worker, values.machine, values.version, at_s, seq, self.has, data,
            tuple(self.timers.values()), self.timeout_ms,
        )  # fmt: skip

    def finish(self) -> None:
        """Compare what the last record says of the state."""
        if self._last is not None and self.has and self.problem is None:
            self._check(*self._last)

    def _differs(self, seq: int, how: str) -> StorageDamaged:
        return StorageDamaged(
            f"record {seq}, an input of {self.worker}, does not give again what it gave: {how}. "
            f"Its step is not a pure function of input and state, or its code has changed since; "
            f"nothing was changed. Run the code that wrote it, and stop the tree in order"
        )


def differs(error: StorageError) -> bool:
    """Whether an error says that stepping again gave something else."""
    return isinstance(error, StorageDamaged) and "does not give again" in str(error)
