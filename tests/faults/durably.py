"""More of durable workers: inputs that read, what is remembered as well, parts asked plainly."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from ssm_cli import (
    TIMEOUT,
    Answer,
    CancelRun,
    CancelTimer,
    Cast,
    Continue,
    Defer,
    GenServer,
    MemoryStore,
    NoReply,
    Ok,
    Reply,
    Run,
    StartTimer,
    StateMachine,
    Stop,
    StorageError,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.runtime.durable import (
    checkpoints,
    checks,
    code,
    fits,
    inputs,
    life,
    rebuild,
    records,
    roster,
    sessions,
    snapshots,
    stored,
    timeouts,
    unclaimed,
    unsent,
    values,
)
from ssm_cli.runtime.durable import kept as kept_room
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.performer import reading
from ssm_cli.runtime.performer.breaking import Break
from tests.faults import recovery
from tests.faults.doors import asked
from tests.faults.plainly import MADE, OLD, RENAMED
from tests.faults.recovery import machine, tree
from tests.faults.scenarios import crash
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.storing import Ear
from tests.faults.ticks import patched
from tests.runtime.outside_work import adouble, aforever

# -- inputs that read ------------------------------------------------------------------------------


class Look(msgspec.Struct, frozen=True):
    """An input that reads."""

    word: str


class Words(Utf8):
    """A codec in which a word behind `?` reads."""

    def decode(self, data: bytes) -> Any:
        word = data.decode()
        return Look(word[1:]) if word[:1] == "?" else word

    def encode(self, value: object) -> bytes:
        return f"?{value.word}".encode() if isinstance(value, Look) else str(value).encode()


def looks(message: Any, state: list[str]) -> Any:  # noqa: PLR0911 - a case for each word
    """A step of which a reading input does what its word says."""
    word = message.word if isinstance(message, Look) else message
    if word == "other":
        return [*state, word], word
    if word == "same":
        return [*state], word
    if word == "in place":
        state.append(word)
        return state, word
    if word == "object":
        return [object()], word
    if word == "more":
        return state, word, [Cast(None, "x")]
    if isinstance(message, Look) or word == "ping":
        return state, word
    return [*state, word], word


def readers(stage: Stage) -> Any:
    """Workers whose looks read: a journalled one, one that is saved, one that forgets."""
    start = StateMachine(step=looks, state=list[str], codec=Words(), init=lambda *_: [], reads=Look)
    kinds: dict[str, Any] = {"a": "journal", "b": "snapshot", "c": "none"}
    return Supervisor(
        "root", children=[Worker(name, start, persist=how) for name, how in kinds.items()],
        intensity=100,
    )  # fmt: skip


def reads(stage: Stage) -> None:
    """Looks that read, and those that do more."""
    stage.start()
    for name in "abc":
        for word in (b"one", b"?look", b"?other", b"?same", b"?in place", b"?object", b"?more"):
            stage.call(name, word)
            stage.ask(name, word)
            stage.do("run")
        stage.call(name, Look("look"))
    with patched(kept_room, "HASHED_BYTES", -1):
        for word in (b"one", b"?look", b"?same", b"?other"):
            stage.call("a", word)
    kept = stage.node._world.names["a"].extra.kept
    kept._debt = 10_000_000
    stage.call("a", b"?look")
    stage.stop()


class Unlike:
    """A state that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("as asked")

    __hash__ = None  # type: ignore[assignment]  # as where `__eq__` is given


def unlike(stage: Stage) -> Any:
    """A worker whose states cannot be compared."""
    start = StateMachine(
        step=lambda message, state: (state if message == "ping" else Unlike(), message),
        reads=str,
        codec=Utf8(),
    )
    return Supervisor("root", children=[Worker("a", start), stage.worker("b")], intensity=100)


def compares(stage: Stage) -> None:
    """A read of a state that cannot be compared crashes."""
    stage.start()
    stage.call("a", "word")
    asked(stage, reading.differs, ValueError("x"))
    stage.stop()


# -- what is written -------------------------------------------------------------------------------


class Gives(GenServer):
    """Defers, answers, waits, goes on: as it is told."""

    codec = Utf8()
    state = tuple[int, str]

    def init(self, _name: str, _args: Any) -> Any:
        return Ok((0, ""))

    def handle_call(  # noqa: PLR0911 - a case for each word
        self, message: Any, caller: Any, state: Any
    ) -> Any:
        after = state if message == "ping" else (state[0] + 1, str(message))
        match message:
            case "defer":
                return NoReply(after, effects=[Defer("k")])
            case "answer":
                return Reply("now", after, effects=[Answer("k", "late"), Answer("nobody", 1)])
            case "both":
                return Stop("odd", after, reply="x", effects=[Answer("k", "late")])
            case "wait":
                return Reply("w", after, then=TimeoutAfter(50, "told"))
            case "instant":
                return Reply("w", after, then=TimeoutAfter(1_767_225_600_000, "x", absolute=True))
            case "on":
                return Reply("on", after, then=Continue("on"))
            case "run":
                return Reply("run", after, effects=[
                    Run("r", adouble, 1), Run("s", aforever), CancelRun("s"),
                    StartTimer("t", 500, "x"), CancelTimer("t"), StartTimer("u", 500, "x"),
                ])  # fmt: skip
            case "forever":
                return Reply("f", after, effects=[Run("s", aforever), StartTimer("t", 5, "x")])
        return Reply(message, after)

    def handle_continue(self, message: Any, state: Any) -> Any:
        return NoReply((state[0] + 1, str(message)))

    def handle_info(self, message: Any, state: Any) -> Any:
        return NoReply((state[0] + 1, "timeout" if message is TIMEOUT else str(message)[:9]))


def giving(stage: Stage) -> Any:
    """A journalled server, a plain step, one that forgets."""
    kept: dict[str, Any] = {"persist": "journal", "on_crash": "last_good"}
    children = [Worker("g", Gives, **kept), Worker("a", machine(), **kept), stage.worker("c")]
    return Supervisor("root", children=children, intensity=100, on_storage_error="refuse",
                      snapshot_every=4)  # fmt: skip


def gives(stage: Stage) -> None:
    """Answers, time-outs, continues and runs that are being written as their worker ends."""
    node, store = stage.node, stage.store
    stage.start()
    for word in ("wait", "instant", "run", "on"):
        stage.call("g", word)
        stage.do("run")
    for end in ("kill", "stop_process"):
        store.late = True
        for word in ("defer", "answer", "forever"):
            stage.ask("g", word)
            stage.do("run")
        stage.ask("g", "both")
        stage.ask("g", "one")
        stage.do("run")
        stage.do(end, "g")
        stage.act("land", store.land)
        store.late = False
        stage.do("run")
    store.late = True
    for word in ("forever", "on", "wait"):
        stage.ask("g", word)
        stage.do("run")
    stage.call("a", b"timer")
    store.failing = StorageError("full")
    stage.act("land", store.land)
    stage.do("run")
    stage.do("stop_process", "g")
    store.failing, store.late = None, False
    for _ in range(3):
        stage.do("run")
    stage.act("run 10 s", node.run, 10.0)
    stage.stop()


def interrupted_record(stage: Stage) -> None:
    """An interruption between a record and what holds it: the record is taken back."""
    keeper_of = stage.node._world.outside
    stage.start()

    def interrupts(*_: Any) -> Any:
        raise Own("as asked")

    for word in (b"one", b"cast", b"timer"):
        with patched(type(keeper_of.keeper), "hold", interrupts):
            stage.call("a", word)
        with patched(type(keeper_of.keeper), "hold", interrupts):
            stage.call("g", "wait")
        stage.do("run")
    stage.call("a", b"one")
    stage.stop()


def held_in_breaks(stage: Stage) -> None:
    """Journalled workers held at breaks, of which timers and continues are dropped or edited."""
    node = stage.node

    def once(*_given: Any) -> tuple[str, str]:
        return "an input", "a change"

    stage.start()
    for word, waits_s in (("on", 0.0), ("wait", 1.0), ("run", 0.0), ("run", 1.0)):
        for options in ({"drop": True}, {"given": "x"}):
            stage.call("g", word)
            stage.do("set_breaks", "g", (Break(1, "True", once),))
            stage.act("run", node.run, waits_s)
            asked(stage, node.leave_break, "g", **options)
            stage.do("set_breaks", "g", ())
            if node._world.names["g"].suspended:
                stage.do("resume", "g")
            stage.do("run")
    stage.do("set_breaks", "g", (Break(1, "True", once),))
    stage.act("ask", node.send_request, "g", "one", request_id="r")
    stage.do("run")
    stage.act("ask", node.send_request, "g", "one", request_id="r")
    asked(stage, node.leave_break, "g")
    stage.do("run")
    stage.do("set_breaks", "g", ())
    stage.do("resume", "g")
    stage.do("run")
    stage.stop()


def fails_at_first(stage: Stage) -> None:
    """A store that is full as the tree starts, and as requests are answered; a clock set back."""
    store = stage.store
    store.failing = StorageError("full")
    stage.start()
    store.failing = None
    stage.start()
    stage.call("a", b"one")
    store.failing = StorageError("full")
    stage.do("start_child", "root", Worker("x", machine(), persist="journal"))
    stage.do("terminate_child", "root", "x")
    asked(stage, stage.node.change_code, "a", "1")
    store.failing = None
    stage.do("run")
    stage.act("run 6 s", stage.node.run, 6.0)
    stage.stop()
    stage.clock = type(stage.clock)(stage.clock.wall_s() - 86_400.0)
    stage.renew()
    stage.start()
    stage.stop()


def changes_kind(stage: Stage) -> None:
    """What is journalled is saved now and then in the next process, and the other way round."""
    stage.start()
    stage.call("a", b"one")
    stage.call("g", "wait")
    stage.renew(Supervisor("root", children=[
        Worker("a", machine(), persist="snapshot"), Worker("g", Gives, persist="journal"),
    ]))  # fmt: skip
    stage.start()
    stage.call("a", b"two")
    stage.renew(Supervisor("root", children=[Worker("a", machine(), persist="journal")]))
    stage.start()
    stage.call("a", b"three")
    stage.stop()


# -- pools -----------------------------------------------------------------------------------------


def pool_of(template: Any, **options: Any) -> Any:
    """A tree with one pool."""
    pool = Supervisor("pool", "simple_one_for_one", [template], intensity=100, **options)
    return Supervisor("root", children=[pool], intensity=100)


def forgetful(stage: Stage) -> Any:
    """A pool whose children are not kept."""
    del stage
    return pool_of(Worker("w", machine()))


def becomes_durable(stage: Stage) -> None:
    """A pool becomes durable, and its children; templates that do not fit what is kept."""
    stage.start()
    for label, args in (("x", {"n": 1}), ("y", {"n": object()}), ("z", {})):
        stage.do("start_child", "pool", label, args)
    stage.do("apply", pool_of(Worker("w", machine(), persist="journal")))
    for label in "xyz":
        stage.call(f"pool:{label}", b"one")
    stage.do("start_child", "pool", "v", {"n": "x" * 10_000_000})
    for template in (
        Supervisor("w", children=[Worker("i", machine(), persist="journal")]),
        Worker("w", machine(init=lambda *_: 1 // 0), persist="journal"),
        Worker("w", machine(), persist="journal"),
    ):
        stage.renew(pool_of(template))
        stage.start()
        stage.stop()


# -- parts asked plainly ---------------------------------------------------------------------------


def plainly(stage: Stage) -> None:
    """Parts of what is stored, one function at a time."""
    stage.start()
    gone: Any = asked(stage, code.Gone, "x:y")
    asked(stage, code.code_named, "tests.faults.durably:no_such_thing", "")
    asked(stage, code.state_type, 7)
    if gone is not None:
        asked(stage, run_it, gone)
    odd: Any = list.__class_getitem__(type(print))  # what cannot be written
    asked(stage, values.Values, "a", StateMachine(step=looks, state=odd), Utf8())
    for effect in (
        Run("r", partial(adouble, 1)), Run("\ud800", adouble, 1), Run("r", lambda: None),
        StartTimer("t", 2**70, "x"), Run("r", adouble, 1),
    ):  # fmt: skip
        asked(stage, fits.unfit, Outcome(0, effects=[effect]))
    asked(stage, fits.unfit, Outcome(0, then=TimeoutAfter(2**70)))
    for then in (TimeoutAfter(5, "x"), TimeoutAfter(5), None):
        written = asked(stage, timeouts.timeout_written, then, str.encode)
        if written is not None:
            asked(stage, timeouts.timeout_read, written, OLD)
    hows: Any = ((1, "continue"), (2, "cast"))
    sent = [snapshots.Sent((n, 0), "a", how, b"") for n, how in hows]
    known = unsent.Unsent(sent)
    asked(stage, known.passed, 12, records.Start("a", 0.0, 1, "init", None, "1", released=9))
    served = records.Input("a", 0.0, "cast", b"x", "silent", b"", b"", "1", cause=(2, 0))
    for passed in (served, records.Note("b", 0.0, "dropped", "x", cause=(2, 0))):
        asked(stage, known.passed, 13, passed)
    asked(stage, unsent.Unsent(sent).passed, 9, records.Exit("a", 0.0, "normal", kept=True))
    compared(stage)
    what_is_stored(stage)
    asked_of_sessions(stage)
    stage.stop()


def run_it(gone: Any) -> None:
    """Call what is not there any more."""
    try:
        gone().send(None)
    except LookupError as error:
        raise ValueError from error


def compared(stage: Stage) -> None:
    """Records that are compared with what they come to now."""
    record = records.Input("a", 0.0, "call", b"x", "replied", b"", b"", "1", effects_hash=b"e" * 16)
    for every, state_hash in ((1, b""), (5, b""), (5, b"h" * 16)):
        one = checks.Checks(OLD, every, effects=True)
        other = replace(record, state_hash=state_hash, effects_hash=records.NOT_TAKEN)
        for taken in (record, other, other):
            asked(stage, one.compare, 1, taken, (1, "a"), "x")
    alike = replace(record, effects_hash=OLD.hash_of_effects(Outcome((1, "a"))))
    asked(stage, checks.Checks(OLD, 1, effects=True).compare, 1, alike, (1, "a"), "x")
    asked(stage, RENAMED.has_effects, Outcome((1, "a")), b"e" * 16, 1)
    by = records.Code(machine="other:talk", version="")
    for machine_name in ("other:talk", "a:", "x:y"):
        asked(stage, OLD.revive, OLD.dump((1, "a")), replace(by, machine=machine_name))
    for data in (b"\x92\x01\xa1a\x00", msgspec.msgpack.encode((1, "a"))[:-1]):
        asked(stage, OLD.revive, data, records.Code())
    saved = OLD.saved(0.0, 1, (True, OLD.dump((1, "a"))), (), None)
    made = asked(stage, life.anew, "a", MADE, OLD, saved)
    if isinstance(made, tuple):
        anew, _ = made
        outcome = Outcome((1, "a"), effects=[Run("r", adouble, 1), CancelRun("r")])
        asked(stage, life.redo_effects, anew, 1, record, outcome)
        asked(stage, anew.again, 3, replace(record, data=b"\0raw" * 9))
    failing = values.Values("a", MADE, Fails())
    for data in (b"x", b"\xc1x"):
        one_life = life.Life("a", MADE, failing, saved, checks.Checks(failing, 1))
        asked(stage, one_life.again, 2, replace(record, data=data))
    asked(stage, life.Life("a", OTHER, OLD, saved, checks.Checks(OLD, 1)).again, 2, record)


class Fails(Utf8):
    """A codec that can read nothing."""

    def decode(self, data: bytes) -> Any:
        raise ZeroDivisionError(data)


OTHER = StateMachine(
    step=lambda _message, state: (state, "x", [StartTimer("t", 2**70, "x")]),
    state=recovery.State, codec=Utf8(),
)  # fmt: skip


def what_is_stored(stage: Stage) -> None:
    """Names of a tree of which only the store is there; what its journal holds."""
    store = stage.store
    pool = Supervisor("pool", "simple_one_for_one", [Worker("w", machine(), persist="journal")])
    parts = Supervisor("parts", children=[Worker("p", machine(), persist="journal")], partitions=2)
    whole = Supervisor("root", children=[pool, parts])
    made = asked(stage, roster.Roster, MemoryStore(), whole, ["pool:x", "pool:y"])
    if isinstance(made, roster.Roster):
        for name in ("pool:x", "root/pool:x", "parts:x", "nobody:x", "pool:z"):
            asked(stage, made.named, name)
        asked(stage, list, made.pools)
    asked(stage, stored.workers_in, store, stored.head_of(store))
    asked(stage, unclaimed.stands, None, [
        (1, records.Change("a", 0.0, b"")),
        (2, records.Repair("a", 0.0, "state", b"x", records.Code(), 1)),
    ])  # fmt: skip
    asked(stage, unclaimed.claim, "a", records.Code(machine="x", place="p"), {}, "here")
    asked(stage, checkpoints.thinned, [*range(10_001)])
    seen = asked(stage, rebuild.Recovered, store, stage.node.spec, 1, Ear())
    if isinstance(seen, rebuild.Recovered):
        asked(stage, list, seen.lives())
        asked(stage, lambda: [*seen.tails(0.0)])
        asked(stage, seen.tails_saved)
    head = stored.head_of(store)
    asked(stage, rebuild.Recovered(MemoryStore(), stage.node.spec).look)
    store_cut = MemoryStore()
    store_cut._cells = dict(store._cells)
    asked(stage, rebuild.Recovered, store_cut, stage.node.spec)
    del head


def asked_of_sessions(stage: Stage) -> None:
    """Calls with ids: of a worker that moves, beyond the bound, of which the first fails."""
    world = stage.node._world
    cell: Any = world.names["a"]
    own = sessions.Sessions()
    record = records.Input("a", 0.0, "call", b"x", "replied", b"y", b"", "1", request="r")
    asked(stage, own.learn, 1, record)
    asked(stage, own.moved, "a", 9)
    with patched(sessions, "KEPT_ANSWERS", 1):
        for request in ("s", "t", "u"):
            one = Pending(request=request)
            asked(stage, own.begin, cell, b"x", one, nothing)
            asked(stage, own.begin, cell, b"x", one, nothing)
    first, second = Pending(), Pending()
    asked(stage, sessions.follow, first, second)
    asked(stage, first.fail, StorageError("as asked"))
    typed = replace(cell.spec, start=StateMachine(step=looks, inputs=Look, outputs=Look))
    bare: Any = type("Bare", (), {"spec": typed})
    for data in (b'Look "x"', b"\xff", b"nothing of the sort"):
        asked(stage, sessions.output_of, bare, data)
    kept: Any = cell.extra.kept
    for message in (b"x", "x", object()):
        asked(stage, inputs._bytes_of, kept, message)
    with patched(inputs, "MOST_CRASHES", 0):
        for word in (b"crash", b"crash "):
            stage.call("a", word)
    stage.call("c", crash)


def nothing(*_: Any) -> None:
    """Put nothing off."""


DURABLE: dict[str, Any] = {"durable": True, "kills": True, "defers": True}
HISTORY: dict[str, Any] = {"options": {"history": 64}}
OUTSIDE: dict[str, Any] = {"kinds": (KeyboardInterrupt,)}

SCENARIOS = [
    Scenario("reads_kept", readers, reads, **DURABLE),
    Scenario("compares", unlike, compares, kills=True),
    Scenario("gives", giving, gives, frozenset("gac"), **DURABLE, **OUTSIDE),
    Scenario("interrupted_record", giving, interrupted_record, frozenset("gac"), **DURABLE),
    Scenario("held_in_breaks", giving, held_in_breaks, frozenset("gac"), watched=False,
             **DURABLE, **HISTORY, **OUTSIDE),
    Scenario("fails_at_first", giving, fails_at_first, frozenset("gacx"), may_end=True, **DURABLE),
    Scenario("changes_kind", giving, changes_kind, frozenset("gac"), **DURABLE),
    Scenario("becomes_durable", forgetful, becomes_durable,
             frozenset({"pool:x", "pool:y", "pool:z", "pool:v", "x", "y", "z"}), may_end=True,
             **DURABLE),
    Scenario("stored_plainly", tree, plainly, frozenset("abgc"), **DURABLE),
    Scenario("lives_on_remembered", tree, recovery.lives_on, frozenset("c"), **DURABLE, **HISTORY),
    Scenario("unrecoverable_remembered", tree, recovery.unrecoverable, frozenset("a"),
             may_end=True, **DURABLE, **HISTORY),
]  # fmt: skip
