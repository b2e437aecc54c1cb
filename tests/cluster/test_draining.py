"""A node that is to end, in the simulation: what no other node takes runs on until one does."""

from __future__ import annotations

import pytest

from ssm_cli.cluster.agent.draining import Draining
from tests.cluster.schedules import crash_for_good, judged
from tests.cluster.world import CHILDREN, World

TOLD_S, LONG_S, THERE_S = 4.0, 10.0, 12.0  # when it is told to end, is still there, another comes


def alone(seed: int) -> World:
    """A node with all children, which is told to end; no other one is there until later."""
    world = World(seed)
    world.nodes["b"].crash()
    world.nodes["c"].crash()
    world.net.at(TOLD_S, world.nodes["a"].leaving.set)
    return world


def acked(world: World) -> dict[str, int]:
    return {client.child: len(world.acked[client.name]) for client in world.clients}


@pytest.mark.parametrize("seed", range(10))
def test_a_node_keeps_what_no_other_node_takes_until_one_does(seed: int) -> None:
    world, seen = alone(seed), list[dict[str, int]]()
    for at_s in (TOLD_S + 2.0, LONG_S):
        world.net.at(at_s, lambda: seen.append(acked(world)))
    world.net.at(THERE_S, world.nodes["b"].begin)
    assert judged(world) == []
    assert all(seen[1][child] > seen[0][child] for child in CHILDREN), "they are served meanwhile"
    assert world.at_the_end == ["b"]
    assert world.lives == 2 * len(CHILDREN)
    assert world.parents[0].counted == []


@pytest.mark.parametrize("seed", range(10))
def test_what_no_node_takes_in_its_time_ends_in_order_and_is_not_counted(seed: int) -> None:
    world = alone(seed)
    world.nodes["a"].agent._draining = Draining(2.0)
    world.net.at(THERE_S, world.nodes["b"].begin)
    assert judged(world) == []
    assert world.at_the_end == ["b"]
    assert world.parents[0].counted == []
    assert "no node is in the cluster" in world.parents[0].whys


def test_a_subtree_that_dies_while_its_node_is_to_end_is_waited_for_no_more() -> None:
    world = alone(1)
    world.net.at(TOLD_S + 2.0, crash_for_good, world)
    world.net.at(TOLD_S + 3.0, world.nodes["b"].begin)
    assert judged(world) == []
    assert len(world.parents[0].counted) <= 1
