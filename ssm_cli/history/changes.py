"""What changed between two values, part by part, in time that goes with what is not shared.

A pure step makes a new state and shares with the old one whatever it did not touch, so a part that
is the same object is not looked at. Values are the same if their types and all they hold are the
same: 1, 1.0 and True are three values, 0.0 and -0.0 are two, and NaN is one. No `==` runs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from difflib import SequenceMatcher
from itertools import islice
from operator import is_, itemgetter, ne
from typing import Any

import msgspec

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.words import shorten
from ssm_cli.history.grammar import MOST_STEPS
from ssm_cli.history.operators import EXACT
from ssm_cli.history.outline import MOST_NUMBER_BITS, glimpse, outline
from ssm_cli.history.paths import Keyed, Path, Step, is_readable, named_or_keyed, parse_path
from ssm_cli.history.plain import (
    KEYS,
    EnumName,
    Form,
    atom,
    elements,
    entries,
    fields,
    form_of,
    inside,
    label_of,
    name_of_class,
    opened,
    size,
    spelled,
    written_as,
)

MOST_CHANGES = 1000
NAMES = frozenset({str})  # what keys are that are compared at a glance
MOST_LOOKED_AT = 200_000  # parts that are compared, of one pair of values
MOST_ELEMENTS = 100_000  # of a container that is compared part by part
ELEMENTS_A_LOOK = 10  # of a container that are passed over in the time of a part compared
MOST_DEEP = 64  # levels that parts are nested
MOST_MATCHED = 100  # elements of a list that are searched for what was put in between
MOST_SHOWN = 60  # characters of a value on a line
MOST_PATH_CHARACTERS = 80
PATH_COLUMNS = 21
VALUE_COLUMNS = 5

LARGE = "too large to compare part by part"
DEEP = "nested too deep for a path to say more"
UNWRITTEN = "it has keys that no path can say"
ORDER = "in another order"
CUT = "more changes are left out"
ROOM: Any = vars(deque)["maxlen"]

_Pairs = list[tuple[Any, Any]]
_Steps = dict[str, tuple[Step, Any, Any]]


class Change(msgspec.Struct, frozen=True):
    """A part that is not the same in two values.

    Attributes:
        path: where it is. An element of a list has its index before where it was removed, and its
            index after where it was added; where it was replaced, these are one.
        before: the part before, `NOTHING` where there was none.
        after: the part after, `NOTHING` where there is none.
        note: why it is not told more closely; mostly empty.
    """

    path: Path
    before: Any
    after: Any
    note: str = ""


def changes(before: Any, after: Any, most: int = MOST_CHANGES) -> list[Change]:
    """Return what changed between two values, in the order of the value before.

    At most `most` changes; one more, whose note says so and which has no parts, stands for all
    that are left out. What is too large or too deep to compare is one change, with a note.

    >>> [str(one.path) for one in changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})]
    ['b', 'c']
    """
    found: list[Change] = []
    for change in _Walk().compare(Path(), before, after):
        one = as_told(change, before, after)
        if found and one is not change and str(one.path) == str(found[-1].path):
            continue
        if len(found) == most:
            return [*found, Change(Path(), NOTHING, NOTHING, CUT)]
        found.append(one)
    return found


def as_told(change: Change, before: Any, after: Any) -> Change:
    """Return a change between two values, or that of what is around it, whose path can be read."""
    path = change.path
    while not is_readable(path):
        path = Path(path.steps[:-1])
    if path is change.path:
        return change
    return Change(path, path.find(before), path.find(after), DEEP)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are of the same types, and hold the same.

    >>> same([1, float("nan")], [1, float("nan")]), same(1, True), same({1}, {1.0})
    (True, False, False)
    """
    if one is other or type(one) is not type(other):
        return one is other
    if type(one) is int or type(one) is str:
        return bool(one == other)
    if type(one) is dict and are_one_at_a_glance(one, other):
        return True
    return next(_Walk().compare(Path(), one, other), None) is None


def are_one_at_a_glance(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Return whether two dicts have the same names for the same objects, in the same order."""
    return (
        len(one) == len(other)
        and all(map(is_, one.values(), other.values()))
        and {*map(type, one), *map(type, other)} <= NAMES
        and [*one] == [*other]
    )


class _Walk:
    """One comparison of two values, with its bounds."""

    def __init__(self) -> None:
        self._left = MOST_LOOKED_AT
        self._open: set[tuple[int, int]] = set()  # pairs that are being compared: cycles end here

    def compare(self, path: Path, one: Any, other: Any) -> Iterator[Change]:
        """Yield the changes from one value to another, both at `path`."""
        if one is other:
            return
        self._left -= 1
        if type(one) is type(other):
            one, other = opened(one), opened(other)
        form = form_of(one)
        if type(one) is not type(other):
            yield Change(path, one, other)
        elif form.sort in {"mapping", "sequence", "set", "record"}:
            yield from self._guarded(path, one, other, form)
        elif not self._leaf(one, other, form):
            yield Change(path, one, other)

    def _leaf(self, one: Any, other: Any, form: Form) -> bool:
        """Whether two values of one class, none of them a container, are the same."""
        if form.sort == "atom":
            left, right = atom(one), atom(other)
            alike = repr(left) == repr(right) if type(left) is float else left == right
            own = form.held or form.slots
            return alike and not (own and self._differ(fields(one, form), fields(other, form)))
        if form.sort == "standard":
            return not self._differ(written_as(one), written_as(other))
        if form.sort == "opaque":
            return self._alike_inside(one, other)
        return form.sort == "enum" and not self._differ(fields(one, form), fields(other, form))

    def _alike_inside(self, one: Any, other: Any) -> bool:
        """Whether two exceptions, or namespaces, of one class hold the same."""
        pair, parts, others = (id(one), id(other)), inside(one), inside(other)
        if parts is None or others is None or len(self._open) >= MOST_DEEP:
            return False
        if pair in self._open:
            return True
        self._open.add(pair)
        try:
            return not any(map(self._differ, parts, others))
        finally:
            self._open.discard(pair)

    def _differ(self, one: Any, other: Any) -> bool:
        return next(self.compare(Path(), one, other), None) is not None

    def _guarded(self, path: Path, one: Any, other: Any, form: Form) -> Iterator[Change]:
        """Yield the changes of two containers of one class, within the bounds."""
        pair = (id(one), id(other))
        if pair in self._open:
            return
        elements_here = max(size(one), size(other))
        self._left -= elements_here // ELEMENTS_A_LOOK
        if len(self._open) >= MOST_DEEP:
            yield Change(path, one, other, DEEP)
        elif len(path.steps) == MOST_STEPS:
            if next(self._guarded(Path(), one, other, form), None) is not None:
                yield Change(path, one, other, DEEP)
        elif self._left <= 0 or elements_here > MOST_ELEMENTS:
            yield Change(path, one, other, LARGE)
        else:
            self._open.add(pair)
            try:
                yield from self._parts(path, one, other, form)
            finally:
                self._open.discard(pair)

    def _parts(self, path: Path, one: Any, other: Any, form: Form) -> Iterator[Change]:
        if form.base is deque and ROOM.__get__(one) != ROOM.__get__(other):
            yield Change(path, one, other, "another maxlen")
            return
        before, after = fields(one, form), fields(other, form)
        for name in before | after:
            held, now = before.get(name, NOTHING), after.get(name, NOTHING)
            if held is not now:
                yield from self.compare(path / named_or_keyed(name), held, now)
        if form.sort == "sequence" and not form.places:
            yield from self._sequence(path, [*elements(one)], [*elements(other)])
        elif form.sort in {"mapping", "set"}:
            yield from self._entries(path, one, other, {*before, *after})

    def _entries(self, path: Path, one: Any, other: Any, taken: set[str]) -> Iterator[Change]:
        """Yield what changed in a mapping or a set: keys that were there, then new ones."""
        ordered = form_of(one).sort == "mapping"
        unshared = _unshared if ordered else _unshared_of_sets
        before, after = unshared([*entries(one)], [*entries(other)])
        names = taken if ordered else None
        old, new = _by_step(before, names), _by_step(after, names)
        if old is None or new is None or self._rekeyed(old, new):
            if not self._alike_by_value(before, after, ordered=ordered):
                yield Change(path, one, other, UNWRITTEN)
            return
        for text, (step, _, held) in old.items():
            yield from self.compare(path / step, held, new[text][2] if text in new else NOTHING)
        for text, (step, _, now) in new.items():
            if text not in old:
                yield Change(path / step, NOTHING, now)
        if ordered and [k for k in old if k in new] != [k for k in new if k in old]:
            yield Change(path, one, other, ORDER)

    def _alike_by_value(self, before: _Pairs, after: _Pairs, *, ordered: bool) -> bool:
        """Whether each key has one of the same value, whose value is the same; within the bound."""
        left = deque(after)
        for key, held in before:
            near = islice(left, 1) if ordered else left
            found = (n for n, pair in enumerate(near) if not self._differ(key, pair[0]))
            index = next(found, None)
            if self._left <= 0 or index is None or self._differ(held, left[index][1]):
                return False
            del left[index]
        return not left

    def _rekeyed(self, old: _Steps, new: _Steps) -> bool:
        """Whether keys that are written alike are not the same: a date, and its text."""
        both = ((key, new[text][1]) for text, (_, key, _) in old.items() if text in new)
        return any(key is not other and self._differ(key, other) for key, other in both)

    def _sequence(self, path: Path, one: list[Any], other: list[Any]) -> Iterator[Change]:
        """Yield what changed in a list: elements in their places, or what came in between."""
        for gone, come in _moves(one, other):
            pairs = min(len(gone), len(come)) if gone.start == come.start else 0
            for index in gone[:pairs]:
                yield from self.compare(path / Keyed(index), one[index], other[index])
            for index in gone[pairs:]:
                yield Change(path / Keyed(index), one[index], NOTHING)
            for index in come[pairs:]:
                yield Change(path / Keyed(index), NOTHING, other[index])


# --- what is to be compared -------------------------------------------------------------------


def step_to(key: Any, taken: Collection[str] | None = ()) -> Step | None:
    """Return the step to an entry by its key, as it is read back; None if no path can say it.

    `taken` are names of fields beside the entries, which `.name` finds first; None of a set, whose
    elements have no names.

    >>> str(step_to("held")), str(step_to("a b")), str(step_to((1, "a"))), step_to(object())
    ('.held', '["a b"]', '[(1, "a")]', None)
    """
    if not spelled(key):
        return None
    if type(key) is str and taken is not None and key not in taken:
        return named_or_keyed(key)
    return Keyed(_read_back(key))


def _read_back(key: Any) -> Any:
    form = form_of(key)
    match form.sort:
        case "enum":
            return EnumName(label_of(key))
        case "standard":
            return label_of(key)
        case "sequence":
            return tuple(map(_read_back, elements(key)))
        case _:
            return atom(key)


def _by_step(pairs: _Pairs, taken: Collection[str] | None) -> _Steps | None:
    """Return steps, keys and values by how they are written; None if they cannot be, or clash."""
    found: _Steps = {}
    for key, held in pairs:
        step = step_to(key, taken)
        if step is None or str(step) in found:
            return None
        found[str(step)] = (step, key, held)
    return found


def _unshared(before: _Pairs, after: _Pairs) -> tuple[_Pairs, _Pairs]:
    """Return the entries of two mappings that are not the same objects in the same order."""
    if len(before) == len(after) and all(map(is_, _keys(before), _keys(after))):
        found = [(a, b) for a, b in zip(before, after, strict=True) if a[1] is not b[1]]
        return [a for a, _ in found], [b for _, b in found]
    head, tail = _ends(before, after, lambda a, b: a[0] is b[0] and a[1] is b[1])
    return before[head : len(before) - tail], after[head : len(after) - tail]


def _keys(pairs: _Pairs) -> Iterator[Any]:
    return map(itemgetter(0), pairs)


def _unshared_of_sets(before: _Pairs, after: _Pairs) -> tuple[_Pairs, _Pairs]:
    """Return the elements of two sets that are not the same objects."""
    both = set(map(id, _keys(before))) & set(map(id, _keys(after)))
    return [p for p in before if id(p[0]) not in both], [p for p in after if id(p[0]) not in both]


def _ends(one: list[Any], other: list[Any], alike: Callable[[Any, Any], bool]) -> tuple[int, int]:
    """Return how many elements are alike at the beginning, and how many then at the end."""
    most = min(len(one), len(other))
    head = next((i for i in range(most) if not alike(one[i], other[i])), most)
    ends = range(1, most - head + 1)
    return head, next((i - 1 for i in ends if not alike(one[-i], other[-i])), most - head)


def _moves(one: list[Any], other: list[Any]) -> Iterator[tuple[range, range]]:
    """Yield which elements of a list are gone and which have come, place by place."""
    head, tail = _ends(one, other, lambda a, b: a is b or _token(a) == _token(b))
    gone, come = range(head, len(one) - tail), range(head, len(other) - tail)
    if gone and come and max(len(gone), len(come)) <= MOST_MATCHED:
        left, right = [_token(one[i]) for i in gone], [_token(other[i]) for i in come]
        codes = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
        moved = [(gone[a:b], come[c:d]) for tag, a, b, c, d in codes if tag != "equal"]
        told = sum(max(len(g), len(c)) if g.start == c.start else len(g) + len(c) for g, c in moved)
        if len(left) != len(right) or told < sum(map(ne, left, right)):
            yield from moved
            return
    yield gone, come


def _token(value: Any) -> object:
    """Return what stands for an element of a list: equal ones are of the same value."""
    kind = type(value)
    return (kind.__name__, spelled(value) or id(value)) if id(kind) in KEYS else id(value)


# --- what is shown ----------------------------------------------------------------------------


def shown(change: Change, characters: int = MOST_SHOWN) -> str:
    """Return a change on one line, printable; values are cut at so many characters each.

    >>> print(shown(Change(Path((named_or_keyed("acc16"),)), 11300, 1700)))
    acc16                 11300 -> 1700   (-9600)
    >>> print(shown(Change(Path((Keyed("9"),)), NOTHING, None)))
    ["9"]                 added None
    """
    place = shorten(str(change.path), MOST_PATH_CHARACTERS)
    if change.before is NOTHING and change.after is NOTHING:
        return change.note
    return f"{place:<{PATH_COLUMNS}} {shown_values(change, characters, VALUE_COLUMNS)}"


def shown_values(change: Change, characters: int = MOST_SHOWN, columns: int = 0) -> str:
    """Return what was before and after a change; the first takes so many columns at least.

    >>> shown_values(Change(Path(), 3, 1)), shown_values(Change(Path(), "a", NOTHING))
    ('3 -> 1   (-2)', 'removed "a"')
    """
    note = f"   ({change.note})" if change.note else ""
    before, after = glimpse(change.before, characters), glimpse(change.after, characters)
    if change.note == ORDER:
        return ORDER
    if change.before is NOTHING:
        return f"added {after}{note}"
    if change.after is NOTHING:
        return f"removed {before}{note}"
    by = _difference(change, before == after)
    return f"{before:>{columns}} -> {after}{by}{note}"


def _difference(change: Change, alike: bool) -> str:
    """Return by how much a number changed, or of which types two values are that look alike."""
    before, after = change.before, change.after
    kind = type(before)
    if kind is type(after) and (kind is int or kind is float or kind is Decimal):
        if kind is int and max(abs(before), abs(after)).bit_length() > MOST_NUMBER_BITS:
            return ""
        by = EXACT.subtract(after, before) if kind is Decimal else after - before
        finite = by.is_finite() if kind is Decimal else math.isfinite(by)
        return f"   ({by:{'+.12g' if kind is float else '+'}})" if finite else ""
    if not alike:
        return ""
    names = (shorten(name_of_class(type(value))) for value in (before, after))
    return f"   ({' -> '.join(names)})" if kind is not type(after) else ""


def change_record(change: Change) -> dict[str, Any]:
    """Return a change as JSON-ready data; a part that was not there has no key.

    >>> change_record(Change(Path((named_or_keyed("acc16"),)), 11300, 1700))
    {'path': 'acc16', 'before': 11300, 'after': 1700}
    """
    record = {"path": str(change.path)}
    parts = {"before": change.before, "after": change.after}
    record |= {name: outline(part) for name, part in parts.items() if part is not NOTHING}
    return record | ({"note": change.note} if change.note else {})


def recorded(data: Mapping[str, Any]) -> Change:
    """Return the change that data tell of, as `change_record` writes them.

    >>> recorded({"path": "acc16", "after": 1}) == Change(parse_path("acc16"), NOTHING, 1)
    True
    """
    path = parse_path(data["path"]) if data["path"] else Path()
    before, after = data.get("before", NOTHING), data.get("after", NOTHING)
    return Change(path, before, after, data.get("note", ""))
