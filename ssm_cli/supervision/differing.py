"""How two specs of one child differ, and which of the differences need a restart. Pure.

What a child does is its `start`, its `args` and what is kept of it: a change of those is another
child, and needs a restart. All else its supervisor, or the node, asks for when it needs it.

Code is told by its name, not by its object: a file that was edited is loaded anew, and gives other
objects for what a tree calls the same. What runs keeps the code that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import CodeType, FunctionType
from typing import Any, get_args, get_origin

import msgspec

from ssm_cli.behaviour.equality import one_value
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.codec.kinds import name_of
from ssm_cli.spec.model import (
    Backoff,
    ChildSpec,
    Persist,
    RemoteSpec,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)

SHOWN = 40  # characters of a value in a difference
MOST_KEYS = 5  # arguments that a difference names
UNITS = ("_ms", "_s")
BY_RESTART = frozenset({"start", "persist", "tree", "place"})
"""The keys of a child that another value of is another child; `args` have words of their own."""
LATER = ("init", "on_crash", "lease", "takeover", "orphan", "init_timeout")
BESIDES = dict.fromkeys(LATER, ", from its next start on") | {
    "partitions": ", which spreads the keys anew",
    "codec": ", also for inputs that wait",
}
"""What else is said of another value of a key."""
WITHIN = frozenset({"id", "children", "options", "args", "own"})


class Difference(msgspec.Struct, frozen=True):
    """One key with another value.

    Attributes:
        key: as in a tree file.
        said: both values, or what is known of them that is no secret.
        restarts: it needs a restart.
    """

    key: str
    said: str
    restarts: bool = False


def kind_of(spec: ChildSpec) -> str:
    """Return what a child is: of another kind it is another child.

    >>> kind_of(SupervisorSpec("pool", Strategy.SIMPLE_ONE_FOR_ONE))
    'pool'
    """
    if isinstance(spec, SupervisorSpec):
        return "pool" if spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE else "supervisor"
    return "remote child" if isinstance(spec, RemoteSpec) else "worker"


def differences(old: ChildSpec, new: ChildSpec) -> tuple[Difference, ...]:
    """Return how two specs of one kind differ themselves, in the order of their fields.

    What is below a supervisor is left out. Values of `args` are not told: they may be secrets.

    >>> differences(WorkerSpec("kv", None, {"n": 1}), WorkerSpec("kv", None, {"n": 2}))
    (Difference(key='args', said='args: n', restarts=True),)
    """
    found = [] if old is new else [*_of_fields(old, new)]
    if old is not new and isinstance(old, WorkerSpec) and isinstance(new, WorkerSpec):
        if keys := _keys(old.args, new.args):
            found.insert(0, Difference("args", f"args: {keys}", restarts=True))
        kept = Persist.NONE not in (old.options.persist, new.options.persist)
        options = () if old.options is new.options else _of_fields(old.options, new.options)
        for one in options:
            by_restart = one.restarts or (kept and one.key == "codec")
            found.append(msgspec.structs.replace(one, restarts=by_restart))
    return tuple(found)


def _of_fields(old: Any, new: Any) -> Iterator[Difference]:
    for field in old.__struct_fields__:
        one, other = getattr(old, field), getattr(new, field)
        if field in WITHIN or one is other:
            continue
        same = same_code if field in ("start", "init") else _same
        if not same(one, other):
            key = next((field.removesuffix(unit) for unit in UNITS if field.endswith(unit)), field)
            said = f"{key} {_shown(one)} -> {_shown(other)}"
            yield Difference(key, f"{said}{BESIDES.get(key, '')}", key in BY_RESTART)


def _same(one: object, other: object) -> bool:
    """Whether two values are the same; numbers are, whatever their type: a period is a float."""
    numbers = type(one) in (int, float) and type(other) in (int, float)
    return one == other if numbers else _alike(one, other)


def _alike(one: Any, other: Any) -> bool:
    """Return `one_value`; what holds itself is like nothing else."""
    try:
        return one_value(one, other)
    except RecursionError:
        return False


def _keys(old: Any, new: Any) -> str:
    """Return the names of the arguments that are others; of many, how many more there are."""
    if old is new:
        return ""
    keys = [k for k in {**old, **new} if k not in old or k not in new or not _alike(old[k], new[k])]
    named = ", ".join(str(key)[:SHOWN] for key in keys[:MOST_KEYS])
    more = len(keys) - MOST_KEYS
    return f"{named} and {more} more" if more > 0 else named


def _shown(value: Any) -> str:
    """Return a value of a key in a few words."""
    match value:
        case Enum():
            said = str(value.value)
        case Backoff():
            least, most = f"{value.initial_ms:g}", f"{value.max_ms:g} ms"
            said = f"{least} to {most} (factor {value.factor:g}, jitter {value.jitter:g})"
        case None | bool():
            said = "none" if value is None else str(value).lower()
        case int() | float():
            said = f"{value:.15g}"
        case Mapping():
            said = ", ".join(f"{key}={label}" for key, label in value.items())[:SHOWN] or "none"
        case str():
            said = f'"{value[:SHOWN]}"' if not value or " " in value else value[:SHOWN]
        case _:
            said = code_name(value)
    return said


def code_name(code: Any) -> str:
    """Return the name of code, `module:function`; of any other value, that of its class."""
    if isinstance(code, StateMachine | PureStatem):
        code = code.step
    while isinstance(code, partial):
        code = code.func
    return name_of(code if hasattr(code, "__qualname__") else type(code))


def same_code(one: Any, other: Any) -> bool:
    """Whether two values of `start` are one piece of code, maybe of two loads of its file.

    Of code without a name of its own, as a lambda, that is so where both loads say the same.
    """
    if one is other:
        return True
    if type(one) is not type(other) or isinstance(one, type) or callable(one):
        return _same_part(one, other)
    fields = getattr(one, "__struct_fields__", ())
    return bool(fields) and all(
        _same_part(getattr(one, field), getattr(other, field)) for field in fields
    )


def _same_part(one: Any, other: Any) -> bool:
    """Whether two functions, classes or types are one by their names, all else by value."""
    if one is other:
        return True
    if isinstance(one, partial) and isinstance(other, partial):
        given = ((one.args, one.keywords), (other.args, other.keywords))
        return _same_part(one.func, other.func) and _alike(*given)
    parts, others = get_args(one), get_args(other)
    if parts or others:
        same = len(parts) == len(others) and all(map(_same_part, parts, others))
        return same and _same_part(get_origin(one), get_origin(other))
    if isinstance(one, type | Callable) and isinstance(other, type | Callable):
        named = bool(getattr(one, "__qualname__", "")) and bool(getattr(other, "__qualname__", ""))
        if not named or name_of(one) != name_of(other):
            return False
        return "<" not in one.__qualname__ or _same_nameless(one, other)
    return _alike(one, other)


def _same_nameless(one: Any, other: Any) -> bool:
    """Whether functions without a name of their own, of two loads of a file, say the same.

    Of one load they are two, however alike.
    """
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    if one.__globals__ is other.__globals__ or said_in(one.__code__) != said_in(other.__code__):
        return False
    given = [
        (f.__defaults__, f.__kwdefaults__, [c.cell_contents for c in f.__closure__ or ()])
        for f in (one, other)
    ]
    return _alike(*given)


def said_in(code: CodeType) -> tuple[Any, ...]:
    """Return what code says, wherever in its file it stands."""
    inner = [said_in(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    kinds = [type(one) for one in code.co_consts]
    return (
        code.co_code, inner, kinds, code.co_names, code.co_varnames, code.co_freevars,
        code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags,
    )  # fmt: skip


def settled(old: ChildSpec, new: ChildSpec) -> ChildSpec:
    """Return the new spec with all of the old one that is the same, down to the old spec itself.

    So a child that did not change keeps its very spec, and the code that it has.
    """
    if kind_of(old) != kind_of(new):
        return new
    found = differences(old, new)
    if isinstance(old, SupervisorSpec) and isinstance(new, SupervisorSpec):
        below = dict(zip([child.id for child in old.children], old.children, strict=True))
        children = tuple(settled(below.get(child.id, child), child) for child in new.children)
        same = not found and list(children) == list(old.children)
        return old if same else msgspec.structs.replace(new, children=children)
    if not found:
        return old
    keys = {one.key for one in found}
    if isinstance(old, WorkerSpec) and isinstance(new, WorkerSpec) and "start" not in keys:
        by_restart = any(one.restarts for one in found)
        start = new.start if by_restart else old.start
        args = new.args if "args" in keys else old.args
        return msgspec.structs.replace(new, start=start, args=args)
    return new
