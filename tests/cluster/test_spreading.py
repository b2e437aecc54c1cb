"""Shards on real nodes: spread over those that fit, with their states, when one comes or goes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.cluster.test_program import Shell, shell

__all__ = ["shell"]
pytest.importorskip("nats", reason="the extra `cluster` is not installed")
SESSIONS = """\
supervisor: sessions_root
children:
  - {worker: sessions, start: "ssm_cli.machines.kv:kv_store", persist: journal}
"""
SHOP = """\
supervisor: shop
intensity: 3
period: 60
children:
  - {remote: sessions, shards: 2, tree: sessions.yaml, lease: 2}
"""
KEYS = ["ann", "bob", "eve"]


def places(shell: Shell) -> Counter[str]:
    done = shell.run("tree", "--cluster", "-o", "json")
    subtrees = json.loads(done.stdout)["subtrees"] if done.stdout else []
    return Counter(one["node"] for one in subtrees if one["state"] == "running")


def found(shell: Shell) -> list[str]:
    lines = [shell.run("call", f"sessions:{key}", f"Lookup {key}").stdout for key in KEYS]
    return [line.strip() for line in lines]


def test_shards_go_to_a_node_that_comes_and_from_one_that_goes(shell: Shell) -> None:
    (shell.folder / "sessions.yaml").write_text(SESSIONS)
    (shell.folder / "shop.yaml").write_text(SHOP)
    shell.start("node", "--name", "n1")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: places(shell) == Counter(n1=2))
    for number, key in enumerate(KEYS):
        assert shell.run("call", f"sessions:{key}", f"Store {key} {number}").stdout == "Ok\n"
    wanted = [f"Result {number}" for number in range(len(KEYS))]
    other = shell.start("node", "--name", "n2")
    shell.until(lambda: places(shell) == Counter(n1=1, n2=1))
    assert found(shell) == wanted
    assert '"ann": 0' in shell.run("state", "sessions:ann").stdout
    assert shell.run("blame", "sessions:eve", "eve").stdout.splitlines()
    log = shell.run("log").stdout
    assert log.count("sessions-2 moved node=n2") == 1, log
    assert "restarting" not in log
    other.kill()
    shell.until(lambda: places(shell) == Counter(n1=2))
    assert found(shell) == wanted
