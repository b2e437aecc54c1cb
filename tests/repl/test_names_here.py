"""The words with which a call may begin where a session stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ssm_cli import ManualClock, Node, Supervisor, Worker
from ssm_cli.errors import CommandError
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.shell.interpret import NamesHere, WorkerNames, read_command
from ssm_cli.repl.shell.results import Results


@pytest.fixture
def node() -> Iterator[Node]:
    pool = Supervisor("pool", "simple_one_for_one", [Worker("t", kv_store)])
    tree = Supervisor("root", children=[Worker("kv", kv_store), pool])
    with Node(tree, clock=ManualClock(), history=100) as node:
        yield with_past(node, str)


def test_a_child_that_a_fork_alone_has_is_called_by_its_name_there(node: Node) -> None:
    results = Results()
    names = NamesHere(WorkerNames(node), node, results)
    place = node.perform("fork")["place"]
    node.perform("standing", place, reading=False).start_child("pool", "new")
    with pytest.raises(CommandError, match=r"neither a command nor a worker|belongs in the shell"):
        read_command("one Store x 1", names, results)
    results.place = place
    command = read_command("new Store x 1", names, results)
    assert command is not None
    assert command.arguments["worker"] == "new"
    assert {"kv", "new"} <= {*names}


def test_a_place_that_is_forgotten_has_no_names(node: Node) -> None:
    results = Results()
    names = NamesHere(WorkerNames(node), node, results)
    results.place = "fork9"
    assert "new" not in names
    assert "kv" in names
