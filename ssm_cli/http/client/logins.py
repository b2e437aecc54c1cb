"""Logins: tokens for trees of other computers, one `HOST TOKEN` or `HOST:PORT TOKEN` a line.

A token is sent to whom it was given for, and to nobody else: the tokens of this user's own trees to
loopback, `$SSM_TOKEN` there and to the host of `$SSM_URL`, that of a login to its host; beyond
loopback over TLS alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from ssm_cli.errors import CommandError
from ssm_cli.http import access
from ssm_cli.http.client.connection import Address, address_of
from ssm_cli.private import unwritten, write_private

MAX_LOGINS = 100
HEAD = "# one `HOST TOKEN` or `HOST:PORT TOKEN` a line; `ssm login HOST` adds one\n"


def token_for(address: Address, environ: Mapping[str, str]) -> str | None:
    """Return the token that is sent to an address: `$SSM_TOKEN`, else one of a file; None if none.

    Raises:
        CommandError: a file or the variable is not what it should be, `$SSM_TOKEN` is for another
            host, or there is a token for this one and the URL asks for plain HTTP.
    """
    if address.path:
        return None
    given = access.given_token(environ)
    here = on_loopback(address.host)
    if given is not None and here:
        return given
    url = None if given is None else environ.get("SSM_URL")
    token = given if url and address_of(url).netloc == address.netloc else None
    if token is None:
        logins = read_logins(logins_path(environ))
        token = logins.get(address.netloc) or logins.get(address.bracketed)
    if (token or given) and not (address.tls or here):
        raise CommandError(
            f"the token for {address.netloc} is not sent over plain HTTP, where it could be read "
            f"on the way; use https://, or a tunnel to a port of loopback"
        )
    if token is None and given is not None:
        raise CommandError(
            f"$SSM_TOKEN is not sent to {address.netloc}: it is for trees on loopback and for the "
            f"host of $SSM_URL; set SSM_URL={address.shown}, or run `ssm login {address.netloc}` "
            f"without SSM_TOKEN"
        )
    return access.client_token(environ) if token is None and here else token


def on_loopback(host: str) -> bool:
    """Return whether a host of a URL is this computer, by name or address.

    >>> on_loopback("127.0.0.1"), on_loopback("localhost"), on_loopback("127.0.0.1.example")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def logins_path(environ: Mapping[str, str]) -> Path:
    """Return the file of logins of this user, beside the token file."""
    return access.tokens_path(environ).with_name("logins")


def read_logins(path: Path) -> dict[str, str]:
    """Return the tokens by `HOST` or `HOST:PORT`; empty if there is no file.

    Raises:
        CommandError: the file is malformed, with the line, but not its content; or not private.
    """
    if not path.exists():
        return {}
    found: dict[str, str] = {}
    for number, words in access.lines_of_secrets(path):
        wrong = access.fault_of(words[1]) if len(words) == 2 else "is missing, or more than one"
        if wrong is not None:
            expected = f"`HOST TOKEN` with {access.A_TOKEN}"
            raise CommandError(f"{path}:{number}: the token {wrong}; expected {expected}")
        found[words[0].lower()] = words[1]
    return found


def host_to_log_in(text: str) -> str:
    """Return `HOST` or `HOST:PORT` in lower case, of that or of a URL.

    >>> host_to_log_in("KV.example:8443"), host_to_log_in("https://kv.example/ssm")
    ('kv.example:8443', 'kv.example')

    Raises:
        CommandError: it is neither, or a URL of plain HTTP.
    """
    scheme, _, rest = text.rpartition("://")
    address = address_of(f"{scheme or 'https'}://{rest}")
    if not (address.tls or on_loopback(address.host)):
        raise CommandError(
            "a token is sent over TLS alone; expected HOST, HOST:PORT or https://HOST"
        )
    port = rest.partition("/")[0].rpartition("]")[2].rpartition(":")[2]
    return address.netloc if port == str(address.port) else address.bracketed


def store_login(path: Path, host: str, token: str | None) -> bool:
    """Keep the token for a host, in place of an older one; None removes it.

    Returns:
        Whether there was one.

    Raises:
        CommandError: it is no token, or too many are kept.
        StorageError: the file cannot be written; what was there stays.
    """
    wrong = None if token is None else access.fault_of(token)
    if wrong is not None:
        raise CommandError(f"the token {wrong}; expected {access.A_TOKEN}")
    logins = read_logins(path)
    before = logins.pop(host, None)
    if token is not None:
        logins[host] = token
    if len(logins) > MAX_LOGINS:
        raise CommandError(f"{path} has {MAX_LOGINS} logins already; remove one of them")
    text = HEAD + "".join(f"{name} {kept}\n" for name, kept in logins.items())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, text)
    except OSError as error:
        raise unwritten(path, error) from error
    return before is not None
