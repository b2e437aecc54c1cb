"""Other kinds of workers: state machines, event managers, linked ones; their code is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssm_cli import (
    AddHandler,
    Answer,
    CallHandler,
    DeleteHandler,
    Event,
    EventHandler,
    Exited,
    Info,
    KeepState,
    KeepStateAndData,
    Link,
    Next,
    NextEvent,
    Ok,
    Postpone,
    Publish,
    RepeatState,
    Reply,
    Run,
    SetTimeout,
    StartTimer,
    Statem,
    StateMachine,
    Stop,
    StopAndReply,
    Supervisor,
    SwapHandler,
    Unlink,
    WhichHandlers,
    Worker,
)
from tests.faults.recovery import Keeps, machine
from tests.faults.scenarios import add, crash
from tests.faults.stage import Scenario, Stage, Utf8
from tests.runtime.outside_work import adouble

NOON_MS = 1_767_225_600_000 + 12 * 3_600_000


def gate(stage: Stage, **options: Any) -> type[Statem]:
    """A state machine of two states; a message is a function of the event and the data, or told.

    Its data is `(life, name)`.
    """

    class Gate(Statem):
        codec = Utf8()
        state_enter = options.get("state_enter", True)

        def init(self, name: str, args: Mapping[str, Any]) -> Any:
            waits = SetTimeout("state_timeout", NOON_MS, "noon", absolute=True)
            return Next("shut", (stage.begin(name, args), name), [waits])

        def shut(self, event: Any, data: Any) -> Any:
            if callable(event.content):
                return event.content(event, data)
            if event.type == "call":
                return KeepStateAndData([Answer(event.caller, event.content)])
            return KeepState(data)

        wide = shut

        def terminate(self, reason: Any, state: Any, data: Any) -> None:
            del reason, state
            stage.ends.append((data[1], data[0]))

        def code_change(self, old_version: str, state: Any, data: Any, extra: Any) -> Any:
            del old_version
            return extra(state, data) if callable(extra) else Next(state, data)

    return Gate


def gates(stage: Stage) -> Any:
    start = gate(stage)
    workers = [stage.worker("a", start=start), stage.worker("b", start=start), stage.worker("c")]
    return Supervisor("root", children=workers, intensity=100)


def to(state: str, *actions: Any) -> Any:
    return lambda event, data: Next(state, data, [*answers(event), *actions])


def answers(event: Any) -> list[Any]:
    return [Answer(event.caller, "told")] if event.type == "call" else []


def late(_event: Any, _data: Any) -> Any:
    return KeepStateAndData([Postpone()])


def statem(stage: Stage) -> None:
    """Events of all kinds, time-outs that run out or do not, ends of all kinds."""
    stage.start()
    for name in "ab":
        stage.ask(name, late)
        stage.do("cast", name, late)
        stage.do("info", name, "word")
        stage.call(name, to("wide", SetTimeout("timeout", 0, "zero"), NextEvent("internal", "in")))
        stage.call(name, to("shut", SetTimeout(("timeout", "t"), 100, crash)))
        stage.call(name, lambda event, data: RepeatState(data, answers(event)))
    stage.do("get_status", "a")
    stage.do("suspend", "a")
    stage.ask("a", to("wide"))
    stage.do("change_code", "a", "1", lambda _state, data: Next("shut", data))
    stage.do("change_code", "a", "1", lambda _state, _data: 7)
    stage.do("resume", "a")
    stage.do("run")
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.call("a", lambda _event, _data: 7)
    stage.call("a", lambda _event, data: Stop("odd", data))
    stage.call("a", lambda event, data: StopAndReply("normal", answers(event), data))
    stage.call("b", lambda _event, _data: exec("raise ValueError"))  # noqa: S102 - in a lambda
    stage.do("replace_state", "b", lambda seen: seen)
    stage.do("stop_process", "b")
    stage.call("b", crash)
    stage.act("a day", stage.node.run, 86_400.0)
    stage.stop()


def linked(stage: Stage) -> None:
    """Links that are made, undone and broken, to those that run and those that do not."""
    stage.start()
    for name in "bc":
        stage.call("a", to("shut", Link(name)))
    stage.call("a", to("shut", Link("nobody"), Link("a"), Unlink("nobody")))
    stage.do("run")
    stage.call("a", to("shut", Link("b"), Link("c"), Unlink("c")))
    stage.call("b", lambda _event, data: Stop("odd", data))
    stage.do("run")
    stage.call("a", to("shut", Link("b"), Info("c", add)))
    stage.do("kill", "b")
    stage.do("exit", "a", "odd", "c")
    stage.do("run")
    stage.stop()


def manager(stage: Stage) -> type[Event]:
    """A manager of handlers, which do what an event says."""

    class Note(EventHandler):
        def init(self, args: Any, previous: Any) -> Any:
            return args(previous) if callable(args) else Ok((stage.begin("h", {}), args))

        def handle_event(self, event: Any, state: Any) -> Any:
            return event(state) if callable(event) else Ok(state)

        def handle_info(self, event: Any, state: Any) -> Any:
            return self.handle_event(event, state)

        def handle_call(self, request: Any, state: Any) -> Any:
            return request(state) if callable(request) else Reply(request, state)

        def terminate(self, arg: Any, state: Any) -> Any:
            del arg
            stage.ends.append(("h", state[0]))

    class Bus(Event):
        codec = Utf8()
        handlers = {"one": Note, "two": Note}  # noqa: RUF012 - as a user writes it

        def init(self, name: str, args: Mapping[str, Any]) -> Any:
            del name, args
            return {"one": 1, "two": 2}

    return Bus


def managers(stage: Stage) -> Any:
    """A manager below a supervisor of its own, and workers that supervise handlers."""
    low = Supervisor("low", children=[Worker("bus", manager(stage))], intensity=100)
    return Supervisor("root", children=[low, stage.worker("a"), stage.worker("b")], intensity=100)


def events(stage: Stage) -> None:
    """Events, requests, handlers that come, go, are swapped and crash, and whose owner does."""
    stage.start()
    stage.do("cast", "bus", "word")
    stage.do("info", "bus", "word")
    for name in "ab":
        stage.call("bus", AddHandler(("one", name), 1, name))
    stage.call("bus", AddHandler("three", 1))
    stage.call("bus", AddHandler("one", lambda _previous: 1 / 0))
    stage.call("bus", WhichHandlers())
    stage.call("bus", CallHandler("two", lambda state: Reply("asked", state)))
    stage.call("bus", CallHandler("nobody", 1))
    stage.call("bus", SwapHandler("two", "arg", ("two", 3), 2))
    stage.do("suspend", "bus")
    stage.do("change_code", "bus", "1", "extra")
    stage.do("resume", "bus")
    stage.call("a", crash)
    stage.do("run")
    stage.do("get_state", "bus")
    stage.do("cast", "bus", lambda state: Ok(state, effects=[Info("b", add)]))
    stage.do("cast", "bus", crash)
    stage.do("run")
    stage.call("bus", AddHandler("two", 1, "b"))
    stage.call("bus", DeleteHandler("two", "gone"))
    stage.call("bus", AddHandler("two", 1, "b"))
    stage.do("kill", "bus")
    stage.do("run")
    stage.stop()


def changed(old_version: str, state: Any, extra: Any) -> Any:
    """Convert a state, as the extra says."""
    del old_version
    return extra(state) if callable(extra) else state


def changing(stage: Stage) -> Any:
    """A pure step with `code_change`, a durable one that is saved, and a journalled server."""
    start = stage.machine(code_change=changed, state=tuple[int, int])
    workers = [
        stage.worker("a", start=start),
        stage.worker("b", start=machine(code_change=changed), persist="snapshot"),
        stage.worker("c", start=machine(code_change=changed), persist="journal"),
    ]
    return Supervisor("root", children=workers, intensity=100)


def evolves(stage: Stage) -> None:
    """Convert states by `code_change`: it answers, raises, ends, answers what cannot be kept."""
    stage.start()
    for name in "abc":
        stage.call(name, b"one")
        stage.do("change_code", name, "1")
        stage.do("suspend", name)
        stage.ask(name, b"two")
        for extra in (lambda state: state, crash, lambda _state: object(), ends_now):
            stage.do("change_code", name, "1", extra)
        stage.do("resume", name)
        stage.do("run")
        stage.call(name, b"three")
    stage.stop()


def ends_now(_state: Any) -> Any:
    raise Exited("odd")


class Deferred(Statem):
    """A journalled state machine: words are postponed until it is told to open."""

    codec = Utf8()
    state = tuple[int, str]

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return Next("shut", (0, ""), [SetTimeout("state_timeout", NOON_MS, "noon", absolute=True)])

    def shut(self, event: Any, data: Any) -> Any:
        count = (data[0] + 1, str(event.content))
        match event.type, event.content:
            case _, "ping":
                return KeepStateAndData([Answer(event.caller, "ping")])
            case "state_timeout", _:
                return Next("wide", count)
            case _, "open":
                later = SetTimeout(("timeout", "t"), 5000, "shut")
                return Next("wide", count, [*answers(event), later])
            case _, "run":
                return KeepState(count, [*answers(event), Run("r", adouble, 1)])
            case _, "crash":
                raise ValueError("as asked")
        return KeepStateAndData([Postpone()])

    def wide(self, event: Any, data: Any) -> Any:
        if event.content == "ping":
            return KeepStateAndData([Answer(event.caller, "ping")])
        count = (data[0] + 1, str(event.content))
        if event.content == "shut":
            return Next("shut", count, answers(event))
        return KeepState(count, answers(event))


def kept(stage: Stage) -> Any:
    """A journalled state machine, a journalled server, and one that keeps its state in a crash."""
    options: dict[str, Any] = {"persist": "journal", "on_crash": "last_good"}
    listed = StateMachine(step=in_place, state=list[str], codec=Utf8(), init=lambda *_: [])
    workers = [
        Worker("s", Deferred, **options),
        Worker("g", Keeps, **options),
        Worker("l", listed, **options),
        stage.worker("c"),
    ]
    return Supervisor("root", children=workers, intensity=100)


def in_place(message: str, state: list[str]) -> Any:
    """Change the state in place, and maybe crash then."""
    if message == "ping":
        return state, message
    if message == "crash":
        state.append(message)
        raise ValueError("as asked")
    effects = {
        "instant": [StartTimer("t", NOON_MS, "noon", absolute=True)],
        "odd": [StartTimer("t", 2**70, "late")],
        "key": [StartTimer(7, 5, "late")],  # type: ignore[arg-type]  # which no record can carry
        "run": [Run("r", adouble, 1), Publish("g", "x")],
    }.get(message, [])
    return [*state, message], message, effects


def outlives(stage: Stage) -> None:
    """What waits in a state machine, its time-outs and runs, in the next two processes."""
    stage.start()
    for _ in range(2):
        for word in ("one", "two", "run", "open", "shut", "crash"):
            stage.do("cast", "s", word.encode())
        for word in ("instant", "crash", "odd", "key", "run", "crash"):
            stage.call("l", word.encode())
        stage.do("cast", "g", b"cast")
        stage.do("run")
        stage.renew()
        stage.start()
        stage.do("get_status", "s")
        stage.call("s", b"ping")
    stage.act("run 10 s", stage.node.run, 10.0)
    stage.act("a day", stage.node.run, 86_400.0)
    stage.stop()


OPTIONS: dict[str, Any] = {"history": 16}

SCENARIOS = [
    Scenario("statem", gates, statem, defers=True),
    Scenario("linked", gates, linked, watched=False, kills=True, options=OPTIONS),
    Scenario("events", managers, events, frozenset({"bus"}), kills=True, options=OPTIONS),
    Scenario("evolves", changing, evolves, frozenset("abc"), durable=True, kills=True,
             watched=False, defers=True, options=OPTIONS),
    Scenario("outlives", kept, outlives, frozenset("sglc"), durable=True, kills=True,
             defers=True, kinds=(KeyboardInterrupt,)),
]  # fmt: skip
