"""The reference is complete: its tables name what the code has, no more and no less."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

import ssm_cli
from ssm_cli.cli.app import make_app
from ssm_cli.commands.routes import Route
from ssm_cli.commands.verbs import TABLE
from ssm_cli.errors import CallError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http.routes import ROUTES
from ssm_cli.runtime.views import CrashReport
from ssm_cli.spec import keys
from ssm_cli.spec.keys import Key, Place
from tests.architecture.source import ROOT, modules

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of all tables below a heading, up to the next one of any level."""
    text = page.read_text(encoding="utf-8")
    _, found, below = text.partition(f"\n{heading}\n")
    assert found, f"{page.name} has no heading {heading}"
    section = re.split(r"^#+ ", below, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in cells[1:]]


def first_words(page: Path, heading: str) -> list[str]:
    """What stands in backticks in the first cell of each row."""
    return [name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row[0])]


def row_of(key: Key) -> list[str]:
    """The row that a key of a tree file has in the reference."""
    match key.default:
        case None:
            default = "required" if key.required else "not set"
        case bool():
            default = str(key.default).lower()
        case "" | [] | {}:
            default = "empty"
        case _:
            default = f"{key.default:g}" if isinstance(key.default, float) else str(key.default)
    return [f"`{key.name}`", keys.expected(key), default, key.doc]


@pytest.mark.parametrize(
    ("heading", "place"),
    [
        ("## The root", "root"),
        ("## A supervisor below the root", "supervisor"),
        ("## A worker", "worker"),
        ("## A remote child", "remote"),
        ("## A back-off", "backoff"),
    ],
)
def test_the_keys_of_a_tree_file_are_those_of_the_validator(heading: str, place: Place) -> None:
    documented = rows(REFERENCE / "tree-file.md", heading)
    assert documented == [row_of(key) for key in keys.keys_on(place).values()]


def test_every_verb_is_in_the_reference_as_it_is_written() -> None:
    documented = [row[0] for row in rows(REFERENCE / "command-line.md", "## Verbs")]
    assert documented == [f"`{verb.usage}`" for verb in TABLE]


def route_row(route: Route) -> list[str]:
    """The row that a route has in the reference."""
    query = "&".join(f"{parameter.name}=" for parameter in route.query)
    target = f"`{route.method} {route.path}{'?' if query else ''}{query}`"
    return [target, route.role.name.lower() if route.role else "-", route.help]


def test_every_route_is_in_the_reference_as_its_row_has_it() -> None:
    documented = rows(REFERENCE / "http.md", "## Routes")
    assert sorted(documented) == sorted(route_row(route) for route in ROUTES)


def test_every_exit_code_is_in_the_reference() -> None:
    documented = rows(REFERENCE / "command-line.md", "## Exit codes")
    assert [row[:2] for row in documented] == [[str(int(c)), f"`{c.name}`"] for c in ExitCode]


def test_every_option_of_run_is_in_the_reference() -> None:
    command = typer.main.get_command(make_app())
    run = getattr(command, "commands")["run"]  # noqa: B009 - typer does not say it is a group
    options = {o for parameter in run.params for o in parameter.opts if o.startswith("-")}
    documented = first_words(REFERENCE / "command-line.md", "### `ssm run TREE`")
    assert {option.partition(" ")[0] for option in documented if option[0] == "-"} == options


def test_every_command_is_in_the_reference() -> None:
    command = typer.main.get_command(make_app())
    verbs = {verb.name for verb in TABLE}
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    own = set(getattr(command, "commands")) - verbs  # noqa: B009 - as above
    assert {name for name in own if f"### `ssm {name}" not in text} == set()


def events_in(node: ast.AST) -> set[str]:
    """The events that a piece of the runtime reports: one by one, or `events` of a group."""
    where: list[ast.AST] = []
    ways = ("world.report", "self.report")
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(ways):
        where = [node.args[0]]
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "events":
        where = [node.value]
    if isinstance(node, ast.FunctionDef) and node.name == "started":
        where = [n for n in ast.walk(node) if isinstance(n, ast.Return)]
    constants = [n.value for piece in where for n in ast.walk(piece) if isinstance(n, ast.Constant)]
    return {word for word in constants if isinstance(word, str)}


def test_every_event_that_the_runtime_reports_is_in_the_reference() -> None:
    reported: set[str] = set()
    for module in modules():
        if module.name.startswith("runtime."):
            reported |= {event for node in ast.walk(module.tree) for event in events_in(node)}
    assert set(first_words(REFERENCE / "records.md", "## Events")) == reported


def test_every_outcome_of_a_call_is_in_the_reference() -> None:
    known = {"replied", *(kind.outcome for kind in CallError.__subclasses__())}
    assert set(first_words(REFERENCE / "records.md", "## Outcomes")) == known


def test_every_public_name_is_in_the_reference_of_python() -> None:
    text = (REFERENCE / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)[^`]*`", text))
    assert {name for name in ssm_cli.__all__ if name not in named} == set()


def test_the_map_of_the_rooms_has_every_module_and_no_other() -> None:
    text = (DOCS / "explanation" / "rooms.md").read_text(encoding="utf-8")
    mapped = re.findall(r"^\| `([\w/]+\.py)` \|", text, re.MULTILINE)
    here = [m.place.removeprefix("ssm_cli/") for m in modules() if m.path.name != "__init__.py"]
    assert sorted(mapped) == sorted(here)
    assert len(mapped) == len(set(mapped))


def test_decisions_are_numbered_without_a_gap_and_say_why() -> None:
    pages = sorted((DOCS / "decisions").iterdir())
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        headings = [line for line in text.splitlines() if line.startswith("## ")]
        assert headings == ["## Context", "## Decision", "## Consequences"], page.name


def test_the_fields_of_a_crash_report_are_in_the_reference_of_python() -> None:
    documented = first_words(REFERENCE / "python.md", "## Crash reports")
    assert documented == list(CrashReport.__struct_fields__)
