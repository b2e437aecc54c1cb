"""kill -9 of the owner, again and again, against real servers: nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cluster.real.load import ENOUGH
from tests.cluster.real.scene import Load, end, start_node, until_nodes, until_owner
from tests.cluster.servers import Servers, until_listening
from tests.thorough import tries

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

ROUNDS = tries(5, 20)
SERVER_TOO = 4  # every so many rounds a server dies with the owner
LEASE_S = 2.0


@contextmanager
def scene(folder: Path, count: int) -> Iterator[tuple[Servers, dict[str, Any], Load]]:
    servers = Servers(folder, count).start_all()
    log = folder / "nodes.log"
    nodes = {name: start_node(servers.url, name, log) for name in ("n1", "n2")}
    load = None
    try:
        until_nodes(servers.url, 2)
        load = Load(servers.url, LEASE_S)
        yield servers, nodes, load
    finally:
        if load is not None:
            load.kill()
        end(nodes)
        servers.stop()


def told(kind: str, verdict: dict[str, Any]) -> None:
    """The figures, for who runs with -s."""
    outages = sorted(verdict["outages_s"][1 : 1 + ROUNDS])  # the first is that of the start
    middle = statistics.median(outages) if outages else 0.0
    sys.stderr.write(
        f"\n{kind}: {verdict['acked']} acknowledged, outage p50 {middle:.2f} s, "
        f"max {max(outages, default=0.0):.2f} s, ends {verdict['ends']}\n"
    )


def nothing_is_lost(verdict: dict[str, Any]) -> None:
    assert verdict["acked"] > ENOUGH
    assert (verdict["lost"], verdict["twice"], verdict["wrong"]) == (0, 0, [])


@pytest.mark.parametrize("count", [1, 3], ids=["one server", "three servers"])
def test_no_acknowledged_write_is_lost_when_owners_are_killed(tmp_path: Path, count: int) -> None:
    random = Random(count)
    with scene(tmp_path, count) as (servers, nodes, load):
        load.mark()
        load.until_served()
        for round_ in range(1, ROUNDS + 1):
            time.sleep(random.uniform(0.2, 0.6))
            victim = random.randrange(count)
            _, pid = until_owner(nodes)
            os.kill(pid, signal.SIGKILL)
            load.mark()
            if round_ % SERVER_TOO == 0:
                servers.kill(victim)
                time.sleep(0.3)
                servers.start(victim)
                until_listening(servers.ports[victim])
            load.until_served()
        verdict = load.verdict()
    told(f"{count} server(s), {ROUNDS} kills", verdict)
    nothing_is_lost(verdict)
