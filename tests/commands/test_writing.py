"""Verbs that write a file write over none that is somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli import CallError, ManualClock, Node, load_tree
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.commands.results import Result
from ssm_cli.simulation.asking import with_futures

VERBS = {
    "save": "save {file}",
    "report": "report {file}",
    "shrink": "shrink -o {file}",
    "fuzz": "fuzz kv2 --steps 2000 -o {file}",
}


def ran(line: str) -> Result:
    with Node(load_tree("trees/kv.yaml"), clock=ManualClock(), history=100) as node:
        with_futures(node, instant)
        with pytest.raises(CallError):
            node.call("kv2", b"Lookup crash")
        command = parse_line(line, ["kv2"])
        assert command is not None
        return execute(command, node)


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_of_somebody_else_stays_unless_it_is_forced(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes\n")
    line = VERBS[verb].format(file=file)
    refused = ran(line)
    assert (refused.error, refused.exit_code.name) == (True, "USAGE")
    assert f"{file} is there, and no file that `{verb}` has written" in refused.lines[0]
    assert file.read_text() == "my notes\n"
    assert not ran(line.replace(verb, f"{verb} --force", 1)).error
    assert b"my notes" not in file.read_bytes()


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_the_verb_has_written_and_an_empty_one_are_written_over(
    tmp_path: Path, verb: str
) -> None:
    file = tmp_path / "test_it.py"
    file.touch()
    line = VERBS[verb].format(file=file)
    for _ in range(2):
        assert not ran(line).error
        assert file.stat().st_size > 100


@pytest.mark.parametrize("verb", ["save", "report", "shrink"])
def test_a_file_of_another_verb_is_not_its_own(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "test_it.py"
    other = "report" if verb == "save" else "save"
    assert not ran(VERBS[other].format(file=file)).error
    assert ran(VERBS[verb].format(file=file)).error


def test_a_file_is_named_from_home_by_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for verb in ("save", "report", "shrink"):
        assert not ran(VERBS[verb].format(file=f"~/{verb}.py")).error
        assert (tmp_path / f"{verb}.py").is_file()
