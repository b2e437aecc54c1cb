"""The demo that began it all, through the program: trees/kv.ssm against both forms of the tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.program import ssm

ROOT = Path(__file__).parents[2]
OPTIONS = ("--keep-going", "-o", "json")
DEADLINE_S = 120.0  # a bound for a machine under load; nothing waits for it

STARTS = [("started", "kv1", ""), ("started", "kv2", ""), ("started", "kv3", "")]
ANSWERS = [("replied", "kv2", "Ok"), ("replied", "kv2", "Result 1")]
CRASH = [
    ("crashed", "kv2", "ZeroDivisionError"),
    ("terminated", "kv2", "crash"),
    ("terminated", "kv3", "shutdown"),
    ("started", "kv2", ""),
    ("started", "kv3", ""),
]
FORGOTTEN = [("replied", "kv2", "Result None"), ("replied", "kv2", "Result None")]
STOP = [
    ("terminated", "kv3", "shutdown"),
    ("terminated", "kv2", "shutdown"),
    ("terminated", "kv1", "shutdown"),
]


def run(tree: str, script: Path) -> tuple[int, list[dict[str, Any]]]:
    done = ssm("run", tree, "--script", str(script), *OPTIONS, cwd=ROOT, timeout_s=DEADLINE_S)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def story(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What was answered, and which workers started and ended, in the order of the records."""
    told = []
    for record in records:
        if record["type"] == "reply":
            said = record["output"] if "output" in record else record["error"]["type"]
            told.append((record["outcome"], record["worker"], said))
        elif record["event"] in {"started", "terminated"} and record["kind"] == "worker":
            told.append((record["event"], record["id"], record.get("reason", "")))
    return told


@pytest.mark.parametrize("tree", ["trees/kv.yaml", "trees/kv.py"])
def test_the_demo_happens_in_the_order_asked_for(tree: str) -> None:
    code, records = run(tree, ROOT / "trees" / "kv.ssm")
    assert story(records) == STARTS + ANSWERS + CRASH + FORGOTTEN + STOP
    assert code == 1, "the call that crashed its worker is a failure"


@pytest.mark.parametrize("tree", ["trees/kv.yaml", "trees/kv.py"])
def test_without_the_crash_it_remembers_and_succeeds(tree: str, tmp_path: Path) -> None:
    lines = (ROOT / "trees" / "kv.ssm").read_text().splitlines(keepends=True)
    calm = tmp_path / "calm.ssm"
    calm.write_text("".join(line for line in lines if line != "kv2 Lookup crash\n"))
    code, records = run(tree, calm)
    remembered = [("replied", "kv2", "Result 1"), ("replied", "kv2", "Result None")]
    assert story(records) == STARTS + ANSWERS + remembered + STOP
    assert code == 0


def test_the_supervisor_says_what_it_decided_between_the_crash_and_the_restart() -> None:
    _, records = run("trees/kv.yaml", ROOT / "trees" / "kv.ssm")
    (decision,) = (record for record in records if record.get("event") == "restarting")
    assert decision["path"] == "root/storage"
    assert decision["strategy"] == "rest_for_one"
    assert decision["children"] == ["kv2", "kv3"]
    assert (decision["restarts"], decision["intensity"], decision["period"]) == (1, 1, 5.0)


def test_reports_are_numbered_without_a_gap() -> None:
    _, records = run("trees/kv.yaml", ROOT / "trees" / "kv.ssm")
    numbers = [record["seq"] for record in records if record["type"] == "report"]
    assert numbers == list(range(1, len(numbers) + 1))
