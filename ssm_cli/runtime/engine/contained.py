"""User code that is no callback: it shows, compares, hashes, writes or redacts a value.

Theory of operation. Such code runs in one function, `contained`, wherever it is called from: under
the limit of a step, and whatever it raises ends there, `SystemExit` too; but what comes from
outside goes on (see `outside`). Within a callback it counts as part of that, and the overrun is the
callback's. Values of builtin types run no user code, and are looked at directly.

The texts of a worker's end (an exception's, a reason's) are made in the moment of the end, and kept
in the reason: what reports and callers are told later runs no user code any more.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Any

import msgspec

from ssm_cli.behaviour.foreign import foreign
from ssm_cli.behaviour.reasons import Crash, ExitReason, FailedToStart, Other, Shutdown, plain
from ssm_cli.behaviour.results import Exited, reason_for
from ssm_cli.codec.json import unshowable
from ssm_cli.errors import StepTimeout, writable
from ssm_cli.runtime.engine.cell import Cell
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.engine.recalled import PastError
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.reports import MOST_TEXT, error_text

BUILTIN = frozenset({str, int, float, bool, bytes, NoneType})  # whose methods are no user code
PLAIN_ERRORS = frozenset({BaseException.__str__, KeyError.__str__})
ARGS: Any = vars(BaseException)["args"]
PYTHONS_OWN = frozenset(
    kind
    for kind in vars(builtins).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__str__ in PLAIN_ERRORS
)
"""The errors that Python itself raises and whose text is that of their arguments."""


def contained(
    world: World,
    cell: Cell,
    instead: Callable[[BaseException], Any],
    function: Callable[..., Any],
    *args: Any,
) -> Any:
    """Return what `function(*args)` returns, or `instead(error)` where it raises or overruns."""
    guard = world.guard
    inside = guard.cell is not None
    try:
        if inside:
            return function(*args)
        return guarded(guard, cell, cell.step_limit_s(), function, *args)
    except BaseException as error:
        if passes_through(guard, error, inside=inside):
            raise
        failed = error
    try:
        return instead(failed)
    finally:
        del failed  # its frames hold this one


def passes_through(guard: object, error: BaseException, *, inside: bool) -> bool:
    """Return whether an exception is not that of the user code which it has left.

    `inside`: a callback has called that code, and its overrun is the callback's.
    """
    return is_from_outside(guard, error) or (inside and issubclass(type(error), StepTimeout))


def said_by(world: World, cell: Cell, error: BaseException) -> str:
    """Return what an exception of user code says, bounded."""
    if is_plain_error(error):
        return error_text(error)
    text: str = contained(world, cell, partial(unshowable, error), bounded, error)
    return text


def is_plain_error(error: BaseException) -> bool:
    """Return whether to ask an exception for its text runs no user code."""
    if type(error).__str__ not in PLAIN_ERRORS:
        return False
    return all(type(one) in BUILTIN for one in ARGS.__get__(error))


def bounded(value: object) -> str:
    """Return the text of a value, at most 1,000 characters."""
    return writable(str.__str__(foreign(str, value))[:1000])


def ended_by(world: World, cell: Cell, error: BaseException) -> ExitReason:
    """Return the exit reason that an exception out of a callback stands for, with its text."""
    if issubclass(type(error), PastError):
        return error.reason  # type: ignore[attr-defined,no-any-return]  # by its type
    if issubclass(type(error), Exited):
        reason: ExitReason = contained(world, cell, Crash, reason_for, error)
    else:
        reason = reason_for(error)
        if is_plain_error(error):
            return reason
    return with_text(world, cell, reason)


def told_at_a_glance(step: Any, error: BaseException) -> Crash | None:
    """Return the exit reason that an error raised by a pure step stands for; None: look closer.

    Most are errors of Python's own, raised in the step's own frame, with texts and numbers in them:
    they come from nowhere else, and no user code is in them. Drops our frame from its traceback.
    """
    if type(error) not in PYTHONS_OWN:
        return None
    trace = error.__traceback__
    if trace is None or (trace := trace.tb_next) is None or trace.tb_next is not None:
        return None
    if trace.tb_frame.f_code is not getattr(step, "__code__", None):
        return None
    given: Any = None
    for given in error.args:
        if type(given) not in BUILTIN:
            return None
    error.__traceback__ = trace
    plain = type(given) is str and given.isascii() and len(error.args) == 1
    said = str(error)[:MOST_TEXT] if plain else error_text(error)  # the same, without three calls
    return Crash(error, "crash", said)


def with_text(world: World, cell: Cell, reason: ExitReason) -> ExitReason:
    """Return an exit reason that can be shown without running user code."""
    match reason:
        case Crash(error):
            if reason.said or is_plain_error(error):
                return reason
            said = said_by(world, cell, error)
        case Shutdown(term) | Other(term):
            if reason.said or type(term) in BUILTIN or type(term) is FailedToStart:
                return reason
            said = named(world, cell, term)
        case _:
            return reason
    return msgspec.structs.replace(reason, said=said)


def named(world: World, cell: Cell, value: object, write: Callable[[Any], str] = str) -> str:
    """Return a value of the user's in one line of text, at most 200 characters."""
    if type(value) in BUILTIN:
        return plain(value, write)
    instead = partial(unshowable, value)
    text: str = contained(world, cell, instead, write_plain, value, write)
    return text


def write_plain(value: object, write: Callable[[Any], str]) -> str:
    """Return the text of a value, shortened."""
    return plain(str.__str__(foreign(write, value)))
