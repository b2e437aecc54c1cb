"""What each event is called: one table of glyph, role and words, for every screen and stream.

`commands.text` prints it without colour, `render.log` with the role as its style. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from ssm_cli.commands.text import brief, budget_words
from ssm_cli.errors import counted
from ssm_cli.runtime.views import Report

WHY_CHARACTERS = 500  # of a reason on one line

Detail = dict[str, Any]


class Wording(msgspec.Struct, frozen=True):
    """How one kind of event is told.

    Attributes:
        glyph: one character of one cell.
        role: of the glyph; see `render.theme`.
        why: the event and its further fields, in words.
        restarts: the restart log shows it: crashes, decisions and ends, not each start and stop.
    """

    glyph: str
    role: str
    why: Callable[[Detail], str]
    restarts: bool = True


class Entry(msgspec.Struct, frozen=True):
    """A report taken apart, each text safe on one line: glyph and role, who, and why."""

    glyph: str
    role: str
    who: str
    why: str


def error_words(detail: Detail) -> str:
    """The error of a report as `TYPE: message`; without one its reason.

    >>> error_words({"error": {"type": "KeyError", "message": "'x'"}}), error_words({})
    ("KeyError: 'x'", '')
    """
    error = detail.get("error")
    if isinstance(error, dict) and error.get("type"):
        message = str(error.get("message", ""))
        return f"{error['type']}: {message}" if message else str(error["type"])
    return str(detail.get("reason", ""))


def _budget(detail: Detail) -> str:
    return budget_words(detail.get("restarts"), detail.get("intensity"), detail.get("period"))


def _with(what: str, words: Callable[[Detail], str] = lambda _: "") -> Callable[[Detail], str]:
    return lambda detail: f"{what} {words(detail)}".rstrip()


def _pairs(detail: Detail) -> str:
    return " ".join(f"{key}={value}" for key, value in detail.items() if value is not None)


def _starting(detail: Detail) -> str:
    count = detail.get("n", 1)
    return "starting" if count == 1 else f"starting (start {count})"


def _restarting(detail: Detail) -> str:
    children = detail.get("children") or [detail.get("child", "")]
    names = " ".join(str(child) for child in children)
    used = f" ({_budget(detail)})" if "restarts" in detail else ""
    return f"restarting {detail.get('strategy', '')}: {names}{used}"


def _gave_up(detail: Detail) -> str:
    most = detail.get("intensity")
    period_s = float(detail.get("period", 0))
    return f"gave up: more than {most} restart{'' if most == 1 else 's'} in {period_s:g} s"


def _delayed(detail: Detail) -> str:
    wait_s = float(detail.get("delay_ms", 0)) / 1000
    used = f" ({_budget(detail)})" if "restarts" in detail else ""
    return f"delayed by {wait_s:.1f} s, attempt {detail.get('attempt')}{used}"


def _quarantined(detail: Detail) -> str:
    where = f"as {detail.get('number')} after {detail.get('crashes')} crashes"
    return f"quarantined {where}: {detail.get('input')}"


def _held(detail: Detail) -> str:
    changed = f"  {detail['changed']}" if detail.get("changed") else ""
    where = f"held at break {detail.get('break')} ({detail.get('when')})"
    return f"{where}: {detail.get('input')}{changed}; `continue`, `drop` or `edit` goes on"


def _applied(detail: Detail) -> str:
    return f"{detail.get('act')} ({detail.get('step')} of {detail.get('of')}): {detail.get('why')}"


def _reloaded(detail: Detail) -> str:
    how = "goes back to" if detail.get("back") else "goes on under"
    untried = ", not tried on any input" if detail.get("untried") else ""
    return f"{how} code {detail.get('code')} (was {detail.get('was')}){untried}"


def _code_differs(detail: Detail) -> str:
    count, total = detail.get("differ", 0), detail.get("total", 0)
    found = f"{count:,} of {total:,} inputs come out differently"
    if not count:
        found = "its steps are slower" if not detail.get("unfit") else "what waits does not fit"
        found = "none of its inputs could be rehearsed" if detail.get("untried") else found
    return f"keeps its code, under {detail.get('code')} {found}; `reload` shows it and asks"


VOICE: dict[str, Wording] = {
    "starting": Wording("·", "muted", _starting, restarts=False),
    "started": Wording("●", "good", _with("started"), restarts=False),
    "start_failed": Wording("✖", "bad", _with("did not start:", error_words)),
    "ignored": Wording("○", "muted", _with("ignored")),
    "crashed": Wording("✖", "bad", _with("crashed", error_words)),
    "undecodable": Wording("✖", "warn", _with("undecodable:", error_words), restarts=False),
    "held": Wording("‖", "warn", _held),
    "terminating": Wording("·", "muted", _with("terminating", error_words), restarts=False),
    "terminated": Wording("·", "muted", _with("terminated", error_words), restarts=False),
    "killed": Wording("✖", "bad", _with("killed")),
    "restarting": Wording("↻", "warn", _restarting),
    "delayed": Wording("·", "warn", _delayed, restarts=False),
    "gave_up": Wording("■", "alarm", _gave_up),
    "exited": Wording("■", "bad", _with("exited", error_words)),
    "stopped": Wording("■", "muted", _with("stopped", error_words)),
    "reloaded": Wording("↻", "good", _reloaded),
    "code_differs": Wording("↻", "warn", _code_differs),
    "code_failed": Wording("✖", "bad", _with("keeps its code:", error_words)),
    "dropped": Wording("·", "muted", _with("dropped", _pairs), restarts=False),
    "recovered": Wording(
        "·", "muted", restarts=False,
        why=lambda d: f"recovered: {counted(d.get('records', 0), 'record')} stepped again",
    ),
    "clock_behind": Wording(
        "✖", "warn", lambda d: f"the clock is {d.get('seconds', 0):,.0f} s behind the records"
    ),
    "refused": Wording("·", "muted", _with("refused:", error_words), restarts=False),
    "quarantined": Wording("✖", "warn", _quarantined),
    "down": Wording("✖", "bad", _with("is down:", error_words)),
    "fell_back": Wording(
        "✖", "bad", lambda d: f"begins anew, its saved state is set aside: {d.get('why')}"
    ),
    "impure": Wording(
        "✖", "warn", lambda d: f"is not pure: {d.get('how')} (input {d.get('input')})"
    ),
    "unsaved": Wording("✖", "warn", _with("cannot be saved:", error_words)),
    "storage_failed": Wording("✖", "alarm", _with("cannot write:", error_words)),
    "storage_restored": Wording("○", "muted", _with("can write again")),
    "unreachable": Wording("✖", "bad", _with("unreachable", _pairs), restarts=False),
    "reachable": Wording("●", "good", _with("reachable", _pairs), restarts=False),
    "waiting": Wording("…", "warn", _with("waits for another", _pairs), restarts=False),
    "moved": Wording("·", "muted", _with("moved", _pairs), restarts=False),
    "left": Wording("·", "muted", _with("runs on, without this parent", _pairs), restarts=False),
    "node_up": Wording("●", "good", _with("node up:", _pairs), restarts=False),
    "node_down": Wording("✖", "warn", _with("node down:", _pairs), restarts=False),
    "link_up": Wording("●", "good", _with("is linked to its cluster again"), restarts=False),
    "link_down": Wording(
        "✖", "warn", lambda d: f"is cut off from its cluster: {d.get('why')}", restarts=False
    ),
    "loop_failed": Wording("✖", "bad", _with("the event loop failed, and goes on:", error_words)),
    "applied": Wording("●", "good", _with("applied:", _applied), restarts=False),
    "apply_failed": Wording(
        "✖", "bad", lambda d: f"not applied: {_applied(d)}: {error_words(d)}"
    ),
    "traced": Wording("·", "info", _with("traced", _pairs), restarts=False),
}  # fmt: skip
"""By event, how it is told: every event that a node or a program that runs one reports."""


def entry(report: Report) -> Entry:
    """What a report says; an event that is not known is told by its name.

    >>> report = Report(9, 0.0, "crashed", "kv2", "root/kv2", "worker",
    ...                 {"reason": "crash", "error": {"type": "KeyError", "message": "'x'"}})
    >>> entry(report)
    Entry(glyph='✖', role='bad', who='kv2', why="crashed KeyError: 'x'")
    """
    said = VOICE.get(report.event) or Wording("·", "muted", _with(report.event, _pairs))
    why = brief(said.why(report.detail), WHY_CHARACTERS)
    return Entry(said.glyph, said.role, brief(report.id), why)


def in_restart_log(report: Report) -> bool:
    """Whether the restart log shows it: crashes, decisions and ends, not each start and stop.

    >>> in_restart_log(Report(1, 0.0, "starting", "kv1", "root/kv1", "worker"))
    False
    """
    said = VOICE.get(report.event)
    return said is not None and said.restarts


def clock(at_s: float, zone: tzinfo | None = None) -> str:
    """The time of day of UTC seconds, in `zone` (None: where this machine is).

    >>> from datetime import timezone
    >>> clock(75_842.9, timezone.utc)
    '21:04:02'
    """
    return datetime.fromtimestamp(at_s, zone).strftime("%H:%M:%S")


def report_line(report: Report, zone: tzinfo | None = None) -> str:
    """A report as one line: the time in `zone` (None: local), a glyph, who, what, why.

    >>> from datetime import UTC
    >>> report = Report(9, 0.0, "crashed", "kv2", "root/kv2", "worker",
    ...                 {"error": {"type": "KeyError", "message": "'x'"}})
    >>> report_line(report, UTC)
    "00:00:00 ✖ kv2 crashed KeyError: 'x'"
    """
    said = entry(report)
    return f"{clock(report.at_s, zone)} {said.glyph} {said.who} {said.why}"
