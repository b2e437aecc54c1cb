"""Tracebacks: whose code an exception has passed through."""

from __future__ import annotations

from types import TracebackType
from typing import Any

RUNTIME = "ssm_cli.runtime."
TRACE: Any = vars(BaseException)["__traceback__"]


def in_runtime_alone(trace: TracebackType | None) -> bool:
    """Return whether an exception was raised in code of the runtime, and met no other.

    No callback has raised it then, though it came out of where one is called: it is from outside,
    or a defect of ours.
    """
    while trace is not None:
        if not str(trace.tb_frame.f_globals.get("__name__")).startswith(RUNTIME):
            return False
        trace = trace.tb_next
    return True


def trace_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception, whatever its class makes of that attribute."""
    trace: TracebackType | None = TRACE.__get__(error)
    return trace
