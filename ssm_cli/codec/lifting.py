"""From a form in MessagePack to the value that it was: the walk that reads."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec.msgpack import Ext

from ssm_cli.codec.classes import FACTORY_TYPES, Classes, Inexact
from ssm_cli.codec.kinds import STANDARD, Form, kept_form, standard_type
from ssm_cli.errors import a_or_an, message_of

COMPOUND = frozenset({list, dict})


class Reader:
    """One walk from a form to its value.

    Args:
        classes: of the values; what is written by them.
        head: the names of the classes, and of their fields.
        plain: without the classes, for who has other ones.
        named: keys and elements that are members of enums are their names then, always.
    """

    def __init__(
        self, classes: Classes, head: Any, *, plain: bool = False, named: bool = False
    ) -> None:
        self.classes = classes
        self.plain, self.named = plain, named
        self._heads: list[tuple[str, list[str], bool]] = head
        self._names = {head[0]: head for head in self._heads}

    def lift(self, data: Any) -> Any:
        """The value of a form."""
        kind = type(data)
        if kind is list:
            if data and type(data[0]) is Ext:
                return HOW_LIFTED[data[0].code](self, data)
            return data if COMPOUND.isdisjoint(map(type, data)) else self.items(data, 0)
        if kind is dict:
            return self._map(data)
        return data

    def items(self, data: list[Any], begin: int) -> list[Any]:
        """The values from that place on."""
        found: list[Any] = []
        try:
            for part in data[begin:]:
                found.append(self.lift(part))  # noqa: PERF401 - how far it came is told
        except Inexact as error:
            raise error.at(f"[{len(found)}]") from None
        return found

    def _map(self, data: dict[Any, Any]) -> dict[Any, Any]:
        if COMPOUND.isdisjoint(map(type, data.values())):
            return data
        found = {}
        for key, part in data.items():
            try:
                found[key] = self.lift(part)
            except Inexact as error:
                raise error.at(f"[{key!r}]") from None
        return found

    def pairs(self, data: list[Any], begin: int) -> Iterable[tuple[Any, Any]]:
        """Keys and values that stand in turn, from that place on."""
        for key, part in zip(self.apart(data[begin::2]), data[begin + 1 :: 2], strict=True):
            try:
                yield key, self.lift(part)
            except Inexact as error:
                raise error.at(f"[{key!r:.60}]") from None

    def elements(self, data: list[Any]) -> list[Any]:
        """The elements of a set."""
        return self.apart(data[1:]) if self.plain else self.items(data, 1)

    def apart(self, forms: list[Any]) -> list[Any]:
        """The values of keys or elements.

        Without classes a member of an enum is its value; where another one is that, its name.
        """
        found = [self.lift(form) for form in forms]
        if not self.plain:
            return found
        counts: Counter[Any] = Counter()
        try:
            counts.update(found)
        except TypeError:
            return found
        if not self.named and len(counts) == len(found):
            return found
        for index, form in enumerate(forms):
            if is_member(form) and (self.named or counts[found[index]] > 1):
                name = self._head(form[1])[0].rpartition(":")[2]
                found[index] = form[2] if form[2] not in counts else f"{name}.{form[2]}"
                counts[found[index]] += 1
        return found

    def hashed(self, make: Callable[[Any], Any], parts: Iterable[Any]) -> Any:
        """A set or a dict of these parts; without classes a list where those were its keys."""
        held = list(parts)
        try:
            made = make(held)
        except TypeError:
            if self.plain:
                return held
            raise Inexact(
                "its elements or keys cannot be hashed by the code that is here"
            ) from None
        if not self.plain and len(made) != len(held):
            raise Inexact("some of its elements or keys are equal for the code that is here")
        return made

    def standard(self, data: list[Any]) -> Any:
        """A value of the standard library."""
        name, parts = data[1], self.lift(data[2])
        try:
            return STANDARD[name].make(standard_type(name), parts)
        except Exception as error:  # noqa: BLE001 - a zone or a type that this Python lacks
            raise Inexact(
                f"{a_or_an(name)} cannot be made of {parts!r:.60}: {message_of(error)}"
            ) from None

    def _head(self, ref: int | str) -> tuple[str, list[str], bool]:
        return self._heads[ref] if isinstance(ref, int) else self._names[ref]

    def form(self, name: str) -> Form:
        """The form that a class has by now."""
        kind = self.classes.find(name)
        form = None if kind is None else kept_form(kind)
        if form is None:
            raise Inexact(f"it is {a_or_an(name)}, and the code has no such class")
        return form

    def enum(self, data: list[Any]) -> Any:
        """A member of an enum: of that value, and of that name."""
        name, value = self._head(data[1])[0], self.lift(data[3])
        if self.plain:
            return value
        form = self.form(name)
        try:
            member = form.make(form.kind, {"value": value})
        except Exception:  # noqa: BLE001 - `_missing_` is the user's
            member = None
        if not isinstance(member, form.kind) or getattr(member, "name", None) != data[2]:
            raise Inexact(
                f"it is {name}.{data[2]} = {value!r:.60}, and the code has no such member"
            )
        return member

    def record(self, data: list[Any]) -> Any:
        """An instance of a class of the program, with the fields that it had."""
        name, fields, tagged = self._head(data[1])
        values = {}
        for field, part in zip(fields, data[2:], strict=True):
            try:
                if type(part) is not Ext:
                    values[field] = self.lift(part)
            except Inexact as error:
                raise error.at(f".{field}") from None
        if self.plain:
            tag = {"type": name.rpartition(":")[2].rpartition(".")[2]} if tagged else {}
            return tag | values
        form = self.form(name)
        if gone := [field for field in fields if field not in form.fields]:
            raise Inexact(f"the code's {name} has no such field").at(f".{gone[0]}")
        if new := [field for field in form.fields if field not in fields]:
            raise Inexact(f"it is a new field of {name}, and not in what is stored").at(
                f".{new[0]}"
            )
        try:
            return form.make(
                form.kind, {field: values[field] for field in form.fields if field in values}
            )
        except Exception as error:  # noqa: BLE001 - `__post_init__` is the user's
            raise Inexact(f"{a_or_an(name)} cannot be made of it: {message_of(error)}") from None

    def default(self, data: list[Any]) -> Any:
        """A `defaultdict` with its factory."""
        name = data[1]
        if name is None:
            factory: Any = None
        elif name in FACTORY_TYPES:
            factory = FACTORY_TYPES[name]
        else:
            factory = None if self.plain else self.form(name).kind
        return self.hashed(partial(defaultdict, factory), self.pairs(data, 2))


HOW_LIFTED: tuple[Callable[[Reader, list[Any]], Any], ...] = (
    lambda r, data: r.hashed(dict, r.pairs(data, 1)),
    lambda r, data: tuple(r.items(data, 1)),
    lambda r, data: r.hashed(set, r.elements(data)),
    lambda r, data: r.hashed(frozenset, r.elements(data)),
    Reader.standard,
    Reader.record,
    Reader.enum,
    lambda r, data: r.hashed(OrderedDict, r.pairs(data, 1)),
    lambda r, data: r.hashed(lambda parts: Counter(dict(parts)), r.pairs(data, 1)),
    Reader.default,
    lambda r, data: deque(r.items(data, 2), data[1]),
    lambda _, data: int(data[1], 16),
    lambda _, data: data[1].decode("utf-8", "surrogatepass"),
)
"""By the number of the tag, in the order of `classes.TAGS`."""


def is_member(form: Any) -> bool:
    """Return whether a form is that of a member of an enum."""
    tagged = type(form) is list and bool(form) and type(form[0]) is Ext
    return tagged and HOW_LIFTED[form[0].code] is Reader.enum
