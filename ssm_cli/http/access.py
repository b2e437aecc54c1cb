"""Access control for TCP listeners: tokens with roles, and checks of Host and Origin.

Every program of this machine, and every page in a browser on it, can reach a port on loopback;
so loopback needs a token too. A page cannot read the token, but a browser can be made to send
requests with a foreign `Host` (DNS rebinding) or from a foreign `Origin`; both are refused.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from platformdirs import user_config_path

from ssm_cli.errors import CommandError
from ssm_cli.http.statuses import HttpError

MAX_TOKENS = 100
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


class Role(IntEnum):
    """What a caller may do; each role includes the permissions of those before it."""

    NOBODY = 0
    READ = 1
    CALL = 2
    ADMIN = 3


class Gate:
    """Authenticates and authorizes requests.

    Args:
        tokens: the role of each token.
        hosts: the names that a `Host` header may give, without the port.
    """

    def __init__(self, tokens: Mapping[str, Role], hosts: tuple[str, ...] = LOOPBACK) -> None:
        self._tokens = [(token.encode(), role) for token, role in tokens.items()]
        self._hosts = frozenset(host.lower().encode() for host in hosts)

    def check(self, headers: Mapping[bytes, bytes], needed: Role) -> None:
        """Raise `HttpError` unless the caller has at least that role."""
        if needed is Role.NOBODY:
            return
        host = headers.get(b"host", b"")
        if host_of(host) not in self._hosts:
            shown = host.decode("latin-1")
            raise HttpError(403, f"this server is not called `{shown}`; use the address it is at")
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host:
            shown = origin.decode("latin-1")
            raise HttpError(403, f"requests from pages of another origin ({shown}) are refused")
        role = self._role_of(headers.get(b"authorization", b""))
        if role is Role.NOBODY:
            raise HttpError(
                401,
                "no valid token; send `Authorization: Bearer TOKEN` with one of the token file",
                ((b"www-authenticate", b"Bearer"),),
            )
        if role < needed:
            raise HttpError(
                403, f"this needs the role {needed.name.lower()}, and the token has a lesser one"
            )

    def _role_of(self, given: bytes) -> Role:
        """Return the role of the token in an `Authorization`; compare all in constant time."""
        found = Role.NOBODY
        scheme, _, shown = given.partition(b" ")
        if scheme.lower() != b"bearer":
            return found
        shown = shown.strip(b" \t")
        for token, role in self._tokens:
            if hmac.compare_digest(token, shown):
                found = role
        return found


def host_of(header: bytes) -> bytes:
    """Return the name in a `Host` header, in lower case, without its port.

    >>> host_of(b"LocalHost:80"), host_of(b"[::1]:80"), host_of(b"evil.example")
    (b'localhost', b'[::1]', b'evil.example')
    """
    if header.startswith(b"["):
        return header[: header.find(b"]") + 1].lower()
    return header.partition(b":")[0].lower()


def tokens_path(environ: Mapping[str, str]) -> Path:
    """Return the token file of this user: `$SSM_TOKEN_FILE`, or in the settings folder."""
    given = environ.get("SSM_TOKEN_FILE")
    return Path(given) if given else user_config_path("ssm") / "tokens"


def server_tokens(environ: Mapping[str, str]) -> dict[str, Role]:
    """Return the tokens that a server accepts: `$SSM_TOKEN` as admin, else those of the file.

    The file is created at its first use, mode 0600, with one token for each role.

    Raises:
        CommandError: other users can read the file, or it is malformed.
    """
    given = environ.get("SSM_TOKEN")
    if given:
        return {given: Role.ADMIN}
    path = tokens_path(environ)
    if not path.exists():
        make_tokens(path)
    return read_tokens(path)


def client_token(environ: Mapping[str, str]) -> str | None:
    """Return the token that a client sends: `$SSM_TOKEN`, else the strongest of the file."""
    given = environ.get("SSM_TOKEN")
    if given:
        return given
    path = tokens_path(environ)
    tokens = read_tokens(path) if path.exists() else {}
    return max(tokens, key=lambda token: tokens[token], default=None)


def make_tokens(path: Path) -> None:
    """Write a new token file, readable only by its owner."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    roles = [role for role in Role if role is not Role.NOBODY]
    text = "".join(f"{role.name.lower()} {secrets.token_urlsafe(32)}\n" for role in roles)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"# one `ROLE TOKEN` a line; who has a token may do what its role may\n{text}")


def read_tokens(path: Path) -> dict[str, Role]:
    """Parse a token file, one `ROLE TOKEN` a line."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise CommandError(f"{path} can be read by others (mode {mode:o}); run chmod 600 {path}")
    tokens: dict[str, Role] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        role = Role.__members__.get(words[0].upper(), Role.NOBODY)
        if len(words) != 2 or role is Role.NOBODY or len(words[1]) < 16:
            expected = "`ROLE TOKEN`, with read, call or admin and 16 characters at least"
            raise CommandError(f"{path}:{number}: expected {expected}")
        tokens[words[1]] = role
    if not 0 < len(tokens) <= MAX_TOKENS:
        raise CommandError(f"{path} has {len(tokens)} tokens; expected 1 to {MAX_TOKENS}")
    return tokens
