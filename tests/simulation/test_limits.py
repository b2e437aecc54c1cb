"""Limits that cannot work; that they do not is shown by real trees on a manual clock."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import Node, StateMachine, Strategy, Supervisor, SupervisorSpec, Worker
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation.limits import limit_complaints
from ssm_cli.simulation.stand_ins import come_to_rest
from ssm_cli.spec.model import Backoff
from tests.simulation.weaknesses import sound

QUICK: dict[str, Any] = {"init_timeout": 100}


def rules(tree: SupervisorSpec) -> list[tuple[str, str]]:
    return [(one.path, one.rule) for one in limit_complaints(tree)]


def tree_of(*children: Any, intensity: int = 3, period: float = 5) -> SupervisorSpec:
    return Supervisor("root", children=list(children), intensity=intensity, period=period)


def runs_on(tree: SupervisorSpec, each_s: float, crashes: int = 60) -> bool:
    """Whether a tree runs on whose worker `w` crashes once in so many seconds."""
    node = Node(tree, clock=ManualClock()).start()
    for _ in range(crashes):
        node.run(each_s)
        if node.running and node.whereis("w") is not None:
            node.stop_process("w", "crash")
            come_to_rest(node)
    return node.running


def test_a_tree_with_quick_inits_and_one_level_has_no_complaint() -> None:
    assert rules(tree_of(Worker("w", sound, **QUICK))) == []


def test_an_init_as_long_as_the_period_is_told_with_its_numbers() -> None:
    (one,) = limit_complaints(tree_of(Worker("w", sound), intensity=1))
    assert (one.path, one.rule) == ("root", "init")
    assert "w may init for 5 s, at most 1 of that in the period of 5 s" in one.text
    assert "longer than 5 s" in one.text


@pytest.mark.parametrize(("limit_ms", "complains"), [(5000, True), (1667, True), (1600, False)])
def test_an_init_is_too_long_from_the_period_over_the_intensity_on(
    limit_ms: int, complains: bool
) -> None:
    tree = tree_of(Worker("w", sound, init_timeout=limit_ms))
    assert (rules(tree) == [("root", "init")]) == complains
    assert (
        runs_on(tree, limit_ms / 1000 + 0.001) == complains
    )  # each try ends just behind its limit


def test_an_init_without_a_limit_or_an_intensity_of_nothing_is_no_matter_of_the_period() -> None:
    assert rules(tree_of(Worker("w", sound, init_timeout="infinity"))) == []
    assert rules(tree_of(Worker("w", sound), intensity=0)) == []


def test_a_back_off_that_outgrows_the_period_is_told_and_restarts_without_end() -> None:
    tree = tree_of(Worker("w", sound, backoff=Backoff(1000, 2, 30_000), **QUICK))
    assert rules(tree) == [("root", "backoff")]
    assert runs_on(tree, 0.1, crashes=1000)
    short = tree_of(Worker("w", sound, backoff=Backoff(100, 2, 400), **QUICK))
    assert rules(short) == []
    assert not runs_on(short, 0.1, crashes=1000)


def nested(period: float) -> SupervisorSpec:
    below = Supervisor("below", children=[Worker("w", sound, **QUICK)], intensity=1, period=5)
    return tree_of(below, intensity=1, period=period)


@pytest.mark.parametrize(("period", "complains"), [(5, True), (9, True), (10, False), (60, False)])
def test_a_supervisor_that_gives_up_more_slowly_than_the_one_above_counts_is_told(
    period: float, complains: bool
) -> None:
    tree = nested(period)
    assert (rules(tree) == [("root/below", "nesting")]) == complains
    assert runs_on(tree, 5.0) == complains


def test_a_product_of_intensities_is_told_with_its_factors() -> None:
    worker = Worker("w", sound, **QUICK)
    low = Supervisor("low", children=[worker], intensity=9, period=3600)
    high = Supervisor("high", children=[low], intensity=9, period=100_000)
    (one,) = limit_complaints(tree_of(high, intensity=9, period=10_000_000))
    assert (one.path, one.rule) == ("root/high/low", "product")
    assert "1,000 times" in one.text
    assert "10 x 10 x 10 over 3 supervisors" in one.text


@pytest.mark.parametrize(
    ("shutdown", "said"),
    [(90_001, "`shutdown` is 90.001 s"), ("infinity", "`shutdown` is infinity"), (90_000, None)],
)
def test_a_child_that_stops_more_slowly_than_systemd_waits_is_told(
    shutdown: Any, said: str | None
) -> None:
    found = limit_complaints(tree_of(Worker("w", sound, shutdown=shutdown, **QUICK)))
    assert [said in one.text for one in found if said] == ([True] if said else [])
    assert bool(found) == bool(said)


def test_many_children_that_stop_one_after_the_other_are_told_together() -> None:
    workers = [Worker(f"w{n}", sound, **QUICK) for n in range(20)]
    (one,) = limit_complaints(tree_of(*workers))
    assert (one.rule, "20 workers may take 100 s together" in one.text) == ("shutdown", True)


def test_a_template_of_a_pool_is_not_restarted_so_nothing_is_said_of_it() -> None:
    template = Worker("one", sound, restart="temporary")
    pool = Supervisor("pool", Strategy.SIMPLE_ONE_FOR_ONE, [template])
    assert rules(tree_of(pool)) == []


def test_a_worker_of_a_class_is_looked_at_like_one_of_a_step() -> None:
    assert rules(tree_of(Worker("w", StateMachine(step=sound.step)), intensity=1)) != []
