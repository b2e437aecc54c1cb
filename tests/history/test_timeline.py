"""The timeline: questions to the past, and scratch trees that are made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    CancelRun,
    Cast,
    DecodeError,
    Forgotten,
    ManualClock,
    Node,
    Run,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import Command, parse_line
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, ReadOnly
from ssm_cli.history.grammar import BadExpr
from ssm_cli.history.past import with_past
from ssm_cli.history.places import MOST_FORKS
from ssm_cli.history.timeline import Timeline
from ssm_cli.machines.kv import kv_store
from tests.history.ledger import LEDGER, MENDED, Hold, Release, Total, crashed_ledger
from tests.runtime.outside_work import aforever

Ask = Callable[..., Any]


@pytest.fixture
def node() -> Iterator[Node]:
    tree = Supervisor("root", children=[Worker("ledger", LEDGER), Worker("other", LEDGER)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        yield with_past(node, instant)


@pytest.fixture
def ask(node: Node) -> Ask:
    return node.perform


def fill(node: Node) -> None:
    """Five records: two holds, a release, one of another worker, another hold."""
    node.call("ledger", Hold("a", 100))
    node.call("ledger", Hold("b", 50))
    node.call("ledger", Release("a"))
    node.call("other", Hold("x", 7))
    node.call("ledger", Hold("c", 1))


def test_history_is_oldest_first_and_tells_of_one_worker(node: Node, ask: Ask) -> None:
    fill(node)
    assert [r["record"] for r in ask("history")["records"]] == [1, 2, 3, 4, 5]
    assert [r["record"] for r in ask("history", worker="other")["records"]] == [4]
    assert [r["record"] for r in ask("history", last=2, at="3")["records"]] == [2, 3]


def test_a_record_says_what_it_changed_path_by_path(node: Node, ask: Ask) -> None:
    fill(node)
    assert ask("diff", at="3")["changes"] == [
        {"worker": "ledger", "path": "held", "before": 150, "after": 50}
    ]
    between = ask("diff", one="1", other="5")["changes"]
    assert {(c["worker"], c["path"]) for c in between} >= {("ledger", "held"), ("other", "held")}


def test_blame_is_newest_first_and_marks_the_largest_and_the_first(node: Node, ask: Ask) -> None:
    fill(node)
    found = ask("blame", worker="ledger", path="held", when="state.held > 120")
    assert [r["record"] for r in found["records"]] == [5, 3, 2, 1]
    assert (found["largest"], found["first"], found["count"]) == (1, 2, 4)


def test_when_is_the_first_record_after_which_it_holds(node: Node, ask: Ask) -> None:
    fill(node)
    assert ask("when", worker="ledger", expr='"b" in state.holds')["record"]["record"] == 2
    none = ask("when", worker="ledger", expr="state.hold > 1")
    assert none["record"] is None
    assert "did you mean" in none["never"][0]


def test_why_is_the_chain_of_causes_through_effects_and_timers() -> None:
    def step(message: Any, state: int) -> Any:
        match message:
            case "begin":
                return state, None, [StartTimer("t", 1000, "late")]
            case "late":
                return state, None, [Cast("b", "told")]
        return state + 1, None

    machine = StateMachine(step=step, init=lambda *_: 0)
    tree = Supervisor("root", children=[Worker("a", machine), Worker("b", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.cast("a", "begin")
        node.run(5)
        chain = node.perform("why", record=str(node.record))["records"]
        assert [(r["worker"], r["how"]) for r in chain] == [
            ("b", "cast"), ("a", "timer"), ("a", "cast"),
        ]  # fmt: skip


def test_at_shows_the_tree_of_then_and_takes_no_input(node: Node, ask: Ask) -> None:
    fill(node)
    then = ask("standing", "2", reading=True)
    assert then.get_state("ledger")["held"] == 150
    with pytest.raises(ReadOnly):
        ask("standing", "2", reading=False)
    assert node.get_state("ledger")["held"] == 51


def test_steps_go_to_the_next_record_that_the_options_describe(node: Node, ask: Ask) -> None:
    fill(node)
    assert ask("step", at="1")["place"] == "2"
    assert ask("step_back", at="5", by=2)["place"] == "3"
    assert ask("step", at="1", worker="other")["place"] == "4"
    assert ask("step", at="2", change="held", when="state.held < 60")["place"] == "3"
    with pytest.raises(Forgotten, match="no such record"):
        ask("step", at="4", worker="other")


@pytest.mark.parametrize("wrong", ["9", "fork7", "yesterday-ish", "99:99"])
def test_a_place_that_is_none_is_told(node: Node, ask: Ask, wrong: str) -> None:
    with pytest.raises((Forgotten, CommandError)):
        ask("standing", wrong, reading=True)


# -- scratch trees -------------------------------------------------------------------------------


def test_nothing_lies_before_the_start(node: Node, ask: Ask) -> None:
    fill(node)
    assert ask("step", by=-2, at="2")["number"] == 0
    for by, place in ((-1, "0"), (-3, "2"), (-6, "")):
        with pytest.raises(Forgotten, match=f"has none {-by} before it"):
            ask("step", by=by, at=place)


def test_a_fork_goes_on_by_itself_and_the_node_stays(node: Node, ask: Ask) -> None:
    fill(node)
    place = ask("fork", record="2")["place"]
    fork = ask("standing", place, reading=False)
    fork.call("ledger", Hold("new", 1000))
    assert fork.get_state("ledger")["held"] == 1150
    assert (node.get_state("ledger")["held"], node.record) == (51, 5)
    assert ask("history", at=place)["records"][-1]["record"] == 3
    assert ask("drop", at=place) == {"place": "2", "number": 2}
    with pytest.raises(Forgotten, match="no fork"):
        ask("standing", place, reading=True)


def test_without_and_edit_step_all_again(node: Node, ask: Ask) -> None:
    fill(node)
    place = ask("fork")["place"]
    assert ask("without", records="3", at=place)["changes"] == [
        {"worker": "ledger", "path": "held", "before": 51, "after": 151}
    ]
    ask("edit", record="2", given="Hold b 5", at=place)
    assert (
        ask("standing", place, reading=True).get_state("ledger")["held"] == 106
    )  # the third is still left out


def test_one_message_that_was_sent_and_one_timer_are_left_out_and_their_sender_stays() -> None:
    def step(message: str, state: int) -> Any:
        sent: list[Any] = []
        if message == "tell":
            sent = [Cast("b", "told"), StartTimer("t", 1000, "tick")]
        return state + 1, None, sent

    machine = StateMachine(step=step, init=lambda *_: 0)
    tree = Supervisor("root", children=[Worker("a", machine), Worker("b", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.call("a", "tell")
        node.run(2.0)
        for records, changed in [
            ("2", [("b", 1, 0)]),
            ("3", [("a", 2, 1)]),
            ("2 3", [("a", 2, 1), ("b", 1, 0)]),
            ("1", [("a", 2, 0), ("b", 1, 0)]),
        ]:
            place = node.perform("fork")["place"]
            changes = node.perform("without", records=records, at=place)["changes"]
            assert [(c["worker"], c["before"], c["after"]) for c in changes] == changed
        with pytest.raises(CommandError, match="record 2 was brought by record 1; "):
            node.perform("edit", record="2", given="told", at=place)


def test_the_forks_are_listed_and_each_is_dropped_by_its_name(node: Node, ask: Ask) -> None:
    fill(node)
    first, second = ask("fork", at="2")["place"], ask("fork")["place"]
    ask("standing", second, reading=False).call("ledger", Hold("d", 1))
    ask("without", records="3", at=second)
    assert [(f["fork"], f["record"], f["number"], f["instead"]) for f in ask("forks")["forks"]] == [
        (first, 2, 2, []),
        (second, 5, 6, [3]),
    ]
    assert ask("drop", worker=first) == {"gone": first, "number": 2}
    assert ask("drop", worker=second, at=second)["place"] == ""
    assert ask("forks")["forks"] == []
    with pytest.raises(Forgotten, match=f"there is no fork `{first}`; there is none"):
        ask("drop", worker=first)


def test_a_thousand_forks_are_refused_with_what_to_do(node: Node, ask: Ask) -> None:
    fill(node)
    for _ in range(MOST_FORKS):
        ask("fork")
    with pytest.raises(CommandError, match=f"there are {MOST_FORKS} forks.*`drop fork1`"):
        ask("fork")


def test_a_fork_inside_a_burst_says_how_many_inputs_wait_in_it(node: Node, ask: Ask) -> None:
    fill(node)
    for _ in range(3):
        node.cast("ledger", Total())
    assert ask("fork")["waiting"] == 3
    node.run(0)
    assert ask("fork")["waiting"] == 0


def test_a_worker_that_keeps_its_state_begins_with_that_in_its_history() -> None:
    ledger = Worker("ledger", LEDGER, on_crash="last_good")
    tree = Supervisor("root", children=[ledger], intensity=3)
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.call("ledger", Hold("a", 100))
        node.call("ledger", Release("a"))
        node.call("ledger", Release("a"))
        for _ in range(2):  # the second life crashes of what the first one has left
            with pytest.raises(CalleeCrashed):
                node.call("ledger", Total())
            found = node.perform("blame", worker="ledger", path="held")["records"]
            assert (found[0]["how"], found[0]["changed"][0]["after"]) == ("start", -100)
            assert node.perform("shrink")["inputs"] >= 1
        for record in range(node.record + 1):
            assert node.at(record).running


def test_adopt_shows_asks_and_is_a_record_with_its_reason(node: Node, ask: Ask) -> None:
    fill(node)
    place = ask("fork")["place"]
    ask("without", records="3", at=place)
    asked = ask("adopt", worker="ledger", why="counted twice", at=place)
    assert (asked["adopted"], node.record) == (False, 5)
    done = ask("adopt", worker="ledger", why="counted twice", sure="yes", at=place)
    assert (done["adopted"], done["number"]) == (True, 6)
    record = ask("history", last=1)["records"][0]
    assert (record["how"], record["by"]) == ("adopted", "counted twice")
    assert node.get_state("ledger")["held"] == 151


@pytest.mark.parametrize("moved", ["live", "fork", "both", "other", "nobody"])
def test_nothing_is_adopted_but_what_was_shown(node: Node, ask: Ask, moved: str) -> None:
    fill(node)
    place = ask("fork")["place"]
    ask("without", records="3", at=place)
    given = {"worker": "ledger", "why": "counted twice", "at": place}
    plan = ask("adopt", **given)["plan"]
    if moved in ("live", "both"):
        node.call("ledger", Hold("z", 1000))
    if moved in ("fork", "both"):
        ask("standing", place, reading=False).call("ledger", Hold("z", 1000))
    if moved == "other":
        node.call("other", Hold("z", 1000))
    stays = node.get_state("ledger")["held"]
    found = ask("adopt", **given, sure="yes", plan=plan)
    is_stale = moved in ("live", "fork", "both")
    assert (found["stale"], found["adopted"]) == (is_stale, not is_stale)
    if is_stale:
        assert node.get_state("ledger")["held"] == stays
        assert ask("adopt", **given, sure="yes", plan=found["plan"])["adopted"]
    in_fork = ask("standing", place, reading=True)
    assert node.get_state("ledger") == in_fork.get_state("ledger")


def test_no_state_is_adopted_by_another_worker_of_the_name(node: Node, ask: Ask) -> None:
    node.call("other", Hold("a", 100))
    place = ask("fork")["place"]
    node.terminate_child("root", "other")
    node.delete_child("root", "other")
    node.start_child("root", Worker("other", kv_store))
    for sure in ("", "yes"):
        with pytest.raises(CommandError, match=r"another one than that of fork1: .*kv:step, not"):
            ask("adopt", worker="other", why="w", sure=sure, at=place)
    assert node.get_state("other") == {}
    lines = execute(Command("replay", {"worker": "other"}), node).lines
    assert lines == ("1 input: 1 the same", "1 of them had other code than the worker has now")


def test_a_start_that_begins_with_what_there_was_has_not_written_it() -> None:
    machine = StateMachine(step=counting, init=lambda *_: 0)
    tree = Supervisor("root", children=[Worker("w", machine, on_crash="last_good")])
    with with_past(Node(tree, clock=ManualClock(), history=100), str) as node:
        node.call("w", "up")
        with pytest.raises(CalleeCrashed):
            node.call("w", "crash")
        node.call("w", "up")
        records = node.perform("blame", worker="w", path=".")["records"]
    told = [(one["how"], one["changed"][0].get("note", "")) for one in records]
    assert told == [("call", ""), ("start", "as it was before"), ("call", "")]


def counting(message: str, state: int) -> tuple[int, int]:
    if message == "crash":
        raise ValueError(message)
    return state + 1, state


def test_a_drop_promises_to_leave_a_fork_alone(node: Node, ask: Ask) -> None:
    fill(node)
    for at, leaves in (("2", False), (ask("fork")["place"], True)):
        with pytest.raises(CommandError) as refused:
            ask("drop", worker="ledger", at=at)
        assert (f"`drop` leaves {at}" in str(refused.value)) is leaves


def test_a_supervisor_has_no_state_to_adopt(node: Node, ask: Ask) -> None:
    place = ask("fork")["place"]
    with pytest.raises(Forgotten, match="no worker `root`"):
        ask("adopt", worker="root", why="w", sure="yes", at=place)
    with pytest.raises(Forgotten, match="no worker `legder`"):
        ask("adopt", worker="legder", at=place)  # a name comes before the reason


def test_a_sign_that_nobody_was_shown_adopts_nothing(node: Node, ask: Ask) -> None:
    fill(node)
    place = ask("fork")["place"]
    ask("without", records="3", at=place)
    for plan in ("0", "99", "x"):
        found = ask("adopt", worker="ledger", why="w", sure="yes", plan=plan, at=place)
        assert (found["stale"], found["adopted"]) == (True, False)


def test_a_change_that_has_become_another_is_shown_and_asked_about_again(node: Node) -> None:
    fill(node)
    command = parse_line("adopt ledger --why x", ("ledger", "other"))
    assert command is not None
    node.perform("fork")
    node.perform("without", records="3", at="fork1")
    asked = execute(msgspec.structs.replace(command, at="fork1"), node)
    node.call("ledger", Hold("z", 1000))
    assert asked.question is not None
    again = execute(asked.question.then, node)
    assert "another change than the one that was agreed to" in again.lines[0]
    assert any("1000" in line for line in again.lines)
    assert again.question is not None
    done = execute(again.question.then, node)
    assert done.lines[-1] == f"record {node.record}: adopted"
    assert node.get_state("ledger")["held"] == 151


@pytest.mark.parametrize(
    ("verb", "given", "why"),
    [
        ("drop", {}, "no fork"),
        ("without", {"records": "1"}, "in a fork"),
        ("advance", {"span": "1s"}, "in a fork"),
        ("adopt", {"worker": "ledger", "why": "x"}, "in a fork"),
    ],
)
def test_what_goes_in_a_fork_alone_says_so(
    node: Node, ask: Ask, verb: str, given: dict[str, str], why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        ask(verb, **given)
    assert node.record == 0


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("without", {"records": "77"}),
        ("without", {"records": "x"}),
        ("without", {"records": ""}),
        ("edit", {"record": "1", "given": "Nonsense 1"}),
        ("advance", {"span": "soon"}),
        ("advance", {"span": "-1s"}),
        ("adopt", {"worker": "nobody", "why": "x"}),
        ("adopt", {"worker": "ledger", "why": " "}),
    ],
)
def test_wrong_words_in_a_fork_leave_it_as_it_was(
    node: Node, ask: Ask, verb: str, given: dict[str, str]
) -> None:
    fill(node)
    place = ask("fork")["place"]
    before = ask("standing", place, reading=True).digest()
    with pytest.raises((CommandError, Forgotten, DecodeError)):
        ask(verb, **given, at=place)
    assert ask("standing", place, reading=True).digest() == before


def test_forks_have_a_bound(node: Node, ask: Ask) -> None:
    for _ in range(64):
        ask("fork")
    with pytest.raises(CommandError, match="64 forks"):
        ask("fork")


# -- other code, and fewer inputs ----------------------------------------------------------------


def test_replay_on_the_same_code_finds_no_difference() -> None:
    node = with_past(crashed_ledger(), instant)
    found = node.perform("replay", worker="all")
    assert found["same"] == found["total"] == node.record


def test_replay_on_mended_code_tells_the_first_record_of_each_kind(tmp_path: Path) -> None:
    node = with_past(crashed_ledger(), instant)
    file = tmp_path / "ledger.py"
    file.write_text(MENDED)
    before = dict(sys.modules)
    found = node.perform("replay", worker="ledger", code=str(file))
    assert found["total"] == found["same"] + found["state"]
    first = found["firsts"][0]
    assert first["record"]["record"] == 801  # the first release
    assert first["changes"][0]["path"].startswith("holds")
    assert {name for name in before if sys.modules.get(name) is not before[name]} == set()


@pytest.mark.parametrize(
    ("text", "why"),
    [("def step(", "SyntaxError"), ("x = 1", "has no"), ("raise OSError('no')", "OSError: no")],
)
def test_code_that_cannot_be_stepped_is_told(tmp_path: Path, text: str, why: str) -> None:
    node = with_past(crashed_ledger(inputs=30), instant)
    file = tmp_path / "ledger.py"
    file.write_text(text)
    with pytest.raises(CommandError, match=why):
        node.perform("replay", worker="ledger", code=str(file))


def test_shrink_finds_three_inputs_and_writes_a_test(tmp_path: Path) -> None:
    node = with_past(crashed_ledger(), instant)
    found = node.perform("shrink", beside=str(tmp_path))
    assert found["inputs"] <= 4
    assert found["given"] > 800
    assert found["test"].count("= step(") == found["inputs"]
    rule = node.perform("shrink", when="state.held < 0")
    assert rule["inputs"] <= 3
    with pytest.raises(BadExpr, match="`kind` is not known here: it is about `state`"):
        node.perform("shrink", when="kind == 'Hold'")


def test_a_record_that_is_no_crash_cannot_be_shrunk(node: Node, ask: Ask) -> None:
    fill(node)
    node.call("ledger", Total())
    with pytest.raises(Forgotten, match="no crash"):
        ask("shrink", record="2")
    with pytest.raises(Forgotten, match="no crash is remembered"):
        ask("shrink")


def test_what_a_worker_hides_is_in_no_answer_and_in_no_test() -> None:
    def step(message: str, state: dict[str, str]) -> tuple[dict[str, str], str]:
        if message == "crash":
            raise ValueError("as asked")
        return {**state, "secret": message}, "Ok"

    def redact(value: Any) -> Any:
        return {**value, "secret": "***"} if isinstance(value, dict) else "***"

    machine = StateMachine(step=step, init=lambda *_: {"secret": "none"}, redact=redact)
    tree = Supervisor("root", children=[Worker("w", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.call("w", "hunter2")
        node.cast("w", "crash")
        node.run()
        answers = [
            node.perform("history"), node.perform("diff", at="1"),
            node.perform("blame", worker="w", path="secret"),
            node.perform("when", worker="w", expr='state.secret == "hunter2"'),
            node.perform("why", record="1"),
        ]  # fmt: skip
        assert "hunter2" not in repr(answers)
        with pytest.raises(CommandError, match="hides parts"):
            node.perform("shrink")


# -- what strangers found --------------------------------------------------------------------------


@pytest.fixture
def in_place() -> Iterator[Node]:
    def step(message: int, state: list[int]) -> tuple[list[int], int]:
        state.append(message)
        return state, message

    machine = StateMachine(step=step, init=lambda *_: [])
    tree = Supervisor("root", children=[Worker("w", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        for number in (1, 2):
            node.call("w", number)
        yield node


def test_nothing_that_is_tried_reaches_a_live_state_that_is_changed_in_place(
    in_place: Node,
) -> None:
    ask = in_place.perform
    ask("replay", worker="w")
    place = ask("fork", record="1")["place"]
    ask("standing", place, reading=False).call("w", 7)
    ask("advance", span="5s", at=place)
    assert in_place.get_state("w") == [1, 2]


def test_a_question_that_takes_too_long_is_ended_and_says_how_far_it_got(node: Node) -> None:
    fill(node)
    ticks = iter(range(100))
    timeline = Timeline(node, instant, clock=lambda: float(next(ticks)))
    with pytest.raises(CommandError, match=r"more than 2 s.*got to record 3"):
        timeline.when("ledger", "state.held > 10000")


def test_a_fork_in_which_too_much_happens_stops_and_says_so() -> None:
    def step(message: str, state: int) -> Any:
        return state + 1, "Ok", [StartTimer("t", 1, "tick")]

    machine = StateMachine(step=step, init=lambda *_: 0)
    tree = Supervisor("root", children=[Worker("w", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.call("w", "begin")
        place = node.perform("fork")["place"]
        found = node.perform("advance", span="3650d", at=place)
        assert 0 < found["passed"] < found["wanted"]
        assert node.get_state("w") == 1


def test_an_adopted_state_is_told_as_its_worker_shows_it() -> None:
    machine = StateMachine(
        step=lambda message, state: ({**state, "secret": message}, "Ok"),
        init=lambda *_: {"secret": ""},
        redact=lambda value: {**value, "secret": "***"} if isinstance(value, dict) else "***",
    )
    tree = Supervisor("root", children=[Worker("w", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        node.call("w", "hunter2")
        place = node.perform("fork")["place"]
        node.perform("adopt", worker="w", why="test", sure="yes", at=place)
        assert "hunter2" not in repr(node.perform("history"))


def test_a_fork_says_which_runs_and_timers_it_has_now() -> None:
    def step(message: str, state: int) -> Any:
        asks = {
            "run": Run("x", aforever), "cancel": CancelRun("x"), "timer": StartTimer("t", 9000, ""),
        }  # fmt: skip
        return state, None, [asks[message]]

    tree = Supervisor("root", children=[Worker("a", StateMachine(step=step, init=lambda *_: 0))])
    node = Node(tree, clock=ManualClock(), history=100)
    node._world.outside.runner = None
    node.start()
    with_past(node, instant)
    for message in ("run", "cancel", "timer"):
        node.call("a", message)
    place = node.perform("fork")["place"]
    name = "tests.runtime.outside_work:aforever"
    told = [node.perform("without", records=n, at=place)["changes"] for n in ("2", "3", "1")]
    assert told == [
        [{"worker": "a", "of": "runs", "path": "x", "after": name}],
        [{"worker": "a", "of": "timers", "path": "t", "before": "under way"}],
        [{"worker": "a", "of": "runs", "path": "x", "before": name}],
    ]


def test_a_cast_in_a_fork_is_served_and_its_runs_are_shown_and_not_done() -> None:
    def step(message: str, state: int) -> Any:
        if message == "run":
            return state, None, [Run("x", aforever)]
        return state + 1, None, [Cast("b", "more")] if message == "send" else []

    machine = StateMachine(step=step, init=lambda *_: 0, inputs=str)
    tree = Supervisor("root", children=[Worker(name, machine) for name in "ab"])
    node = Node(tree, clock=ManualClock(), history=100)
    node._world.outside.runner = None
    with_past(node.start(), instant)
    node.call("a", "run")
    found = node.perform("fork")
    assert found["runs"] == 1
    for line, state in (("cast a send", 1), ("call a send", 2)):
        command = parse_line(line, [])
        assert command is not None
        execute(msgspec.structs.replace(command, at=found["place"]), node)
        fork = node.perform("standing", found["place"], reading=True)
        assert (fork.get_state("a"), fork.get_state("b")) == (state, state)
    assert fork.tree().children[0].runs == 1
    assert node.get_state("a") == 0
