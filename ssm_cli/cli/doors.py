"""The options of `ssm run` about its listeners: the Unix socket, and HTTP on TCP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

NoSocket = Annotated[bool, typer.Option("--no-socket", help="do not be found by other shells")]
Http = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="also serve HTTP on TCP, with a token")
]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="serve TLS with this certificate (PEM)")
]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="the certificate's key (PEM)")]
TlsPassword = Annotated[
    Path | None,
    typer.Option("--tls-password-file", metavar="FILE", help="has the password of the key"),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="a name by which TCP clients may call it; repeatable"),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="let --http leave this machine without TLS")
]


@dataclass(frozen=True)
class Doors:
    """The options of `ssm run` about listeners."""

    no_socket: bool = False
    http: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_password: Path | None = None
    allow_hosts: list[str] | None = None
    insecure: bool = False
    cluster: str | None = None
    takeover: bool = False
