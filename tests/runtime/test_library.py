"""A node as a library: without asyncio, and never entered twice."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ssm_cli import CalledFromStep, CalleeCrashed, Node, Supervisor
from tests.runtime.workers import add, get, running, worker

PLAIN = """
import sys
from ssm_cli import Node, Supervisor, Worker
from ssm_cli.machines.kv import Lookup, kv_store

with Node(Supervisor("root", children=[Worker("kv", kv_store)])) as node:
    assert node.call("kv", b"Store x 1") == b"Ok"
    node.cast("kv", b"Store x 2")
    print(node.call("kv", Lookup("x")))
    node.kill("kv")
    print(node.call("kv", Lookup("x")))
print(sorted({"asyncio", "socket", "subprocess", "multiprocessing"} & set(sys.modules)))
"""


def test_a_tree_runs_without_asyncio_and_without_sockets() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["Result(value=2)", "Result(value=None)", "[]"]


@pytest.mark.parametrize("name", [5, b"kv", True, ["kv"]])
def test_a_name_that_is_no_text_is_refused_in_words_of_its_own(name: Any) -> None:
    with pytest.raises(TypeError, match=r"^name=.* is no name: expected text, or None$"):
        Node(Supervisor("root", children=[worker("a")]), name=name)


def test_a_step_that_calls_its_own_node_crashes_and_says_what_to_do() -> None:
    with running(worker("a"), worker("b")) as node:
        with pytest.raises(CalleeCrashed, match="a called its own node from a step; return an"):
            node.call("a", lambda _: node.call("b", get))
        assert node.call("b", get) == 0


@pytest.mark.parametrize(
    "entry",
    [
        lambda node: node.cast("b", 1),
        lambda node: node.run(),
        lambda node: node.kill("b"),
        lambda node: node.which_children("root"),
        lambda node: node.stop(),
        lambda node: node.start_child("root", worker("c")),
    ],
)
def test_no_way_into_a_node_from_a_step_hurts_the_node(entry: Any) -> None:
    with running(worker("a"), worker("b")) as node:
        with pytest.raises(CalleeCrashed) as caught:
            node.call("a", lambda _: entry(node))
        assert isinstance(caught.value.error, CalledFromStep)
        assert node.call("b", get) == 0


def test_a_step_may_call_another_node() -> None:
    with running(worker("a")) as one, running(worker("a")) as other:
        assert one.call("a", lambda state: (state, other.call("a", add(5)))) == 5


def test_an_outcome_may_be_heard_by_someone_who_sends_on() -> None:
    with running(worker("a"), worker("b")) as node:
        node.send_request("a", add(3), lambda pending: node.cast("b", add(pending.value)))
        node.run()
        assert node.call("b", get) == 3


def test_two_nodes_of_the_same_tree_share_nothing() -> None:
    tree = Supervisor("root", children=[worker("a")])
    with Node(tree) as one, Node(tree, name="other") as other:
        one.call("a", add(1))
        assert other.call("a", get) == 0
        assert (one.name, other.name) == ("root", "other")
