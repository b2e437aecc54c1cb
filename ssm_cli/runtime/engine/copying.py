"""Deep copies in pieces: what `copy.deepcopy` makes, so that others may get in meanwhile.

A small value is one piece, and so is one that copies itself (`__deepcopy__`). Containers, and
objects of classes that are written in Python, are taken apart as `copy` does it.
"""

from __future__ import annotations

import copyreg
from collections import OrderedDict, defaultdict, deque
from collections.abc import Generator
from copy import deepcopy
from typing import Any

from ssm_cli.behaviour.sizes import ATOMS, is_light

MOST_PARTS = 64  # small ones that are copied in one piece
HEAP_TYPE = 1 << 9  # the flag of a class that was made while the program ran
CONTAINERS = frozenset({OrderedDict, defaultdict, deque, dict, frozenset, list, set, tuple})
Pieces = Generator[None, None, Any]
FIXED = ATOMS - {bytearray}
"""Types whose objects are copies of themselves."""


def deep_copied(value: Any, memo: dict[int, Any]) -> Pieces:
    """Return a deep copy; `memo` is that of `copy.deepcopy`.

    >>> pieces = deep_copied({"x": [[n] for n in range(1000)]}, {})
    >>> sum(1 for _ in pieces) > 10
    True
    """
    if type(value) in FIXED:
        return value
    if id(value) in memo or is_light(value) or not has_parts(value):
        return deepcopy(value, memo)
    if type(value) is not tuple:
        return (yield from reduced(value, memo))
    parts: list[Any] = []
    yield from each(value, memo, parts.append)
    if id(value) in memo:  # it holds itself
        return memo[id(value)]
    alike = all(new is old for new, old in zip(parts, value, strict=True))
    return known(value, value if alike else tuple(parts), memo)


def has_parts(value: Any) -> bool:
    """Return whether a value is taken apart: what copies itself, or is of C, copies at once."""
    kind = type(value)
    if kind in CONTAINERS:
        return True
    own = hasattr(kind, "__deepcopy__") or kind in copyreg.dispatch_table
    return bool(kind.__flags__ & HEAP_TYPE) and not own and not issubclass(kind, type)


def known(value: Any, new: Any, memo: dict[int, Any]) -> Any:
    """Return what a value is copied to, once it is known for the rest; the value stays as long."""
    memo[id(value)] = new
    memo.setdefault(id(memo), []).append(value)
    return new


def each(values: Any, memo: dict[int, Any], put: Any) -> Generator[None, None, None]:
    """Copy values one after the other, and put each where it belongs."""
    for number, value in enumerate(values):
        if not number % MOST_PARTS:
            yield
        put(value if type(value) in FIXED else (yield from deep_copied(value, memo)))


def each_item(items: Any, memo: dict[int, Any], new: Any) -> Generator[None, None, None]:
    """Copy keys and values one after the other into a mapping."""
    for number, (key, value) in enumerate(items):
        if not number % MOST_PARTS:
            yield
        new[(yield from deep_copied(key, memo))] = yield from deep_copied(value, memo)


def reduced(value: Any, memo: dict[int, Any]) -> Pieces:
    """Copy an object by what `__reduce_ex__` says of it."""
    told = value.__reduce_ex__(4)
    if isinstance(told, str):
        return value
    make, args, *more = told
    state, items, pairs = (*more, None, None, None)[:3]
    given = (yield from deep_copied(args, memo)) if args else ()
    new = known(value, make(*given), memo)
    if state is not None:
        set_state(new, (yield from deep_copied(state, memo)))
    if items is not None:
        yield from each(items, memo, new.append)
    if pairs is not None:
        yield from each_item(pairs, memo, new)
    return new


def set_state(new: Any, state: Any) -> None:
    """Give a new object the attributes of the other, as `copy` does."""
    if hasattr(new, "__setstate__"):
        new.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes:
        new.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(new, name, value)
