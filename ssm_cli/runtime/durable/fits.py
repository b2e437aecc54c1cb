"""What a record can carry of what a step asks for: a step that asks for more has failed."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.effects import CancelTimer, StartTimer
from ssm_cli.behaviour.reasons import plain
from ssm_cli.behaviour.results import TimeoutAfter
from ssm_cli.behaviour.runs import Run, unnamed
from ssm_cli.errors import writable

INTS = range(2**64)  # of MessagePack, that are no less than 0


def unfit(outcome: Outcome) -> str:
    """Say what of an outcome no record can carry, and what would do; empty where there is nothing.

    Its state, its output and what it sends are looked at where they are written.

    >>> unfit(Outcome(0, effects=[StartTimer("tick", 5, None)]))
    ''
    >>> unfit(Outcome(0, then=TimeoutAfter(2**70))).partition(";")[2]
    ' expected an int below 2**64, or a float'
    """
    for effect in outcome.effects:
        if isinstance(effect, StartTimer):
            key = as_plain(effect.key)
            if type(key) is not str or writable(key) != key:
                return (
                    f"StartTimer has the key {plain(key, repr)}, which cannot be recorded; "
                    "expected a str without lone surrogates"
                )
            if not is_plain_time(effect.after_ms):
                return too_odd("StartTimer", effect.after_ms)
        elif isinstance(effect, Run) and (wrong := unfit_run(effect)):
            return wrong
    then = outcome.then
    if isinstance(then, TimeoutAfter) and not is_plain_time(then.ms):
        return too_odd("TimeoutAfter", then.ms)
    return ""


def unfit_run(run: Run) -> str:
    """Say what of a run no record can carry: it may be asked for again by a later process.

    >>> unfit_run(Run("x", partial(abs, 1)))[:61]
    "Run 'x' has a partial for its function, which cannot be recor"
    """
    said = f"Run {plain(run.key, repr)} has"
    if writable(run.key) != run.key:
        return f"{said} a key that cannot be recorded; expected a str without lone surrogates"
    if isinstance(run.function, partial):
        return f"{said} a partial for its function, which cannot be recorded; give it arguments"
    if why := unnamed(run.function):
        return f"{said} a function that cannot be recorded: {why}"
    return "" if is_plain_time(run.timeout_ms) else too_odd("Run", run.timeout_ms)


def as_recorded(outcome: Outcome) -> Outcome:
    """The outcome as a record carries it: its keys and times without classes of their own.

    >>> as_recorded(Outcome(0, then=TimeoutAfter(True))).then
    TimeoutAfter(ms=1)
    """
    effects = [
        StartTimer(as_plain(effect.key), as_plain(effect.after_ms), effect.message, effect.absolute)
        if isinstance(effect, StartTimer)
        else CancelTimer(as_plain(effect.key))
        if isinstance(effect, CancelTimer)
        else effect
        for effect in outcome.effects
    ]
    then = outcome.then
    if isinstance(then, TimeoutAfter):
        then = TimeoutAfter(as_plain(then.ms), then.message, then.absolute)
    return msgspec.structs.replace(outcome, effects=effects, then=then)


def as_plain(value: Any) -> Any:
    """A text or a number without a class of its own; anything else as it is."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    return float.__float__(value) if issubclass(kind, float) else value


def is_plain_time(ms: object) -> bool:
    """Whether a number comes back from a record with its value."""
    ms = as_plain(ms)
    return type(ms) is float or (type(ms) is int and ms in INTS)


def too_odd(what: str, ms: object) -> str:
    """Say which time cannot be recorded."""
    lasts = f"{what} lasts {plain(ms, repr)} ms"
    return f"{lasts}, which cannot be recorded; expected an int below 2**64, or a float"
