"""TLS of a listener: one context, whose certificate can be renewed while it serves."""

from __future__ import annotations

import ssl
from pathlib import Path

from ssm_cli.private import load_pair, password_in


class ServerTls:
    """The certificate and the key of a listener, and the context that has them.

    Args:
        cert: a PEM file.
        key: a PEM file.
        password_file: has the password of the key; None if the key has none.

    Attributes:
        context: of the listener; `reload` changes what later connections get.

    Raises:
        CommandError: the files cannot be used; the message says why.
    """

    def __init__(self, cert: Path, key: Path, password_file: Path | None = None) -> None:
        self.cert = cert
        self._key = key
        self._password_file = password_file
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(self.context)

    def reload(self) -> None:
        """Read the files again; connections that are open go on as they are.

        Raises:
            CommandError: the files cannot be used; the former certificate stays in use.
        """
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a pair that does not fit spoils one
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> None:
        file = self._password_file
        load_pair(context, self.cert, self._key, None if file is None else password_in(file))
