from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.differences import as_we_do_it, load

STEP = {"op": "crash", "result": "crash", "trace": []}
ENTRY = """
[[difference]]
vector = "x-01"
step = 2
field = "result"
otp = '"crash"'
ssm = '"ok"'
why = "because"
"""


def test_a_known_difference_takes_the_place_of_what_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(ENTRY)
    known = load(tmp_path / "d.toml")
    assert as_we_do_it("x-01", 2, STEP, known)["result"] == "ok"
    assert as_we_do_it("x-01", 1, STEP, known) == STEP
    assert as_we_do_it("x-02", 2, STEP, known) == STEP


def test_a_difference_that_is_none_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(ENTRY)
    with pytest.raises(AssertionError, match="OTP's result is 'normal'"):
        as_we_do_it("x-01", 2, STEP | {"result": "normal"}, load(tmp_path / "d.toml"))


def test_a_difference_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(ENTRY.replace("because", " "))
    with pytest.raises(AssertionError, match="has a reason"):
        load(tmp_path / "d.toml")
