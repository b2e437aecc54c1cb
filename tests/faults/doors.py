"""The other doors of a node: what is refused, what is late, what is asked for in odd ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ssm_cli import (
    Continue,
    Defer,
    GenServer,
    Node,
    NoReply,
    Ok,
    Remote,
    Reply,
    StartTimer,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.runtime.remote.ports import Launched
from tests.faults.edges import plain
from tests.faults.scenarios import add, asking, crash, flat
from tests.faults.stage import Own, Scenario, Stage, Utf8

MISUSE = (TypeError, ValueError, AttributeError, KeyError, ZeroDivisionError)


def tried(do: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What it answers, or the error of Python's own that it raises for wrong use."""
    try:
        return do(*args, **options)
    except MISUSE as error:
        return error


def asked(stage: Stage, do: Any, *args: Any, **options: Any) -> Any:
    """One act: what `do` answers, maybe to a wrong use."""
    return stage.act(getattr(do, "__name__", "ask"), tried, do, *args, **options)


class Odd:
    """A codec that fails for some values, each in its way."""

    def decode(self, data: bytes) -> Any:
        if data == b"own":
            raise Own("in a codec")
        return data.decode()

    def encode(self, value: Any) -> Any:
        if value == "own":
            raise Own("in a codec")
        if value == "bad":
            raise ZeroDivisionError("as asked")
        return value if value == "text" else str(value).encode()


def refused(stage: Stage) -> Any:
    odd = stage.machine(codec=Odd())
    inner = Supervisor("inner", children=[stage.worker("i")], shutdown=1000)
    children = [stage.worker("a"), stage.worker("b", start=odd), inner, stage.worker("c")]
    return Supervisor("root", children=children, intensity=100, queue=3)


def slow(stage: Stage, seconds: float) -> Callable[[Any], Any]:
    def step(state: Any) -> Any:
        stage.clock.advance_s(seconds)
        return state, "slow"

    return step


def refusals(stage: Stage) -> None:
    """Calls that are late, to nobody, from a step, with what cannot be written."""
    node = stage.node
    stage.act("before", tried, node.call, "a", add)
    stage.do("cast_nowait", "a", add)
    stage.start()
    stage.start()
    stage.call("a", slow(stage, 1.0), timeout_s=0.5)
    stage.call("a", slow(stage, 9.0))
    for who in ("a", "b"):
        stage.call(who, lambda _state: node.call("c", add))
        stage.call(who, lambda _state: node.stop())
    for word in (b"bad", b"text", b"own", b"fine"):
        stage.call("b", word)
        stage.act("call_value", node.call_value, "b", word)
        stage.act("encode", node.encode, "b", word.decode())
    for name in ("inner", "nobody", "x" * 100_001, "root/a", "root/nobody", "a/b"):
        for verb in ("call", "cast", "info", "send_request", "begin", "encode"):
            stage.do(verb, name, add)
        for verb in ("which_children", "get_state", "id_of", "exists", "kill"):
            stage.do(verb, name if name != "inner" else "nobody")
    stage.act("decode", node.decode, "a", b"\xff", "text")
    stage.act("decode", node.decode, "a", b"[", "json")
    refused_for_now(stage)


def refused_for_now(stage: Stage) -> None:
    """Inputs to workers and supervisors that are held, and what is asked of a node."""
    node = stage.node
    stage.do("suspend", "c")
    for _ in range(5):
        stage.ask("c", add)
        stage.do("cast_nowait", "a", add)
        stage.do("begin_request", "inner", "which_children")
    stage.do("resume", "c")
    stage.do("suspend", "inner")
    for _ in range(5):
        stage.do("begin_request", "inner", "which_children")
    stage.do("begin", "a", add)
    stage.do("run")
    for request in ("", "r"):
        stage.act("begin", node.begin, "a", add, request)
    stage.do("cast_nowait", "a", add)
    stage.do("begin", "a", add)
    pending = stage.do("send_request", "a", asking(Defer("k")))
    stage.act("wait", node.wait, pending, 0.5)
    stage.act("stop_process", node.stop_process, "inner", "normal", -1.0)
    asked_oddly(stage)


def asked_oddly(stage: Stage) -> None:
    """Facts of a node, and clients that are none."""
    node = stage.node
    stage.do("note_failure", ValueError("x"))
    stage.act(
        "facts",
        lambda: [
            getattr(node, name)
            for name in (
                "running",
                "gave_up",
                "queue",
                "dropped",
                "last_seq",
                "storage_error",
                "name",
            )
        ],
    )
    stage.do("now_s")
    stage.act("dir", dir, Node)
    for name in ("call", "nothing"):
        stage.act("of the class", tried, getattr, Node, name)
    stage.act("clients", tried, node.run_clients, 7)
    stage.act("clients", tried, node.run_clients, odd_client())
    stage.act(
        "clients",
        node.run_clients,
        stage.client(
            ("b", b"bad"), ("a", slow(stage, 9.0)), ("a", asking(Defer("never"))), ("nobody", b"x")
        ),
    )
    stage.act("clients", node.run_clients, stage.client(("a", asking(Defer("n")))), timeout_s=None)
    stage.act("no time", tried, stage.clock.advance_s, -1.0)
    stage.stop()
    stage.call("a", add)
    stage.do("cast", "a", add)


def odd_client() -> Any:
    yield 7


def entered(stage: Stage) -> None:
    """`with`, listeners that fail or ask for more, timers that are due, loops without an end."""
    node = stage.node

    def inside() -> None:
        with node:
            node.call("a", add)

    def busy(report: Any) -> None:
        if report.event == "crashed":
            tried(node.call, "a", add)
            tried(node.stop)
            raise LookupError("a reader fails")

    stage.act("with", inside)
    stage.start()
    end = stage.act("subscribe", node.subscribe, busy)
    stage.call("b", crash)
    if callable(end):
        stage.act("unsubscribe", end)
    stage.act("a listener fails", node.send_request, "a", add, lambda _done: 1 / 0)
    stage.act("one asks", node.send_request, "a", add, lambda _done: node.call("b", add))
    stage.do("run")
    stage.call("a", asking(StartTimer("t", 100, add), StartTimer("z", 0, add)))
    stage.clock._now_s += 1.0
    stage.call("b", add)
    stage.act("begin", node.begin, "b", add)
    stage.clock.advance_s(0.5)
    stage.stop()
    stage.start()


class Goes(GenServer):
    """Goes on with itself."""

    codec = Utf8()

    def init(self, _name: str, _args: Any) -> Any:
        return Ok(0, then=TimeoutAfter(0))

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        if message == "early":
            caller.reply("early")
            raise ValueError("as asked")
        if message == "goes":
            return Reply("goes", state, then=Continue("goes"))
        return Reply(message, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return NoReply(state, then=TimeoutAfter(0))

    def handle_info(self, _message: Any, state: Any) -> Any:
        return NoReply(state)

    def handle_continue(self, _message: Any, state: Any) -> Any:
        return NoReply(state + 1, then=Continue("goes") if state < 200 else None)


def going(stage: Stage) -> Any:
    return Supervisor("root", children=[Worker("g", Goes), stage.worker("a")], intensity=100)


def goes_on(stage: Stage) -> None:
    """Continues and time-outs of 0 ms, while others wait."""
    stage.start()
    stage.ask("a", add)
    stage.ask("g", "early")
    stage.do("cast", "g", "x")
    stage.do("run")
    stage.do("suspend", "g")
    stage.do("cast", "g", "x")
    stage.do("resume", "g")
    stage.call("g", "goes")
    for _ in range(3):
        stage.ask("a", add)
    stage.do("run")
    stage.do("fork")
    stage.stop()


# -- elsewhere -----------------------------------------------------------------------------------


def elsewhere(stage: Stage) -> Any:
    far = Remote("far", "far.yaml")
    inner = Supervisor("inner", children=[Remote("deep", "deep.yaml"), stage.worker("b")])
    return Supervisor("root", children=[stage.worker("a"), far, inner], intensity=100)


def links(stage: Stage) -> None:
    """News of a child on another computer; calls that go there, or do not get there."""
    node, links = stage.node, stage.links
    stage.start()
    stage.call("far.kv", "no bytes")
    stage.call("a", lambda _state: node.call("far.kv", b"word"))
    stage.act("call_value", node.call_value, "far.kv", b"word")
    stage.ask("far.kv", b"word")
    stage.act("begin", node.begin, "far.kv", b"word")
    stage.do("encode", "far.kv", b"word")
    stage.call("far", b"word")
    stage.do("tree")
    stage.do("listing")
    stage.do("fork")
    stage.do("digest")
    links.link("far", reachable=False, age_s=1.0)
    stage.do("run")
    stage.do("tree")
    stage.call("far.kv", b"word")
    links.link("far", reachable=True)
    links.end("deep", "normal")
    links.end("far", "crashed")
    links.end("far", "old", epoch=0)
    stage.do("run")
    cut_off(stage)


def asked_for(stage: Stage) -> Any:
    far = Remote("far", "far.yaml")
    inner = Supervisor("inner", children=[Remote("deep", "deep.yaml"), stage.worker("b")])
    return Supervisor("root", "rest_for_one", [stage.worker("a"), far, inner], intensity=100)


def arrive(stage: Stage, child: str, **refused: Any) -> None:
    """Have the links tell what became of a start, if it was asked for."""
    if refused:
        stage.links.refusing[child] = [Launched(child, ok=False, **refused)]
    if child in stage.links.asked:
        stage.links.arrive(child)
    stage.do("run")


def starts(stage: Stage) -> None:
    """Children on other computers that take their time to start, or do not start."""
    node, links = stage.node, stage.links
    links.slow.update(("far", "deep", "late"))
    stage.act("start", node.start, wait=False)
    stage.ask("far.kv", b"word")
    stage.ask("a", add)
    arrive(stage, "far")
    arrive(stage, "deep")
    links.end("far", "killed")
    stage.do("run")
    arrive(stage, "far", reason="undef")
    stage.do("exit", "a", "kill")
    arrive(stage, "far")
    arrive(stage, "deep", reason="undef")
    arrive(stage, "deep")
    for refused in ({}, {"reason": "undef"}):
        asked = node.meant("root", "start_child", Remote("late", "late.yaml"))
        stage.do("run")
        arrive(stage, "late", **refused)
        stage.act("wait", node.wait, asked, 1.0)
        stage.do("terminate_child", "root", "late")
        stage.do("delete_child", "root", "late")
    links.lingering.add("far")
    asked = node.meant("root", "terminate_child", "far")
    stage.do("run")
    stage.ask("a", add)
    if links.is_leaving("far"):
        links.leave("far")
    stage.act("wait", node.wait, asked, 1.0)
    stage.stop()


def lost(stage: Stage) -> None:
    """A tree stops whose children elsewhere do not answer."""
    stage.start()
    for child in ("far", "deep"):
        stage.act("link", stage.links.link, child, reachable=False)
    stage.do("run")
    stage.stop()


def cut_off(stage: Stage) -> None:
    """A child on another computer that cannot be started, and what is asked of it."""
    node = stage.node
    links = stage.links
    away = Launched("far", ok=False, reason="noconnection", detail="as asked")
    links.refusing["far"] = [away, away]
    links.end("far", "noconnection")
    stage.do("run")
    stage.act("a node comes", links.node, "n2", up=True)
    stage.do("run")
    stage.act("run 9 s", node.run, 9.0)
    stage.do("stop_process", "far")
    stage.do("kill", "inner")
    stage.do("exit", "far", "odd")
    stage.do("terminate_child", "root", "far")
    stage.call("far.kv", b"word")
    stage.do("restart_child", "root", "far")
    links.refusing["far"] = [away]
    stage.do("perform", "restart", "far")
    stage.act("run 9 s", node.run, 9.0)
    loop = stage.loop = asyncio.new_event_loop()

    async def main() -> None:
        stage.tasks += [
            loop.create_task(one(coming))
            for coming in (
                node.acall("far.kv", b"word", 1.0),
                node.acall_value("far.kv", b"word"),
            )
        ]
        await asyncio.wait(stage.tasks, timeout=1)

    async def one(coming: Any) -> Any:
        return await coming

    stage.act("acall", loop.run_until_complete, main())
    stage.stop()
    stage.call("far.kv", b"word")


def no_links(stage: Stage) -> None:
    stage.start()
    stage.do("terminate_child", "root", "far")
    stage.stop()


# -- steps that are not pure ----------------------------------------------------------------------


class Uncopied:
    """What cannot be copied."""

    def __deepcopy__(self, _memo: Any) -> Any:
        raise ZeroDivisionError("as asked")


def impure(stage: Stage) -> None:
    """Steps whose second run comes to something else."""
    seen: list[int] = []

    def by_turns(first: Callable[[Any], Any], then: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def step(state: Any) -> Any:
            seen.append(0)
            return first(state) if len(seen) % 2 else then(state)

        return step

    def same(state: Any) -> Any:
        return state, "same"

    stage.start()
    for first, then in (
        (same, crash), (crash, same), (same, add), (same, lambda state: (state, "other")),
    ):  # fmt: skip
        stage.call("a", by_turns(first, then))
        seen.clear()
    stage.do("replace_state", "b", [0])
    stage.call("b", lambda state: (state.append(1), (state, "x"))[1])
    stage.do("replace_state", "b", Uncopied())
    stage.call("b", same)
    stage.do("replace_state", "b", [0])
    stage.stop()


SCENARIOS = [
    Scenario("refusals", refused, refusals, frozenset("abci"), kills=True, defers=True,
             may_end=True, kinds=(KeyboardInterrupt,)),
    Scenario("entered", flat("one_for_one"), entered, kills=True, may_end=True, watched=False,
             kinds=(KeyboardInterrupt,)),
    Scenario("goes_on", going, goes_on, kills=True),
    Scenario("asked for", asked_for, starts, frozenset("ab"), kills=True, far=True, may_end=True),
    Scenario("links", elsewhere, links, frozenset("ab"), kills=True, far=True, may_end=True,
             kinds=(KeyboardInterrupt,)),
    Scenario("lost", asked_for, lost, frozenset("ab"), kills=True, far=True, may_end=True),
    Scenario("no_links", elsewhere, no_links, kills=True, may_end=True),
    Scenario("impure", plain(*"ab"), impure, frozenset("ab"), kills=True,
             options={"verify_pure": True}),
]  # fmt: skip
