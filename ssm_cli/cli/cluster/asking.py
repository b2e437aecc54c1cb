"""`ssm nodes`, `ssm move`, and calls by name from anywhere in a cluster."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssm_cli.cli.cluster.access import Cluster, access_of
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.printer import Printer, answer, did
from ssm_cli.cli.where import Output, option
from ssm_cli.commands.text import table
from ssm_cli.errors import CommandError, NoTree
from ssm_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from ssm_cli.cluster.agent.directory import Member
    from ssm_cli.cluster.jetstream.cluster import NatsCluster
    from ssm_cli.commands.parse import Command
    from ssm_cli.commands.results import Result
    from ssm_cli.spec.model import RemoteSpec

HEAD = ("NODE", "STATE", "HOST", "PID", "VERSION", "LABELS", "SUBTREES")


def with_cluster(
    env: Environment, url: str | None, role: str, ask: Callable[[NatsCluster], Awaitable[Any]]
) -> Any:
    """Run a request to a cluster over a connection of its own, with the permissions of a role."""
    import asyncio  # noqa: PLC0415 - a call over HTTP does without

    from ssm_cli.cluster.jetstream.cluster import open_cluster  # noqa: PLC0415 - not for help

    access = access_of(env, url, role)

    async def main() -> Any:
        connection = await open_cluster(access, "ssm")
        try:
            return await ask(connection)
        finally:
            await connection.close()

    return asyncio.run(main())


def nodes(
    env: Environment,
    *,
    cluster: Cluster = None,
    forget: Annotated[str, option("NODE", "take a node that is gone out of the list")] = "",
    accept_loss: Annotated[
        str, option("TREE/SUBTREE", "after `journal_corrupt`: go on without what is lost")
    ] = "",
    output: Output = None,
) -> int:
    """List the nodes of a cluster, and the subtrees that they host."""
    from ssm_cli.cluster.agent import directory  # noqa: PLC0415 - not needed for help

    if forget:
        with_cluster(env, cluster, "tree", lambda c: directory.forget(c, forget))
        return did(env, output, "forget", [f"{forget} is forgotten"], node=forget)
    if accept_loss:
        tree, slash, subtree = accept_loss.rpartition("/")
        if not (tree and slash and subtree):
            raise typer.BadParameter(f"--accept-loss takes TREE/SUBTREE, not `{accept_loss}`")
        with_cluster(env, cluster, "tree", lambda c: directory.accept_loss(c, tree, subtree))
        line = f"{accept_loss} goes on from what is left of it"
        return did(env, output, "accept_loss", [line], tree=tree, subtree=subtree)
    found: list[Member] = with_cluster(env, cluster, "look", directory.look)
    answer(env, output, table([HEAD, *map(_row, found)]), [_record(seen) for seen in found])
    return ExitCode.DONE


def node_state(seen: Member) -> str:
    """Return how a node stands, in a word."""
    if not seen.answers:
        return "silent"
    return "draining" if seen.advert.draining else "up"


def node_facts(seen: Member) -> dict[str, object]:
    """Return what records say of a node."""
    advert, state = seen.advert, node_state(seen)
    where = {"host": advert.host, "pid": advert.pid, "labels": advert.labels}
    return {"node": advert.node, "state": state, **where}


def _row(seen: Member) -> tuple[str, ...]:
    labels = " ".join(f"{key}={value}" for key, value in seen.advert.labels.items())
    hosted = " ".join(f"{one.tree}/{one.subtree}#{one.epoch}" for one in seen.hosted)
    advert = seen.advert
    where = advert.node, node_state(seen), advert.host, str(advert.pid), advert.version or "-"
    return *where, labels or "-", hosted or "-"


def _record(seen: Member) -> dict[str, object]:
    advert = seen.advert
    hosted = [
        {"tree": h.tree, "subtree": h.subtree, "epoch": h.epoch, "pid": h.pid} for h in seen.hosted
    ]
    code = {"python": advert.python, "version": advert.version}
    return {"v": 1, "type": "node", **node_facts(seen), **code, "subtrees": hosted}


def move(
    env: Environment,
    subtree: Annotated[str, typer.Argument(metavar="SUBTREE")],
    node: Annotated[str, typer.Argument(metavar="NODE")],
    *,
    cluster: Cluster = None,
    name: Annotated[str, option("NAME", "the tree, where several have it", "--name")] = "",
    output: Output = None,
) -> int:
    """Have a subtree end in order, and go on at another node with its state."""
    from ssm_cli.cluster.agent import directory  # noqa: PLC0415 - not needed for help

    before = with_cluster(env, cluster, "tree", lambda c: directory.move(c, subtree, node, name))
    moved = f"{subtree} has gone from {before} to {node}"
    line = f"{subtree} is at {node} already" if before == node else moved
    return did(env, output, "move", [line], **{"subtree": subtree, "from": before, "to": node})


def call_by_name(
    env: Environment,
    url: str,
    commands: AsyncIterator[Command | CommandError],
    *,
    tree: str,
    request_id: str | None,
) -> int:
    """Call `subtree.worker` with each input, and print the outcomes; stop at a failure.

    Args:
        env: the process.
        url: the cluster.
        commands: one for each input.
        tree: the name of the tree, where several have such a subtree; "" for any.
        request_id: with the same one an input is stepped once, as over HTTP; None: each is new.
    """
    from ssm_cli.http.client.calls import keys_from  # noqa: PLC0415 - not needed for help

    printer, keys = Printer(env), keys_from(request_id) if request_id is not None else repeat("")
    log = shlex.join(["ssm", "log", "--cluster", *([url] if url else [])])

    async def ask(connection: NatsCluster) -> int:
        async for command in commands:
            if isinstance(command, CommandError):
                raise command
            result = await _called(connection, command, tree, next(keys), log)
            printer.answer(result)
            if result.exit_code:
                return int(result.exit_code)
        return ExitCode.DONE

    return int(with_cluster(env, url, "call", ask))


async def _called(
    connection: NatsCluster, command: Command, tree: str, key: str, log: str
) -> Result:
    from ssm_cli.cluster.agent import directory  # noqa: PLC0415 - not needed for help
    from ssm_cli.commands.execute import DEFAULT_TIMEOUT_S, result_of  # noqa: PLC0415 - as above

    name, given = command.arguments["worker"], command.arguments["input"]
    data, wait_s = given.encode("utf-8", "surrogateescape"), command.timeout_s
    limit_s = DEFAULT_TIMEOUT_S if wait_s is None else wait_s
    asked = directory.call(connection, name, data, limit_s, tree=tree, id_=key)
    return await result_of(command, asked, log)


def where_to(env: Environment, url: str | None, specs: list[RemoteSpec], folder: Path) -> list[str]:
    """Tell which node would host each remote child now, and which of its limits do not fit.

    Nothing is told of nodes if no cluster answers.
    """
    from ssm_cli.cluster.agent.directory import look  # noqa: PLC0415 - for clusters alone
    from ssm_cli.cluster.protocol.limits import clashing  # noqa: PLC0415 - as above
    from ssm_cli.cluster.protocol.placement import best_for_each, misfit  # noqa: PLC0415 - too

    async def ask(connection: NatsCluster) -> tuple[list[Member], int]:
        return await look(connection), connection.size

    lines, servers = [], 0
    try:
        found, servers = with_cluster(env, url, "look", ask)
    except NoTree as error:
        lines.append(f"where remote children would go is not known: {error}")
    else:
        nodes = [seen.advert for seen in found if seen.answers]
        bests = best_for_each(nodes, [spec.place for spec in specs])
        for spec, best in zip(specs, bests, strict=True):
            why = "; ".join(f"{node.node} {misfit(node, spec.place)}" for node in nodes)
            lines.append(f"{spec.id}: {best or f'nowhere: {why or NOBODY}'}")
    clashes = (clashing(spec, servers, _init_s(spec, folder)) for spec in specs)
    return [*lines, *(line for some in clashes for line in some)]


def _init_s(spec: RemoteSpec, folder: Path) -> float:
    """Return how long the workers of a subtree may take to start; 0 where its tree is not here."""
    from ssm_cli.cluster.owner.code import Undefined, tree_of  # noqa: PLC0415 - for clusters alone
    from ssm_cli.spec.model import WorkerSpec, walk  # noqa: PLC0415 - as above

    try:
        specs = [found for _, found in walk(tree_of(spec.tree, folder))]
    except Undefined:
        return 0.0
    limits = [found.options.init_timeout_ms for found in specs if isinstance(found, WorkerSpec)]
    return sum(float("inf") if ms == "infinity" else ms / 1000 for ms in limits)


NOBODY = "no node is in the cluster"
