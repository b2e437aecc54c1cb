"""A crash report as a panel: what, by which input, in which state, where, and what was done."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ssm_cli.commands.text import budget_words, crash_facts, decision_words
from ssm_cli.commands.voice import clock
from ssm_cli.render.sanitize import one_line
from ssm_cli.render.theme import THEMES, Theme
from ssm_cli.runtime.views import CrashReport

LIMIT = 1000  # characters of one value


def crash_panel(report: CrashReport, theme: Theme = "dark") -> Panel:
    """The panel of a crash report; it is as wide as what it is printed to."""
    roles = {"": "", **THEMES[theme]}
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    for key, value, style in facts(report):
        rows.add_row(key, Text(one_line(value, LIMIT), roles[style]))
    title = Text.assemble(("✖ ", roles["bad"]), (one_line(report.path), "bold"), " crashed")
    return Panel(rows, title=title, subtitle=clock(report.at_s), border_style=roles["bad"])


def crash_texts(report: CrashReport) -> list[Text]:
    """The same as lines of the output, without a frame: who and when, then the facts.

    Each is a key and what it says, in the colours of the panel.
    """
    who = Text.assemble(
        ("  ✖ ", "bad"), (one_line(report.path), "bold"), f" crashed at {clock(report.at_s)}"
    )
    return [
        who,
        *(
            Text.assemble(f"  {key:<9} ", (one_line(value, LIMIT), style))
            for key, value, style in facts(report)
        ),
    ]


def facts(report: CrashReport) -> list[tuple[str, str, str]]:
    """What a crash report says, as key, value and style, in the order of reading."""
    rows, done = crash_facts(report), decision_words(report)
    rows.append(
        (report.supervisor, f"{done}  ({report.strategy})" if report.strategy else done, "")
    )
    if report.restarts is not None:
        used = budget_words(report.restarts, report.intensity, report.period)
        style = "" if report.budget_left else "warn"
        rows.append(("budget", f"{used}, {report.budget_left} left", style))
    return rows
