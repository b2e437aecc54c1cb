"""Finding a tree: by URL, by name, by `$SSM_NAME`, or because only one runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssm_cli.errors import CallTimeout, CommandError, NoTree, SsmError
from ssm_cli.http import places
from ssm_cli.http.client.connection import Address, address_of
from ssm_cli.http.client.node import HttpNode

ASKED_S = 2.0  # how long a tree may take to tell of itself
TO_START = "start one with `ssm run TREE`, or name a tree file to start here with `--tree FILE`"


def find(
    environ: Mapping[str, str],
    url: str | None = None,
    name: str | None = None,
    say: Callable[[str], None] | None = None,
) -> HttpNode:
    """Return a client of the selected tree.

    Args:
        environ: the environment variables; `SSM_URL` and `SSM_NAME` stand for the options.
        url: where it is.
        name: what it is called.
        say: called with a line for each stale socket that was removed.

    Raises:
        NoTree: none runs, several run, or not that one.
        CommandError: a URL and a name are given.
    """
    if url is not None and name is not None:
        raise CommandError("give --url or --name, not both")
    if url is None and name is None:
        url = environ.get("SSM_URL") or None
    if url is not None:
        from ssm_cli.http.client.logins import token_for  # noqa: PLC0415 - for TCP only

        return HttpNode(where := address_of(url), token_for(where, environ))
    if wanted := name or environ.get("SSM_NAME"):
        return _named(wanted, environ)
    running = places.names(environ)
    if len(running) != 1 or not _alive(running[0], environ):
        for line in places.sweep(environ):
            if say is not None:
                say(line)
        running = places.names(environ)
    if not running:
        raise NoTree(f"no running tree found; {_hint(environ)}")
    if len(running) > 1:
        shown = ", ".join(running[:20]) + (", ..." if len(running) > 20 else "")
        raise NoTree(f"several trees run: {shown}; choose one with --name NAME or $SSM_NAME")
    return _node(running[0], environ)


def _hint(environ: Mapping[str, str]) -> str:
    """Return what to do where no tree runs here; where a cluster is named, how to call there."""
    far = "; in the cluster of SSM_CLUSTER call with `--cluster URL`"
    return TO_START + (far if environ.get("SSM_CLUSTER") else "")


def _named(name: str, environ: Mapping[str, str]) -> HttpNode:
    if not _alive(name, environ):
        running = ", ".join([one for one in places.names(environ) if one != name][:20])
        hint = f"these have a socket: {running}" if running else _hint(environ)
        raise NoTree(f"no running tree is called {name}; {hint}")
    return _node(name, environ)


def _alive(name: str, environ: Mapping[str, str]) -> bool:
    return places.is_alive(places.socket_path(name, environ))


def _node(name: str, environ: Mapping[str, str]) -> HttpNode:
    return HttpNode(Address(path=str(places.socket_path(name, environ))), None, name)


def running_trees(environ: Mapping[str, str], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the info record of every running tree, by name; only the name of a busy one.

    Removes stale sockets, and calls `say` with a line for each.
    """
    for line in places.sweep(environ):
        say(line)
    found = []
    for name in places.names(environ):
        node = _node(name, environ)
        try:
            found.append(node.info(ASKED_S))
        except CallTimeout:
            found.append({"v": 1, "type": "info", "name": name, "state": "busy"})
        except SsmError as error:
            say(f"{name}: {error}")
        finally:
            node.connection.close()
    return found
