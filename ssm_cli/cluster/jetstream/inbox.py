"""Requests over one connection: one inbox for all answers, and refusals told to who asked.

The client library's own requests take one message as the answer, and a server that denies a subject
tells nobody in particular: whoever asked would wait until the time is over.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from typing import Any

import msgspec

from ssm_cli.cluster.jetstream.parcels import (
    HEADERS_BYTES,
    MAX_BODY_BYTES,
    PART,
    Joining,
    parcels_of,
)
from ssm_cli.cluster.ports import CallLost

STATUS, NOBODY_THERE = "Status", "503"
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
MOST_NOTED = 256  # subjects, of those that were used last
HOW = "see docs/how-to/secure-a-cluster.md"


class Message(msgspec.Struct, frozen=True):
    """What came."""

    data: bytes
    headers: Mapping[str, str] = {}


Taken = Callable[[Message | CallLost], None]


class Denials:
    """What the server has denied to this connection, by what it says on the side.

    Attributes:
        heard: the subjects that we may not listen to.
        unasked: called with a sentence where nobody waits for what was denied.
    """

    def __init__(self, unasked: Callable[[str], None]) -> None:
        self.heard: set[str] = set()
        self.unasked = unasked
        self._waiting: dict[str, tuple[str, Taken]] = {}
        self._spelled: dict[str, str] = {}

    def note(self, subject: str) -> None:
        """Note how a subject is spelled: the client tells what was denied in lower case."""
        known, key = self._spelled, subject.lower()
        known.pop(key, None)
        known[key] = subject
        if len(known) > MOST_NOTED:
            del known[next(iter(known))]

    def expect(self, waiting: dict[str, tuple[str, Taken]]) -> None:
        """Tell those who wait here, by token: the subject, and where an answer goes."""
        self._waiting = waiting

    def take(self, said: str, server: str) -> None:
        """Take an error of the server; one that is no denial says nothing."""
        found = _DENIED.search(said)
        if found is None:
            return
        to, subject = found[1], self._spelled.get(found[2], found[2])
        if to == "subscription":
            self.heard.add(subject)
            return
        lost = CallLost("denied", f"{server} does not let us publish to {subject}; {HOW}")
        whose = [take for asked, take in self._waiting.values() if asked.lower() == found[2]]
        for take in whose:
            take(lost)
        if not whose:
            self.unasked(lost.detail)


class Inbox:
    """Requests, and the one subject to which their answers come.

    Args:
        client: of the client library, connected.
        errors: its module of errors.
        denials: of this connection.
    """

    def __init__(self, client: Any, errors: Any, denials: Denials) -> None:
        self._client = client
        self._errors = errors
        self._subject = f"{client.new_inbox()}."
        self._tokens = map(str, count(1))
        self._waiting: dict[str, tuple[str, Taken]] = {}
        self._joining = Joining()
        self._server = ""
        self._denials = denials
        denials.expect(self._waiting)

    @property
    def server(self) -> str:
        """The server that we talk to, or that we talked to last."""
        url = self._client.connected_url
        self._server = self._server if url is None else str(url.netloc).rpartition("@")[2]
        return self._server

    async def listen(self) -> None:
        """Listen for answers; called once."""
        self._server = self.server  # known from now on, also while there is no connection
        self._denials.note(f"{self._subject}*")
        await self._client.subscribe(f"{self._subject}*", cb=self._came)
        self._server = self.server  # to be named once it is away

    async def _came(self, message: Any) -> None:
        token = message.subject.rpartition(".")[2]
        known = self._waiting.get(token)
        if known is None:
            return
        subject, take = known
        headers = message.headers or {}
        if headers.get(STATUS) == NOBODY_THERE and not message.data:
            take(CallLost("noproc", f"nobody serves {subject} at {self.server}, now at least"))
            return
        data = self._joining.add(headers[PART], message.data) if PART in headers else message.data
        if data is not None:
            take(Message(data, headers))

    async def ask(
        self, subject: str, data: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Message | CallLost:
        """Ask, and wait for the one answer."""
        future: asyncio.Future[Message | CallLost] = asyncio.get_running_loop().create_future()

        def take(answer: Message | CallLost) -> None:
            if not future.done():
                future.set_result(answer)

        token = next(self._tokens)
        self._waiting[token] = subject, take
        try:
            await self.publish(subject, data, self._subject + token, headers)
            return await asyncio.wait_for(future, timeout_s)
        except (TimeoutError, self._errors.TimeoutError):
            return self._late(timeout_s)
        except (self._errors.Error, OSError) as error:
            return self.lost(error)
        finally:
            del self._waiting[token]

    async def gather(
        self, subject: str, data: bytes, timeout_s: float
    ) -> AsyncIterator[Message | CallLost]:
        """Ask, and take answers until one of them is a status, or none comes in time."""
        come: asyncio.Queue[Message | CallLost] = asyncio.Queue()
        token = next(self._tokens)
        self._waiting[token] = subject, come.put_nowait
        try:
            await self.publish(subject, data, self._subject + token)
            while True:
                answer = await asyncio.wait_for(come.get(), timeout_s)
                yield answer
                if isinstance(answer, CallLost) or STATUS in answer.headers:
                    return
        except (TimeoutError, self._errors.TimeoutError):
            yield self._late(timeout_s)
        except (self._errors.Error, OSError) as error:
            yield self.lost(error)
        finally:
            del self._waiting[token]

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send a body in as many messages as it takes; the last one has the place for answers."""
        self._denials.note(subject)
        most_bytes = self._client.max_payload - HEADERS_BYTES
        if len(data) <= most_bytes:
            await self._client.publish(subject, data, reply=reply, headers=headers)
            return
        left = len(data)
        for marked, part in parcels_of(self._client.new_inbox(), data, most_bytes):
            left -= len(part)
            await self._client.publish(subject, part, reply="" if left else reply, headers=marked)

    def _late(self, timeout_s: float) -> CallLost:
        return CallLost("timeout", f"no answer within {timeout_s:g} s, by way of {self.server}")

    def lost(self, error: Exception) -> CallLost:
        """Return what an error of the client library comes to."""
        return CallLost("noconnection", f"{self.server}: {error or type(error).__name__}")


def too_large(body: bytes) -> CallLost | None:
    """Return the refusal of a body that is larger than what may cross a cluster; else None.

    >>> too_large(b"x") is None
    True
    """
    if len(body) <= MAX_BODY_BYTES:
        return None
    why = f"it has {len(body):,} bytes, and at most {MAX_BODY_BYTES:,} cross the cluster"
    return CallLost("undecodable", f"{why}; split it, or hand over where it is kept")
