"""`ssm login`: the token of a tree of another computer, kept for that computer alone."""

from __future__ import annotations

from typing import Annotated

import typer

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.printer import did
from ssm_cli.cli.where import Output, flag
from ssm_cli.errors import CommandError

MAX_TYPED = 4096  # characters of a token, before it is checked


def login(
    env: Environment,
    host: Annotated[str, typer.Argument(metavar="HOST", help="or HOST:PORT, https://HOST:PORT")],
    *,
    remove: Annotated[bool, flag("forget the token of HOST", "--remove")] = False,
    output: Output = None,
) -> int:
    """Keep the token of a tree of another computer; it is asked for, or read from stdin."""
    from ssm_cli.http.client import logins  # noqa: PLC0415 - not needed for help

    called, path = logins.host_to_log_in(host), logins.logins_path(env.environ)
    there = logins.store_login(path, called, None if remove else _asked(env, called))
    if remove and not there:
        raise CommandError(f"no token is kept for {called}; {path} has those that are")
    line = f"the token for {called} is {'forgotten' if remove else f'kept in {path}'}"
    return did(env, output, "login", [line], host=called, removed=remove)


def _asked(env: Environment, host: str) -> str:
    """Return the token that a person types without an echo, or the first line of a pipe."""
    if env.stdin_is_tty:
        from getpass import getpass  # noqa: PLC0415 - only here

        return getpass(f"token for {host}: ", env.stderr)
    return env.stdin.readline(MAX_TYPED).removesuffix("\n").removesuffix("\r")
