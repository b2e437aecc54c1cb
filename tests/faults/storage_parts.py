"""Parts of what is stored that a tree comes to once in a long life, asked plainly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec.structs import replace

from ssm_cli import (
    AddHandler,
    Ok,
    StartTimer,
    StorageError,
    Supervisor,
    Unrecovered,
    Worker,
)
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.runtime.durable import (
    checkpoints,
    inputs,
    lives,
    pools,
    rebuild,
    recoded,
    recorded,
    records,
    renewing,
    rollback,
    roster,
    snapshots,
    stored,
    unclaimed,
    values,
)
from ssm_cli.runtime.durable.stored import Tail
from ssm_cli.runtime.engine.cell import CellStatus
from ssm_cli.runtime.engine.entries import ContinueDue, SaveDue
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.performer import members, merging, requests, starting, system
from ssm_cli.runtime.views import ProcessRef
from ssm_cli.spec.model import OnUnrecoverable
from tests.faults.doors import asked
from tests.faults.durably import pool_of
from tests.faults.plainly import OLD
from tests.faults.recovery import broken, machine, tree
from tests.faults.scenarios import add, flat
from tests.faults.stage import Scenario, Stage
from tests.faults.storing import Ear, saved_now_and_then
from tests.faults.talkers import managers
from tests.faults.ticks import patched


def lost() -> Unrecovered:
    """Return why a worker cannot go on."""
    return Unrecovered("as asked", worker="a", reason="raises")


def saved_parts(stage: Stage) -> None:
    """Workers that are saved now and then: what is saved late, given up, taken over."""
    world = stage.node._world
    stage.start()
    keeper: Any = world.outside.keeper
    a: Any = world.names["a"]
    kept = a.extra.kept
    asked(stage, lives.save_unserved, keeper, SaveDue(world.names["c"], 1))
    kept.inputs = 1
    asked(stage, lives.save_unserved, keeper, SaveDue(a, a.starts))
    kept.trouble, options = lost(), kept.options
    kept.options = msgspec.structs.replace(options, on_unrecoverable=OnUnrecoverable.INIT)
    kept.has, kept.last = True, a.state
    asked(stage, lives.is_given_up, keeper, a, kept)
    kept.options, kept.trouble = options, None
    keeper.kept.pop("a")

    def give(one: Any, _spec: Any) -> None:
        one.dirty = one.has = True
        one.last = (1, "a")

    with patched(keeper.recovered, "give", give):
        asked(stage, renewing.give_kept, keeper, a)
    stage.do("run")
    stage.stop()


def journal_parts(stage: Stage) -> None:
    """Journalled workers: starts that are undone, code that is refused, what is not recorded."""
    world = stage.node._world
    stage.start()
    stage.call("a", b"one")
    keeper: Any = world.outside.keeper
    a: Any = world.names["a"]
    kept, extra = a.extra.kept, a.extra
    kept.refused[values.digest(b"x")] = SimpleNamespace(number=1)
    asked(stage, inputs.let_out, keeper, kept, b"x")
    kept.refused.clear()
    kept.armed = tuple(SimpleNamespace(function=of, key="s", cause=None) for of in ("x", ""))
    with running(extra):
        asked(stage, lives.rearm, world, a, kept)
    kept.armed = ()
    with running(extra):
        asked(stage, rollback.forget_asked, world, a, 0)
    with patched(keeper, "error", StorageError("full")):
        asked(stage, recoded.record_code, keeper, a, kept, a, a.state)
    with patched(type(keeper), "has_work", lambda _self: True):
        asked(stage, recoded.record_code, keeper, a, kept, a, a.state)
    with patched(recoded, "attempt_all", fails):
        asked(stage, recoded.record_code, keeper, a, kept, a, a.state)
    was = {name: getattr(kept, name) for name in recoded.OF_CODE}
    with patched(recoded, "write_through", fails):
        asked(stage, recoded.tell_code, keeper, kept, kept.values.dump(a.state), was)
    asked(stage, recoded.tell_code, keeper, kept, b"", was)
    states_fail(stage, keeper, kept, world.names["b"].extra.kept)
    with patched(type(kept), "is_of", lambda *_: False):
        asked(stage, renewing.resume_kept, keeper, world.names["b"])
    asked(stage, renewing.let_trouble_go, keeper, "nobody")
    with patched(members, "waits", lambda _changes: True):
        asked(stage, members.tell_kept, world, Pending(), 1)
    asked(stage, merging.take_spec, world, a,
          replace(a.spec, options=replace(a.spec.options, quarantine=9)))  # fmt: skip
    stage.do("start_child", "root", Worker("x", machine(init=odd_timer), persist="journal"))
    saves(stage, keeper, kept)
    ends(stage, keeper, a)
    stage.stop()


def saves(stage: Stage, keeper: Any, kept: Any) -> None:
    """States are saved bit by bit, while something is under way; one of them cannot be."""
    asked(stage, stage.node.call, "b", b"one")
    asked(stage, stage.node.call, "a", b"one")
    sent = snapshots.Sent((1, 0), "nobody", "cast", b"x")
    with patched(checkpoints, "sent_of", lambda *_: [sent]):
        asked(stage, checkpoints.advance_saving, keeper, -1.0)
    stage.do("run")
    for name in "ab":
        asked(stage, stage.node.call, name, b"one")
    times: list[int] = []
    snapshot = type(kept).snapshot

    def the_first(*args: Any) -> Any:
        times.append(1)
        if len(times) > 1:
            raise StorageError("as asked")
        return snapshot(*args)

    with patched(type(kept), "snapshot", the_first):
        asked(stage, checkpoints.advance_saving, keeper, 9.0)
    stage.do("run")


@contextmanager
def running(extra: Any) -> Iterator[None]:
    """A run and a timer of a worker are under way."""
    extra.runs["s"] = SimpleNamespace(cause=(10**9, 0), number=0)
    extra.timers["s"] = 0
    try:
        yield
    finally:
        extra.runs.pop("s", None)
        extra.timers.pop("s", None)


def odd_timer(_name: str, _args: Any) -> Any:
    """Begin with a timer that no record can carry."""
    return Ok((0, ""), effects=[StartTimer("t", 2**70, "x")])


def fails(*_: Any) -> StorageError:
    """Find that nothing can be written."""
    return StorageError("full")


def states_fail(stage: Stage, keeper: Any, *kept: Any) -> None:
    """Of states that are saved in one go, the second cannot be."""
    answers = iter([OLD.saved(0.0, 1, (True, b"x"), (), None)])

    def one_alone(*_: Any) -> Any:
        for answer in answers:
            return answer
        raise StorageError("as asked")

    with patched(checkpoints, "snapshot", one_alone):
        under = checkpoints.Pass(keeper, [*kept])
        asked(stage, checkpoints.write_slice, keeper, under, math.inf)


def ends(stage: Stage, keeper: Any, a: Any) -> None:
    """What waits as a worker ends, or is edited at a break; what its records do not come to."""
    world = stage.node._world
    stage.do("suspend", "b")
    stage.call("a", b"cast")
    stage.do("run")
    stage.do("kill", "b")
    stage.do("run")
    g: Any = world.names["g"]
    stage.do("suspend", "g")
    g.extra.backlog.appendleft((Kind.CONTINUE, ContinueDue(g.starts, "x", (1, 0)), None))
    asked(stage, system.edit_held, world, g, "y")
    stage.do("resume", "g")
    stage.do("run")
    number = world.timers.next_number()
    g.ensure_extra().timers["t"] = number
    world.queue.appendleft((g, Kind.CONTINUE, ContinueDue(g.starts, "x"), None))
    asked(stage, lives.undo, world, g)
    kept = a.extra.kept
    kept.has, kept.failures = True, 1000
    asked(stage, lives.is_given_up, keeper, a, kept)
    kept.trouble, kept.failures = None, 0
    was, kept.behaviour, kept.recorded = kept.behaviour, machine(broken), b"h" * 16
    asked(stage, recorded.bring_recorded, keeper, a, kept)
    kept.behaviour, kept.trouble = was, None
    keeper.recovered.troubles.pop("a", None)


def rebuilt(stage: Stage) -> None:
    """What is stored is read where workers are unfit, renamed, cut short, or seen by somebody."""
    node, store = stage.node, stage.store
    stage.start()
    stage.call("a", b"one")
    asked(stage, rebuild.Recovered, store, node.spec, seen=Ear())
    stage.stop()
    spec, head = node.spec, stored.head_of(store)
    with patched(rebuild, "head_of", lambda _store: replace(head, entry=99)):
        asked(stage, rebuild.Recovered, store, spec)
    with patched(rebuild, "claimed", lambda *_: [("a", lost())]):
        asked(stage, rebuild.Recovered, store, spec)
    whole = roster.Roster(store, spec)
    whole.unfit = {"a": lost()}
    asked(stage, rebuild.Recovered, store, spec, roster=whole)
    record = records.Input("a", 0.0, "call", b"cast", "replied", b"", b"", "1")
    tail = replace(OLD.saved(0.0, 1, (True, OLD.dump((1, "a"))), (), None), tail=((1, record),))
    alone = Supervisor("root", children=spec.children[:1])
    with patched(rebuild, "saved_of", lambda *_: tail):
        one = asked(stage, rebuild.Recovered, store, alone, 1, Ear())
        if isinstance(one, rebuild.Recovered):
            asked(stage, one.look)
    if isinstance(one, rebuild.Recovered):
        with patched(rebuild, "is_rename", lambda _record: True):
            renamed = records.Repair("a", 0.0, "rename", None, records.Code(), 1)
            asked(stage, one._note, 1, renamed)
        with patched(rebuild, "unlabelled", lambda *_: lost()):
            kept = SimpleNamespace(worker="nobody", trouble=None)
            asked(stage, one.give, kept, spec.children[0])


def read_anew(stage: Stage) -> None:
    """What is stored is claimed, decoded, and read by newer rules; pools are made of it."""
    store, spec = stage.store, stage.node.spec
    stage.start()
    stage.call("a", b"one")
    stage.stop()
    code = OLD.code
    old = Tail("old", None)
    old.add(1, records.Start("old", 0.0, 1, "init", None, "1", code=code))
    worker: Any = spec.children[0]
    asked(stage, rebuild.claimed, store, {"new": worker}, {"new": "root/9"}, {"old": old}, {"new"})
    asked(stage, unclaimed.claim, "new", code, {"old": code}, "here")
    with patched(stored, "decode_entry", lambda *_: SimpleNamespace(first=99, records=())):
        asked(stage, lambda: [*stored.batches(store, snapshots.Head())])
    with patched(values, "alike", lambda *_: False):
        asked(stage, OLD._load, OLD.dump((1, "a")))
    with patched(values, "_old_written", lambda _state: b"\x01"):
        asked(stage, OLD._load, msgspec.msgpack.encode((1, "a")))
    newer = msgspec.msgpack.encode([records.FORMAT + 1, "x", 7])
    asked(stage, records.decode_entry, 1, b"\0" * 16, newer)
    pool = Supervisor("pool", "simple_one_for_one", [Supervisor("t", children=[
        Supervisor("deep", "simple_one_for_one", [Worker("w", machine(), persist="journal")]),
    ])])  # fmt: skip
    for args in (b"\x81", b""):
        child = snapshots.Pooled("pool:x", "pool", "x", 0.0, 1, args)
        asked(stage, pools.child_of, pool, child)
        asked(stage, pools.child_of, pool_of(Worker("w", machine())).children[0], child)
    known = pools.Pools(store)
    asked(stage, known.add, snapshots.Pooled("pool:x", "pool", "x", 0.0, 1))
    asked(stage, lambda: [*known.specs(Supervisor("root", children=[pool]))])


def pooled(stage: Stage) -> Any:
    """A pool whose children are not kept."""
    del stage
    return pool_of(Worker("w", machine()))


def enrols(stage: Stage) -> None:
    """A pool is made durable, its specs alone; arguments that cannot be kept."""
    world = stage.node._world
    stage.start()
    for label in ("one", "two"):
        stage.do("start_child", "pool", label)
    pool: Any = world.names["pool"]
    durable = pool_of(Worker("w", machine(), persist="journal")).children[0]
    asked(stage, merging.take_table, world, pool, durable)

    def refuse(*_: Any) -> Any:
        raise pools.BadArgs("as asked")

    with patched(merging, "pooled_of", refuse):
        asked(stage, merging.enrol_all, world, pool)
    big = {"n": "x" * (pools.MOST_ARGS_BYTES + 1)}
    stage.do("start_child", "pool", "big", big)
    one: Any = next(iter(pool.children.values()))
    one.status = CellStatus.RESTARTING
    for starts in (one.starts, one.starts - 1):
        asked(stage, requests.find_child, pool, ProcessRef(one.spec.id, starts))
    one.status = CellStatus.RUNNING
    stage.stop()


def few_starts(stage: Stage) -> None:
    """A start that was cut once its `init` had answered; children that were ending as well."""
    world = stage.node._world
    stage.start()
    stage.do("terminate_child", "root", "b")
    b: Any = world.names["b"]
    asked(stage, starting.has_begun, world, b, (99, 0))
    asked(stage, starting.has_begun, world, b, (99, 0))
    a: Any = world.names["a"]
    a.ensure_extra().unbegun = True
    stage.do("digest")
    a.extra.unbegun = False
    stage.stop()


def ends_with_owner(stage: Stage) -> None:
    """A manager ends, and who has added a handler hears of it; a killed supervisor's child ends."""
    world = stage.node._world
    stage.start()
    stage.call("bus", AddHandler("two", 1, "b"))
    stage.call("bus", AddHandler(("two", 2), 1, "b"))
    stage.do("stop_process", "bus", "odd")
    stage.do("run")
    bus: Any = world.names["bus"]
    bus.status = CellStatus.ENDING
    stage.do("kill", "low")
    stage.do("run")
    stage.do("cast", "a", add)
    stage.stop()


KILLS: dict[str, Any] = {"kills": True, "defers": True}
DURABLE: dict[str, Any] = {"durable": True, **KILLS}

SCENARIOS = [
    Scenario("saved_parts", saved_now_and_then, saved_parts, frozenset("abdgc"), **DURABLE),
    Scenario("journal_parts", tree, journal_parts, frozenset("abgcx"), may_end=True,
             torn=True, **DURABLE),
    Scenario("rebuilt", tree, rebuilt, frozenset("abgc"), may_end=True, **DURABLE),
    Scenario("read_anew", tree, read_anew, frozenset("abgc"), may_end=True, **DURABLE),
    Scenario("enrols", pooled, enrols, frozenset({"one", "two", "pool:one", "pool:two", "big"}),
             may_end=True, **DURABLE),
    Scenario("few_starts", flat("one_for_one"), few_starts, frozenset("ab"), **KILLS),
    Scenario("ends_with_owner", managers, ends_with_owner, frozenset({"bus"}), **KILLS),
]  # fmt: skip
