"""What is left: exits that are trapped, keys, digests, readiness, hooks, nodes that are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from ssm_cli import (
    Answer,
    Backoff,
    Cast,
    Defer,
    Exit,
    GenServer,
    Ignore,
    Info,
    ManualClock,
    MemoryStore,
    Node,
    NoReply,
    Ok,
    Reply,
    StartTimer,
    Supervisor,
    SystemClock,
    TimeoutAfter,
    Worker,
)
from ssm_cli.errors import DecodeError
from ssm_cli.runtime import outside
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine import contained, digest, events
from ssm_cli.runtime.looking import listing, readiness
from tests.faults.doors import tried
from tests.faults.edges import Unhashed, Unshown
from tests.faults.scenarios import add, asking, crash, failing
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.ticks import patched


class Traps(GenServer):
    """Traps exits, shows itself badly, ends in each way."""

    trap_exit = True
    codec = Utf8()

    def init(self, _name: str, _args: Mapping[str, Any]) -> Any:
        return Ok(0)

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        if callable(message):
            return message(caller, state)
        if message == "now":
            caller.reply("early")
            return NoReply(state)
        return Reply(message, state)

    def handle_info(self, message: Any, state: Any) -> Any:
        return NoReply(state, then=TimeoutAfter(100))

    def terminate(self, reason: Any, _state: Any) -> None:
        if "bad" in str(reason):
            raise Unshown
        if "exits" in str(reason):
            raise SystemExit(3)


class Colour(Enum):
    RED = 1


class Odd:
    def __reduce_ex__(self, _protocol: Any) -> Any:
        raise ZeroDivisionError("as asked")


class Text:
    def __reduce_ex__(self, _protocol: Any) -> Any:
        return "text"


class Worse(Exception):
    """An exception whose text interrupts, or fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def __str__(self) -> str:
        raise self._error


STATES: list[Any] = [
    {"a": {1, 2}}, deque([1], 3), Colour.RED, Odd(), Text(), Unshown(), crash, b"x",
]  # fmt: skip


def raises(error: BaseException) -> Callable[[Any], Any]:
    def step(_state: Any) -> Any:
        raise error

    return step


def odd(stage: Stage) -> Any:
    def late(_name: str) -> Any:
        return Ignore() if stage.trap[0] == "ignore" else None

    late_one = Supervisor("late", children=[stage.worker("l")], init=late)
    template = Supervisor("t", children=[stage.worker("tw")])
    pool = Supervisor("pool", "simple_one_for_one", [template], max_children=1)
    slow = {"backoff": Backoff(100, 2, 1000, jitter=0.5)}
    return Supervisor(
        "root",
        children=[
            Worker("trap", Traps),
            stage.worker("a"),
            stage.worker("b", **slow),
            late_one,
            pool,
        ],
        intensity=100,
        queue=16,
    )


def exits(stage: Stage) -> None:
    """Exit signals, bad ends, pools of supervisors, children that are gone."""
    node = stage.node
    stage.start()
    stage.do("exit", "trap", "odd")
    stage.do("run")
    stage.do("exit", "trap", "odd", "parent")
    stage.do("exit", "a", "normal")
    stage.do("exit", "a", "odd")
    for reason in ("bad", "exits", "odd"):
        stage.do("stop_process", "trap", reason)
    stage.do("stop_process", "trap", Unshown())
    stage.call("trap", "now")
    one = stage.do("start_child", "pool", "one")
    stage.do("start_child", "pool", "two")
    ref = node.whereis(str(one)) if isinstance(one, str) else None
    for verb in ("terminate_child", "terminate_child", "restart_child", "delete_child"):
        stage.do(verb, "pool", ref)
    stage.do("get_childspec", "pool", "t")
    stage.do("get_childspec", "pool", "x")
    again = stage.do("start_child", "pool", "three")
    stage.do("get_childspec", "pool", node.whereis(str(again)))
    stage.do("restart_child", "pool", "three")
    odd_children(stage)


def odd_children(stage: Stage) -> None:
    """Children that are refused, held, and that end while others wait."""
    node = stage.node
    stage.do("start_child", "root", stage.worker("x", args={"init": failing(2, 3)}))
    stage.do("terminate_child", "root", "x")
    for _ in range(3):
        stage.do("restart_child", "root", "x")
    seven: Any = 7  # is no code
    twice = [Worker("x", seven), Worker("x", Traps)]
    stage.do("start_child", "root", Supervisor("s", children=twice))
    stage.do("start_child", "root", stage.worker("three/tw"))
    deep: Any = stage.worker("w")
    for number in range(40):
        deep = Supervisor(f"d{number}", children=[deep])
    stage.do("start_child", "root", deep)
    stage.trap = ("ignore", "")
    stage.do("kill", "late")
    stage.trap = ("", "")
    stage.do("restart_child", "root", "late")
    stage.do("suspend", "root")
    stage.do("stop_process", "a", "odd")
    stage.ask("a", add)
    pending = stage.do("begin_request", "root", "which_children")
    stage.do("resume", "root")
    stage.act("wait", node.wait, pending)
    stage.do("suspend", "late")
    stage.do("begin_request", "late", "which_children")
    stage.do("kill", "late")
    stage.call("b", crash)
    stage.do("digest")
    stage.ask("b", add)
    stage.do("fork")
    stage.do("cast", "b", add)
    stage.do("terminate_child", "root", "b")
    stage.do("get_state", "b")
    stage.stop()


def effects(stage: Stage) -> None:
    """Effects with odd keys, interrupted ones, many callers, time-outs while suspended."""
    stage.start()
    for state in STATES:
        stage.do("replace_state", "a", state)
        stage.do("digest")
    stage.do("replace_state", "a", (1, 0))
    for number in range(66):
        stage.call("a", asking(Defer(f"k{number}")), timeout_s=0.0)
    stage.call("a", asking(Defer(Unhashed("k"))))
    stage.call("a", asking(Answer(Unhashed("k"), 1), Exit(Unshown())))
    stage.call("a", asking(*[StartTimer("t", 9000, add)] * 70))
    stage.call("a", asking(StartTimer(Unhashed("k"), 9000, add)))
    for error in (Unshown(), Worse(Own("in a text")), Worse(ZeroDivisionError()), KeyError(Odd())):
        stage.call("a", raises(error))
        stage.ask("a", raises(error))
        stage.do("run")
    stage.call("a", asking(Exit(Unshown())))
    stage.call("a", asking(Exit("odd"), Cast("b", add)))
    stage.do("info", "trap", "x")
    stage.do("get_state", "trap")
    stage.do("suspend", "trap")
    stage.do("get_state", "trap")
    stage.do("resume", "trap")
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.call("a", asking(StartTimer("z", 10, add)))
    stage.do("suspend", "a")
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.call("b", asking(*[Info("a", add)] * 40))
    for _ in range(3):
        stage.do("cast", "a", add)
    stage.do("cast_nowait", "b", add)
    stage.do("fork")
    stage.do("resume", "a")
    stage.call("a", crash)
    stage.stop()


def shown(stage: Stage) -> None:
    """What looks at a tree: readiness, a census in steps, hooks that fail, codecs, listeners."""
    node, world = stage.node, stage.node._world
    look = stage.act("readiness", node.readiness) or readiness.Readiness(world)
    stage.start()

    def ready() -> Any:
        return list(look.refresh()), look.is_ready()

    with patched(readiness, "STEP_CELLS", 2), patched(readiness, "MOST_REPORTS", 3):
        stage.act("ready", ready)
        for verb, name in (("terminate_child", "a"), ("restart_child", "a")):
            stage.do(verb, "root", name)
            stage.act("ready", ready)
        stage.do("suspend", "a")
        stage.act("ready", ready)
        stage.do("resume", "a")
        stage.do("suspend", "root")
        stage.do("kill", "a")
        stage.act("ready", ready)
        stage.do("resume", "root")
    stage.call("b", crash)
    stage.act("ready", ready)
    with patched(listing, "CENSUS_CELLS", 1), patched(listing, "TROUBLED", 0):
        found = stage.do("listing")
        stage.act("census", lambda: [*found.census()])
    for name in ("name", "nodes", "queued"):
        stage.act(name, tried, getattr, found, name)
    looked_into(stage)


def looked_into(stage: Stage) -> None:
    """Hooks that fail, events beyond their bound, texts that fail."""
    node, world = stage.node, stage.node._world

    seen: dict[str, int] = {}

    def fails(state: Any, _event: Any, _name: str) -> Any:
        seen["n"] = seen.get("n", 0) + 1
        return "done" if state == 1 else 1 / 0

    stage.do("install", "a", fails)
    stage.call("a", add)
    stage.do("install", "a", fails, 1)
    stage.call("a", add)
    with patched(events, "MOST_KEPT_BYTES", 100):
        stage.do("keep", "a", 50)
        for _ in range(3):
            stage.call("a", b"x" * 60)
    stage.act("fork", node.fork)
    stage.act("encode", node.encode, "a", Replayed(b"x"))
    stage.act("complain", outside.complain, "as asked", Worse(ZeroDivisionError()))
    stage.act("complain", outside.complain, "as asked", Worse(Own("in a text")))
    for error in (Unshown(), DecodeError("x")):
        stage.act("said", contained.said_by, world, world.root, error)
        stage.act("named", contained.named, world, world.root, error, repr)
    stage.do("crash_reports", "nobody")
    stage.stop()
    stage.do("crash_reports", "a")
    stage.act("close", node.close)


def made(stage: Stage) -> None:
    """Nodes are made, with each kind of clock; entered, closed."""
    tree = Supervisor("root", children=[Worker("w", Traps)])
    for options in (
        {"clock": ManualClock(), "store": MemoryStore(), "verify_pure": True},
        {"clock": ManualClock(), "guard": True}, {"guard": True}, {"guard": False, "name": "n"},
    ):  # fmt: skip
        node = stage.act("make", lambda given=options: Node(tree, **given))
        if isinstance(node, Node):
            stage.act("close", node.close)
    stage.act("sleep", SystemClock.sleep_s, 0.0)
    stage.act("digest", digest.sum_of, STATES)


KILLS: dict[str, Any] = {"kills": True, "defers": True}

SCENARIOS = [
    Scenario("exits", odd, exits, frozenset({"a", "b", "l", "x", "trap", "one/tw", "three/tw"}),
             may_end=True, **KILLS),
    Scenario("effects", odd, effects, frozenset("abl"), kinds=(KeyboardInterrupt,), **KILLS),
    Scenario("shown", odd, shown, frozenset("abl"), may_end=True, kinds=(KeyboardInterrupt,),
             **KILLS),
    Scenario("made", odd, made, may_end=True, **KILLS),
]  # fmt: skip
