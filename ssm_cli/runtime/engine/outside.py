"""Exceptions from outside: which exceptions out of user code are not that code's own.

`KeyboardInterrupt` always is from outside; so is whatever the handler of a signal raises while it
happens to run on top of a callback. Such an exception is no crash: the callback counts as not run,
and whoever runs the loop gets the exception once the tree is whole again (`performer/mend.py`).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

from ssm_cli.errors import StepTimeout

SIGNALS = tuple(signal.valid_signals())
TRACE: Any = vars(BaseException)["__traceback__"]


def is_from_outside(guard: object, error: BaseException) -> bool:
    """Return whether an exception that left user code under `guard` was raised by somebody else.

    So is the overrun of a callback of another node, which has called this one. `guard` is None for
    code that runs under none. Asks the type of the exception, as its `__class__` may lie.
    """
    kind = type(error)
    if issubclass(kind, KeyboardInterrupt):
        return True
    if issubclass(kind, StepTimeout):
        return error.owner not in {0, id(guard)}  # type: ignore[attr-defined]  # by its type
    trace = trace_of(error)
    if trace is None or trace.tb_next is None:
        return False  # the callback itself has raised it, which is quickly seen
    return not codes_of(error).isdisjoint(handler_codes())


def trace_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception, whatever its class makes of that attribute."""
    trace: TracebackType | None = TRACE.__get__(error)
    return trace


def codes_of(error: BaseException) -> set[CodeType]:
    """Return the code of each function that an exception has passed through."""
    found, trace = set(), trace_of(error)
    while trace is not None:
        found.add(trace.tb_frame.f_code)
        trace = trace.tb_next
    return found


def handler_codes() -> set[CodeType]:
    """Return the code of each handler of a signal that is written in Python."""
    handlers = (signal.getsignal(number) for number in SIGNALS)
    return {code for handler in handlers for code in codes_in(handler)}


def codes_in(handler: Any) -> Iterator[CodeType]:
    """Return the code behind a handler: a function, a method, a partial, an object to call."""
    for _ in range(10):  # partials of partials
        handler = getattr(handler, "func", handler)
    call = getattr(type(handler), "__call__", None)  # noqa: B004 - its code is asked for
    for function in (handler, call):
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield code


def in_signal_handler() -> bool:
    """Return whether the handler of a signal runs now, on top of whatever it has interrupted."""
    codes = handler_codes()
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the only way to the stack
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False


def heard(listener: Callable[[Any], object], news: Any, failed: str) -> bool:
    """Tell a listener something; return False if it fails, which is printed after `failed`.

    A listener is foreign code that nobody waits for: whatever it raises must not hurt the tree.
    """
    try:
        listener(news)
    except BaseException as error:
        if is_from_outside(None, error):
            raise
        complain(failed, error)
        return False
    return True


def complain(failed: str, error: BaseException) -> None:
    """Write to standard error, if there is one, that foreign code has failed, and how."""
    try:
        said = "".join(traceback.format_exception(error))
    except BaseException as worse:
        if is_from_outside(None, worse):
            raise
        said = "".join([*traceback.format_tb(trace_of(error)), f"{type(error).__name__}\n"])
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"ssm: {failed}\n{said}")
