"""A second exception while the engine copes with a first one: what runs in its handlers only.

Theory of operation. The handlers of the engine that no scenario comes to are found in its source.
A scenario that executes a line of the `try` above one is played again with a `First`: what is
called from that line raises what the handler is for, by a profile function, as a trace function
that raises is taken away and would not see the handler. What is executed then are lines to strike.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from ssm_cli.errors import Unrecovered
from tests.faults import injection
from tests.faults.injection import PACKAGE, Recorder, play, record
from tests.faults.stage import Own, Scenario, Stage
from tests.faults.watching import as_engine

TRIES = 8  # lines and scenarios by which a handler is tried to be reached


@dataclass(frozen=True)
class First:
    """What is called from a line raises in an act, at the first time."""

    code: CodeType
    line: int
    act: int
    error: type[BaseException]

    def watch(self) -> Any:
        """Return the profile function that raises; Python takes it away then."""

        error = made(self.error)

        def watch(frame: FrameType, event: str, _argument: Any) -> None:
            caller = frame.f_back if event == "call" else frame
            at = None if caller is None else (caller.f_code, caller.f_lineno)
            if event in ("call", "c_call") and at == (self.code, self.line):
                raise error

        return as_engine(watch)


def made(error: type[BaseException]) -> BaseException:
    """Return an exception of a class."""
    if error is Unrecovered:
        return error("as asked", worker="a", reason="raises")
    return error("as asked")


@dataclass(frozen=True)
class Handler:
    """What a `try` of the engine does about an exception.

    Attributes:
        errors: what it is for.
        body: the lines that it guards; `lines`: those that run where one of them raises.
    """

    path: str
    errors: tuple[type[BaseException], ...]
    body: frozenset[int]
    lines: frozenset[int]


def lines_of(nodes: Sequence[ast.stmt]) -> frozenset[int]:
    """Return the lines of statements."""
    return frozenset(n for node in nodes for n in range(node.lineno, (node.end_lineno or 0) + 1))


def errors_of(handler: ast.ExceptHandler, path: str) -> tuple[type[BaseException], ...]:
    """Return the exceptions that a handler is for; `Own` where it is for all."""
    if handler.type is None:
        return (Own,)
    below = Path(path).relative_to(PACKAGE.parent).with_suffix("")
    module = sys.modules[".".join(below.parts)]
    found = eval(ast.unparse(handler.type), vars(module))  # noqa: S307 - the engine's own source
    kinds = found if isinstance(found, tuple) else (found,)
    return tuple(Own if kind is BaseException else kind for kind in kinds)


def handlers(path: str) -> Iterator[Handler]:
    """Yield the handlers in a file of the engine."""
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Try):
            body = lines_of(node.body)
            for handler in node.handlers:
                yield Handler(path, errors_of(handler, path), body, lines_of(handler.body))
            if node.finalbody:
                yield Handler(path, (Own,), body, lines_of(node.finalbody))


def firsts(handler: Handler, scenarios: Sequence[Scenario]) -> Iterator[tuple[Scenario, First]]:
    """Yield what may bring the engine to a handler."""
    for scenario in scenarios:
        for (code, line, _), (act, _, _) in record(scenario).times.items():
            if code.co_filename == handler.path and line in handler.body:
                for error in handler.errors:
                    yield scenario, First(code, line, act, error)


def replayed(scenario: Scenario, first: First) -> Scenario | None:
    """Return the scenario with a first exception, recorded; None where it does not play so."""
    place = f"{Path(first.code.co_filename).stem}:{first.code.co_name}:{first.line}"
    again = replace(scenario, name=f"{scenario.name}, {first.error.__name__} at {place}",
                    first=first)  # fmt: skip
    stage = Stage(again, 0)
    recorder = Recorder(stage)
    stage.watch = recorder.watch
    with injection.handlers(injection.Terminate):
        if play(again, stage):
            return None
    injection.take(again, recorder)
    return again


def again(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return scenarios that come to the handlers that no other one comes to."""
    reached = injection.executed(scenarios)
    found: list[Scenario] = []
    for path, lines in injection.engine_lines().items():
        for handler in handlers(path):
            tried = islice(firsts(handler, scenarios), TRIES)
            while (left := lines & handler.lines - reached[path]) and (one := next(tried, None)):
                made = replayed(*one)
                new = set() if made is None else injection.executed([made])[path]
                if made is not None and left & new:
                    found.append(made)
                    for other, those in injection.executed([made]).items():
                        reached[other] |= those
    return found
