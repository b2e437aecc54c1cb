"""Checks: whether what is stepped again comes to what its records say that it came to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, TypeGuard, cast

from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.records import NOT_TAKEN, Code, Input, Record, number_of
from ssm_cli.runtime.durable.values import ODD, Values, digest, text_of

PLAIN = ("call", "cast")  # mostly; their bytes are as they came, but for `ODD` ones
UNSTEPPED = ("crashed", "dropped")  # the state is what it was, or gone
CHECK_EVERY = 64  # records between two whose hashes a recovery compares; a verification: all


class Checks:
    """Compares states and outputs of one worker with the hashes that were taken of them.

    Args:
        values: how they are written.
        every: compare the hashes of every so-many-th record.
        effects: compare what steps ask for, too.

    Attributes:
        again: what runs the code of the worker; its `Life` says.
    """

    def __init__(self, values: Values, every: int = CHECK_EVERY, *, effects: bool = False) -> None:
        self.again = Again()
        self._each = self._effects = effects
        self._values, self._version = values, values.version
        self._wanted = self._every = every
        self._left, self._sparse = every - 1, False
        self._last: tuple[int, Input, Any] | None = None

    def written_by(self, code: Code) -> None:
        """The records from here on are of that code; of another one each is compared."""
        other = bool(code.digest) and code.digest != self._values.code.digest
        self._every = 1 if other else self._wanted
        self._left = min(self._left, self._every - 1)

    def forget(self) -> None:
        """The state is another one than the last record came to."""
        self._last = None

    def unlooked(
        self, records: Sequence[Record], at: int, most: int, worker: str
    ) -> Sequence[Input]:
        """Return the inputs from one on that may be plain, at most up to one that is compared.

        A step may change its state in place: it is compared before the next. Behind the first
        there is none that another record has sent, or that may be asked for again.
        """
        count, left = 0, 0 if self._each else self._left
        for record in islice(records, at, at + most):
            if not may_be_plain(record, worker) or (count and is_tied(record)):
                break
            count += 1
            if count > left or not record.state_hash or record.version != self._version:
                break
        return cast("Sequence[Input]", records[at : at + count])

    def passed(self, seq: int, run: Sequence[Input], state: Any, output: Any) -> None:
        """Count what `unlooked` has returned, from record `seq` on; compare the last if it is due.

        Raises:
            Unrecovered: it is something else.
        """
        self._left -= len(run) - 1
        self.compare(seq + len(run) - 1, run[-1], state, output)

    def compare(
        self, seq: int, record: Input, state: Any, output: Any, outcome: Outcome | None = None
    ) -> None:
        """Compare what is to be: every so-many-th record, and each whose like is seldom there.

        Hashes of large states are taken now and then; each that was taken is compared. A state of
        another version has no hash that it could be compared with; its outputs have. `outcome` is
        what the step came to, where that is more than a state and an answer.

        Raises:
            Unrecovered: it is something else.
        """
        if self._effects and record.effects_hash != NOT_TAKEN:
            asked = Outcome(state) if outcome is None else outcome
            ends = (asked.stop is not None) == (record.outcome == "stopped")
            if not (ends and self._values.has_effects(asked, record.effects_hash, seq)):
                raise self._differs(seq, record, "set of effects")
        seldom = self._left > 0 and record.version == self._version
        self._left = self._left - 1 if self._left else self._every - 1
        if seldom and record.state_hash and not self._sparse:
            self._last = (seq, record, output)
            return
        self._last = None
        if not seldom:
            self.check(seq, record, state, output)
        elif not record.state_hash:
            self._sparse = self._each = True
        else:
            self.check(seq, record, state, NOTHING)

    def revive(self, data: bytes, by: Code, at: int) -> Any:
        """Return a state that some code has written up to a record; as `Values.revive`."""
        return self._values.revive(data, by, at)

    def leaves_out(self, error: Unrecovered) -> bool:
        """Return whether a record that cannot be stepped is passed over; here none is."""
        del error
        return False

    def finish(self, state: Any) -> None:
        """Compare what the last record says; raises `Unrecovered`."""
        if self._last is not None:
            seq, record, output = self._last
            self.check(seq, record, state, output)

    def check(self, seq: int, record: Input, state: Any, output: Any) -> None:
        """Compare one record with what it comes to now; raises `Unrecovered`."""
        values = self._values
        alike = record.version == values.version and record.state_hash
        if alike and not values.has_hash(state, record.state_hash, seq):
            raise self._differs(seq, record, "state")
        if record.output_hash and output is not NOTHING:
            try:
                written = self.again.step(values.codec.encode, output)
            except BaseException as error:
                if self.again.is_from_outside(error):
                    raise
                raise self._differs(seq, record, "output") from error
            if digest(written) != record.output_hash:
                raise self._differs(seq, record, "output")

    def _differs(self, seq: int, record: Input, what: str) -> Unrecovered:
        why = f"it comes to another {what} than it came to then"
        number = number_of(seq, record)
        return Unrecovered(why, worker=self._values.worker, reason="differs", record=number)


def may_be_plain(record: Record, worker: str) -> TypeGuard[Input]:
    """Return whether a record is an input of a worker that may go straight to a pure step."""
    return (
        type(record) is Input and record.worker == worker and record.how in PLAIN
        and record.outcome not in UNSTEPPED and record.data[:1] != ODD
    )  # fmt: skip


def is_tied(record: Input) -> bool:
    """Return whether a record has sent an input, or was sent by one, or may be asked for again."""
    return record.cause is not None or record.request != "" or bool(record.sent)


class Notes(Checks):
    """The same, and what differs is noted: somebody wants to see it, and may consent.

    Attributes:
        lines: what has come otherwise; without its input where the worker `hides` parts of such.
    """

    def __init__(self, values: Values, *, hides: bool = False) -> None:
        super().__init__(values, every=1)
        self.lines: list[str] = []
        self._hides = hides

    def check(self, seq: int, record: Input, state: Any, output: Any) -> None:
        """Compare one record with what it comes to now, and note it."""
        try:
            super().check(seq, record, state, output)
        except Unrecovered as error:
            given = "" if self._hides else f" ({text_of(record.data)[:60]})"
            self.lines.append(f"record {number_of(seq, record)}{given}: {error}")

    def leaves_out(self, error: Unrecovered) -> bool:
        """Pass over a record that the code does not take; note it."""
        if error.reason not in ("raises", "undecodable"):
            return False
        self.lines.append(f"record {error.record} is left out: {error}")
        return True

    def revive(self, data: bytes, by: Code, at: int) -> Any:
        """Return a state of whatever code, if it is one of the code that is here."""
        try:
            return super().revive(data, by, at)
        except Unrecovered:
            return super().revive(data, Code(), at)
