"""Trees whose processes are lost, and what the next ones make of what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssm_cli import (
    TIMEOUT,
    Answer,
    CancelTimer,
    Cast,
    Continue,
    Defer,
    Exit,
    GenServer,
    Ignore,
    Info,
    NoReply,
    Ok,
    Reply,
    StartTimer,
    StateMachine,
    Stop,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from tests.faults.stage import UNSEEN, Scenario, Stage, Utf8

State = tuple[int, str]
EFFECTS: dict[str, list[Any]] = {
    "timer": [StartTimer("t", 5000, "ticked"), StartTimer("u", 9000, "crash")],
    "cancel": [CancelTimer("t")],
    "cast": [Cast("b", "came"), Cast("g", "came"), Cast("nobody", "came"), Cast("c", "came")],
    "info": [Info("b", "came")],
    "self": [Cast(None, "came")],
    "later": [Defer("k")],
    "now": [Answer("k", "late")],
    "ends": [Exit("normal")],
    "odd": [Cast("b", object())],
}


def talk(message: str, state: State) -> Any:
    """Count inputs; a word may ask for more."""
    if message == "crash":
        raise ValueError("as asked")
    if message == "thing":
        return object(), message
    effects = EFFECTS.get(message)
    after = state if message == "ping" else (state[0] + 1, message)
    return (after, message) if effects is None else (after, message, effects)


def otherwise(message: str, state: State) -> Any:
    """The step of code that has changed: it comes to another state."""
    return (state[0] + 2, message), message


def outcast(message: str, state: State) -> Any:
    """The step of code that has changed: it comes to another output."""
    return talk(message, state)[0], f"not {message}"


def broken(_message: str, _state: State) -> Any:
    raise LookupError("as asked")


for _step in (otherwise, outcast, broken):
    _step.__qualname__ = talk.__qualname__  # the same code, as its records name it


def begin(_name: str, _args: Mapping[str, Any]) -> State:
    return 0, ""


def machine(step: Callable[[str, State], Any] = talk, **options: Any) -> StateMachine:
    return StateMachine(step=step, **{"state": State, "codec": Utf8(), "init": begin, **options})


class Keeps(GenServer):
    """A `GenServer` whose inputs are recorded."""

    codec = Utf8()
    state = State

    def init(self, _name: str, _args: Mapping[str, Any]) -> Any:
        return Ok((0, ""), then=Continue("on"), effects=[StartTimer("t", 5000, "ticked")])

    def handle_call(self, message: Any, caller: Any, state: State) -> Any:
        after = state if message == "ping" else (state[0] + 1, str(message))
        if message == "early":
            caller.reply("early")
            return NoReply(after, then=TimeoutAfter(50))
        if message == "waits":
            return NoReply(after)
        if message == "on":
            return Reply("on", after, then=Continue("on"))
        if message == "crash":
            raise ValueError("as asked")
        return Stop("odd", after, reply="bye") if message == "stop" else Reply(message, after)

    def handle_cast(self, message: Any, state: State) -> Any:
        return NoReply((state[0] + 1, str(message)), then=TimeoutAfter(2000))

    def handle_info(self, message: Any, state: State) -> Any:
        return NoReply((state[0] + 1, "timeout" if message is TIMEOUT else str(message)))

    def handle_continue(self, message: Any, state: State) -> Any:
        return NoReply((state[0] + 1, str(message)), then=TimeoutAfter(3000))


def tree(
    stage: Stage, *more: Any, a: Any = None, flags: Mapping[str, Any] | None = None, **options: Any
) -> Any:
    """Two steps and a `GenServer` whose inputs are recorded, and a worker that forgets."""
    kept: dict[str, Any] = {"persist": "journal", "on_crash": "last_good", **options}
    workers = [
        Worker("a", machine() if a is None else a, **kept),
        Worker("b", machine(), **kept),
        Worker("g", Keeps, **kept),
        stage.worker("c"),
        *more,
    ]
    return Supervisor("root", children=workers, **{"intensity": 100, **(flags or {})})


def live(stage: Stage) -> None:
    """Inputs of each sort, so that there are records of each sort."""
    stage.start()
    for word in ("one", "timer", "cast", "info", "self", "crash", "later", "now", "ends"):
        stage.ask("a", word.encode())
    for word in ("early", "waits", "on", "crash", "stop"):
        stage.ask("g", word.encode())
    stage.do("cast", "g", b"cast")
    stage.do("run")
    stage.call("a", b"one", request_id="r1")
    stage.call("a", b"crash", request_id="r2")
    stage.call("a", b"timer")


_lived: list[Any] = []


def lived(stage: Stage, next_tree: Any = None) -> None:
    """Begin with what another process has left that went through `live`."""
    if not _lived:
        other = Stage(SCENARIOS[0], UNSEEN)
        live(other)
        _lived.append(other.store)
    stage.store._entries = dict(_lived[0]._entries)
    stage.store._cells = dict(_lived[0]._cells)
    stage.store._last = _lived[0].last()
    stage.renew(next_tree)


def lives_on(stage: Stage) -> None:
    """A process is lost with all that is under way, and the next goes on."""
    live(stage)
    stage.do("info", "b", "value")
    stage.renew()
    stage.start()
    stage.call("a", b"one", request_id="r1")
    stage.call("a", b"two", request_id="r1")
    stage.call("a", b"crash", request_id="r2")
    stage.call("b", b"more")
    stage.do("quarantined")
    stage.do("stored")
    stage.act("run 10 s", stage.node.run, 10.0)
    stage.stop()
    stage.renew()
    stage.start()
    stage.stop()


def next_code(stage: Stage, **options: Any) -> None:
    """Lose the process; the next one has other code for one worker, and is stopped in order."""
    stage.renew(tree(stage, **options))
    stage.start()
    stage.call("a", b"ping")
    stage.stop()


def code_changes(stage: Stage) -> None:
    """The code of a worker is another one in each process, and the last is the first again."""
    lived(stage)
    for changed in (
        machine(otherwise),
        machine(outcast),
        machine(broken),
        machine(version="2"),
        machine(version="2", migrate=lambda _old, _state: 1 / 0),
    ):
        next_code(stage, a=changed)
    next_code(stage, a=machine(otherwise), flags={"on_replay_difference": "stop"})
    next_code(stage, a=machine(otherwise), on_unrecoverable="init")
    next_code(stage, a=machine(version="2", migrate=lambda _old, state: (state[0], "migrated")))
    next_code(stage)


def names_go(stage: Stage) -> None:
    """A worker is gone from the tree's file, what is kept of it waits, and it comes back."""
    flags: dict[str, Any] = {"snapshot_every": 2, "keep_records": 0, "journal_mb": 0.000001}
    lived(stage, tree(stage, flags=flags))
    only_b = Supervisor("root", children=[Worker("b", machine(), persist="journal")], **flags)
    for _ in range(2):
        stage.renew(only_b)
        stage.start()
        stage.call("b", b"one")
        stage.stop()
    stage.renew(tree(stage, flags=flags))
    stage.start()
    stage.act("run 10 s", stage.node.run, 10.0)
    for number in range(8):
        stage.call("g", b"on" if number % 2 else b"one")
    stage.do("suspend", "b")
    stage.call("a", b"cast")
    stage.call("a", b"odd")
    stage.call("a", b"thing")
    stage.call("a", object())
    stage.do("replace_state", "a", object())
    stage.do("replace_state", "a", (7, "seven"))
    stage.do("kill", "g")
    stage.do("terminate_child", "root", "a")
    stage.do("start_child", "root", Worker("x", machine(), persist="journal"))
    stage.call("x", b"one")
    stage.renew()
    stage.start()
    stage.do("start_child", "root", Worker("x", machine(), persist="journal"))
    stage.call("x", b"two")
    stage.stop()


def dies_again(_name: str, _args: object, _saved: object) -> Any:
    raise RuntimeError("cannot go on")


def sometimes(stage: Stage) -> Callable[[str, Any, Any], Any]:
    """A `restore` that fails the first two times."""

    def restore(name: str, _args: Any, saved: Any) -> Any:
        stage.tries[name] += 1
        if stage.tries[name] < 3:
            raise RuntimeError("not yet")
        return saved

    return restore


def unrecoverable(stage: Stage) -> None:
    """States that a worker cannot begin with: tried again, given up, set aside, asked for anew."""
    lived(stage)
    flags: dict[str, Any] = {"intensity": 2, "period": 1.0}
    for options in (
        {"a": machine(restore=dies_again)},
        {"a": machine(restore=sometimes(stage))},
        {"a": machine(restore=lambda *_: Ignore())},
        {"a": machine(restore=dies_again), "on_unrecoverable": "init"},
    ):
        stage.renew(tree(stage, flags=flags, **options))
        stage.start()
        stage.call("a", b"ping")
        stage.act("run 5 s", stage.node.run, 5.0)
        stage.do("restart_child", "root", "a")
        stage.call("a", b"ping")
        stage.stop()
    worker = Worker("a", machine(restore=dies_again), persist="journal")
    stage.renew(Supervisor("root", children=[worker], intensity=0))
    stage.start()
    stage.do("restart_child", "root", "a")
    stage.stop()


def quarantine(stage: Stage) -> None:
    """Inputs that crash too often, are let in again; and ids of requests, used twice."""
    stage.start()
    for _ in range(4):
        stage.call("a", b"crash")
        stage.call("g", "crash")
    stage.do("cast", "a", b"crash")
    stage.do("run")
    stage.do("release_input", 99)
    for number in (1, 2):
        stage.do("release_input", number)
    stage.call("a", b"crash")
    for request in ("r", "r", "s", "", " ", " r", "\0", 7, "x" * 1000):
        stage.call("a", b"one", request_id=request)
    stage.call("a", "one", request_id="v")
    stage.call("a", b"two", request_id="v")
    stage.call("a", b"later", request_id="d")
    stage.call("a", b"later", request_id="d")
    for request, word in (("o", b"one"), ("o", b"one"), ("o", b"two"), ("p", b"later")):
        stage.ask("a", word, request)
    stage.do("run")
    stage.call("c", b"one", request_id="c")
    stage.stop()


SCENARIOS = [
    Scenario("lives_on", tree, lives_on, frozenset("c"), durable=True, kills=True, defers=True),
    Scenario("code_changes", tree, code_changes, frozenset("abgc"), durable=True, kills=True,
             defers=True, may_end=True),
    Scenario("names_go", tree, names_go, frozenset("abgcx"), durable=True, kills=True,
             defers=True),
    Scenario("unrecoverable", tree, unrecoverable, frozenset("a"), durable=True, kills=True,
             defers=True, may_end=True),
    Scenario("quarantine", tree, quarantine, frozenset("c"), durable=True, kills=True,
             defers=True),
]  # fmt: skip
