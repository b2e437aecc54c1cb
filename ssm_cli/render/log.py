"""Reports as lines: when, a glyph, who, and why. The restart log and the plain mode show them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

import msgspec
from rich.text import Text

from ssm_cli.render.sanitize import one_line
from ssm_cli.runtime.views import Report

WORDS_CHARACTERS = 300  # how much of a reason is worth showing on one line


class Entry(msgspec.Struct, frozen=True):
    """A report taken apart: glyph and its style, who it is about, and why."""

    glyph: str
    style: str
    who: str
    why: str


GLYPHS = {
    "crashed": ("✖", "bad"),
    "start_failed": ("✖", "bad"),
    "killed": ("✖", "bad"),
    "loop_failed": ("✖", "bad"),
    "restarting": ("↻", "warn"),
    "gave_up": ("■", "alarm"),
    "exited": ("■", "bad"),
    "ignored": ("○", "muted"),
    "stopped": ("■", "muted"),
    "down": ("✖", "bad"),
    "fell_back": ("✖", "bad"),
    "impure": ("✖", "warn"),
    "quarantined": ("✖", "warn"),
    "storage_failed": ("✖", "alarm"),
    "clock_behind": ("✖", "warn"),
    "storage_restored": ("○", "muted"),
    "unsaved": ("✖", "warn"),
}
QUIET = ("·", "muted")


def in_restart_log(report: Report) -> bool:
    """Whether the restart log shows it: crashes, decisions and ends, not each start and stop.

    >>> in_restart_log(Report(1, 0.0, "starting", "kv1", "root/kv1", "worker"))
    False
    """
    return report.event in GLYPHS


def entry(report: Report) -> Entry:
    """What a report says, safe for one line.

    >>> report = Report(9, 0.0, "crashed", "kv2", "root/kv2", "worker",
    ...                 {"reason": "crash", "error": {"type": "KeyError", "message": "'x'"}})
    >>> entry(report)
    Entry(glyph='✖', style='bad', who='kv2', why="KeyError: 'x'")
    """
    glyph, style = GLYPHS.get(report.event, QUIET)
    why = one_line(_why(report.event, report.detail), WORDS_CHARACTERS)
    return Entry(glyph, style, one_line(report.id, WORDS_CHARACTERS), why)


def _why(event: str, detail: dict[str, Any]) -> str:
    say = SAYS.get(event)
    return say(detail) if say else event


def _started_again(detail: dict[str, Any]) -> str:
    count = detail.get("n", 1)
    return f"starting, for the {_ordinal(count)} time" if count > 1 else "starting"


def _because(event: str) -> Callable[[dict[str, Any]], str]:
    """`event: reason`, for the events that are nothing but the end of something."""
    return lambda detail: f"{event}: {detail['reason']}" if "reason" in detail else event


def _ordinal(number: int) -> str:
    """2 as 2nd: `n` counts the starts of a child.

    >>> [_ordinal(n) for n in (2, 3, 11, 21)]
    ['2nd', '3rd', '11th', '21st']
    """
    teen = number % 100 in (11, 12, 13)
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _decision(detail: dict[str, Any]) -> str:
    children = detail.get("children") or [detail.get("child", "")]
    names = " ".join(str(child) for child in children)
    used = f"  ({detail['restarts']} of {_budget(detail)})" if "restarts" in detail else ""
    return f"{detail.get('strategy', 'restarting')}: {names}{used}"


def _budget(detail: dict[str, Any]) -> str:
    """`3 in 5 s`: how many restarts a supervisor allows itself."""
    period = float(detail.get("period", math.nan))
    return f"{detail.get('intensity', '?')} in {period:g} s"


def _error(detail: dict[str, Any]) -> str:
    error = detail.get("error")
    if isinstance(error, dict) and error.get("type"):
        message = str(error.get("message", ""))
        return f"{error['type']}: {message}" if message else str(error["type"])
    return str(detail.get("reason", "crash"))


SAYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "starting": _started_again,
    "start_failed": lambda detail: f"did not start: {_error(detail)}",
    "crashed": _error,
    "loop_failed": lambda detail: f"the event loop failed, and goes on: {_error(detail)}",
    "restarting": _decision,
    "gave_up": lambda detail: f"gave up: more than {_budget(detail)}",
    "terminating": _because("terminating"),
    "terminated": _because("terminated"),
    "exited": _because("exited"),
    "stopped": _because("stopped"),
    "down": lambda detail: f"is down: {detail['error']['message']}",
    "fell_back": lambda detail: f"begins anew, its saved state is set aside: {detail['why']}",
    "impure": lambda detail: f"is not pure: {detail['how']} (input {detail['input']})",
    "quarantined": lambda detail: (
        f"input in quarantine as {detail['number']} after {detail['crashes']} crashes: "
        f"{detail['input']}"
    ),
    "recovered": lambda detail: f"{detail['records']:,} records stepped again",
    "refused": lambda detail: f"refused: {_error(detail)}",
    "storage_failed": lambda detail: f"cannot write: {_error(detail)}",
    "clock_behind": lambda detail: f"the clock is {detail['seconds']:,.0f} s behind the records",
    "storage_restored": lambda _detail: "can write again",
    "unsaved": lambda detail: f"cannot be saved: {_error(detail)}",
}


def clock(at_s: float, zone: tzinfo | None = None) -> str:
    """The time of day of UTC seconds, in `zone` (None: where this machine is).

    >>> from datetime import timezone
    >>> clock(75_842.9, timezone.utc)
    '21:04:02'
    """
    return datetime.fromtimestamp(at_s, zone).strftime("%H:%M:%S")


def log_text(report: Report, zone: tzinfo | None = None) -> Text:
    """A report as one line of styled text."""
    said = entry(report)
    text = Text()
    text.append(f"{clock(report.at_s, zone)} ", "muted")
    text.append(f"{said.glyph} ", said.style)
    text.append(said.who, "bold")
    text.append(f" {said.why}", said.style if said.glyph == "✖" else "")
    return text


def log_line(report: Report, zone: tzinfo | None = None) -> str:
    """A report as one line without colour.

    >>> from datetime import timezone
    >>> log_line(Report(1, 0.0, "started", "kv1", "root/kv1", "worker"), timezone.utc)
    '00:00:00 · kv1 started'
    """
    return log_text(report, zone).plain
