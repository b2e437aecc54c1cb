from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from ssm_cli.render.log import in_restart_log, log_line, log_text
from ssm_cli.runtime.views import Kind, Report

AT_S = 75_842.0


def report(event: str, name: str = "kv2", kind: Kind = "worker", **detail: Any) -> Report:
    return Report(1, AT_S, event, name, f"root/{name}", kind, detail)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            report("crashed", error={"type": "ZeroDivisionError", "message": "division by zero"}),
            "21:04:02 ✖ kv2 ZeroDivisionError: division by zero",
        ),
        (report("crashed", reason="step_timeout"), "21:04:02 ✖ kv2 step_timeout"),
        (
            report("crashed", error={"type": "KeyError", "message": ""}),
            "21:04:02 ✖ kv2 KeyError",
        ),
        (
            report(
                "restarting",
                "storage",
                "supervisor",
                strategy="rest_for_one",
                child="kv2",
                children=["kv2", "kv3"],
                restarts=2,
                intensity=3,
                period=5,
            ),
            "21:04:02 ↻ storage rest_for_one: kv2 kv3  (2 of 3 in 5 s)",
        ),
        (
            report("gave_up", "root", "supervisor", restarts=4, intensity=3, period=5.0),
            "21:04:02 ■ root gave up: more than 3 in 5 s",
        ),
        (
            report("start_failed", error={"type": "OSError", "message": "no disk"}),
            "21:04:02 ✖ kv2 did not start: OSError: no disk",
        ),
        (
            report("exited", "root", "supervisor", reason="shutdown"),
            "21:04:02 ■ root exited: shutdown",
        ),
        (report("stopped", "root", reason="shutdown"), "21:04:02 ■ root stopped: shutdown"),
        (report("killed"), "21:04:02 ✖ kv2 killed"),
        (report("starting", n=1), "21:04:02 · kv2 starting"),
        (report("starting", n=22), "21:04:02 · kv2 starting, for the 22nd time"),
        (report("terminated", reason="crash"), "21:04:02 · kv2 terminated: crash"),
        (report("something_new"), "21:04:02 · kv2 something_new"),
    ],
)
def test_a_report_is_one_line_that_says_when_who_and_why(given: Report, line: str) -> None:
    assert log_line(given, UTC) == line


def test_the_restart_log_shows_decisions_and_ends_not_each_start() -> None:
    shown = ["crashed", "start_failed", "killed", "restarting", "gave_up", "exited", "stopped"]
    quiet = ["starting", "started", "terminating", "terminated"]
    assert all(in_restart_log(report(event)) for event in shown)
    assert not any(in_restart_log(report(event)) for event in quiet)


def test_an_exceptions_message_cannot_leave_its_line() -> None:
    error = {"type": "ValueError", "message": "a\n\x1b[2Jb" + "x" * 5_000}
    line = log_line(report("crashed", error=error), UTC)
    assert line.isprintable()
    assert len(line) < 400


def test_a_crash_is_bad_and_a_restart_a_warning() -> None:
    crash = log_text(report("crashed", reason="crash"), UTC)
    assert "bad" in {str(span.style) for span in crash.spans}
    decision = log_text(report("restarting", strategy="one_for_one", child="kv2"), UTC)
    assert "warn" in {str(span.style) for span in decision.spans}
