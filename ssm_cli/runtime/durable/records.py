"""Records: what a journal says happened, and entries, the bytes that one commit writes.

An entry is a chain value of 16 bytes and a batch of records behind it. The chain value is a hash
of the entry's batch and of the chain value before it, so an entry that is lost, changed or moved
is noticed at the next one that is read.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec

from ssm_cli.errors import StorageDamaged, StorageError, message_of, writable

FORMAT = 5  # 4: states of a `Statem` hashed as others; 3: without dropped inputs
"""2: without runs; 1: states without the types in them."""
CHAIN_BYTES = 16
START_OF_CHAIN = b"\0" * CHAIN_BYTES

NOT_TAKEN = b"?"  # a hash of a record of an older ssm

How = Literal["call", "cast", "info", "continue", "timer", "timeout", "run"]
Outcome = Literal["replied", "silent", "crashed", "stopped", "dropped"]
Source = Literal["init", "saved", "last_good", "fallback"]
Cause = tuple[int, int]
Sending = tuple[int, str, How, bytes]
"""The number of the effect that sends; to which worker, how, and the input as recorded there."""
MOST_INSTANT_S = 3e10  # of a clock, either way: two of them together are a date of the calendar
Instant = Annotated[float, msgspec.Meta(ge=-MOST_INSTANT_S, le=MOST_INSTANT_S)]
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading MessagePack that nobody has written so may raise."""


class Code(msgspec.Struct, frozen=True, array_like=True):
    """What wrote a state.

    Attributes:
        machine: the name of the code, `module:step` or `module:Class`; "" where it is not known.
        version: its version.
        form: the digest of the types of its states.
        digest: the digest of the module that it is in.
        place: where in the tree its worker is, see `unclaimed`; "" where it is not known.
    """

    machine: str = ""
    version: str = ""
    form: str = ""
    digest: str = ""
    place: str = ""


class Input(msgspec.Struct, frozen=True, array_like=True, tag="in", gc=False):
    """An input that a worker was stepped with.

    Attributes:
        worker: its id.
        at_s: the node's wall time.
        how: how it came.
        data: the input in the worker's codec; written exactly where that would not bring it back.
        outcome: what it came to; `silent` where nobody waits, or the reply comes later; `dropped`
            where it was not stepped, and does not come again.
        output_hash: of the encoded output; empty where there is none.
        state_hash: of the state after it; empty where it was not taken, see `Keeper`.
        version: of the worker's code.
        request: the id that makes a retry safe; "" without one.
        output: the encoded output, kept where there is a request id; of a crash its message.
        key: of the timer or the run that brought it, or what says why it crashed.
        cause: the record and the effect of it that sent this input, or started its timer; None
            from outside.
        kept: after a crash, whether the state goes on (`on_crash`).
        effects_hash: of what it asked for besides; empty where that is nothing.
        number: in the history of the node; 0 where that keeps none.
        sent: what it has sent to journalled workers; None where it asked for nothing, or an older
            ssm has written it: what it sends is then what its step asks for.
    """

    worker: str
    at_s: Instant
    how: How
    data: bytes
    outcome: Outcome
    output_hash: bytes = b""
    state_hash: bytes = b""
    version: str = ""
    request: str = ""
    output: bytes = b""
    key: str = ""
    cause: Cause | None = None
    kept: bool = True
    effects_hash: bytes = NOT_TAKEN
    number: int = 0
    sent: tuple[Sending, ...] | None = None


class Start(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """A worker was started.

    Attributes:
        worker: its id.
        at_s: the node's wall time.
        n: which start of it this is.
        source: where its state came from.
        state: what it began with, where that is not what it had.
        version: of its code.
        timers, timeout: those that its `init` has started.
        goes_on: what its `init` wants to go on with (`then=Continue(...)`).
        code: its code.
        released, waits: what the records up to `released` had sent to it waits by these causes, or
            has been served, or was dropped: it does not come any more. 0: nothing is known of it.
        number: of the record before it in the history of the node; 0 where that keeps none.
    """

    worker: str
    at_s: Instant
    n: int
    source: Source
    state: bytes | None = None
    version: str = ""
    timers: tuple[Armed, ...] = ()
    timeout: KeptTimeout = None
    goes_on: bytes | None = None
    code: Code = Code()
    released: int = 0
    waits: tuple[Cause, ...] = ()
    number: int = 0


class Change(msgspec.Struct, frozen=True, array_like=True, tag="set"):
    """Somebody has put another state in its place (`sys:replace_state`, `change_code`).

    Attributes:
        worker: its id.
        at_s: the node's wall time.
        state: what it goes on with.
        code: whose state that is.
        number: in the history of the node; 0 where that keeps none.
        how: what a history calls it; "" where that is not known, and in older journals.
        by: who asked, or the reason that was given; likewise.
    """

    worker: str
    at_s: Instant
    state: bytes
    code: Code = Code()
    number: int = 0
    how: str = ""
    by: str = ""


class Repair(msgspec.Struct, frozen=True, array_like=True, tag="repair"):
    """Somebody has consented to what a worker goes on with, in place of what was before.

    Attributes:
        worker: its id.
        at_s: when, by the wall clock.
        how: `as-new`, `from-saved`, `state`, `rename` or `forget`.
        state: what it goes on with; None where it begins by `init`.
        code: whose state that is.
        number: of what was set aside.
        timers, timeout: those under way.
        wrote: the record up to which the state was written; None where that is this one.
        at_record: its number in the history of the node, behind all others; 0 in older journals.
    """

    worker: str
    at_s: Instant
    how: str
    state: bytes | None
    code: Code
    number: int
    timers: tuple[Armed, ...] = ()
    timeout: KeptTimeout = None
    wrote: int | None = None
    at_record: int = 0


class Exit(msgspec.Struct, frozen=True, array_like=True, tag="exit"):
    """A worker has ended; `kept` says whether its next life begins with its state.

    Its `number` is that of the record before it in the history of the node.
    """

    worker: str
    at_s: Instant
    reason: str
    kept: bool
    number: int = 0


class Note(msgspec.Struct, frozen=True, array_like=True, tag="note"):
    """A supervisor has decided: `restarting`, `gave_up`, `delayed`, `auto_shutdown`.

    Or somebody has renamed something, which has a `number` in the history of the node. Or what
    `cause` has sent to `child` was `dropped`, and does not come again.
    """

    supervisor: str
    at_s: Instant
    event: str
    child: str
    children: tuple[str, ...] = ()
    number: int = 0
    cause: Cause | None = None


class TimeoutSet(msgspec.Struct, frozen=True, array_like=True):
    """A `TimeoutAfter` at an instant, or with a message; `data` is empty where it has none."""

    ms: float
    data: bytes
    absolute: bool


KeptTimeout = float | TimeoutSet | None


class Armed(msgspec.Struct, frozen=True, array_like=True):
    """A timer under way: its key, when it is due by the wall clock, and what it brings.

    Or a run, which has a `function`, by its lasting name: `data` are its arguments, `after_ms` is
    its whole time-out, `limit` its own. The `after_ms` of a timer that was set to an instant is
    `ABSOLUTE_MS`. `cause` is the record and the effect of it that started it;
    None for one of `init`.
    """

    key: str
    due_s: float
    after_ms: float
    data: bytes
    cause: Cause | None = None
    function: str = ""
    limit: int = 0

    def slot(self) -> Slot:
        """Return what it replaces one of: timers and runs have keys of their own."""
        return bool(self.function), self.key


ABSOLUTE_MS = float("inf")


def due_at(at_s: float, ms: float, *, absolute: bool) -> tuple[float, float]:
    """Return when a timer that was started at `at_s` is due, and its `after_ms`.

    >>> due_at(10.0, 500, absolute=False), due_at(10.0, 500, absolute=True)
    ((10.5, 500), (0.5, inf))
    """
    return (ms / 1000, ABSOLUTE_MS) if absolute else (at_s + ms / 1000, ms)


Slot = tuple[bool, str]
Record = Input | Start | Change | Exit | Note | Repair


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """The records of one entry; `first` is the number of the first, from 1, without gaps."""

    format: int
    first: int
    records: tuple[Record, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_header = msgspec.msgpack.Decoder(tuple[int, Any, Any]).decode


def number_of(seq: int, record: Record) -> int:
    """Return the number of a record as users meet it; 0 for one before all others.

    It is that in the history of the node, or `seq`, that in the journal, where the node keeps none.

    >>> number_of(9, Change("kv", 0.0, b"", number=7)), number_of(9, Change("kv", 0.0, b""))
    (7, 9)
    """
    number = number_in(record)
    return number if number or type(record) is Start else seq


def number_in(record: Record) -> int:
    """Return the number in the history of the node that a record has; 0 where it has none."""
    return record.at_record if type(record) is Repair else record.number


def is_rename(record: Record) -> bool:
    """Return whether a record says that all of a worker has another name."""
    return type(record) is Repair and record.how == "rename"


def check_record(record: Record) -> None:
    """Look whether a record can be written, and be read again.

    Raises:
        StorageError: it cannot.

    >>> check_record(Exit("kv", 0.0, "normal", True))
    """
    try:
        _decode_record(_encode(record))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        about = record.supervisor if isinstance(record, Note) else record.worker
        raise StorageError(
            f"a record of {writable(about)} cannot be written: {message_of(error)}"
        ) from error


def encode_entry(chain: bytes, first: int, records: list[Record]) -> bytes:
    """The entry with these records behind one with that chain value."""
    body = _encode((FORMAT, first, records))
    return blake2b(chain + body, digest_size=CHAIN_BYTES).digest() + body


def chain_of(entry: bytes) -> bytes:
    """The chain value of an entry."""
    return entry[:CHAIN_BYTES]


def decode_entry(number: int, chain: bytes, entry: bytes) -> Batch:
    """The records of an entry that follows one with that chain value.

    Raises:
        StorageDamaged: it does not follow that one, or is not what was written.
        StorageError: a newer ssm has written it.

    >>> entry = encode_entry(START_OF_CHAIN, 1, [Exit("kv", 0.0, "normal", True)])
    >>> decode_entry(1, START_OF_CHAIN, entry).records[0].reason
    'normal'
    """
    body = entry[CHAIN_BYTES:]
    if blake2b(chain + body, digest_size=CHAIN_BYTES).digest() != entry[:CHAIN_BYTES]:
        raise StorageDamaged(
            f"entry {number} of the journal is not what was written behind the one before it"
        )
    try:
        batch = _decode(body)
    except UNREADABLE as error:
        found = _format_of(body)
        if found is not None and found > FORMAT:
            raise newer("journal", found) from error
        said = message_of(error)
        raise StorageDamaged(f"entry {number} of the journal cannot be read: {said}") from error
    if batch.format > FORMAT:
        raise newer("journal", batch.format)
    return batch


def _format_of(body: bytes) -> int | None:
    try:
        return _header(body)[0]
    except UNREADABLE:
        return None


def newer(what: str, found: int) -> StorageError:
    """The error for what a newer version has written; nothing of it is touched."""
    return StorageError(
        f"the {what} has format {found}, and this ssm reads up to {FORMAT}: a newer ssm has "
        f"written it; run that one, nothing was changed"
    )
