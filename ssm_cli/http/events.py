"""Reports as Server-Sent Events: one ordered stream that each reader resumes anywhere.

No reader has a buffer of its own: each reads the node's ring of reports at its own pace. A reader
that falls behind the ring gets a `dropped` record and is disconnected; so no reader can slow down
the node or make it use more memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ssm_cli.commands.records import report_record
from ssm_cli.http.statuses import RETRY_AFTER, HttpError
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import Report

MAX_READERS = 64
BATCH = 200  # reports written at a time
PAUSE_S = 0.01  # between two batches, so that a storm of reports leaves time for the node
PING_S = 15.0  # a comment this often keeps proxies awake, and finds readers that are gone

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
_encode = msgspec.json.Encoder().encode


class Events:
    """Streams the reports of a node to readers."""

    def __init__(self, node: Node, instance: str) -> None:
        self._node = node
        self._instance = instance.encode()
        self._readers: set[asyncio.Event] = set()
        self._unsubscribe: Callable[[], None] | None = None

    async def serve(self, after: int, receive: Receive, send: Send) -> None:
        """Send every report after number `after`, until the tree ends or the reader disconnects.

        A number beyond the last report belongs to another tree: the reader starts from 0.
        """
        if len(self._readers) >= MAX_READERS:
            text = f"{MAX_READERS} readers follow the reports already; try again later"
            raise HttpError(503, text, (RETRY_AFTER,))
        if after > self._node.last_seq:
            after = 0
        news = asyncio.Event()
        self._join(news)
        gone = asyncio.ensure_future(_left(receive))
        gone.add_done_callback(lambda _: news.set())
        try:
            await send(self._head())
            await self._follow(after, news, gone, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self._leave(news)

    def _head(self) -> dict[str, Any]:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"ssm-instance", self._instance),
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    async def _follow(
        self, seq: int, news: asyncio.Event, gone: asyncio.Future[None], send: Send
    ) -> None:
        await send(_chunk(b": follow\n\n"))
        while not gone.done():
            news.clear()
            reports = self._node.reports(after=seq)
            if reports and reports[0].seq > seq + 1:
                await send(_chunk(_dropped(seq, reports[0].seq)))
                return
            for begin in range(0, len(reports), BATCH):
                batch = reports[begin : begin + BATCH]
                await send(_chunk(b"".join(map(_event, batch))))
                seq = batch[-1].seq
                if self._node.last_seq - seq > len(reports):
                    break  # it fell behind while it was written to: look at the ring again
            if seq < self._node.last_seq:
                await asyncio.sleep(PAUSE_S)
                continue
            if not self._node.running:
                return
            await asyncio.wait({gone}, timeout=PAUSE_S)
            await _news_or_ping(news, send)

    def _join(self, news: asyncio.Event) -> None:
        self._readers.add(news)
        if self._unsubscribe is None:
            self._unsubscribe = self._node.subscribe(self._on_report)

    def _leave(self, news: asyncio.Event) -> None:
        self._readers.discard(news)
        if not self._readers and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _on_report(self, _report: Report) -> None:
        """Wake the readers; called from inside the node."""
        for news in self._readers:
            news.set()


async def _news_or_ping(news: asyncio.Event, send: Send) -> None:
    try:
        await asyncio.wait_for(news.wait(), PING_S)
    except TimeoutError:
        await send(_chunk(b": ping\n\n"))


async def _left(receive: Receive) -> None:
    """Wait until the reader disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _chunk(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def _event(report: Report) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (report.seq, _encode(report_record(report)))


def _dropped(seq: int, next_seq: int) -> bytes:
    """Return the event for a reader that was too slow; it resumes at the number in `next`."""
    record = {
        "v": 1,
        "type": "dropped",
        "after": seq,
        "next": next_seq,
        "missed": next_seq - seq - 1,
        "message": "the reader fell behind the reports that are kept; resume at `next`",
    }
    return b"id: %d\nevent: dropped\ndata: %s\n\n" % (next_seq - 1, _encode(record))
