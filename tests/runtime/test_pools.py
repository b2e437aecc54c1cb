"""Pools: children made from a template, each with arguments of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    Cast,
    Node,
    NoProc,
    Remote,
    SpecError,
    StateMachine,
    Supervisor,
    SupervisorError,
    TreeFileError,
    Worker,
    load_tree,
    partition,
)
from ssm_cli.behaviour.partition import number_of
from ssm_cli.commands.values import child_spec_of
from ssm_cli.errors import CommandError
from ssm_cli.http.client.specs import text_of_spec
from ssm_cli.spec.model import Labelled
from tests.runtime.workers import actor, fail, get, running

SHOWS = StateMachine(step=actor.step, init=lambda name, args: (name, dict(args)))
POOL = Supervisor(
    "pool", "simple_one_for_one", [Worker("template", SHOWS, args={"size": 1, "unit": "m"})]
)


def test_a_child_has_the_arguments_of_the_template_and_its_own_over_them_in_each_life() -> None:
    with running(POOL) as node:
        assert node.start_child("pool", "a", {"size": 7}) == "a"
        node.start_child("pool", "b")
        node.start_child("pool", "c", {})
        with pytest.raises(CalleeCrashed):
            node.call("a", fail)
        assert node.call("a", get) == ("a", {"size": 7, "unit": "m"})
        assert node.call("b", get) == node.call("b", get) == ("b", {"size": 1, "unit": "m"})
        assert node.call("c", get)[1] == {"size": 1, "unit": "m"}
        assert node.fork().call("a", get)[1]["size"] == 7


@pytest.mark.parametrize("args", [{1: "x"}, "size=7", ["size"]])
def test_what_are_no_arguments_is_refused_by_its_place(args: Any) -> None:
    with running(POOL) as node:
        with pytest.raises(SupervisorError, match=r"root/pool/\(child\)\.args: .*expected") as why:
            node.start_child("pool", "a", args)
        assert why.value.term == {"invalid_child_spec": "a"}
        assert node.which_children("pool") == []


def test_a_template_that_is_no_worker_takes_no_arguments() -> None:
    pool = Supervisor("pool", "simple_one_for_one", [Supervisor("s", children=[])])
    with running(pool) as node, pytest.raises(SupervisorError, match="the template is no worker"):
        node.start_child("pool", "a", {"size": 1})


def test_a_supervisor_that_is_no_pool_takes_no_label_with_arguments() -> None:
    with running(Worker("w", SHOWS)) as node:
        with pytest.raises(SupervisorError, match="it takes child specs, not labels"):
            node.start_child("root", "a", {"size": 1})
        with pytest.raises(TypeError, match="a child spec has its own"):
            node.start_child("root", Remote("r", "./x.yaml"), {"size": 1})


def test_a_line_and_a_request_give_arguments_as_json_behind_the_label() -> None:
    wanted = Labelled("a", {"size": 7})
    assert child_spec_of('a {"size": 7}') == wanted
    assert child_spec_of(text_of_spec(wanted)) == wanted
    with pytest.raises(CommandError, match="the arguments of a are no JSON object") as caught:
        child_spec_of("a {size: 7}")
    assert caught.value.column == 3


def count(message: Any, state: int) -> Any:
    """Count, and send on what is a pair of a name and a message."""
    sends = [Cast(*message)] if isinstance(message, tuple) else []
    return state + 1, state + 1, sends


COUNTS = StateMachine(step=count, init=lambda *_: 0)
PARTS = Supervisor("carts", children=[Worker("cart", COUNTS)], partitions=8)


# -- names -------------------------------------------------------------------------------------

TWO = (
    Worker("desk", SHOWS, args={"is": "desk"}, restart="temporary"),
    Supervisor("one", "simple_one_for_one", [Worker("t", SHOWS)]),
    Supervisor("two", "simple_one_for_one", [Worker("t", SHOWS)]),
)


def test_a_label_is_a_matter_of_its_pool_alone() -> None:
    with running(*TWO) as node:
        for pool in ("one", "two"):
            for label in ("a", "desk", "one"):
                node.start_child(pool, label, {"is": pool})
        for name in ("a", "one:a", "root/one:a", "root/one/one:a", "root/one/a"):
            assert node.call(name, get) == ("a", {"is": "one"})
        for name in ("two:a", "root/two:a", "root/two/two:a", "root/two/a"):
            assert node.call(name, get) == ("a", {"is": "two"})
        assert node.call("two:one", get)[1] == node.call("two:desk", get)[1] == {"is": "two"}
        assert node.names("worker") == ["desk", "a", "one:desk", "one:one",
                                        *[f"two:{x}" for x in ("a", "desk", "one")]]  # fmt: skip
        for pool, child in (("one", "a"), ("two", "two:a")):
            with pytest.raises(SupervisorError, match=f"{child} is there already"):
                node.start_child(pool, "a")


def test_a_label_alone_finds_its_child_where_nobody_else_may_be_meant() -> None:
    with running(*TWO) as node:
        node.start_child("one", "a")
        node.start_child("one", "desk")
        assert node.whereis("a") == node.whereis("one:a")
        node.start_child("two", "a")
        node.terminate_child("one", "a")
        assert node.whereis("a") == node.whereis("two:a")
        node.start_child("two", "desk")
        assert node.call("desk", get)[1] == {"is": "desk"}
        node.kill("desk")
        node.run()
        with pytest.raises(NoProc, match=r"no worker desk; there are one:desk, two:desk"):
            node.call("desk", get)


@pytest.mark.parametrize("child", ["a", "pool:a", "root/pool/a"])
def test_a_child_is_ended_by_its_name_and_a_label_that_is_none_is_refused(child: str) -> None:
    with running(POOL) as node:
        node.start_child("pool", "a")
        node.terminate_child("pool", child)
        assert node.which_children("pool") == []
        with pytest.raises(SupervisorError) as refused:
            node.terminate_child("pool", "a")
        assert refused.value.term == "simple_one_for_one"


def test_what_a_pool_makes_of_a_supervisor_has_names_below_its_label() -> None:
    below = Supervisor("desk", children=[Worker("w", SHOWS), PARTS])
    with running(Supervisor("pool", "simple_one_for_one", [below])) as node:
        assert node.start_child("pool", "a") == "a"
        for name in ("a/w", "pool:a/w", "root/pool/a/a/w"):
            assert node.call(name, get)[0] == "a/w"
        assert node.call("pool:a/carts:ann", 1) == node.call("a/carts:ann", 1) - 1 == 1
        assert node.get_state("pool:a/carts/cart-4") == node.get_state("a/carts/cart-4") == 2
        assert node.start_child("pool", "carts") == "carts"


HOSTILE = ["pool:", ":a", "pool::a", "pool:a:a", "root/pool/a/a", "/" * 90_000, ":" * 90_000]


@pytest.mark.parametrize("name", [*HOSTILE, "root/" * 18_000], ids=range(len(HOSTILE) + 1))
def test_a_name_that_is_none_is_nobody_whatever_it_is_made_of(name: str) -> None:
    with running(POOL) as node:
        node.start_child("pool", "a")
        with pytest.raises(NoProc):
            node.call(name, get)


# -- partitions --------------------------------------------------------------------------------


def test_the_one_child_becomes_so_many_and_a_key_always_reaches_the_same() -> None:
    with running(PARTS) as node:
        assert node.names("worker") == [f"cart-{n}" for n in range(1, 9)]
        keys = [f"user{n}" for n in range(100)]
        for _ in range(2):
            for key in keys:
                node.call(f"carts:{key}", 1)
        counts = [node.get_state(f"cart-{n}") for n in range(1, 9)]
        assert sum(counts) == 200
        assert min(counts) > 0
        assert all(n % 2 == 0 for n in counts)


@pytest.mark.parametrize(("key", "owner"), [("ann", 4), ("bob", 1), ("", 1), ("é:/x", 5)])
def test_the_owner_of_a_key_is_the_same_in_each_process(key: str, owner: int) -> None:
    with running(PARTS) as node:
        node.call(f"root/carts:{key}", 1)
        node.cast(partition("carts", key), 1)
        node.call("cart-1", (partition("carts", key), 1))
        node.run()
        assert node.get_state(f"cart-{owner}") == 3 + (owner == 1)


def test_keys_of_other_types_have_a_text_and_what_has_none_is_refused() -> None:
    found = [partition("p", key) for key in (7, True, None, b"\x01", ("a", 7, (None,)))]
    assert found == ["p:7", "p:True", "p:None", "p:01", "p:('a', 7, (None))"]
    for key in ([1], {"a": 1}, 1.5, object(), ("a", [1])):
        with pytest.raises(TypeError, match="is no key of a partition: expected str, int"):
            partition("p", key)


@pytest.mark.parametrize("name", ["nobody:x", "root:x", "cart-1:x", ":x", "carts:"])
def test_a_name_with_a_key_that_is_no_pool_is_no_worker(name: str) -> None:
    with running(PARTS) as node:
        if name == "carts:":
            assert node.call(name, 1) == 1  # the empty text is a key
            return
        with pytest.raises(NoProc, match=f"no worker {name}"):
            node.call(name, 1)


def test_no_partition_is_taken_away_or_added_by_itself() -> None:
    with running(PARTS) as node:
        for verb, what in (("terminate_child", "cart-1"), ("start_child", Worker("x", COUNTS))):
            with pytest.raises(SupervisorError, match="partitions") as refused:
                node.perform(verb, "carts", what)
            assert refused.value.term == "partition"
        node.perform("restart", "cart-1")
        node.terminate_child("root", "carts")
        node.restart_child("root", "carts")
        assert node.call("carts:bob", 1) == 1


@pytest.mark.parametrize("named", ["{}", "root/carts/{}", "carts:{}"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_partition_is_acted_upon_by_its_own_name_and_by_its_keys_in_full(
    number: int, named: str
) -> None:
    with running(PARTS) as node:
        name = f"cart-{number}"
        if named == "carts:{}":
            key, name = name, node.which_child("carts", f"carts:{name}").id
            named = f"carts:{key}"
        else:
            named = named.format(name)
        assert node.which_child("carts", named).id == name
        assert node.get_childspec("carts", named).id == name
        with pytest.raises(SupervisorError, match=f"{name} is running"):
            node.restart_child("carts", named)
        node.perform("restart", named)
        starts = {one: node._world.names[one].starts for one in node.names("worker")}
        assert starts == {f"cart-{one}": 1 + (f"cart-{one}" == name) for one in range(1, 9)}


@pytest.mark.parametrize("name", ["ann", "cart-9", "cart-0", ""])
def test_what_is_no_partition_and_no_key_in_full_is_no_child(name: str) -> None:
    with running(PARTS) as node:
        for ask in (node.which_child, node.get_childspec, node.restart_child):
            with pytest.raises(SupervisorError) as refused:
                ask("carts", name)
            assert refused.value.term == "not_found"


def test_partitions_of_supervisors_have_names_of_their_own_below_them() -> None:
    below = Supervisor("shard", children=[Worker("w", COUNTS)])
    with running(Supervisor("shards", children=[below], partitions=2)) as node:
        assert node.names("worker") == ["shard-1-w", "shard-2-w"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"children": []}, "has no meaning for no children; expected exactly one"),
        ({"children": [Worker("a", COUNTS), Worker("b", COUNTS)]}, "has no meaning for 2 children"),
        ({"strategy": "simple_one_for_one"}, "has no meaning under simple_one_for_one"),
        ({"partitions": 1025}, "is 1025; expected a whole number"),
    ],
)
def test_partitions_that_cannot_be_are_refused_before_anything_starts(
    flags: dict[str, Any], says: str
) -> None:
    given: dict[str, Any] = {"children": [Worker("a", COUNTS)], "partitions": 4, **flags}
    with pytest.raises(SpecError, match=says):
        Node(Supervisor("root", **given))


def test_a_tree_file_names_the_place_of_partitions_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    start = "start: ssm_cli.machines.kv:kv_store"
    path.write_text(f"supervisor: root\npartitions: 3\nchildren:\n  - {{worker: a, {start}}}\n")
    assert [child.id for child in load_tree(path).children] == ["a-1", "a-2", "a-3"]
    path.write_text("supervisor: root\npartitions: 3\nchildren: []\n")
    with pytest.raises(TreeFileError, match=r"2:13: root.partitions: has no meaning for no"):
        load_tree(path)


PARTED = "{supervisor: parts, partitions: 3, children: [{worker: a, START}]}"
CLASHES = {
    "a worker before": (f"[{{worker: a-2, START}}, {PARTED}]", "a-2"),
    "a worker behind": (f"[{PARTED}, {{worker: a-2, START}}]", "a-2"),
    "a supervisor": (f"[{PARTED}, {{supervisor: a-3, children: []}}]", "a-3"),
    "other partitions": (
        f"[{PARTED}, {PARTED.replace('a, ', 'a-1, ').replace('parts,', 'q,')}]",
        "a-1",
    ),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_a_name_that_partitions_make_and_another_has_is_told_with_its_place(
    clash: str, tmp_path: Path
) -> None:
    """It is found as the file is read, by `ssm check`, and not by the start."""
    body, name = CLASHES[clash]
    path = tmp_path / "t.yaml"
    code = "start: ssm_cli.machines.kv:kv_store"
    path.write_text(f"supervisor: root\nchildren: {body}\n".replace("START", code))
    with pytest.raises(TreeFileError) as refused:
        load_tree(path)
    said = f".partitions: makes {name}, which is the name of root/"
    assert any(said in complaint and ":2:" in complaint for complaint in refused.value.complaints)
