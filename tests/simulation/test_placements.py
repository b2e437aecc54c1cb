"""`check-policy` against brute force: every placement on a new node with real workers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ssm_cli import Node, Strategy, Supervisor, SupervisorSpec, Worker
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.placements import (
    CRASH,
    INIT_FAILS,
    PlacedFault,
    PolicySearch,
    Searching,
    crash_matrix,
)
from ssm_cli.simulation.stand_ins import Stand
from ssm_cli.spec.model import Backoff
from tests.simulation.random_trees import Naive, all_ways, fragile, random_tree
from tests.thorough import tries


def searched(tree: SupervisorSpec, faults: int) -> PolicySearch:
    return Searching(Stand.of_spec(tree), faults, Pace(60.0, float)).run()


@pytest.mark.parametrize("seed", range(tries(12, 500)))
def test_the_search_agrees_with_every_placement_tried_one_by_one(seed: int) -> None:
    chance = Random(seed)
    workers = chance.choice([1, 2, 2, 3])
    tree, faults = random_tree(chance, workers), 3 if workers == 1 else 2
    found = searched(tree, faults)
    ways = list(all_ways(tree, faults))
    assert not found.stopped
    assert found.placements == len(ways)
    assert found.down == sum(down for _, down in ways)
    shortest = min((len(faults) for faults, down in ways if down), default=0)
    assert len(found.first) == shortest


@pytest.mark.parametrize("seed", range(tries(12, 100)))
def test_what_survives_all_placements_survives_faults_at_any_other_time(seed: int) -> None:
    chance = Random(f"any time {seed}")
    tree = random_tree(chance, chance.randrange(2, 5))
    if searched(tree, 2).down:
        return
    for _ in range(20):
        naive = Naive(tree, [])
        for _ in range(2):
            workers = naive.workers()
            if workers:
                fault = chance.choice([CRASH, CRASH, INIT_FAILS])
                naive.put(
                    chance.choice([0.0, chance.uniform(0, 12)]), fault, chance.choice(workers)
                )
        assert naive.node.running


@pytest.mark.parametrize("seed", range(tries(8, 60)))
def test_a_way_down_that_was_found_takes_a_real_tree_down(seed: int) -> None:
    chance = Random(f"way down {seed}")
    tree = random_tree(chance, 3)
    way = [(one.after_s, one.fault, one.worker) for one in searched(tree, 3).first]
    if way:
        assert Naive(tree, way[:-1]).node.running
        assert not Naive(tree, way).node.running


def alike(strategy: Strategy, count: int) -> SupervisorSpec:
    children = [Worker(f"w{n}", fragile) for n in range(count)]
    return Supervisor("root", strategy, children, intensity=2)


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL])
def test_workers_that_are_interchangeable_cost_no_further_states(strategy: Strategy) -> None:
    assert searched(alike(strategy, 8), 2).states == searched(alike(strategy, 2), 2).states


def test_workers_are_not_interchangeable_where_their_order_decides() -> None:
    few, many = (searched(alike(Strategy.REST_FOR_ONE, n), 2) for n in (2, 8))
    assert few.states < many.states


def test_the_shortest_way_down_is_one_crash_more_than_the_intensity_at_one_time() -> None:
    found = searched(alike(Strategy.ONE_FOR_ONE, 3), 3)
    assert [one._replace(alike=1) for one in found.first] == [PlacedFault(0.0, CRASH, "w0")] * 3
    assert found.most == {"root": 3}
    assert [*found.gave_up] == ["root"]


def test_an_init_that_fails_counts_as_one_more_restart() -> None:
    tree = Supervisor("root", children=[Worker("w", fragile)])
    assert [one.fault for one in searched(tree, 2).first] in ([CRASH] * 2, [INIT_FAILS, CRASH])


def test_how_long_a_worker_has_run_counts_while_its_back_off_would_grow() -> None:
    worker = Worker("w", fragile, backoff=Backoff(2000, 2, 8000))
    start = Stand.of_spec(Supervisor("root", children=[worker], intensity=9))
    key_of, keys, delays = key_in(start), [], []
    for age_s in (3.1, 5.5):  # no restart is counted any more; the second time it has run for long
        stand = start.fork()
        stand.crash("w")
        stand.wait(2.0)
        stand.wait(age_s)
        keys.append(key_of(stand))
        stand.crash("w")
        delays += [e.detail["delay_ms"] for e in stand.happened if e.event == "delayed"]
    assert delays == [2000, 4000, 2000, 2000]
    assert keys[0] != keys[1]


def key_in(start: Stand) -> Any:
    return Searching(start, 1, Pace(60.0, float))._key


def test_a_search_that_does_not_close_says_which_bound_has_stopped_it() -> None:
    ticking = iter(range(10_000))
    tree = random_tree(Random(1), 6)
    found = Searching(Stand.of_spec(tree), 4, Pace(20.0, lambda: float(next(ticking)))).run()
    assert found.stopped == "20 s"
    assert found.placements > 0


def test_the_matrix_says_who_goes_down_with_whom() -> None:
    above, below = Worker("above", fragile), Worker("below", fragile)
    tree = Supervisor(
        "root", children=[Worker("alone", fragile), Supervisor("s", "rest_for_one", [above, below])]
    )
    found = crash_matrix(Stand.of_spec(tree))
    assert found == {"alone": [], "above": ["below"], "below": []}


def test_a_live_tree_is_looked_at_from_where_it_stands_and_left_as_it_is() -> None:
    tree = Supervisor("root", children=[Worker("w", fragile)], intensity=2)
    node = Node(tree, clock=ManualClock()).start()
    node.stop_process("w", "crash")
    before = node.digest()
    found = Searching(Stand.of_live(node), 3, Pace(60.0, float)).run()
    assert len(found.first) == 2
    assert node.digest() == before
    node.stop()
