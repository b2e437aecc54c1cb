"""Views and reports as plain lines of text, without colour and without Rich."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

from ssm_cli.runtime.views import ChildInfo, CrashReport, NodeView, Report

MAX_SHOWN = 500  # characters of a user's text within a line of ours
_GLYPHS = {
    "crashed": "✖",
    "start_failed": "✖",
    "killed": "✖",
    "gave_up": "✖",
    "restarting": "↻",
    "started": "●",
    "exited": "■",
    "stopped": "■",
    "down": "✖",
    "fell_back": "✖",
    "impure": "✖",
    "quarantined": "✖",
    "storage_failed": "✖",
    "unsaved": "✖",
}


def visible(text: str) -> str:
    r"""Escape every character of a text that does not print, except tabs.

    A worker's text must not move the cursor or change what stands elsewhere on the screen.

    >>> visible("red \x1b[31m")
    'red \\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    if character.isspace() and ord(character) > 0xFF:
        return " "
    if character in "\u200c\u200d":  # joiners inside words and emoji: harmless, and wanted
        return character
    return character.encode("unicode_escape").decode("ascii")


def brief(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Escape a user's text to one line, cut to `limit` characters.

    >>> brief("a\nb"), brief("abcdef", 4)
    ('a\\nb', 'abc…')
    """
    shown = visible(text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def output_lines(text: str) -> tuple[str, ...]:
    r"""Split a worker's output into lines that are safe to print.

    >>> output_lines("Ok"), output_lines("a\nb")
    (('Ok',), ('a', 'b'))
    """
    return tuple(visible(line) for line in text.split("\n"))


def tree_lines(root: NodeView) -> tuple[str, ...]:
    r"""The tree as a table: names indented by depth, and the columns that matter.

    >>> print("\n".join(tree_lines(NodeView("kv1", "root/kv1", "worker", "running"))))
    NAME  STRATEGY  STATE    RESTARTS  BUDGET  QUEUE
    kv1   -         running         0       -      0
    """
    rows = [("NAME", "STRATEGY", "STATE", "RESTARTS", "BUDGET", "QUEUE"), *_rows(root, 0)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return tuple(_aligned(row, widths) for row in rows)


def _rows(view: NodeView, depth: int) -> Iterator[tuple[str, str, str, str, str, str]]:
    label = f" ({brief(view.label, 40)})" if view.label else ""
    budget = "-" if view.budget_left is None else f"{view.budget_left}/{view.intensity}"
    name = f"{'  ' * depth}{brief(view.id)}{label}"
    state: str = view.state
    if view.delay_ms is not None:
        state = f"{state}, retry in {view.delay_ms / 1000:.1f}s"
    if view.age_s is not None:
        state = f"{state}, seen {view.age_s:.1f} s ago"
    where = view.strategy or (f"{view.node} #{view.epoch}" if view.node else "-")
    yield name, where, state, str(view.restarts), budget, str(view.queue)
    for child in view.children:
        yield from _rows(child, depth + 1)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """Words to the left, numbers to the right."""
    words = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
    numbers = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join(words + numbers)


def dot_lines(root: NodeView) -> tuple[str, ...]:
    r"""The tree in Graphviz's language: boxes are supervisors, what does not run is red.

    >>> dot_lines(NodeView("kv1", "kv1", "worker", "running"))[2]
    '  "kv1" [label="kv1\\nrunning" shape=ellipse color=black];'
    """
    return ("digraph tree {", "  node [fontname=sans];", *_dot(root), "}")


def _dot(view: NodeView) -> Iterator[str]:
    shape = "box" if view.kind == "supervisor" else "ellipse"
    color = "black" if view.state == "running" else "red"
    strategy = f"\\n{view.strategy}" if view.strategy else ""
    label = f"{_quoted(view.id)}{strategy}\\n{view.state}"
    here = _quoted(view.path)
    yield f'  "{here}" [label="{label}" shape={shape} color={color}];'
    for child in view.children:
        yield f'  "{here}" -> "{_quoted(child.path)}";'
        yield from _dot(child)


def _quoted(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def children_lines(children: list[ChildInfo]) -> tuple[str, ...]:
    """One line a child, in the order given: id, type, state.

    >>> children_lines([ChildInfo("kv2", "running", "worker")])
    ('kv2  worker      running',)
    """
    width = max((len(child.id) for child in children), default=0)
    return tuple(f"{c.id.ljust(width)}  {c.type:<10}  {c.state}" for c in children)


def crash_lines(report: CrashReport, zone: tzinfo | None = None) -> tuple[str, ...]:
    """A crash report as lines: who, when (in `zone`, None: local), what, where, what was done."""
    budget = ""
    if report.restarts is not None:
        within = f"in {report.period:g} s" if report.period is not None else ""
        budget = f", {report.restarts} of {report.intensity} restarts {within}".rstrip()
    by = f" ({report.strategy}{budget})" if report.strategy else ""
    rows = [
        ("worker", f"{report.path}, under {report.supervisor}"),
        ("time", datetime.fromtimestamp(report.at_s, zone).strftime("%Y-%m-%d %H:%M:%S")),
        ("error", f"{report.error_type}: {report.error_message}"),
        ("reason", report.reason),
        ("input", report.input),
        ("state", report.state),
        *(("event", event) for event in report.events),
        *(("at", frame) for frame in report.stack),
        ("decision", f"{report.decision}: {' '.join(report.children)}{by}"),
    ]
    return tuple(f"{key:<9} {brief(value, 1000)}" for key, value in rows)


def report_line(report: Report, zone: tzinfo | None = None) -> str:
    """A report as one line: the time in `zone` (None: local), a glyph, who, what, why.

    >>> from datetime import UTC
    >>> report = Report(9, 0.0, "crashed", "kv2", "root/kv2", "worker",
    ...                 {"error": {"type": "KeyError", "message": "'x'"}})
    >>> report_line(report, UTC)
    "00:00:00 ✖ kv2 crashed KeyError: 'x'"
    """
    at = datetime.fromtimestamp(report.at_s, zone).strftime("%H:%M:%S")
    glyph = _GLYPHS.get(report.event, "·")
    why = brief(_why(report.event, report.detail))
    line = f"{at} {glyph} {brief(report.id)} {report.event}"
    return f"{line} {why}" if why else line


def _why(event: str, detail: dict[str, Any]) -> str:
    """The further fields of an event in a few words."""
    error = detail.get("error")
    if isinstance(error, dict) and "type" in error:
        message = error.get("message")
        return f"{error['type']}: {message}" if message else str(error["type"])
    budget = f"{detail.get('restarts')} restarts, {detail.get('intensity')} allowed"
    within = f"in {float(detail.get('period', 0)):g} s"
    match event:
        case "starting":
            return f"(start {detail['n']})" if detail.get("n", 1) != 1 else ""
        case "restarting":
            children = " ".join(str(child) for child in detail.get("children", ()))
            return f"{detail.get('strategy')}: {children} ({budget} {within})"
        case "gave_up":
            return f"({budget} {within})"
        case "killed":
            return ""
        case _:
            known = {"reason", "n"}
            more = (f"{key}={value}" for key, value in detail.items() if key not in known)
            return " ".join([str(detail.get("reason", "")), *more]).strip()
