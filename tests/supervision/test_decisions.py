from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.behaviour.reasons import KILLED, NORMAL, SHUTDOWN, Crash, ExitReason, Other, Shutdown
from ssm_cli.spec.model import AutoShutdown, Backoff, Restart, Strategy
from ssm_cli.supervision.decisions import (
    Decision,
    affected,
    backoff_ms,
    is_restarted,
    on_end,
    on_restart,
)
from ssm_cli.supervision.window import RestartWindow

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


def test_more_restarts_than_the_intensity_end_the_supervisor() -> None:
    assert [on_restart(n, 2).value for n in (1, 2, 3)] == ["restart", "restart", "give_up"]
    assert on_restart(1, 0) is Decision.GIVE_UP


@pytest.mark.parametrize(
    ("flag", "significant", "left", "decision"),
    [
        (AutoShutdown.NEVER, True, False, Decision.FORGET),
        (AutoShutdown.ANY_SIGNIFICANT, False, False, Decision.FORGET),
        (AutoShutdown.ANY_SIGNIFICANT, True, True, Decision.AUTO_SHUT),
        (AutoShutdown.ALL_SIGNIFICANT, True, True, Decision.FORGET),
        (AutoShutdown.ALL_SIGNIFICANT, True, False, Decision.AUTO_SHUT),
        (AutoShutdown.ALL_SIGNIFICANT, False, False, Decision.FORGET),
    ],
)
def test_significant_children_may_end_their_supervisor(
    flag: AutoShutdown, significant: bool, left: bool, decision: Decision
) -> None:
    assert on_end(flag, significant, significant_left=left) is decision


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
    assert [window.add(now_s) for now_s in (0.0, 5.0, 5.0 + 1e-9)] == [1, 2, 2]


@given(st.lists(st.floats(0, 100), max_size=50), st.floats(0.1, 20))
def test_the_window_counts_exactly_the_restarts_of_its_period(
    times_s: list[float], period_s: float
) -> None:
    window = RestartWindow(period_s)
    seen: list[float] = []
    for now_s in sorted(times_s):
        seen.append(now_s)
        assert window.add(now_s) == sum(time_s >= now_s - period_s for time_s in seen)
