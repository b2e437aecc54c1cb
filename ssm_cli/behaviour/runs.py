"""Runs: work that a step asks for and does not do itself, and how it comes back as an input.

A step must not wait. What takes time (a request, a query, a long computation) is a function that
a step names in a `Run`; the node has it done, and writes `Done` or `Failed` to the worker.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeVarTuple

import msgspec

from ssm_cli.errors import a_or_an

Ts = TypeVarTuple("Ts")
DEFAULT_TIMEOUT_MS = 5000.0
DEFAULT_LIMIT = 100
MOST_LIMIT = 10_000
MOST_KEY = 1000  # characters


@dataclass(frozen=True, init=False, slots=True)
class Run:
    """Have `function(*args)` done outside of the step; its end comes as `Done` or `Failed`.

    An `async` function runs as a task of the event loop that serves the node. Any other function
    runs in a process of its own, which imports it by its module and name: it may block, and what
    it does cannot reach this process. The end is an input of the worker (`handle_info` of a
    `GenServer`). The run ends with the life that asked for it: nothing comes back then.

    Args:
        key: names it: for `CancelRun`, and in `Done` and `Failed`. A run of the same key that is
            under way is cancelled and replaced.
        function: what to do. No lambda, and no function within another, unless it is `async`.
        args: what it is called with. For a process they must be pickled.
        timeout_ms: it fails with `timeout` once so many milliseconds are over, by the clock of the
            node, from when it was asked for.
        limit: it waits while so many runs of its worker are going on.
    """

    key: str
    function: Callable[..., object]
    args: tuple[Any, ...]
    timeout_ms: float
    limit: int

    __struct_fields__: ClassVar[tuple[str, ...]] = (
        "key", "function", "args", "timeout_ms", "limit",
    )  # fmt: skip

    def __init__(
        self,
        key: str,
        function: Callable[[*Ts], object],
        *args: *Ts,
        timeout_ms: float = DEFAULT_TIMEOUT_MS,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        for name, value in zip(
            self.__struct_fields__, (key, function, args, timeout_ms, limit), strict=True
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of_fields(cls, args: Any, key: str, function: Any, **rest: Any) -> Self:
        """Return the run that has these fields; `args` that were saved as a text are one."""
        return cls(key, function, *(args if isinstance(args, tuple) else (args,)), **rest)


class CancelRun(msgspec.Struct, frozen=True):
    """Cancel the run `key`: nothing comes back. Nothing happens if there is none."""

    key: str


Why = Literal["raised", "timeout", "cancelled", "killed", "unsendable", "too_many"]


class RunError(msgspec.Struct, frozen=True):
    """Why a run failed.

    Attributes:
        reason: `raised`; `timeout`; `cancelled`, with its event loop; `killed`: its process ended
            before it had answered; `unsendable`: its arguments or its answer cannot go from one
            process to the other; `too_many` runs waited already.
        type: the name of the exception's class; "" where none was raised.
        message: what it says, at most 1,000 characters.
    """

    reason: Why
    type: str = ""
    message: str = ""

    def __str__(self) -> str:
        """Return it in one line."""
        return ": ".join(filter(None, (self.reason, self.type, self.message)))


class Done(msgspec.Struct, frozen=True):
    """The run `key` has ended; `value` is what its function returned."""

    key: str
    value: Any


class Failed(msgspec.Struct, frozen=True):
    """The run `key` has failed, and `error` says why."""

    key: str
    error: RunError


Ended = Done | Failed


def is_async(function: Any) -> bool:
    """Whether a call of this makes a coroutine.

    >>> is_async(is_async)
    False
    """
    while isinstance(function, partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004 - its kind is asked for
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def fault_of(run: Run) -> str:
    """Return why a run cannot be carried out; "" where it can.

    >>> fault_of(Run("pi", max, 3, 4))
    ''
    >>> fault_of(Run("pi", lambda: 3)).partition(";")[0]
    'its function <lambda> has no name by which a process can import it'
    """
    if type(run.key) is not str or not 0 < len(run.key) <= MOST_KEY:
        return f"its key is no text of 1 to {MOST_KEY} characters"
    if not callable(run.function):
        return f"its function is {a_or_an(type(run.function).__name__)}; expected a function"
    ms = run.timeout_ms
    if type(ms) not in {int, float} or not 0 <= ms <= sys.float_info.max:
        return "its timeout_ms is no number of milliseconds, 0 or more"
    if type(run.limit) is not int or not 1 <= run.limit <= MOST_LIMIT:
        return f"its limit is no number of runs from 1 to {MOST_LIMIT:,}"
    return "" if is_async(run.function) else unnamed(run.function)


def unnamed(function: Any) -> str:
    """Return why a process cannot import a function; "" where it can.

    >>> unnamed(unnamed)
    ''
    """
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", "")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    found: Any = module
    for part in str(name).split("."):
        found = getattr(found, part, None)
    is_there = found is function or is_of_other_load(function, found)
    if is_there and (module is None or hasattr(module, "__file__") or is_builtin(module)):
        return ""
    return (
        f"its function {str(name)[:200] or type(function).__name__} has no name by which a process "
        "can import it; expected a function at the top level of a module, or an async one"
    )


def is_of_other_load(function: Any, found: Any) -> bool:
    """Return whether another load of its module has this in the place of a function, or a class.

    >>> is_of_other_load(unnamed, is_builtin)
    False
    """
    for name in ("__module__", "__qualname__"):
        if getattr(found, name, None) != getattr(function, name):
            return False
    if isinstance(function, type):
        return isinstance(found, type)
    here, there = (getattr(inspect.unwrap(f), "__globals__", None) for f in (function, found))
    return here is not there


def is_builtin(module: Any) -> bool:
    """Whether a module is one of Python's own without a file; `__main__` of a prompt is none."""
    return module.__name__ in sys.builtin_module_names
