"""What is asked of a node in other ways: plans from files, code, many requests, inside asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ssm_cli
from ssm_cli import (
    Answer,
    Cast,
    Defer,
    Node,
    RequestIds,
    StartTimer,
    Supervisor,
    multi_call,
)
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.looking import readiness
from ssm_cli.runtime.performer import loop as loop_room
from tests.faults.doors import slow, tried
from tests.faults.scenarios import add, asking, crash, flat
from tests.faults.stage import Scenario, Stage
from tests.faults.ticks import patched

KV = Path(ssm_cli.__file__).parent.parent / "trees" / "kv.yaml"


def asked(stage: Stage, name: str, *args: Any, **options: Any) -> Any:
    """Ask a node for something, maybe in a wrong way."""
    return stage.act(name, lambda: tried(getattr(stage.node, name), *args, **options))


def other_trees(stage: Stage) -> None:
    """Plans from a file, of no file, of a tree that is none; and nodes with wrong settings."""
    stage.start()
    stage.do("plan")
    stage.do("plan", str(KV))
    stage.do("plan", Supervisor("root", children=[stage.worker("a"), stage.worker("a")]))
    spec = stage.node.spec
    wrong: list[dict[str, Any]] = [{"history": -1}, {"guard": 7}, {"clock": 7}]
    for options in wrong:
        stage.act("make", tried, Node, spec, **options)
    asked(stage, "fork", copy="other")
    asked(stage, "open", socket=False)
    asked(stage, "state_type", "a")
    stage.act("record", lambda: stage.node.record)
    asked(stage, "perform", "call", "a", add)
    asked(stage, "next_reports", 0, 5)
    stage.stop()


def codes(stage: Stage) -> None:
    """Other code is asked for, and there is none."""
    stage.start()
    stage.call("a", add)
    asked(stage, "reload", "a", sure="no")
    asked(stage, "rollback", "a")
    asked(stage, "shadow", "a")
    asked(stage, "promote", "a")
    stage.stop()


def many_requests(stage: Stage) -> None:
    """Collections of requests, with listeners of their own; one request to whoever has a name."""
    node = stage.node
    stage.start()
    ids = RequestIds(node)
    heard: list[Any] = []
    request = stage.act("send", node.send_request, "a", add, heard.append)
    for _ in range(2):
        stage.act("add", tried, ids.add, request, "a")
    stage.act("size", len, ids)
    stage.act("send one of many", ids.send_request, "b", crash, "b")
    stage.do("run")
    for _ in range(3):
        stage.act("wait for any", ids.wait_response, 1.0)
    request = stage.act("send", node.send_request, "c", add, heard.append)
    stage.act("add", tried, ids.add, request, "c")
    stage.act("wait for any", ids.wait_response, 1.0)
    stage.act("add", tried, ids.add, 5, "no request")
    request = stage.act("send", node.send_request, "a", add)
    stage.do("run")
    stage.act("add", tried, ids.add, request, "answered")
    stage.act("wait for any", ids.wait_response, 1.0)
    stage.act("send one of many", ids.send_request, "a", asking(Defer("late")), "late")
    stage.act("receive any", tried, ids.receive_response, 0.1)
    stage.call("a", asking(Answer("late", 1)))
    stage.act("send one of many", ids.send_request, "a", add, "next")
    stage.act("wait for any", ids.wait_response, 1.0)
    stage.act("named", lambda: tried(Node, node.spec, name=5))
    stage.act("ask all subtrees", multi_call, node, "a", add)
    stage.act("ask all subtrees", multi_call, node, "b", crash)
    stage.stop()


def answers_for(stage: Stage) -> Any:
    """A server whose calls others answer, and plain workers."""
    return Supervisor(
        "root",
        children=[
            stage.worker("s", start=stage.server()),
            *(stage.worker(name, start=stage.machine(terminate=None)) for name in "ab"),
        ],
        intensity=100,
    )


def answered_by_others(stage: Stage) -> None:
    """A plain step answers somebody else's call, on each of the quick ways."""
    node, kept = stage.node, list[Any]()

    def keep(caller: Any, state: Any) -> Any:
        kept.append(caller)
        return ssm_cli.NoReply(state)

    def answer(state: Any) -> Any:
        if kept:
            kept.pop().reply("from another")
        return state, "answered"

    def also(state: Any) -> Any:
        return answer(state)[0], "answered", [Cast("b", add)]

    stage.start()
    for ask in (
        lambda: node.call("a", answer),
        lambda: node.call("a", answer, timeout_s=0.5),
        lambda: node.begin("a", answer),
        lambda: node.begin("a", also),
        lambda: node.send_request("a", answer),
    ):
        stage.act("ask", node.send_request, "s", keep)
        stage.do("run")
        stage.act("answer", ask)
        stage.do("run")
    stage.stop()


def beside_a_loop(stage: Stage) -> None:
    """Calls of all kinds where a loop serves the node, and inputs are remembered."""
    node, world = stage.node, stage.node._world
    loop = stage.loop = asyncio.new_event_loop()
    more = asking(Cast("b", add))

    async def main() -> None:
        await node.acall_value("a", b"word")
        await node.acall("a", add)
        node.call("a", more)
        node.begin("a", more)
        await node.acall("a", add)
        for step in (add, more, slow(stage, 1.0)):
            await asyncio.sleep(0)
            waits = world.outside.driver.serve(world.names["a"], step, 0.5)
            if waits is not None:
                await asyncio.wait([asyncio.ensure_future(waits)], timeout=0.02)
            stage.clock._now_s += 2.0
            await asyncio.sleep(0)
        node.call("a", asking(StartTimer("t", 10, add)))
        stage.clock._now_s += 1.0
        node.begin("a", more, "request")
        node.begin("s", "word")
        node.begin("nobody", "word") if node.exists("nobody") else None
        await asyncio.sleep(0)
        late = asyncio.ensure_future(node.acall("a", asking(StartTimer("u", 9, add)), 5.0))
        await asyncio.sleep(0)
        world.outside.driver.close()
        await asyncio.wait([late], timeout=0.02)

    stage.start()
    stage.act("acall", loop.run_until_complete, main())
    stage.do("call_value", "a", b"word")
    stage.do("begin", "a", more)
    stage.stop()


def feeding(stage: Stage) -> None:
    """Workers feed each other while the clock stands still, or goes on; and restarts that fail."""
    node = stage.node

    def on(to: str, times: int, seconds: float) -> Any:
        def step(state: Any) -> Any:
            stage.clock.advance_s(seconds)
            return (
                state,
                times,
                [Cast(to, on("a" if to == "b" else "b", times - 1, seconds))] * (times > 0),
            )

        return step

    stage.start()
    with patched(loop_room.pump, "__kwdefaults__", {"retry": True, "rounds": 1}):
        for times, seconds in ((20, 0.0), (20, 0.1)):
            stage.do("cast", "a", on("b", times, seconds))
            stage.act("run", node.run, 0.5)
    stage.do("run")
    stage.ask("c", crash)
    stage.call("a", add, timeout_s=0.5)
    stage.do("call", "c", add)
    stage.clock.advance_s(9.0)
    stage.do("cast", "a", asking(StartTimer("t", 500, add)))
    stage.act("turns", lambda: [*node.turns(9.0)])
    stage.act("again", served_already, stage)
    stage.stop()


def served_already(stage: Stage) -> None:
    """Settle a node that is served already."""
    world = stage.node._world
    world.pumping = True
    try:
        Serving(world).settle()
    finally:
        world.pumping = False


def fails_slowly(stage: Stage) -> Any:
    """A worker whose restarts fail a few times."""

    def late(life: int) -> None:
        if 1 < life < 4:
            stage.clock.advance_s(0.05)
            raise RuntimeError("not yet")

    children = [stage.worker("a"), stage.worker("b"), stage.worker("c", args={"init": late})]
    return Supervisor("root", children=children, intensity=100)


def waits_for_retries(stage: Stage) -> None:
    """A caller waits while a restart is tried again and again."""
    stage.start()
    with patched(loop_room, "MOST_TRIES", 1):
        stage.ask("c", crash)
        stage.call("c", add)
    stage.stop()


def listed(stage: Stage) -> None:
    """What a listing of a tree tells, in a tree that changes."""
    listing = stage.do("listing") or stage.node.listing()
    stage.start()
    for name in ("root", "queue"):
        stage.act(name, getattr, listing, name)
    for _ in range(2):
        stage.act("moved", listing.moved)
    stage.act("look", listing.look)
    stage.act("branches", lambda: [*listing.branches(2)])
    for name in ("a", "nobody"):
        stage.act("kind", listing.kind, name)
    with_trouble(stage, listing)
    stage.stop()


def with_trouble(stage: Stage, listing: Any) -> None:
    """A census of workers that are down."""
    stage.do("terminate_child", "root", "a")
    stage.act("census", lambda: [*listing.census()])
    look = stage.act("readiness", stage.node.readiness) or readiness.Readiness(stage.node._world)
    stage.act("ready", lambda: (list(look.refresh()), look.is_ready()))


ASYNC: dict[str, Any] = {"kinds": (KeyboardInterrupt,)}

SCENARIOS = [
    Scenario("other_trees", flat("one_for_one"), other_trees, watched=False),
    Scenario("codes", flat("one_for_one"), codes, watched=False, options={"history": 64}),
    Scenario("many_requests", flat("one_for_one"), many_requests),
    Scenario("answered_by_others", answers_for, answered_by_others, kills=True, defers=True,
             watched=False, options={"guard": True}),
    Scenario("beside_a_loop", answers_for, beside_a_loop, kills=True, watched=False, defers=True,
             options={"history": 64}, **ASYNC),
    Scenario("feeding", flat("one_for_one"), feeding, watched=False, torn=True),
    Scenario("waits_for_retries", fails_slowly, waits_for_retries, failing_inits=3,
             kinds=(KeyboardInterrupt,)),  # the clock that its `init` moves on is its own
    Scenario("listed", flat("one_for_one"), listed, frozenset("a"), options={"history": 64}),
]  # fmt: skip
