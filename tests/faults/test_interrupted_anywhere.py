"""An exception from outside, at any line of the engine: the tree is whole, and it comes out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache

import pytest

from ssm_cli.runtime.runs import runner
from ssm_cli.runtime.runs.tasks import OwnLoop
from tests.faults import (
    applied,
    asks,
    awaited,
    bare,
    bound,
    breadth,
    broken,
    copied,
    crossing,
    doors,
    durably,
    edges,
    kept,
    last,
    pieces,
    placed,
    plainly,
    ran,
    recoded,
    recovery,
    remnants,
    rest,
    scenarios,
    seldom,
    storage_parts,
    storing,
    talkers,
    ticks,
    twice,
)
from tests.faults.again import again
from tests.faults.injection import ROOMS, Method, Point, engine_lines, executed, plan, sweep
from tests.faults.stage import Scenario

MOST_MISSED = 1 / 4  # of the points of a scenario: what is remembered changes the way taken
MOST_BY_CHANCE = 3 / 4  # ... of one on the machine's clock: when the guard ticks is chance

THEMES = (
    scenarios, edges, recovery, storing, doors, awaited, ticks, twice, pieces, plainly, rest,
    last, ran, bound, recoded, applied, broken, talkers,
    breadth, crossing, asks, kept, bare, seldom, durably, remnants, placed,
    storage_parts, copied,
)  # fmt: skip
SCENARIOS: list[Scenario] = [scenario for theme in THEMES for scenario in theme.SCENARIOS]


pytestmark = [  # of a run that is struck before it has begun: Python tells of its coroutine
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def _no_patience() -> Iterator[None]:
    """Real time is not waited for: the runs of the scenarios end by turns of the loop, or never."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "PATIENCE_S", 0.001)
        patch.setattr(OwnLoop, "LAST_S", 0.01)
        yield


@cache
def planned(method: Method) -> dict[str, list[Point]]:
    return plan([*SCENARIOS, *second()], method)


@cache
def second() -> list[Scenario]:
    return again(SCENARIOS)


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


@pytest.mark.parametrize("method", Method, ids=lambda method: method.value)
def test_the_tree_is_whole_where_the_engine_copes_with_a_first_exception(method: Method) -> None:
    chosen = planned(method)
    failed = [str(sweep(one, method, chosen[one.name])) for one in second()
              if sweep(one, method, chosen[one.name]).failed]  # fmt: skip
    assert not failed, "\n".join(failed)


def test_each_scenario_has_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len({*names}) == len(names), "what is recorded of one would be struck in another"


def test_each_line_of_the_engine_is_executed_by_a_scenario() -> None:
    reached = executed([*SCENARIOS, *second()])
    left = {
        path.removeprefix(ROOMS): sorted(lines - reached[path])
        for path, lines in engine_lines().items()
        if lines - reached[path]
    }
    assert not left
