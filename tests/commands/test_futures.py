"""How the answers of `chaos`, `check-policy` and `fuzz` are shown, and what they do to files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, Worker, load_tree
from ssm_cli.commands.execute import execute
from ssm_cli.commands.futures import decision_text, matrix_lines, timeline_lines
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.commands.results import Result
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.machines.kv import Lookup, kv_store
from ssm_cli.simulation.asking import with_futures
from tests.architecture.source import ROOT

KV = ROOT / "trees" / "kv.yaml"
WEAK = """\
supervisor: weak
intensity: 0
children:
- {worker: w, start: "ssm_cli.machines.kv:kv_store"}
"""
POOL = """\
supervisor: root
children:
- supervisor: pool
  strategy: simple_one_for_one
  children:
  - {worker: w, start: "ssm_cli.machines.kv:kv_store"}
"""


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(load_tree(KV), clock=ManualClock(), history=100) as node:
        node.call("kv1", b"Store x 1")
        yield with_futures(node, instant)


def run(line: str, api: Any) -> Result:
    command = parse_line(line, ["kv1", "kv2", "kv3"])
    assert command is not None
    return execute(command, api)


def test_a_run_that_survives_ends_in_a_table_and_the_command_that_does_the_same(node: Node) -> None:
    result = run("chaos --seed 3 --steps 40", node)
    assert result.exit_code == ExitCode.DONE
    assert result.lines[0].startswith("root survived 40 steps in ")
    assert result.lines[1].split("  ")[0] == "supervisor"
    assert result.lines[-1] == "the same again: chaos --seed 3 --steps 40 --for 144s --at 1"


def test_a_run_that_takes_the_root_down_says_how_and_exits_with_3(node: Node) -> None:
    result = run("chaos --steps 50 --crash kv1=100%", node)
    assert result.exit_code == ExitCode.NOT_RUNNING
    assert "         0 s  crash kv1" in result.lines
    assert any(line.endswith("root gives up (4 of 3 in 5 s)") for line in result.lines)


def test_what_no_test_may_be_written_of_is_told_in_one_sentence_and_what_was_tried_below() -> None:
    def step(message: Lookup, state: str) -> Any:
        raise ValueError

    hidden = StateMachine(
        step=step, init=lambda *_: "SECRET", inputs=Lookup, redact=lambda _: "***"
    )
    tree = Supervisor("root", children=[Worker("kv1", hidden)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        result = run("fuzz kv1", with_futures(node, instant))
    assert result.exit_code == ExitCode.NOT_RUNNING
    found, tried, again = result.lines
    assert found.startswith("kv1: ValueError after 1 input, the last of them `")
    assert found.endswith("; shrink it where the worker has no `redact`")
    assert tried == "tried: 1 input in 1 session"
    assert again.startswith("the same again: fuzz kv1 ")


def test_weights_may_be_given_in_one_option_or_in_several(node: Node) -> None:
    once = run("chaos --steps 20 --kill kv1=5%,kv2=10%", node)
    more = run("chaos --steps 20 --kill 'kv1'=5% --kill kv2=10%", node)
    assert once.lines == more.lines
    assert "--kill kv1=5%,kv2=10%" in once.lines[-1]


def test_a_page_of_a_run_is_one_html_document(node: Node) -> None:
    text = "\n".join(run("chaos --steps 20 -o html", node).lines)
    assert text.startswith("<!DOCTYPE html>")
    assert "kv1" in text


def test_a_record_has_what_the_lines_tell(node: Node) -> None:
    (line,) = run("check-policy --faults 1 -o json", node).lines
    told = json.loads(line)
    assert (told["type"], told["v"], told["survived"]) == ("policy", 1, True)
    assert told["matrix"] == {"kv1": [], "kv2": ["kv3"], "kv3": []}


def test_a_tree_of_a_file_is_asked_without_a_tree_that_runs(tmp_path: Path) -> None:
    weak = tmp_path / "weak.yaml"
    weak.write_text(WEAK)
    result = run(f"check-policy {weak} --faults 1", None)
    assert result.lines[0] == (
        "weak goes down in 1 of 1 placement of up to 1 fault (1 state); the shortest:"
    )
    assert run(f"chaos {weak} --steps 5 --kill 100%", None).exit_code == ExitCode.NOT_RUNNING


def test_a_mistake_in_a_tree_file_is_told_with_its_place(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("supervisor: root\nstrategy: sideways\n")
    for verb in ("chaos", "check-policy"):
        result = run(f"{verb} {bad}", None)
        assert result.error
        assert result.exit_code == ExitCode.USAGE
        assert f"{bad}:2:" in result.lines[0]


def test_what_fuzz_finds_is_written_as_a_test_of_that_folder(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "test_kv1.py"
    result = run(f"fuzz kv1 --seed 1 -o {file}", node)
    assert result.exit_code == ExitCode.NOT_RUNNING
    assert result.lines[0].endswith(f"{file} fails likewise")
    assert "def test_kv1_zero_division_error_in_step():" in file.read_text()


def test_fuzz_begins_at_a_record_and_says_so(node: Node) -> None:
    node.call("kv1", b"Store y 2")
    result = run("fuzz kv1 --from 1 --steps 3 --seed 2", node)
    assert result.lines[-1] == "the same again: fuzz kv1 --seed 2 --steps 3 --at 1"


def test_a_rule_that_was_never_known_is_no_success(node: Node) -> None:
    result = run("fuzz kv2 --steps 1 --invariant 'state.no.such > 0'", node)
    assert result.exit_code == ExitCode.USAGE
    assert "nothing found, but the rule was not known" in result.lines[0]
    assert "`state` has no .no" in result.lines[1]


def test_a_mistake_in_a_rule_is_shown_with_its_column() -> None:
    with pytest.raises(CommandError) as refused:
        parse_line("fuzz kv1 --invariant state +", ["kv1"])
    assert refused.value.column > 20
    assert refused.value.excerpt


@pytest.mark.parametrize(
    "words", ["--seed x", "--steps -1", "--for soon", "--crash 0%", "--skip a"]
)
def test_an_option_that_says_nothing_of_use_is_refused_in_one_line(words: str, node: Node) -> None:
    result = run(f"chaos {words}", node)
    assert (result.error, result.exit_code, len(result.lines)) == (True, ExitCode.USAGE, 1)


def test_nothing_of_a_name_or_an_input_escapes_into_the_terminal() -> None:
    row = {
        "at_s": 0.0,
        "fault": "input",
        "worker": "w\x1b[31m",
        "input": "x\x1b]0;t\x07",
        "then": [],
    }
    assert not any("\x1b" in line for line in timeline_lines([row]))


def test_many_workers_are_listed_where_they_take_others_down() -> None:
    matrix: dict[str, list[str]] = {f"w{n}": [] for n in range(30)}
    matrix["w3"] = ["w4", "w5", "w6", "w7", "w8"]
    assert matrix_lines(matrix) == [
        "crash of  takes down",
        "w3        w4, w5, w6 and 2 more",
        "all others go alone",
    ]
    assert matrix_lines(None) == ["too many workers for a matrix"]


def test_a_delay_is_told_in_seconds() -> None:
    limits = {"restarts": 1, "intensity": 3, "period": 5.0}
    one = {"event": "delayed", "supervisor": "s", "child": "w", "delay_ms": 250, **limits}
    assert decision_text(one) == "s restarts w in 0.25 s (1 of 3 in 5 s)"


def test_a_tree_that_is_down_is_not_forked() -> None:
    tree = Supervisor("root", children=[Worker("kv1", kv_store)])
    node = with_futures(Node(tree, clock=ManualClock()).start(), instant)
    node.stop()
    for line in ("chaos --steps 5", "check-policy", "fuzz kv1"):
        result = run(line, node)
        assert "root does not run there" in result.lines[0]


@pytest.mark.parametrize("words", ["--every", "gave_up"])
def test_what_is_told_of_many_workers_is_no_test_and_writes_no_file(
    node: Node, tmp_path: Path, words: str
) -> None:
    file = tmp_path / "test_all.py"
    result = run(f"shrink {words} -o {file}", node)
    assert (result.error, result.exit_code) == (True, ExitCode.USAGE)
    assert f"`shrink {words}` writes no test" in result.lines[0]
    assert not file.exists()


def test_the_command_that_is_told_outside_names_the_tree(node: Node) -> None:
    command = parse_line("fuzz kv2 --steps 3", ["kv2"])
    assert command is not None
    asked = msgspec.structs.replace(command, door="--name kv")
    assert execute(asked, node).lines[-1].startswith("the same again: ssm fuzz kv2 --seed 1 ")
    assert execute(asked, node).lines[-1].endswith(" --name kv")


def test_nothing_tried_is_no_pass(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(POOL)
    for verb in ("check-policy", "chaos"):
        result = run(f"{verb} {file}", None)
        assert result.exit_code == ExitCode.USAGE
        assert "not tried: pool, a pool without children" in "\n".join(result.lines)
        assert "survive" not in result.lines[0]
