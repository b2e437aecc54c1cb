"""The options of `ssm run` about its doors: its socket, and HTTP on TCP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ssm_cli.cli.data.place import Kept
    from ssm_cli.cli.environment import Environment
    from ssm_cli.http.served import ServedNode

NoSocket = Annotated[bool, typer.Option("--no-socket", help="do not be found by other shells")]
Http = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="also serve HTTP on TCP, with a token")
]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="serve TLS with this certificate (PEM)")
]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="the certificate's key (PEM)")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="a name by which TCP clients may call it; repeatable"),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="let --http leave this machine without TLS")
]


@dataclass(frozen=True)
class Doors:
    """What the options of `ssm run` say about doors."""

    no_socket: bool = False
    http: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    insecure: bool = False
    cluster: str | None = None

    def arguments(self) -> list[str]:
        """The options that say the same."""
        pairs = {"--http": self.http, "--tls-cert": self.tls_cert, "--tls-key": self.tls_key}
        pairs |= {"--cluster": self.cluster}
        given = [word for o, v in pairs.items() if v is not None for word in (o, str(v))]
        hosts = [word for host in self.allow_hosts for word in ("--allow-host", host)]
        return [*given, *hosts, *(["--insecure"] if self.insecure else [])]

    def served_node(
        self, tree: str, name: str | None, env: Environment, *, eager: bool, kept: Kept
    ) -> ServedNode:
        """The node of a tree file with these doors, not started; `eager`: answer at once.

        Raises:
            TreeFileError: the file does not validate.
            CommandError: a door cannot be opened.
            StorageError: what is to be kept cannot be.
        """
        from ssm_cli.cli.opening import served_node  # noqa: PLC0415 - not needed for help

        return served_node(tree, name, env, self, eager=eager, kept=kept)
