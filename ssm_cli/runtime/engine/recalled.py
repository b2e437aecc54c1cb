"""PastError: ends of callbacks as values that hold no frames, for whatever outlives the moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from types import CodeType, TracebackType
from typing import Any

import msgspec

from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.errors import SsmError
from ssm_cli.runtime.traces import TRACE

MOST_FRAMES = 50
MOST_KINDS = 1000  # names of exceptions for which a class is kept

Places = Sequence[tuple[CodeType, int] | str]
"""Code and the index of the instruction in it; of a saved past the line as text."""


class PastError(SsmError):
    """An exception of the past: the name of its type, its text, and where it passed.

    Raised again in the place of a callback it stands for the same exit reason.
    """

    places: Places = ()
    reason: ExitReason


@lru_cache(MOST_KINDS)
def class_of(name: str) -> type[PastError]:
    """Return the class whose name is that of an exception's type."""
    return type(name, (PastError,), {})


def places_of(error: BaseException) -> Places:
    """Return where an exception has passed, without the frames, which hold all they worked on."""
    if issubclass(type(error), PastError):
        return error.places  # type: ignore[attr-defined,no-any-return]  # by its type
    trace: TracebackType | None = TRACE.__get__(error)
    if trace is None:
        return ()
    if trace.tb_next is None:
        return ((trace.tb_frame.f_code, trace.tb_lasti),)
    places: deque[tuple[CodeType, int]] = deque(maxlen=MOST_FRAMES)
    while trace is not None:
        places.append((trace.tb_frame.f_code, trace.tb_lasti))
        trace = trace.tb_next
    return tuple(places)


def frameless(reason: ExitReason, said: str) -> ExitReason:
    """Return an exit reason that keeps no frame alive; `said` is what its exception says."""
    if type(reason) is not Crash:
        return reason
    error = class_of(type(reason.error).__name__)(said)
    error.places = places_of(reason.error)
    error.reason = msgspec.structs.replace(reason, error=error, said=said)
    return error.reason


def raised(reason: ExitReason) -> Any:
    """Raise what stands for an exit reason of the past."""
    error = reason.error if type(reason) is Crash else PastError(str(reason))
    assert isinstance(error, PastError), "reasons of the past hold no frames"
    error.reason = reason
    raise error.with_traceback(None)
