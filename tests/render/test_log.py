from __future__ import annotations

import ast
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

import ssm_cli
from ssm_cli.commands.voice import VOICE, entry, in_restart_log, report_line
from ssm_cli.render.ascii import TABLE
from ssm_cli.render.log import log_text
from ssm_cli.render.theme import THEMES
from ssm_cli.runtime.views import Kind, Report
from tests.docs.test_reference import REFERENCE, rows

AT_S = 75_842.0


def report(event: str, name: str = "kv2", kind: Kind = "worker", **detail: Any) -> Report:
    return Report(1, AT_S, event, name, f"root/{name}", kind, detail)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            report("crashed", error={"type": "ZeroDivisionError", "message": "division by zero"}),
            "21:04:02 ✖ kv2 crashed ZeroDivisionError: division by zero",
        ),
        (report("crashed", reason="step_timeout"), "21:04:02 ✖ kv2 crashed step_timeout"),
        (
            report("crashed", error={"type": "KeyError", "message": ""}),
            "21:04:02 ✖ kv2 crashed KeyError",
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
            "21:04:02 ↻ storage restarting rest_for_one: kv2 kv3 (2 of 3 restarts in 5 s)",
        ),
        (
            report("gave_up", "root", "supervisor", restarts=4, intensity=3, period=5.0),
            "21:04:02 ■ root gave up: more than 3 restarts in 5 s",
        ),
        (
            report("start_failed", error={"type": "OSError", "message": "no disk"}),
            "21:04:02 ✖ kv2 did not start: OSError: no disk",
        ),
        (
            report("exited", "root", "supervisor", reason="shutdown"),
            "21:04:02 ■ root exited shutdown",
        ),
        (report("stopped", "root", reason="shutdown"), "21:04:02 ■ root stopped shutdown"),
        (report("killed"), "21:04:02 ✖ kv2 killed"),
        (report("starting", n=1), "21:04:02 · kv2 starting"),
        (report("starting", n=22), "21:04:02 · kv2 starting (start 22)"),
        (report("terminated", reason="crash"), "21:04:02 · kv2 terminated crash"),
        (report("something_new"), "21:04:02 · kv2 something_new"),
    ],
)
def test_a_report_is_one_line_that_says_when_who_and_why(given: Report, line: str) -> None:
    assert report_line(given, UTC) == line


def test_the_restart_log_shows_decisions_and_ends_not_each_start() -> None:
    shown = ["crashed", "start_failed", "killed", "restarting", "gave_up", "exited", "stopped"]
    quiet = ["starting", "started", "terminating", "terminated"]
    assert all(in_restart_log(report(event)) for event in shown)
    assert not any(in_restart_log(report(event)) for event in quiet)


def test_an_exceptions_message_cannot_leave_its_line() -> None:
    error = {"type": "ValueError", "message": "a\n\x1b[2Jb" + "x" * 5_000}
    line = report_line(report("crashed", error=error), UTC)
    assert line.isprintable()
    assert len(line) < 600


def test_a_crash_is_bad_and_a_restart_a_warning() -> None:
    crash = log_text(report("crashed", reason="crash"), UTC)
    assert "bad" in {str(span.style) for span in crash.spans}
    decision = log_text(report("restarting", strategy="one_for_one", child="kv2"), UTC)
    assert "warn" in {str(span.style) for span in decision.spans}


def reported() -> set[str]:
    """The events that the program reports: the first argument of each call of a `report`."""
    found: set[str] = {"started", "start_failed", "ignored"}  # `started()` says which of them
    for path in Path(ssm_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            first = node.args[0]
            words = [n.value for n in ast.walk(first) if isinstance(n, ast.Constant)]
            if called == "report" and isinstance(first, ast.Constant | ast.IfExp):
                found |= {word for word in words if isinstance(word, str)}
    return found


def test_every_event_has_its_row_in_the_table_of_words_and_no_other() -> None:
    documented = {row[0].strip("`") for row in rows(REFERENCE / "records.md", "## Events")}
    assert set(VOICE) == documented
    missing = reported() - set(VOICE)
    assert not missing, f"give them a glyph, a role and words in `commands.voice`: {missing}"


@pytest.mark.parametrize("event", VOICE)
def test_text_and_screen_say_the_same_whatever_fields_an_event_has(event: str) -> None:
    bare, full = report(event), report(event, reason="crash", n=2, error={"type": "E"})
    for given in (bare, full):
        assert log_text(given, UTC).plain == report_line(given, UTC)
        said = entry(given)
        assert ord(said.glyph) in TABLE
        assert said.role in THEMES["dark"]
        assert said.why
