"""What a message says can be done about what is kept: in a cluster, no command that opens none."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import CalleeCrashed, Denied, MemoryStore, NoProc, StateMachine
from tests.runtime.durable.parts import (
    Add,
    Boom,
    Message,
    Seen,
    World,
    init,
    step,
    tree,
    worker,
)


class Stream(MemoryStore):
    """Kept as in a cluster: by nothing that `ssm data` opens."""

    afar = True

    def where(self) -> str:
        return "stream SSM_shop, subject ssm.shop.j.bill"


def heavier(message: Message, state: list[int]) -> Any:
    """Step as code does that computes something else of the same inputs."""
    match message:
        case Add(n):
            return [*state, 2 * n], Seen([*state, 2 * n])
    return step(message, state)


OTHER = StateMachine(step=heavier, init=init, inputs=Message, outputs=Seen)


def down(world: World, name: str) -> str:
    with pytest.raises(NoProc) as caught:
        world.node.call(name, Add(5))
    said = str(caught.value)
    assert "ssm data repair" not in said
    assert "--data" not in said
    assert "stream SSM_shop, subject ssm.shop.j.bill" in said
    return said


def test_a_renamed_worker_in_a_cluster_has_two_ways_out_and_both_work() -> None:
    world = World(tree(worker("old")), Stream())
    world.node.call("old", Add(1))
    world.crash(tree(worker("new")))
    said = down(world, "new")
    assert "If old is called new now: call it old again; if not, let new begin by init" in said
    assert "`on_unrecoverable: init`" in said
    world.restart(tree(worker("old")))
    assert world.seen("old") == [1]
    world.restart(tree(worker("new", on_unrecoverable="init")))
    assert world.node.call("new", Add(7)) == Seen([7])


def test_a_state_in_a_cluster_that_the_code_does_not_come_to_has_two_ways_out() -> None:
    world = World(tree(worker("a")), Stream())
    world.node.call("a", Add(1))
    world.crash(tree(worker("a", OTHER)))
    said = down(world, "a")
    assert "run the code that wrote it (digest " in said
    assert "or let a begin by init: `on_unrecoverable: init`" in said
    world.restart(tree(worker("a")))
    assert world.seen() == [1]
    world.restart(tree(worker("a", OTHER, on_unrecoverable="init")))
    assert world.node.call("a", Add(1)) == Seen([2])


def test_an_input_in_quarantine_in_a_cluster_is_let_in_again_by_a_setting() -> None:
    faulty = [True]

    def mendable(message: Message, state: list[int]) -> Any:
        boom = isinstance(message, Boom) and not faulty
        return (state, Seen(state)) if boom else step(message, state)

    start = StateMachine(step=mendable, init=init, inputs=Message, outputs=Seen)
    world = World(tree(worker("a", start, quarantine=1)), Stream())
    with pytest.raises(CalleeCrashed):
        world.node.call("a", Boom())
    with pytest.raises(Denied) as caught:
        world.node.call("a", Boom())
    said = str(caught.value)
    assert "ssm data" not in said
    assert "`quarantine: never` in the settings of a, and a restart, let it in again" in said
    faulty.clear()
    world.restart(tree(worker("a", start, quarantine="never")))
    assert world.node.call("a", Boom()) == Seen([])
    world.restart(tree(worker("a", start, quarantine=1)))
    assert world.node.call("a", Boom()) == Seen([]), "served once, it is out of quarantine"
