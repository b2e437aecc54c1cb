from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli import Supervisor, Worker
from ssm_cli.behaviour.reasons import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Crash,
    ExitReason,
    Lost,
    Other,
    Shutdown,
)
from ssm_cli.spec.model import Backoff, Restart, Strategy, SupervisorSpec, WorkerSpec
from ssm_cli.supervision.decisions import (
    Delayed,
    Restarted,
    Verdict,
    affected,
    backoff_ms,
    is_restarted,
    verdict,
)
from ssm_cli.supervision.window import RestartWindow

NO_CODE: Any = None  # a decision does not look at it

REASONS: list[ExitReason] = [
    NORMAL,
    SHUTDOWN,
    Shutdown("x"),
    KILLED,
    Crash(ValueError()),
    Other("oops"),
]


@pytest.mark.parametrize(
    ("restart", "restarted"),
    [
        (Restart.PERMANENT, [True] * 6),
        (Restart.TRANSIENT, [False, False, False, True, True, True]),
        (Restart.TEMPORARY, [False] * 6),
    ],
)
def test_the_restart_type_decides_by_the_reason(restart: Restart, restarted: list[bool]) -> None:
    assert [is_restarted(restart, reason) for reason in REASONS] == restarted


class Kid:
    """A child as a verdict sees it."""

    def __init__(self, spec: WorkerSpec, *, up: bool = True, since_s: float = 0.0) -> None:
        self.spec = spec
        self.status = int(up)
        self.since_s = since_s
        self.last_reason: ExitReason = NORMAL


def kids(*specs: WorkerSpec) -> dict[str, Kid]:
    return {spec.id: Kid(spec) for spec in specs}


def decide(
    flags: SupervisorSpec,
    children: dict[str, Kid],
    child: str,
    ended: ExitReason | None = KILLED,
    restarts_s: Sequence[float] = (),
    **more: Any,
) -> Verdict:
    window = RestartWindow(flags.period_s)
    for at_s in restarts_s:
        window.add(at_s)
    return verdict(flags, window, children, children[child], ended, now_s=10.0, **more)


def flags(strategy: Any = "one_for_one", **more: Any) -> SupervisorSpec:
    return Supervisor("s", strategy, **{"intensity": 2, "period": 5} | more)


def test_more_restarts_than_the_intensity_end_the_supervisor() -> None:
    children = kids(Worker("a", NO_CODE))
    decided = [decide(flags(), children, "a", restarts_s=[9.0] * n) for n in range(3)]
    assert [(one.word, getattr(one, "restarts", 0)) for one in decided] == [
        ("restart", 1),
        ("restart", 2),
        ("give_up", 3),
    ]
    assert decide(flags(intensity=0), children, "a").word == "give_up"


def test_a_failed_start_is_decided_as_an_end_that_is_restarted_whatever_its_type() -> None:
    children = kids(Worker("a", NO_CODE, restart="transient"))
    assert decide(flags(), children, "a", NORMAL).word == "forget"
    assert decide(flags(), children, "a", None).word == "restart"


@pytest.mark.parametrize("reason", [Lost("fenced"), Lost("noconnection")])
def test_a_remote_child_that_its_cluster_keeps_from_running_is_not_counted(reason: Lost) -> None:
    children = kids(Worker("a", NO_CODE))
    children["a"].last_reason = reason
    decided = decide(flags(intensity=0), children, "a", None)
    assert isinstance(decided, Restarted)
    assert decided.restarts == 0


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [("one_for_one", "", "b"), ("one_for_all", "acd", "abd"), ("rest_for_one", "cd", "bd")],
)
def test_temporary_siblings_go_down_with_a_group_and_do_not_come_back(
    strategy: str, stop: str, start: str
) -> None:
    specs = [Worker(n, NO_CODE, restart="temporary" if n == "c" else "permanent") for n in "abcd"]
    decided = decide(flags(strategy), kids(*specs), "b")
    assert isinstance(decided, Restarted)
    assert ("".join(decided.stop), "".join(decided.start)) == (stop, start)


def test_a_back_off_grows_with_failures_and_begins_anew_once_a_child_ran_for_a_period() -> None:
    spec = Worker("a", NO_CODE, backoff=Backoff(100, 2, 1000))
    children = {"a": Kid(spec, since_s=6.0)}
    delays: list[float] = []
    held = 0
    for ended in (KILLED, None, None):
        decided = decide(flags(intensity=9), children, "a", ended, held=held)
        assert isinstance(decided, Delayed)
        delays.append(decided.delay_ms)
        held = decided.attempt
    children["a"].since_s = 4.9  # more than the period of 5 s ago
    for ended in (None, KILLED):  # a start that fails is none that ran
        decided = decide(flags(intensity=9), children, "a", ended, held=held)
        assert isinstance(decided, Delayed)
        delays.append(decided.delay_ms)
    assert delays == [100, 200, 400, 800, 100]


@pytest.mark.parametrize(
    ("flag", "significant", "left", "word"),
    [
        ("never", True, False, "forget"),
        ("any_significant", False, False, "forget"),
        ("any_significant", True, True, "auto_shut"),
        ("all_significant", True, True, "forget"),
        ("all_significant", True, False, "auto_shut"),
        ("all_significant", False, False, "forget"),
    ],
)
def test_significant_children_may_end_their_supervisor(
    flag: str, significant: bool, left: bool, word: str
) -> None:
    more: Any = {"restart": "temporary"}
    children = kids(
        Worker("a", NO_CODE, significant=significant, **more),
        Worker("b", NO_CODE, significant=True, **more),
        Worker("c", NO_CODE, **more),
    )
    children["b"].status = int(left)
    assert decide(flags(auto_shutdown=flag), children, "a", NORMAL).word == word


@pytest.mark.parametrize(
    ("strategy", "group"),
    [
        (Strategy.ONE_FOR_ONE, ["b"]),
        (Strategy.SIMPLE_ONE_FOR_ONE, ["b"]),
        (Strategy.REST_FOR_ONE, ["b", "c", "d"]),
        (Strategy.ONE_FOR_ALL, ["a", "b", "c", "d"]),
    ],
)
def test_the_strategy_says_whom_a_restart_touches(strategy: Strategy, group: list[str]) -> None:
    assert affected(strategy, dict.fromkeys("abcd"), "b") == group


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.data())
def test_a_restart_touches_children_in_start_order_and_always_the_one_that_ended(
    ids: list[str], data: st.DataObject
) -> None:
    child = data.draw(st.sampled_from(ids))
    for strategy in Strategy:
        group = affected(strategy, dict.fromkeys(ids), child)
        assert child in group
        assert group == [id_ for id_ in ids if id_ in group]


@given(
    initial=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    most=st.floats(0, 1e9),
    jitter=st.floats(0, 1),
    when=st.tuples(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True)),
)
def test_a_delay_is_never_negative_nor_longer_than_its_maximum_and_jitter(
    initial: float, factor: float, most: float, jitter: float, when: tuple[int, float]
) -> None:
    attempt, chance = when
    delay_ms = backoff_ms(Backoff(initial, factor, most, jitter), attempt, chance)
    assert 0 <= delay_ms <= most * (1 + jitter)


def test_jitter_spreads_a_delay_to_both_sides() -> None:
    backoff = Backoff(100, 2, 1000, jitter=0.1)
    assert [backoff_ms(backoff, 0, chance) for chance in (0.0, 0.5)] == [90, 100]
    assert backoff_ms(backoff, 0, 0.999) == pytest.approx(110, abs=0.1)


def test_a_restart_exactly_as_old_as_the_period_still_counts() -> None:
    window = RestartWindow(5.0)
    for now_s, count in ((0.0, 1), (5.0, 2), (5.0 + 1e-9, 2)):
        window.add(now_s)
        assert window.count(now_s) == count


@given(st.lists(st.floats(0, 100), max_size=50), st.floats(0.1, 20))
def test_the_window_counts_exactly_the_restarts_of_its_period(
    times_s: list[float], period_s: float
) -> None:
    window = RestartWindow(period_s)
    seen: list[float] = []
    for now_s in sorted(times_s):
        seen.append(now_s)
        window.add(now_s)
        assert window.count(now_s) == sum(time_s >= now_s - period_s for time_s in seen)
