"""Links cut, processes stopped, a minority cut off: each computer is a network namespace.

Three servers, two nodes and the load each have a namespace, and one more routes between them. It
needs root and `ip`; everything stays inside namespaces that are made and removed here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.cluster.jetstream.embedded import find_server
from tests.cluster.real.scene import Load, children_of, end, spawn, start_node, until_owner
from tests.cluster.real.test_kills import nothing_is_lost, told

pytest.importorskip("nats", reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and iproute2, to make network namespaces",
)

LEASE_S = 2.0
LONG_LEASE_S = 10.0  # that of three servers, where none is set
FAULT_S = 9.0
LET_GO_S = 8.0  # longer than servers keep a connection that is cut off, less than the long lease
SETTLE_S = 6.0  # until three servers have chosen a leader
NAMES = ("s0", "s1", "s2", "n1", "n2", "load")
CONFIG = """\
server_name: {name}
listen: "{address}:4222"
ping_interval: "2s"
ping_max: 2
jetstream {{ store_dir: "{store}", sync_interval: always }}
cluster {{ name: ssm, listen: "{address}:6222", routes: [{routes}] }}
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Lan:
    """A router, and a namespace for each name, with a link of its own to it."""

    def __init__(self, mark: str) -> None:
        self.tag = f"ssm{os.getpid() % 10_000}{mark}"
        self.address = {name: f"10.213.{n}.2" for n, name in enumerate(NAMES, 10)}

    def space(self, name: str) -> str:
        return f"{self.tag}{name}"

    def make(self) -> None:
        hub = self.space("hub")
        ip("netns", "add", hub)
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        ip("netns", "exec", hub, "sh", "-c", forward)
        for name, address in self.address.items():
            space, router = self.space(name), address[:-1] + "1"
            ip("netns", "add", space)
            ip(
                "-n", hub, "link", "add", f"v{name}", "type", "veth",
                "peer", "name", "eth", "netns", space,
            )  # fmt: skip
            ip("-n", hub, "addr", "add", f"{router}/24", "dev", f"v{name}")
            ip("-n", hub, "link", "set", f"v{name}", "up")
            ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth")
            ip("-n", space, "link", "set", "eth", "up")
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", space, "route", "add", "default", "via", router)

    def cut(self, *names: str) -> None:
        """Pull the plugs of these."""
        for name in names:
            ip("-n", self.space("hub"), "link", "set", f"v{name}", "down")

    def heal(self, *names: str) -> None:
        """Put them back."""
        for name in names:
            ip("-n", self.space("hub"), "link", "set", f"v{name}", "up")

    def remove(self) -> None:
        for name in ("hub", *self.address):
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False)


def start_server(lan: Lan, name: str, folder: Path) -> subprocess.Popen[str]:
    servers = [s for s in NAMES if s.startswith("s")]
    routes = ", ".join(f'"nats://{lan.address[s]}:6222"' for s in servers)
    text = CONFIG.format(name=name, address=lan.address[name], store=folder / name, routes=routes)
    config = folder / f"{name}.conf"
    config.write_text(text)
    command = [find_server(os.environ), "--config", str(config)]
    with (folder / f"{name}.log").open("w") as log:
        return spawn(command, inside=lan.space(name), stdout=log, stderr=log)


@contextmanager
def scene(
    folder: Path, mark: str, lease_s: float = LEASE_S
) -> Iterator[tuple[Lan, dict[str, Any], Load]]:
    """Node n1 talks to server s0 alone, so that both can be on the minority's side."""
    lan = Lan(mark)
    servers: list[subprocess.Popen[str]] = []
    nodes: dict[str, Any] = {}
    load = None
    try:
        lan.make()
        servers = [start_server(lan, name, folder) for name in ("s0", "s1", "s2")]
        time.sleep(SETTLE_S)
        url = {name: f"nats://{lan.address[name]}:4222" for name in ("s0", "s1", "s2")}
        log = folder / "nodes.log"
        nodes["n1"] = start_node(url["s0"], "n1", log, lan.space("n1"))
        nodes["n2"] = start_node(f"{url['s1']},{url['s2']}", "n2", log, lan.space("n2"))
        time.sleep(2.0)
        load = Load(f"{url['s1']},{url['s2']}", lease_s, lan.space("load"))
        load.mark()
        load.until_served()
        yield lan, nodes, load
    finally:
        if load is not None:
            load.kill()
        end(nodes)
        for server in servers:
            server.kill()
            server.wait()
        lan.remove()


def cut_node(lan: Lan, nodes: dict[str, Any], owner: str) -> None:
    lan.cut(owner)


def stop_node(lan: Lan, nodes: dict[str, Any], owner: str) -> None:
    for pid in [nodes[owner].pid, *children_of(nodes[owner].pid)]:
        os.kill(pid, signal.SIGSTOP)


def cut_minority(lan: Lan, nodes: dict[str, Any], owner: str) -> None:
    """One server is cut off together with the owner's node, which sees it alone, or nobody."""
    lan.cut("s0", owner)


def heal(lan: Lan, nodes: dict[str, Any], owner: str) -> None:
    lan.heal("s0", owner)
    for pid in [nodes[owner].pid, *children_of(nodes[owner].pid)]:
        os.kill(pid, signal.SIGCONT)


FAULTS = (cut_node, stop_node, cut_minority)


def play(folder: Path, fault: Any) -> tuple[dict[str, Any], float]:
    """What the load saw of a fault, and how long nothing was served, in seconds."""
    with scene(folder, fault.__name__[0] + fault.__name__[-1]) as (lan, nodes, load):
        time.sleep(2.0)
        owner, _ = until_owner(nodes)
        fault(lan, nodes, owner)
        load.mark()
        outage_s = load.until_served()
        time.sleep(max(0.0, FAULT_S - outage_s))
        heal(lan, nodes, owner)
        time.sleep(2.0)
        load.mark()
        load.until_served()
        return load.verdict(), outage_s


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Any, Any]]:
    """All faults at once, each in networks of its own: most of their time is waiting."""
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        folders = [tmp_path_factory.mktemp(fault.__name__) for fault in FAULTS]
        yield {
            fault: pool.submit(play, at, fault) for fault, at in zip(FAULTS, folders, strict=True)
        }


@pytest.mark.parametrize("fault", FAULTS)
def test_no_acknowledged_write_is_lost_in_a_partition(played: dict[Any, Any], fault: Any) -> None:
    verdict, outage_s = played[fault].result()
    told(f"{fault.__name__}, outage {outage_s:.2f} s", verdict)
    nothing_is_lost(verdict)
    assert outage_s > LEASE_S / 2, "the fault had no effect"


def test_a_node_that_is_cut_off_until_the_servers_let_go_of_it_is_not_counted(
    tmp_path: Path,
) -> None:
    with scene(tmp_path, "lg", LONG_LEASE_S) as (lan, nodes, load):
        time.sleep(2.0)
        owner, pid = until_owner(nodes)
        lan.cut(owner)
        time.sleep(LET_GO_S)
        load.mark()
        lan.heal(owner)
        load.until_served()
        still = until_owner(nodes)
        verdict = load.verdict()
    assert still == (owner, pid)
    told("cut off, with the long lease", verdict)
    nothing_is_lost(verdict)
    assert verdict["ends"] == []
    assert verdict["longest_s"] > LET_GO_S - 1.0, "the fault had no effect"
