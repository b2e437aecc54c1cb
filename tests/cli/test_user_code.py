"""The program beside workers that do not behave: their text, and what they make of the streams."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssm_cli import CalleeCrashed, Node, StateMachine, Supervisor, Worker
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.exit_codes import ExitCode
from tests.program import Ran, ssm

STEP = """\
import sys
from ssm_cli.behaviour.machine import StateMachine

{code}

def step(message, state):
    if message == "odd":
        act()
    elif message == "boom":
        raise ZeroDivisionError("division by zero")
    elif message == "print":
        print("printed")
    return state, message

echo = StateMachine(step=step)
"""
TEXTS = {
    "exits": "raise SystemExit(9)",
    "ends": "raise GeneratorExit",
    "is cancelled": "import asyncio; raise asyncio.CancelledError",
    "is no text": "return 7",
    "never ends": "for _ in iter(int, 1): pass",
    "calls itself": "return str(self)",
}
STREAMS = {
    "closed": "sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
    "closed below": "sys.stdout.buffer.close(); sys.stderr.buffer.close()",
    "taken apart": "sys.stdout.detach(); sys.stderr.detach(); sys.stdin.detach()",
    "gone": "sys.stdout = sys.stderr = sys.stdin = None",
    "numbers": "sys.stdout = sys.stderr = sys.stdin = 42",
    "deleted": "del sys.stdout, sys.stderr, sys.stdin",
    "other files": "import io; sys.stdout = io.StringIO(); sys.stderr = open('/dev/full', 'w')",
}


def ran(folder: Path, code: str, *commands: str, given: str = "") -> Ran:
    """Run commands on a tree whose worker `w` does `act()` at the input `odd`."""
    (folder / "w.py").write_text(STEP.format(code=code))
    (folder / "t.yaml").write_text(
        "supervisor: r\nintensity: 9\nchildren:\n"
        "- {worker: w, start: './w.py:echo', step_timeout: 300}\n"
    )
    how = [option for command in commands for option in ("-c", command)]
    return ssm("run", "t.yaml", "--quiet", "--keep-going", *how, cwd=folder, given=given)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_exception_whose_text_misbehaves_is_a_crash_like_any_other(
    tmp_path: Path, text: str
) -> None:
    odd = f"class E(Exception):\n    def __str__(self):\n        {text}\n    __repr__ = __str__\n"
    run = ran(tmp_path, f"{odd}\ndef act(): raise E", "w one", "w odd", "w two", "crash w")
    assert run.returncode == ExitCode.CRASHED
    assert run.stdout.splitlines()[:2] == ["one", "two"]
    assert "w crashed on `odd`: E: <E that cannot be shown: " in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_its_record_is_a_reply_like_any_other(tmp_path: Path, text: str) -> None:
    odd = f"class E(Exception):\n    def __str__(self):\n        {text}\n"
    run = ran(tmp_path, f"{odd}\ndef act(): raise E", "call -o json w odd", "w two")
    record = json.loads(run.stdout.splitlines()[0])
    assert record["outcome"] == "crashed"
    assert record["error"]["message"].startswith("<E that cannot be shown: ")


@pytest.mark.parametrize("code", STREAMS.values(), ids=STREAMS)
def test_whatever_a_worker_makes_of_the_streams_the_program_writes_on(
    tmp_path: Path, code: str
) -> None:
    body = code.replace("; ", "\n    ")
    run = ran(tmp_path, f"def act():\n    {body}\n", "w print", "w odd", "w boom", "w two")
    assert run.stdout.splitlines() == ["printed", "print", "odd", "two"]
    assert "w crashed on `boom`: ZeroDivisionError" in run.stderr
    assert run.returncode == ExitCode.CRASHED
    assert "defect" not in run.stderr


@pytest.mark.parametrize("code", STREAMS.values(), ids=STREAMS)
def test_so_it_does_where_the_file_of_the_worker_does_it(tmp_path: Path, code: str) -> None:
    body = code.replace("; ", "\n")
    run = ran(tmp_path, f"def act(): pass\n{body}\n", given="w one\nw two\n")
    assert run.stdout.splitlines() == ["one", "two"]
    assert run.returncode == ExitCode.DONE


def test_what_workers_print_stands_between_the_results(tmp_path: Path) -> None:
    run = ran(tmp_path, "def act(): print('no end of line', end='')", "w print", "w one", "w print")
    assert run.stdout.splitlines() == ["printed", "print", "one", "printed", "print"]


def test_to_show_a_crash_runs_no_code_of_the_worker_any_more() -> None:
    asked: list[int] = []

    class Asked(Exception):
        def __str__(self) -> str:
            asked.append(1)
            return "no"

    def step(_message: object, _state: object) -> tuple[object, object]:
        raise Asked

    with Node(Supervisor("r", children=[Worker("w", StateMachine(step=step))])) as node:
        command = parse_line("w x", node.names("worker"))
        assert command is not None
        line = execute(command, node).lines[0]
        assert line.startswith("w crashed on `x`: Asked: no")
        assert len(asked) == 1
        try:
            node.call("w", "x")
        except CalleeCrashed as error:
            assert error.said == "no"  # noqa: PT017 - it is what the text above was made of
