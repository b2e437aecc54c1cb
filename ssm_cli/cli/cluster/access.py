"""Selection of a cluster: by options, variables, or the embedded server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.environment import Environment, state_folder
from ssm_cli.cli.where import flag, option
from ssm_cli.errors import NoTree
from ssm_cli.private import password_in

if TYPE_CHECKING:
    from ssm_cli.cluster.jetstream.wire import Access
    from ssm_cli.cluster.link.client import ClusterLinks
    from ssm_cli.spec.model import SupervisorSpec


def no_worker(url: str | None) -> str | None:
    """Return the value of `--cluster` for a call; refuse the worker's name in the URL's place."""
    if url and ":" not in url and "." in url:
        raise typer.BadParameter(f"`{url}` is no URL; write --cluster nats://HOST:PORT {url}")
    return url


URL_HELP = "the cluster, nats://HOST:PORT"
Cluster = Annotated[str | None, option("URL", URL_HELP, "--cluster")]
CallCluster = Annotated[str | None, option("URL", URL_HELP, "--cluster", callback=no_worker)]
Takeover = Annotated[
    bool, flag("take remote children over from the tree that has them", "--takeover")
]
WHOLE = "--cluster"
Whole = Annotated[str | None, option("[URL]", "all nodes and subtrees of the cluster", WHOLE)]
FILES = ("creds", "ca", "cert", "key")  # of an access, each in a variable: SSM_CLUSTER_CREDS, ...
NO_CLUSTER = (
    "no cluster: start a node with `ssm node`, or say which with --cluster URL or SSM_CLUSTER"
)


def with_url(arguments: Sequence[str]) -> list[str]:
    """Return the arguments; a `--cluster` without a URL, for a whole cluster, has an empty one.

    >>> with_url(["tree", "--cluster", "--watch"]), with_url(["call", "--cluster", "-x"])
    (['tree', '--cluster=', '--watch'], ['call', '--cluster', '-x'])
    """
    found = list(arguments)
    if found[:1] in (["tree"], ["log"]) and WHOLE in found:
        place = found.index(WHOLE)
        if found[place + 1 : place + 2] == [] or found[place + 1].startswith("-"):
            found[place] = f"{WHOLE}="
    return found


def given_access(env: Environment, url: str | None, role: str) -> Access | None:
    """Return the access to the cluster named by option or variable; None if none is.

    Where that is this user's embedded server, by its URL alone, it is entered in a role.
    """
    import msgspec  # noqa: PLC0415 - for clusters alone

    from ssm_cli.cluster.jetstream.wire import Access, access_at  # noqa: PLC0415 - as above

    environ = env.environ
    if url is not None and "@" in url:
        raise typer.BadParameter(
            "--cluster takes a URL without a user and a password, which every user of this "
            "computer could read; put that URL into the variable SSM_CLUSTER"
        )
    url = url or environ.get("SSM_CLUSTER")
    if not url:
        return None
    secret = environ.get("SSM_CLUSTER_KEY_PASSWORD_FILE")
    files = {key: environ.get(f"SSM_CLUSTER_{key.upper()}", "") for key in FILES}
    password = password_in(Path(secret)) if secret else ""
    given = msgspec.structs.replace(access_at(url), **files, key_password=password)
    here = _here(env, role) if given == Access(given.url) else None
    return here if here is not None and _place(here.url) == _place(given.url) else given


def _here(env: Environment, role: str) -> Access | None:
    """Return the access in a role to this user's embedded server; None if none runs."""
    from ssm_cli.cluster.jetstream.embedded import running_server  # noqa: PLC0415 - for clusters alone
    from ssm_cli.cluster.protocol.roles import ClusterRole  # noqa: PLC0415 - as above

    return running_server(state_folder(env.environ) / "cluster", ClusterRole(role))


def _place(url: str) -> str:
    """Return a URL by which one server of this computer has one name."""
    return url.replace("://localhost:", "://127.0.0.1:").rstrip("/")


def access_of(env: Environment, url: str | None, role: str) -> Access:
    """Return the access to the named cluster, or in a role to this user's embedded server.

    Raises:
        NoTree: there is none.
    """
    found = given_access(env, url, role) or _here(env, role)
    if found is None:
        raise NoTree(NO_CLUSTER)
    return found


def links_for(
    tree: SupervisorSpec, env: Environment, url: str | None, name: str, *, takeover: bool = False
) -> ClusterLinks | Callable[[], ClusterLinks]:
    """Return the links to a tree's remote children; what makes them at the first, if it has none.

    Raises:
        NoTree: it has remote children, and there is no cluster.
    """
    from ssm_cli.spec.model import RemoteSpec, walk  # noqa: PLC0415 - with a tree alone

    made = partial(_links, env, url, name, takeover=takeover)
    return made() if any(isinstance(spec, RemoteSpec) for _, spec in walk(tree)) else made


def _links(env: Environment, url: str | None, name: str, *, takeover: bool) -> ClusterLinks:
    from ssm_cli.cluster.jetstream.wire import need_client  # noqa: PLC0415 - for clusters alone
    from ssm_cli.cluster.link.client import ClusterLinks  # noqa: PLC0415 - as above

    need_client()
    return ClusterLinks(access_of(env, url, "tree"), name, takeover=takeover)
