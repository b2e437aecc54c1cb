"""Steps that let time pass under a guard, ends that wait, starts that fail in each way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssm_cli import (
    Cast,
    Continue,
    Defer,
    GenServer,
    Ignore,
    NoReply,
    Ok,
    Reply,
    StartTimer,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.runtime.engine import commit
from tests.faults.doors import slow
from tests.faults.edges import plain
from tests.faults.recovery import machine
from tests.faults.rest import interrupts
from tests.faults.scenarios import GUARD, add, asking, crash
from tests.faults.stage import Scenario, Stage, Utf8
from tests.faults.ticks import patched


class Waits(GenServer):
    """Has a time-out under way, answers early, or goes on."""

    codec = Utf8()

    def init(self, _name: str, _args: Mapping[str, Any]) -> Any:
        return Ok(0, then=TimeoutAfter(500))

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        if message == "ping":
            return Reply("ping", state)
        caller.reply("early")
        if message == "own":
            interrupts()
        return NoReply(state, then=TimeoutAfter(500))

    def handle_info(self, _message: Any, state: Any) -> Any:
        return NoReply(state)


def few(stage: Stage) -> Any:
    children = [stage.worker("a"), stage.worker("b"), Worker("w", Waits)]
    return Supervisor("root", children=children, intensity=100, queue=3)


def under_a_guard(stage: Stage) -> None:
    """Calls on the quick way that are late, interrupted, answered early."""
    node, world = stage.node, stage.node._world
    stage.start()
    stage.call("a", add)
    stage.call("a", slow(stage, 9.0))
    stage.call("a", interrupts)
    stage.call("a", add)
    stage.act("begin", node.begin, "a", add)
    stage.call("w", "early")
    stage.do("get_state", "w")
    stage.do("suspend", "w")
    stage.do("get_state", "w")
    stage.do("resume", "w")
    stage.call("w", "own")
    stage.call("a", asking(StartTimer("t", 100, add), StartTimer("u", 300, add)))
    stage.clock._now_s += 0.2
    stage.act("begin", node.begin, "b", add)
    stage.clock._now_s += 0.2
    stage.act("call_value", node.call_value, "b", b"word")
    for _ in range(6):
        stage.do("cast", "b", add)
    stage.do("cast", "b", interrupts)
    for _ in range(6):
        stage.do("cast", "b", add)
    world.pumping = True
    stage.call("a", add)
    world.pumping = True
    stage.do("stop")
    stage.start()
    pending = stage.do("send_request", "a", asking(Defer("k")))
    stage.act("wait", node.wait, pending, None)
    for name in "ab":
        stage.ask(name, add)
    stage.act("stop", node.stop, drain=False)
    stage.start()


def stopped_by_a_reader(stage: Stage) -> None:
    """A reader of reports stops the tree while it runs."""
    node = stage.node

    def reader(report: Any) -> None:
        if report.event == "crashed" and not stage.fired:
            node.stop()

    stage.start()
    end = node.subscribe(reader)
    stage.call("b", crash)
    end()
    stage.start()


def starts_badly(stage: Stage) -> None:
    """Supervisors whose init fails in each way, interrupted or not."""
    inits: list[Any] = [
        lambda _name: 1 / 0, lambda _name: 7, lambda _name: Ignore(), interrupts, None,
    ]  # fmt: skip
    stage.start()
    for number, init in enumerate(inits):
        name = f"s{number}"
        children = [stage.worker(f"w{number}"), stage.worker(f"v{number}")]
        stage.do("start_child", "root", Supervisor(name, children=children, init=init))
        stage.do("delete_child", "root", name)
    flood = [Cast(None, add)] * 20
    many = stage.server(lambda state: Ok(state, effects=flood))
    for answer in (lambda _state: interrupts(), lambda state: Ok(state, then=Continue(NoReply))):
        stage.do("start_child", "root", Worker("x", stage.server(answer)))
        stage.do("terminate_child", "root", "x")
        stage.do("delete_child", "root", "x")
    with patched(commit, "MOST_EFFECTS", 10):
        stage.do("start_child", "root", Worker("x", many))
        stage.call("a", lambda state: (state, 1, flood))
    stage.stop()


def impure(stage: Stage) -> None:
    """Interruptions in steps that are run twice; inputs that are changed in place."""
    stage.start()
    stage.call("a", interrupts)
    stage.call("a", Changed())
    stage.call("a", Uncopied())
    stage.stop()


class Changed:
    """An input that its step changes."""

    def __init__(self) -> None:
        self.times = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Changed) and other.times == self.times

    def __hash__(self) -> int:
        return 0

    def __call__(self, state: Any) -> Any:
        self.times += 1
        return state, "changed"


class Uncopied:
    """An input whose copying interrupts."""

    def __call__(self, state: Any) -> Any:
        return state, "copied"

    def __deepcopy__(self, _memo: Any) -> Any:
        interrupts()


def no_room(stage: Stage) -> Any:
    worker = Worker("a", machine(), persist="journal", on_crash="last_good")
    return Supervisor("root", children=[worker], queue=2, intensity=100)


def makes_room(stage: Stage) -> None:
    """Casts of a journalled worker beyond the bound of the queue."""
    stage.start()
    for _ in range(5):
        stage.do("cast", "a", b"one")
    stage.stop()


OWN: dict[str, Any] = {"kills": True, "defers": True, "kinds": (KeyboardInterrupt,)}

SCENARIOS = [
    Scenario("under_a_guard", few, under_a_guard, may_end=True, watched=False, options=GUARD,
             **OWN),
    Scenario("stopped_by_a_reader", few, stopped_by_a_reader, may_end=True, **OWN),
    Scenario("starts_badly", few, starts_badly, frozenset("abx"), may_end=True, **OWN),
    Scenario("impure_again", plain(*"ab"), impure, options={"verify_pure": True}, **OWN),
    Scenario("makes_room", no_room, makes_room, durable=True, **OWN),
]  # fmt: skip
