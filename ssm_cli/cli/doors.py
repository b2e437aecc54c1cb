"""The options of `ssm run` about its listeners: the Unix socket, and HTTP on TCP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ssm_cli.cli.cluster.access import Cluster, Takeover
from ssm_cli.cli.where import flag, option

Insecure = Annotated[bool, flag("let --http leave this machine without TLS", "--insecure")]


@dataclass(frozen=True)
class Doors:
    """The options of `ssm run` about listeners, and about the cluster of its remote children."""

    no_socket: Annotated[bool, flag("do not be found by other shells", "--no-socket")] = False
    http: Annotated[str | None, option("HOST:PORT", "also serve HTTP on TCP, with a token")] = None
    tls_cert: Annotated[Path | None, option("FILE", "serve TLS with this certificate (PEM)")] = None
    tls_key: Annotated[Path | None, option("FILE", "the certificate's key (PEM)")] = None
    tls_password: Annotated[
        Path | None, option("FILE", "has the password of the key", "--tls-password-file")
    ] = None
    allow_hosts: Annotated[
        list[str] | None,
        option("HOST", "a name by which TCP clients may call it; repeatable", "--allow-host"),
    ] = None
    insecure: Insecure = False
    cluster: Cluster = None
    takeover: Takeover = False
