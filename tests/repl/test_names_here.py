"""The words with which a call may begin where a session stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ssm_cli import ManualClock, Node, Supervisor, Worker
from ssm_cli.errors import CommandError
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import Lookup, Result, kv_store
from ssm_cli.repl.shell.interpret import NamesHere, names_to_call, read_command
from ssm_cli.repl.shell.results import Results
from tests.repl.conftest import typing, until


@pytest.fixture
def node() -> Iterator[Node]:
    pool = Supervisor("pool", "simple_one_for_one", [Worker("t", kv_store)])
    tree = Supervisor("root", children=[Worker("kv", kv_store), pool])
    with Node(tree, clock=ManualClock(), history=100) as node:
        yield with_past(node, str)


def test_a_child_that_a_fork_alone_has_is_called_by_its_name_there(node: Node) -> None:
    results = Results()
    names = NamesHere(partial(names_to_call, node), node, results)
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
    names = NamesHere(partial(names_to_call, node), node, results)
    results.place = "fork9"
    assert "new" not in names
    assert "kv" in names


def unstarted() -> Node:
    return with_past(Node(Supervisor("root", children=[Worker("kv", kv_store)]), history=100), str)


def test_lines_that_wait_behind_a_failed_fork_are_dropped(tmp_path: Path) -> None:
    node = unstarted()

    async def paste() -> str:
        async with typing(tmp_path, node=node) as person:
            person.session.actions.take("fork 99999\nkv Store x 1\nkv Store x 2\n")
            await until(lambda: "2 lines were not carried out" in person.output)
            person.type("kv Store x 3\r")
            await until(lambda: "may be meant for where that leads" in person.output)
            assert person.session.commands.prompt.startswith("nowhere")
            person.type("now\rkv Store x 4\r")
            await until(lambda: "Ok" in person.output, lambda: person.output)
            assert node.call("kv", Lookup("x")) == Result(4)
            return person.output

    assert "Store x 2" not in asyncio.run(paste()).replace("fork 99999", "")


def test_a_lone_line_that_leads_nowhere_leaves_one_where_one_is(tmp_path: Path) -> None:
    async def type_() -> str:
        async with typing(tmp_path, node=unstarted()) as person:
            person.type("fork 99999\r")
            await until(lambda: "99999" in person.output.partition("there is no record")[2])
            person.type("kv Store x 1\r")
            await until(lambda: "Ok" in person.output, lambda: person.output)
            return person.output

    assert "may be meant" not in asyncio.run(type_())


@pytest.mark.parametrize("then", ["y", "n", "adopt kv --why again --yes"])
def test_adopt_asks_and_another_line_than_yes_or_no_is_carried_out(
    tmp_path: Path, then: str
) -> None:
    node = unstarted()

    async def type_() -> str:
        async with typing(tmp_path, node=node) as person:
            person.type("kv Store x 1\rfork\rkv Store x 2\radopt kv --why test\r")
            await until(lambda: "Type y to go on" in person.output, lambda: person.output)
            person.type(f"{then}\r")
            ends = "not done" if then == "n" else "adopted"
            await until(lambda: ends in person.output, lambda: person.output)
            assert node.get_state("kv") == {"x": 1 if then == "n" else 2}
            return person.output

    assert ("not done" in asyncio.run(type_())) == (then != "y")
