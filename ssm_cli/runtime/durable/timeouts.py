"""Time-outs of durable workers (`TimeoutAfter`), as they are written and as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.behaviour.results import TIMEOUT, TimeoutAfter
from ssm_cli.runtime.durable.records import KeptTimeout, TimeoutSet
from ssm_cli.runtime.durable.values import RAW, Values


def timeout_written(asked: TimeoutAfter | None, written: Callable[[Any], bytes]) -> KeptTimeout:
    """Return a time-out as it is written, and its message by `written`; raises as that does."""
    if asked is None:
        return None
    if asked.message is TIMEOUT and not asked.absolute:
        return asked.ms
    return TimeoutSet(asked.ms, message_written(asked.message, written), asked.absolute)


def message_written(message: Any, written: Callable[[Any], bytes]) -> bytes:
    """Return the bytes of what a time-out brings; none for `TIMEOUT`, and for nothing else."""
    return b"" if message is TIMEOUT else written(message) or RAW


def timeout_read(timeout: float | TimeoutSet, values: Values) -> TimeoutAfter:
    """Return a time-out that was written; raises as the codec of its worker does."""
    if not isinstance(timeout, TimeoutSet):
        return TimeoutAfter(timeout)
    message = values.read(timeout.data, 0) if timeout.data else TIMEOUT
    return TimeoutAfter(timeout.ms, message, timeout.absolute)
