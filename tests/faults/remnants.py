"""The last parts of the engine, asked plainly on trees that run: each takes one call or two."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from ssm_cli import (
    CancelRun,
    Fenced,
    GenServer,
    Ignore,
    Join,
    ManualClock,
    MemoryStore,
    Ok,
    Run,
    StartTimer,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.reasons import NORMAL, Crash
from ssm_cli.runtime import reports, traces
from ssm_cli.runtime.calling.messages import Messages
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.durable import again as again_room
from ssm_cli.runtime.durable import (
    checkpoints,
    checks,
    code,
    inputs,
    life,
    lives,
    records,
    renewing,
    rollback,
    snapshots,
    stored,
    values,
)
from ssm_cli.runtime.durable import keeper as keeper_room
from ssm_cli.runtime.durable.quarantine import Keeps
from ssm_cli.runtime.engine import contained, digest, guard, publishing
from ssm_cli.runtime.engine.cell import CellStatus, SupervisorCell
from ssm_cli.runtime.engine.entries import Asked, Caused, ContinueDue, TimerDue
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.performer import (
    children,
    failing,
    intake,
    perform,
    requests,
    starting,
    stopping,
    system,
)
from ssm_cli.runtime.performer.recoding import waiting_values
from ssm_cli.runtime.performer.settling import Left
from tests.faults.bare import called_in_c, caught, nested_list, raised
from tests.faults.crossing import both
from tests.faults.doors import asked, tried
from tests.faults.durably import Look, giving, pool_of
from tests.faults.plainly import MADE, OLD
from tests.faults.recoded import to
from tests.faults.recovery import machine, tree
from tests.faults.scenarios import add, asking, crash, flat
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.ticks import OPTIONS, patched, ticking
from tests.faults.watching import as_engine
from tests.runtime.outside_work import adouble, aforever


class Sub(list[int]):
    """A list with more in it."""


def lists(stage: Stage) -> Any:
    """A supervisor of one worker below the root, and workers beside it."""
    inner = Supervisor("inner", children=[stage.worker("i")], intensity=9)
    return Supervisor("root", children=[stage.worker("a"), stage.worker("b"), inner], intensity=99)


def engine_parts(stage: Stage) -> None:
    """Digests, reasons, publishes, requests and starts."""
    node, world = stage.node, stage.node._world
    look = asked(stage, node.readiness)
    stage.start()
    stage.do("stop")
    if look is not None:
        asked(stage, look.is_ready)
    stage.start()
    a: Any = world.names["a"]
    inner: Any = world.names["inner"]
    asked(stage, Messages, world, Serving(world))
    asked(stage, Keeps, world)
    asked(stage, contained.told_at_a_glance, raises_odd, caught_value(raises_odd))
    asked(stage, contained.told_at_a_glance, raised, caught_value(raises_odd))
    with patched(digest, "MOST_DEPTH", 3):
        asked(stage, digest.sum_of, nested_list(9))
    sub = Sub([1])
    sub.more = 1  # type: ignore[attr-defined]  # that is its point
    asked(stage, digest.sum_of, [sub, Sub, len, reports])
    asked(stage, reports.passes_on, ValueError("x"))
    asked(stage, failing.explained, a, add, NORMAL)
    strange = SimpleNamespace(behaviour=StateMachine(step=both, inputs=Look))
    asked(stage, failing.explained, strange, 7, Crash(ValueError("x")))
    asked(stage, system.held_of, a)
    asked(stage, system.put_state, world, a, (a.state[0], 5))
    asked(stage, starting.started, world, a, None)
    asked(stage, requests.judge_child, world, inner, a.spec)
    asked(stage, requests.forbid_one_more, SimpleNamespace(
        spec=SimpleNamespace(max_children=0, id="x"), children={}))  # fmt: skip
    stage.do("suspend", "inner")
    pending = Pending()
    asked(stage, requests.answer_request, world,
          Asked(inner, inner.starts, "which_children", (), pending))  # fmt: skip
    stage.do("resume", "inner")
    problems(stage, inner)
    stage.do("start_child", "inner", stage.worker("x"))
    stage.do("kill", "inner")
    stage.do("run")
    stage.stop()


def problems(stage: Stage, inner: Any) -> None:
    """Supervisors that are found wrong as they start."""
    world = stage.node._world
    inner.sound = False
    asked(stage, children.find_problem, world, inner)
    for spec in (
        Supervisor("y", children=[stage.worker("a")]),
        Supervisor("y", children=[stage.worker("z"), stage.worker("z")]),
    ):
        other = SupervisorCell(spec, world.root)
        other.sound = False
        asked(stage, children.find_problem, world, other)
        asked(stage, starting.start_supervisor, world, other)
    world.retry_at_s = 1e9
    asked(stage, perform.try_restart, world, 0.0)
    world.retry_at_s = 0.0


def raises_odd() -> None:
    raise ValueError([1])


def caught_value(do: Any) -> ValueError:
    """Return what a function raises."""
    try:
        do()
    except ValueError as error:
        return error
    raise AssertionError("it has raised nothing")


def publishes_wait(stage: Stage) -> None:
    """Publishes that wait beside continues; names that they have nothing for; other code."""
    world = stage.node._world
    with patched(publishing, "CHUNK", 1):
        stage.start()
        for name in "abc":
            stage.call(name, asking(Join("g")))
        stage.do("publish", "g", add)
        b: Any = world.names["b"]
        world.queue.append((b, Kind.CONTINUE, ContinueDue(b.starts, add), None))
        asked(stage, publishing.catch_up, world, "nobody")
        asked(stage, lambda: [*waiting_values(world, b)])
        stage.do("run")
    stage.do("suspend", "a")
    stage.ask("a", add)
    stage.do("run")
    other = to(stage, "a")
    stage.act("id", lambda: other.id)
    stage.do("recode", "a", other)
    stage.do("resume", "a")
    stage.do("run")
    stage.stop()


def stale_stop(stage: Stage) -> None:
    """What is left of a tree is killed, also below another supervisor."""
    world = stage.node._world
    stage.start()
    told = {"i", "b"}

    def again(report: Any) -> None:
        if report.event == "terminating" and report.id in told and not stage.fired:
            told.remove(report.id)
            raise Own(report.id)

    end = stage.node.subscribe(again)
    stage.act("stop", stage.node.stop)
    end()
    stage.start()
    stage.act("kill below", stopping.kill_below, world, world.root)
    world.root.status = CellStatus.RUNNING
    stage.do("stop")
    stage.start()


def ignoring(stage: Stage) -> Any:
    """Servers that ignore, while nobody watches and nothing is remembered."""

    class Never(GenServer):
        codec = Utf8()

        def init(self, _name: str, args: Any) -> Any:
            return Ignore() if args.get("never") else Ok(0)

    kinds = [
        stage.worker("a"),
        Worker("n", Never, args={"never": 1}),
        stage.worker("b"),
        stage.worker("m", start=StateMachine(init=lambda *_: Ignore(), step=both)),
    ]
    return Supervisor("root", children=kinds, intensity=99)  # fmt: skip


def simply(stage: Stage) -> None:
    """Start and stop."""
    stage.start()
    stage.stop()


def few(stage: Stage) -> Any:
    """Plain workers, of which the second crash is one too many."""
    quick = stage.machine(terminate=None)
    below = [stage.worker("a", start=quick), stage.worker("b", start=quick)]
    inner = Supervisor("inner", children=below, intensity=1)
    return Supervisor("root", children=[inner], intensity=99)


def too_many(stage: Stage) -> None:
    """Plain crashes until the supervisor gives up."""
    stage.start()
    for _ in range(3):
        stage.call("a", crash)
    stage.stop()


def debugged(stage: Stage) -> None:
    """A step that a debugger has stopped is not cut."""
    stage.start()
    with patched(guard, "is_debugged", lambda: True):
        stage.call("a", ticking(0.1, 5.0))
    stage.act("in C", called_in_c, as_engine)
    stage.act("which", traces.in_runtime_alone, caught(raised).__traceback__)
    stage.stop()


# -- durable ---------------------------------------------------------------------------------------


def durable_parts(stage: Stage) -> None:
    """Keepers, checkpoints, lives and records."""
    world = stage.node._world
    stage.start()
    stage.call("a", b"one")
    keeper: Any = world.outside.keeper
    a: Any = world.names["a"]
    kept: Any = a.extra.kept
    asked(stage, keeper._stored, object(), None)
    asked(stage, checkpoints.counts, TimerDue(9, a, a.starts - 1, "t", add))
    world.queue.append((a, Kind.CAST, Caused((10**9, 0), "x"), None))
    asked(stage, checkpoints.drop_sent, world, 0)
    effects: Any = deque([Caused((1, 0), Run("r", adouble, 1)), CancelRun("r")])
    left = Left(a.starts, Outcome(a.state), effects, 0, 0)
    kept.unwritten[left] = None
    asked(stage, checkpoints.left_of, keeper, a, kept)
    kept.unwritten.clear()
    one = checks.Checks(OLD, 5)
    record = records.Input("a", 0.0, "call", b"x", "replied", b"o" * 16, b"", "1")
    asked(stage, one.compare, 1, record, (1, "a"), "x")
    asked(stage, one.compare, 2, record, (1, "a"), "x")
    for state_hash in (b"", b"h" * 16):
        asked(stage, one.compare, 3, replace(record, state_hash=state_hash), (1, "a"), "x")
    failing_codec = values.Values("a", MADE, Unwritten())
    asked(stage, checks.Checks(failing_codec, 1).check, 1, record, (1, "a"), "x")
    asked(stage, code.state_type, Stateless())
    bare: Any = SimpleNamespace(codec=Unwritten(), worker="a")
    asked(stage, inputs.encoded_output, bare, Outcome(0, reply="x"), must=False)
    more_parts(stage, keeper, a, kept)
    stage.do("run")
    stage.stop()


class Unwritten(Utf8):
    """A codec that can write nothing."""

    def encode(self, value: object) -> bytes:
        raise ZeroDivisionError(value)


class Stateless(GenServer):
    """A server without a type of its states."""

    def handle_call(self, message: Any, _caller: Any, state: Any) -> Any:
        return message, state


def more_parts(stage: Stage, keeper: Any, a: Any, kept: Any) -> None:
    """What is brought back, saved, given up, renamed."""
    world = stage.node._world
    with patched(again_room, "message_of", divide):
        asked(stage, again_room.Again().said, ValueError("x"))
    record = records.Input("a", 0.0, "call", b"x", "replied", b"", b"", "1")
    for how in ("run", "continue", "cast"):
        keeper.again.append(replace(record, how=how, key="r", cause=(1, 0)))
    keeper.again.append(replace(record, worker="nobody"))
    asked(stage, rollback.bring_back, keeper)
    stage.call("a", b"x")
    extra = a.ensure_extra()
    number = world.timers.next_number()
    entry = TimerDue(number, a, a.starts, "q", "x", (10**9, 0))
    world.timers.start(1e9, entry, number)
    extra.timers["q"] = number
    asked(stage, rollback.forget_asked, world, a, 0)
    c: Any = SimpleNamespace(
        status=CellStatus.UNDEFINED, ensure_extra=lambda: SimpleNamespace(kept=SimpleNamespace())
    )
    asked(stage, rollback.restore, world, c, ((1, "a"), None))
    asked(stage, lives.cause_of, NORMAL)
    with patched(keeper_room, "MOST_BYTES", 0):
        asked(stage, keeper.hold, None, lives.noop)
    named = snapshots.Renamed("a", {"x:A": "y:B"})
    with patched(renewing, "renamed_in", lambda *_: named):
        asked(stage, renewing.new_kept, keeper, a)
    failing_revive = values.Values("a", MADE, Utf8())
    failing_revive.revive = divide  # type: ignore[method-assign, assignment]  # as its code would fail
    made = life.Life("a", MADE, failing_revive, None, checks.Checks(OLD, 1))
    asked(stage, made._revived, b"x", records.Code(), 1)
    for data in (b"\xc1\x01", OLD.dump((1, "a")) + b"\0", b"\x92\x01\xa1b"):
        asked(stage, OLD._load, data)
    for data in (values.RAW + b"x", values.RAW):
        asked(stage, OLD.read, data)
    asked(stage, sent_back, keeper)


def divide(*_: Any) -> Any:
    raise ZeroDivisionError("as asked")


def sent_back(keeper: Any) -> None:
    """Inputs that the last process had sent, to workers of each sort."""
    hows: Any = (("nobody", "cast"), ("a", "continue"), ("a", "cast"))
    for index, (to_whom, how) in enumerate(hows):
        keeper.recovered.unsent.add(snapshots.Sent((1, index), to_whom, how, b"x"))
    keeper.recovered.unsent.add(snapshots.Sent((2, 0), "a", "cast", b"\xff"))
    lives.resume_sent(keeper)


def other_starts(stage: Stage) -> None:
    """Starts with what a store has that is not ours to write, or is cut."""
    stage.store.failing = Fenced("another owner")
    stage.start()
    stage.store.failing = None
    stage.renew()
    stage.start()
    stage.call("a", b"one")
    stage.stop()
    head = stored.head_of(stage.store)
    cut = MemoryStore()
    cut._cells = dict(stage.store._cells)
    stage.act("cut", tried, type(stage.node), stage.node.spec, clock=ManualClock(), store=cut)
    stage.act("batches", lambda: tried(list, stored.batches(stage.store, replace(head, seq=99))))


def pools_kept(stage: Stage) -> Any:
    """A durable pool."""
    del stage
    return pool_of(Worker("w", machine(), persist="journal"))


def pools_saved(stage: Stage) -> Any:
    """A pool whose children are saved now and then."""
    del stage
    return pool_of(Worker("w", machine(), persist="snapshot"))


def refused_children(stage: Stage) -> None:
    """Children of a durable pool that are started while nothing can be written; hints of names."""
    store, node = stage.store, stage.node
    stage.start()
    stage.do("start_child", "pool", "one")
    asked(stage, intake.hint_for, node._world, "one")
    store.failing = StorageError("full")
    waits = asked(stage, node.meant, "pool", "start_child", "two")
    stage.do("run")
    store.failing = None
    if waits is not None:
        stage.act("wait", node.wait, waits, 1.0)
    store.late = True
    waits = asked(stage, node.meant, "pool", "start_child", "three")
    stage.do("run")
    store.failing = StorageError("full")
    stage.act("land", store.land)
    stage.do("run")
    store.failing, store.late = None, False
    stage.do("run")


def unsaved_children(stage: Stage) -> None:
    """Children of a durable pool that are in it alone, and of which no state is kept."""
    store = stage.store
    stage.start()
    with patched(store, "put", cannot_put):
        stage.do("start_child", "pool", "one")
    stage.do("run")
    stage.renew()
    stage.start()
    stage.do("start_child", "pool", "two")
    for init in (divide, lambda *_: Ignore()):
        stage.renew(pool_of(Worker("w", machine(init=init), persist="snapshot")))
        stage.start()
        stage.stop()


def cannot_put(_changes: Any, done: Any) -> None:
    """Find that no cell can be written."""
    done(StorageError("full"))


def in_a_loop(stage: Stage) -> None:
    """A late store tells where a loop serves the node."""
    node, store = stage.node, stage.store
    stage.start()
    loop = stage.loop = asyncio.new_event_loop()

    async def main() -> None:
        store.late = True
        call = asyncio.ensure_future(node.acall("a", b"one", 2.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        store.land()
        store.late = False
        await asyncio.wait([call], timeout=0.05)

    stage.act("acall", loop.run_until_complete, main())
    stage.stop()


def served_by_a_loop(stage: Stage) -> None:
    """Quick calls begin where a loop serves the node; timers are left as it is let go."""
    node = stage.node
    stage.start()
    loop = stage.loop = asyncio.new_event_loop()

    async def main() -> None:
        await node.acall("a", asking(StartTimer("t", 9000, add)))
        for _ in range(4):
            await asyncio.sleep(0)
        node.begin("a", add)
        node.begin("a", asking(StartTimer("u", 9000, add)))
        for _ in range(4):
            await asyncio.sleep(0)
        node._world.outside.driver.close()

    stage.act("acall", loop.run_until_complete, main())
    stage.call("a", asking(Run("f", aforever)))
    runner: Any = node._world.outside.runner
    if runner is not None:
        stage.act("glance", runner.glance)
        a: Any = node._world.names["a"]
        runner._tasks.going[-5] = SimpleNamespace(cell=a)
        runner._of[a] += 1
        stage.act("cancel", runner.cancel, -5)
    stage.stop()


KILLS: dict[str, Any] = {"kills": True, "defers": True}
DURABLE: dict[str, Any] = {"durable": True, **KILLS}
OUTSIDE: dict[str, Any] = {"kinds": (KeyboardInterrupt,)}

SCENARIOS = [
    Scenario("engine_parts", lists, engine_parts, frozenset("aix"), options={"history": 64},
             watched=False, **KILLS),
    Scenario("publishes_wait", flat("one_for_one"), publishes_wait, watched=False,
             options={"history": 64}, **KILLS),
    Scenario("stale_stop", lists, stale_stop, watched=False, may_end=True, torn=True, **KILLS),
    Scenario("ignoring", ignoring, simply, frozenset("nm"), watched=False),
    Scenario("too_many", few, too_many, watched=False, **KILLS),
    Scenario("debugged", flat("one_for_one"), debugged, options=OPTIONS, **KILLS, **OUTSIDE),
    Scenario("durable_parts", tree, durable_parts, frozenset("abgc"), **DURABLE),
    Scenario("other_starts", giving, other_starts, frozenset("gac"), may_end=True, **DURABLE),
    Scenario("refused_children", pools_kept, refused_children,
             frozenset({"pool:one", "pool:two", "pool:three"}), may_end=True, **DURABLE),
    Scenario("unsaved_children", pools_saved, unsaved_children,
             frozenset({"pool:one", "pool:two"}), may_end=True, **DURABLE),
    Scenario("in_a_loop", tree, in_a_loop, frozenset("abgc"), **DURABLE, **OUTSIDE),
    Scenario("served_by_a_loop", flat("one_for_one"), served_by_a_loop,
             options={"history": 64, "guard": True},
             **KILLS, **OUTSIDE),
]  # fmt: skip
