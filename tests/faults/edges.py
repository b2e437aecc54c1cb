"""More trees and acts: the quick ways, refusals, odd answers, what is looked at, other doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ssm_cli import (
    Answer,
    CallError,
    Cast,
    Defer,
    Error,
    Exit,
    GenServer,
    Ignore,
    Info,
    Ok,
    Reply,
    StartTimer,
    Stop,
    Supervisor,
)
from ssm_cli.codec.text import TextCodec
from ssm_cli.runtime.calling.casts import shown_by
from tests.faults.scenarios import add, asking, crash, ends, failing
from tests.faults.stage import Scenario, Stage


class Unshown(Exception):
    """An exception of a user's own, whose text is made by user code."""

    def __str__(self) -> str:
        return "as asked"


class Unhashed(str):
    """A key that cannot be looked up."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # that is its point


def crash_deeper(state: Any) -> Any:
    return crash(state)


def crash_with(error: BaseException) -> Callable[[Any], Any]:
    def step(_state: Any) -> Any:
        raise error

    return step


# -- the quick ways ----------------------------------------------------------------------------


def plain(*names: str, **options: Any) -> Callable[[Stage], Any]:
    """Workers with nothing to clean up: they crash, start and stop on the quick ways."""

    def tree(stage: Stage) -> Any:
        quick = stage.machine(terminate=None)
        late = {"c": {"args": {"init": failing(2, 3)}}}
        children = [stage.worker(name, start=quick, **late.get(name, {})) for name in names]
        return Supervisor("root", children=children, intensity=100, **options)

    return tree


def quick_ways(stage: Stage) -> None:
    stage.start()
    stage.call("a", add)
    stage.call("a", b"word")
    stage.call("a", b"crash")
    stage.call("b", b"\xff")
    stage.ask("a", add)
    stage.ask("a", b"crash")
    stage.ask("b", crash)
    stage.ask("b", add)
    stage.do("cast", "b", crash)
    stage.do("run")
    for message in (crash_deeper, crash_with(Unshown()), crash_with(KeyError("x", [1]))):
        stage.call("a", message)
    stage.call("c", b"crash")
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.do("crash_reports")
    stage.do("crash_reports", "a", 1)
    stage.do("reports")
    stage.do("kill", "b")
    stage.do("exit", "a", "odd")
    stage.stop()
    stage.start()
    stage.stop()


def together(stage: Stage) -> Any:
    quick = stage.machine(terminate=None)
    children = [stage.worker(name, start=quick) for name in "abc"]
    children[2:2] = [stage.worker("t", start=quick, restart="temporary")]
    return Supervisor("root", "one_for_all", children, intensity=3)


def down_together(stage: Stage) -> None:
    stage.start()
    stage.ask("a", add)
    stage.call("b", crash)
    stage.do("terminate_child", "root", "c")
    stage.call("a", crash)
    stage.do("restart_child", "root", "c")
    for _ in range(3):
        stage.call("a", crash)
    stage.call("a", add)
    stage.stop()


# -- answers of each sort ------------------------------------------------------------------------


def starts(stage: Stage) -> Any:
    """Supervisors and workers that answer to `init` whatever they may, or may not."""

    def worker(name: str, answer: Callable[[Any], Any], **options: Any) -> Any:
        return stage.worker(name, start=stage.server(answer), restart="transient", **options)

    many = [Cast("a", add)] * 3
    pool = Supervisor("pool", "simple_one_for_one", [stage.worker("w", restart="temporary")])
    return Supervisor(
        "root",
        children=[
            stage.worker("a"),
            worker("sends", lambda state: Ok(state, effects=[Info("a", add)])),
            worker("ignores", lambda _state: Ignore()),
            worker("timed", lambda state: Ok(state, effects=[StartTimer("t", 5, add), *many])),
            Supervisor("not", children=[stage.worker("n")], init=lambda _name: Ignore()),
            Supervisor("asked", children=[stage.worker("k")], init=lambda _name: None),
            pool,
        ],
        intensity=100,
    )


def start_answers(stage: Stage) -> None:
    def child(name: str, answer: Callable[[Any], Any]) -> Any:
        return stage.worker(name, start=stage.server(answer), restart="temporary")

    def refuses(_name: str) -> Any:
        raise RuntimeError("as asked")

    stage.start()
    stage.do("start_child", "root", child("x", lambda _state: Stop("odd")))
    stage.do("start_child", "root", child("x", lambda _state: Stop(Unshown())))
    stage.do("start_child", "root", child("x", lambda _state: 7))
    stage.do("start_child", "root", child("x", lambda _state: Ignore()))
    stage.do("start_child", "root", child("x", crash))
    flood = [Cast(None, add)] * 500
    stage.do("start_child", "root", child("x", lambda state: Ok(state, effects=flood)))
    for init in (refuses, lambda _name: 7, lambda _name: Ignore()):
        stage.do("start_child", "root", Supervisor("x", children=[stage.worker("y")], init=init))
        stage.do("delete_child", "root", "x")
    stage.do("start_child", "root", Supervisor("x", children=[stage.worker("a")]))
    stage.do("start_child", "root", stage.worker("a"))
    stage.do("start_child", "root", "a label")
    stage.do("start_child", "root", 42)
    stage.do("start_child", "pool", stage.worker("z"))
    stage.do("start_child", "pool", "\0")
    stage.do("start_child", "pool", "one")
    stage.do("start_child", "pool", "one")
    stage.do("terminate_child", "pool", "one")
    stage.do("delete_child", "pool", "one")
    stage.do("restart_child", "root", "a")
    stage.do("delete_child", "root", "a")
    stage.do("terminate_child", "root", "nobody")
    stage.do("get_childspec", "root", "nobody")
    stage.do("which_children", "a")
    stage.call("one", crash)
    stage.stop()


def keys(stage: Stage) -> None:
    """Callers and timers under keys of each sort, and effects that go nowhere."""
    stage.start()
    for key in ("k", "k", Unhashed()):
        stage.ask("a", asking(Defer(key)))
    stage.call("a", asking(Answer("k", "late"), Answer("nobody", 1), Answer(Unhashed(), 1)))
    stage.call("a", asking(StartTimer(Unhashed(), 5, add), StartTimer("t", 5, add)))
    stage.call("a", asking(Cast("nobody", add), Info("nobody", add), Exit(Unshown())))
    stage.do("cast", "nobody", add)
    stage.do("info", "nobody", add)
    stage.ask("b", asking(Defer("k")))
    stage.call("b", ends("odd"))
    stage.do("suspend", "c")
    for message in (add, b"word", crash):
        stage.ask("c", message)
    stage.do("cast", "c", add)
    stage.do("terminate_child", "root", "c")
    stage.do("restart_child", "root", "c")
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.call("b", asking(*[Cast("a", add)] * 500))
    stage.call("b", lambda state: (state, "x", [7]))
    stage.call("b", lambda state: (state, "x", "y", "z"))
    stage.stop()


def held(stage: Stage) -> None:
    """Supervisors that are held while children end, and while they are asked."""
    stage.start()
    stage.do("suspend", "inner")
    stage.ask("b", crash)
    stage.do("run")
    stage.act("begin_request", stage.node.begin_request, "inner", "which_children")
    stage.do("begin_request", "nobody", "which_children")
    stage.do("resume", "inner")
    stage.do("run")
    stage.do("suspend", "root")
    stage.do("kill", "inner")
    stage.do("resume", "root")
    stage.do("suspend", "a")
    stage.do("change_code", "a", "1")
    stage.do("resume", "a")
    stage.do("change_code", "a", "1")
    stage.do("keep", "a", -1)
    stage.do("whereis", "a")
    stage.do("whereis", "nobody")
    stage.act("stop_process", stage.node.stop_process, "a", "normal", 0.5)
    stage.stop()


def within(stage: Stage) -> Any:
    inner = Supervisor("inner", children=[stage.worker("b"), stage.worker("c")], intensity=9)
    return Supervisor("root", children=[stage.worker("a"), inner], intensity=9)


class Changes(GenServer):
    """Turns its state by what it is asked for."""

    def init(self, _name: str, args: Mapping[str, Any]) -> Ok:
        return Ok(dict(args))

    def handle_call(self, message: Any, _caller: Any, state: Any) -> Any:
        return Reply(message, state)

    def code_change(self, old_version: str, state: Any, _extra: Any) -> Any:
        return {"ok": Ok(state), "error": Error("no"), "odd": 7}[old_version]

    def format_status(self, status: Any) -> Any:
        return status


def code(stage: Stage) -> Any:
    workers = [stage.worker("a"), stage.worker("s", start=Changes, args={"n": 1})]
    return Supervisor("root", children=workers, intensity=9)


def code_changes(stage: Stage) -> None:
    stage.start()
    stage.do("suspend", "s")
    for version in ("ok", "error", "odd", "none"):
        stage.do("change_code", "s", version)
    stage.do("resume", "s")
    stage.do("get_state", "s")
    stage.do("get_status", "s")
    stage.do("keep", "s", 2)
    stage.do("cast", "s", "word")
    stage.do("run")
    stage.do("get_status", "s")
    stage.stop()


# -- looking -------------------------------------------------------------------------------------


def looked_at(stage: Stage) -> None:
    """Forks, digests and listings of a tree with something of everything in it."""
    node = stage.node
    stage.start()
    stage.ask("a", asking(Defer("k"), StartTimer("t", 5, add)))
    stage.do("keep", "a", 2)
    stage.call("b", crash)
    stage.do("suspend", "c")
    stage.ask("c", add)
    stage.do("cast_nowait", "a", add)
    stage.do("digest")
    fork = stage.do("fork")
    stage.act("fork deep", lambda: node.fork(copy="deep"))
    if fork is not None:
        stage.act("a call in the fork", fork.call, "b", lambda state: (state, "in a fork"))
    stage.do("tree")
    stage.do("names")
    listing = stage.do("listing")
    stage.act("look", listing.look)
    for name in ("root", "a", "nobody"):
        stage.act("glance", listing.glance, name)
        stage.act("size", listing.size, name)
        stage.act("children", listing.children, name)
        stage.act("supervisors", listing.supervisors, name)
    stage.act("census", lambda: list(listing.census()))
    stage.act("deep", listing.deep, 1)
    stage.do("exists", "a")
    stage.act("data", node.data, "a", "word")
    stage.act("decode", node.decode, "a", b"word", "text")
    stage.act("encode", node.encode, "a", "word")
    stage.do("shown", "a", "word")
    stage.act("as text", shown_by, TextCodec(None), "word")
    stage.do("resume", "c")
    stage.do("run")
    stage.stop()


# -- inside asyncio ------------------------------------------------------------------------------


def awaited(stage: Stage) -> None:
    """The doors of asyncio: values, a full queue, time-outs, ends of the tree, a task that goes."""
    loop = stage.loop = asyncio.new_event_loop()
    node = stage.node

    async def one(coming: Any) -> Any:
        try:
            return await coming
        except CallError as error:
            return error

    async def main() -> None:
        down = loop.create_task(node.serve())
        stage.tasks += [
            loop.create_task(one(coming))
            for coming in (
                node.acall_value("a", b"word"),
                node.acall_value("b", b"\xff"),
                *(node.acall("a", add, timeout_s=2) for _ in range(8)),
                node.acall("b", crash, timeout_s=2),
                node.acall("nobody", add),
            )
        ]
        await asyncio.sleep(0)
        node.cast("e", add)
        for _ in range(4):
            await asyncio.sleep(0)
            stage.clock.advance_s(1.0)
        await asyncio.wait(stage.tasks, timeout=0.02)
        never = loop.create_task(one(node.acall("a", asking(Defer("never")), timeout_s=0.02)))
        await asyncio.sleep(0)
        stage.clock.advance_s(1.0)
        await asyncio.wait([never], timeout=0.02)
        down.cancel()
        await asyncio.wait([down], timeout=0.02)

    stage.start()
    stage.act("acall", loop.run_until_complete, main())
    stage.do("run")
    stage.stop()


GUARD: dict[str, Any] = {"guard": True}
PURE: dict[str, Any] = {"verify_pure": True}

SCENARIOS = [
    Scenario("plain", plain(*"abc"), quick_ways, kills=True, watched=False, failing_inits=2,
             loose=frozenset("c")),
    Scenario("plain_guarded", plain(*"abc"), quick_ways, kills=True, watched=False,
             failing_inits=2, loose=frozenset("c"), options=GUARD),
    Scenario("plain_remembered", plain(*"abc"), quick_ways, kills=True, watched=False,
             failing_inits=2, loose=frozenset("c"), options={"history": 16}),
    Scenario("together", together, down_together, kills=True, watched=False, may_end=True,
             loose=frozenset("ct")),
    Scenario("starts", starts, start_answers, frozenset({"ignores", "one", "x", "y", "n", "z"}),
             kills=True, options={"history": 16}),
    Scenario("keys", plain(*"abe"), keys, frozenset("c"), kills=True, defers=True,
             options={"history": 16}),
    Scenario("held", within, held, frozenset("abc"), kills=True, options={"history": 16}),
    Scenario("code", code, code_changes, frozenset("s"), kills=True),
    Scenario("looked_at", plain(*"abe"), looked_at, frozenset("c"), kills=True, defers=True),
    Scenario("awaited", plain(*"abe", queue=4), awaited, kills=True, kinds=(KeyboardInterrupt,)),
    Scenario("pure", plain(*"ab"), quick_ways, frozenset("c"), kills=True, options=PURE),
]  # fmt: skip
