"""The options of `ssm run` about its listeners: the Unix socket, and HTTP on TCP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ssm_cli.cli.where import flag, option

NoSocket = Annotated[bool, flag("do not be found by other shells", "--no-socket")]
Http = Annotated[str | None, option("HOST:PORT", "also serve HTTP on TCP, with a token")]
TlsCert = Annotated[Path | None, option("FILE", "serve TLS with this certificate (PEM)")]
TlsKey = Annotated[Path | None, option("FILE", "the certificate's key (PEM)")]
TlsPassword = Annotated[
    Path | None, option("FILE", "has the password of the key", "--tls-password-file")
]
AllowHost = Annotated[
    list[str] | None, option("HOST", "a name by which TCP clients may call it; repeatable")
]
Insecure = Annotated[bool, flag("let --http leave this machine without TLS", "--insecure")]


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
