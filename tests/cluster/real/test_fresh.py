"""The first start of a tree on three servers that have kept nothing yet."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ssm_cli import ClusterLinks, Node, Remote, Supervisor
from tests.cluster.real.scene import end, start_node, until_nodes
from tests.cluster.servers import Servers

pytest.importorskip("nats", reason="the extra `cluster` is not installed")
CHILDREN = 20
TREE = 'supervisor: r\nchildren: [{worker: kv, start: "ssm_cli.machines.kv:kv_store"}]\n'
SOON_S = 120.0


def test_a_tree_with_many_children_starts_on_three_servers_that_are_new(tmp_path: Path) -> None:
    (tmp_path / "kv.yaml").write_text(TREE)
    servers = Servers(tmp_path, 3).start_all()
    log, folder = tmp_path / "log", str(tmp_path)
    nodes = {name: start_node(servers.url, name, log, folder=folder) for name in ("n1", "n2")}
    remotes = [Remote(f"r{n}", "kv.yaml") for n in range(CHILDREN)]
    node = Node(Supervisor("fleet", children=remotes), links=ClusterLinks(servers.url, "fleet"))
    try:
        until_nodes(servers.url, len(nodes))
        node.start()  # raises where a child does not start
        end_s = time.monotonic() + SOON_S
        while {child.state for child in node.tree().children} != {"running"}:
            assert time.monotonic() < end_s, node.tree().children
            node.run(0.05)
        assert [node.call(f"r{n}.kv", b"Store x 1") for n in range(CHILDREN)] == [b"Ok"] * CHILDREN
        assert not [r for r in node.reports() if r.event in ("terminated", "start_failed")]
    finally:
        node.close()
        end(nodes)
        servers.stop()
