"""Every row of the failure matrix names a test that is there."""

from __future__ import annotations

import re

import pytest

from tests.architecture.source import ROOT

PAGE = ROOT / "docs/reference/failures.md"
TABLE = PAGE.read_text().partition("|---|---|---|---|---|---|\n")[2].partition("\n\n")[0]


def test_the_failure_matrix_is_read_whole() -> None:
    assert len(TABLE.splitlines()) > 60


@pytest.mark.parametrize("row", TABLE.splitlines(), ids=lambda row: row.split(" | ")[0][2:42])
def test_a_row_of_the_failure_matrix_names_tests_that_are_there(row: str) -> None:
    last, text, tests = row.rstrip(" |").rpartition(" | ")[2], "", []
    for word in re.findall(r"`([^`]+)`", last):
        if word.endswith(".py"):
            text = (ROOT / "tests" / word).read_text()
            continue
        assert f"def {word}(" in text, f"there is no {word}"
        tests += [word] if word.startswith("test_") else []
    assert tests, "no test is named"
