"""Opening: a node of an asyncio program is let be reached by other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from ssm_cli.runtime.api import NodeApi, Opened


class Opening:
    """The part of a node that lets other processes reach it."""

    def __init__(self, node: NodeApi) -> None:
        self._node = node
        self._opened: Opened | None = None

    def open(  # noqa: D417 - some arguments are described together
        self,
        *,
        http: str | None = None,
        socket: bool = True,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        tls_password: Path | None = None,
        allow_hosts: Sequence[str] = (),
        insecure: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> Opened:
        """Let other processes reach this node, in asyncio: `async with node.open(): ...`.

        The block has what `ssm run` has: `ssm ls`, `attach` and all verbs find the node by its
        name, and HTTP and metrics are served. Entering it starts the tree, and leaving it stops the
        tree, unless the tree ran before. Signals, output and the loop stay those of your program.

        Args:
            http: HOST:PORT to serve HTTP on, to those with a token; port 0 takes any.
            socket: whether other shells of this user find it.
            tls_cert, tls_key, tls_password: files, as `ssm run` takes them.
            allow_hosts: further names by which HTTP clients may call it.
            insecure: let HTTP leave this machine without TLS.
            environ: in the place of the environment variables of this process.
        """
        above = import_module("ssm_cli")  # by its name: the runtime knows nothing that is above it
        made: Opened = above.OpenNode(
            self._node, self._opened, environ,
            no_socket=not socket, http=http, tls_cert=tls_cert, tls_key=tls_key,
            tls_password=tls_password, allow_hosts=[*allow_hosts], insecure=insecure,
        )  # fmt: skip
        self._opened = made
        return made
