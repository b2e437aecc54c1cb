"""What is written exactly comes back as it was: the same types and values, in any process.

Hundreds of values a run (10,000 with SSM_THOROUGH), of types of all kinds in one another.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssm_cli.codec.classes import Classes
from ssm_cli.codec.exact import canonical, read, read_plain, write
from tests.properties.exact_values import VALUES, described
from tests.thorough import tries

ROOT = Path(__file__).parents[2]
EXAMPLES = tries(60, 400)
AT_ONCE = 25
FRESH = tries(10, 20)  # examples of which another process reads the values
CLASSES = Classes()
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUICK
@given(st.lists(VALUES, min_size=AT_ONCE, max_size=AT_ONCE))
def test_what_comes_back_is_of_the_same_type_and_value(values: list[Any]) -> None:
    for value in values:
        data = write(value, CLASSES)
        again = read(data, CLASSES)
        assert described(again) == described(value)
        assert write(again, CLASSES) == data
        assert canonical(again, CLASSES) == canonical(value, CLASSES)
        read_plain(data)


@settings(QUICK, max_examples=tries(40, 100))
@given(VALUES, VALUES)
def test_values_that_are_not_the_same_are_not_written_the_same(one: Any, other: Any) -> None:
    alike = write(one, CLASSES) == write(other, CLASSES)
    assert alike == (described(one) == described(other))


def test_a_fresh_process_brings_back_the_same() -> None:
    written: list[bytes] = []
    expected: list[str] = []

    @settings(QUICK, max_examples=FRESH, database=None)
    @given(st.lists(VALUES, min_size=AT_ONCE, max_size=AT_ONCE))
    def collect(values: list[Any]) -> None:
        written.extend(write(value, CLASSES) for value in values)
        expected.extend(ascii(described(value)) for value in values)

    collect()
    program = "from tests.properties.exact_values import main; main()"
    lines = "".join(f"{data.hex()}\n" for data in written)
    for seed in ("1", "2"):  # the order of sets depends on it
        found = subprocess.run(
            [sys.executable, "-c", program], input=lines, cwd=ROOT, capture_output=True, text=True,
            check=True, env={"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert found.stdout.splitlines() == expected
