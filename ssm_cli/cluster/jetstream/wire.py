"""The wire to NATS: requests, subscriptions and errors as values. The one file that imports nats.

Nothing of the client's higher layers is used: its key-value watchers need consumers, whose making
times out when servers change; its JetStream contexts raise where we want a value.
"""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from ssm_cli.cluster.jetstream.inbox import HOW, Denials, Inbox, Message
from ssm_cli.cluster.jetstream.parcels import PART, Joining
from ssm_cli.cluster.ports import CallLost, ClusterDenied, ClusterError, OnMessage
from ssm_cli.cluster.protocol.roles import NOBODY
from ssm_cli.errors import CommandError, message_of
from ssm_cli.private import load_pair, read_file

MOST_CREDENTIALS_BYTES = 1 << 16
KEYS = "the package nkeys: pip install nkeys"
INSTALL = "pip install 'supervised-state-machines[cluster]'"
OURS = re.compile(r"_ALERT_(\w*CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)")
"""How OpenSSL names what a server says of the certificate of ours that it has got or missed."""
SCHEMES = ("nats", "tls")
PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:/?#@]+)(?::([0-9]{1,5}))?/?")
MOST_PORT = 65_535
PING_S = 2  # between two pings of a connection; two without an answer, and it is given up
RECONNECT_S = 0.25
CONNECT_S = 3.0  # to one server
TRYING_S = 6.0  # to one after the other, before the first connection
CLOSE_S = 5.0  # a server that says nothing of the end of an encrypted connection is left then
IN_THE_CLEAR = "the server offers no TLS, so it was sent nothing"
NOT_TAKEN = "the server closes the connection as soon as it is encrypted"
CLOSED = (os.strerror(errno.EPIPE), os.strerror(errno.ECONNRESET), "Connection lost", NOT_TAKEN)
MAX_BUFFERED_BYTES = 2 * 1024 * 1024  # that wait for a connection; more is refused


class Access(msgspec.Struct, frozen=True):
    """How a cluster is reached.

    Attributes:
        url: one or more of `nats://host:port`, by commas; `tls://`, as `ca` and `cert`, asks for
            TLS of all of them: a server that has none is told nothing.
        creds: a file with a user's credentials (JWT and key); "" without.
        ca: a file with the certificates to trust; "" takes the system's.
        cert, key: the client's own certificate and its key; "" without.
        key_password: of the key; "" if it has none.
        user, password: those of the server's configuration; a password alone is a token.
        inbox: the subject below which answers come; "" for that of the client library.
    """

    url: str
    creds: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    key_password: str = ""
    user: str = ""
    password: str = ""
    inbox: str = ""


def access_at(url: str) -> Access:
    """Return the access to the servers of a URL; a user and a password are taken out of it.

    What is shown, or handed to other processes, is the URL without them.

    >>> access_at("nats://ann:secret@h1:4222,nats://h2:4222").url
    'nats://h1:4222,nats://h2:4222'

    Raises:
        CommandError: it is a URL of something else, or names no server; no secret is repeated.
    """
    user = password = ""
    wanted = "nats://HOST:PORT, or tls://HOST:PORT"
    bare = []
    for one in url.split(","):
        scheme, found, rest = one.strip().rpartition("://")
        if found and scheme not in SCHEMES:
            what = f"`{scheme}://`" if scheme.isalnum() else "this"  # it may hold a secret
            raise CommandError(f"{what} is no URL of a cluster; expected {wanted}")
        given, at, place = rest.rpartition("@")
        if at:
            user, colon, password = given.partition(":")
            user, password = (unquote(user), unquote(password)) if colon else ("", unquote(user))
        named = PLACE.fullmatch(place)
        if named is None or not 0 < int(named[1] or 1) <= MOST_PORT:
            raise CommandError(
                f"`{place[:80]}` is no server of a cluster; expected {wanted}, several by commas"
            )
        bare.append(f"{scheme}{found}{place}")
    return Access(",".join(bare), user=user, password=password)


async def arrived(client: Any, errors: Any) -> None:
    """Wait until the server has all that was sent so far.

    The client's own `flush` does not tell: its PING overtakes what waits to be written. A request
    that nobody answers goes behind it, and comes back at once.
    """
    with suppress(errors.NoRespondersError, errors.TimeoutError, TimeoutError):
        await client.request(NOBODY, b"", timeout=CONNECT_S)


async def closed(client: Any, errors: Any) -> None:
    """Close a client's connection, in 5 s at most: its end of one that is gone is no news."""
    # Python 3.13 calls a method there that it took away
    with suppress(TimeoutError, errors.Error, OSError, TypeError):
        await asyncio.wait_for(client.close(), CLOSE_S)


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

    def __init__(self, client: Any, errors: Any, denials: Denials) -> None:
        self._client = client
        self._errors = errors
        self._denials = denials
        self._inbox = Inbox(client, errors, denials)

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return bool(self._client.is_connected)

    async def listen(self) -> None:
        """Listen for answers, once connected.

        Raises:
            ClusterDenied: the server does not let us.
        """
        await self._inbox.listen()
        await arrived(self._client, self._errors)
        if self._denials.heard:
            what = ", ".join(sorted(self._denials.heard))
            await closed(self._client, self._errors)
            raise ClusterDenied(f"{self._inbox.server} does not let us listen to {what}; {HOW}")

    @property
    def server(self) -> str:
        """The server that we talk to, or that we talked to last."""
        return self._inbox.server

    @property
    def most_bytes(self) -> int:
        """The largest message that the server takes, in bytes."""
        return int(self._client.max_payload)

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
            return self._cut_off()
        return await self._inbox.ask(subject, data, timeout_s, headers)

    def _cut_off(self) -> CallLost:
        return CallLost("noconnection", f"there is no connection to the cluster at {self.urls}")

    async def publish(self, subject: str, data: bytes) -> None:
        """Send, and go on; without a connection it is dropped."""
        if self.connected:
            try:
                await self._inbox.publish(subject, data)
            except (self._errors.Error, OSError):
                return  # it may be lost, as the port says

    async def subscribe(self, subject: str, on_message: OnMessage) -> Subscription:
        """Have each message handed over; a plain subscription, so that nobody takes it from us.

        Raises:
            ClusterDenied: the server does not let us listen there.
        """
        joining = Joining()

        async def came(message: Any) -> None:
            part = (message.headers or {}).get(PART)
            data = message.data if part is None else joining.add(part, message.data)
            if data is not None:
                answer = self._answer(message.reply) if message.reply else None
                on_message(message.subject, data, answer)

        self._denials.note(subject)
        inner = await self._client.subscribe(subject, cb=came)
        await arrived(self._client, self._errors)
        if subject in self._denials.heard:
            where = self._inbox.server
            raise ClusterDenied(f"{where} does not let us listen to {subject}; {HOW}")
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
            yield self._cut_off()
            return
        async for answer in self._inbox.gather(subject, data, timeout_s):
            yield answer

    async def close(self) -> None:
        """Let go of it; what was sent leaves first."""
        with suppress(TimeoutError, self._errors.Error, OSError):
            await asyncio.wait_for(arrived(self._client, self._errors), 1.0)
        await closed(self._client, self._errors)


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
    from nats import errors  # noqa: PLC0415 - only who uses a cluster needs it
    from nats.aio.client import Client  # noqa: PLC0415 - as above
    from nats.aio.transport import TcpTransport  # noqa: PLC0415 - as above

    client: Any = Client()  # its annotations take whole seconds alone
    options = _options(access)
    if "tls" in options:
        client._transport = Encrypted(TcpTransport())  # type: ignore[no-untyped-call]  # noqa: SLF001 - it takes none otherwise
    denials = Denials(_complain)
    until_s = asyncio.get_running_loop().time() + TRYING_S
    heard = Heard(denials, client, until_s)
    try:
        await asyncio.wait_for(
            client.connect(
                access.url.split(","), name=name, max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_S, connect_timeout=CONNECT_S, ping_interval=PING_S,
                max_outstanding_pings=2, error_cb=heard.error,
                pending_size=MAX_BUFFERED_BYTES, **options,
            ),
            TRYING_S,
        )  # fmt: skip
    except ClusterError as error:
        await closed(client, errors)
        raise ClusterError(f"the cluster at {access.url} {error}") from error
    except (TimeoutError, errors.Error, OSError, ValueError) as error:
        await closed(client, errors)
        why = heard.last or message_of(error) or type(error).__name__
        encrypted = getattr(client._transport, "encrypted", False)  # noqa: SLF001 - as above
        raise ClusterError(unreached(access.url, why, encrypted=encrypted)) from error
    heard.connecting = False
    wire = Wire(client, errors, denials)
    await wire.listen()
    return wire


def unreached(url: str, why: str, *, encrypted: bool = False) -> str:
    """Return what is said of a cluster that nobody got into: what to do about `why`.

    A server that misses a certificate may close a connection that is `encrypted` by then: its alert
    is lost where we have written something meanwhile.

    >>> unreached("tls://h:4222", "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    ... # doctest: +NORMALIZE_WHITESPACE
    'the certificate of the cluster at tls://h:4222 is not trusted: [SSL: CERTIFICATE_VERIFY_FAILED]
    self-signed certificate; SSM_CLUSTER_CA names the file of who signed it'
    """
    if "CERTIFICATE_VERIFY_FAILED" in why:
        what = f"the certificate of the cluster at {url} is not trusted"
        return f"{what}: {why}; SSM_CLUSTER_CA names the file of who signed it"
    if OURS.search(why) or (encrypted and any(word in why for word in CLOSED)):
        what = f"the cluster at {url} wants a certificate of ours that it trusts"
        return f"{what}: {why}; SSM_CLUSTER_CERT and SSM_CLUSTER_KEY name its files"
    if IN_THE_CLEAR in why:
        return f"no cluster at {url}: {why}; set up TLS there, see docs/how-to/secure-a-cluster.md"
    return f"no cluster at {url}: {why}; start one with `ssm node`, or give --cluster URL"


class Encrypted:
    """A transport of the client library that writes nothing in the clear.

    The library upgrades its connection where the server wants it, and else sends the password as it
    is: who stands between would only have to say that the server does not want it.

    It upgrades without telling the protocol of its streams, which then answers the end of the
    stream as one in the clear does: asyncio warns of it. Where the upgrade fails, the protocol in
    the clear is never told of the end: nobody waits for that.

    Attributes:
        encrypted: whether this connection is, or was when it ended.
    """

    def __init__(self, inner: Any) -> None:
        self.encrypted = False
        self._upgrading = False
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __bool__(self) -> bool:
        return True  # before it is connected, too: else the client makes one of its own

    async def connect(self, *args: Any, **given: Any) -> None:
        """Connect in the clear, where the server says who it is; an attempt before it is over."""
        self.encrypted = False
        self._inner.close()
        await self._inner.connect(*args, **given)
        self._upgrading = False

    async def connect_tls(self, *args: Any, **given: Any) -> None:
        """Go on encrypted."""
        self._upgrading = True
        await self._inner.connect_tls(*args, **given)
        self._upgrading = False
        self.encrypted = True
        transport = self._inner._io_writer.transport  # noqa: SLF001 - it shows it nowhere
        protocol = transport.get_protocol()
        if protocol is None:
            raise ConnectionResetError(NOT_TAKEN)
        protocol.connection_made(transport)

    def write(self, payload: bytes) -> None:
        """Write, once encrypted."""
        self._inner.write(self._secret(payload))

    def writelines(self, payload: list[bytes]) -> None:
        """Write, once encrypted."""
        self._inner.writelines(self._secret(payload))

    def _secret(self, payload: Any) -> Any:
        if not self.encrypted:
            self._inner.close()
            raise ConnectionRefusedError(IN_THE_CLEAR)
        return payload

    async def wait_closed(self) -> None:
        """Wait for the end of the connection, unless nobody would tell of it."""
        if not self._upgrading:
            await self._inner.wait_closed()


def _complain(what: str) -> None:
    """Say that something was denied, where nobody waits for what was sent."""
    sys.stderr.write(f"ssm: {what}\n")


def _options(access: Access) -> dict[str, Any]:
    """Return how somebody proves who they are, as the client library takes it.

    Raises:
        ClusterError: a file is missing or cannot be read, or what reads it is not installed.
    """
    options: dict[str, Any] = {}
    if access.creds:
        options["user_credentials"] = readable_credentials(access.creds)
    if access.password:
        named = {"user": access.user, "password": access.password}
        options |= named if access.user else {"token": access.password}
    if access.inbox:
        options["inbox_prefix"] = access.inbox
    if context := secure(access):
        options["tls"] = context
    return options


def readable_credentials(path: str) -> str:
    """Return the path of a file with credentials that can be read, and that the library can use.

    Raises:
        ClusterError: it cannot.
    """
    if importlib.util.find_spec("nkeys") is None:
        raise ClusterError(f"credentials, which SSM_CLUSTER_CREDS names, need {KEYS}")
    try:
        read_file(Path(path), MOST_CREDENTIALS_BYTES)
    except OSError as error:
        what = f"the credentials of {path}, which SSM_CLUSTER_CREDS names"
        raise ClusterError(f"cannot read {what}: {error.strerror}") from error
    return path


class Heard:
    """What goes wrong while a connection is made; later errors show in what is asked of it.

    Attributes:
        connecting: whether a refusal, or the end of the time, ends the attempt.
        last: the last error, for people.
    """

    def __init__(self, denials: Denials, client: Any, until_s: float) -> None:
        self.connecting = True
        self.last = ""
        self._until_s = until_s
        self._denials = denials
        self._client = client

    async def error(self, error: Exception) -> None:
        """Note an error, and say whether to go on trying: a refusal does not pass.

        Raises:
            ClusterError: the server refuses us.
            TimeoutError: the time for connecting is over. On Python 3.11 a cancelled attempt may
                go on with the next: an inner `wait_for` that is done loses the cancellation.
        """
        if self.connecting and asyncio.get_running_loop().time() > self._until_s:
            raise TimeoutError
        self.last = str(error) or type(error).__name__
        url = self._client.connected_url
        self._denials.take(self.last, "the server" if url is None else f"{url.hostname}:{url.port}")
        if self.connecting and "authorization" in self.last.lower():
            raise ClusterError(
                "refuses us: it wants a user and a password, a certificate or credentials, and "
                "these are none or wrong; see docs/how-to/secure-a-cluster.md"
            )


def secure(access: Access) -> ssl.SSLContext | None:
    """How TLS is spoken; None where it is not asked for.

    Raises:
        ClusterError: a file is missing or cannot be read.
    """
    if not (access.ca or access.cert or "tls://" in access.url):
        return None
    try:
        context = ssl.create_default_context(cafile=str(Path(access.ca)) if access.ca else None)
    except OSError as error:
        what = f"the certificates of {access.ca}, which SSM_CLUSTER_CA names"
        raise ClusterError(f"cannot read {what}: {error}") from error
    if access.cert:
        key = Path(access.key) if access.key else None
        try:
            load_pair(context, Path(access.cert), key, access.key_password or None)
        except CommandError as error:
            raise ClusterError(f"SSM_CLUSTER_CERT and SSM_CLUSTER_KEY: {error}") from error
    return context
