"""`ssm nodes`, `ssm move`, and calls by name from anywhere in a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssm_cli.cli.cluster.access import Cluster, access_of
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.listing import table
from ssm_cli.cli.where import Output
from ssm_cli.errors import NoTree
from ssm_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from ssm_cli.cluster.agent.directory import Member
    from ssm_cli.cluster.jetstream.cluster import NatsCluster
    from ssm_cli.spec.model import RemoteSpec

HEAD = ("NODE", "STATE", "HOST", "PID", "LABELS", "SUBTREES")


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


def nodes(ctx: typer.Context, *, cluster: Cluster = None, output: Output = None) -> int:
    """List the nodes of a cluster, and the subtrees that they host."""
    from ssm_cli.cluster.agent.directory import look  # noqa: PLC0415 - not needed for help
    from ssm_cli.commands.records import json_line  # noqa: PLC0415 - as above

    env: Environment = ctx.obj
    found: list[Member] = with_cluster(env, cluster, "look", look)
    if output in ("json", "jsonl"):
        lines = [json_line(_record(seen)) for seen in found]
    elif output in (None, "text"):
        lines = table([HEAD, *map(_row, found)])
    else:
        raise typer.BadParameter(f"-o takes one of text, json, not `{output}`")
    env.stdout.write("".join(f"{line}\n" for line in lines))
    return ExitCode.DONE


def _state(seen: Member) -> str:
    if not seen.answers:
        return "silent"
    return "draining" if seen.advert.draining else "up"


def _row(seen: Member) -> tuple[str, ...]:
    labels = " ".join(f"{key}={value}" for key, value in seen.advert.labels.items())
    hosted = " ".join(f"{one.tree}/{one.subtree}#{one.epoch}" for one in seen.hosted)
    advert = seen.advert
    return advert.node, _state(seen), advert.host, str(advert.pid), labels or "-", hosted or "-"


def _record(seen: Member) -> dict[str, object]:
    advert = seen.advert
    hosted = [
        {"tree": h.tree, "subtree": h.subtree, "epoch": h.epoch, "pid": h.pid} for h in seen.hosted
    ]
    return {
        "v": 1, "type": "node", "node": advert.node, "state": _state(seen), "host": advert.host,
        "pid": advert.pid, "labels": advert.labels, "python": advert.python,
        "version": advert.version, "subtrees": hosted,
    }  # fmt: skip


def move(
    ctx: typer.Context,
    subtree: Annotated[str, typer.Argument(metavar="SUBTREE")],
    node: Annotated[str, typer.Argument(metavar="NODE")],
    *,
    cluster: Cluster = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="the tree, where several have it")
    ] = "",
) -> int:
    """Have a subtree end in order, and go on at another node with its state."""
    from ssm_cli.cluster.agent import directory  # noqa: PLC0415 - not needed for help

    env: Environment = ctx.obj
    before = with_cluster(env, cluster, "tree", lambda c: directory.move(c, subtree, node, name))
    moved = f"{subtree} has gone from {before} to {node}"
    env.stdout.write(f"{subtree} is at {node} already\n" if before == node else f"{moved}\n")
    return ExitCode.DONE


def call_by_name(
    env: Environment, url: str, worker: str, inputs: list[str],
    *, timeout_s: float, tree: str, request_id: str,
) -> int:  # fmt: skip
    """Call `subtree.worker` with each input, and print the outputs; stops at a failure."""
    from ssm_cli.cluster.agent import directory  # noqa: PLC0415 - not needed for help

    async def ask(connection: NatsCluster) -> None:
        for text in inputs:
            data = text.encode("utf-8", "surrogateescape")
            output = await directory.call(
                connection, worker, data, timeout_s, tree=tree, id_=request_id
            )
            env.stdout.write(output.decode("utf-8", "replace") + "\n")

    with_cluster(env, url, "call", ask)
    return ExitCode.DONE


def where_to(env: Environment, specs: list[RemoteSpec]) -> list[str]:
    """Tell which node would host each remote child now; nothing if no cluster answers."""
    from ssm_cli.cluster.agent.directory import look  # noqa: PLC0415 - for clusters alone
    from ssm_cli.cluster.protocol.placement import fitting, misfit  # noqa: PLC0415 - as above

    try:
        found: list[Member] = with_cluster(env, None, "look", look)
    except NoTree as error:
        return [f"where remote children would go is not known: {error}"]
    nodes = [seen.advert for seen in found if seen.answers]
    lines = []
    for spec in specs:
        fit = fitting(nodes, spec.place)
        why = "; ".join(f"{node.node} {misfit(node, spec.place)}" for node in nodes)
        lines.append(f"{spec.id}: {fit[0] if fit else f'nowhere: {why or NOBODY}'}")
    return lines


NOBODY = "no node is in the cluster"
COMMANDS: tuple[Callable[..., int], ...] = (nodes, move)
