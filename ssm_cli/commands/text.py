"""Views as plain lines of text, without colour and Rich; the one escape of all that is shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from ssm_cli.errors import counted
from ssm_cli.runtime.views import ChildInfo, CrashReport, NodeView

MAX_SHOWN = 500  # characters of a user's text within a line of ours
WANTED = "\t\u200c\u200d"  # in a worker's own lines: tabs, and joiners inside words and emoji


def escaped(text: str, keep: str = "") -> str:
    r"""The text on one line: everything that does not print is written as its escape.

    Covers control bytes, escape sequences, line and paragraph separators, bidirectional
    overrides, zero-width characters and lone surrogates, so that a text of a user's is seen and
    does nothing. Spaces of any kind become a space. `keep`: characters that stay as they are.

    >>> escaped("red \x1b[31m and\na new line")
    'red \\x1b[31m and\\na new line'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def visible(text: str) -> str:
    r"""Escape a worker's text as `escaped` does, but for what belongs into text: tabs, joiners.

    >>> visible("a\tred \x1b[31m")
    'a\tred \\x1b[31m'
    """
    return escaped(text, WANTED)


def brief(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Escape a user's text to one line, cut to `limit` characters.

    >>> brief("a\nb"), brief("abcdef", 4)
    ('a\\nb', 'abc…')
    """
    shown = escaped(text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def budget_words(restarts: object, intensity: object, period_s: float | None) -> str:
    """How much of a restart budget is used: its fraction means used of allowed everywhere.

    >>> budget_words(1, 3, 5.0)
    '1 of 3 restarts in 5 s'
    """
    period = "" if period_s is None else f" in {period_s:g} s"
    return f"{restarts} of {intensity} restarts{period}"


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
    return tuple(table(rows, numbers=3))


def _rows(view: NodeView, depth: int) -> Iterator[tuple[str, str, str, str, str, str]]:
    label = f" ({brief(view.label, 40)})" if view.label else ""
    budget = "-"
    if view.intensity is not None and view.budget_left is not None:
        budget = f"{view.intensity - view.budget_left}/{view.intensity}, {view.budget_left} left"
    name = f"{'  ' * depth}{brief(view.id)}{label}"
    state: str = view.state
    if view.delay_ms is not None:
        state = f"{state}, retry in {view.delay_ms / 1000:.1f}s"
    if view.at:
        state = f"{state}, {brief(view.at, 40)}"
    if view.runs:
        state = f"{state}, {counted(view.runs, 'run')}"
    if view.age_s is not None:
        state = f"{state}, seen {view.age_s:.1f} s ago"
    if view.why:
        state = f"{state}: {brief(view.why, 160)}"
    where = view.strategy or (f"{view.node} #{view.epoch}" if view.node else "-")
    yield name, where, state, str(view.restarts), budget, str(view.queue)
    for child in view.children:
        yield from _rows(child, depth + 1)


def event_type(kind: object) -> str:
    """The type of an event of a `Statem` in words.

    >>> event_type("state_timeout"), event_type(("timeout", "retry"))
    ('state_timeout', 'timeout retry')
    """
    return " ".join(map(str, kind)) if isinstance(kind, tuple | list) else str(kind)


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


def table(rows: Sequence[tuple[str, ...]], numbers: int = 0) -> list[str]:
    """Return rows of cells as lines, aligned to the left; the last `numbers` columns to the right.

    >>> table([("NAME", "PID"), ("kv", "1")])
    ['NAME  PID', 'kv    1']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    marks = [*"<" * (len(widths) - numbers), *">" * numbers]
    cells = [f"{{:{mark}{width}}}" for mark, width in zip(marks, widths, strict=True)]
    return ["  ".join(cells).format(*row).rstrip() for row in rows]


def brief_table(rows: Iterable[Iterable[str]], limit: int = MAX_SHOWN) -> list[str]:
    """Return the same of texts of a user's, each cut to `limit` characters."""
    return table([tuple(brief(cell, limit) for cell in row) for row in rows])


def duration(seconds: float) -> str:
    """Format seconds for people.

    >>> duration(5.2), duration(3700), duration(200_000)
    ('5s', '1h01m', '2d07h')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def crash_facts(report: CrashReport) -> list[tuple[str, str, str]]:
    """Return what a report says of the crash itself: key, value and role, in the order of reading.

    The record comes first, with how to go to what its step was given.
    """
    before = f"`at {report.record - 1}` goes there, `at crash` to the last one"
    return [
        *([("record", f"{report.record}; {before}", "muted")] if report.record else []),
        ("error", f"{report.error_type}: {report.error_message}", "bad"),
        ("reason", report.reason, ""),
        ("input", report.input, ""),
        ("state", report.state, ""),
        *(("event", event, "muted") for event in report.events),
        *(("at", frame, "muted") for frame in report.stack),
    ]


def decision_words(report: CrashReport) -> str:
    """What the supervisor made of a crash, and of whom, where that is known."""
    return ": ".join(filter(None, (report.decision, " ".join(report.children))))


def crash_lines(report: CrashReport) -> tuple[str, ...]:
    """A crash report as lines: who, when (here), what, where, what was done."""
    budget = ""
    if report.restarts is not None:
        budget = f", {budget_words(report.restarts, report.intensity, report.period)}"
    by = f" ({report.strategy}{budget})" if report.strategy else ""
    at = datetime.fromtimestamp(report.at_s).astimezone()
    rows = [
        ("worker", f"{report.path}, under {report.supervisor}", ""),
        ("time", f"{at:%Y-%m-%d %H:%M:%S}", ""),
        *crash_facts(report),
        ("decision", f"{decision_words(report)}{by}", ""),
    ]
    return tuple(f"{key:<9} {brief(value, 1000)}" for key, value, _ in rows)
