"""The window on a cluster: verbs into a subtree, one screen over all nodes, one log of all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ssm_cli.cluster.ports import Cluster
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Lease, Parent
from ssm_cli.cluster.window.overview import Window
from tests.cluster.conftest import simulated
from tests.cluster.servers import Servers
from tests.cluster.test_program import Shell, shell, shop

__all__ = ["shell", "shop"]
pytest.importorskip("nats", reason="the extra `cluster` is not installed")


def lines(shell: Shell, *words: str, code: int = 0) -> str:
    done = shell.run(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def whole(shop: Shell) -> Any:
    """What is shown of the cluster once all of it answers."""
    shown: list[str] = []

    def answers() -> bool:
        done = shop.run("tree", "--cluster", "-o", "json")
        shown.append(done.stdout)
        return done.returncode == 0

    shop.until(answers)
    return json.loads(shown[-1])


@pytest.fixture
def following(shop: Shell) -> Iterator[subprocess.Popen[str]]:
    """`ssm log --cluster -f`, once it follows."""
    with (shop.folder / "followed").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ssm_cli", "log", "--cluster", "-f", "-n", "1"],
            stdout=log, stderr=log, cwd=shop.folder, env=shop.environ, text=True,
        )  # fmt: skip
    shop.until(lambda: (shop.folder / "followed").read_text() != "")
    yield process
    process.kill()
    process.wait()


def test_a_cluster_is_seen_and_changed_through_its_window(
    shop: Shell, following: subprocess.Popen[str]
) -> None:
    assert lines(shop, "call", "billing.invoice", "Store x 1") == "Ok\n"
    assert lines(shop, "state", "billing.invoice") == '{"x": 1}\n'
    assert "billing_root" in lines(shop, "tree", "--in", "billing")
    assert "call" not in lines(shop, "history", "billing.invoice", "-n", "1")
    assert "Store x 1" in lines(shop, "blame", "billing.invoice", "x")
    assert lines(shop, "kill", "billing.invoice") == "ok\n"
    assert "invoice killed" in lines(shop, "log", "--in", "billing")
    assert lines(shop, "state", "billing.invoice") == "{}\n"
    assert "no worker nobody" in lines(shop, "state", "billing.nobody", code=4)

    seen = whole(shop)
    assert [(one["node"], one["state"]) for one in seen["nodes"]] == [("n1", "up"), ("n2", "up")]
    (billing,) = seen["subtrees"]
    (pid,) = shop.hosts()
    known = {"tree": "shop", "subtree": "billing", "epoch": 1, "pid": pid, "state": "running"}
    assert known.items() <= billing.items()
    assert (billing["workers"], billing["lease_s"], billing["why"]) == (1, 2.0, "")
    shown = lines(shop, "tree", "--cluster").splitlines()
    assert shown[0].split()[:5] == ["NODE", "STATE", "EPOCH", "LEASE", "LINK"]
    assert any(line.split()[:3] == ["shop/billing", "running", "#1"] for line in shown)
    assert "invoice killed" in lines(shop, "log", "--cluster")

    followed = shop.folder / "followed"
    shop.until(lambda: "invoice killed" in followed.read_text())
    assert f"shop/billing@{billing['node']}" in followed.read_text()
    shop.running[1].send_signal(signal.SIGTERM)  # n2
    shop.until(lambda: "n2 node down" in followed.read_text())
    shop.until(lambda: "node down: node=n2" in lines(shop, "log"))
    shop.start("node", "--name", "n2", "--label", "zone=a")
    shop.until(lambda: "node up: node=n2" in lines(shop, "log"))
    shop.until(lambda: "n2 node up" in followed.read_text())
    following.send_signal(signal.SIGINT)
    assert following.wait(180) == 130


def test_a_cluster_that_is_not_there_is_said(shell: Shell) -> None:
    for words in (["tree", "--cluster"], ["log", "--cluster", "-f"]):
        assert "no cluster: start a node" in lines(shell, *words, code=5)
    url = "nats://127.0.0.1:9"
    assert f"no cluster at {url}" in lines(shell, "tree", "--cluster", url, code=5)


HELD, GONE = Lease("n1", 3, 2.0), Parent("p", released=True)


def ended(reason: str) -> Lease:
    return Lease("n1", 3, 2.0, released=True, reason=reason)


@pytest.mark.parametrize(
    ("lease", "parent", "shown"),
    [
        pytest.param(HELD, Parent("p"), ["lost"], id="its node is gone"),
        pytest.param(ended("moved"), Parent("p"), ["lost"], id="its node was drained"),
        pytest.param(ended("killed"), Parent("p"), ["lost"], id="it died, and no node takes it"),
        pytest.param(ended("stopped"), Parent("p"), [], id="it was stopped"),
        pytest.param(ended("shutdown:x"), Parent("p"), [], id="it has ended in order"),
        pytest.param(ended("killed"), GONE, [], id="its tree has ended"),
    ],
)
def test_a_subtree_that_no_node_hosts_is_lost_if_it_is_to_run(
    lease: Lease, parent: Parent, shown: list[str]
) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        for bucket, key, cell in (
            (names.PARENTS, "shop", parent),
            (names.leases("shop"), "billing", lease),
        ):
            cells = await one.cells(bucket, 1)
            assert isinstance(await cells.cas(key, msgspec.json.encode(cell), 0), int)
        seen = await Window(two).look()
        assert [(s.tree, s.name, s.state, s.epoch) for s in seen.subtrees] == [
            ("shop", "billing", state, 3) for state in shown
        ]
        assert seen.trouble == ()

    simulated(body)


def test_where_no_node_is_left_what_ran_there_is_shown_and_the_exit_code_says_so(
    shell: Shell,
) -> None:
    node = shell.start("node", "--name", "n1", "--label", "zone=a")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.start("node", "--name", "n2", "--label", "zone=b")
    shell.until(lambda: len(shell.nodes()) == 2)
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    node.kill()
    shell.until(lambda: shell.run("tree", "--cluster").returncode == 3)
    shown = lines(shell, "tree", "--cluster", code=3)
    assert "shop/billing  lost" in shown
    assert "shop/billing: no node hosts it; its lease names n1" in shown


def test_one_that_does_not_answer_is_silent_and_the_exit_code_says_so(shell: Shell) -> None:
    tree = "supervisor: shop\nchildren: [{remote: billing, tree: billing.yaml, lease: 60}]\n"
    (shell.folder / "shop.yaml").write_text(tree)
    shell.start("node", "--name", "n1")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("billing", {}).get("state") == "running")
    (pid,) = shell.hosts()
    os.kill(pid, signal.SIGSTOP)
    try:
        (seen,) = [json.loads(lines(shell, "tree", "--cluster", "-o", "json", code=3))]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert seen["subtrees"][0]["state"] == "silent"
    assert "no answer within 2 s" in seen["subtrees"][0]["why"]


def test_a_node_says_when_it_loses_its_cluster_and_when_it_is_back(shell: Shell) -> None:
    servers = Servers(shell.folder).start_all()
    try:
        shell.start("node", "--cluster", servers.url, "--name", "n9")
        log = shell.folder / "log"
        shell.until(lambda: "node n9 in the cluster at" in log.read_text())
        servers.kill(0)
        shell.until(lambda: f"node n9 has lost the cluster at {servers.url}" in log.read_text())
        servers.start(0)
        shell.until(lambda: "node n9 is in the cluster again" in log.read_text())
    finally:
        servers.stop()
