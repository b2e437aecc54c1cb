"""Access control for TCP listeners: tokens with roles, and checks of Host and Origin.

Every program of this machine, and every page in a browser on it, can reach a port on loopback;
so loopback needs a token too. A page cannot read the token, but a browser can be made to send
requests with a foreign `Host` (DNS rebinding) or from a foreign `Origin`; both are refused.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_config_path

from ssm_cli.commands.routes import Role
from ssm_cli.errors import CommandError
from ssm_cli.http.statuses import HttpError
from ssm_cli.private import read_secret, unwritten, write_private

MAX_TOKENS = 100
MIN_TOKEN, MAX_TOKEN = 16, 512  # characters
A_TOKEN = f"{MIN_TOKEN} to {MAX_TOKEN} printable ASCII characters without blanks"
ROLES = "read, call, apply or admin"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


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
        name = host_of(host)
        if name not in self._hosts and not is_own(name):
            shown = host.decode("latin-1")
            raise HttpError(
                403,
                f"this server is not called `{shown}`; use the address it is at, or name that host "
                f"where the tree is run: `--allow-host {name.decode('latin-1') or 'HOST'}`",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host:
            shown = origin.decode("latin-1")
            raise HttpError(403, f"requests from pages of another origin ({shown}) are refused")
        role = self._role_of(headers.get(b"authorization", b""))
        if role is Role.NOBODY:
            raise HttpError(
                401,
                "no valid token; `ssm login` keeps one for `ssm`, and other programs send "
                "`Authorization: Bearer TOKEN` with one of the token file",
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

    >>> host_of(b"LocalHost:80"), host_of(b"[::1]:80"), host_of(b"[::1]"), host_of(b"kv:80:90")
    (b'localhost', b'[::1]', b'[::1]', b'kv:80')
    """
    name = header if header.endswith(b"]") else header.rpartition(b":")[0] or header
    return name.lower()


def is_own(name: bytes) -> bool:
    """Return whether a name is the literal of an address of this computer.

    Such a name cannot be rebound, as one of DNS can. Only an own address can be bound.

    >>> is_own(b"127.0.0.1"), is_own(b"[::1"), is_own(b"192.0.2.1"), is_own(b"localhost")
    (True, False, False, False)
    """
    try:
        text = name.decode("ascii")
        literal = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        address = ipaddress.ip_address(literal)
        of_many = address.is_unspecified or address.is_multicast or address.is_reserved
        if (address.version == 6) is (literal is text) or of_many:
            return False
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((literal, 0))
    except (ValueError, OSError):
        return False
    return True


def tokens_path(environ: Mapping[str, str]) -> Path:
    """Return the token file of this user: `$SSM_TOKEN_FILE`, or in the settings folder."""
    given = environ.get("SSM_TOKEN_FILE")
    return Path(given) if given else user_config_path("ssm") / "tokens"


def server_tokens(environ: Mapping[str, str]) -> dict[str, Role]:
    """Return the tokens that a server accepts: `$SSM_TOKEN` as admin, else those of the file.

    The file is created at its first use, mode 0600, with one token for each role.

    Raises:
        CommandError: the variable or the file is no token; or somebody else may read the file.
    """
    given = given_token(environ)
    if given is not None:
        return {given: Role.ADMIN}
    path = tokens_path(environ)
    if not path.exists():
        make_tokens(path)
    return read_tokens(path)


def given_token(environ: Mapping[str, str]) -> str | None:
    """Return `$SSM_TOKEN`; None if it is not set. Raises `CommandError` if it is no token."""
    given = environ.get("SSM_TOKEN")
    wrong = None if given is None else fault_of(given)
    if wrong is not None:
        raise CommandError(f"$SSM_TOKEN {wrong}; expected {A_TOKEN}; or unset it")
    return given


def client_token(environ: Mapping[str, str]) -> str | None:
    """Return the token for a tree of this user: `$SSM_TOKEN`, else the strongest of the file."""
    given = given_token(environ)
    if given is not None:
        return given
    path = tokens_path(environ)
    tokens = read_tokens(path) if path.exists() else {}
    return max(tokens, key=lambda token: tokens[token], default=None)


def fault_of(token: str) -> str | None:
    r"""Return what is wrong with a token, in words that do not repeat it; None if nothing is.

    >>> fault_of("t" * 20), fault_of("t" * 20 + "\n"), fault_of("")
    (None, 'ends with a newline', 'is empty')
    """
    if not token:
        return "is empty"
    if token.endswith(("\n", "\r")):
        return "ends with a newline"
    if any(c.isspace() for c in token):
        return "has blanks or newlines in it"
    if not (token.isascii() and token.isprintable()):
        return "has characters that do not print, or are not ASCII"
    if len(token) < MIN_TOKEN:
        return f"has {len(token)} characters"
    return f"has {len(token)} characters" if len(token) > MAX_TOKEN else None


def make_tokens(path: Path) -> None:
    """Write a new token file, readable only by its owner, unless another process just has.

    Raises:
        StorageError: it cannot be written.
    """
    roles = [role for role in Role if role is not Role.NOBODY]
    text = "".join(f"{role.name.lower()} {secrets.token_urlsafe(32)}\n" for role in roles)
    text = f"# one `ROLE TOKEN` a line; who has a token may do what its role may\n{text}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, text, anew=True)
    except OSError as error:
        raise unwritten(path, error) from error


def read_tokens(path: Path) -> dict[str, Role]:
    """Parse a token file, one `ROLE TOKEN` a line.

    Raises:
        CommandError: it is malformed, with the line, but not its content; or not private.
    """
    tokens: dict[str, Role] = {}
    for number, words in lines_of_secrets(path):
        role = Role.__members__.get(words[0].upper(), Role.NOBODY)
        if len(words) != 2 or role is Role.NOBODY:
            raise CommandError(f"{path}:{number}: expected `ROLE TOKEN`, with the role {ROLES}")
        wrong = "is there twice" if words[1] in tokens else fault_of(words[1])
        if wrong is not None:
            raise CommandError(f"{path}:{number}: the token {wrong}; expected {A_TOKEN}")
        tokens[words[1]] = role
    if not 0 < len(tokens) <= MAX_TOKENS:
        raise CommandError(f"{path} has {len(tokens)} tokens; expected 1 to {MAX_TOKENS}")
    return tokens


def lines_of_secrets(path: Path) -> list[tuple[int, list[str]]]:
    """Return the words of each line that is not empty or a comment, with its number."""
    lines = enumerate(read_secret(path).split("\n"), 1)
    split = ((number, [word for word in line.strip().split(" ") if word]) for number, line in lines)
    return [(number, words) for number, words in split if words and words[0][0] != "#"]
