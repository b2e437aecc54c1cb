"""What a `Statem` does where it goes wrong, and where it differs from a `GenServer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    Answer,
    CalleeCrashed,
    CalleeStopped,
    CancelTimeout,
    Hibernate,
    InState,
    KeepState,
    KeepStateAndData,
    ManualClock,
    MemoryStore,
    Next,
    NextEvent,
    Node,
    Postpone,
    PureStatem,
    SetTimeout,
    StateEvent,
    Statem,
    Stop,
    Supervisor,
    SysError,
    Worker,
)
from ssm_cli.behaviour.dispatch import Kind, advance
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.errors import SpecError
from ssm_cli.history.pytest_file import pytest_file
from ssm_cli.history.saved.code import unredacted
from ssm_cli.history.shrink import Shrunk, shrink
from ssm_cli.history.trials import Trial, crash_goal
from ssm_cli.runtime.durable.code import facts_of
from ssm_cli.spec.code import start_fault
from ssm_cli.spec.model import Backoff
from tests.runtime.workers import running


class Door(Statem):
    """Each message is a function of the event and the data, or a word that is the next state."""

    state_enter = True

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        return args.get("init", Next("locked", []))

    def locked(self, event: StateEvent, data: Any) -> Any:
        if event.type == "enter":
            return KeepState([*data, f"locked from {event.content}"])
        if callable(event.content):
            return event.content(event, data)
        return Next(event.content, data)

    open = ajar = locked

    def terminate(self, reason: Any, state: Any, data: Any) -> None:
        ENDS.append((str(reason), state, data))


ENDS: list[Any] = []
ODD: list[Any] = ["postpone", 7]
NO_LIST: Any = None


def door(**args: Any) -> Any:
    return Worker("door", Door, args=args)


def crash_of(node: Node) -> str:
    return str(node.crash_reports()[-1].reason)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "bad_return_from_state_function"),
        ("open", "bad_return_from_state_function"),
        (Stop("done", 1, effects=ODD), "bad_return_from_state_function"),
        (Stop("done", 1, effects=NO_LIST), "bad_return_from_state_function"),
        (Stop("done", 1, effects=ODD[1]), "bad_return_from_state_function"),
        (Stop("done", 1, effects=ODD[0]), "bad_return_from_state_function"),
        (KeepStateAndData([SetTimeout("timeout", True)]), "bad_action_from_state_function"),
        (KeepStateAndData([Hibernate(ODD[0])]), "bad_action_from_state_function"),
        (KeepStateAndData(ODD), "bad_action_from_state_function"),
        (KeepStateAndData([SetTimeout("state_timeout", -1)]), "bad_action_from_state_function"),
        (KeepStateAndData([SetTimeout("minute", 1)]), "bad_action_from_state_function"),
        (KeepStateAndData([NextEvent("enter")]), "bad_action_from_state_function"),
        (KeepStateAndData([NextEvent("call", "who asks?")]), "bad_action_from_state_function"),
        (KeepStateAndData([Answer("nobody", 1)]), "bad_action_from_state_function"),
        (KeepStateAndData(ODD[1]), "bad_action_from_state_function"),
        (Stop("why", reply=1), "bad_return_from_state_function"),
    ],
    ids=repr,
)
def test_nonsense_is_a_crash_whose_reason_is_the_word_of_otp(answer: Any, reason: str) -> None:
    with running(door()) as node:
        with pytest.raises(CalleeCrashed):
            node.call("door", lambda _event, _data: answer)
        assert crash_of(node) == reason
        assert node.get_state("door").state == "locked", "it is restarted"


@pytest.mark.parametrize("state", ["nowhere", "terminate", "_call", "__class__", "init", 5])
def test_a_state_without_a_function_of_its_own_is_a_crash_that_names_it(state: Any) -> None:
    with running(door()) as node:
        node.cast("door", state)
        node.run()
        assert f"Door has no state function for {state!r}" in node.crash_reports()[-1].error_message


def test_answers_are_out_though_the_enter_call_raises_and_terminate_sees_what_was() -> None:
    ENDS.clear()
    with running(door()) as node:
        out = node.call(
            "door", lambda event, data: Next("nowhere", [1], [Answer(event.caller, "out")])
        )
        assert out == "out"
        node.run()
        assert ENDS[-1] == ("crash", "locked", ["locked from locked"])


def test_a_machine_that_feeds_itself_lets_others_get_in_between() -> None:
    def again(event: StateEvent, data: Any) -> Any:
        return KeepState(len(data), [NextEvent("internal", again_for_ever)])

    def again_for_ever(_event: StateEvent, data: int) -> Any:
        return KeepState(data + 1, [NextEvent("internal", again_for_ever)])

    with running(door(), Worker("other", Door)) as node:
        node.cast("door", again)
        node.call("other", lambda event, data: KeepState(data, [Answer(event.caller, "hello")]))
        node.stop_process("door")


def test_postponed_calls_end_with_their_machine() -> None:
    with running(door()) as node:
        waits = node.send_request("door", lambda _event, _data: KeepStateAndData([Postpone()]))
        node.run()
        node.kill("door")
        with pytest.raises(CalleeStopped):
            node.wait(waits)


def test_inputs_put_off_in_a_restart_come_behind_the_first_enter_call() -> None:
    child = Worker("door", Door, backoff=Backoff(100, 1, 100, 0))
    with running(child) as node:
        node.kill("door")
        node.run()
        node.cast("door", lambda _event, data: KeepState([*data, "put off"]))
        node.run(1)
        assert node.get_state("door").data == ["locked from locked", "put off"]


def test_last_good_takes_over_state_and_data_but_nothing_that_waited() -> None:
    with running(Worker("door", Door, on_crash="last_good")) as node:
        node.cast("door", "open")
        later = SetTimeout(("timeout", "later"), 500)
        node.cast("door", lambda _event, data: KeepState(["kept"], [Postpone(), later]))
        node.cast("door", lambda _event, _data: 1 / 0)
        node.run(1)
        state, data = node.get_state("door")
        assert (state, data[0]) == ("open", "kept")
        status = node.get_status("door")
        assert (status.postponed, status.timeouts) == ((), ())


def test_get_state_is_a_pair_and_replace_state_takes_one() -> None:
    with running(door()) as node:
        assert node.replace_state("door", ("open", 5)) == ("open", 5)
        assert node.replace_state("door", lambda pair: (pair.state, pair.data + 1)) == ("open", 6)
        with pytest.raises(SysError, match=r"no pair; expected \(state, data\)"):
            node.replace_state("door", "open")
        assert node.get_state("door") == ("open", 6)


def test_a_secret_in_the_data_and_in_what_waits_is_redacted() -> None:
    class Safe(Door):
        def format_status(self, value: Any) -> Any:
            return "hidden" if value == "secret" else value

        def locked(self, event: StateEvent, data: Any) -> Any:
            return KeepState("secret", [Postpone()]) if event.type == "cast" else KeepState(data)

    with running(Worker("door", Safe)) as node:
        node.cast("door", "secret")
        node.run()
        status = node.get_status("door")
        assert node.get_state("door").data == status.state.data == "hidden"
        assert status.postponed == (("cast", "hidden"),)


def test_history_has_a_record_for_each_event_and_goes_there() -> None:
    with Node(Supervisor("root", children=[door()]), history=100) as node:
        node.call("door", lambda event, data: Next("open", data, [Answer(event.caller, 1)]))
        opened = node.record
        node.cast("door", "ajar")
        node.run()
        assert node.get_state("door").state == "ajar"
        assert node.at(opened).get_state("door").state == "open"
        assert type(node.at(opened)._world.names["door"].state) is InState


# -- what is refused before it starts ------------------------------------------------------------


def test_what_is_wrong_with_its_code_is_told_before_it_starts() -> None:
    class Odd(Statem):
        callback_mode = "state_function"  # type: ignore[assignment]  # the fault
        state_enter = "yes"  # type: ignore[assignment]  # the fault

        def handle_evnt(self, event: Any, state: Any, data: Any) -> Any: ...

    said = str(start_fault(Odd))
    assert 'the callback_mode the text "state_function"; expected state_functions or' in said
    assert "did you mean state_functions?" in said
    assert 'the state_enter the text "yes"; expected true or false' in said
    assert "did you mean handle_event?" in said


def test_a_mode_without_its_callback_is_told_before_it_starts() -> None:
    class Mute(Statem):
        callback_mode = "handle_event_function"

    class Able(Mute):
        def handle_event(self, event: Any, state: Any, data: Any) -> Any: ...

    said = "has the callback_mode handle_event_function; expected a handle_event(event, state, dat"
    assert said in str(start_fault(Mute))
    assert start_fault(Able) is None
    assert start_fault(type("Either", (Mute,), {"callback_mode": property(str)})) is None


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (PureStatem(step=5, init=print), "has the step 5"),  # type: ignore[arg-type]  # the fault
        (PureStatem(step=print, init=print, codec="jsn"), "did you mean json?"),
        (PureStatem(step=print, init=print, state_enter=1), "state_enter 1; expected true"),
    ],
)
def test_a_pure_machine_is_judged_as_well(machine: PureStatem, said: str) -> None:
    assert said in str(start_fault(machine))


def test_a_misspelt_setting_of_a_pure_machine_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="PureStatem has no state_entr; it has state_enter"):
        PureStatem(step=print, init=print, state_entr=True)


@pytest.mark.parametrize("first", [None, "locked", 7])
def test_an_init_that_names_no_state_is_a_failed_start(first: Any) -> None:
    with running() as node, pytest.raises(Exception, match="bad_return_from_init") as caught:
        node.start_child("root", door(init=first))
    assert not isinstance(caught.value, SpecError)


# -- what outlives the process -------------------------------------------------------------------


class Lamp(Statem):
    """On for 3 s; who asks while it is off waits until it is on."""

    state_enter = True

    def init(self, name: str, args: Mapping[str, Any]) -> Next:
        return Next("off", 0)

    def off(self, event: StateEvent, data: int) -> Any:
        match event:
            case StateEvent("cast", "on"):
                return Next("on", data + 1)
            case StateEvent("call"):
                return KeepStateAndData([Postpone()])
            case _:
                return KeepStateAndData()

    def on(self, event: StateEvent, data: int) -> Any:
        match event:
            case StateEvent("enter"):
                return KeepStateAndData([SetTimeout("state_timeout", 3000)])
            case StateEvent("state_timeout"):
                return Next("off", data)
            case StateEvent("call", _, caller):
                return KeepStateAndData([Answer(caller, data)])
            case _:
                return KeepStateAndData()


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
def test_a_durable_machine_goes_on_in_its_state_and_with_its_time_outs(persist: Any) -> None:
    tree, store = (
        Supervisor("root", children=[Worker("lamp", Lamp, persist=persist)]),
        MemoryStore(),
    )
    with Node(tree, store=store, clock=ManualClock()) as node:
        waits = node.send_request("lamp", "how often?")
        node.run()
        node.cast("lamp", "on")
        assert node.wait(waits) == 1
        node.run(1)
    with Node(tree, store=store, clock=ManualClock()) as node:
        node.run()
        assert node.get_state("lamp") == ("on", 1)
        assert node.call("lamp", "how often?") == 1
        node.run(4)
        assert node.get_state("lamp") == ("off", 1)


def test_who_waited_behind_a_postponed_call_is_nobody_after_a_stop() -> None:
    tree = Supervisor("root", children=[Worker("lamp", Lamp, persist="journal")])
    store = MemoryStore()
    with Node(tree, store=store, clock=ManualClock()) as node:
        node.send_request("lamp", "how often?")
        node.run()
    with Node(tree, store=store, clock=ManualClock()) as node:
        assert len(node.get_status("lamp").postponed) == 1
        node.cast("lamp", "on")
        node.run()
        assert (node.get_state("lamp"), node.crash_reports()) == (("on", 1), [])


# -- the pure form -------------------------------------------------------------------------------


def pure_step(event: StateEvent, state: str, data: int) -> Any:
    """Count calls; the secret is in the data."""
    if event.type == "call":
        return Next(state, data + 1, [Answer(event.caller, data)])
    raise KeyError(event.content)


counter = PureStatem(
    step=pure_step,
    init=lambda _name, _args: Next("on", 0),
    redact=lambda value: -1 if isinstance(value, int) else value,
)


def test_a_pure_machine_is_known_by_its_step_and_hides_what_it_redacts() -> None:
    assert facts_of(counter).code.machine == f"{__name__}:pure_step"
    assert does_hide(counter)
    assert not does_hide(unredacted(counter))
    tree = Supervisor("root", children=[Worker("counter", counter, persist="journal")])
    store = MemoryStore()
    with Node(tree, store=store) as node:
        assert [node.call("counter", "?") for _ in range(3)] == [0, 1, 2]
        assert node.get_state("counter") == ("on", -1)
    with Node(tree, store=store) as node:
        assert node.call("counter", "?") == 3


def test_a_crash_of_a_machine_is_shrunk_to_a_test_that_asks_its_loop() -> None:
    inputs = [(Kind.CALL, "?"), (Kind.CAST, "x")]
    with pytest.raises(KeyError) as crash:
        advance(counter, Kind.CAST, "x", None, InState("on", 0))
    found = shrink(Trial(counter, InState("on", 0), inputs, crash_goal(crash.value)))
    assert isinstance(found, Shrunk)
    text = str(pytest_file(found, "counter"))
    assert "server = counter" in text
    assert 'advance(server, Kind.CAST, "a", None, state).state' in text


# -- many events that wait -----------------------------------------------------------------------


class Gate(Statem):
    """Shut, it postpones all but `open`; open, it notes what comes, and `shut` inserts two."""

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return Next("shut", ())

    def shut(self, event: StateEvent, data: Any) -> Any:
        return Next("wide", data) if event.content == "open" else KeepStateAndData([Postpone()])

    def wide(self, event: StateEvent, data: Any) -> Any:
        if event.content == "shut":
            inserted = [NextEvent("internal", "first"), NextEvent("internal", "second")]
            return KeepState((*data, "shut"), inserted)
        return KeepState((*data, event.content))


def runs_of(at: Any) -> list[Any]:
    """The runs of events that are held, which are copied if they are others than before."""
    return [run for run in (*at.postponed, *at.inserted) if isinstance(run, tuple)]


@pytest.mark.parametrize("count", [100, 4000])
def test_to_postpone_an_event_and_to_bring_it_back_copies_few_others(count: int) -> None:
    at, copied = InState("shut", ()), 0
    names = list(range(count))
    held: list[Any] = []  # by which runs are known: none of them is forgotten
    waits: list[Any] = [("cast", number) for number in names] + [("cast", "open")]
    while waits:
        how, message = waits.pop(0)
        before = {id(run) for run in held}
        outcome = advance(Gate(), Kind[how.upper()], message, None, at)
        at = outcome.state
        if outcome.then is not None:
            waits.insert(0, ("continue", outcome.then.message))  # type: ignore[union-attr]  # it goes on
        new = [run for run in runs_of(at) if id(run) not in before]
        copied += sum(map(len, new)) + len(at.postponed) + len(at.inserted)
        held += new
    assert at == InState("wide", tuple(names))
    assert copied < 8 * count * count.bit_length()


def test_events_that_are_inserted_come_before_all_that_were_postponed_in_their_order() -> None:
    with running(Worker("gate", Gate)) as node:
        for word in ("a", "shut", "b", "c", "open"):
            node.cast("gate", word)
        node.run()
        assert node.get_state("gate").data == ("a", "shut", "first", "second", "b", "c")


def test_a_state_that_was_written_before_events_waited_in_runs_goes_on() -> None:
    old = InState("shut", (), tuple(StateEvent("cast", n) for n in range(3)), ())
    now = advance(Gate(), Kind.CAST, 3, None, old).state
    at = advance(Gate(), Kind.CAST, "open", None, now)
    while at.then is not None:
        at = advance(Gate(), Kind.CONTINUE, at.then.message, None, at.state)  # type: ignore[union-attr]  # it goes on
    assert at.state.data == (0, 1, 2, 3)


class Look(msgspec.Struct, frozen=True):
    """Answer with the length of the data; `ask` for more."""

    ask: Any = ()


class Go(msgspec.Struct, frozen=True):
    """Set all time-outs, each to be noted in the data."""


def looked_at(event: StateEvent, state: Any, data: Any) -> Any:
    match event.content:
        case Look(ask):
            answers = [Answer(event.caller, len(data))] if event.caller else []
            return KeepState([*data], [*answers, *ask])
        case Go():
            named = (("timeout", 1000), ("state_timeout", 2000), (("timeout", "n"), 3000))
            return KeepState(data, [Answer(event.caller, "ok"), *(SetTimeout(*n) for n in named)])
    return KeepState([*data, str(event.type)])


LOOKED_AT = PureStatem(
    step=looked_at, init=lambda name, args: Next("on", []), inputs=Look | Go, reads=Look
)


class LookedAt(Statem):
    inputs = Look | Go
    reads = Look

    def init(self, name: str, args: Any) -> Any:
        return Next("on", [])

    def on(self, event: StateEvent, data: Any) -> Any:
        return looked_at(event, "on", data)


@pytest.mark.parametrize("persist", ["none", "journal"])
@pytest.mark.parametrize("start", [LOOKED_AT, LookedAt])
def test_an_input_that_only_reads_leaves_all_time_outs_under_way(start: Any, persist: Any) -> None:
    tree = Supervisor("root", children=[Worker("w", start, persist=persist)])
    with Node(tree, clock=ManualClock(), store=MemoryStore()) as node:
        assert node.call("w", Go()) == "ok"
        assert [node.call("w", Look()), node.call("w", Look())] == [0, 0]
        node.cast("w", Look())
        node.info("w", Look())
        node.run(for_s=4)
        assert node.get_state("w").data == ["timeout", "state_timeout", "('timeout', 'n')"]
        assert node.call("w", Look()) == 3


def test_any_other_input_ends_the_event_time_out_and_a_read_may_not() -> None:
    with running(Worker("w", LOOKED_AT)) as node:
        node.call("w", Go())
        node.info("w", "no read")
        node.run(for_s=1.5)
        assert node.get_state("w").data == ["info"]
    with running(Worker("w", LOOKED_AT)) as node:
        node.call("w", Go())
        with pytest.raises(CalleeCrashed, match="its step asks for effects"):
            node.call("w", Look([CancelTimeout("timeout")]))
