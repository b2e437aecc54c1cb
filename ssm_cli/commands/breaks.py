"""How the answers of the verbs of breaks are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.commands.records import VERSION
from ssm_cli.commands.text import brief

Data = dict[str, Any]
Shown = tuple[list[str], list[Data]]


def times(count: int) -> str:
    """Return how often in words.

    >>> times(1), times(2)
    ('once', '2 times')
    """
    return "once" if count == 1 else f"{count:,} times"


def inputs(count: int) -> str:
    """Return how many inputs wait, in words.

    >>> inputs(1), inputs(2)
    ('1 input waits', '2 inputs wait')
    """
    return "1 input waits" if count == 1 else f"{count:,} inputs wait"


def _break(found: Data) -> Shown:
    who = brief(found["worker"], 40)
    line = f"break {found['break']}: {who} is held before a state with {brief(found['when'], 200)}"
    return [line], [{"v": VERSION, "type": "break", **found}]


def _breaks(found: Data) -> Shown:
    lines = []
    for one in found["breaks"]:
        hits = f"   held {times(one['hits'])}" if one["hits"] else ""
        lines.append(f"{one['break']:>4}  {brief(one['worker'], 40)}  {brief(one['when'])}{hits}")
        lines += [f"      {brief(why, 400)}" for why in (one.get("trouble"), *one["never"]) if why]
    for one in found["held"]:
        waits = f", {inputs(one['waiting'])} behind it" if one["waiting"] else ""
        what = f"{brief(one['input'], 200)}  {brief(one['changed'], 200)}".rstrip()
        lines.append(f"held  {brief(one['worker'], 40)}  {what}")
        lines.append(f"      at break {one['break']} for {one['held_s']:.1f} s{waits}")
    return lines or ["no breaks"], [{"v": VERSION, "type": "breaks", **found}]


def _unbreak(found: Data) -> Shown:
    gone = ", ".join(map(str, found["gone"]))
    lines = [f"taken away: {gone}" if gone else "there was none"]
    return lines, [{"v": VERSION, "type": "unbreak", **found}]


def _continue(found: Data) -> Shown:
    return [f"{brief(found['worker'], 40)} goes on"], [{"v": VERSION, "type": "continue", **found}]


def left(found: Data, verb: str) -> Shown:
    """Return how an input that was held is told to be dropped, or to be another one."""
    who, what = brief(found["worker"], 40), brief(found["input"], 200)
    line = f"{who} goes on without {what}" if verb == "drop" else f"{who} goes on with {what}"
    return [line], [{"v": VERSION, "type": verb, **found}]


BREAKS_SHOWN: dict[str, Callable[[Data], Shown]] = {
    "break": _break, "breaks": _breaks, "unbreak": _unbreak, "continue": _continue,
}  # fmt: skip
