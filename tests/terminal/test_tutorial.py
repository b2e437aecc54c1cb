"""The sessions of the tutorial, typed key by key into the real program with its screen."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.docs.console import ROOT, Shell, Step, steps_of
from tests.terminal.conftest import Open

PAGE = ROOT / "docs" / "tutorial" / "first-tree.md"
REPORT = re.compile(r"\.\.\. [^\w\s] ")  # the time of a report is left out on the page


def answers(step: Step) -> list[tuple[str, list[str]]]:
    """Each line typed, and the lines that the page shows as its answer."""
    found: list[tuple[str, list[str]]] = []
    for line in step.shown:
        if line.startswith("ssm> "):
            found.append((line.removeprefix("ssm> "), []))
        elif found and not REPORT.match(line) and line != "...":
            found[-1][1].append(line)
    return found


def test_the_sessions_of_the_tutorial_end_where_it_says(terminal: Open, tmp_path: Path) -> None:
    folder = tmp_path / "shell"
    folder.mkdir()
    shell = Shell(folder)
    sessions = 0
    for step in steps_of(PAGE):
        if not step.typed:
            shell.run(step)
            continue
        _, _, tree, *options = shlex.split(step.command)
        assert options == ["--plain"], step.command
        screen = terminal(rows=40, columns=120, tree=shell.here / tree)
        screen.shows("ssm\u276f", "── output")
        sessions += 1
        for typed, said in answers(step):
            for key in typed:
                screen.type(key)
            screen.shows(f"ssm\u276f {typed}"[:100])
            screen.type("\r")
            screen.shows(*(line[:60] for line in said))
        assert screen.ends() == 0
        assert b"stopped in order" in screen.raw
    assert sessions == 3
