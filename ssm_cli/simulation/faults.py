"""Faults: what can be done to a tree in a simulation, to whom, and how often."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from fnmatch import fnmatchcase
from shlex import quote
from typing import Any

import msgspec

from ssm_cli.errors import CommandError

MOST_WEIGHTS = 200  # of one run
WEIGHT = re.compile(r"(?:(?P<pattern>[^=]*)=)?(?P<number>[0-9.]+)\s*%")


class FaultKind(Enum):
    """What is done; the values are the options of `chaos` and the words of its table.

    Raise in a step, kill, overrun a step's limit, take most of it; crash and have the next init
    raise, or overrun its limit; fill the queue; let all timers come late; lose a timer; set the
    wall clock.
    """

    CRASH = "crash"
    KILL = "kill"
    HANG = "hang"
    SLOW = "slow"
    FAIL_INIT = "fail-init"
    SLOW_INIT = "slow-init"
    FILL_QUEUE = "fill-queue"
    LATE = "late"
    LOSE_TIMER = "lose-timer"
    JUMP = "jump"


OF_ALL = (FaultKind.LATE, FaultKind.JUMP)
"""What happens to the whole tree, and to no worker of it."""


class Fault(msgspec.Struct, frozen=True):
    """A fault that is put into a tree.

    Attributes:
        kind: what is done.
        seconds: how long it takes, or how far the clock is set; 0 where it has no length.
        times: how often an init fails.
        given: the input that a queue is filled with.
    """

    kind: FaultKind
    seconds: float = 0.0
    times: int = 1
    given: Any = None


def is_like(one: Any, other: Any) -> bool:
    """Return whether two messages are inputs, or faults of the same kind."""
    faults = isinstance(one, Fault), isinstance(other, Fault)
    return not any(faults) or (all(faults) and one.kind is other.kind)


class Weight(msgspec.Struct, frozen=True):
    """In which share of the steps a fault happens (0 to 1), to a worker whose name matches."""

    kind: FaultKind
    pattern: str
    share: float


DEFAULTS = {
    FaultKind.CRASH: 0.02,
    FaultKind.KILL: 0.01,
    FaultKind.HANG: 0.005,
    FaultKind.SLOW: 0.01,
    FaultKind.FAIL_INIT: 0.005,
    FaultKind.SLOW_INIT: 0.005,
    FaultKind.FILL_QUEUE: 0.002,
    FaultKind.LATE: 0.005,
    FaultKind.LOSE_TIMER: 0.005,
    FaultKind.JUMP: 0.002,
}
"""The shares where none is asked for: about 7 % of the steps are faults, 4 % end a worker."""


def weights_of(given: Mapping[str, str | None], workers: Sequence[str]) -> list[Weight]:
    """Return the weights that were asked for; where none were, those of `DEFAULTS`.

    Args:
        given: by the value of a `FaultKind`, `PATTERN=5%` or `5%`, several with commas.
        workers: the names that a pattern may match.

    Raises:
        CommandError: one is no weight, is 0 or more than 100 %, or matches no worker; or all
            together are more than 100 %.

    >>> weights_of({"kill": "kv*=5%"}, ["kv1"])
    [Weight(kind=<FaultKind.KILL: 'kill'>, pattern='kv*', share=0.05)]
    """
    found = [
        read_weight(kind, word.strip(), workers)
        for kind in FaultKind
        for word in (given.get(kind.value) or "").split(",")
        if given.get(kind.value) is not None
    ]
    if len(found) > MOST_WEIGHTS:
        raise CommandError(f"{len(found)} weights are too many; at most {MOST_WEIGHTS} are taken")
    total = sum(weight.share for weight in found)
    if total > 1:
        raise CommandError(f"the weights are {total:.0%} together; at most 100 % of the steps")
    return found or [Weight(kind, "*", share) for kind, share in DEFAULTS.items()]


def read_weight(kind: FaultKind, word: str, workers: Sequence[str]) -> Weight:
    """Return one weight; see `weights_of`."""
    option, text = f"--{kind.value}", word.replace("'", "").replace('"', "")
    found = WEIGHT.fullmatch(text)
    try:
        percent = -1.0 if found is None else float(found["number"])
    except ValueError:
        percent = -1.0
    if found is None or percent < 0:
        expected = f"{option} PATTERN=5%, or {option} 5%"
        raise CommandError(f"`{option} {word[:60]}` is no weight; expected {expected}")
    if not 0 < percent <= 100:
        raise CommandError(f"`{option} {word[:60]}`: expected more than 0 % and at most 100 %")
    pattern = found["pattern"] or "*"
    if kind in OF_ALL and pattern != "*":
        raise CommandError(f"{option} happens to the whole tree; write `{option} {percent:g}%`")
    if pattern != "*" and not any(fnmatchcase(name, pattern) for name in workers):
        raise CommandError(f"{option}: no worker matches `{pattern[:60]}`; `tree` shows them")
    return Weight(kind, pattern, percent / 100)


def percent_text(share: float) -> str:
    """Return a share of 0 to 1 in percent, without an exponent, as an option takes it.

    >>> percent_text(0.07), percent_text(1e-7)
    ('7', '0.00001')
    """
    return f"{Decimal(f'{share * 100:.15g}'):f}"


def weights_text(weights: Sequence[Weight]) -> str:
    """Return weights as options, as they are typed in a shell; "" for the usual ones.

    >>> weights_text([Weight(FaultKind.KILL, "kv*", 0.05)])
    "--kill 'kv*=5%'"
    """
    if [(one.kind, one.pattern, one.share) for one in weights] == [
        (kind, "*", share) for kind, share in DEFAULTS.items()
    ]:
        return ""
    words: dict[FaultKind, list[str]] = {}
    for one in weights:
        percent = f"{percent_text(one.share)}%"
        word = percent if one.pattern == "*" else f"{one.pattern}={percent}"
        words.setdefault(one.kind, []).append(word)
    return " ".join(f"--{kind.value} {quote(','.join(each))}" for kind, each in words.items())
