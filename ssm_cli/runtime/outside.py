"""Exceptions from outside: which exceptions out of user code are not that code's own.

`KeyboardInterrupt` is from outside, unless code that is tried, as in a scratch tree, raises it
itself; so is whatever the handler of a signal raises while it happens to run on top of a callback.
Such an exception is no crash: the callback counts as not run, and whoever runs the loop gets the
exception once the tree is whole again (`performer/mend.py`).
"""

from __future__ import annotations

import contextlib
import opcode
import signal
import sys
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

from ssm_cli.errors import SsmError, StepTimeout
from ssm_cli.runtime.traces import in_runtime_alone, trace_of

CO_VARARGS = 4  # of `inspect`, which takes long to import
RAISE = opcode.opmap["RAISE_VARARGS"]
SIGNALS = tuple(signal.valid_signals())
HANDLERS: set[CodeType] = set()


def is_from_outside(guard: object, error: BaseException, own: CodeType | None = None) -> bool:
    """Return whether an exception that left user code under `guard` was raised by somebody else.

    So is the overrun of a callback of another node, which has called this one. `guard` is None for
    code that runs under none; `own` is the code of the callback, where it is known: an exception of
    its own frame is quickly told. Asks the type of the exception, as its `__class__` may lie.
    """
    kind = type(error)
    if issubclass(kind, KeyboardInterrupt):
        return not (getattr(guard, "tried", False) and is_raised_by_code(error))
    if issubclass(kind, StepTimeout):
        return error.owner not in {0, id(guard)}  # type: ignore[attr-defined]  # by its type
    trace = trace_of(error)
    if trace is None:
        return False
    inner = trace
    while inner.tb_next is not None:
        inner = inner.tb_next
    if inner.tb_frame.f_code is own:
        return False
    codes = codes_like_handlers(trace)
    if codes and not codes.isdisjoint(handler_codes()):
        return True
    return in_runtime_alone(trace) and not issubclass(kind, SsmError)


def is_raised_by_code(error: BaseException) -> bool:
    """Return whether a `raise` of the code itself has raised it, also a `KeyboardInterrupt`.

    Ctrl-C comes between two instructions, and a handler of a signal is not the code's own. For
    code that is tried (a fork, a file): live, each `KeyboardInterrupt` is one from outside.
    """
    trace = trace_of(error)
    if trace is None or not codes_like_handlers(trace).isdisjoint(handler_codes()):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code.co_code
    return 0 <= trace.tb_lasti < len(code) and code[trace.tb_lasti] == RAISE


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception is a `KeyboardInterrupt` that the code has not raised itself."""
    return issubclass(type(error), KeyboardInterrupt) and not is_raised_by_code(error)


def codes_like_handlers(trace: TracebackType | None) -> set[CodeType]:
    """Return the code of the functions in a traceback that take two arguments or more.

    A handler does; to ask for the handlers of all signals takes longer than all else about a crash.
    """
    found = set()
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_argcount > 1 or code.co_flags & CO_VARARGS:
            found.add(code)
        trace = trace.tb_next
    return found


def handler_codes() -> set[CodeType]:
    """Return the code of each handler of a signal that is written in Python, or was one.

    One that has taken itself back is known if it was there when a node of the process started, or
    when an exception was looked at before.
    """
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            HANDLERS.update(codes_in(handler))
    return HANDLERS


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


def forgive(failed: str, error: BaseException) -> None:
    """Complain of what a listener raised; raise it again if it is not the listener's own.

    A listener is foreign code that nobody waits for: whatever it raises must not hurt the tree.
    """
    if is_from_outside(None, error) or in_runtime_alone(trace_of(error)):
        raise error
    complain(failed, error)


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
