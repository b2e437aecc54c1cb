"""From a value to its form in MessagePack: the walk that writes."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any

import msgspec

from ssm_cli.codec.classes import (
    BIG_TAG,
    COUNTER_TAG,
    DEFAULT_TAG,
    DEQUE_TAG,
    DICT_TAG,
    ENUM_TAG,
    FACTORY_TYPES,
    FROZEN_TAG,
    ODD_TAG,
    ORDERED_TAG,
    PLAIN,
    RECORD_TAG,
    SET_TAG,
    STANDARD_TAG,
    TUPLE_TAG,
    UNSET_TAG,
    Classes,
    Inexact,
    canonical_bytes,
)
from ssm_cli.codec.json import safe_repr
from ssm_cli.codec.kinds import STANDARD, Form, kept_form, standard
from ssm_cli.codec.lifting import Reader
from ssm_cli.codec.renames import Names
from ssm_cli.errors import a_or_an, message_of

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, Any]).decode
MAX_DEPTH = 200  # levels that a value may be nested
TEXT = frozenset({str})
MOST_PROVEN = 4096  # members of enums that are not looked at again
SMALL = range(-(2**63), 2**64)

LARGE = 256  # keys; the encoder's own sort takes the square of them for keys that are nearly sorted


def in_order(value: dict[str, Any]) -> dict[str, Any]:
    """A dict of text keys, in the order of `canonical_bytes` where it is large.

    >>> in_order({"b": 1, "a": 2})
    {'b': 1, 'a': 2}
    """
    return value if len(value) < LARGE else dict(sorted(value.items(), key=itemgetter(0)))


class Writer:
    """One walk from a value to its form. `canonical` makes equal values equal in any order.

    `wary` says afterwards whether something in it must be read to see whether it comes back;
    `proving` looks at each such part by itself, so that the one that does not is named.
    """

    def __init__(
        self,
        classes: Classes,
        *,
        canonical: bool = False,
        careful: bool = False,
        then: Names | None = None,
        proving: bool = False,
    ) -> None:
        self.classes = classes
        self.canonical = canonical
        self.careful = careful
        self.then = then
        self.proving = proving
        self.walked = False
        self.wary = False
        self._order: dict[str, int] = {}
        self._late: set[str] = set()
        self._heads: dict[str, list[Any]] = {}
        self._inline = 0
        self._depth = 0

    def head(self) -> list[Any]:
        """The classes that the form refers to, with their fields."""
        late = sorted(self._late - self._order.keys())
        return [self._heads[name] for name in [*self._order, *late]]

    def lower(self, value: Any) -> Any:
        """The form of a value."""
        kind = type(value)
        if kind in PLAIN:
            return self._plain(value) if self.careful else value
        if self._depth >= MAX_DEPTH:
            raise Inexact(f"it is nested deeper than {MAX_DEPTH} levels, or holds itself")
        self._depth += 1
        how = HOW_LOWERED.get(kind)
        lowered = how(self, value) if how is not None else self._other(kind, value)
        self._depth -= 1
        return lowered

    def _plain(self, value: Any) -> Any:
        """An integer of more than 64 bits, and text that is half a surrogate pair, apart."""
        if type(value) is int and value not in SMALL:
            return [BIG_TAG, hex(value)]
        if type(value) is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                return [ODD_TAG, value.encode("utf-8", "surrogatepass")]
        return value

    def items(self, values: Iterable[Any], step: str = "[{}]") -> list[Any]:
        """The forms of some values."""
        self.walked = True
        lowered: list[Any] = []
        try:
            for value in values:
                lowered.append(self.lower(value))  # noqa: PERF401 - how far it came is told
        except Inexact as error:
            raise error.at(step.format(len(lowered))) from None
        return lowered

    def sequence(self, value: Any) -> Any:
        """A list as it is where all in it is plain."""
        if not self.careful and PLAIN.issuperset(map(type, value)):
            return value
        return self.items(value)

    def mapping(self, value: Any) -> Any:
        """A map of MessagePack where its keys are plain, else the tagged list of `pairs`."""
        plain = (TEXT if self.canonical else PLAIN).issuperset(map(type, value))
        if not plain or self.careful:
            return [DICT_TAG, *self.pairs(value)]
        if self.canonical:
            value = in_order(value)
        values = value.values()
        if PLAIN.issuperset(map(type, values)):
            return value
        self.walked = True
        lowered = {}
        for key, held in value.items():
            try:
                lowered[key] = self.lower(held)
            except Inexact as error:
                raise error.at(_key(key)) from None
        return lowered

    def pairs(self, value: Any, *, ordered: bool = False) -> list[Any]:
        """Keys and values, in turn."""
        self.walked = True
        _distinct(value)
        found = []
        for key, held in value.items():
            try:
                found.append((self.lower(key), self.lower(held)))
            except Inexact as error:
                raise error.at(_key(key)) from None
        if self.canonical and not ordered:
            found.sort(key=lambda pair: canonical_bytes(pair[0]))
        return [part for pair in found for part in pair]

    def unordered(self, value: Any) -> list[Any]:
        """The elements of a set, in an order that only they make."""
        _distinct(value)
        self._inline += 1
        lowered = self.items(value, "{{element {}}}")
        self._inline -= 1
        return sorted(lowered, key=canonical_bytes)

    def ref(self, form: Form) -> int | str:
        """What stands for a class: its number, or, in a set, its name."""
        name = form.name
        fields: Sequence[str] = form.fields
        if self.then:
            name, fields = self.then.head_then(name, fields)
        if name not in self._heads:
            tagged = not self.canonical and self.classes.is_tagged(name)
            self._heads[name] = [name, list(fields), tagged]
        if self._inline:
            self._late.add(name)
            return name
        return self._order.setdefault(name, len(self._order))

    def _other(self, kind: type, value: Any) -> Any:
        self.walked = True
        name = standard(kind)
        if name:
            try:
                parts = STANDARD[name].parts(value)
            except ValueError as error:
                raise Inexact(message_of(error)) from None
            return [STANDARD_TAG, name, self.lower(parts)]
        form = self.classes.form(kind)
        if isinstance(value, Enum):
            self._prove_member(form, value)
            return [ENUM_TAG, self.ref(form), value.name, self.lower(value.value)]
        return self._record(form, value)

    def _record(self, form: Form, value: Any) -> list[Any]:
        lowered: list[Any] = [RECORD_TAG, self.ref(form)]
        if flaw := form.flaw(value):
            raise Inexact(flaw)
        wary = form.wary
        for field in form.fields:
            try:
                held = form.held(value, field, UNSET_TAG)
            except Exception as error:  # noqa: BLE001 - a property is the user's
                raise Inexact(f"it cannot be read: {message_of(error)}").at(f".{field}") from None
            if held is UNSET_TAG:
                wary = True  # it may get its default
                lowered.append(held)
                continue
            try:
                lowered.append(self.lower(held))
            except Inexact as error:
                raise error.at(f".{field}") from None
        if wary:
            self.wary = True
            if self.proving:
                self._prove(form, value)
        return lowered

    def _prove(self, form: Form, value: Any) -> None:
        """Raise `Inexact` if an instance is another one when it comes back."""
        data, again = self._copied(value)
        if self._copied(again)[0] != data:
            raise Inexact(
                f"made of its fields, {a_or_an(form.name)} is another one: its `__post_init__`, a "
                f"descriptor or a default changes them; keep what these make of it"
            )

    def _prove_member(self, form: Form, member: Enum) -> None:
        """Raise `Inexact` if a copy of the value of a member of an enum does not find it."""
        proven = self.classes.proven
        if proven.get(id(member)) is member:
            return
        try:
            found = form.make(form.kind, {"value": self._copied(member.value)[1]})
        except Inexact as error:
            raise error.at(".value") from None
        except Exception:  # noqa: BLE001 - `_missing_` is the user's
            found = None
        if found is not member:
            raise Inexact(
                f"{form.name}.{member.name} cannot be kept: a copy of its value does not find it; "
                f"give it a value that is equal to its copy, as numbers and text are"
            )
        if len(proven) >= MOST_PROVEN:
            proven.clear()
        if isinstance(member.value, Hashable):  # others may be changed
            proven[id(member)] = member

    def _copied(self, value: Any) -> tuple[bytes, Any]:
        """The bytes of a value, and what they are read as."""
        writer = Writer(self.classes, canonical=self.canonical, careful=True)
        body = writer.lower(value)
        data = _encode((writer.head(), body))
        head, body = _decode(data)
        return data, Reader(self.classes, head).lift(body)

    def factory(self, kind: Any) -> str | int | None:
        """What stands for the factory of a `defaultdict`."""
        if kind is None:
            return None
        if isinstance(kind, type):
            name = f"{kind.__module__}:{kind.__qualname__}"
            if name in FACTORY_TYPES:
                return name
            if kept_form(kind) is not None:
                name = self.classes.form(kind).name
                return self.then.head_then(name, ())[0] if self.then else name
        raise Inexact(
            f"its default_factory {getattr(kind, '__qualname__', type(kind).__name__)} cannot be "
            f"kept: give it a type (int, list, dict, a dataclass), or None"
        )


def _key(key: Any) -> str:
    return f"[{safe_repr(key):.60}]"


def _distinct(value: Any) -> None:
    """Raise `Inexact` if keys or elements are equal by now: but for one they would be lost."""
    if PLAIN.issuperset(map(type, value)):
        return
    try:
        keys = dict.__iter__(value) if isinstance(value, dict) else value  # else it may not end
        same = len(value) - len({*list(keys)})  # of a list, as a set keeps the old hashes
    except Exception as error:  # noqa: BLE001 - `__hash__` and `__eq__` are the user's
        raise Inexact(f"its keys or elements cannot be compared: {message_of(error)}") from None
    if same:
        raise Inexact(f"{same} of its keys or elements were changed, and are equal to others now")


HOW_LOWERED: dict[type, Callable[[Writer, Any], Any]] = {
    list: Writer.sequence,
    dict: Writer.mapping,
    tuple: lambda w, value: [TUPLE_TAG, *w.sequence(value)],
    set: lambda w, value: [SET_TAG, *w.unordered(value)],
    frozenset: lambda w, value: [FROZEN_TAG, *w.unordered(value)],
    OrderedDict: lambda w, value: [ORDERED_TAG, *w.pairs(value, ordered=True)],
    Counter: lambda w, value: [COUNTER_TAG, *w.pairs(value)],
    defaultdict: lambda w, value: [DEFAULT_TAG, w.factory(value.default_factory), *w.pairs(value)],
    deque: lambda w, value: [DEQUE_TAG, value.maxlen, *w.items(value)],
}
