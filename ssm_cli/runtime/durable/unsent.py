"""What durable workers have sent to durable workers, and that is still to be served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssm_cli.runtime.durable.records import Cause, Exit, Input, Note, Record, Start
from ssm_cli.runtime.durable.snapshots import Sent


class Unsent:
    """What is under way, by its cause, as far as the records that were read tell.

    `is_given`: what is not for a worker that is down was put into the queue, or dropped.
    """

    def __init__(self, sent: Iterable[Sent]) -> None:
        self.is_given = False
        self._sent = {one.cause: one for one in sent}

    def __iter__(self) -> Iterator[Sent]:
        """Yield all, as they came."""
        return iter(self._sent.values())

    def add(self, sent: Sent) -> None:
        """Something was sent."""
        self._sent[sent.cause] = sent

    def served(self, cause: Cause) -> None:
        """What was sent by that cause has been served, or dropped."""
        self._sent.pop(cause, None)

    def read(self, seq: int, record: Record) -> None:
        """A record behind the head was read: what it has sent is under way from here on."""
        self.passed(seq, record)
        if type(record) is Input:
            for index, to, how, data in record.sent or ():
                self.add(Sent((seq, index), to, how, data))

    def passed(self, seq: int, record: Record) -> None:
        """A record says what is no longer under way."""
        if type(record) is Input:
            if record.cause is not None:
                self.served(record.cause)
            if record.outcome == "crashed":
                self._ended(record.worker, seq)
        elif type(record) is Exit:
            self._ended(record.worker, seq)
        elif type(record) is Start:
            self._began(record)
        elif type(record) is Note and record.cause is not None:
            self.served(record.cause)

    def _ended(self, worker: str, seq: int) -> None:
        """A life has ended: what that worker wanted to go on with until then is void."""
        for cause, sent in [*self._sent.items()]:
            if sent.how == "continue" and sent.to == worker and cause[0] < seq:
                del self._sent[cause]

    def _began(self, start: Start) -> None:
        """A life begins: what was sent before, and does not wait for it, has reached nobody."""
        for cause in self.to(start.worker).difference(start.waits):
            if cause[0] <= start.released:
                del self._sent[cause]

    def to(self, worker: str) -> set[Cause]:
        """Return by which causes that is for a worker, but for what it goes on with itself."""
        sent = self._sent.items()
        return {cause for cause, one in sent if one.to == worker and one.how != "continue"}
