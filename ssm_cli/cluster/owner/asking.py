"""Asking a journal: answers as events of the writer, and reading to the end."""

from __future__ import annotations

from ssm_cli.cluster.ports import Conflict, Journal, Time, Unknown
from ssm_cli.cluster.protocol import writer
from ssm_cli.cluster.protocol.records import Record, read_record, written
from ssm_cli.errors import StorageError

AGAIN_S = 0.1  # before a stale read, or one without an answer, is tried again
SHORT_READS = 300  # without a record more; then the journal cannot be read to its end
WAY_OUT = (
    "restore the stream from a backup, or go on without what is lost: "
    "`ssm nodes --accept-loss TREE/SUBTREE` (docs/reference/failures.md)"
)


async def ask_append(journal: Journal, record: Record, time: Time) -> writer.Event:
    """Append a record; return what came of it."""
    asked_s = time.now_s()
    done = await journal.append(written(record), record.prev)
    if isinstance(done, int):
        return writer.Acked(done)
    if isinstance(done, Conflict):
        return writer.AppendRefused()
    return writer.AppendUnclear(time.now_s() - asked_s + AGAIN_S)


async def ask_tail(journal: Journal, pause_s: float, time: Time) -> writer.Event:
    """Read the last record after a pause; return what was found.

    Raises:
        StorageDamaged: it is none.
    """
    asked_s = time.now_s()
    await time.sleep_s(pause_s)
    tail = await journal.tail()
    if isinstance(tail, Unknown):
        return writer.TailUnclear(time.now_s() - asked_s)
    sequence, data = tail
    return writer.TailIs(sequence, None if data is None else read_record(data))


async def read_to(journal: Journal, upto: int, time: Time) -> list[tuple[int, bytes]]:
    """Return all records up to one that an acknowledged append has made the last.

    A read may be answered by a server that lacks the newest: what it has is taken, and the rest
    is asked for again.

    Raises:
        StorageError: it cannot be read to its end; the message says how far it was.
    """
    found: list[tuple[int, bytes]] = []
    short, last, why = 0, 0, "it ended early"
    while short < SHORT_READS:
        try:
            found += [place async for place in journal.read(last, upto)]
        except StorageError as error:
            why = str(error)
        before, last = last, found[-1][0] if found else 0
        if last == upto:
            return found
        short = 0 if last > before else short + 1
        await time.sleep_s(AGAIN_S)
    raise StorageError(
        f"the journal was read up to sequence {last}, and ends at {upto}: {why}; "
        f"asked {SHORT_READS} times in a row"
    )
