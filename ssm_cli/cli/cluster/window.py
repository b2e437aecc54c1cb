"""`ssm tree --cluster` and `ssm log --cluster`: a whole cluster on one screen, and its reports."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ssm_cli.cli.cluster.asking import node_facts, node_state, with_cluster
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.printer import answer
from ssm_cli.cli.where import CLEAR
from ssm_cli.cluster.jetstream.cluster import NatsCluster
from ssm_cli.cluster.window.happenings import Happening, Happenings
from ssm_cli.cluster.window.overview import Overview, Subtree, Window
from ssm_cli.commands.records import instant
from ssm_cli.commands.text import brief, table
from ssm_cli.commands.voice import clock, report_line
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http.client.answers import report_of
from ssm_cli.runtime.clock import SystemClock

HEAD = ("NODE", "STATE", "EPOCH", "LEASE", "LINK", "WORKERS", "RESTARTS", "PLACE")
WATCH_S = 1.0
WELL = frozenset({"running", "suspended"})


def cluster_tree(env: Environment, url: str, output: str | None, *, watch: bool) -> int:
    """Print all nodes of a cluster, each with the subtrees that it hosts, once or every second.

    Returns 3 if a subtree does not run that should.
    """

    async def ask(connection: NatsCluster) -> int:
        window = Window(connection)
        while True:
            seen = await window.look()
            if watch and env.stdout_is_tty:
                env.stdout.write(CLEAR)
            answer(env, output, overview_lines(seen), records_of(seen))
            env.stdout.flush()
            if not watch:
                well = all(one.state in WELL for one in seen.subtrees)
                return ExitCode.DONE if well else ExitCode.NOT_RUNNING
            await connection.time.sleep_s(WATCH_S)

    return int(with_cluster(env, url, "tree", ask))


def overview_lines(seen: Overview) -> list[str]:
    """Return an overview as lines: nodes, below each its subtrees, then those without a node."""
    rows: list[tuple[str, ...]] = [HEAD]
    for member in seen.nodes:
        advert = member.advert
        labels = " ".join(f"{key}={value}" for key, value in advert.labels.items())
        place = f"{advert.host} {advert.pid} {labels}".rstrip()
        rows.append((brief(advert.node), node_state(member), "-", "-", "-", "-", "-", place))
        rows += [_row(one) for one in seen.subtrees if one.node == advert.node]
    rows += [_row(one) for one in seen.subtrees if not one.node]
    whys = [f"{one.tree}/{one.name}: {one.why}" for one in seen.subtrees if one.why]
    return [*table(rows), *whys, *seen.trouble]


def _row(one: Subtree) -> tuple[str, ...]:
    lease = "-"
    if one.lease is not None:
        age = "" if one.lease_age_s is None else f", {one.lease_age_s:.1f} s old"
        whose = "" if one.lease.epoch == one.epoch else f" of #{one.lease.epoch}"
        lease = f"{one.lease.ttl_s:g} s{whose}{age}"
    link = "-" if one.link_s is None else f"{one.link_s * 1000:.1f} ms"
    name = brief(f"  {one.tree}/{one.name}")
    counts = (str(one.workers), str(one.restarts)) if one.link_s is not None else ("-", "-")
    return name, one.state, f"#{one.epoch}", lease, link, *counts, str(one.pid or "-")


def records_of(seen: Overview) -> list[dict[str, Any]]:
    """Return an overview as one record."""
    nodes = [node_facts(member) for member in seen.nodes]
    subtrees = [
        {
            "tree": one.tree, "subtree": one.name, "node": one.node, "epoch": one.epoch,
            "pid": one.pid, "state": one.state, "workers": one.workers, "restarts": one.restarts,
            "link_s": one.link_s, "lease_s": None if one.lease is None else one.lease.ttl_s,
            "lease_age_s": one.lease_age_s, "why": one.why,
        }
        for one in seen.subtrees
    ]  # fmt: skip
    made = {"v": 1, "type": "cluster", "nodes": nodes, "subtrees": subtrees}
    return [made | {"trouble": list(seen.trouble)}]


def cluster_log(
    env: Environment, url: str, last: int | None, output: str | None, *, follow: bool
) -> int:
    """Print the reports of all subtrees of a cluster by time; go on with `follow`."""

    async def ask(connection: NatsCluster) -> int:
        happenings = Happenings(connection)
        if not follow:
            for one in await happenings.since(last):
                _print(env, output, one)
            return ExitCode.DONE
        async for one in happenings.follow(last):
            _print(env, output, one)
        return ExitCode.DONE

    with suppress(KeyboardInterrupt):
        return int(with_cluster(env, url, "tree", ask))
    return ExitCode.INTERRUPTED


def _print(env: Environment, output: str | None, one: Happening) -> None:
    now_s = SystemClock().wall_s()
    answer(env, output, [happening_line(one, now_s)], [happening_record(one, now_s)])
    env.stdout.flush()


def happening_record(one: Happening, now_s: float) -> dict[str, Any]:
    """Return the record of a happening: that of a report with its place, or of a node."""
    place = {"node": one.node, "tree": one.tree, "subtree": one.subtree}
    if one.subtree:
        return one.record | place
    return {"v": 1, "type": "report", "at": instant(now_s), "event": one.event, "node": one.node}


def happening_line(one: Happening, now_s: float) -> str:
    """Return a happening as one line; a node has no clock of its own, so it has our time."""
    if not one.subtree:
        mark = "●" if one.event == "node_up" else "✖"
        return f"{clock(now_s)} {mark} {one.node} {one.event.replace('_', ' ')}"
    at, _, said = report_line(report_of(one.record)).partition(" ")
    return f"{at} {brief(f'{one.tree}/{one.subtree}@{one.node}')} {said}"
