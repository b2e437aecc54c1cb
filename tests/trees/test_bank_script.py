"""A day of the ledger, through the program: trees/bank.ssm against trees/bank.yaml."""

from __future__ import annotations

import json
from pathlib import Path

from ssm_cli import ManualClock, Node, load_tree
from ssm_cli.exit_codes import ExitCode
from tests.program import ssm

ROOT = Path(__file__).parents[2]
DAY = ("run", "trees/bank.yaml", "--script", "trees/bank.ssm")
DEADLINE_S = 120.0  # a bound for a machine under load; nothing waits for it


def test_the_audit_in_the_evening_crashes_the_ledger_and_nothing_before_it_does() -> None:
    options = ("--keep-going", "-o", "json")
    done = ssm(*DAY, *options, cwd=ROOT, timeout_s=DEADLINE_S)
    assert done.stderr == ""
    records = [json.loads(line) for line in done.stdout.splitlines()]
    *before, last = (record for record in records if record["type"] != "report")
    assert done.returncode == ExitCode.CRASHED
    assert {record["type"] for record in before} == {"done"}
    assert (last["worker"], last["input"], last["outcome"]) == ("ledger", "Audit", "crashed")
    assert last["error"]["type"] == "ArithmeticError"
    assert last["error"]["message"] == "acc05: -2900 held of 10000"


def test_what_it_held_went_wrong_hundreds_of_inputs_before() -> None:
    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    messages = lines((ROOT / "trees" / "bank.ssm").read_text())
    with Node(load_tree(ROOT / "trees" / "bank.yaml"), clock=ManualClock()) as node:
        wrong = 0
        for number, line in enumerate(messages[:-1], 1):
            node.cast("ledger", line.removeprefix("cast ledger ").encode())
            node.run()
            if not wrong and min(node.get_state("ledger").held.values()) < 0:
                wrong = number
    assert (wrong, len(messages)) == (174, 517)
