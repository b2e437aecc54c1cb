"""The program: nodes and a tree with a remote child, each started by one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.cluster.real.scene import children_of, command_of
from tests.program import ssm

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

SOON_S = 180.0
BILLING = """\
supervisor: billing_root
children:
  - {worker: invoice, start: "ssm_cli.machines.kv:kv_store", persist: journal}
"""
SHOP = """\
supervisor: shop
strategy: rest_for_one
intensity: 3
period: 60
children:
  - {worker: cart, start: "ssm_cli.machines.kv:kv_store"}
  - {remote: billing, tree: billing.yaml, place: {zone: a}}
  - {worker: mail, start: "ssm_cli.machines.kv:kv_store"}
"""


class Shell:
    """A user's shell in a folder, with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        (folder / "billing.yaml").write_text(BILLING)
        (folder / "shop.yaml").write_text(SHOP)
        state, run = str(folder / "state"), folder / "run"
        run.mkdir(mode=0o700)
        self.environ = {
            **os.environ, "XDG_STATE_HOME": state, "XDG_RUNTIME_DIR": str(run),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def start(self, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ssm_cli", *words],
                cwd=self.folder, env=self.environ | environ, stdout=log, stderr=log,
            )  # fmt: skip
        self.running.append(process)
        return process

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A command that ends."""
        return ssm(*words, cwd=self.folder, env=self.environ, given=given, timeout_s=SOON_S)

    def until(self, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + SOON_S
        while time.monotonic() < end_s:
            with suppress(KeyError):  # a tree that does not answer in time has no children
                if holds():
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def tree(self) -> dict[str, Any]:
        """The children of the shop, by name."""
        done = self.run("tree", "-o", "json", "--name", "shop")
        return {c["id"]: c for c in json.loads(done.stdout)["children"]} if done.stdout else {}

    def nodes(self) -> list[dict[str, Any]]:
        done = self.run("nodes", "-o", "json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def hosts(self) -> list[int]:
        """The processes of subtrees."""
        below = [pid for process in self.running for pid in children_of(process.pid)]
        return [pid for pid in below if "owner.host" in command_of(pid)]

    def end(self) -> None:
        for process in reversed(self.running):
            process.kill()
            process.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.end()


@pytest.fixture
def shop(shell: Shell) -> Shell:
    """Two nodes and the tree, each by one command."""
    shell.start("node", "--name", "n1", "--label", "zone=a")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.start("node", "--name", "n2", "--label", "zone=a")
    shell.until(lambda: len(shell.nodes()) == 2)
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    return shell


def test_a_killed_subtree_is_restarted_with_its_state_and_its_later_sibling(shop: Shell) -> None:
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    assert shop.run("call", "cart", "Store x 2").stdout == "Ok\n"
    assert shop.run("call", "mail", "Store x 3").stdout == "Ok\n"
    (pid,) = shop.hosts()
    os.kill(pid, signal.SIGKILL)
    shop.until(lambda: shop.tree()["mail"]["restarts"] == 1)
    shop.until(lambda: shop.tree()["mail"]["state"] == "running")
    found = shop.tree()
    assert {name: child["restarts"] for name, child in found.items()} == {
        "cart": 0, "billing": 1, "mail": 1,
    }  # fmt: skip
    assert (found["billing"]["node"], found["billing"]["epoch"]) == ("n1", 2)
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"
    assert shop.run("call", "cart", "Lookup x").stdout == "Result 2\n"
    assert shop.run("call", "mail", "Lookup x").stdout == "Result None\n"


def test_a_subtree_moves_with_its_state_and_that_is_no_restart(shop: Shell) -> None:
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    assert shop.run("move", "billing", "n2").stdout == "billing has gone from n1 to n2\n"
    shop.until(lambda: shop.tree()["billing"]["node"] == "n2")
    assert "it goes on at n2" in shop.run("log", "--name", "shop").stdout
    assert shop.tree()["billing"]["restarts"] == 0
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def test_a_subtree_that_the_other_node_does_not_take_stays_where_it_is(shop: Shell) -> None:
    """It is in another zone; and nobody would start it there, so it is not ended here."""
    pids = shop.hosts()
    shop.start("node", "--name", "n3", "--label", "zone=b")
    shop.until(lambda: len(shop.nodes()) == 3)
    refused = shop.run("move", "billing", "n3")
    assert refused.returncode == 4
    assert "billing stays at n1: n3 has zone=b, wanted zone=a" in refused.stderr
    assert set(pids) <= set(shop.hosts())
    shop.until(lambda: shop.tree()["billing"]["state"] == "running")


def elsewhere(shop: Shell, name: str, billing: str) -> None:
    """Start a node that has a folder of its own, with this for the tree of the subtree."""
    folder = shop.folder / name
    folder.mkdir()
    if billing:
        (folder / "billing.yaml").write_text(billing)
    before = len(shop.nodes())
    shop.start("node", "--name", name, "--label", "zone=a", "--dir", str(folder))
    shop.until(lambda: len(shop.nodes()) == before + 1)


def test_a_subtree_whose_code_the_other_node_has_not_stays_where_it_is(shop: Shell) -> None:
    pids = shop.hosts()
    elsewhere(shop, "n3", "")
    refused = shop.run("move", "billing", "n3")
    assert refused.returncode == 4
    assert "billing stays at n1: n3: billing.yaml is not in the folder" in refused.stderr
    assert shop.hosts() == pids


def test_a_move_to_a_node_that_cannot_start_it_says_at_once_where_it_went(shop: Shell) -> None:
    """Nobody waits for what does not come: the next node had it long before the time is over."""
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    elsewhere(shop, "n3", "supervisor: 3\n")
    refused = shop.run("move", "billing", "n3")
    assert refused.returncode == 4
    assert "billing did not start at n3, and is at n" in refused.stderr
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def test_a_subtree_without_a_parent_is_not_moved_as_nobody_would_start_it(shop: Shell) -> None:
    parent, pids = shop.running[-1], shop.hosts()
    parent.kill()
    parent.wait()
    shop.until(lambda: "no parent of shop" in shop.run("move", "billing", "n2").stderr)
    assert shop.hosts() == pids
    shop.start("run", "shop.yaml", "--headless")
    shop.until(lambda: shop.tree().get("mail", {}).get("state") == "running")
    assert shop.run("move", "billing", "n2").stdout == "billing has gone from n1 to n2\n"


def test_a_node_that_is_drained_hands_its_subtree_on(shop: Shell) -> None:
    first = shop.running[0]
    assert "zone" in shop.nodes()[0]["labels"]
    shop.run("move", "billing", "n2")
    shop.until(lambda: shop.tree()["billing"]["node"] == "n2")
    shop.run("call", "billing.invoice", "Store x 1")
    shop.running[1].send_signal(signal.SIGTERM)
    assert shop.running[1].wait(SOON_S) == 0
    shop.until(lambda: shop.tree()["billing"]["node"] == "n1")
    assert first.poll() is None
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


@pytest.fixture
def drained(shell: Shell) -> Shell:
    """The only node that takes the subtree is to end; another one is there, in another zone."""
    shell.start("node", "--name", "n1", "--label", "zone=b")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.start("node", "--name", "n2", "--label", "zone=a", "--drain", "600")
    shell.until(lambda: len(shell.nodes()) == 2)
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    assert shell.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    return shell


def test_a_node_that_is_drained_keeps_what_no_other_node_takes_until_one_does(
    drained: Shell,
) -> None:
    pids, node = drained.hosts(), drained.running[1]
    node.send_signal(signal.SIGTERM)
    drained.until(lambda: said(drained, "shop/billing stays: n1 has zone=b, wanted zone=a"))
    drained.until(lambda: [one["state"] for one in drained.nodes()] == ["up", "draining"])
    assert drained.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"
    assert drained.hosts() == pids
    drained.start("node", "--name", "n3", "--label", "zone=a")
    assert node.wait(SOON_S) == 0
    drained.until(lambda: drained.tree()["billing"]["node"] == "n3")
    assert drained.tree()["billing"]["restarts"] == 0
    assert drained.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def test_a_node_that_is_drained_keeps_what_has_no_parent_until_it_is_told_again(
    drained: Shell,
) -> None:
    pids, node, parent = drained.hosts(), drained.running[1], drained.running[2]
    parent.kill()
    parent.wait()
    node.send_signal(signal.SIGTERM)
    drained.until(lambda: said(drained, "no parent of shop is in the cluster"))
    assert drained.hosts() == pids
    node.send_signal(signal.SIGTERM)
    assert node.wait(SOON_S) == 0
    assert drained.hosts() == []


def test_outcomes_far_away_are_told_apart(shop: Shell) -> None:
    nobody = shop.run("call", "billing.nobody", "x")
    assert (nobody.returncode, nobody.stderr) == (4, "no worker nobody\n")
    assert shop.run("call", "billing.invoice", "Nonsense").returncode == 6
    pids = shop.hosts()
    assert shop.run("call", "billing.invoice", "Lookup crash").returncode == 1
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    assert (shop.hosts(), shop.tree()["billing"]["restarts"]) == (pids, 0), "it heals inside"


def test_a_stopped_tree_stops_its_subtree(shop: Shell) -> None:
    assert shop.run("stop", "shop").returncode == 0
    shop.until(lambda: not shop.hosts())
    assert all(not node["subtrees"] for node in shop.nodes())


def test_a_tree_without_a_cluster_says_how_to_get_one(shell: Shell) -> None:
    done = shell.run("run", "shop.yaml", "--headless")
    assert done.returncode == 5
    assert "`ssm node`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_check_says_what_would_go_where(shell: Shell) -> None:
    shell.start("node", "--name", "n1", "--label", "zone=b")
    shell.until(lambda: len(shell.nodes()) == 1)
    (server,) = shell.folder.rglob("server.json")
    named = "--cluster", json.loads(server.read_text())["url"]
    for words in ((), named):
        done = shell.run("check", "shop.yaml", *words)
        assert "billing: nowhere: n1 has zone=b, wanted zone=a" in done.stdout
    shown = shell.run("nodes").stdout.splitlines()
    assert [line.split()[4] for line in shown] == ["VERSION", version("supervised-state-machines")]
    shell.start("node", "--name", "n2", "--label", "zone=a")
    shell.until(lambda: len(shell.nodes()) == 2)
    assert "billing: n2" in shell.run("check", "shop.yaml").stdout
    spread = "supervisor: pool\nchildren: [{remote: sess, tree: billing.yaml, shards: 4}]\n"
    (shell.folder / "pool.yaml").write_text(spread)
    places = shell.run("check", "pool.yaml").stdout.splitlines()[1:]
    assert places == ["sess-1: n1", "sess-2: n2", "sess-3: n1", "sess-4: n2"]


def test_the_server_is_gone_when_its_node_is_gone(shell: Shell) -> None:
    node = shell.start("node", "--name", "n1")
    shell.until(lambda: len(shell.nodes()) == 1)
    (server,) = [pid for pid in children_of(node.pid) if "nats-server" in command_of(pid)]
    node.kill()
    node.wait()
    shell.until(lambda: "nats-server" not in command_of(server))
    assert shell.run("nodes").returncode == 5


def test_a_tree_without_remote_children_starts_no_link(shell: Shell) -> None:
    (shell.folder / "plain.yaml").write_text(BILLING)
    process = shell.start("run", "plain.yaml", "--headless")
    shell.until(lambda: shell.run("call", "--name", "plain", "invoice", "Lookup x").returncode == 0)
    assert children_of(process.pid) == []


def test_a_plan_does_not_end_a_subtree_that_no_node_would_start_again(shop: Shell) -> None:
    pids = shop.hosts()
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    (shop.folder / "shop.yaml").write_text(SHOP.replace("zone: a", "zone: c"))
    for answer in ("--dry-run", "--yes"):
        refused = shop.run("apply", answer)
        assert refused.returncode == 4
        assert "shop/billing: it would end, and no node takes it then: n1 has zone=a, " in (
            refused.stdout + refused.stderr
        )
    assert shop.hosts() == pids
    shop.start("node", "--name", "n3", "--label", "zone=c")
    shop.until(lambda: len(shop.nodes()) == 3)
    assert shop.run("apply", "--yes").returncode == 0
    shop.until(lambda: shop.tree()["billing"]["node"] == "n3")
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def test_the_first_remote_child_can_come_by_apply(shell: Shell) -> None:
    """The tree had no link until then; once it has one, all goes as in a tree that began so."""
    whole = (shell.folder / "shop.yaml").read_text()
    remote = next(line for line in whole.splitlines(keepends=True) if "remote:" in line)
    (shell.folder / "shop.yaml").write_text(whole.replace(remote, ""))
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    (shell.folder / "shop.yaml").write_text(whole)
    planned = shell.run("apply", "--dry-run")
    assert "no node takes billing now: " in planned.stdout
    assert "start a node with `ssm node`" in planned.stdout
    refused = shell.run("apply", "--yes")
    assert refused.returncode != 0
    assert "start a node with `ssm node`" in refused.stdout + refused.stderr
    shell.start("node", "--name", "n1", "--label", "zone=a")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.run("apply", "--yes")
    shell.until(lambda: shell.tree()["billing"]["state"] == "running")
    assert shell.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    (pid,) = shell.hosts()
    os.kill(pid, signal.SIGKILL)
    shell.until(lambda: shell.tree()["billing"]["epoch"] >= 2)
    shell.until(lambda: shell.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n")
    assert shell.run("stop", "shop").returncode == 0
    shell.until(lambda: not shell.hosts())


@pytest.mark.parametrize("words", [("node",), ("run", "shop.yaml", "--cluster", "nats://x")])
def test_without_the_extra_one_line_names_the_command(shell: Shell, words: tuple[str, ...]) -> None:
    hidden = "import sys, importlib.util as u; f = u.find_spec\n"
    hidden += "u.find_spec = lambda n, *a: None if n == 'nats' else f(n, *a)\n"
    hidden += "from ssm_cli.__main__ import main; sys.argv[0] = 'ssm'; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", hidden, *words], cwd=shell.folder, env=shell.environ,
        capture_output=True, text=True, timeout=SOON_S, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr == (
        "ssm: remote children need the extra `cluster`: "
        "pip install 'supervised-state-machines[cluster]'\n"
    )


def test_code_that_is_not_on_the_node_is_undef(shell: Shell) -> None:
    tree = SHOP.replace("tree: billing.yaml, place: {zone: a}", "tree: nowhere.yaml")
    (shell.folder / "shop.yaml").write_text(tree)
    shell.start("node", "--name", "n1")
    shell.until(lambda: len(shell.nodes()) == 1)
    done = shell.run("run", "shop.yaml", "--headless")
    assert done.returncode == 1
    assert "failed_to_start_child billing: undef" in done.stderr


def test_a_node_that_has_no_name_or_no_folder_is_refused_before_it_starts(shell: Shell) -> None:
    for words, said in (
        (("--name", "n 1"), "--name takes letters"),
        (("--name", ""), "--name takes letters"),
        (("--name", "n\x1b1"), "--name takes letters"),
        (("--drain", "nan"), "`--drain`: takes a number from 0"),
        (("--dir", "nowhere"), "--dir takes a folder, and nowhere is none"),
        (("--dir", "shop.yaml"), "--dir takes a folder, and shop.yaml is none"),
    ):
        refused = shell.run("node", *words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert said in refused.stderr
    assert not (shell.folder / "state").exists()


def test_a_second_node_of_a_name_does_not_say_that_it_is_in_the_cluster(shell: Shell) -> None:
    shell.start("node", "--name", "n1")
    shell.until(lambda: len(shell.nodes()) == 1)
    refused = shell.run("node", "--name", "n1")
    assert refused.returncode == 5
    assert refused.stderr == "ssm: a node n1 is in the cluster already; give another --name\n"


@pytest.mark.parametrize("orphan", ["keep", "stop"])
def test_what_a_subtree_does_without_its_parent_is_what_orphan_says(
    shell: Shell, orphan: str
) -> None:
    tree = SHOP.replace("place: {zone: a}", f"lease: 0.5, orphan: {orphan}")
    (shell.folder / "shop.yaml").write_text(tree)
    shell.start("node", "--name", "n1")
    shell.until(lambda: len(shell.nodes()) == 1)
    parent = shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    epoch = shell.tree()["billing"]["epoch"]
    parent.kill()
    parent.wait()
    if orphan == "stop":
        shell.until(lambda: not shell.hosts())
        return
    (pid,) = shell.hosts()
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    assert shell.tree()["billing"]["epoch"] == epoch, "the next parent adopts it"
    assert shell.hosts() == [pid]


def second(shop: Shell, *more: str) -> subprocess.Popen[bytes]:
    """Start a tree of the same name once more, as from another computer."""
    elsewhere = shop.folder / "elsewhere"
    elsewhere.mkdir(mode=0o700, exist_ok=True)
    return shop.start("run", "shop.yaml", "--headless", *more, XDG_RUNTIME_DIR=str(elsewhere))


def said(shop: Shell, words: str) -> bool:
    return words in (shop.folder / "log").read_text()


def test_a_second_parent_waits_until_the_first_has_stopped(shop: Shell) -> None:
    first, (pid,) = shop.running[-1], shop.hosts()
    other = second(shop)
    shop.until(lambda: said(shop, "waits for another"))
    assert said(shop, f"process {first.pid}")
    assert shop.hosts() == [pid]
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    assert shop.run("stop", "shop").returncode == 0
    assert first.wait(SOON_S) == 0
    shop.environ["XDG_RUNTIME_DIR"] = str(shop.folder / "elsewhere")
    shop.until(lambda: shop.tree().get("mail", {}).get("state") == "running")
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"
    other.send_signal(signal.SIGTERM)
    assert other.wait(SOON_S) == 0


def test_a_second_parent_that_waits_can_be_stopped_and_leaves_the_children_alone(
    shop: Shell,
) -> None:
    pids = shop.hosts()
    other = second(shop)
    shop.until(lambda: said(shop, "waits for another"))
    other.send_signal(signal.SIGTERM)
    assert other.wait(SOON_S) == 0
    assert not said(shop, "billing terminat")  # it was never its own
    assert shop.hosts() == pids
    shop.until(lambda: shop.tree()["billing"]["state"] == "running")


def test_a_parent_that_is_taken_over_from_ends_in_order_and_the_children_run_on(
    shop: Shell,
) -> None:
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    first, pids = shop.running[-1], shop.hosts()
    other = second(shop, "--takeover")
    assert first.wait(SOON_S) == 8
    assert said(shop, f"process {other.pid}; this tree has ended, and they run on")
    shop.environ["XDG_RUNTIME_DIR"] = str(shop.folder / "elsewhere")
    shop.until(lambda: shop.tree().get("mail", {}).get("state") == "running")
    assert shop.hosts() == pids
    assert shop.tree()["billing"]["restarts"] == 0
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def test_a_parent_that_hangs_while_another_waits_finds_that_it_is_the_parent_no_more(
    shop: Shell,
) -> None:
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    first, pids = shop.running[-1], shop.hosts()
    second(shop)
    shop.until(lambda: said(shop, "waits for another"))
    hung = [first.pid, *children_of(first.pid)]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    shop.environ["XDG_RUNTIME_DIR"] = str(shop.folder / "elsewhere")
    shop.until(lambda: shop.tree().get("mail", {}).get("state") == "running")
    for pid in hung:
        os.kill(pid, signal.SIGCONT)
    assert first.wait(SOON_S) == 8
    assert shop.hosts() == pids
    assert shop.tree()["billing"]["restarts"] == 0
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def test_a_parent_may_leave_its_children_to_the_next_one(shop: Shell) -> None:
    assert shop.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    first, pids = shop.running[-1], shop.hosts()
    assert shop.run("stop", "shop", "--keep-remote").returncode == 0
    assert first.wait(SOON_S) == 0
    assert shop.hosts() == pids
    shop.start("run", "shop.yaml", "--headless")
    shop.until(lambda: shop.tree().get("mail", {}).get("state") == "running")
    assert shop.hosts() == pids
    assert shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"
