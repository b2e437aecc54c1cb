"""The verb `apply`: what it shows, when it asks, and what it exits with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import ManualClock, MemoryStore, Node, load_tree
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.results import Result
from ssm_cli.commands.voice import report_line
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode

WORKER = "  - {{worker: {0}, start: ssm_cli.machines.kv:kv_store{1}}}\n"
FAILS = "  - {worker: c, start: ./fails.py:fails}\n"
CODE = """
from ssm_cli import StateMachine
def init(name, args):
    raise OSError("no disk")
fails = StateMachine(step=print, init=init)
"""


def write(file: Path, *children: str, more: str = "") -> None:
    file.write_text(f"supervisor: root\n{more}children:\n{''.join(children)}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kv.yaml"
    write(path, WORKER.format("kv1", ""), WORKER.format("kv2", ""))
    return path


@pytest.fixture
def node(file: Path) -> Iterator[Node]:
    with Node(load_tree(file), clock=ManualClock()) as node:
        node.file = str(file)
        yield node


def change(file: Path) -> None:
    args = ", args: {password: s3cret}"
    write(file, WORKER.format("kv2", args), WORKER.format("kv3", ""))


def run(node: Node, line: str) -> Result:
    command = parse_line(line, ())
    assert command is not None
    return execute(command, node)


STEPS = (
    "stop     root/kv1   gone from the file",
    "restart  root/kv2   args: password",
    "start    root/kv3   new",
)


def test_what_has_not_changed_needs_nothing(node: Node) -> None:
    for line in ("apply", "apply --dry-run", "apply --yes", "apply --no"):
        result = run(node, line)
        assert (result.lines, result.exit_code, result.question) == (
            ("nothing to do: 3 nodes stay as they are",), 0, None,
        )  # fmt: skip


def test_the_plan_is_shown_and_nothing_is_done_until_somebody_agrees(
    node: Node, file: Path
) -> None:
    change(file)
    was = node.digest()
    dry = run(node, "apply --dry-run")
    assert (dry.lines[:3], dry.exit_code) == (STEPS, 0)
    assert dry.lines[3].startswith("1 node stays as it is   plan ")
    no = run(node, "apply --no")
    assert (no.lines, no.exit_code) == ((*dry.lines, "nothing was changed"), ExitCode.DENIED)
    unasked = run(node, "apply")
    assert unasked.lines == (
        *dry.lines, "nothing was changed: say `--yes` to apply that, or `--no`",
    )  # fmt: skip
    assert (unasked.exit_code, unasked.asking.lines) == (ExitCode.USAGE, dry.lines)
    assert node.digest() == was
    assert "s3cret" not in "".join(dry.lines)


def test_who_agrees_gets_what_was_shown(node: Node, file: Path) -> None:
    change(file)
    question = run(node, "apply").question
    assert question is not None
    assert question.text == "apply 3 steps"
    done = execute(question.then, node)
    assert done.lines == (*STEPS, "3 steps done; nothing else was touched")
    assert [one.id for one in node.which_children("root")] == ["kv3", "kv2"]
    assert [report_line(r).partition("applied: ")[2] for r in node.reports()
            if r.event == "applied"] == [
        "stop (1 of 3): gone from the file", "restart (2 of 3): args: password",
        "start (3 of 3): new",
    ]  # fmt: skip


def test_a_plan_that_became_stale_is_shown_again_and_asked_about_again(
    node: Node, file: Path
) -> None:
    change(file)
    question = run(node, "apply").question
    assert question is not None
    node.kill("kv2")
    node.run()
    again = execute(question.then, node)
    assert again.lines[0] == "the plan has become another one meanwhile:"
    assert again.lines[1:4] == STEPS
    assert node.whereis("kv3") is None
    assert again.question is not None
    assert execute(again.question.then, node).exit_code == 0
    assert node.whereis("kv3") is not None


def test_in_json_a_plan_and_what_was_done_are_one_value_each(node: Node, file: Path) -> None:
    change(file)
    (plan,) = run(node, "apply --dry-run -o json").records
    assert isinstance(plan, dict)
    assert [(step["act"], step["id"]) for step in plan["steps"]] == [
        ("stop", "kv1"), ("restart", "kv2"), ("start", "kv3"),
    ]  # fmt: skip
    assert (plan["v"], plan["type"], plan["same"], plan["refused"]) == (1, "plan", 1, ())
    (done,) = run(node, "apply --yes -o json").records
    assert isinstance(done, dict)
    assert (done["type"], len(done["done"]), done["failed"], done["left"]) == (
        "applied", 3, None, (),
    )  # fmt: skip


def test_a_start_that_fails_says_what_was_done_and_what_was_not(node: Node, file: Path) -> None:
    file.with_name("fails.py").write_text(CODE)
    write(file, WORKER.format("kv2", ""), FAILS, WORKER.format("kv3", ""))
    result = run(node, "apply --yes")
    assert (result.exit_code, result.error) == (ExitCode.REFUSED, True)
    assert result.lines[0] == STEPS[0]
    assert result.lines[1:] == (
        "not done: start root/c: OSError: no disk",
        "1 step done, 1 not begun:", "  start    root/kv3   new",
        "root/c is stopped, and the rest goes on; `apply` again goes on from here",
    )  # fmt: skip


def test_a_restart_that_fails_says_that_what_ran_is_down(node: Node, file: Path) -> None:
    file.with_name("fails.py").write_text(CODE)
    write(file, WORKER.format("kv1", ""), FAILS.replace("worker: c", "worker: kv2"))
    result = run(node, "apply --yes")
    assert (result.exit_code, node.whereis("kv2")) == (ExitCode.REFUSED, None)
    assert result.lines == (
        "not done: restart root/kv2: OSError: no disk", "0 steps done, 0 not begun",
        "root/kv2 is stopped, and the rest goes on; `apply` again goes on from here",
    )  # fmt: skip
    (done,) = run(node, "apply --yes -o json").records
    assert isinstance(done, dict)
    assert (done["failed"]["act"], done["state"]) == ("start", "stopped")


def test_why_a_child_did_not_start_is_in_every_refusal(node: Node, file: Path) -> None:
    file.with_name("fails.py").write_text(CODE)
    worker = f"{{worker: c, start: {file.with_name('fails.py')}:fails}}"
    for spec in (worker, f"{{supervisor: s, children: [{worker}]}}"):
        (refused,) = run(node, f"start-child root {spec}").lines
        assert "failed to start: " in refused
        assert "; OSError: no disk, at " in refused
        assert "fails.py:4" in refused
    below = "  - supervisor: s\n    children:\n    - {worker: c, start: ./fails.py:fails}\n"
    write(file, WORKER.format("kv1", ""), WORKER.format("kv2", ""), below)
    not_done = run(node, "apply --yes").lines[0]
    assert not_done.startswith("not done: start root/s: ")
    assert "OSError: no disk" in not_done


def test_what_cannot_be_applied_is_shown_with_the_plan(node: Node, file: Path) -> None:
    durable = WORKER.format("kv1", ", persist: journal")
    write(file, durable, WORKER.format("kv2", ", persist: snapshot"))
    for line in ("apply", "apply --dry-run", "apply --yes"):
        result = run(node, line)
        assert (result.exit_code, result.error, result.question) == (ExitCode.REFUSED, True, None)
        assert [one for one in result.lines if "has no store" in one] == list(result.lines[-2:])


def test_a_file_with_mistakes_is_refused_with_a_line_for_each(node: Node, file: Path) -> None:
    file.write_text("supervisor: root\nintensity: -1\nperiod: x\nchildren: []\n")
    result = run(node, "apply")
    assert (result.exit_code, result.error) == (ExitCode.USAGE, True)
    assert [line.rpartition(": ")[0].count("kv.yaml:") for line in result.lines[1:]] == [1, 1]


def test_another_file_is_named_from_where_one_stands(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.yaml", WORKER.format("kv1", ""))
    assert run(node, "apply other.yaml --dry-run").lines[0] == (
        "stop     root/kv2   gone from the file"
    )
    assert run(node, "apply othr.yaml").exit_code == ExitCode.USAGE


def test_a_tree_of_no_file_says_that_one_is_to_be_named(file: Path) -> None:
    with Node(load_tree(file), clock=ManualClock()) as node:
        result = run(node, "apply")
        assert (result.exit_code, result.error) == (ExitCode.USAGE, True)
        assert "name one" in result.lines[0]


@pytest.mark.parametrize("both", ["--yes --no", "--dry-run --yes", "--dry-run --no"])
def test_two_answers_at_once_are_none(node: Node, both: str) -> None:
    result = run(node, f"apply {both}")
    assert (result.exit_code, "not both" in result.lines[0]) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("line", ["apply a b", "apply --force", "apply -o yaml"])
def test_what_is_no_such_command_is_told_with_its_column(line: str) -> None:
    with pytest.raises(CommandError) as raised:
        parse_line(line, ())
    assert raised.value.column > 1


def test_specs_alone_start_and_stop_nothing(node: Node, file: Path) -> None:
    change(file)
    lives = [node.whereis(name) for name in ("kv1", "kv2")]
    result = run(node, "apply --specs --yes")
    assert (result.exit_code, result.lines[:2]) == (
        0,
        (
            "change   root/kv2   args: password, from its next start on",
            "change   root/kv3   new: its spec is there, and it is not started",
        ),
    )
    assert [node.whereis(name) for name in ("kv1", "kv2")] == lives
    assert node.whereis("kv3") is None


KEPT = "  - {{worker: {0}, start: ssm_cli.machines.kv:kv_store, persist: journal}}\n"


@pytest.fixture
def held(file: Path) -> Iterator[Node]:
    """A tree whose one durable worker has another name in the file by now."""
    write(file, KEPT.format("old"), WORKER.format("kv2", ""))
    with Node(load_tree(file), clock=ManualClock(), store=MemoryStore()) as node:
        node.file = str(file)
        node.call("old", b"Store x 1")
        write(file, KEPT.format("new"), WORKER.format("kv2", ""))
        yield node


def test_what_is_started_and_held_back_is_no_success(held: Node) -> None:
    done = run(held, "apply --yes")
    assert (done.exit_code, done.error) == (ExitCode.NOT_RUNNING, False)
    assert done.lines[-2] == "2 steps done; nothing else was touched"
    assert done.lines[-1].startswith("down: root/new: new does not start (renamed)")
    (record,) = done.records
    assert isinstance(record, dict)
    assert [one["id"] for one in record["held"]] == ["new"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("apply --no", ExitCode.NOT_RUNNING), ("apply --yes", ExitCode.NOT_RUNNING),
        ("apply", ExitCode.NOT_RUNNING), ("apply --dry-run", ExitCode.DONE),
    ],
)  # fmt: skip
def test_what_is_held_back_is_told_where_nothing_is_to_do(
    held: Node, line: str, code: ExitCode
) -> None:
    run(held, "apply --yes")
    found = run(held, line)
    assert found.exit_code == code
    assert found.lines[0].startswith("nothing  root/new   it is down, and stays so: new does not")
    assert found.lines[-1] == "nothing to do: 3 nodes stay as they are"


@pytest.mark.parametrize("line", ["restart new", "restart-child root new"])
def test_to_start_what_is_held_back_says_what_to_do(held: Node, line: str) -> None:
    run(held, "apply --yes")
    found = run(held, line)
    assert (found.exit_code, found.error) == (ExitCode.IO_ERROR, True)
    assert "ssm data repair old --rename old new" in found.lines[0]


def test_what_was_put_right_in_the_file_is_started(held: Node, file: Path) -> None:
    run(held, "apply --yes")
    write(file, KEPT.format("old"), WORKER.format("kv2", ""))
    assert run(held, "apply --yes").exit_code == ExitCode.DONE
    assert held.call("old", b"Lookup x") == b"Result 1"
