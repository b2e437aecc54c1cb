from __future__ import annotations

import asyncio
import doctest
import itertools
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ssm_cli import Defer, ManualClock, Node, StateMachine, Supervisor, Worker, errors, exit_codes
from ssm_cli.commands import execute as execute_module
from ssm_cli.commands import records, text, values
from ssm_cli.commands.execute import aexecute, execute
from ssm_cli.commands.futures import SHOWN_AS
from ssm_cli.commands.handlers import HANDLERS
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.reload import RELOAD_SHOWN
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.scratch import SHOWN_BY
from ssm_cli.commands.verbs import VERBS
from ssm_cli.commands.voice import report_line
from ssm_cli.exit_codes import ExitCode, exit_code_of
from ssm_cli.history.past import with_past
from ssm_cli.runtime.views import NodeView, Report
from tests.commands.fake_node import FakeNode, TypedFakeNode, supervisor_view, worker_view


def ticking() -> Callable[[], float]:
    seconds = itertools.count()
    return lambda: next(seconds) / 1000


def run(line: str, node: FakeNode | None = None) -> Result:
    command = parse_line(line, ("kv1", "kv2"))
    assert command is not None
    return execute(command, node or FakeNode(), clock=ticking())


def arun(line: str, node: FakeNode) -> Result:
    command = parse_line(line, ("kv1", "kv2"))
    assert command is not None
    return asyncio.run(aexecute(command, node, clock=ticking()))


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (execute_module, exit_codes, records, text, values):
        assert doctest.testmod(module).failed == 0


def test_every_verb_has_a_handler_or_a_row_that_says_what_to_ask() -> None:
    assert set(HANDLERS) | {"call"} <= set(VERBS)
    past = {verb.name for verb in VERBS.values() if verb.section == "history"}
    assert past == {*SHOWN_BY, *SHOWN_AS, *RELOAD_SHOWN, "report"}
    apart = {*HANDLERS, *past, "call"}
    by_row = [verb for name, verb in VERBS.items() if name not in apart]
    assert [verb.name for verb in by_row if verb.route is None] == []
    shown = {"Done", "Child", "Statistics", "Counts", "ChildSpec", "Published"}
    assert {verb.route.answer for verb in by_row if verb.route is not None} <= shown


def test_a_call_shows_the_output_alone() -> None:
    node = FakeNode()
    result = run("kv2 Store x 1", node)
    assert (result.lines, result.exit_code, result.error) == (("Ok",), 0, False)
    assert node.asked == [("call", "kv2", b"Store x 1", 5.0)]


def test_a_reply_record_is_that_of_the_contract() -> None:
    result = run("call kv2 Lookup x", TypedFakeNode())
    assert json.loads(json.dumps(result.records)) == [
        {
            "v": 1,
            "type": "reply",
            "worker": "kv2",
            "input": "Lookup x",
            "outcome": "replied",
            "output": "Result 1",
            "value": {"type": "Result", "value": 1},
            "ms": 1.0,
        }
    ]
    assert list(records.reply_record("a", "b", "c", 1, 1))[:2] == ["v", "type"]


def test_a_call_means_the_same_inside_asyncio() -> None:
    assert arun("kv2 Lookup x", TypedFakeNode()) == run("kv2 Lookup x", TypedFakeNode())
    node = FakeNode()
    assert arun("call --timeout 2 kv2 Lookup x", node).lines == ("Ok",)
    assert node.asked == [("acall", "kv2", b"Lookup x", 2.0)]
    assert arun("state kv2", FakeNode()) == run("state kv2")


def test_bytes_that_are_no_utf8_reach_the_worker_as_they_are() -> None:
    node = FakeNode()
    result = run("kv2 \udcff", node)
    assert node.asked[0][2] == b"\xff"
    assert records.json_line(result.records[0]).isascii()


def test_a_crash_names_the_exception_of_the_step() -> None:
    crash = errors.CalleeCrashed(
        "kv2 crashed", worker="kv2", error=ZeroDivisionError("division by zero")
    )
    result = run("kv2 Lookup crash", FakeNode(crash))
    assert result.error
    assert result.lines == (
        (
            "kv2 crashed on `Lookup crash`: ZeroDivisionError: division by zero; "
            "`log` shows what its supervisor did"
        ),
    )
    assert result.records == (
        {
            "v": 1,
            "type": "reply",
            "worker": "kv2",
            "input": "Lookup crash",
            "outcome": "crashed",
            "error": {
                "type": "ZeroDivisionError",
                "message": "division by zero",
                "reason": "crash",
            },
            "ms": 1.0,
        },
    )


def test_an_exception_whose_text_cannot_be_made_is_shown_by_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    result = run("kv2 x", FakeNode(errors.CalleeCrashed("c", worker="kv2", error=Mute())))
    assert "<Mute that cannot be shown: RuntimeError>" in result.lines[0]


def test_an_undecodable_input_says_where_and_what_was_expected() -> None:
    wrong = errors.DecodeError(
        "expected an integer", worker="kv2", expected=("Store key:str value:int",), column=9
    )
    result = run("kv2 Store x a", FakeNode(wrong))
    record: Any = result.records[0]
    assert record["outcome"] == "undecodable"
    assert (record["error"]["column"], record["error"]["expected"]) == (
        9,
        ["Store key:str value:int"],
    )
    assert "kv2 was not touched at column 9 of the input" in result.lines[0]


OUTCOMES: list[tuple[errors.SsmError, str, ExitCode]] = [
    (errors.CalleeCrashed("x"), "crashed", ExitCode.CRASHED),
    (errors.CalleeStopped("x"), "stopped", ExitCode.REFUSED),
    (errors.NoProc("x"), "noproc", ExitCode.REFUSED),
    (errors.CallTimeout("x"), "timeout", ExitCode.TIMEOUT),
    (errors.DecodeError("x"), "undecodable", ExitCode.UNDECODABLE),
    (errors.QueueFull("x"), "queue_full", ExitCode.QUEUE_FULL),
    (errors.Denied("x"), "denied", ExitCode.DENIED),
]


@pytest.mark.parametrize(("error", "outcome", "code"), OUTCOMES)
def test_each_outcome_has_its_exit_code(
    error: errors.SsmError, outcome: str, code: ExitCode
) -> None:
    result = run("kv2 x", FakeNode(error))
    record: Any = result.records[0]
    assert (record["outcome"], result.exit_code, result.error) == (outcome, code, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SupervisorError("x", term="not_found"), 4),
        (errors.StartFailed("x", term="t"), 1),
        (errors.GaveUp("x"), 7),
        (errors.TreeFileError("x"), 2),
        (errors.CommandError("x"), 2),
        (errors.NoTree("x"), 5),
        (errors.CalledFromStep("x"), 1),
        (errors.SsmError("x"), 1),
        (KeyError("x"), 70),
    ],
)
def test_each_error_class_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


def test_the_exit_codes_are_those_of_the_contract() -> None:
    assert sorted(ExitCode) == [*range(10), 70, 74, 124, 130, 141, 143]


def test_a_refusal_of_a_supervisor_carries_its_term() -> None:
    result = run("get-childspec root gone")
    assert (result.exit_code, result.error) == (4, True)
    assert result.records == (
        {
            "v": 1,
            "type": "error",
            "error": {
                "type": "SupervisorError",
                "message": "root has no child `gone`",
                "term": "not_found",
            },
        },
    )


def test_a_line_that_is_no_command_is_an_error_record_with_its_column() -> None:
    result = refused(errors.CommandError("no", column=3))
    assert result.records == (
        {"v": 1, "type": "error", "error": {"type": "CommandError", "message": "no", "column": 3}},
    )
    assert (result.lines, result.exit_code) == (("column 3: no",), 2)


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("cast kv2 Store x 1", ("cast", "kv2", b"Store x 1")),
        ("suspend kv2", ("suspend", "kv2")),
        ("resume kv2", ("resume", "kv2")),
        ("trace kv2", ("trace", "kv2", True)),
        ("trace kv2 off", ("trace", "kv2", False)),
        ("kill kv2", ("kill", "kv2")),
        ("set kv2 [1]", ("replace_state", "kv2", [1])),
        ("terminate-child root kv2", ("terminate_child", "root", "kv2")),
        ("delete-child root kv2", ("delete_child", "root", "kv2")),
        ("stop", ("stop", "shutdown")),
    ],
)
def test_a_request_reaches_the_tree_and_is_done(line: str, asked: tuple[object, ...]) -> None:
    node = FakeNode()
    result = run(line, node)
    assert (node.asked, result.lines, result.exit_code) == ([asked], ("ok",), 0)
    record: Any = result.records[0]
    assert (record["type"], record["verb"]) == ("done", line.partition(" ")[0])


def test_start_child_takes_a_label_and_names_the_child() -> None:
    node = FakeNode()
    assert run("start-child pool session-1", node).lines == ("child1",)
    assert node.asked == [("start_child", "pool", "session-1")]


def test_start_child_takes_a_mapping_as_in_a_tree_file() -> None:
    node = FakeNode()
    spec = "{worker: kv9, start: 'ssm_cli.machines.kv:kv_store', restart: transient}"
    run(f"start-child root {spec}", node)
    given: Any = node.asked[0][2]
    assert (given.id, given.restart.value) == ("kv9", "transient")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("{worker: kv9", "SPEC is no child spec"),
        ("{worker: kv9}", "start"),
        ("{worker: kv9, restart: maybe, start: 'ssm_cli.machines.kv:kv_store'}", "column 24"),
        ("{worker: a, start: 'ssm_cli.machines.kv:kv_store'}, {}", "SPEC is no child spec"),
    ],
)
def test_a_mapping_that_is_no_child_spec_is_refused_with_its_column(spec: str, says: str) -> None:
    node = FakeNode()
    result = run(f"start-child root {spec}", node)
    assert (result.exit_code, node.asked) == (2, [])
    assert says in result.lines[0]


def test_a_child_whose_init_ignores_is_said_to_be() -> None:
    result = run("restart-child root kv2")
    record: Any = result.records[0]
    assert (result.lines, record["child"]) == (("ignored",), None)


def test_the_state_is_text_as_the_codec_writes_it_and_json_as_data() -> None:
    assert run("state kv2").lines == ("{'x': 1}",)
    assert run("state kv2 -o json").lines == ('{"x":1}',)
    assert run("state kv9").exit_code == 4


def test_a_state_that_is_no_json_is_refused_and_nothing_is_set() -> None:
    node = FakeNode()
    result = run("set kv2 {x", node)
    assert (result.exit_code, node.asked) == (2, [])
    assert "VALUE is no JSON" in result.lines[0]


def test_a_state_is_set_in_the_type_it_has() -> None:
    node = FakeNode()
    node.state = frozenset({1})
    run("set kv2 [2, 2]", node)
    assert node.state == frozenset({2})


def test_questions_to_a_supervisor_answer_one_value() -> None:
    assert run("which-children root").lines == (
        "kv2  worker      running",
        "kv1  worker      undefined",
    )
    assert run("count-children root -o json").lines == (
        '{"specs":2,"active":1,"supervisors":0,"workers":2}',
    )
    assert json.loads(run("get-childspec root kv1 -o json").lines[0])["restart"] == "permanent"
    assert run("stats kv1").lines[1] == "steps:    3"


def test_the_tree_is_a_table_indented_by_depth() -> None:
    assert run("tree").lines == (
        "NAME   STRATEGY     STATE    RESTARTS       BUDGET  QUEUE",
        "root   one_for_one  running         0  1/3, 2 left      0",
        "  kv1  -            running         1            -      0",
        "  kv2  -            running         1            -      0",
    )


def test_the_tree_as_json_is_nested_and_workers_lack_what_supervisors_have() -> None:
    tree = json.loads(run("tree -o json").lines[0])
    assert list(tree) == [
        *("id", "path", "kind", "state", "restarts", "uptime_s", "queue"),
        *("strategy", "intensity", "period", "budget_left", "children"),
    ]
    assert tree["children"][0] == {
        "id": "kv1",
        "path": "root/kv1",
        "kind": "worker",
        "state": "running",
        "restarts": 1,
        "uptime_s": 2.5,
        "queue": 0,
    }


def test_the_tree_as_dot_quotes_what_it_must() -> None:
    odd = NodeView('a"b', 'root/a"b', "worker", "stopped")
    lines = run("tree -o dot", FakeNode(view=supervisor_view(odd))).lines
    assert '  "root" -> "root/a\\"b";' in lines
    assert lines[0] == "digraph tree {"
    assert lines[-1] == "}"


@pytest.mark.parametrize(
    ("state", "restart", "code"),
    [
        ("running", "permanent", 0),
        ("suspended", "permanent", 0),
        ("restarting", "transient", 3),
        ("unreachable", "permanent", 3),
        ("stopped", "permanent", 3),
        ("stopped", "transient", 0),
    ],
)
def test_tree_fails_if_something_that_should_run_does_not(
    state: str, restart: str, code: int
) -> None:
    node = FakeNode(view=supervisor_view(worker_view("kv1"), worker_view("kv2", state)))
    node.restart_type = restart
    assert run("tree", node).exit_code == code


def test_tree_fails_if_the_root_is_down() -> None:
    assert run("tree", FakeNode(view=supervisor_view(state="stopped"))).exit_code == 3


def test_a_child_whose_spec_is_gone_need_not_run() -> None:
    view = supervisor_view(worker_view("gone", "stopped"))
    assert run("tree", FakeNode(view=view)).exit_code == 0


CRASHED = Report(
    7,
    1769860800.123456,
    "crashed",
    "kv2",
    "root/kv2",
    "worker",
    {"reason": "crash", "error": {"type": "KeyError", "message": "'\x1b[2J'"}},
)


def test_the_log_shows_the_last_reports() -> None:
    node = FakeNode()
    node.kept = [Report(n, 0.0, "started", "kv1", "root/kv1", "worker") for n in (1, 2)]
    node.kept.append(CRASHED)
    assert len(run("log", node).lines) == 3
    assert run("log -n 0", node).lines == ()
    line = run("log -n 1", node).lines[0]
    assert line.endswith("✖ kv2 crashed KeyError: '\\x1b[2J'")


def test_a_report_record_is_that_of_the_contract() -> None:
    record = records.report_record(CRASHED)
    assert list(record.items())[:8] == [
        ("v", 1),
        ("type", "report"),
        ("seq", 7),
        ("at", "2026-01-31T12:00:00.123456Z"),
        ("event", "crashed"),
        ("id", "kv2"),
        ("path", "root/kv2"),
        ("kind", "worker"),
    ]
    assert record["reason"] == "crash"


def test_a_decision_of_a_supervisor_fits_one_line() -> None:
    detail = {
        "strategy": "rest_for_one",
        "children": ["kv2", "kv3"],
        "restarts": 1,
        "intensity": 3,
        "period": 5,
    }
    report = Report(8, 0.0, "restarting", "storage", "root/storage", "supervisor", detail)
    assert report_line(report).endswith(
        "↻ storage restarting rest_for_one: kv2 kv3 (1 of 3 restarts in 5 s)"
    )


def test_an_output_cannot_move_the_cursor() -> None:
    assert run("kv2 x", FakeNode(b"\x1b[2J\xff\nb")).lines == ("\\x1b[2J\\xff", "b")


def test_help_lists_the_verbs_and_explains_one() -> None:
    assert any(line.startswith("call WORKER INPUT") for line in run("help").lines)
    assert run("help exit").lines[0].startswith("quit")
    result = run("help cal")
    assert result.exit_code == 2
    assert "did you mean `call`?" in result.lines[0]


def test_quit_and_stop_end_the_session() -> None:
    assert run("quit").ends
    assert run("stop").ends
    assert not run("tree").ends


def test_a_call_in_a_fork_keeps_its_time_although_the_clock_of_the_fork_stands() -> None:
    def init(_name: str, _args: object) -> int:
        return 0

    waits = StateMachine(step=lambda _message, state: (state, None, [Defer("later")]), init=init)
    tree = Supervisor("root", children=[Worker("kv1", waits)])
    with with_past(Node(tree, clock=ManualClock(), history=16), str) as node:
        node.perform("fork")
        command = parse_line("call --timeout 0.05 kv1 x", ("kv1",))
        assert command is not None
        result = asyncio.run(aexecute(msgspec.structs.replace(command, at="fork1"), node))
        assert result.exit_code is ExitCode.TIMEOUT
        assert "kv1 did not answer within 0.05 s" in result.lines[0]
