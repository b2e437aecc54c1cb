from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    Backoff,
    CalleeCrashed,
    ManualClock,
    Node,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.engine.crashes import KEPT_CRASHES
from ssm_cli.spec.model import SupervisorSpec


def crash(node: Node, worker: str = "kv2") -> None:
    with pytest.raises(CalleeCrashed):
        node.call(worker, b"Lookup crash")


def storage(**options: Any) -> SupervisorSpec:
    return Supervisor(
        "root",
        "rest_for_one",
        [Worker("kv1", kv_store), Worker("kv2", kv_store), Worker("kv3", kv_store)],
        **options,
    )


def test_a_crash_report_tells_input_state_stack_and_what_the_supervisor_did() -> None:
    with Node(storage(intensity=3)) as node:
        node.call("kv2", b"Store x 1")
        node.keep("kv2", 2)
        node.call("kv2", b"Lookup x")
        crash(node)
        (report,) = node.crash_reports()
    assert (report.worker, report.path, report.supervisor) == ("kv2", "root/kv2", "root")
    assert (report.error_type, report.reason) == ("ZeroDivisionError", "crash")
    assert (report.input, report.state) == ("Lookup crash", '{"x": 1}')
    assert report.events == ("out Result 1", "in Lookup crash")
    assert report.stack[-1].endswith("in step: return state, Result(1 // 0)")
    assert (report.decision, report.strategy) == ("restart", "rest_for_one")
    assert report.children == ("kv2", "kv3")
    assert (report.restarts, report.intensity, report.budget_left) == (1, 3, 2)


def test_a_crash_report_says_that_the_supervisor_gave_up() -> None:
    with Node(storage(intensity=0)) as node:
        crash(node)
        (report,) = node.crash_reports("kv2") if node.running else node.crash_reports()
    assert report.decision == "give_up"
    assert report.budget_left == 0


def test_a_crash_report_says_that_a_temporary_worker_was_forgotten() -> None:
    with Node(Supervisor("root", children=[Worker("kv2", kv_store, restart="temporary")])) as node:
        crash(node)
        (report,) = node.crash_reports()
    assert (report.decision, report.children) == ("forget", ("kv2",))
    assert report.restarts is None


def test_a_crash_report_says_that_a_restart_was_held_back() -> None:
    worker = Worker("kv2", kv_store, backoff=Backoff(100))
    with Node(Supervisor("root", children=[worker]), clock=ManualClock()) as node:
        crash(node)
        (report,) = node.crash_reports()
    assert report.decision == "delay"


def test_crash_reports_are_redacted() -> None:
    def step(message: str, state: str) -> tuple[str, str]:
        raise ValueError(f"cannot {message[:4]}")

    secret = StateMachine(
        step=step, init=lambda name, args: "the key", redact=lambda value: "hidden"
    )
    with Node(Supervisor("root", children=[Worker("w", secret)])) as node:
        with pytest.raises(CalleeCrashed):
            node.call("w", "open sesame")
        (report,) = node.crash_reports()
    assert (report.input, report.state) == ("hidden", "hidden")


def test_a_node_keeps_the_last_crashes_only_and_hands_out_the_newest() -> None:
    with Node(storage(intensity=10**6)) as node:
        for _ in range(KEPT_CRASHES + 5):
            crash(node)
        assert len(node.crash_reports()) == KEPT_CRASHES
        last, newest = node.crash_reports("kv2", last=2)
        assert last.seq < newest.seq
        assert node.crash_reports("kv1") == []


def test_an_error_that_cannot_say_what_it_is_still_makes_a_report() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def step(message: Any, state: Any) -> Any:
        raise SilentError

    machine = StateMachine(step=step)
    with Node(Supervisor("root", children=[Worker("w", machine)])) as node:
        with pytest.raises(CalleeCrashed):
            node.call("w", "x")
        (report,) = node.crash_reports()
    assert report.error_type == "SilentError"
