"""Opening the listeners of a tree, and running it in the background."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssm_cli.cli.cluster.access import links_for
from ssm_cli.cli.data.place import store_for
from ssm_cli.cli.environment import state_folder
from ssm_cli.cli.where import say
from ssm_cli.errors import CommandError, SsmError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http import access, places
from ssm_cli.http.served import Entrance, ServedNode
from ssm_cli.runtime.node import Node
from ssm_cli.spec.load import load_tree

if TYPE_CHECKING:
    from ssm_cli.cli.data.place import Kept
    from ssm_cli.cli.doors import Doors
    from ssm_cli.cli.environment import Environment

MAX_SAID = 65_536  # bytes of the output of a tree that did not start


def open_doors(doors: Doors, env: Environment, name: str) -> tuple[Entrance, ...]:
    """Open the sockets that the options ask for; clients are not served yet.

    Raises:
        CommandError: a tree of that name runs, or an address cannot be bound.
    """
    tcp = _tcp(doors, env) if doors.http is not None else ()
    if doors.no_socket:
        return tcp
    sock, path, said = places.listen(name, env.environ)
    for line in said:
        say(env, line)
    return (Entrance(sock, path=path), *tcp)


def _tcp(doors: Doors, env: Environment) -> tuple[Entrance, ...]:
    assert doors.http is not None
    host, port = host_and_port(doors.http)
    context = _tls(doors)
    if context is None and not is_loopback(host) and not doors.insecure:
        raise CommandError(
            f"{host} can be reached from other machines, and the token would be readable on "
            f"the way; give --tls-cert and --tls-key, or --insecure if something else encrypts"
        )
    tokens = access.server_tokens(env.environ)
    hosts = (*access.LOOPBACK, host, f"[{host}]", *doors.allow_hosts)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=places.BACKLOG)
    except OSError as error:
        raise CommandError(f"cannot listen at {doors.http}: {error.strerror}") from error
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if context is None else "https"
    where = access.tokens_path(env.environ)
    token = "$SSM_TOKEN" if env.environ.get("SSM_TOKEN") else f"a token of {where}"
    say(env, f"serving {scheme}://{shown}:{sock.getsockname()[1]}, to those with {token}")
    return (Entrance(sock, gate=access.Gate(tokens, hosts), tls=context),)


def _tls(doors: Doors) -> ssl.SSLContext | None:
    if doors.tls_cert is None and doors.tls_key is None:
        return None
    if doors.tls_cert is None or doors.tls_key is None:
        raise CommandError("TLS needs both --tls-cert and --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(doors.tls_cert, doors.tls_key)
    except (OSError, ssl.SSLError) as error:
        files = f"{doors.tls_cert} and {doors.tls_key}"
        raise CommandError(f"cannot use {files} for TLS: {error.strerror or error}") from error
    return context


def served_node(
    tree: str, name: str | None, env: Environment, doors: Doors, *, eager: bool, kept: Kept
) -> ServedNode:
    """Return the node of a tree file with its listeners, not started.

    Raises:
        TreeFileError: the file does not validate.
        CommandError: a listener cannot be opened.
        StorageError: the store cannot be opened.
    """
    spec = load_tree(tree)
    called = name or Path(tree).stem
    entrances = open_doors(doors, env, called)
    try:
        links = links_for(spec, env, doors.cluster, called)
        store = store_for(spec, env.environ, called, Path(tree), kept.data)
    except SsmError:
        for entrance in entrances:
            entrance.close()
        raise
    ready = env.environ.get("SSM_READY_FD", "")

    def opened() -> None:
        if ready.isdigit():
            os.write(int(ready), b"\n")
            os.close(int(ready))

    node = Node(spec, name=called, store=store, verify_pure=kept.verify_pure, links=links)
    file = str(Path(tree).absolute())
    return ServedNode(node, entrances=entrances, file=file, eager=eager, opened=opened)


def host_and_port(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT`; an IPv6 host stands in brackets.

    >>> host_and_port("127.0.0.1:8080"), host_and_port("[::1]:80")
    (('127.0.0.1', 8080), ('::1', 80))
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise CommandError(f"--http takes HOST:PORT, as 127.0.0.1:8080, not `{text}`")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def detach(env: Environment, name: str, arguments: Sequence[str]) -> int:
    """Run `ssm run` with these arguments in the background; return once it accepts clients.

    If it ends before that, print its output and return its exit code.
    """
    log = state_folder(env.environ) / f"{name}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    reading, writing = os.pipe()
    with log.open("wb") as file:
        child = subprocess.Popen(  # noqa: S603 - it is this program itself
            [sys.executable, "-m", "ssm_cli", "run", *arguments],
            env={**env.environ, "SSM_READY_FD": str(writing)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    started = os.read(reading, 1)
    os.close(reading)
    if started:
        env.stdout.write(f"{name} runs as process {child.pid}\n")
        child.returncode = 0  # it is not waited for: it goes on without us
        return ExitCode.DONE
    code = child.wait()
    with log.open("rb") as file:
        env.stderr.write(file.read(MAX_SAID).decode("utf-8", "replace"))
    return code if code > 0 else 128 - code
