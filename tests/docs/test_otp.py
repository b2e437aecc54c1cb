"""The page that says where OTP's functions are: every Python name on it exists."""

from __future__ import annotations

import re
from pathlib import Path

import ssm_cli
from ssm_cli import Caller, GenServer, Node, Supervisor

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "otp.md"
ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
NAME = re.compile(r"\b([A-Za-z_]+)\(")


def called_names() -> set[str]:
    """Every name that stands before a parenthesis in the code of the last column."""
    found: set[str] = set()
    for _, ours in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for code in CODE.findall(ours):
            found |= set(NAME.findall(code))
    return found


def test_every_name_in_the_last_column_exists() -> None:
    known = {*dir(Node(Supervisor("root"))), *dir(GenServer), *dir(Caller), *ssm_cli.__all__}
    assert called_names() - known == set()
    assert len(called_names()) > 40


def test_what_is_missing_says_why() -> None:
    for theirs, ours in ROW.findall(PAGE.read_text(encoding="utf-8")):
        if ours.startswith("missing"):
            assert re.match(r"missing: \S", ours), theirs
