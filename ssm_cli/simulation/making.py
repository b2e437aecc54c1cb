"""Inputs made from types: values of a worker's constructors, near to what its state and code hold.

Theory of operation. Most faults that depend on a state want a value that the state knows already (a
key, an amount, one more than that), or one that the code compares with. So a part of a new input is
taken, half of the time, from a pool of values by type: what the state holds, what the inputs that
were served held, and the constants of the code; else it is a value that is often forgotten: 0, -1,
the empty text, a very large number.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from random import Random
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

import msgspec

from ssm_cli.codec.schema import Shape, Slot, compile_inputs, is_record, members, shape_of
from ssm_cli.history.shapes import leaves_of
from ssm_cli.runtime.outside import is_ctrl_c

MOST_DEEP = 4  # records and containers in each other
MOST_ITEMS = 4  # of a container
MOST_POOLED = 256  # values of one type that are remembered
MOST_CHARACTERS = 200  # of a text that is known; a docstring is no value
MOST_LEAVES = 5_000  # of a state that are looked at
MOST_CODES = 200  # functions whose constants are looked at
KNOWN = 0.6  # how often a value is one that is known
WHOLE = (0, 1, -1, 2, 3, 10, 100, -100, 255, 1000, 2**31, 2**63, -(2**63), 10**20)
REAL = (0.0, 1.0, -1.0, 0.5, 0.1, 1e-9, 1e9, -1e9, math.inf, -math.inf, math.nan)
TEXTS = ("", "a", "b", "x", "key", " ", "0", "-1", "None", "ä", "a b", "x" * 100)
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Pool:
    """Values that are known, by their type: some that stay, and the last ones of those that come.

    In the order in which they came, so that what is chosen is the same in each process.
    """

    def __init__(self) -> None:
        self._staying: dict[type, dict[Any, None]] = {}
        self._coming: dict[type, dict[Any, None]] = {}

    def add(self, value: Any, *, stays: bool = True, most: int = MOST_LEAVES) -> None:
        """Remember the texts and numbers in a value, and those next to the numbers.

        Those that stay have room for `MOST_POOLED` of a type; of others the oldest go.
        """
        pool = self._staying if stays else self._coming
        for leaf in islice(leaves_of(value), most):
            kind = type(leaf)
            if kind not in (int, float, str, bytes):
                continue
            if kind in (str, bytes) and len(leaf) > MOST_CHARACTERS:
                continue
            known = pool.setdefault(kind, {})
            near = (
                (leaf, leaf + 1, leaf - 1, -leaf) if kind is int and abs(leaf) < 2**80 else (leaf,)
            )
            known.update(dict.fromkeys(near))
            while len(known) > MOST_POOLED:
                del known[next(reversed(known)) if stays else next(iter(known))]

    def any(self, chance: Random, kind: type) -> Any:
        """Return a known value of a type; None where none is."""
        pools = [pool[kind] for pool in (self._staying, self._coming) if pool.get(kind)]
        return chance.choice([*chance.choice(pools)]) if pools else None


class Maker:
    """Makes inputs of one worker.

    Args:
        inputs: the union of its constructors.
        pool: values to choose from.

    Raises:
        TypeError, ValueError: the constructors are none.
    """

    def __init__(self, inputs: Any, pool: Pool) -> None:
        self.shapes = [*compile_inputs(inputs).values()]
        self._pool = pool

    def make(self, chance: Random) -> Any:
        """Return an input; None where a constructor refuses what was made for it."""
        shape = chance.choice(self.shapes)
        try:
            return self._record(chance, shape, 0)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            return None  # the `__post_init__` of a user's class may raise anything, or be cut

    def _record(self, chance: Random, shape: Shape, deep: int) -> Any:
        values: list[Any] = []
        for slot in shape.slots:
            if not slot.field.required and chance.random() < 0.3:
                break
            values.append(self._field(chance, slot, deep))
        return shape.build(values)

    def _field(self, chance: Random, slot: Slot, deep: int) -> Any:
        value = self.value(chance, slot.annotation, deep)
        if slot.annotation is Any or type(value) not in (int, float, str):
            return value
        try:  # a constraint, as `Annotated[int, Meta(ge=0)]`: the codec would refuse others
            return msgspec.convert(value, slot.annotation)
        except (msgspec.ValidationError, TypeError):
            return abs(value) if type(value) in (int, float) else value

    def value(self, chance: Random, annotation: Any, deep: int = 0) -> Any:
        """Return a value of a type; of one that is not known, a text or a number."""
        parts = members(annotation)
        base = parts[0] if len(parts) == 1 else chance.choice(parts)
        origin, args = get_origin(base), get_args(base)
        if origin is Literal:
            return chance.choice(args)
        if args and hasattr(base, "__metadata__"):
            return self.value(chance, args[0], deep)
        if isinstance(base, type) and issubclass(base, Enum):
            return chance.choice([*base])
        if is_record(origin or base) and deep < MOST_DEEP:
            return self._record(chance, shape_of(base), deep + 1)
        kind = origin or base
        if kind in CONTAINERS:
            return self._container(chance, kind, args, deep)
        made = WAYS.get(kind)
        return self._plain(chance, (int, str)[chance.randrange(2)] if made is None else kind)

    def _plain(self, chance: Random, kind: Any) -> Any:
        known = self._pool.any(chance, kind) if chance.random() < KNOWN else None
        return WAYS[kind](chance) if known is None else known

    def _container(self, chance: Random, kind: Any, args: tuple[Any, ...], deep: int) -> Any:
        if kind is tuple and args and args[-1] is not Ellipsis:
            return tuple(self.value(chance, one, deep + 1) for one in args)
        count = chance.choice((0, 1, 1, 2, MOST_ITEMS)) if deep < MOST_DEEP else 0
        inner = args[0] if args else Any
        if kind is dict:
            of = args[1] if len(args) > 1 else Any
            pairs = ((inner, of) for _ in range(count))
            return {
                self.value(chance, k, deep + 1): self.value(chance, v, deep + 1) for k, v in pairs
            }
        return kind(self.value(chance, inner, deep + 1) for _ in range(count))


CONTAINERS = (list, tuple, set, frozenset, dict)
WAYS: Mapping[Any, Callable[[Random], Any]] = {
    int: lambda chance: chance.choice((chance.choice(WHOLE), chance.randrange(-1000, 1000))),
    float: lambda chance: chance.choice((chance.choice(REAL), chance.uniform(-1000, 1000))),
    str: lambda chance: chance.choice(TEXTS),
    bytes: lambda chance: chance.choice(TEXTS).encode(),
    bool: lambda chance: chance.random() < 0.5,
    type(None): lambda _: None,
    Decimal: lambda chance: Decimal(chance.randrange(-1000, 1000)) / 100,
    datetime: lambda chance: MOMENT + timedelta(seconds=chance.randrange(-(10**8), 10**8)),
    date: lambda chance: (MOMENT + timedelta(days=chance.randrange(-1000, 1000))).date(),
    timedelta: lambda chance: timedelta(seconds=chance.randrange(-1000, 1000)),
    UUID: lambda chance: UUID(int=chance.getrandbits(128)),
}


def maker_of(behaviour: Any, pool: Pool) -> Maker | None:
    """Return what makes inputs of a behaviour; None where they have no types."""
    try:
        maker = Maker(getattr(behaviour, "inputs", None), pool)
    except (TypeError, ValueError):
        return None
    return maker if maker.shapes else None


def constants_of(function: Any) -> Iterable[Any]:
    """Yield the texts and numbers that a function compares with, and those of what it calls.

    Of a class, those of its methods. What it calls is looked up in its own module alone.
    """
    waiting = [*constants_in(function)]
    seen: set[types.CodeType] = set()
    while waiting and len(seen) < MOST_CODES:
        code, names = waiting.pop(0)
        if code in seen:
            continue
        seen.add(code)
        for constant in code.co_consts:
            if type(constant) is str and "\n" in constant:
                continue  # a docstring
            if isinstance(constant, types.CodeType):
                waiting.append((constant, names))
            elif type(constant) in (int, float, str, bytes, tuple, frozenset):
                yield constant
        for name in code.co_names:
            found = names.get(name)
            if type(found) in (int, float, str, bytes, tuple, frozenset):
                yield found
            elif getattr(found, "__module__", "") == names.get("__name__", ""):
                waiting += constants_in(found)


def constants_in(thing: Any) -> Iterable[tuple[types.CodeType, dict[str, Any]]]:
    """Yield the code of a function, or of the methods of a class, and the names of its module."""
    if dataclasses.is_dataclass(thing) or is_record(thing):
        return
    for one in [thing, *(vars(thing).values() if isinstance(thing, type) else ())]:
        if isinstance(one, types.FunctionType):
            yield one.__code__, one.__globals__
