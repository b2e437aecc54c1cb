"""Checks: whether what is stepped again comes to what its records say that it came to."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.records import NOT_TAKEN, Code, Input, number_of
from ssm_cli.runtime.durable.values import Values, digest, text_of

CHECK_EVERY = 64  # records between two whose hashes a recovery compares; a verification: all


class Checks:
    """Compares states and outputs of one worker with the hashes that were taken of them.

    Args:
        values: how they are written.
        every: compare the hashes of every so-many-th record.
        effects: compare what steps ask for, too.

    Attributes:
        again: what runs the code of the worker; its `Life` says.
        left: how many records may pass until one is compared whatever it says.
        each: whether something of each record is compared.
        version: of the code; a record of another one is compared.
    """

    def __init__(self, values: Values, every: int = CHECK_EVERY, *, effects: bool = False) -> None:
        self.again = Again()
        self.each = self._effects = effects
        self._values, self.version = values, values.version
        self._wanted = self._every = every
        self.left, self._sparse = every - 1, False
        self._last: tuple[int, Input, Any] | None = None

    def written_by(self, code: Code) -> None:
        """The records from here on are of that code; of another one each is compared."""
        other = bool(code.digest) and code.digest != self._values.code.digest
        self._every = 1 if other else self._wanted
        self.left = min(self.left, self._every - 1)

    def forget(self) -> None:
        """The state is another one than the last record came to."""
        self._last = None

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
        seldom = self.left > 0 and record.version == self.version
        self.left = self.left - 1 if self.left else self._every - 1
        if seldom and record.state_hash and not self._sparse:
            self._last = (seq, record, output)
            return
        self._last = None
        if not seldom:
            self.check(seq, record, state, output)
        elif not record.state_hash:
            self._sparse = self.each = True
        else:
            self.check(seq, record, state, NOTHING)

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
