"""Tracebacks: whose code an exception has passed through."""

from __future__ import annotations

from types import TracebackType

RUNTIME = "ssm_cli.runtime."


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
