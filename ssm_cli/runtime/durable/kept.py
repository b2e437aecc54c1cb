"""`Kept`: what a node knows of one worker whose state outlives its process."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reading import classes_of
from ssm_cli.behaviour.reasons import ExitReason, Normal, Shutdown
from ssm_cli.codec.port import Codec
from ssm_cli.codec.renames import Renames
from ssm_cli.errors import StorageError, Unrecovered
from ssm_cli.runtime.durable.life import Life
from ssm_cli.runtime.durable.records import Armed, KeptTimeout
from ssm_cli.runtime.durable.snapshots import Refused, Saved
from ssm_cli.runtime.durable.values import Values, digest
from ssm_cli.runtime.engine.cell import Plan, WorkerCell
from ssm_cli.spec.model import OnCrash, Persist, WorkerOptions, WorkerSpec

HASHED_BYTES = 4096  # of state that may be hashed for each record, on average


class Kept:
    """What a node knows of one worker whose state outlives its process.

    Attributes:
        worker: its id.
        options: its settings.
        behaviour, codec, values: its code, and how inputs and states are written.
        journals: whether its inputs are recorded; else its state is saved now and then.
        plain: it is a pure step whose inputs are recorded.
        reads: the classes of its inputs that only read.
        has, last: whether its next life begins with a state, and with which.
        trouble: why it cannot go on with what is stored of it.
        armed, timeout: timers of an earlier process, for its next start.
        dirty: something has happened since its state was saved.
        failures: own inputs that have crashed it, before it has served anything.
        tries: starts from its state that have failed, one after the other.
        refused: inputs in quarantine, by their hash.
        crashes: how often an input has crashed it, by its hash.
        closing: an outcome that ends it is being written; what comes meanwhile is held.
        recorded: the hash of its state as last recorded; empty where that is not known.
        resync: what is in the journal is not what it had: the next record says what it has.
        inputs, saved_at_s: since its last saved state, and when that was.
        timed: a timer will save its state.
        unwritten: what its steps have asked for (`effects`), and is held until it is written.
        waits: those of all durable workers for which inputs are put off; its own is put there.
    """

    __slots__ = (
        "_debt", "armed", "behaviour", "closing", "codec", "crashes", "dirty", "failures",
        "has", "inputs", "journals", "last", "options", "plain", "reads", "recorded", "refused",
        "resync", "saved_at_s", "timed", "timeout", "tries", "trouble", "unwritten", "values",
        "waits", "worker",
    )  # fmt: skip

    def __init__(
        self,
        worker: str,
        options: WorkerOptions,
        behaviour: Behaviour,
        codec: Codec,
        renames: Renames | None = None,
        *,
        place: str = "",
    ) -> None:
        self.worker = worker
        self.waits: dict[WorkerCell, None] = {}
        self.options = options
        self.behaviour = behaviour
        self.codec = codec
        self.values = Values(worker, behaviour, codec, renames, place=place)
        self.journals = options.persist is Persist.JOURNAL
        self.plain = self.journals and type(behaviour) is StateMachine
        self.reads = classes_of(behaviour.reads)
        self.has = False
        self.last: Any = None
        self.trouble: Unrecovered | None = None
        self.armed: tuple[Armed, ...] = ()
        self.timeout: KeptTimeout = None
        self.dirty = False
        self.failures = 0
        self.tries = 0
        self.refused: dict[bytes, Refused] = {}
        self.crashes: dict[bytes, int] = {}
        self.closing = False
        self.recorded = b""
        self.resync = False
        self.unwritten: dict[Any, None] = {}
        self.inputs = 0
        self.saved_at_s = 0.0
        self.timed = False
        self._debt = 0  # bytes that were hashed, less `HASHED_BYTES` for each record since

    def is_of(self, spec: WorkerSpec) -> bool:
        """Whether it is of a worker with that spec: of its code, and kept in the same way."""
        mine, its = self.options, spec.options
        alike = mine.persist is its.persist and mine.codec == its.codec
        return alike and (self.behaviour is spec.start or type(self.behaviour) is spec.start)

    def plan(self) -> Plan:
        """Return how the inputs of this worker are served, if it is a pure step."""
        if self.plain and not (self.resync or self.refused):
            return Plan.RECORD
        return Plan.CARE

    def adopt(self, life: Life) -> None:
        """Begin with what the records of an earlier process came to."""
        self.has, self.last, self.trouble = life.has, life.state, life.trouble
        self.armed, self.timeout = tuple(life.timers.values()), life.timeout
        self.dirty = self.dirty or life.latest is not None

    def hash(self, state: Any) -> bytes:
        """The hash of its state for a record; empty where the state is too large to hash each time.

        Raises:
            StorageError: the state cannot be written, or would not come back the same.
        """
        debt = self._debt - HASHED_BYTES
        if debt >= HASHED_BYTES:
            self._debt = debt
            return b""
        found, cost = self.values.hash(state)
        self._debt = cost if debt < 0 else debt + cost
        return found

    def before(self, state: Any) -> bytes:
        """The bytes of its state before it is read; empty where it is too large for each time.

        Raises:
            StorageError: the state cannot be written.
        """
        debt = self._debt - HASHED_BYTES
        if debt >= HASHED_BYTES:
            self._debt = debt
            return b""
        data = self.values.dump(state)
        self._debt = max(0, debt) + 2 * len(data)
        return data

    def is_still(self, before: bytes, was: Any, state: Any) -> bool:
        """Whether a state that was read is what it was, as far as it was looked at."""
        try:
            if self.values.dump(state) == before if before else state is was:
                return True
            if before:
                was = self.values.revive(before, self.values.code)
            return self.values.hash(state)[0] == self.values.hash(was)[0]
        except StorageError:
            return False

    def succeeded(self, data: bytes, recorded: bytes) -> None:
        """An input was served and recorded, with that hash of the state that it came to.

        Crashes of that very input are over.
        """
        self.dirty, self.failures, self.recorded = True, 0, recorded
        if self.crashes:
            self.crashes.pop(digest(data), None)

    def is_to_be_saved(self) -> bool:
        """Whether it has changed since its state was saved, and what it has counts."""
        return self.journals and self.dirty and (self.has or self.trouble is None)

    def is_as_recorded(self, state: Any) -> bool:
        """Whether a state is known to be the one that was recorded last."""
        return bool(self.recorded) and self.values.has_hash(state, self.recorded)

    def stays(self, reason: ExitReason) -> bool:
        """Whether its next life begins with a state if it ends for `reason`."""
        return isinstance(reason, Normal | Shutdown) or self.options.on_crash is not OnCrash.INIT

    def is_due(self, now_s: float) -> bool:
        """Whether its state is to be saved at this input (`save_inputs`, `save_seconds`)."""
        options = self.options
        often = options.save_inputs is not None and self.inputs >= options.save_inputs
        long = options.save_seconds is not None and now_s - self.saved_at_s >= options.save_seconds
        return often or long

    def snapshot(
        self, at_s: float, seq: int, state: Any, armed: tuple[Armed, ...], timeout: KeptTimeout
    ) -> Saved:
        """Its state as it is saved; raises `StorageError` where it cannot be."""
        data = self.values.dump(state) if self.has else b""
        return self.values.saved(at_s, seq, (self.has, data), armed, timeout)
