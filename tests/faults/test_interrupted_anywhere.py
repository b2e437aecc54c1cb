"""An exception from outside, at any line of the engine: the tree is whole, and it comes out."""

from __future__ import annotations

import sys
from functools import cache

import pytest

from tests.faults import (
    applied,
    awaited,
    bound,
    breadth,
    broken,
    doors,
    edges,
    last,
    pieces,
    plainly,
    ran,
    recoded,
    recovery,
    rest,
    scenarios,
    storing,
    talkers,
    ticks,
    twice,
)
from tests.faults.injection import Method, Point, coverage, plan, sweep
from tests.faults.stage import Scenario

LEAST_COVERED = 0.89  # of the lines of the functions of the engine; breaks are not among them
MOST_MISSED = 1 / 4  # of the points of a scenario: what is remembered changes the way taken
MOST_BY_CHANCE = 3 / 4  # ... of one on the machine's clock: when the guard ticks is chance

THEMES = (
    scenarios, edges, recovery, storing, doors, awaited, ticks, twice, pieces, plainly, rest,
    last, ran, bound, recoded, applied, broken, talkers,
    breadth,
)  # fmt: skip
SCENARIOS: list[Scenario] = [scenario for theme in THEMES for scenario in theme.SCENARIOS]


@cache
def planned(method: Method) -> dict[str, list[Point]]:
    return plan(SCENARIOS, method)


@pytest.mark.parametrize("method", Method, ids=lambda method: method.value)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_tree_is_whole_and_the_exception_comes_out_of(
    scenario: Scenario, method: Method
) -> None:
    found = sweep(scenario, method, planned(method)[scenario.name])
    assert not found.failed, str(found)
    assert sys.exception() is None, "what was thrown in is taken for handled in all that follows"
    by_chance = MOST_BY_CHANCE if "clock" in scenario.options else MOST_MISSED
    assert found.missed <= 1 + found.points * by_chance


def test_each_scenario_has_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len({*names}) == len(names), "what is recorded of one would be struck in another"


def test_the_scenarios_execute_most_lines_of_the_engine() -> None:
    hit, lines = coverage(SCENARIOS)
    print(f"{hit} of {lines} lines of the engine are executed")
    assert hit / lines > LEAST_COVERED
