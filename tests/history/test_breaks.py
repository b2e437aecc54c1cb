"""Breaks: a worker is held before it commits a state, and goes on as a person says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ssm_cli import (
    CalleeStopped,
    CallTimeout,
    Cast,
    DecodeError,
    Forgotten,
    ManualClock,
    MemoryStore,
    Node,
    NoReply,
    Ok,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.results import Continue, TimeoutAfter
from ssm_cli.commands.execute import execute
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, SsmError, SysError
from ssm_cli.history.breaks import MOST_BREAKS
from ssm_cli.history.grammar import BadExpr
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import Store, kv_store
from ssm_cli.storage.contents import history as records_of
from tests.commands.test_past import command_of
from tests.runtime.workers import Server

Ask = Callable[..., Any]
STEPPED: list[Any] = []


def step(message: str, state: int) -> Any:
    """A number is added; a word does what it says."""
    STEPPED.append(message)
    if message.isdecimal():
        return state + int(message), state + int(message)
    match message:
        case "crash":
            raise ValueError(message)
        case "timer":
            return state, None, [StartTimer("t", 1000, "10")]
        case "send":
            return state, None, [Cast("b", "10")]
    return state, message


ADDER = StateMachine(step=step, init=lambda _name, _args: 0)


@pytest.fixture
def node() -> Iterator[Node]:
    STEPPED.clear()
    tree = Supervisor("root", children=[Worker("a", ADDER), Worker("b", ADDER)], intensity=5)
    with Node(tree, clock=ManualClock(), history=1000) as node:
        yield with_past(node, instant)


@pytest.fixture
def ask(node: Node) -> Ask:
    """Ask the node, and let it serve what that sets off."""

    def asked(effect: str, *args: Any, **given: Any) -> Any:
        answer = node.perform(effect, *args, **given)
        if node.running:
            node.run(0)
        return answer

    return asked


def events(node: Node, event: str) -> list[dict[str, Any]]:
    return [report.detail for report in node.reports() if report.event == event]


def states(node: Node) -> list[Any]:
    return [node.get_state(name) for name in ("a", "b")]


# --- held -----------------------------------------------------------------------------------------


def test_the_worker_is_held_before_the_state_and_shows_the_input(node: Node, ask: Ask) -> None:
    assert ask("break_at", worker="a", expr="state > 5")["break"] == 1
    node.call("a", "5")
    node.cast("a", "1")
    node.cast("a", "2")
    node.run(0)
    assert states(node) == [5, 0]
    assert node.tree().children[0].state == "suspended"
    (held,) = ask("breaks")["held"]
    assert (held["worker"], held["input"], held["changed"]) == ("a", "1", "state 5 -> 6   (+1)")
    assert held["waiting"] == 1
    assert events(node, "held") == [
        {"break": 1, "when": "state > 5", "input": "1", "changed": "state 5 -> 6   (+1)"}
    ]


@pytest.mark.parametrize("expr", ["error is not None", "state > 3 and record > 1"])
def test_a_break_over_what_a_break_does_not_know_is_refused(ask: Ask, expr: str) -> None:
    with pytest.raises(BadExpr, match="is not known here: it is about `state` and `input`"):
        ask("break_at", worker="a", expr=expr)


def test_other_workers_go_on(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    node.cast("a", "1")
    assert node.call("b", "7") == 7


def test_it_goes_on_with_what_it_came_to_and_is_not_stepped_again(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state == 1")
    for number in ("1", "2"):
        node.cast("a", number)
    node.run(0)
    assert ask("leave") == {"worker": "a", "input": "1", "break": 1}
    assert states(node) == [3, 0]
    assert STEPPED == ["1", "2"]
    assert ask("breaks")["held"] == []


def test_that_it_went_on_is_no_input_of_the_worker(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 3")
    node.cast("a", "5")
    node.run(0)
    ask("leave")
    hows = [one["how"] for one in ask("history", worker="a")["records"]]
    assert ("continue" in hows, hows.count("cast")) == (True, 1)
    found = ask("replay", worker="a")
    assert (found["total"], found["same"]) == (1, 1)


def test_its_break_holds_it_again_at_the_next_such_state(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    for number in ("1", "2"):
        node.cast("a", number)
    node.run(0)
    ask("leave")
    assert (states(node)[0], ask("breaks")["held"][0]["input"]) == (1, "2")
    assert ask("breaks")["breaks"][0]["hits"] == 2


def test_a_caller_waits_and_gets_its_answer_when_it_goes_on(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    request = node.send_request("a", "1")
    node.run(0)
    ask("leave")
    assert node.wait(request) == 1


def test_the_time_out_of_a_caller_is_its_own_and_the_input_is_still_held(
    node: Node, ask: Ask
) -> None:
    ask("break_at", worker="a", expr="state > 0")
    with pytest.raises(CallTimeout):
        node.call("a", "1", timeout_s=2.0)
    assert ask("breaks")["held"][0]["held_s"] == pytest.approx(2.0)
    ask("leave")
    assert states(node) == [1, 0]


def test_dropped_the_state_stays_and_the_caller_is_told_that_it_was_not_served(
    node: Node, ask: Ask
) -> None:
    ask("break_at", worker="a", expr="state == 1")
    request = node.send_request("a", "1")
    node.cast("a", "2")
    node.run(0)
    assert ask("drop")["input"] == "1"
    with pytest.raises(CalleeStopped, match="a: the input was dropped at a break") as caught:
        node.wait(request)
    assert not caught.value.stepped
    assert states(node) == [2, 0]


def test_a_dropped_cast_is_reported(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state == 1")
    node.cast("a", "1")
    node.run(0)
    ask("drop")
    assert events(node, "dropped") == [{"to": "a", "how": "cast", "why": "dropped at a break"}]


def test_edited_another_input_is_served_and_its_caller_gets_that_answer(
    node: Node, ask: Ask
) -> None:
    ask("break_at", worker="a", expr="state == 1")
    request = node.send_request("a", "1")
    node.run(0)
    assert ask("edit", record="a", given="40")["was"] == "1"
    assert node.wait(request) == 40


def test_an_edit_that_cannot_be_read_leaves_it_held(node: Node, ask: Ask) -> None:
    node.start_child("root", Worker("n", kv_store))
    ask("break_at", worker="n", expr="state.x > 0")
    node.cast("n", Store("x", 1))
    node.run(0)
    with pytest.raises(DecodeError, match="value"):
        ask("edit", record="n", given="Store x one")
    assert ask("breaks")["held"][0]["input"] == "Store x 1"


def test_an_edit_that_leads_to_such_a_state_is_held_again(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    node.cast("a", "1")
    node.run(0)
    ask("edit", record="a", given="2")
    assert ask("breaks")["held"][0]["input"] == "2"


def test_a_state_put_in_place_while_it_is_held_is_what_the_input_meets(
    node: Node, ask: Ask
) -> None:
    ask("break_at", worker="a", expr="state == 1")
    node.cast("a", "1")
    node.run(0)
    node.replace_state("a", 100)
    ask("leave")
    assert states(node) == [101, 0]


def test_resume_is_another_word_for_it(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state == 1")
    node.cast("a", "1")
    node.run(0)
    node.resume("a")
    node.run(0)
    assert (states(node), ask("breaks")["held"], STEPPED) == ([1, 0], [], ["1"])


# --- how inputs come ------------------------------------------------------------------------------


def test_what_a_timer_and_a_worker_have_brought_is_held_too_and_keeps_its_cause(
    node: Node, ask: Ask
) -> None:
    for worker, word in (("a", "timer"), ("b", "")):
        ask("break_at", worker=worker, expr="state == 10")
        if word:
            node.call("a", word)
    node.call("a", "send")
    node.run(2.0)
    assert [held["worker"] for held in ask("breaks")["held"]] == ["a", "b"]
    ask("leave", worker="a")
    ask("leave", worker="b")
    assert states(node) == [10, 10]
    found = {r["worker"]: r for r in ask("history")["records"] if r["input"] == "10"}
    assert (found["a"]["how"], found["a"]["cause"]) == ("timer", 1)
    assert (found["b"]["how"], found["b"]["cause"]) == ("cast", 2)


def test_continues_and_time_outs_are_held_and_come_again() -> None:
    class Plain(Server):
        def init(self, name: str, args: Any) -> Any:
            return Ok([])

        def handle_cast(self, message: Any, state: Any) -> Any:
            known: dict[str, Any] = {"go": Continue("went"), "wait": TimeoutAfter(1000)}
            then = known.get(message)
            return NoReply([*state, message], then)

        def handle_continue(self, message: Any, state: Any) -> Any:
            return NoReply([*state, message])

        def handle_info(self, message: Any, state: Any) -> Any:
            return NoReply([*state, "timeout"])

    with Node(Supervisor("root", children=[Worker("s", Plain)]), clock=ManualClock()) as node:
        with_past(node, instant)
        node.perform("break_at", worker="s", expr="len(state) in [2, 4]")
        for word in ("go", "wait"):
            node.cast("s", word)
            node.run(5.0)
            node.perform("leave")
            node.run(0)
        assert node.get_state("s") == ["go", "went", "wait", "timeout"]


# --- what ends it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        lambda node: node.kill("a"),
        lambda node: node.stop_process("a"),
        lambda node: node.terminate_child("root", "a"),
        lambda node: node.stop(),
        lambda node: node.kill("root"),
    ],
    ids=["kill", "stop-process", "terminate-child", "stop", "kill root"],
)
def test_what_ends_a_worker_that_is_held_ends_what_it_is_held_with(
    node: Node, ask: Ask, end: Callable[[Node], None]
) -> None:
    ask("break_at", worker="a", expr="state > 0")
    request = node.send_request("a", "1")
    node.run(0)
    end(node)
    with pytest.raises(CalleeStopped):
        node.wait(request)
    assert ask("breaks")["held"] == []


def test_the_next_life_has_the_break_too(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    node.cast("a", "1")
    node.run(0)
    node.kill("a")
    node.cast("a", "2")
    node.run(0)
    assert ask("breaks")["held"][0]["input"] == "2"
    ask("leave")
    assert states(node) == [2, 0]


def test_a_crash_in_place_of_the_state_is_a_crash(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > -1")
    node.cast("a", "crash")
    node.run(0)
    assert len(events(node, "crashed")) == 1
    assert ask("breaks")["held"] == []


# --- durable --------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_id", ["", "r1"])
def test_nothing_is_journalled_before_it_goes_on(request_id: str) -> None:
    store = MemoryStore()
    machine = StateMachine(step=step, init=lambda *_: 0, state=int)
    tree = Supervisor("root", children=[Worker("a", machine, persist="journal")])
    with Node(tree, clock=ManualClock(), store=store, history=100) as node:
        with_past(node, instant)
        node.perform("break_at", worker="a", expr="state == 3")
        assert node.call("a", b"1") == b"1"
        before = len(list(records_of(store)))
        with pytest.raises(CallTimeout):
            node.call("a", b"2", timeout_s=1.0, request_id=request_id)
        assert len(list(records_of(store))) == before
        node.perform("leave")
        node.run(0)
        assert len(list(records_of(store))) == before + 1
        assert node.get_state("a") == 3
    with Node(tree, clock=ManualClock(), store=store) as again:
        assert again.get_state("a") == 3


# --- the breaks themselves ------------------------------------------------------------------------


def test_a_mistake_in_the_question_is_shown_with_its_column(ask: Ask) -> None:
    with pytest.raises(BadExpr, match=r"EXPR, column 8"):
        ask("break_at", worker="a", expr="state >")


def test_a_part_that_no_input_had_is_told_in_the_list(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state.x > 1")
    node.call("a", "1")
    assert "state" in ask("breaks")["breaks"][0]["never"][0]


def test_a_question_that_takes_too_long_holds_nobody_and_says_so(node: Node, ask: Ask) -> None:
    node.replace_state("a", 0)
    ask("break_at", worker="b", expr="sum(input.numbers * 0) > 0 or " * 3 + "state > 1")
    assert node.call("b", "1") == 1


def test_with_its_last_break_a_worker_is_as_fast_as_before(node: Node, ask: Ask) -> None:
    cell = node._world.names["a"]
    ask("break_at", worker="a", expr="state > 100")
    ask("break_at", worker="a", expr="state > 200")
    assert cell.step is None
    ask("unbreak", which="1")
    assert cell.step is None
    ask("unbreak", which="2")
    assert cell.step is step
    assert cell.extra is not None
    assert cell.extra.breaks is None


def test_who_is_held_stays_held_when_the_break_is_gone(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state == 1")
    node.cast("a", "1")
    node.run(0)
    assert ask("unbreak", which="a") == {"gone": [1]}
    assert ask("breaks")["held"][0]["input"] == "1"
    ask("leave")
    assert states(node) == [1, 0]


def test_of_several_one_is_named(node: Node, ask: Ask) -> None:
    for worker in ("a", "b"):
        ask("break_at", worker=worker, expr="state > 0")
        node.cast(worker, "1")
    node.run(0)
    with pytest.raises(CommandError, match="a, b are held: name one"):
        ask("leave")
    ask("leave", worker="root/b")
    ask("drop", worker="a")
    assert states(node) == [0, 1]


@pytest.mark.parametrize("effect", ["leave", "drop"])
def test_where_nobody_is_held_that_is_said(ask: Ask, effect: str) -> None:
    with pytest.raises(CommandError, match="no worker is held at a break"):
        ask(effect)
    with pytest.raises(Forgotten, match="a is not held at a break; held are: none"):
        ask(effect, worker="a")


def test_a_break_that_is_not_there_is_told_with_those_that_are(ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    with pytest.raises(Forgotten, match=r"there is no break `9`; there is 1 \(a\)"):
        ask("unbreak", which="9")
    assert ask("unbreak", which="all") == {"gone": [1]}
    assert ask("unbreak", which="all") == {"gone": []}


def test_they_are_of_the_live_tree_and_have_a_bound(ask: Ask) -> None:
    with pytest.raises(CommandError, match="breaks are of the live tree"):
        ask("break_at", worker="a", expr="state > 0", at="0")
    for _ in range(MOST_BREAKS):
        ask("break_at", worker="a", expr="state > 0")
    with pytest.raises(CommandError, match=f"there are {MOST_BREAKS} breaks already"):
        ask("break_at", worker="a", expr="state > 0")


def test_a_worker_that_is_not_held_cannot_be_let_go(node: Node) -> None:
    with pytest.raises(SysError, match="a is not held at a break"):
        node.leave_break("a")


def test_a_fork_goes_on_without_breaks(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    fork = ask("fork")["place"]
    tree = ask("standing", fork, reading=False)
    assert tree.call("a", "1") == 1
    assert states(node) == [0, 0]


def test_a_fork_says_which_worker_is_held_in_it_and_how_it_goes_on(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    node.cast("a", "1")
    node.run()
    told = execute(command_of("fork"), node)
    assert told.lines[1:] == (
        "  1 input waits in it; `advance 1s` serves them",
        "  a is held in it; `resume a` lets it go on",
    )
    tree = ask("standing", "fork1", reading=False)
    tree.resume("a")
    tree.run(1.0)
    assert tree.get_state("a") == 1


# --- the past -------------------------------------------------------------------------------------


def test_the_past_knows_who_was_held_and_how_it_went_on(node: Node, ask: Ask) -> None:
    ask("break_at", worker="a", expr="state > 0")
    node.cast("a", "1")
    node.run(0)
    ask("edit", record="a", given="5")
    ask("leave")
    told = [(r["how"], r["input"]) for r in ask("history")["records"]]
    assert told[0] == ("break", "1 state > 0 1 state 0 -> 1   (+1)")
    assert [how for how, _ in told] == ["break", "edit", "break", "continue", "cast"]
    assert ask("standing", "1", reading=True).tree().children[0].state == "suspended"


@pytest.mark.parametrize(
    ("goes_on", "state"),
    [
        (lambda ask: ask("leave"), 8),
        (lambda ask: ask("drop"), 7),
        (lambda ask: ask("edit", record="a", given="20"), 27),
    ],
    ids=["continue", "drop", "edit"],
)
def test_what_went_through_a_break_is_stepped_again_as_it_went(
    node: Node, ask: Ask, goes_on: Callable[[Ask], object], state: int
) -> None:
    node.call("b", "1")
    ask("break_at", worker="a", expr="state == 1")
    node.cast("a", "1")
    node.cast("a", "7")
    node.run(0)
    goes_on(ask)
    assert states(node) == [state, 1]
    place = ask("fork")["place"]
    assert [c["worker"] for c in ask("without", records="1", at=place)["changes"]] == ["b"]
    fork = ask("standing", place, reading=True)
    assert (fork.get_state("a"), fork.get_state("b")) == (state, 0)


@pytest.mark.parametrize("goes_on", ["drop", "edit"])
def test_where_nothing_is_held_without_the_break_an_input_is_stepped_as_it_came(
    node: Node, ask: Ask, goes_on: str
) -> None:
    ask("break_at", worker="a", expr="True")
    node.cast("a", "5")
    node.run(0)
    if goes_on == "edit":
        ask("edit", record="a", given="20")
        ask("leave")  # the break holds the other input as well
    else:
        ask("drop")
    place = ask("fork")["place"]
    found = ask("without", records="1", at=place)
    assert found["crashes"] == 0
    fork = ask("standing", place, reading=False)
    assert fork.get_state("a") == 5
    assert fork.call("a", "1") == 6


def test_a_break_of_a_misspelt_worker_says_which_was_meant() -> None:
    tree = Supervisor("root", children=[Worker("ledger", ADDER)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        for effect, given in (("break_at", {"expr": "state > 1"}), ("blame", {"path": "."})):
            with pytest.raises(SsmError, match=r"no worker .*; did you mean ledger\?"):
                node.perform(effect, worker="leger", **given)
        with pytest.raises(SsmError, match="root is a supervisor, not a worker"):
            node.perform("break_at", worker="root", expr="state > 1")
