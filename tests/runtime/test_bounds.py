"""Every bound holds: in bytes or in messages, at the bound, beyond it, and a hundred times it."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    CallError,
    Cast,
    Continue,
    DecodeError,
    Exit,
    GenServer,
    Info,
    ManualClock,
    MemoryStore,
    Node,
    NoProc,
    NoReply,
    Ok,
    QueueFull,
    Reply,
    SsmError,
    StartFailed,
    StartTimer,
    StateMachine,
    Stop,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.machines.kv import kv_store
from ssm_cli.spec.model import ChildSpec
from tests.runtime.bounded import bounded
from tests.runtime.workers import Server, actor, add, fail, get, running, worker

MB = 1024 * 1024
KEPT_BYTES = 16 * MB  # of values that notes, events and reports may hold, all together
LONG = 5 * MB  # characters of a text that is far too long
TEXT = 2_000  # characters of a text that was cut, at most: 1,000 and some words around them
BROADCAST = 2_000


class Big(bytearray):
    """A value of a megabyte that can be seen to be gone."""

    seen: list[weakref.ref[Big]]

    @classmethod
    def fresh(cls) -> Big:
        """A new one; `Big.seen` knows it."""
        one = cls(MB)
        cls.seen.append(weakref.ref(one))
        return one


@pytest.fixture(autouse=True)
def _none_seen() -> None:
    Big.seen = []


def held_bytes() -> int:
    """The bytes of the values of `Big.fresh` that something still holds."""
    gc.collect()
    return sum(MB for one in Big.seen if one() is not None)


WRAPS: dict[str, Callable[[Big], Any]] = {
    "as it is": lambda big: big,
    "in a dict": lambda big: {"payload": big},
    "in a list in a list": lambda big: [[big]],
    "in a closure": lambda big: lambda state: (state, len(big)),
}


# -- time-outs and timers ----------------------------------------------------------------------


class Patient(GenServer):
    """Waits a minute behind each input."""

    def init(self, name: str, args: Mapping[str, Any]) -> Ok:
        return Ok(0, then=TimeoutAfter(60_000))

    def handle_cast(self, message: Any, state: int) -> NoReply:
        return NoReply(state + 1, then=TimeoutAfter(60_000))

    def handle_call(self, message: Any, caller: Any, state: int) -> Reply:
        return Reply(state, state + 1, then=TimeoutAfter(60_000))

    def handle_info(self, message: Any, state: int) -> NoReply:
        return NoReply(-1)

    def handle_continue(self, message: Any, state: int) -> NoReply:
        return NoReply(state, then=TimeoutAfter(60_000))


def blocks_for(node: Node, feed: Callable[[], object], times: int) -> int:
    """How many more blocks of memory are in use after feeding a node so often."""
    for _ in range(200):
        feed()
    node.run()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        feed()
    node.run()
    gc.collect()
    return sys.getallocatedblocks() - before


def hold_for_a_moment(node: Node) -> None:
    node.suspend("p")
    node.resume("p")


FEEDS: dict[str, Callable[[Node], object]] = {
    "cast": lambda node: node.cast("p", 1),
    "call": lambda node: node.call("p", 1),
    "suspend and resume": hold_for_a_moment,
    "get_state": lambda node: node.get_state("p"),
    "kill": lambda node: node.kill("p"),
}


@pytest.mark.parametrize(
    ("feed", "times"),
    [
        ("cast", 30_000),
        ("call", 20_000),
        ("suspend and resume", 10_000),
        ("get_state", 10_000),
    ],
)
def test_a_time_out_that_is_replaced_takes_no_room(feed: str, times: int) -> None:
    with running(Worker("p", Patient)) as node:
        assert blocks_for(node, lambda: FEEDS[feed](node), times) < 1000
        assert node.get_state("p") >= 0
        node.run(61)
        assert node.get_state("p") == -1


def test_a_time_out_of_a_life_that_has_ended_takes_no_room() -> None:
    with running(Worker("p", Patient), intensity=10**8) as node:
        for _ in range(2_500):  # until the ring of reports is full
            node.kill("p")
        assert blocks_for(node, lambda: FEEDS["kill"](node), 2_000) < 2_000


def test_a_timer_that_is_replaced_takes_no_room() -> None:
    def again(state: int) -> Any:
        return state + 1, None, [StartTimer("t", 60_000, add(1))]

    with running(worker("a")) as node:
        assert blocks_for(node, lambda: node.cast("a", again), 20_000) < 1000


def test_a_time_out_in_a_continue_is_replaced_too() -> None:
    with running(Worker("p", Patient), Worker("s", Server, args={"state": []})) as node:

        def waits(state: Any) -> Any:
            return NoReply(state, then=TimeoutAfter(60_000))

        def goes_on(state: Any) -> Any:
            return NoReply(state, then=Continue(waits))

        assert blocks_for(node, lambda: node.cast("s", goes_on), 10_000) < 1000


# -- crash notes -------------------------------------------------------------------------------


def crash_often(node: Node, message: Callable[[], Any], times: int = 100) -> None:
    for _ in range(times):
        with pytest.raises(CalleeCrashed):
            node.call("a", message())


@pytest.mark.parametrize("wrap", ["as it is", "in a dict", "in a list in a list"])
def test_crash_notes_do_not_hold_states_beyond_their_bound(wrap: str) -> None:
    begin = {"init": lambda _: WRAPS[wrap](Big.fresh())}
    with running(worker("a", args=begin), intensity=1000) as node:
        crash_often(node, lambda: fail)
        assert held_bytes() <= KEPT_BYTES + MB  # and the state of the present life
        notes = node.crash_reports()
        assert len(notes) == 100
        assert all(0 < len(note.state) <= 1000 for note in notes)


def fails_with(big: Any) -> Any:
    def step(state: Any) -> Any:
        raise ValueError("as asked", big)

    return step


def fails_beside(big: Any) -> Any:
    def step(state: Any) -> Any:
        local = [big]
        raise ValueError(len(local))

    return step


@pytest.mark.parametrize("step", [fails_with, fails_beside], ids=["argument", "local"])
def test_crash_notes_do_not_hold_what_inputs_errors_and_frames_hold(step: Any) -> None:
    with running(worker("a"), intensity=1000) as node:
        crash_often(node, lambda: step(Big.fresh()))
        assert held_bytes() <= KEPT_BYTES
        assert len(node.crash_reports()) == 100


def test_crash_notes_do_not_hold_the_args_of_temporary_workers_that_are_gone() -> None:
    with running() as node:
        for number in range(50):
            args = {"state": 0, "more": Big.fresh()}
            node.start_child("root", worker(f"t{number}", args=args, restart="temporary"))
            with pytest.raises(CalleeCrashed):
                node.call(f"t{number}", fail)
        del args
        assert len(node.crash_reports()) == 50
        assert held_bytes() <= KEPT_BYTES


# -- the ring of reports -----------------------------------------------------------------------


def end_by(node: Node, how: str, name: str) -> None:
    match how:
        case "terminate_child":
            node.terminate_child("root", name)
            node.delete_child("root", name)
        case "exit":
            node.call(name, lambda state: (state, None, [Exit("normal")]))
        case "kill":
            node.kill(name)
        case "crash":
            node.cast(name, fail)
            node.run()


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("how", ["terminate_child", "exit", "kill"])
def test_reports_do_not_hold_the_args_of_dynamic_children_that_have_ended(
    how: str, watched: bool
) -> None:
    with running() as node:
        if watched:
            node.subscribe(lambda report: None)
        restart = "permanent" if how == "terminate_child" else "temporary"
        for number in range(10):
            args = {"state": 0, "more": Big.fresh()}
            node.start_child("root", worker(f"t{number}", args=args, restart=restart))
            end_by(node, how, f"t{number}")
        del args
        assert [r.id for r in node.reports() if r.event in ("terminated", "killed")]
        assert held_bytes() <= MB  # of the last, maybe


def test_reports_do_not_hold_the_states_and_outputs_of_pool_workers_that_have_ended() -> None:
    template = worker("session", args={"init": lambda _: {"payload": Big.fresh()}})
    pool = Supervisor("pool", "simple_one_for_one", [template], restart="permanent")
    with running(pool) as node:
        for number in range(10):
            name = node.start_child("pool", f"{number}") or ""
            process = node.whereis(name)
            assert process is not None
            node.terminate_child("pool", process)
        assert held_bytes() <= MB


def test_reports_do_not_hold_the_specs_of_supervisors_that_have_ended() -> None:
    with running() as node:
        for _ in range(10):
            inner = Supervisor("inner", children=[worker("x", args={"more": Big.fresh()})])
            node.start_child("root", inner)
            node.terminate_child("root", "inner")
            node.delete_child("root", "inner")
        del inner
        assert held_bytes() <= MB


def test_reports_do_not_hold_inputs_that_crashed_their_worker() -> None:
    with running(worker("a"), intensity=1000) as node:
        for _ in range(50):
            node.cast("a", fails_beside(Big.fresh()))
            node.run()
        assert len([r for r in node.reports() if r.event == "crashed"]) == 50
        assert held_bytes() <= KEPT_BYTES


# -- kept events -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", WRAPS)
def test_kept_events_do_not_hold_inputs_beyond_their_bound(wrap: str) -> None:
    takes = StateMachine(step=lambda message, state: (state, "ok"))
    with running(Worker("a", takes)) as node:
        node.keep("a", 1000)
        for _ in range(100):
            node.call("a", WRAPS[wrap](Big.fresh()))
        assert node.get_status("a").log
        assert held_bytes() <= KEPT_BYTES


def test_kept_events_do_not_hold_outputs_and_states_beyond_their_bound() -> None:
    gives = StateMachine(step=lambda message, state: ([Big.fresh()], [Big.fresh()]))
    with running(Worker("a", gives)) as node:
        node.keep("a", 1000)
        for number in range(100):
            if number % 2:
                node.call("a", number)
            else:
                node.cast("a", number)
        node.run()
        assert held_bytes() <= KEPT_BYTES + MB


def test_kept_events_of_many_workers_share_their_bound() -> None:
    takes = StateMachine(step=lambda message, state: (state, "ok"))
    with running(*(Worker(f"w{n}", takes) for n in range(100))) as node:
        for number in range(100):
            node.keep(f"w{number}", 10)
            node.call(f"w{number}", [Big.fresh()])
        assert held_bytes() <= KEPT_BYTES


def test_small_events_are_kept_as_many_as_were_asked_for() -> None:
    with running(worker("a")) as node:
        node.keep("a", 100)
        for number in range(200):
            node.call("a", number)
        assert len(node.get_status("a").log) == 100


# -- texts -------------------------------------------------------------------------------------


def texts_of(value: Any) -> list[str]:
    """All texts in a JSON-like value."""
    if isinstance(value, Mapping):
        return [text for part in value.values() for text in texts_of(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in texts_of(part)]
    return [value] if isinstance(value, str) else []


def longest(node: Node, *errors: BaseException | None) -> int:
    """The longest text that a node shows of what went wrong."""
    texts = [text for report in node.reports() for text in texts_of(report.detail)]
    for note in node.crash_reports():
        texts += [note.error_message, note.reason, note.input, note.state, *note.stack]
    for error in errors:
        texts += [str(error), str(getattr(error, "reason", "")), str(getattr(error, "error", ""))]
        texts += texts_of(getattr(error, "term", ""))
    return max(map(len, texts))


def long_text() -> str:
    return "x" * LONG


BAD: dict[str, Callable[[Any], Any]] = {
    "a text": lambda state: long_text(),
    "bytes": lambda state: b"x" * LONG,
    "four values": lambda state: (long_text(), 1, 2, 3),
    "effects that are a text": lambda state: (state, 1, long_text()),
    "an effect that is a text": lambda state: (state, 1, [long_text()]),
    "an effect with a long key": lambda state: (state, 1, [StartTimer(long_text(), -1, 0)]),
    "an effect to no name": lambda state: (state, 1, [Cast([long_text()], 0)]),  # type: ignore[arg-type]  # that is what is tested
}


@pytest.mark.parametrize("bad", BAD)
def test_the_text_of_a_bad_return_of_a_step_is_cut_wherever_it_shows(bad: str) -> None:
    with running(worker("a")) as node:
        with pytest.raises(CalleeCrashed, match="BadReturnError") as caught:
            node.call("a", BAD[bad])
        assert longest(node, caught.value) <= TEXT


@pytest.mark.parametrize("kind", ["call", "cast", "continue", "info", "then"])
def test_the_text_of_a_bad_return_of_a_callback_is_cut_wherever_it_shows(kind: str) -> None:
    class Chatty(Server):
        def handle_info(self, message: Any, state: Any) -> Any:
            return long_text()

    with running(Worker("s", Chatty, args={"state": []})) as node:
        match kind:
            case "call":
                with pytest.raises(CalleeCrashed) as caught:
                    node.call("s", lambda _caller, state: long_text())
                assert len(str(caught.value)) <= TEXT
            case "cast":
                node.cast("s", lambda state: long_text())
            case "info":
                node.info("s", 1)
            case "then":
                node.cast("s", lambda state: NoReply(state, then=long_text()))  # type: ignore[arg-type]  # that is what is tested
            case _:
                node.cast("s", lambda s: NoReply(s, then=Continue(lambda _: long_text())))
        node.run()
        assert [report for report in node.reports() if report.event == "crashed"]
        assert longest(node) <= TEXT


def test_the_text_of_a_bad_return_of_init_is_cut_wherever_it_shows() -> None:
    node = Node(
        Supervisor("root", children=[Worker("s", Server, args={"init": lambda _: "x" * LONG})])
    )
    with pytest.raises(StartFailed) as caught:
        node.start()
    assert longest(node, caught.value) <= TEXT


@pytest.mark.parametrize("way", ["exit", "stop", "init", "stop_process"])
def test_the_text_of_a_long_reason_is_cut_wherever_it_shows(way: str) -> None:
    children = [worker("a"), Worker("s", Server, args={"state": []}), worker("b")]
    with running(*children) as node:
        error: CallError | SsmError | None = None
        try:
            if way == "exit":
                node.call("a", lambda state: (state, 1, [Exit(long_text())]))
            elif way == "stop":
                node.call("s", lambda _caller, state: Stop(long_text(), state))
            elif way == "stop_process":
                node.stop_process("a", long_text())
            else:
                bad = worker("c", args={"init": lambda _: Stop(long_text())})
                node.start_child("root", bad)
        except SsmError as raised:
            error = raised
        node.run()
        assert longest(node, error) <= TEXT


class Talkative(Exception):
    """Says too much, or does not say it."""

    def __str__(self) -> str:
        return long_text()


def test_the_text_of_a_long_error_is_cut_wherever_it_shows() -> None:
    def talk(state: Any) -> Any:
        raise Talkative

    with running(worker("a")) as node:
        with pytest.raises(CalleeCrashed) as caught:
            node.call("a", talk)
        assert len(str(caught.value)) <= TEXT
        assert longest(node) <= TEXT


def test_the_text_of_a_refusal_does_not_repeat_a_long_name_or_input() -> None:
    with running(Worker("kv", kv_store)) as node:
        with pytest.raises(NoProc) as no_proc:
            node.call(long_text(), 1)
        assert len(str(no_proc.value)) <= TEXT
        with pytest.raises(DecodeError) as undecodable:
            node.call("kv", long_text().encode())
        assert len(str(undecodable.value)) <= TEXT
        node.cast("kv", b"Store x " + long_text().encode())
        node.run()
        assert longest(node) <= TEXT


# -- request ids -------------------------------------------------------------------------------

DURABLE = StateMachine(
    step=lambda message, state: ([*state, message], "ok"),
    init=lambda _name, _args: [],
)
IDS = {
    "one too long": "k" * 201,
    "a hundred times too long": "k" * 20_000,
    "of blanks": "   ",
    "with a blank before it": " k",
    "with a blank behind it": "k ",
    "with a newline": "a\nb",
    "with a NUL": "a\x00b",
    "with an escape": "a\x1b[2Jb",
    "with a C1 control": "a\x9bb",
    "with a bidi override": "a\u202eb",
    "with a lone surrogate": "a\ud800b",
}

NAMED = "request[ _]id"  # what the error must speak of
ASKS: dict[str, Callable[[Node, str, Any], object]] = {
    "call": lambda node, name, id_: node.call(name, b"x", request_id=id_),
    "acall": lambda node, name, id_: asyncio.run(node.acall(name, b"x", request_id=id_)),
    "send_request": lambda node, name, id_: node.send_request(name, b"x", request_id=id_).result(),
}


def node_that_keeps() -> Node:
    spec = Worker("d", DURABLE, persist="journal")
    tree = Supervisor("root", children=[spec, worker("plain")])
    return Node(tree, clock=ManualClock(), store=MemoryStore())


@pytest.mark.parametrize("name", ["d", "plain"])
@pytest.mark.parametrize("way", ASKS)
@pytest.mark.parametrize("request_id", IDS.values(), ids=IDS)
@bounded(5)
def test_a_request_id_that_is_none_is_refused_and_nothing_is_stepped(
    request_id: str, way: str, name: str
) -> None:
    with node_that_keeps() as node:
        with pytest.raises((SsmError, ValueError), match=NAMED) as caught:
            ASKS[way](node, name, request_id)
        assert len(str(caught.value)) <= TEXT
        assert str(caught.value).isprintable()
        node.run()
        assert [child.steps for child in node.tree().children] == [0, 0]


@pytest.mark.parametrize("request_id", [7, b"r1", ("r", 1), True])
def test_a_request_id_that_is_no_text_is_refused(request_id: Any) -> None:
    with node_that_keeps() as node:
        with pytest.raises((SsmError, TypeError, ValueError), match=NAMED):
            node.call("d", b"x", request_id=request_id)
        assert node.get_state("d") == []


def test_a_request_id_of_the_greatest_length_is_taken() -> None:
    with node_that_keeps() as node:
        for _ in range(2):
            assert node.call("d", b"x", request_id="é" * 200) == b"ok"
        assert node.get_state("d") == ["x"]


# -- effects of one step -----------------------------------------------------------------------


def fan_out(effect: Callable[[str, Any], Any]) -> Any:
    def step(state: Any) -> Any:
        return state, "sent", [effect(f"w{n}", add(1)) for n in range(BROADCAST)]

    return step


@pytest.mark.parametrize("effect", [Cast, Info])
@pytest.mark.parametrize("queue", [1, 128])
def test_a_broadcast_to_more_workers_than_the_queue_has_room_for_reaches_each(
    queue: int, effect: Any
) -> None:
    children = [worker("a"), *(worker(f"w{n}") for n in range(BROADCAST))]
    with running(*children, queue=queue) as node:
        assert node.call("a", fan_out(effect)) == "sent"
        node.run()
        assert all(child.steps == 1 for child in node.tree().children)
        assert not [report for report in node.reports() if report.event == "crashed"]


@pytest.mark.parametrize("sender", ["step", "callback", "init", "timer"])
def test_what_one_step_sends_comes_in_order_whatever_its_number(sender: str) -> None:
    def note(n: int) -> Any:
        return lambda state: ([*state, n] if n % 100 == 0 else state, None)

    sends = [Cast("b", note(n)) for n in range(5_000)]
    begin = {"init": lambda _: Ok(0, effects=sends)} if sender == "init" else {}
    children: list[ChildSpec] = [worker("b", args={"state": []}), worker("a", args=begin)]
    children.append(Worker("s", Server, args={"state": []}))
    with running(*children) as node:
        if sender == "step":
            node.cast("a", lambda state: (state, None, sends))
        elif sender == "callback":
            node.cast("s", lambda state: NoReply(state, effects=sends))
        elif sender == "timer":
            later = StartTimer("t", 10, lambda state: (state, None, sends))
            node.cast("a", lambda state: (state, None, [later]))
        node.run(1)
        assert node.get_state("b") == list(range(0, 5_000, 100))


def test_a_broadcast_of_a_durable_worker_reaches_each() -> None:
    def step(message: str, state: list[str]) -> Any:
        if message == "go":
            return state, "sent", [Cast("d1", f"{n}") for n in range(BROADCAST)]
        return [*state, message], "ok"

    machine = StateMachine(step=step, init=lambda _name, _args: [], state=list[str])
    children = [Worker(name, machine, persist="journal") for name in ("d0", "d1")]
    tree = Supervisor("root", children=children)
    with Node(tree, clock=ManualClock(), store=MemoryStore()) as node:
        assert node.call("d0", b"go") == b"sent"
        node.run(1)
        assert node.get_state("d1") == [f"{n}" for n in range(BROADCAST)]


def casts_to_itself(_name: str) -> Ok:
    return Ok(0, effects=[Cast(None, add(1))])


def test_a_tree_of_10000_workers_that_cast_to_themselves_in_init_starts() -> None:
    children = [worker(f"w{n}", args={"init": casts_to_itself}) for n in range(10_000)]
    with running(*children) as node:
        node.run(1)
        assert sum(child.steps for child in node.tree().children) == 10_000


def test_a_group_of_2000_workers_that_cast_to_themselves_in_init_starts_again() -> None:
    children = [worker(f"w{n}", args={"init": casts_to_itself}) for n in range(2_000)]
    group = Supervisor("group", "one_for_all", children, intensity=9)
    with running(group) as node:
        node.run(1)
        node.kill("w0")
        node.run(1)
        assert all(child.restarts == 1 for child in node.tree().children[0].children)
        assert all(node.get_state(f"w{n}") == 1 for n in range(2_000))


# -- admission while the queue is over its bound -----------------------------------------------


def overfull(**flags: Any) -> Node:
    """A node whose queue holds far more than its bound."""
    children = [worker(f"w{n}", args={"init": casts_to_itself}) for n in range(1_500)]
    tree = Supervisor("root", children=[worker("a"), *children], intensity=9, **flags)
    return Node(tree, clock=ManualClock())


def test_inputs_from_outside_are_refused_while_the_queue_is_over_its_bound() -> None:
    with overfull() as node:
        with pytest.raises(QueueFull):
            node.cast_nowait("a", add(1))
        node.run(1)
        node.cast_nowait("a", add(1))
        node.run()
        assert node.get_state("a") == 1


@pytest.mark.parametrize("way", ["cast", "info", "call", "send_request"])
@bounded()
def test_inputs_that_can_wait_make_progress_while_the_queue_is_over_its_bound(way: str) -> None:
    with overfull() as node:
        for _ in range(100):
            getattr(node, way)("a", add(1))
        node.run(1)
        assert node.get_state("a") == 100
        assert all(child.steps == 1 for child in node.tree().children[1:])


def test_the_bound_holds_for_inputs_from_outside_at_its_very_number() -> None:
    with running(worker("a"), queue=5) as node:
        for _ in range(5):
            node.cast_nowait("a", add(1))
        with pytest.raises(QueueFull, match="5"):
            node.cast_nowait("a", add(1))
        node.run()
        assert node.get_state("a") == 5


def test_a_crash_behind_a_broadcast_loses_nothing_of_it() -> None:
    children = [worker("a"), *(worker(f"w{n}") for n in range(BROADCAST))]
    with running(*children) as node:
        node.cast("a", fan_out(Cast))
        node.cast("a", fail)
        node.run(1)
        steps = [child.steps for child in node.tree().children[1:]]
        assert steps == [1] * BROADCAST


def test_the_state_of_a_step_that_sends_much_is_kept() -> None:
    def step(message: Any, state: int) -> Any:
        return state + 1, "ok", [Cast("b", add(1))] * BROADCAST

    machine = StateMachine(step=step, init=lambda _name, _args: 0, terminate=None)
    with running(Worker("m", machine), Worker("b", actor, args={"state": 0})) as node:
        for _ in range(3):
            assert node.call("m", 1) == "ok"
        node.run(1)
        assert (node.get_state("m"), node.call("b", get)) == (3, 3 * BROADCAST)


# -- siblings: values that only seem to be small, and what is left of who is gone ---------------


def test_crashes_of_many_workers_share_their_bound() -> None:
    with running(*(worker(f"w{n}") for n in range(60)), intensity=1000) as node:
        for number in range(60):
            with pytest.raises(CalleeCrashed):
                node.call(f"w{number}", fails_beside(Big.fresh()))
        assert held_bytes() <= KEPT_BYTES


def test_the_states_of_temporary_workers_that_crashed_are_let_go() -> None:
    with running() as node:
        for number in range(40):
            begin = {"init": lambda _: [Big.fresh()]}
            node.start_child("root", worker(f"t{number}", args=begin, restart="temporary"))
            with pytest.raises(CalleeCrashed):
                node.call(f"t{number}", fail)
        assert len(node.crash_reports()) == 40
        assert held_bytes() <= KEPT_BYTES


def test_a_small_input_and_state_are_told_as_they_are() -> None:
    with running(Worker("kv", kv_store)) as node:
        node.call("kv", b"Store x 1")
        with pytest.raises(CalleeCrashed):
            node.call("kv", b"Lookup crash")
        (report,) = node.crash_reports("kv")
        assert (report.input, report.state) == ("Lookup crash", '{"x": 1}')


def test_a_state_of_many_keys_is_told_as_its_text() -> None:
    with running(Worker("kv", kv_store)) as node:
        for number in range(200):
            node.call("kv", f"Store k{number} 1".encode())
        with pytest.raises(CalleeCrashed):
            node.call("kv", b"Lookup crash")
        (report,) = node.crash_reports("kv")
        assert report.state.startswith('{"k0": 1, "k1": 1')
        assert len(report.state) == 1000


def test_events_of_a_worker_that_is_gone_leave_room_for_those_of_others() -> None:
    takes = StateMachine(step=lambda message, state: (state, "ok"))
    with running(Worker("a", takes)) as node:
        for number in range(8):
            node.start_child("root", Worker(f"t{number}", takes, restart="temporary"))
            node.keep(f"t{number}", 100)
            for _ in range(60):
                node.call(f"t{number}", b"x" * 60_000)
            node.kill(f"t{number}")
        node.keep("a", 100)
        for _ in range(100):
            node.call("a", b"x" * 60_000)
        assert len(node.get_status("a").log) == 100
