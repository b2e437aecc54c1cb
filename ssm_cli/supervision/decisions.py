"""What a supervisor does about a child that ended or failed to start: facts to a verdict. Pure.

Theory of operation. Every end of a child, and every start that failed during a restart, comes here,
one after the other; the runtime carries out the verdict:

    Forget      the child is done: a temporary one leaves the table, another keeps its spec
    Restart     terminate `stop` in reverse order, then start `start` in order, as one atomic act
    Delay       terminate `stop`; start `start` once the back-off of the child is over
    GiveUp      the intensity is exceeded: stop all children in reverse order, exit `shutdown`
    AutoShut    a significant child ended of its own accord: stop all, exit `shutdown`

A start that fails during a restart is tried again as a message of its own and counted like any
other restart, so that a stop request can get in between (OTP's `try_again_restart`).
Source: OTP `supervisor:do_restart/3`, `restart/2`, `do_auto_shutdown/2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from ssm_cli.behaviour.reasons import ExitReason, Lost, is_abnormal
from ssm_cli.spec.model import (
    AutoShutdown,
    Backoff,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)
from ssm_cli.supervision.window import RestartWindow

PERMANENT, TRANSIENT, TEMPORARY = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY
ONE_FOR_ONE, SIMPLE = Strategy.ONE_FOR_ONE, Strategy.SIMPLE_ONE_FOR_ONE  # globals are quick
FENCED = Lost("fenced")
PASSES = {"noconnection", "no_node", "fenced", "stopped", "moved"}
NOBODY: Sequence[str] = ()


class Child(Protocol):
    """What a verdict has to know of a child.

    Attributes:
        spec: its child spec.
        last_reason: why it ended, or failed to start, last.
        since_s: when it was started last.
        status: 0 where it does not run, and is not to run again.
    """

    spec: Any
    last_reason: ExitReason
    since_s: float
    status: Any


class Forget(msgspec.Struct, frozen=True):
    """The child is done."""

    word = "forget"


class AutoShut(msgspec.Struct, frozen=True):
    """The supervisor ends with its significant child."""

    word = "auto_shut"


class GiveUp(msgspec.Struct, frozen=True):
    """The supervisor ends: `restarts` in the period are more than its intensity."""

    word = "give_up"
    restarts: int


class Restarted(msgspec.Struct, frozen=True):
    """The children `stop` are terminated, and `start` started, by their ids in start order.

    `restarts` is their number in the period. Who is in `stop` alone is temporary, and forgotten.
    """

    word = "restart"
    stop: Sequence[str]
    start: Sequence[str]
    restarts: int


class Delayed(msgspec.Struct, frozen=True):
    """The same, but the start waits until `until_s`; it is the `attempt`th in a row that does."""

    word = "delay"
    stop: Sequence[str]
    start: Sequence[str]
    restarts: int
    delay_ms: float
    until_s: float
    attempt: int


Verdict = Forget | AutoShut | GiveUp | Restarted | Delayed
FORGET, AUTO_SHUT = Forget(), AutoShut()


def verdict(  # noqa: PLR0917 - asked for each crash, and quicker without keywords
    flags: SupervisorSpec,
    window: RestartWindow,
    children: dict[str, Any],
    child: Child,
    ended: ExitReason | None,
    now_s: float,
    chance: float = 0.5,
    held: int = 0,
    temporary: bool = True,
) -> Verdict:
    """Decide what a supervisor does about a child.

    Args:
        flags: the supervisor's spec.
        window: its restarts so far; not changed: whoever restarts, delays or gives up adds one.
        children: its children (`Child`) by id, in start order.
        child: the child.
        ended: why it ended; None for a start that failed in a restart.
        now_s: monotonic seconds.
        chance: in [0, 1); spreads a back-off by its jitter.
        held: how many restarts of it in a row its back-off has held up.
        temporary: whether a child may be temporary; where none is, siblings are not looked at.
    """
    spec = child.spec
    options = spec.options if type(spec) is WorkerSpec else spec  # no property between
    restart = options.restart
    if restart is not PERMANENT and ended is not None and not is_restarted(restart, ended):
        return on_end(flags.auto_shutdown, children, child)
    counts = type(child.last_reason) is not Lost or is_counted(child, ended)  # mostly the first
    restarts = window.count(now_s) + counts
    if restarts > flags.intensity:
        return GiveUp(restarts)
    how, alone = flags.strategy, flags.strategy is ONE_FOR_ONE
    stop, start = (NOBODY, [spec.id]) if alone else scope(how, children, spec.id, temporary)
    if (backoff := options.backoff) is None:
        return Restarted(stop, start, restarts)
    held = 0 if ended is not None and now_s - child.since_s > flags.period_s else held
    delay_ms = backoff_ms(backoff, held, chance)
    return Delayed(stop, start, restarts, delay_ms, now_s + delay_ms / 1000, held + 1)


def is_restarted(restart: Restart, reason: ExitReason) -> bool:
    """Return whether an end for `reason` is followed by a restart.

    >>> from ssm_cli.behaviour.reasons import NORMAL, KILLED
    >>> [is_restarted(Restart.TRANSIENT, reason) for reason in (NORMAL, KILLED)]
    [False, True]
    """
    if restart is PERMANENT:
        return True
    return restart is TRANSIENT and is_abnormal(reason)


def is_counted(child: Child, ended: ExitReason | None) -> bool:
    """Return whether a restart counts against the intensity.

    A remote child that could not renew its lease has not failed, nor has one that cannot be
    started since the cluster does not answer, or no node is there for it just now.
    """
    reason = child.last_reason
    if type(reason) is not Lost:  # as mostly: to compare the two costs more than all the rest
        return True
    return not (reason == FENCED or (ended is None and is_cut_off(reason)))


def is_cut_off(reason: ExitReason) -> bool:
    """Return whether a remote child was not started for a reason that passes by itself."""
    return isinstance(reason, Lost) and reason.word in PASSES


def on_end(flag: AutoShutdown, children: dict[str, Any], child: Child) -> Verdict:
    """Decide about a child that is not restarted: forget it, or shut the supervisor down with it.

    Other significant children count while they run or are to be restarted.
    """
    if not child.spec.significant or flag is AutoShutdown.NEVER:
        return FORGET
    others = (other for other in children.values() if other is not child)
    if flag is AutoShutdown.ALL_SIGNIFICANT and any(
        other.spec.significant and other.status for other in others
    ):
        return FORGET
    return AUTO_SHUT


def scope(
    strategy: Strategy, children: dict[str, Any], child: str, temporary: bool = True
) -> tuple[Sequence[str], Sequence[str]]:
    """Return the ids that a restart of `child` terminates and starts, both in start order.

    Temporary siblings are terminated only; `temporary` as in `verdict`. Together with the child,
    those that are terminated are the last ones of all `children`.
    """
    if strategy is ONE_FOR_ONE or strategy is SIMPLE:
        return NOBODY, [child]
    start = affected(strategy, children, child)
    stop = start.copy()
    stop.remove(child)
    if not temporary:
        return stop, start
    cells = map(children.__getitem__, stop) if len(start) < len(children) else children.values()
    going = {
        spec.id
        for cell in cells
        if (spec.options if type(spec := cell.spec) is WorkerSpec else spec).restart is TEMPORARY
    }
    going.discard(child)
    return stop, [name for name in start if name not in going] if going else start


def is_ordered(strategy: Strategy) -> bool:
    """Return whether later children depend on earlier ones, and so wait for them to start.

    >>> is_ordered(Strategy.REST_FOR_ONE), is_ordered(Strategy.ONE_FOR_ONE)
    (True, False)
    """
    return strategy is not ONE_FOR_ONE and strategy is not SIMPLE


def affected(strategy: Strategy, children: dict[str, Any], child: str) -> list[str]:
    """Return the ids of the children that a restart of `child` touches, in start order.

    They are terminated in reverse and then started in this order. Costs no more than the answer
    is long. `children` is keyed by id in start order.

    >>> affected(Strategy.REST_FOR_ONE, {"kv1": 1, "kv2": 2, "kv3": 3}, "kv2")
    ['kv2', 'kv3']
    """
    match strategy:
        case Strategy.ONE_FOR_ALL:
            return list(children)
        case Strategy.REST_FOR_ONE:
            last_first = [*iter(reversed(children).__next__, child), child]
            return last_first[::-1]
        case Strategy.ONE_FOR_ONE | Strategy.SIMPLE_ONE_FOR_ONE:
            return [child]


def backoff_ms(backoff: Backoff, attempt: int, chance: float) -> float:
    """Return how long to wait before restart number `attempt` in a row (from 0), in milliseconds.

    `chance` in [0, 1) comes from the node's random source and spreads the delay by `jitter`.

    >>> [backoff_ms(Backoff(100, 2, 1000), n, 0.5) for n in range(5)]
    [100.0, 200.0, 400.0, 800.0, 1000.0]
    """
    exponent = min(attempt, 1024)
    try:
        delay_ms = min(backoff.initial_ms * backoff.factor**exponent, backoff.max_ms)
    except OverflowError:
        delay_ms = backoff.max_ms
    return delay_ms * (1 + backoff.jitter * (2 * chance - 1))
