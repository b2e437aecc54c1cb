"""Arguments: whether a callback can be called with what the node gives it, as far as it says.

Judged before anything starts, never while it runs. What is written in C, or has no signature that
can be known, is called as it is, and crashes its worker if it does not take its arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType

from ssm_cli.behaviour.sizes import cut
from ssm_cli.errors import a_or_an
from ssm_cli.spec.keys import sentence

MAKING = ("__init__", "__new__")
MOST_SHOWN = 100  # characters of the parameters that a function has
OF_A_MACHINE = {
    "step": "message, state",
    "init": "name, args",
    "terminate": "name, state, reason",
    "redact": "value",
    "code_change": "old_version, state, extra",
    "migrate": "old_version, state",
    "restore": "name, args, saved",
}
OF_A_PURE_STATEM = {
    "step": "event, state, data",
    "init": "name, args",
    "terminate": "reason, state, data",
    "format_status": "value",
    "code_change": "old_version, state, data, extra",
    "migrate": "old_version, state",
    "restore": "name, args, saved",
}
OF_A_SUPERVISOR = {"init": "name"}
OF_A_CODEC = {"decode": "data", "encode": "value"}
OF_A_PURE_HANDLER = {"_step": "event, state", "_init": "args", "_call": "request, state"}


def argument_faults(code: object, wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with functions of an object: they do not take what they are to get.

    >>> class Fields:
    ...     step = staticmethod(lambda message: message)
    >>> list(argument_faults(Fields(), {"step": "message, state"}))
    ['has the step(message); expected step(message, state)']
    """
    for name, given in wanted.items():
        function = getattr(code, name, None)
        if callable(function) and (wrong := _fault(name, function, given.split(", "))):
            yield wrong


def method_faults(kind: type, callbacks: Mapping[str, FunctionType]) -> Iterator[str]:
    """Yield the same of the methods of a class that stand in the place of these callbacks."""
    for name, declared in callbacks.items():
        method = next(vars(one)[name] for one in kind.__mro__ if name in vars(one))
        if method is declared or not isinstance(method, (FunctionType, classmethod, staticmethod)):
            continue  # what another descriptor gives is its own affair
        own, *given = inspect.signature(declared).parameters
        if declared.__code__.co_flags & inspect.CO_VARARGS:
            continue  # it says nothing of what it gets
        bound = [] if isinstance(method, staticmethod) else [own]
        function = method if isinstance(method, FunctionType) else method.__func__
        if wrong := _fault(name, function, [*bound, *given]):
            yield wrong


def _fault(name: str, function: Callable[..., object], given: list[str]) -> str:
    """Return what is wrong with a function that is to be called with these; "" if nothing is."""
    plain = function.__code__ if isinstance(function, FunctionType) else None
    if plain is not None and plain.co_argcount == len(given) and not plain.co_kwonlyargcount:
        return ""  # as nearly all are: it is quick to see
    if not _is_python(function):
        return ""
    if isinstance(_called(type(function)), staticmethod | classmethod):
        function = function.__call__  # type: ignore[operator]  # mypy knows no static one
    wanted = f"{name.removeprefix('_')}({', '.join(given)})"
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except ValueError:
        wrong = f"has {a_or_an(name.removeprefix('_'))} with more bound than it takes"
        return sentence(wrong, wanted) if isinstance(function, partial) else ""
    except Exception:  # noqa: BLE001 - it cannot be known: user code may have made it anything
        return ""
    try:
        signature.bind(*given)
    except TypeError:
        name = name.removeprefix("_")
        there = cut(", ".join(_shown(one) for one in signature.parameters.values()), MOST_SHOWN)
        return sentence(f"has the {name}({there})", wanted)
    return ""


def _is_python(function: Callable[..., object]) -> bool:
    """Whether it is a function written in Python, a method or a part of one, or has `__call__`."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, MethodType):
        function = function.__func__
    if isinstance(function, type) and type(function).__call__ is type.__call__:
        makes = (vars(kind).get(name) for kind in function.__mro__ for name in MAKING)
        return any(isinstance(getattr(one, "__func__", one), FunctionType) for one in makes)
    called = _called(type(function))
    return isinstance(function, FunctionType) or isinstance(
        getattr(called, "__func__", called), FunctionType
    )


def _called(kind: type) -> object:
    """What a call of an instance runs, as it stands in its class."""
    return next((vars(one)["__call__"] for one in kind.__mro__ if "__call__" in vars(one)), None)


def _shown(parameter: inspect.Parameter) -> str:
    """A parameter as it is written, without its default and annotation."""
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL:
            return f"*{parameter.name}"
        case inspect.Parameter.VAR_KEYWORD:
            return f"**{parameter.name}"
        case inspect.Parameter.KEYWORD_ONLY:
            return f"{parameter.name} by name"
    return parameter.name
