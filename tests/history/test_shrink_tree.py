from __future__ import annotations

from random import Random
from typing import Any

from ssm_cli import Node, Strategy, Supervisor, Worker
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.history.shrink import Unshrunk
from ssm_cli.history.shrink_tree import ShrunkTree, TreeInput, shrink_tree
from ssm_cli.history.trials import Bounds
from ssm_cli.machines.kv import Lookup, Store, kv_store
from ssm_cli.runtime.clock import ManualClock

QUIET_S = 100.0


def node(intensity: int = 2, period: float = 5) -> Node:
    tree = Supervisor(
        "root",
        Strategy.ONE_FOR_ONE,
        [Worker(f"kv{n}", kv_store) for n in (1, 2, 3)],
        intensity=intensity,
        period=period,
    )
    return Node(tree, clock=ManualClock()).start()


def history(seed: int = 1, count: int = 300) -> list[TreeInput]:
    """Noise with a crash now and then, never three in five seconds; then three of them."""
    chance = Random(seed)
    noise: list[TreeInput] = []
    for _ in range(count):
        worker = f"kv{chance.randrange(1, 4)}"
        if chance.random() < 0.1:
            noise.append(TreeInput(worker, Kind.CALL, Lookup("crash"), QUIET_S))
        else:
            noise.append(TreeInput(worker, Kind.CAST, Store(f"key{chance.random()}", 7), 0.5))
    return [*noise, *[TreeInput("kv2", Kind.CALL, Lookup("crash"), 1.0)] * 4]


def shrunk_tree(inputs: list[TreeInput], start: Node | None = None, **bounds: Any) -> ShrunkTree:
    start = node() if start is None else start
    result = shrink_tree(lambda: start, inputs, Bounds(**bounds))
    assert isinstance(result, ShrunkTree), result
    return result


def test_the_root_gives_up_after_one_crash_more_than_its_intensity_and_nothing_else() -> None:
    result = shrunk_tree(history())
    assert [one.message for one in result.inputs] == [Lookup("crash")] * 3
    assert result.given == 304
    assert result.complete


def test_time_passes_only_where_it_has_to() -> None:
    assert {one.after_s for one in shrunk_tree(history()).inputs} == {0.0}


def test_the_node_that_it_begins_with_is_left_as_it_is() -> None:
    start = node()
    before = start.digest()
    shrunk_tree(history(), start)
    assert start.digest() == before
    assert not start.gave_up


def test_what_was_found_takes_a_new_tree_down() -> None:
    result, fresh = shrunk_tree(history()), node()
    for one in result.inputs:
        fresh.begin(one.worker, one.message)
        fresh.run()
    assert fresh.gave_up


def test_a_history_that_takes_nothing_down_is_refused() -> None:
    refused = shrink_tree(node, history()[:-4])
    assert isinstance(refused, Unshrunk)
    assert "does not give up" in refused.why


def test_the_same_history_gives_the_same_twice_within_its_bounds() -> None:
    one, other = shrunk_tree(history(3)), shrunk_tree(history(3))
    assert one == other
    assert one.steps < 20_000
    few = shrunk_tree(history(3), runs=5)
    assert few.runs == 5
    assert not few.complete


def test_inputs_as_bytes_and_of_workers_that_are_not_there_do_no_harm() -> None:
    inputs = [
        TreeInput("nobody", Kind.CALL, b"Lookup x"),
        TreeInput("nobody", Kind.CAST, b"Lookup x"),
        TreeInput("kv1", Kind.CALL, b"no input"),
        *[TreeInput("kv1", Kind.CALL, b"Lookup crash", 0.1)] * 9,
    ]
    result = shrunk_tree(inputs)
    assert [one.message for one in result.inputs] == [b"Lookup crash"] * 3
    assert "12 inputs -> 3 inputs take the root down" in result.said(0.1)
