"""Reports as lines of styled text: when, a glyph, who and why, in the words of `voice`."""

from __future__ import annotations

from datetime import tzinfo

from rich.text import Text

from ssm_cli.commands.voice import clock, entry
from ssm_cli.runtime.views import Report


def log_text(report: Report, zone: tzinfo | None = None) -> Text:
    """A report as one line of styled text; its characters are those of `report_line`."""
    said = entry(report)
    text = Text()
    text.append(f"{clock(report.at_s, zone)} ", "muted")
    text.append(f"{said.glyph} ", said.role)
    text.append(said.who, "bold")
    text.append(f" {said.why}", said.role if said.glyph == "✖" else "")
    return text
