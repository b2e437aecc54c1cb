"""What a supervisor decides when a child has ended. Pure: facts in, a decision out.

Theory of operation. The runtime tells a supervisor of every end of a child, one after the other.
It asks the functions below in turn, and performs the decision:

    FORGET      the child is done: a temporary one leaves the table, another keeps its spec
    RESTART     terminate and start what the strategy says (`affected`), as one atomic act,
                after the child's back-off if it has one
    GIVE_UP     the intensity is exceeded: stop all children in reverse order, exit `shutdown`
    AUTO_SHUT   a significant child ended of its own accord: stop all, exit `shutdown`

A start that fails during a restart is tried again as a system message of its own and counted like
any other restart, so that a stop request can get in between (OTP's `try_again_restart`).
Source: OTP `supervisor:do_restart/3`, `restart/2`, `do_auto_shutdown/2`.
"""

from __future__ import annotations

from enum import Enum
from itertools import takewhile
from typing import Any

from ssm_cli.behaviour.reasons import ExitReason, is_abnormal
from ssm_cli.spec.model import AutoShutdown, Backoff, Restart, Strategy


class Decision(Enum):
    """What is to be done; see the module's theory of operation."""

    FORGET = "forget"
    RESTART = "restart"
    GIVE_UP = "give_up"
    AUTO_SHUT = "auto_shut"


RESTART, GIVE_UP = Decision.RESTART, Decision.GIVE_UP  # asked for at each crash: globals are quick
PERMANENT, TRANSIENT = Restart.PERMANENT, Restart.TRANSIENT


def is_restarted(restart: Restart, reason: ExitReason) -> bool:
    """Whether an end for `reason` is followed by a restart.

    >>> from ssm_cli.behaviour.reasons import NORMAL, KILLED
    >>> [is_restarted(Restart.TRANSIENT, reason) for reason in (NORMAL, KILLED)]
    [False, True]
    """
    if restart is PERMANENT:
        return True
    return restart is TRANSIENT and is_abnormal(reason)


def on_restart(restarts: int, intensity: int) -> Decision:
    """Restart, or give up when the window holds more than `intensity` restarts with this one.

    >>> on_restart(3, 3), on_restart(4, 3)
    (<Decision.RESTART: 'restart'>, <Decision.GIVE_UP: 'give_up'>)
    """
    return RESTART if restarts <= intensity else GIVE_UP


def on_end(auto_shutdown: AutoShutdown, significant: bool, significant_left: bool) -> Decision:
    """Forget a child that is not restarted, or shut the supervisor down with it.

    Args:
        auto_shutdown: the supervisor's flag.
        significant: whether the child that ended is significant.
        significant_left: whether another significant child runs or is being restarted.

    >>> on_end(AutoShutdown.ALL_SIGNIFICANT, True, significant_left=False)
    <Decision.AUTO_SHUT: 'auto_shut'>
    """
    if not significant or auto_shutdown is AutoShutdown.NEVER:
        return Decision.FORGET
    if auto_shutdown is AutoShutdown.ALL_SIGNIFICANT and significant_left:
        return Decision.FORGET
    return Decision.AUTO_SHUT


def affected(strategy: Strategy, children: dict[str, Any], child: str) -> list[str]:
    """The ids of the children that a restart of `child` touches, in start order.

    They are terminated in reverse and then started in this order. Costs no more than the answer
    is long. `children` is keyed by id in start order.

    >>> affected(Strategy.REST_FOR_ONE, {"kv1": 1, "kv2": 2, "kv3": 3}, "kv2")
    ['kv2', 'kv3']
    """
    match strategy:
        case Strategy.ONE_FOR_ALL:
            return list(children)
        case Strategy.REST_FOR_ONE:
            later = list(takewhile(child.__ne__, reversed(children)))
            return [child, *reversed(later)]
        case Strategy.ONE_FOR_ONE | Strategy.SIMPLE_ONE_FOR_ONE:
            return [child]


def backoff_ms(backoff: Backoff, attempt: int, chance: float) -> float:
    """How long to wait before restart number `attempt` in a row (from 0), in milliseconds.

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
