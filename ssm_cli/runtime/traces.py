"""Tracebacks: whose code an exception has passed through."""

from __future__ import annotations

from collections.abc import Callable
from opcode import opmap
from types import CodeType, TracebackType
from typing import Any, TypeVar

RUNTIME = "ssm_cli.runtime."
TRACE: Any = vars(BaseException)["__traceback__"]
CALLERS: set[CodeType] = set()
CALLS = {opmap.get(name) for name in ("PRECALL", "CALL", "CALL_FUNCTION_EX", "CALL_KW")}
F = TypeVar("F", bound=Callable[..., object])


def calls_user(function: F) -> F:
    """Mark a function of the runtime that calls user code itself."""
    CALLERS.add(function.__code__)
    return function


def in_runtime_alone(trace: TracebackType | None) -> bool:
    """Return whether an exception was raised in code of the runtime, and met no other.

    No callback has raised it then, though it came out of where one is called: it is from outside,
    or a defect of ours. A callback that is written in C, or does not take its arguments, has no
    frame: it is told by the call at which the frame that calls user code stands.
    """
    inner = None
    while trace is not None:
        if not str(trace.tb_frame.f_globals.get("__name__")).startswith(RUNTIME):
            return False
        inner, trace = trace, trace.tb_next
    if inner is None or inner.tb_frame.f_code not in CALLERS:
        return True
    return inner.tb_frame.f_code.co_code[inner.tb_lasti] not in CALLS


def trace_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception, whatever its class makes of that attribute."""
    trace: TracebackType | None = TRACE.__get__(error)
    return trace
