"""The page that says where OTP's functions are: every Python name on it exists."""

from __future__ import annotations

import re
from pathlib import Path

import ssm_cli
from ssm_cli import Caller, EventHandler, GenServer, Node, RequestIds, Statem, Supervisor
from ssm_cli.cli.commands import COMMANDS
from ssm_cli.commands.verbs import VERBS
from ssm_cli.spec.keys import KEYS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "otp.md"
ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
STATED = {"state_name", "step"}  # of a user's own
NAME = re.compile(r"\b([A-Za-z_]+)\(")


def called_names() -> set[str]:
    """Every name that stands before a parenthesis in the code of the last column."""
    found: set[str] = set()
    for _, ours in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for code in CODE.findall(ours):
            found |= set(NAME.findall(code))
    return found


def test_every_name_in_the_last_column_exists() -> None:
    ours = (Node(Supervisor("root")), GenServer, Statem, EventHandler, Caller, RequestIds)
    known = {name for one in ours for name in dir(one)} | {*ssm_cli.__all__, *STATED}
    assert called_names() - known == set()
    assert len(called_names()) > 40


def test_what_is_missing_says_why() -> None:
    for theirs, ours in ROW.findall(PAGE.read_text(encoding="utf-8")):
        if ours.startswith("missing"):
            assert re.match(r"missing: \S", ours), theirs


def test_what_a_tree_file_is_of_an_application_are_its_keys_and_commands() -> None:
    """The keys in the last column are keys of a tree file, and the commands are commands."""
    page = PAGE.read_text(encoding="utf-8")
    section = page[page.index("## application") : page.index("## sys")]
    codes = [code for _, ours in ROW.findall(section) for code in CODE.findall(ours)]
    commands = {*COMMANDS, *VERBS}
    assert {code.split()[1] for code in codes if code.startswith("ssm ")} <= commands
    words = {code for code in codes if re.fullmatch("[a-z_]+", code)}
    assert words - {key.name for key in KEYS} == {"version", "terminate", "ssm"}  # of the code
