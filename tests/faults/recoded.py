"""Other code for workers that live, between two inputs, with inputs and timers that wait."""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli import StartTimer, Supervisor, Worker
from ssm_cli.errors import CodeRefused
from ssm_cli.runtime.performer.recoding import Recode, tell_difference, tell_failure, waiting_values
from tests.faults.recovery import machine
from tests.faults.scenarios import add, asking, flat
from tests.faults.stage import Scenario, Stage


def carry(value: Any) -> Any:
    """Carry a value; what is carried is the same."""
    return value


def to(stage: Stage, name: str) -> Recode:
    """Return the code of a worker, made again."""
    cell: Any = stage.node._world.names[name]
    start = msgspec.structs.replace(cell.behaviour, version="2")
    return Recode(start, start, cell.state, carry, cell.state, {"was": "a", "code": "b"})


def recoded(stage: Stage) -> None:
    """Take other code while inputs wait, in the queue and put off, and timers run."""
    node, world = stage.node, stage.node._world
    stage.start()
    stage.call("a", asking(StartTimer("t", 100, add)))
    for number in range(3):
        stage.ask("a", add)
        stage.act("values", list, waiting_values(world, world.names["a"]))
        stage.do("recode", "a", to(stage, "a"))
        stage.do("suspend" if number == 0 else "resume", "a")
    stage.do("run", 1.0)
    stage.do("terminate_child", "root", "b")
    stage.do("recode", "b", to(stage, "b"))
    stage.do("restart_child", "root", "b")
    stage.act("tell", tell_difference, world, world.names["c"], {"was": "a", "code": "b"})
    stage.act("tell", tell_failure, world, CodeRefused("no"))
    stage.call("a", add)
    stage.do("at", node.record)
    stage.stop()


def pool(stage: Stage) -> Any:
    """A pool."""
    return Supervisor("root", "simple_one_for_one", [stage.worker("a")])


def pooled(stage: Stage) -> None:
    """Take other code for a pool and its children."""
    stage.start()
    stage.do("start_child", "root", "a1")
    stage.do("recode", "a1", to(stage, "a1"))
    stage.do("recode_pool", "root", to(stage, "a1").start)
    stage.do("start_child", "root", "a2")
    stage.stop()


def kept(stage: Stage) -> Any:
    """A journalled worker, and one that is saved now and then."""
    a, b = (Worker("a", machine(), persist="journal"), Worker("b", machine(), persist="snapshot"))
    children = [a, b]
    return Supervisor("root", children=children, intensity=100)


def recoded_kept(stage: Stage) -> None:
    """Take other code for durable workers, which run or do not."""
    stage.start()
    for _ in range(2):
        for name in "ab":
            stage.call(name, b"one")
            stage.do("recode", name, to(stage, name))
    stage.do("terminate_child", "root", "a")
    stage.do("recode", "a", to(stage, "a"))
    stage.do("restart_child", "root", "a")
    stage.call("a", b"two")
    stage.stop()


SCENARIOS = [
    Scenario("recoded", flat("one_for_one"), recoded, frozenset("b"), watched=False,
             options={"history": 64}),
    Scenario("recoded_pool", pool, pooled, watched=False, options={"history": 64}),
    Scenario("recoded_kept", kept, recoded_kept, frozenset("a"), durable=True, kills=True,
             defers=True),
]  # fmt: skip
