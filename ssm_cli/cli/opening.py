"""Opening the listeners of a tree, and running it in the background."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ssm_cli.cli.cluster.access import links_for
from ssm_cli.cli.data.place import Kept, store_for
from ssm_cli.cli.doors import Doors
from ssm_cli.cli.environment import state_folder
from ssm_cli.cli.printer import did
from ssm_cli.cli.where import say
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, SsmError, is_number, whole_number
from ssm_cli.http import access, places
from ssm_cli.http.client.logins import on_loopback
from ssm_cli.http.served import Entrance, ServedNode
from ssm_cli.http.tls import ServerTls
from ssm_cli.private import open_private
from ssm_cli.runtime.node import Node
from ssm_cli.simulation.asking import with_futures
from ssm_cli.spec.load import load_tree

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment
    from ssm_cli.http.client.node import HttpNode
    from ssm_cli.spec.model import SupervisorSpec

MAX_SAID = 65_536  # bytes of the output of a tree that did not start
MAX_LOG = 8 << 20  # bytes of a log, from which on a tree in the background begins another
LOOK_S = 0.5  # between two looks whether code has changed; it is taken after two
READY = "SSM_READY_FD"
STDERR = 2


def open_doors(
    doors: Doors, env: Environment, name: str, tls: ServerTls | None
) -> tuple[Entrance, ...]:
    """Open the sockets that the options ask for; clients are not served yet.

    Raises:
        CommandError: a tree of that name runs, or an address cannot be bound.
    """
    tcp = _tcp(doors, env, tls) if doors.http is not None else ()
    if doors.no_socket:
        return tcp
    sock, path, said = places.listen(name, env.environ)
    for line in said:
        say(env, line)
    return (Entrance(sock, path=path), *tcp)


def _tcp(doors: Doors, env: Environment, tls: ServerTls | None) -> tuple[Entrance, ...]:
    assert doors.http is not None
    host, port = host_and_port(doors.http)
    if tls is None and not on_loopback(host) and not doors.insecure:
        raise CommandError(
            f"{host} can be reached from other machines, and the token would be readable on "
            f"the way; give --tls-cert and --tls-key, or --insecure if something else encrypts"
        )
    tokens = access.server_tokens(env.environ)
    hosts = (*access.LOOPBACK, host, f"[{host}]", *(doors.allow_hosts or ()))
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=places.BACKLOG)
    except OSError as error:
        raise CommandError(f"cannot listen at {doors.http}: {error.strerror}") from error
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if tls is None else "https"
    where = access.tokens_path(env.environ)
    token = "$SSM_TOKEN" if env.environ.get("SSM_TOKEN") else f"a token of {where}"
    url = f"{scheme}://{shown}:{sock.getsockname()[1]}"
    context = None if tls is None else tls.context
    say(env, f"serving {url}, to those with {token}")
    return (Entrance(sock, gate=access.Gate(tokens, hosts), tls=context, url=url),)


def tls_of(doors: Doors) -> ServerTls | None:
    """Return the certificate that the options name; None without.

    Raises:
        CommandError: it cannot be used.
    """
    if (doors.tls_cert, doors.tls_key, doors.tls_password) == (None, None, None):
        return None
    if doors.tls_cert is None or doors.tls_key is None:
        raise CommandError("TLS needs both --tls-cert and --tls-key")
    return ServerTls(doors.tls_cert, doors.tls_key, doors.tls_password)


def renewal(tls: ServerTls | None, env: Environment) -> Callable[[], None] | None:
    """Return a function that reads the certificate again and says what came of it; None without."""
    if tls is None:
        return None

    def renew() -> None:
        try:
            tls.reload()
        except CommandError as error:
            say(env, f"the certificate in use stays: {error}")
        else:
            say(env, f"the certificate was read again from {tls.cert}")

    return renew


def served_node(
    tree: str, name: str | None, env: Environment, doors: Doors, *, eager: bool, kept: Kept
) -> tuple[ServedNode, Callable[[], None] | None]:
    """Return the node of a tree file with its listeners, not started; and how to renew TLS.

    Raises:
        TreeFileError: the file does not validate.
        CommandError: a listener cannot be opened.
        StorageError: the store cannot be opened.
    """
    ready = ready_pipe(env)  # before code of the tree runs, which could start programs
    spec = load_tree(tree)
    called, tls = name or Path(tree).stem, tls_of(doors)
    entrances = open_doors(doors, env, called, tls)
    try:
        node = _made(spec, tree, env, name=called, doors=doors, kept=kept)
    except SsmError:
        for entrance in entrances:
            entrance.close()
        raise

    def opened() -> None:
        if ready is not None:
            with suppress(OSError), ready:  # nobody waits for it any more
                ready.write(b"\n")
        if kept.reload:
            watch_code(node)

    return served_by(node, entrances, node.file, eager=eager, opened=opened), renewal(tls, env)


def node_of(tree: str, env: Environment, history: int = 0) -> Node:
    """Return a node for a tree file, not started; it remembers the last `history` records.

    Raises `TreeFileError` with all complaints.
    """
    name, spec, kept = Path(tree).stem, load_tree(tree), Kept(history=history)
    node = _made(spec, tree, env, name=name, doors=Doors(), kept=kept)
    return with_futures(with_reach(node), instant)


def _made(
    spec: SupervisorSpec, tree: str, env: Environment, *, name: str, doors: Doors, kept: Kept
) -> Node:
    """Return the node of a tree that was loaded, with what it needs of its cluster and its data."""
    links = links_for(spec, env, doors.cluster, name, takeover=doors.takeover)
    store = store_for(spec, env.environ, name, Path(tree), kept.data)
    node = Node(
        spec, name=name, store=store, links=links,
        history=kept.history or 0, verify_pure=kept.verify_pure,
    )  # fmt: skip
    node.file = str(Path(tree).absolute())
    return node


def watch_code(node: Node) -> None:
    """Look now and then whether code has changed, on the running loop, as long as the tree runs."""
    import asyncio  # noqa: PLC0415 - for those who watch

    loop = asyncio.get_running_loop()

    def look() -> None:
        if node.running:
            loop.call_later(LOOK_S, look)
            node.perform("watch_code")

    loop.call_soon(look)


def served_by(
    node: Node,
    entrances: tuple[Entrance, ...],
    file: str,
    *,
    eager: bool = False,
    opened: Callable[[], None] | None = None,
) -> ServedNode:
    """Return a node with its listeners, which can be asked about what was, and what would be."""
    with_futures(with_reach(node), instant)
    return ServedNode(node, entrances=entrances, file=file, eager=eager, opened=opened)


def with_reach(node: Node) -> Node:
    """Return the node, whose remote children can be asked by `perform("reach", child)`."""

    def reached(child: str) -> HttpNode:
        from ssm_cli.http.client.far import reach  # noqa: PLC0415 - for remote children alone

        return reach(node, child)

    node.effects["reach"] = reached
    return node


def host_and_port(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT`; an IPv6 host stands in brackets.

    >>> host_and_port("127.0.0.1:8080"), host_and_port("[::1]:80")
    (('127.0.0.1', 8080), ('::1', 80))
    """
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_bracketed else host
    number = whole_number(port, most=65_535) if port.isascii() else None
    fits = (":" in host) == is_bracketed and not set("[]") & set(host)
    if not (host and fits) or number is None:
        raise CommandError(
            f"--http takes HOST:PORT, as 127.0.0.1:8080, not `{text}`; "
            "an IPv6 HOST stands in brackets, as [::1]:8080"
        )
    return host, number


def ready_pipe(env: Environment) -> io.FileIO | None:
    """Return the pipe of `$SSM_READY_FD`, to say on that clients are served; None if it is not set.

    The variable is taken away and the descriptor is closed in children: it is meant for us alone.

    Raises:
        CommandError: it is no descriptor of a pipe or a socket.
    """
    given = env.environ.get(READY)
    if given is None:
        return None
    if env.environ is os.environ:
        del os.environ[READY]
    number = int(given) if is_number(given) and len(given) < 10 else -1
    with suppress(OSError):  # it is not open, or only to be read
        mode = os.fstat(number).st_mode
        if (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and number > STDERR:
            os.set_inheritable(number, False)
            return io.FileIO(number, "w")
    raise CommandError(
        f"{READY} is {given[:20]!r}; expected the number of an open pipe, above {STDERR}"
    )


def open_log(path: Path) -> int:
    """Return a descriptor at the end of a log; one that has grown large is kept as `.1` beside it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size > MAX_LOG:
        path.replace(path.with_name(f"{path.name}.1"))
    return open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)


def detach(env: Environment, name: str, arguments: Sequence[str], output: str) -> int:
    """Run `ssm run` with these arguments in the background; return once it accepts clients.

    If it ends before that, print its output and return its exit code.

    Raises:
        CommandError: no tree can be called so, or one of that name runs.
    """
    place = places.socket_path(name, env.environ)
    if place.exists() and places.is_alive(place):
        raise CommandError(places.runs_already(name, place))
    path = state_folder(env.environ) / f"{name}.log"
    log = open_log(path)
    before = os.lseek(log, 0, os.SEEK_END)
    reading, writing = os.pipe()
    child = subprocess.Popen(  # noqa: S603 - it is this program itself
        [sys.executable, "-m", "ssm_cli", "run", *arguments],
        env={**env.environ, READY: str(writing)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(writing,),
        start_new_session=True,
    )
    os.close(writing)
    started = os.read(reading, 1)
    os.close(reading)
    if started:
        line = f"{name} runs as process {child.pid}"
        code = int(did(env, output, "run", [line], name=name, pid=child.pid))
        child.returncode = 0  # it is not waited for: it goes on without us
    else:
        code = child.wait()
    said = os.pread(log, MAX_SAID, before).decode("utf-8", "replace")
    os.close(log)
    if code and not said:
        said = f"ssm: {name} did not come up: exit code {code}; {path} has no word of why\n"
    env.stderr.write(said)
    return code if code >= 0 else 128 - code
