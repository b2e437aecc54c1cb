"""Lines that are meant for a fork which could not be made reach no other tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.program import Ran, ssm

TREE = """\
supervisor: root
children:
  - {worker: kv1, start: "ssm_cli.machines.kv:kv_store"}
"""
AFTER = "kv1 Lookup x\n"
LOST = "may be meant for where that leads"
WAYS = {
    "run": ["run", "t.yaml", "--quiet", "--keep-going", "--script", "s.ssm"],
    "run, from a pipe": ["run", "t.yaml", "--quiet", "--keep-going"],
    "script --tree": ["script", "--tree", "t.yaml", "--keep-going", "s.ssm"],
    "script": ["script", "--keep-going", "s.ssm"],
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(TREE)


def ran(script: str, way: str = "run, from a pipe") -> Ran:
    Path("s.ssm").write_text(script)
    if way != "script":
        return ssm(*WAYS[way], given=script)
    assert ssm("run", "t.yaml", "--headless", "--detach", "--history", "1000").returncode == 0
    try:
        return ssm(*WAYS[way])
    finally:
        ssm("stop", "t")


@pytest.mark.parametrize(
    ("way", "fork"),
    [
        ("run", "fork 99999"),
        ("run, from a pipe", "fork --code none.py"),
        ("run, from a pipe", "fork --cod x"),
        ("run, from a pipe", "frok"),
        ("script --tree", "fork $9"),
        ("script --tree", "at 99999"),
        ("script", "fork 99999"),
        ("script", "fork --cod x"),
    ],
)
def test_what_is_meant_for_a_fork_that_failed_is_not_done_to_the_live_tree(
    way: str, fork: str
) -> None:
    run = ran(f"{fork}\nkv1 Store x 1\nset kv1 {{}}\nnow\n{AFTER}", way)
    assert run.returncode in (2, 4), run.stderr
    assert run.stdout.splitlines()[-1] == "Result None", run.stderr
    assert run.stderr.count(LOST) == 2


def test_leaving_the_fork_that_was_not_made_is_what_ends_its_lines() -> None:
    run = ran(f"fork 99999\nkv1 Store x 1\ndrop\n{AFTER}kv1 Store x 2\n{AFTER}")
    assert run.stdout.splitlines() == ["Result None", "Ok", "Result 2"]
    assert run.stderr.count(LOST) == 2


def test_a_fork_within_one_that_was_not_made_is_not_made_and_left_by_itself() -> None:
    inner = "fork\nkv1 Store x 1\ndrop\nkv1 Store x 2\n"
    run = ran(f"fork 99999\n{inner}drop\n{AFTER}forks\n")
    assert run.stdout.splitlines() == ["Result None", "no forks"]
    assert run.stderr.count(LOST) == 5


def test_a_failed_fork_of_a_fork_does_not_give_its_lines_to_that() -> None:
    outer = "fork\nfork 99999\nkv1 Store x 1\ndrop\n"
    run = ran(f"{outer}{AFTER}drop\n{AFTER}")
    assert run.stdout.count("Result None") == 2
    assert run.stderr.count(LOST) == 2


def test_what_names_its_own_place_and_what_asks_no_tree_goes_on() -> None:
    run = ran("kv1 Store x 1\nfork 99999\nstate --at 1 kv1 -o json\nhelp fork -o json\n")
    assert json.loads(run.stdout.splitlines()[1]) == {"x": 1}
    assert LOST not in run.stderr


def test_what_is_refused_reads_the_same_near_and_in_a_tree_that_runs() -> None:
    edits = "edit 1 Nonsense 3\nedit 1 Store x word\nedit 9 Store x 1\nedit kv1 Store x 4\n"
    script = f"kv1 Store x 1\nfork\n{edits}drop\nedit nope Store x 9\nset kv1 nonsense\n"
    near, far = (ran(script, way) for way in ("script --tree", "script"))
    assert far.stderr == near.stderr
    assert "s.ssm:3: no input `Nonsense`: expected" in far.stderr
