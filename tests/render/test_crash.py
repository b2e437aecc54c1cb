from __future__ import annotations

import io

import msgspec
from rich.console import Console

from ssm_cli.commands.voice import clock
from ssm_cli.render.crash import crash_panel, crash_texts
from ssm_cli.runtime.views import CrashReport

REPORT = CrashReport(
    seq=11,
    at_s=0.0,
    worker="kv2",
    path="root/kv2",
    supervisor="root",
    reason="crash",
    error_type="KeyError",
    error_message="'x'",
    stack=("kv.py:3 in step: state['x']",),
    input="Lookup x",
    state="{}",
    events=("in Lookup x",),
    decision="restart",
    strategy="rest_for_one",
    children=("kv2", "kv3"),
    restarts=1,
    intensity=3,
    period=5.0,
    budget_left=2,
)


def lines(report: CrashReport, width: int = 60) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(crash_panel(report))
    return [line.strip("│ ") for line in capture.get().splitlines()[1:-1]]


def test_a_panel_tells_the_crash_in_the_order_of_reading() -> None:
    assert lines(REPORT) == [
        "error   KeyError: 'x'",
        "reason  crash",
        "input   Lookup x",
        "state   {}",
        "event   in Lookup x",
        "at      kv.py:3 in step: state['x']",
        "root    restart: kv2 kv3  (rest_for_one)",
        "budget  1 of 3 restarts in 5 s, 2 left",
    ]


def test_a_crash_that_counted_for_nothing_has_no_budget() -> None:
    forgotten = msgspec.structs.replace(REPORT, decision="forget", restarts=None, strategy="")
    assert lines(forgotten)[-1] == "root    forget: kv2 kv3"


def test_a_hostile_state_does_not_reach_the_terminal() -> None:
    hostile = msgspec.structs.replace(REPORT, state="\x1b[2J\r\nboom")
    assert any("boom" in line and "\x1b" not in line for line in lines(hostile))


def test_the_lines_of_the_output_say_the_same_without_a_frame() -> None:
    assert [text.plain for text in crash_texts(REPORT)][:3] == [
        f"  ✖ root/kv2 crashed at {clock(REPORT.at_s)}",
        "  error     KeyError: 'x'",
        "  reason    crash",
    ]
