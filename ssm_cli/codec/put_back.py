"""What a person writes in the place of a value that was shown: read exactly, or refused.

Theory of operation. What is shown of a value does not say all of it: parts may be hidden, a tuple
looks like a list, a date like a text. So what stands as it was shown keeps the value that it has,
by its place in records and mappings. What was changed is read by its type, and must say all of
it: no field is left out, ignored or has its default. What is shown in the place of a hidden part
is never taken for a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from ssm_cli.codec.json import jsonable, shown_keys, spelling
from ssm_cli.codec.loss import read_whole, refuse_fields
from ssm_cli.codec.schema import is_record, shape_of
from ssm_cli.codec.shown import NUMBERS, read_shown, shown_type

AS_JSON = frozenset({str, int, float, bool, type(None), list, dict})
"""Of these, where no type is declared, what JSON has is taken as it has it."""


class PutBack:
    """One value, what is shown of it, and what may be written in its place.

    Args:
        old: the value.
        shown: what is shown of it, as JSON-ready data.
    """

    def __init__(self, old: Any, shown: Any) -> None:
        self.old, self.shown = old, shown
        self.hidden = [*hidden_in(jsonable(old), shown)]
        self.masks = {_leaf(mask) for _, mask in self.hidden if not isinstance(mask, dict | list)}

    def read(self, given: Any, declared: Any = Any) -> Any:
        """Return the value that data stands for.

        Raises:
            ValueError, TypeError: it is none, or does not say all; says where and why.

        >>> PutBack((1, {"a": b"x"}), [1, {"a": "***"}]).read([2, {"a": "***"}])
        (2, {'a': b'x'})
        """
        return self._read(given, self.old, self.shown, declared)

    def refuse_masks(self, value: Any) -> None:
        """Raise `ValueError` where a value holds what is shown in the place of hidden parts."""
        if self.hidden:
            self._refuse_masks(data := jsonable(value))
            for path, mask in self.hidden:
                there = _at(data, path)
                if isinstance(mask, dict | list) and _same(there, mask):
                    raise ValueError(HIDES)

    def _refuse_masks(self, data: Any) -> None:
        if self.masks and any(_leaf(one) in self.masks for one in _leaves(data)):
            raise ValueError(HIDES)

    def _read(self, given: Any, old: Any, shown: Any, said: Any) -> Any:
        if _same(given, shown):
            return old
        kind = type(old)
        if is_record(kind):
            return self._record(given, old, shown, said)
        if kind is dict and isinstance(given, dict) and isinstance(shown, dict):
            return self._mapping(given, old, shown, shown_type(old, said))
        if kind in (list, tuple) and isinstance(given, list) and isinstance(shown, list):
            return self._items(given, old, shown, shown_type(old, said))
        return self._anew(given, old, said)

    def _anew(self, given: Any, old: Any, said: Any) -> Any:
        """Return what was written altogether anew; `old` tells the type where none is declared."""
        self._refuse_masks(given)
        undeclared = said in (Any, object)
        told = shown_type(old) if undeclared else said
        if undeclared and told in AS_JSON and not (told is float and given in NUMBERS):
            return given
        return read_whole(told, given)

    def _record(self, given: Any, old: Any, shown: Any, said: Any) -> Any:
        kind: Any = type(old)
        shape = shape_of(kind, lenient=True)
        name, slots = shape.constructor.name, {spelling(s.field.name): s for s in shape.slots}
        if isinstance(old, tuple) and isinstance(given, list) and len(given) == len(slots):
            given = dict(zip(slots, given, strict=True))
        whole = isinstance(shown, dict) and slots.keys() <= shown.keys()
        if not (isinstance(given, dict) and whole and given.get("type", name) == name):
            return self._anew(given, old, said)
        refuse_fields(given, name, slots)
        return shape.make(**{
            slot.field.name: self._read(
                given[key], getattr(old, slot.field.name), shown[key], slot.annotation
            )
            for key, slot in slots.items()
        })  # fmt: skip

    def _mapping(self, given: Any, old: Any, shown: Any, said: Any) -> dict[Any, Any]:
        known = dict(zip(shown_keys(old), old, strict=True))
        inside: Any = get_args(said)
        of_key, of_value = inside if len(inside) == 2 else (Any, Any)
        found = {known[key]: old[known[key]] for key in known if key not in shown}  # hidden
        kept = len(found)
        for key, data in given.items():
            if key in known and key in shown:
                at = known[key]
                found[at] = self._read(data, old[at], shown[key], of_value)
            else:
                self._refuse_masks(key)
                of_new: Any = _kind_of_keys(old, of_key)
                (at,) = read_shown(dict[of_new, Any], {key: None})
                found[at] = self._anew(data, NOTHING, _kind_of_items(old.values(), of_value))
        if len(found) != kept + len(given):
            raise ValueError("two of its keys stand for one")
        return found

    def _items(self, given: Any, old: Any, shown: Any, said: Any) -> Any:
        """Return the items: those that stand at their place as shown are what they were."""
        if len(old) != len(shown):
            raise ValueError(HIDES)
        if len(given) == len(old) and (type(old) is tuple or not self.hidden):
            types = _item_types(said, len(old))
            parts = zip(given, old, shown, types, strict=True)
            return type(old)(self._read(*part) for part in parts)
        if type(old) is tuple:
            return self._anew(given, old, said)
        of_item = _kind_of_items(old, next(_item_types(said, 1)))
        by_place = len(given) == len(old)
        found = []
        for index, data in enumerate(given):
            same = by_place and _same(data, shown[index])
            found.append(old[index] if same else self._anew(data, NOTHING, of_item))
        return found


HIDES = (
    "it holds what is shown in the place of a hidden part; write what that part is to hold, or "
    "give `replace_state` a function from Python"
)
NOTHING = ""  # an old value that tells no type


def hidden_in(real: Any, shown: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield where something else is shown than is there, and what.

    >>> list(hidden_in({"a": 1, "b": [2]}, {"a": 1, "b": ["*"]}))
    [(('b', 0), '*')]
    """
    if isinstance(real, dict) and isinstance(shown, dict) and real.keys() == shown.keys():
        for key, one in real.items():
            yield from hidden_in(one, shown[key], (*path, key))
    elif isinstance(real, list) and isinstance(shown, list) and len(real) == len(shown):
        for index, (one, other) in enumerate(zip(real, shown, strict=True)):
            yield from hidden_in(one, other, (*path, index))
    elif not _same(real, shown):
        yield path, shown


def _same(one: Any, other: Any) -> bool:
    """Return whether data is the same JSON, and not only equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) and (type(one) is not float or repr(one) == repr(other))


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, dict | list):
        for one in data.values() if isinstance(data, dict) else data:
            yield from _leaves(one)
    else:
        yield data


def _leaf(data: Any) -> tuple[type, Any]:
    return type(data), data


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return NOTHING
    return data


def _kind_of_keys(keys: Any, said: Any) -> Any:
    """Return the type of a new key: as declared, or that which all have."""
    kinds = {type(key) for key in keys}
    if said in (Any, object) and len(kinds) > 1:
        raise ValueError("its keys are of several types, and a new one tells none")
    return said if said not in (Any, object) else kinds.pop() if kinds else str


def _kind_of_items(items: Any, said: Any) -> Any:
    """Return the type of a new item: as declared, or that which all have; `Any` for JSON's own."""
    kinds = {type(item) for item in items} - AS_JSON
    if said not in (Any, object) or not kinds:
        return said
    if len(kinds) > 1 or any(type(item) in AS_JSON for item in items):
        raise ValueError("its items are of several types, and a new one tells none")
    return kinds.pop()


def _item_types(said: Any, count: int) -> Iterator[Any]:
    inside: Any = get_args(said)
    for index in range(count):
        if len(inside) == 2 and inside[1] is Ellipsis:
            yield inside[0]
        elif not inside:
            yield Any
        else:
            yield inside[index] if index < len(inside) else inside[-1]
