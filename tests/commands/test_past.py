"""The verbs of the past: what a line means, what it answers, and what it refuses."""

from __future__ import annotations

import doctest
from collections.abc import Iterator

import msgspec
import pytest

from ssm_cli import Supervisor, Worker
from ssm_cli.commands import past
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import Command, parse_line, parse_words
from ssm_cli.commands.records import instant
from ssm_cli.commands.results import Result
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.node import Node
from ssm_cli.spec.load import load_tree

WORKERS = ("kv1", "kv2", "kv3")
SERVED = ("kv2 Store x 1", "kv2 Store x 5", "kv1 Store y 2", "kv2 Lookup crash")


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node(load_tree("trees/kv.yaml"), clock=ManualClock(), history=100)
    with with_past(made, instant) as started:
        for line in SERVED:
            run(line, started)
        yield started


def command_of(line: str, at: str = "") -> Command:
    command = parse_line(line, WORKERS)
    assert command is not None
    return msgspec.structs.replace(command, at=command.at or at)


def run(line: str, node: Node, at: str = "") -> Result:
    return execute(command_of(line, at), node)


def timeless(result: Result) -> list[str]:
    """The lines without the time of day, and one blank in place of several."""
    lines = (" ".join(line.split()) for line in result.lines)
    return [" ".join(w for w in line.split() if w.count(":") != 2) for line in lines]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(past).failed == 0


@pytest.mark.parametrize(
    "line",
    ["when kv2 state.x > 1", "when kv2 'state.x > 1'", 'when kv2 "state.x > 1"',
     "when -o text kv2 state.x > 1", "when kv2 state.x > 1 -o text"],
)  # fmt: skip
def test_an_expr_is_the_words_up_to_the_next_option_with_quotes_or_without(line: str) -> None:
    assert command_of(line).arguments == {"worker": "kv2", "expr": "state.x > 1"}


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("back 3 --when state.x > 1", {"by": "3", "when": "state.x > 1"}),
        ("back --when 'state.x > 1' 3", {"by": "3", "when": "state.x > 1"}),
        ("next --worker kv2 --change x", {"worker": "kv2", "change": "x"}),
        ("blame kv2 x --when state.x > 1 -n 3", {"worker": "kv2", "path": "x",
                                                  "when": "state.x > 1"}),
        ("when kv2 'a' == kind or kind == 'b'", {"worker": "kv2",
                                                 "expr": "'a' == kind or kind == 'b'"}),
        ('blame kv2 holds["a b"].count', {"worker": "kv2", "path": 'holds["a b"].count'}),
    ],
)  # fmt: skip
def test_what_an_option_says_is_an_argument(line: str, arguments: dict[str, str]) -> None:
    if line == "back --when 'state.x > 1' 3":
        with pytest.raises(CommandError):  # what is behind the quotes belongs to it
            command_of(line)
        return
    assert command_of(line).arguments == arguments


def test_an_expr_of_argv_is_one_word_or_several() -> None:
    one = parse_words(["when", "kv2", "state.x > 1", "-o", "json"], ())
    several = parse_words(["when", "kv2", "state.x", ">", "1", "-o", "json"], ())
    assert one == several
    assert one.arguments["expr"] == "state.x > 1"


@pytest.mark.parametrize(
    ("line", "column"),
    [("when kv2 state.x >", 19), ("when kv2 'state.x >'", 20), ("blame kv2 a..b", 13),
     ("back --when import os", 13)],
)  # fmt: skip
def test_a_bad_expr_or_path_names_the_column_in_the_line(line: str, column: int) -> None:
    with pytest.raises(CommandError) as caught:
        command_of(line)
    assert caught.value.column == column
    assert caught.value.excerpt[1].endswith("^")


def test_history_has_one_line_a_record(node: Node) -> None:
    result = run("history", node)
    assert timeless(result) == [
        "1 kv2 Store x 1 -> Ok x added 1",
        "2 kv2 Store x 5 -> Ok x 1 -> 5 (+4)",
        "3 kv1 Store y 2 -> Ok y added 2",
        "4 kv2 Lookup crash crashed ZeroDivisionError: integer division or modulo by zero",
        *timeless(result)[4:],
    ]
    assert timeless(run("history kv1 -n 1", node)) == ["3 kv1 Store y 2 -> Ok y added 2"]


def test_history_as_json_is_the_records(node: Node) -> None:
    (record,) = run("history kv1 -n 1 -o json", node).records
    assert isinstance(record, dict)
    head = {key: record[key] for key in ("v", "type", "record", "worker", "how", "outcome")}
    assert head == {"v": 1, "type": "record", "record": 3, "worker": "kv1", "how": "call",
                    "outcome": "replied"}  # fmt: skip
    assert record["changed"] == [{"path": "y", "after": 2}]


@pytest.mark.parametrize(
    ("line", "at", "place"),
    [("at 2", "", "2"), ("at crash", "", "3"), ("now", "2", ""), ("back", "2", "1"),
     ("next", "1", "2"), ("back --worker kv1", "", "3"), ("back --when state.x == 1", "", "1"),
     ("at start", "", "0")],
)  # fmt: skip
def test_a_verb_that_goes_answers_where_one_stands_then(
    node: Node, line: str, at: str, place: str
) -> None:
    result = run(line, node, at)
    assert (result.error, result.value) == (False, result.value)
    assert isinstance(result.value, dict)
    assert result.value["place"] == place


def test_what_looks_shows_the_tree_of_its_place(node: Node) -> None:
    assert run("state kv2", node).lines == ("{}",)
    assert run("state kv2", node, "1").lines == ('{"x": 1}',)
    assert run("state kv2 --at 2", node).lines == ('{"x": 5}',)
    assert run("state kv2 --at crash", node).lines == ('{"x": 5}',)
    assert run("state kv2 --at 1", node, "2").lines == ('{"x": 1}',)
    assert "restarting" in "".join(run("log", node).lines)
    assert "restarting" not in "".join(run("log", node, "2").lines)
    assert (
        run("which-children storage", node, "2").lines == run("which-children storage", node).lines
    )


@pytest.mark.parametrize(
    "line", ["kv2 Store x 9", "cast kv2 Store x 9", "set kv2 {}", "kill kv2", "stop",
             "suspend kv2", "restart kv2"],
)  # fmt: skip
def test_the_past_is_read_only(node: Node, line: str) -> None:
    result = run(line, node, "2")
    assert (result.exit_code, result.error) == (ExitCode.REFUSED, True)
    assert "the past is read only; `fork` goes on from here, `now` comes back" in result.lines[0]
    assert node.running


def test_blame_marks_the_first_and_the_largest(node: Node) -> None:
    assert timeless(run("blame kv2 x --when state.x > 1", node)) == [
        "2 Store x 5 -> Ok 1 -> 5 (+4) first for which it holds largest change of 2",
        "1 Store x 1 -> Ok added 1",
    ]
    assert run("blame kv2 nothing", node).lines == ("no record that is remembered wrote nothing",)


def test_blame_tells_of_what_it_does_not_show(node: Node) -> None:
    run("kv2 Store x 1", node)
    for value in range(3, 6):
        run(f"kv2 Store x {value}", node)
    assert timeless(run("blame kv2 x --when state.x > 3 -n 1", node))[1:] == [
        "5 earlier; `-n 6` shows them",
        "first for which it holds: record 2",
    ]
    assert len(run("blame kv2 x -n 6", node).lines) == 6


def test_when_finds_the_first_record_or_ends_as_grep_does(node: Node) -> None:
    found = run("when kv2 state.x > 1", node)
    assert (timeless(found), found.exit_code) == (["2 kv2 Store x 5 -> Ok x 1 -> 5 (+4)"], 0)
    none = run("when kv2 state.hold > 1", node)
    assert (none.exit_code, none.error) == (1, False)
    assert none.lines[0] == "it holds after no record that is remembered"
    assert "hold" in none.lines[1]


def test_diff_of_a_record_and_of_two(node: Node) -> None:
    assert timeless(run("diff 2", node)) == ["x 1 -> 5 (+4)"]
    assert timeless(run("diff", node, "1")) == ["x added 1"]
    assert timeless(run("diff 1 3", node)) == ["kv1 y added 2", "kv2 x 1 -> 5 (+4)"]
    assert run("diff 2 2", node).lines == ("nothing is different",)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("at 99", 4, "no record 99; the last one is 4"),
        ("state kv2 --at 99", 4, "no record 99"),
        ("diff 99", 4, "99"),
        ("at yesterday", 2, "`yesterday` is no place in time"),
        ("state kv2 --at yesterday", 2, "no place in time"),
        ("state kv2 --at fork7", 4, "no fork `fork7`"),
        ("back x", 2, "`back` takes a number of records from 1, not `x`"),
        ("back 0", 2, "from 1, not `0`"),
        ("back 1000000000", 2, "`back` takes a number of records below 1,000,000,000, not `1"),
        ("next --worker kv9", 4, "no worker `kv9` is there or remembered"),
        ("back --worker kv9", 4, "no worker `kv9` is there or remembered"),
        ("next --worker kv2", 4, "no such record"),
        ("blame kv9 x", 4, "no worker `kv9`"),
        ("when kv9 state.x > 1", 4, "no worker `kv9`"),
        ("why 99", 4, "99"),
    ],
)
def test_what_cannot_be_found_is_refused_with_a_code(
    node: Node, line: str, code: int, said: str
) -> None:
    result = run(line, node)
    assert (result.exit_code, result.error) == (code, True)
    assert said in result.lines[0]


def test_of_no_records_none_is_shown(node: Node) -> None:
    assert run("history -n 0", node).lines == ()
    assert run("history", node, "start").lines == ("no record here yet",)


@pytest.mark.parametrize("span", ["0s", "-1s", "1e9h", "nan", "3651d"])
def test_a_span_that_no_fork_is_advanced_by_is_told_with_both_bounds(node: Node, span: str) -> None:
    node.perform("fork")
    result = run(f"advance {span}", node, "fork1")
    assert result.exit_code == 2
    assert result.lines[0].endswith("; expected more than 0 s and at most 10 years")
    assert not run("advance 3650d", node, "fork1").error


def test_a_node_that_remembers_nothing_says_how_it_would() -> None:
    with with_past(Node(load_tree("trees/kv.yaml"), clock=ManualClock()), instant) as node:
        result = run("history", node)
    assert (result.exit_code, result.error) == (4, True)
    assert "`--history N`" in result.lines[0]


def test_a_fork_takes_calls_and_the_tree_of_now_does_not_see_them(node: Node) -> None:
    node.perform("fork", record="1")
    assert run("kv2 Store z 9", node, "fork1").lines == ("Ok",)
    assert run("state kv2", node, "fork1").lines == ('{"x": 1, "z": 9}',)
    assert run("state kv2", node).lines == ("{}",)


def test_a_worker_goes_before_a_verb_of_the_past_and_after_any_other() -> None:
    call = parse_line("back Greet ada", ["back", "log"])
    assert call is not None
    assert (call.verb, call.arguments) == ("call", {"worker": "back", "input": "Greet ada"})
    log = parse_line("log", ["back", "log"])
    assert log is not None
    assert log.verb == "log"
    assert parse_words(["back", "2"], []).verb == "back"


def test_log_and_crash_tell_the_record(node: Node) -> None:
    assert any(line.endswith("(record 4)") for line in run("log", node).lines)
    (told,) = [line for line in run("crash kv2", node).lines if line.startswith("record")]
    assert told == "record    4; `at 3` goes there, `at crash` to the last one"
    plain = Node(load_tree("trees/kv.yaml"), clock=ManualClock())
    with plain:
        run("kv2 Lookup crash", plain)
        assert not any("record" in line for line in run("log", plain).lines)
        assert not any(line.startswith("record") for line in run("crash", plain).lines)


def test_what_was_done_by_hand_is_told_in_the_words_of_the_command_line() -> None:
    worker = Worker("user", kv_store)
    tree = Supervisor("root", children=[
        Supervisor("users", "simple_one_for_one", [worker]), Worker("kv1", kv_store),
    ])  # fmt: skip
    with with_past(Node(tree, clock=ManualClock(), history=100), instant) as node:
        node.start_child("users", "ann", {"password": "s3cret"})
        node.terminate_child("users", "ann")
        node.replace_state("kv1", {"x": 1})
        node.recode_pool("users", kv_store)
        told = [line.split(maxsplit=2)[2] for line in run("history", node).lines]
    assert told == [
        "users  start-child ann (args: password)", "ann  start", "users  terminate-child ann",
        'kv1  set {"x": 1}  x added 1', "users  reload ssm_cli.machines.kv:step",
    ]  # fmt: skip
