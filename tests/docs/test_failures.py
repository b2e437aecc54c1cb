"""Every row of the failure matrix names a test that is there."""

from __future__ import annotations

import re

from tests.architecture.source import ROOT

PAGE = ROOT / "docs/reference/failures.md"


def test_every_row_of_the_failure_matrix_names_tests_that_are_there() -> None:
    rows = [
        line for line in PAGE.read_text().splitlines() if "| `cluster/" in line or "/test_" in line
    ]
    assert len(rows) > 30
    for row in rows:
        last = row.rstrip(" |").rpartition(" | ")[2]
        named = re.findall(r"`((?:cluster|remote)/\S+\.py)`\*? `(\w+)`", last)
        assert named, f"no test is named in: {row}"
        for file, name in named:
            assert name in (ROOT / "tests" / file).read_text(), f"{file} has no {name}"
