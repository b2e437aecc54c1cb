"""Reports as Server-Sent Events: one ordered stream that each reader resumes anywhere.

No reader has a buffer of its own: each reads the node's ring of reports at its own pace. A reader
that falls behind the ring gets a `dropped` record and is disconnected; so no reader can slow down
the node or make it use more memory.

The id of an event names the run of the tree as well as the report: `INSTANCE-SEQ`. A browser that
resumes after the tree was started anew begins at the first report of the new run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

import msgspec

from ssm_cli.commands.records import report_record
from ssm_cli.http.exchange import Parts, Stream
from ssm_cli.http.slices import SLICE
from ssm_cli.http.statuses import RETRY_AFTER, HttpError
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import Report

MAX_READERS = 64
BATCH = SLICE  # reports written at a time, at most ...
BATCH_BYTES = 65_536  # ... and so many bytes, or one report
BATCHES = 4  # so many of them, and the node goes on; it reports at most about as much meanwhile
PAUSE_S = 0.01  # once a reader has them all: news come together
PING_S = 15.0  # a comment this often keeps proxies awake, and finds readers that are gone
STREAM_HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))  # for nginx
ID_PATTERN = "^([0-9a-f]{1,32}-)?[0-9]{1,15}$"

_ID = re.compile(ID_PATTERN.encode())
_encode = msgspec.json.Encoder().encode


class Events:
    """Streams the reports of a node to readers."""

    def __init__(self, node: Node, instance: str) -> None:
        self._node = node
        self._instance = instance.encode()
        self._readers: set[asyncio.Event] = set()
        self._unsubscribe: Callable[[], None] | None = None

    def resume_after(self, given: bytes) -> int:
        """Return the number of the report that a `Last-Event-ID` names; 0 for another run's.

        Raises:
            HttpError: it is none of our ids, and no number.
        """
        if _ID.fullmatch(given) is None:
            raise HttpError(400, "`Last-Event-ID` is the id of an event, or the number of a report")
        instance, _, number = given.rpartition(b"-")
        return int(number) if instance in (b"", self._instance) else 0

    def stream(self, after: int) -> Stream:
        """Return every report after number `after`, until the tree ends.

        A number beyond the last report belongs to another run: the reader starts from 0.

        Raises:
            HttpError: `MAX_READERS` follow already.
        """
        if len(self._readers) >= MAX_READERS:
            text = f"{MAX_READERS} readers follow the reports already; try again later"
            raise HttpError(503, text, (RETRY_AFTER,))
        headers = (*STREAM_HEADERS, (b"ssm-instance", self._instance))
        parts = self._follow(after if after <= self._node.last_seq else 0)
        return Stream(parts, b"text/event-stream", headers, follows=True)

    async def _follow(self, seq: int) -> Parts:
        if len(self._readers) >= MAX_READERS:
            return  # others have come since
        news, batches = asyncio.Event(), 0
        self._readers.add(news)
        if self._unsubscribe is None:
            self._unsubscribe = self._node.subscribe(self._on_report)
        try:
            yield b": follow\n\n"
            while True:
                news.clear()
                reports = self._node.next_reports(seq, BATCH)
                if reports and reports[0].seq > seq + 1:
                    yield self._dropped(seq, reports[0].seq)
                    return
                if reports:
                    data, seq = self._batch(reports)
                    yield data
                if seq < self._node.last_seq:
                    batches += 1
                    if batches % BATCHES == 0:
                        await asyncio.sleep(0)
                    continue
                if not self._node.running:
                    return
                yield await self._ping_unless(news)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._readers.discard(news)
            if not self._readers:
                self._unsubscribe()
                self._unsubscribe = None

    def _batch(self, reports: Sequence[Report]) -> tuple[bytes, int]:
        """Return the next events, and the number of the last report in them."""
        parts: list[bytes] = []
        size = 0
        for report in reports:
            parts.append(self._event(report))
            size += len(parts[-1])
            if size >= BATCH_BYTES:
                break
        return b"".join(parts), reports[len(parts) - 1].seq

    @staticmethod
    async def _ping_unless(news: asyncio.Event) -> bytes:
        """Wait for news; return a comment if there was none for `PING_S`."""
        try:
            async with asyncio.timeout(PING_S):
                await news.wait()
        except TimeoutError:
            return b": ping\n\n"
        return b""

    def _on_report(self, _report: Report) -> None:
        """Wake the readers; called from inside the node."""
        for news in self._readers:
            news.set()

    def _event(self, report: Report) -> bytes:
        data = _encode(report_record(report))
        return b"id: %s-%d\ndata: %s\n\n" % (self._instance, report.seq, data)

    def _dropped(self, seq: int, next_seq: int) -> bytes:
        """Return the event for a reader that was too slow; it resumes at the number in `next`."""
        record = {
            "v": 1,
            "type": "dropped",
            "after": seq,
            "next": next_seq,
            "missed": next_seq - seq - 1,
            "message": "the reader fell behind the reports that are kept; resume at `next`",
        }
        data = _encode(record)
        return b"id: %s-%d\nevent: dropped\ndata: %s\n\n" % (self._instance, next_seq - 1, data)
