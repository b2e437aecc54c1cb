"""The wire to NATS: requests, subscriptions and errors as values. The one file that imports nats.

Nothing of the client's higher layers is used: its key-value watchers need consumers, whose making
times out when servers change; its JetStream contexts raise where we want a value.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.cluster.ports import CallLost, ClusterError, OnMessage
from ssm_cli.errors import message_of

INSTALL = "pip install 'ssm-cli[cluster]'"
PING_S = 2  # between two pings of a connection; two without an answer, and it is given up
RECONNECT_S = 0.25
CONNECT_S = 3.0
NOBODY = "ssm.nobody"
MAX_BUFFERED_BYTES = 2 * 1024 * 1024  # that wait for a connection; more is refused


class Access(msgspec.Struct, frozen=True):
    """How a cluster is reached.

    Attributes:
        url: one or more of `nats://host:port`, by commas; `tls://` asks for TLS.
        creds: a file with a user's credentials (JWT and key); "" without.
        ca: a file with the certificates to trust; "" takes the system's.
        cert, key: the client's own certificate and its key; "" without.
    """

    url: str
    creds: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""


class Message(msgspec.Struct, frozen=True):
    """What came."""

    data: bytes
    headers: Mapping[str, str] = {}


async def arrived(client: Any, errors: Any) -> None:
    """Wait until the server has all that was sent so far.

    The client's own `flush` does not tell: its PING overtakes what waits to be written. A request
    that nobody answers goes behind it, and comes back at once.
    """
    with suppress(errors.NoRespondersError, errors.TimeoutError, TimeoutError):
        await client.request(NOBODY, b"", timeout=CONNECT_S)


class Subscription:
    """A subject that is listened to."""

    def __init__(self, inner: Any, client: Any, errors: Any) -> None:
        self._inner = inner
        self._client = client
        self._errors = errors

    async def close(self) -> None:
        """Listen no more; where the connection is gone, its subscriptions are gone with it."""
        with suppress(TimeoutError, self._errors.Error, OSError):
            await self._inner.unsubscribe()
            await arrived(self._client, self._errors)


class Wire:
    """A connection to NATS that comes back by itself."""

    def __init__(self, client: Any, errors: Any) -> None:
        self._client = client
        self._errors = errors

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return bool(self._client.is_connected)

    @property
    def servers(self) -> int:
        """How many servers the one that we talk to knows of, itself included."""
        return max(1, len(self._client.servers))

    @property
    def urls(self) -> str:
        """All servers that we know of: those we were given, and those that they have named."""
        return ",".join(server.geturl() for server in self._client.servers)

    @property
    def version(self) -> str:
        """That of the server."""
        return str(self._client.connected_server_version).rpartition(" v")[2].strip("<>")

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Message | CallLost:
        """Ask, and wait for the one answer."""
        if not self.connected:
            return CallLost("noconnection", "there is no connection to the cluster")
        try:
            reply = await self._client.request(subject, data, timeout=timeout_s, headers=headers)
        except self._errors.NoRespondersError:
            return CallLost("noproc", "nobody serves it, now at least")
        except (TimeoutError, self._errors.TimeoutError):
            return CallLost("timeout", f"no answer within {timeout_s:g} s")
        except (self._errors.Error, OSError) as error:
            return CallLost("noconnection", str(error) or type(error).__name__)
        return Message(reply.data, reply.headers or {})

    async def publish(self, subject: str, data: bytes) -> None:
        """Send, and go on; without a connection it is dropped."""
        if self.connected:
            try:
                await self._client.publish(subject, data)
            except (self._errors.Error, OSError):
                return  # it may be lost, as the port says

    async def subscribe(self, subject: str, on_message: OnMessage) -> Subscription:
        """Have each message handed over; a plain subscription, so that nobody takes it from us."""

        async def came(message: Any) -> None:
            answer = self._answer(message.reply) if message.reply else None
            on_message(message.subject, message.data, answer)

        inner = await self._client.subscribe(subject, cb=came)
        await arrived(self._client, self._errors)
        return Subscription(inner, self._client, self._errors)

    def _answer(self, reply: str) -> Callable[[bytes], None]:
        tasks: set[asyncio.Task[None]] = set()

        def answer(data: bytes) -> None:
            task = asyncio.ensure_future(self.publish(reply, data))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return answer

    async def gather(
        self, subject: str, data: bytes, timeout_s: float
    ) -> AsyncIterator[Message | CallLost]:
        """Ask, and take answers until one of them is a status, or none comes in time."""
        if not self.connected:
            yield CallLost("noconnection", "there is no connection to the cluster")
            return
        inbox = self._client.new_inbox()
        inner = await self._client.subscribe(inbox)
        try:
            await self._client.publish(subject, data, reply=inbox)
            while True:
                came = await inner.next_msg(timeout=timeout_s)
                headers = came.headers or {}
                yield Message(came.data, headers)
                if "Status" in headers:
                    return
        except (TimeoutError, self._errors.TimeoutError):
            yield CallLost("timeout", f"no answer within {timeout_s:g} s")
        except (self._errors.Error, OSError) as error:
            yield CallLost("noconnection", str(error) or type(error).__name__)
        finally:
            with suppress(self._errors.Error, OSError):
                await inner.unsubscribe()

    async def close(self) -> None:
        """Let go of it; what was sent leaves first."""
        with suppress(TimeoutError, self._errors.Error, OSError):
            await asyncio.wait_for(arrived(self._client, self._errors), 1.0)
        await self._client.close()


def need_client() -> None:
    """Make sure that the client library is there.

    Raises:
        ClusterError: it is not; the message says how to install it.
    """
    if importlib.util.find_spec("nats") is None:
        raise ClusterError(f"remote children need the extra `cluster`: {INSTALL}")


async def connect(access: Access, name: str) -> Wire:
    """A connection; it comes back by itself when it is lost.

    Raises:
        ClusterError: there is no client library, or no server that takes us.
    """
    need_client()
    import nats  # noqa: PLC0415 - only who uses a cluster needs it
    from nats import errors  # noqa: PLC0415 - as above

    options: dict[str, Any] = {}
    if access.creds:
        options["user_credentials"] = access.creds
    if context := secure(access):
        options["tls"] = context
    try:
        client = await asyncio.wait_for(
            nats.connect(
                access.url.split(","), name=name, max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_S, connect_timeout=CONNECT_S, ping_interval=PING_S,
                max_outstanding_pings=2, error_cb=_quiet,
                pending_size=MAX_BUFFERED_BYTES, **options,
            ),
            CONNECT_S * 2,
        )  # fmt: skip
    except (TimeoutError, errors.Error, OSError) as error:
        why = message_of(error) or type(error).__name__
        raise ClusterError(
            f"no cluster at {access.url}: {why}; start one with `ssm node`, or give --cluster URL"
        ) from error
    return Wire(client, errors)


async def _quiet(_: Exception) -> None:
    """Errors of the connection show in what is asked of it."""


def secure(access: Access) -> ssl.SSLContext | None:
    """How TLS is spoken; None where it is not asked for.

    Raises:
        ClusterError: a file is missing or cannot be read.
    """
    if not (access.ca or access.cert or "tls://" in access.url):
        return None
    try:
        context = ssl.create_default_context(cafile=str(Path(access.ca)) if access.ca else None)
        if access.cert:
            context.load_cert_chain(access.cert, access.key or None)
    except OSError as error:
        raise ClusterError(f"cannot read the certificates: {error}") from error
    return context
