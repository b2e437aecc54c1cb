"""What a tree seldom comes to: starts that end at once, pools that change, stops with much left."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from ssm_cli import (
    Backoff,
    CancelRun,
    Cast,
    Event,
    EventHandler,
    Exit,
    Exited,
    GenServer,
    Ignore,
    Info,
    Join,
    Leave,
    Monitor,
    NoReply,
    Ok,
    Publish,
    Remote,
    Reply,
    Run,
    StartTimer,
    Supervisor,
    SystemClock,
    TimeoutAfter,
    Worker,
)
from ssm_cli.runtime.engine import publishing
from ssm_cli.runtime.engine.cell import CellStatus
from ssm_cli.runtime.engine.entries import StartAgain, TryAgain
from ssm_cli.runtime.performer import intake, starting, supervise
from ssm_cli.runtime.performer.breaking import Break
from ssm_cli.runtime.runs import runner as runner_room
from tests.faults.doors import arrive, asked, slow
from tests.faults.edges import plain
from tests.faults.rest import interrupts
from tests.faults.scenarios import add, asking, crash, failing, flat
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.ticks import CLOCK, OPTIONS, patched, tick
from tests.runtime.outside_work import adouble, aforever, stubborn

# -- starts and ends -------------------------------------------------------------------------------


class Notes(EventHandler):
    """A handler that tells others of its end."""

    def init(self, _args: Any, _previous: Any) -> Any:
        return Ok(0)

    def handle_event(self, _event: Any, state: Any) -> Any:
        return Ok(state)

    def handle_call(self, request: Any, state: Any) -> Any:
        return Reply(request, state)

    def terminate(self, _arg: Any, _state: Any) -> Any:
        return [Info("a", add)]


class Bus(Event):
    """A manager of one handler."""

    codec = Utf8()
    handlers = {"one": Notes}  # noqa: RUF012 - as a user writes it

    def init(self, _name: str, _args: Mapping[str, Any]) -> Any:
        return {"one": 1}


class Ends(GenServer):
    """Ends as its terminate says, and answers early ones."""

    codec = Utf8()

    def init(self, _name: str, args: Mapping[str, Any]) -> Any:
        if args.get("exits"):
            return Ok(0, effects=[Exit("odd")])
        return Ok(0, then=TimeoutAfter(50))

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        if callable(message):
            return message(caller, state)
        return Reply(message, state)

    def handle_info(self, _message: Any, state: Any) -> Any:
        return NoReply(state)

    def terminate(self, reason: Any, _state: Any) -> None:
        if "normal" in str(reason):
            raise Exited("normal")


def beginners(stage: Stage) -> Any:
    """Workers that end in each way, and a manager."""
    kinds = [Worker("e", Ends), Worker("bus", Bus), stage.worker("a"), stage.worker("b")]
    return Supervisor("root", children=kinds, intensity=100)


def ends_at_once(stage: Stage) -> None:
    """Starts that end at once, ends that are told to others, and calls answered from elsewhere."""
    node, world, kept = stage.node, stage.node._world, list[Any]()

    def keep(caller: Any, state: Any) -> Any:
        kept.append(caller)
        return NoReply(state)

    stage.start()
    stage.do("start_child", "root", Worker("x", Ends, args={"exits": True}, restart="temporary"))
    stage.do("stop_process", "bus", "odd")
    stage.do("stop_process", "e", "normal")
    for _ in range(2):
        stage.act("ask", node.send_request, "e", keep)
        stage.do("run")
    if kept:
        kept[0].reply("between")
        stage.do("run")
        kept[0].reply("once more")
        stage.do("run")
    stage.do("info", "e", "x")
    e: Any = world.names["e"]
    world.begun[e] = True
    stage.do("stop_process", "e", "odd")
    stage.do("stop")
    stage.start()


def known_labels(stage: Stage) -> Any:
    """Two pools, of which one makes supervisors."""
    template = Supervisor("t", children=[stage.worker("tw")], intensity=9)
    first = Supervisor("first", "simple_one_for_one", [stage.worker("w")], max_children=1)
    second = Supervisor("second", "simple_one_for_one", [template], intensity=9)
    parts = Supervisor("parts", children=[stage.worker("p")], partitions=2, intensity=9)
    return Supervisor("root", children=[stage.worker("a"), first, second, parts], intensity=9)


def pools(stage: Stage) -> None:
    """Labels that two pools know, pools that are full, partitions that are asked for more."""
    node = stage.node
    stage.start()
    for pool in ("first", "second", "first"):
        stage.do("start_child", pool, "one")
    for name in ("one", "second:one/tw", "root/second/one/tw", "root/second/one", "oen"):
        stage.call(name, add)
        stage.do("exists", name)
    asked(stage, intake.hint_for, node._world, "one")
    stage.do("start_child", "parts", stage.worker("x"))
    stage.do("terminate_child", "first", "two")
    stage.act("whereis", node.whereis, "one")
    stage.do("start_child", "second", "two")
    for name in ("second:two/tw", "second:two/x"):
        stage.call(name, add)
    low: Any = stage.worker("low")
    stage.do("start_child", "second:one", low)
    old = node.spec
    a, first, second, parts = old.children
    (t,) = second.children
    other = replace(second, children=(replace(t, significant=False, intensity=7),))
    stage.do("apply", replace(old, children=(a, first, other, parts)))
    stage.do("apply", replace(old, children=(replace(a, options=replace(
        a.options, codec="json")), first, other, parts)))  # fmt: skip
    asked(stage, node.apply, old, plan="another")
    stage.call("a", b"word")
    stage.stop()


def ignores_later(stage: Stage) -> Any:
    """A pool whose children, once restarted, ignore; and a temporary child that does."""
    lives: dict[str, int] = {}

    class Once(GenServer):
        codec = Utf8()

        def init(self, name: str, _args: Mapping[str, Any]) -> Any:
            lives[name] = lives.get(name, 0) + 1
            return Ok(0) if lives[name] < 2 else Ignore()

        def handle_call(self, message: Any, _caller: Any, state: Any) -> Any:
            if message == "crash":
                raise ValueError("as asked")
            return Reply(message, state)

    def never(_name: str) -> Any:
        return Ignore()

    pool = Supervisor("pool", "simple_one_for_one", [Worker("w", Once)], intensity=9)
    none = Supervisor("none", children=[stage.worker("n")], init=never)
    once = Supervisor("once", children=[stage.worker("o")], init=never, restart="temporary")
    return Supervisor("root", children=[stage.worker("a"), none, once, pool], intensity=9)


def later_not(stage: Stage) -> None:
    """Children of a pool that do not want to live again; a name that is taken meanwhile."""
    stage.start()
    for verb in ("call", "perform"):
        stage.do("start_child", "pool", f"one{verb}")
        if verb == "call":
            stage.call("onecall", "crash")
        else:
            stage.do("perform", "restart", "oneperform")
    stage.do("start_child", "root", Supervisor("s", children=[stage.worker("y")]))
    stage.do("terminate_child", "root", "s")
    stage.do("start_child", "root", stage.worker("y"))
    stage.do("restart_child", "root", "s")
    stage.do("delete_child", "root", "s")
    stage.do("terminate_child", "root", "y")
    stage.do("delete_child", "root", "y")
    world = stage.node._world
    with patched(world.outside, "init", lambda *_: Ignore()):
        asked(stage, starting.start_supervisor, world, world.names.get("none", world.root))
    stage.stop()


def delayed(stage: Stage) -> Any:
    """Workers that wait for a back-off, and one that fails then."""
    wait = {"backoff": Backoff(100, 2, 1000)}
    workers = [
        stage.worker("a", **wait, args={"init": failing(3)}), stage.worker("b"),
        stage.worker("c", restart="temporary"),
    ]  # fmt: skip
    inner = Supervisor("inner", "rest_for_one", workers, intensity=100)
    return Supervisor("root", children=[inner, stage.worker("d")], intensity=100)


def held_back(stage: Stage) -> None:
    """Restarts that come up while their supervisor is held; and at once, by name."""
    node, world = stage.node, stage.node._world
    stage.start()
    stage.call("a", crash)
    stage.ask("a", add)
    stage.do("suspend", "inner")
    stage.act("run 1 s", node.run, 1.0)
    a: Any = world.names["a"]
    asked(stage, supervise.on_try_again, world, TryAgain(a, a.starts))
    asked(stage, supervise.on_start_again, world, StartAgain(a, a.starts))
    stage.do("digest")
    stage.call("d", interrupts)
    stage.do("resume", "inner")
    stage.do("run")
    for name in ("b", "a", "a"):
        stage.call("a", crash)
        stage.do("perform", "restart", name)
    stage.act("run 9 s", node.run, 9.0)
    stage.call("a", crash)
    old = node.spec
    inner, d = old.children
    stage.do("apply", replace(old, children=(replace(inner, children=inner.children[1:]), d)))
    stage.do("suspend", "d")
    stage.ask("d", add)
    stage.do("run")
    stage.stop()


def below_held(stage: Stage) -> None:
    """Interruptions while a held supervisor has entries to look at."""
    stage.start()
    stage.do("suspend", "inner")
    stage.do("kill", "b")
    stage.do("run")
    stage.call("d", interrupts)
    stage.do("resume", "inner")
    stage.stop()


def stops_with(stage: Stage) -> None:
    """A stop while publishes, casts and callers wait; one is interrupted again and again."""
    node = stage.node
    told = {"a", "b", "c"}

    def again(report: Any) -> None:
        if report.event == "terminating" and report.id in told and not stage.fired:
            told.remove(report.id)
            raise Own(report.id)

    with patched(publishing, "CHUNK", 1):
        stage.start()
        for name in "abc":
            stage.call(name, asking(Join("g")))
        stage.do("publish", "g", add)
        stage.do("cast", "a", add)
        stage.act("stop", node.stop, drain=False)
        stage.start()
        for name in "abc":
            stage.call(name, asking(Join("g")))
        stage.call("a", asking(Publish("g", add), Cast("b", add)))
        for name in "abc" * 5:
            stage.ask(name, add)
        stage.do("run")
        stage.call("a", asking(Leave("g")))
        stage.call("b", asking(Monitor("c"), Monitor("a")))
        stage.call("b", crash)
    end = node.subscribe(again)
    stage.act("stop", node.stop)
    end()
    stage.start()


def quiet_groups(stage: Stage) -> None:
    """Plain members of groups end together, while nobody watches."""
    stage.start()
    for name in "ab":
        stage.call(name, asking(Join("g")))
    stage.node._world.names["a"].extra = None
    stage.stop()


def broken_in(stage: Stage) -> None:
    """Workers held at breaks by time-outs and casts; crashes, and inputs that are dropped."""
    node = stage.node

    def once(*_given: Any) -> tuple[str, str]:
        return "an input", "a change"

    def never(*_given: Any) -> None:
        return None

    stage.start()
    for name in "eb":
        stage.do("trace", name)
        stage.do("set_breaks", name, (Break(1, "True", never),))
        stage.call(name, crash if name == "b" else lambda _caller, state: 7)
    asked(stage, node.leave_break, "e", drop=True)
    stage.do("set_breaks", "e", (Break(1, "True", once),))
    stage.act("run 1 s", node.run, 1.0)
    asked(stage, node.leave_break, "e", drop=True)
    stage.do("set_breaks", "b", (Break(1, "True", once),))
    stage.do("cast", "b", add)
    stage.do("run")
    asked(stage, node.leave_break, "b", drop=True)
    stage.do("set_breaks", "b", ())
    stage.call("b", asking(Run("r", adouble, 1)))
    stage.do("set_breaks", "b", (Break(1, "True", once),))
    stage.do("run")
    stage.do("run")
    asked(stage, node.leave_break, "b")
    stage.do("set_breaks", "b", ())
    stage.do("resume", "b")
    stage.do("set_breaks", "e", ())
    stage.do("resume", "e")
    stage.stop()


# -- children elsewhere ----------------------------------------------------------------------------


def elsewhere(stage: Stage) -> Any:
    """A remote child beside workers."""
    return Supervisor("root", children=[stage.worker("a"), Remote("far", "far.yaml")], intensity=9)


def comes_late(stage: Stage) -> None:
    """A child is ended while it comes; its supervisor is held; calls of it wait; it is applied."""
    node, links = stage.node, stage.links
    links.slow.update(("far", "more"))
    stage.act("start", node.start, wait=False)
    stage.do("tree")
    stage.ask("far.kv", b"word")
    stage.call("a", interrupts)
    stage.do("suspend", "root")
    arrive(stage, "far")
    stage.do("resume", "root")
    stage.do("run")
    asked_for = node.meant("root", "start_child", Remote("more", "more.yaml"))
    stage.do("run")
    stage.do("terminate_child", "root", "more")
    stage.act("wait", node.wait, asked_for, 1.0)
    old = node.spec
    stage.do("apply", replace(old, children=(*old.children, Remote("late", "late.yaml"))))
    links.slow.add("new")
    stage.do("apply", replace(old, children=(*old.children, Remote("new", "new.yaml"))))
    arrive(stage, "new")
    stage.act("census", lambda: [*node.listing().census()])
    far: Any = node._world.names["far"]
    node._world.outside.coming[far] = "again"
    node._world.outside.held[far] = []
    stage.call("a", interrupts)
    stage.do("perform", "restart", "far")
    arrive(stage, "far")
    node._world.outside.held[far] = []
    stage.call("a", interrupts)
    far.status = CellStatus.RESTARTING
    links.slow.add("far")
    asked(stage, supervise.restart_now, node._world, node._world.root, far)
    arrive(stage, "far")
    stage.stop()


# -- runs ------------------------------------------------------------------------------------------


def many_runs(stage: Stage) -> None:
    """Runs beyond the bound, that are carried, and that are interrupted."""
    outer = stage.node._world.outside
    stage.start()
    with patched(runner_room, "MOST_WAITING", 0):
        stage.call("a", asking(Run("x", adouble, 1)))
        stage.do("run")
    outer.carry = lambda _cell, value: value
    stage.call("a", asking(Run("x", adouble, 1)))
    stage.do("run")
    stage.do("replace_state", "a", lambda state: state)
    outer.carry = None
    stage.call("a", asking(Run("x", interrupting)))
    stage.do("run")
    stage.do("run")
    stage.stop()


def served_runs(stage: Stage) -> None:
    """Runs on a loop that serves the node."""
    node = stage.node
    stage.start()
    loop = stage.loop = asyncio.new_event_loop()

    async def main() -> None:
        node.call("a", asking(Run("p", adouble, 1)))
        await node.acall("a", asking(Run("q", adouble, 1, limit=1), Run("s", adouble, 2, limit=1)))
        for _ in range(20):
            await asyncio.sleep(0)
        node.call("b", asking(Run("f", aforever)))
        node.run(1.0)
        await asyncio.sleep(0)
        await node.acall("b", asking(Run("g", aforever)))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        node.call("b", asking(Run("h", aforever)))
        await asyncio.sleep(0)

    stage.act("acall", loop.run_until_complete, main())
    stage.stop()


def cut_runs(stage: Stage) -> None:
    """Runs on a loop that is closed, as if no loop had them."""
    node, outer = stage.node, stage.node._world.outside
    stage.start()
    other = asyncio.new_event_loop()

    async def begun() -> None:
        await node.acall("c", asking(Run("o", aforever)))
        for _ in range(5):
            await asyncio.sleep(0)

    stage.act("acall", other.run_until_complete, begun())
    other.close()
    stage.do("run")
    runner = outer.runner
    if runner is not None:
        entry = next(iter(node._world.names["c"].ensure_extra().runs.values()), None)
        if entry is not None:
            runner._tasks.going[entry.number] = entry
            runner._of[entry.cell] += 1
            asked(stage, runner.cancel, entry.number)
    if runner is not None:
        asked(stage, runner.ended, SimpleNamespace(number=-9, run=Run("r", adouble, 1)), None)
    stage.stop()


def stubborn_runs(stage: Stage) -> None:
    """Runs that go on although they are cancelled."""
    node = stage.node
    told: list[str] = []
    stage.start()
    last = asyncio.new_event_loop()

    async def twice() -> None:
        await node.acall("a", asking(Run("v", stays)))
        for _ in range(5):
            await asyncio.sleep(0)
        await node.acall("a", asking(CancelRun("v")))
        for _ in range(3):
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

    stage.act("acall", last.run_until_complete, twice())
    last.close()
    stage.do("run")
    stage.call("c", asking(Run("t", stubborn, told)))
    stage.do("run")
    stage.call("c", asking(Run("w", stays)))
    stage.do("run")
    stage.stop()


async def stays() -> None:
    """A run that goes on for long although it is cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        for _ in range(60):
            await asyncio.sleep(0)


async def interrupting() -> None:
    """A run that is interrupted."""
    raise Own("in a run")


def real_time(stage: Stage) -> None:
    """A run while a node of the machine's clock rests."""
    stage.start()
    stage.call("a", asking(Run("x", adouble, 1), StartTimer("t", 5, add)))
    stage.act("run", stage.node.run, 0.02)
    stage.stop()


# -- the guard -------------------------------------------------------------------------------------


def late_ends(stage: Stage) -> Any:
    """A worker whose `terminate` takes longer than it may."""

    def slow_end(_name: str, _state: Any, _reason: Any) -> None:
        tick(0.1)
        tick(60.0)

    late = stage.machine(terminate=slow_end)
    return Supervisor("root", children=[stage.worker("a"), stage.worker("b", start=late)],
                      intensity=9)  # fmt: skip


def cut_ends(stage: Stage) -> None:
    """An end that is cut; the guard is set anew where its alarm is overdue."""
    CLOCK.ahead_s = 0.0
    node = stage.node
    stage.start()
    stage.do("stop_process", "b", "odd")
    for _ in range(62):
        node.call("a", add)
    CLOCK.ahead_s += 100.0
    for _ in range(4):
        stage.call("a", add)
    stage.stop()


def no_room(stage: Stage) -> None:
    """Casts into a full queue, whose time is over; from a step as well."""
    node, world = stage.node, stage.node._world
    stage.start()
    with patched(world, "bound", 2):
        for _ in range(3):
            stage.do("cast", "a", slow(stage, 1.0))
        stage.call("b", add, timeout_s=0.1)
        stage.call("b", lambda _state: node.cast("a", add))
        stage.call("b", lambda _state: node.publish("g", add))

    def again(state: Any) -> Any:
        stage.clock.advance_s(1.0)
        return state, "again", [Cast("a", again)] * (stage.clock.now_s() < 40.0)

    with patched(world, "bound", 1):
        stage.do("cast", "a", again)
        stage.call("b", add, timeout_s=0.5)
    stage.stop()


KILLS: dict[str, Any] = {"kills": True, "defers": True}
OUTSIDE: dict[str, Any] = {"kinds": (KeyboardInterrupt,)}

SCENARIOS = [
    Scenario("ends_at_once", beginners, ends_at_once, frozenset({"e", "x", "bus"}), may_end=True,
             watched=False, options={"history": 64}, **KILLS),
    Scenario("pools", known_labels, pools,
             frozenset({"one", "low", "one/tw", "second:one/tw", "two/tw"}),
             watched=False, may_end=True, **KILLS),
    Scenario("later_not", ignores_later, later_not,
             frozenset({"n", "o", "y", "onecall", "oneperform"}), options={"history": 64}, **KILLS),
    Scenario("held_back", delayed, held_back, frozenset("abc"), failing_inits=1, **KILLS),
    Scenario("below_held", delayed, below_held, frozenset("abc"), **KILLS),
    Scenario("stops_with", flat("one_for_one"), stops_with, may_end=True, watched=False,
             options={"history": 64}, **KILLS),
    Scenario("quiet_groups", plain(*"ab"), quiet_groups, watched=False, **KILLS),
    Scenario("broken_in", beginners, broken_in, frozenset({"e", "b", "bus"}), watched=False,
             options={"history": 64}, **KILLS, **OUTSIDE),
    Scenario("comes_late", elsewhere, comes_late, far=True, may_end=True, **KILLS),
    *(Scenario(runs.__name__, flat("one_for_one"), runs, frozenset("abc"), may_end=True, **KILLS,
               **OUTSIDE)
      for runs in (many_runs, served_runs, cut_runs, stubborn_runs)),
    Scenario("real_time", flat("one_for_one"), real_time, options={"clock": SystemClock()},
             **KILLS, **OUTSIDE),
    Scenario("cut_ends", late_ends, cut_ends, frozenset("b"), options=OPTIONS, **KILLS),
    Scenario("no_room_left", flat("one_for_one"), no_room, **KILLS, **OUTSIDE),
]  # fmt: skip
