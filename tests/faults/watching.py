"""Which line runs: a trace function tells it on Python 3.11, `sys.monitoring` on later ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import get_ident
from types import CodeType, FrameType, FunctionType
from typing import Any

See = Callable[[FrameType], None]
Trace = Callable[[FrameType, str, Any], Any]
NAME, TOOL = "injection", 4  # one of the ids that are nobody's
MAIN = get_ident()  # as a trace function is, too, that of one thread


def as_engine(function: Any) -> Any:
    """Return a function whose frame counts as the engine's own.

    An exception from outside that comes at a line of the engine has no frame of anybody else; one
    that is raised by who watches has the frames of that, which are no user's code.
    """
    given = {**globals(), **function.__globals__, "__name__": "ssm_cli.runtime.struck"}
    return FunctionType(function.__code__, given, closure=function.__closure__)


def as_in(code: CodeType) -> Callable[[CodeType], bool]:
    """Return what knows a code, and that of its module loaded anew; no code of another file."""
    return lambda other: other == code and other.co_filename == code.co_filename


if sys.version_info >= (3, 12):
    LINE = sys.monitoring.events.LINE
    _codes: list[CodeType] = []
    _watch: list[tuple[Callable[[CodeType], bool], See]] = []  # the one that goes on, if one does

    def watch_code(code: CodeType, see: See) -> None:
        """Have `see` called at each line of `code`, until `unwatch`; it may raise there."""
        _begin(0)
        _watch.append((as_in(code), see))
        sys.monitoring.set_local_events(TOOL, code, LINE)
        _codes.append(code)

    def watch_all(wants: Callable[[CodeType], bool], see: See) -> None:
        """Have `see` called at each line of all code that is wanted, until `unwatch`.

        What is not wanted is never looked at again: only one `wants` may be used.
        """
        _begin(LINE)
        _watch.append((wants, see))

    def unwatch() -> None:
        """End the watch, if there is one."""
        _watch.clear()
        while _codes:
            sys.monitoring.set_local_events(TOOL, _codes.pop(), 0)

    def _begin(everywhere: int) -> None:
        if sys.monitoring.get_tool(TOOL) is None:
            sys.monitoring.use_tool_id(TOOL, NAME)
            sys.monitoring.register_callback(TOOL, LINE, as_engine(_line))
        if sys.monitoring.get_events(TOOL) != everywhere:  # seldom: all code is made ready anew
            sys.monitoring.set_events(TOOL, everywhere)

    def _line(code: CodeType, _number: int) -> Any:
        if not _watch or get_ident() != MAIN:
            return None
        wants, see = _watch[0]
        if not wants(code):
            return sys.monitoring.DISABLE
        see(sys._getframe(1))
        return None

else:

    def watch_code(code: CodeType, see: See) -> None:
        """Have `see` called at each line of `code`, until `unwatch`; it may raise there."""
        watch_all(as_in(code), see)

    def watch_all(wants: Callable[[CodeType], bool], see: See) -> None:
        """Have `see` called at each line of all code that is wanted, until `unwatch`."""

        def look(frame: FrameType, event: str, _argument: Any) -> Trace:
            if event == "line":
                see(frame)
            return seen

        def trace(frame: FrameType, _event: str, _argument: Any) -> Trace | None:
            return seen if wants(frame.f_code) else None

        seen: Trace = as_engine(look)
        sys.settrace(trace)

    def unwatch() -> None:
        """End the watch, if there is one."""
        sys.settrace(None)
