"""Sessions: what calls with a request id came to, so that a retry is answered and not stepped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ssm_cli.codec.build import codec_for
from ssm_cli.errors import CalleeCrashed, CalleeStopped, Denied, SsmError
from ssm_cli.runtime.durable.ports import SnapshotStore
from ssm_cli.runtime.durable.records import Input
from ssm_cli.runtime.durable.snapshots import REQUEST, Answered, pack, unpack
from ssm_cli.runtime.durable.values import digest
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending

KEPT_ANSWERS = 10_000  # calls that are remembered by their request id; the oldest go


class Replayed:
    """An output that is known by its bytes alone: its process is gone, and its type not given."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Sessions:
    """The last `KEPT_ANSWERS` answers to calls with a request id, in the order of the journal.

    What is stored of an answer are its bytes. The process that gave it knows its value as well, as
    it was then, and repeats that.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], Callable[[], Any]] = {}
        self._answered: OrderedDict[tuple[str, str], Answered] = OrderedDict()
        self._under_way: dict[tuple[str, str], tuple[bytes, Pending]] = {}
        self._changes: dict[str, bytes | None] = {}

    def load(self, store: SnapshotStore) -> None:
        """Know what is stored; the records behind it come by `learn`."""
        cells = [(key, store.get(key) or b"") for key in store.keys(REQUEST)]
        known = [unpack(key, data, Answered) for key, data in cells]
        for answered in sorted(known, key=lambda one: one.seq):
            self._answered[answered.worker, answered.request] = answered

    def learn(self, seq: int, record: Input, given: Callable[[], Any] | None = None) -> None:
        """A record with a request id was written; `given` makes the output anew, if it was one."""
        at = (record.worker, record.request)
        known = self._answered.get(at)
        if known is not None and known.seq >= seq:
            return  # it has come from another name meanwhile
        answered = answer_in(seq, record)
        self._answered.pop(at, None)
        self._answered[at] = answered
        self._given.pop(at, None)
        if given is not None:
            self._given[at] = given
        self._changes[key_of(answered)] = pack(answered)
        if len(self._answered) > KEPT_ANSWERS:
            at, oldest = self._answered.popitem(last=False)
            self._given.pop(at, None)
            self._changes[key_of(oldest)] = None

    def moved(self, worker: str, seq: int) -> None:
        """By that record a worker has another name: what it had answered is stored under that."""
        for at, answered in [*self._answered.items()]:
            if answered.worker == worker and answered.seq < seq:
                del self._answered[at]
                self._given.pop(at, None)
                self._changes[key_of(answered)] = None

    def forget(self, after: int) -> None:
        """The records with a greater number were not written after all."""
        for at, answered in [*self._answered.items()]:
            if answered.seq > after:
                del self._answered[at]
                self._given.pop(at, None)
                self._changes.pop(key_of(answered), None)

    def changes(self) -> dict[str, bytes | None]:
        """What is to be stored beside the saved states."""
        return dict(self._changes)

    def stored(self, changes: dict[str, bytes | None]) -> None:
        """These are stored."""
        self._changes = {k: v for k, v in self._changes.items() if changes.get(k, v) is not v}

    def begin(
        self, cell: WorkerCell, data: bytes, pending: Pending, hold: Callable[..., None]
    ) -> bool:
        """Whether this call is to be stepped; if it was before, it is answered as it was.

        `hold` puts an answer off until what it tells of is written.
        """
        request: str = pending.request
        at = (cell.spec.id, request)
        open_one = self._under_way.get(at)
        known = self._answered.get(at)
        if open_one is not None and open_one[1] is pending:
            return True  # it was held at a break, and comes again
        if open_one is not None and not open_one[1].done:
            if open_one[0] == data:
                follow(open_one[1], pending)
            else:
                pending.fail(reused(cell, request))
            return False
        if known is not None:
            self._under_way.pop(at, None)
            if known.digest == digest(data):
                hold(pending, tell, cell, known, pending, self._given.get(at))
            else:
                pending.fail(reused(cell, request))
            return False
        if len(self._under_way) >= KEPT_ANSWERS:
            self._make_room()
        self._under_way[at] = (data, pending)
        return True

    def _make_room(self) -> None:
        """Forget the calls that have their outcome; the oldest, if none has."""
        waiting = {at: one for at, one in self._under_way.items() if not one[1].done}
        if len(waiting) >= KEPT_ANSWERS:
            del waiting[next(iter(waiting))]
        self._under_way = waiting

    def ended(self, worker: str, request: str) -> None:
        """Its record is written: what is `learn`ed counts from now on."""
        self._under_way.pop((worker, request), None)


def answer_in(seq: int, record: Input) -> Answered:
    """What a record with a request id says that its call came to."""
    return Answered(
        record.worker, record.request, seq, digest(record.data), record.outcome, record.output
    )


def key_of(answered: Answered) -> str:
    """The key of a cell; a hash stands for the id, which may hold anything."""
    return f"{REQUEST}{answered.worker}/{digest(answered.request.encode()).hex()}"


def reused(cell: WorkerCell, request: str) -> Denied:
    """The error for an id that belongs to another input."""
    text = f"the request id {request} belongs to another input of {cell.spec.id}"
    return Denied(f"{text}; use a new id for a new call", worker=cell.spec.id)


def follow(first: Pending, second: Pending) -> None:
    """Let the outcome of `first` be that of `second`, too."""
    before, told = first.notify, first.notify is None

    def both(done: Pending) -> None:
        nonlocal told
        if before is not None:
            told = told or before(done) is None or True  # once, if this is done again
        if done.error is None:
            second.resolve(done.value)
        else:
            second.fail(done.error)

    first.notify = both


def tell(
    cell: WorkerCell, known: Answered, pending: Pending, given: Callable[[], Any] | None
) -> None:
    """Answer a call as the one with its id was answered; `given` makes the output, if it can."""
    if given is not None:
        pending.resolve(given())
    elif known.outcome == "replied" or (known.outcome == "stopped" and known.output):
        pending.resolve(output_of(cell, known.output))
    else:
        pending.fail(error_of(cell, known))


def output_of(cell: WorkerCell, data: bytes) -> Any:
    """The output that its bytes stand for, by the type of the worker's outputs."""
    outputs = cell.spec.start.outputs
    if outputs is None:
        return Replayed(data)
    wanted = cell.spec.options.codec
    codec = codec_for(cell.spec.start.codec if wanted is None else wanted, outputs, None)
    try:
        return codec.decode(data)
    except (SsmError, ValueError):
        return Replayed(data)


def error_of(cell: WorkerCell, known: Answered) -> SsmError:
    """The error of a call that was stepped and not answered."""
    name = cell.spec.id
    if known.outcome == "crashed":
        text = known.output.decode("utf-8", "replace")
        return CalleeCrashed(text, worker=name, error=Recalled(text))
    why = "was served already, and its answer was to come later: it is lost"
    return CalleeStopped(f"the call {known.request} of {name} {why}", worker=name)


class Recalled(Exception):
    """The error of a crash in a process that is gone, by what it said."""
