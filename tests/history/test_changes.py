"""What changed between two values: every part of it, nothing else, in time that is bounded."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.history import changes as module
from ssm_cli.history.changes import (
    CUT,
    DEEP,
    LARGE,
    ORDER,
    UNWRITTEN,
    Change,
    change_record,
    changes,
    recorded,
    same,
    shown,
)
from ssm_cli.history.grammar import MOST_STEPS
from ssm_cli.history.paths import Keyed, Path, parse_path
from tests.history.worlds import (
    Account,
    Bare,
    Beside,
    Colour,
    Hold,
    Key,
    Pair,
    Slotted,
    Zone,
    trapped,
    trapped_metaclass,
)
from tests.ids import stable
from tests.properties.exact_values import VALUES, described


def told(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [(str(one.path), one.before, one.after) for one in changes(before, after)]


def lines(before: Any, after: Any) -> list[str]:
    return [shown(one) for one in changes(before, after)]


# --- every kind of value ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [("b", 2, 3)]),
        ({"a": 1}, {"a": 1, "b": 3}, [("b", NOTHING, 3)]),
        ({"a": 1, "b": None}, {"a": 1}, [("b", None, NOTHING)]),
        ({1: "x"}, {1: "y"}, [("[1]", "x", "y")]),
        ({"a b": {2.5: 0}}, {"a b": {2.5: 1}}, [('["a b"][2.5]', 0, 1)]),
        ({Colour.RED: 1}, {Colour.RED: 2}, [("[RED]", 1, 2)]),
        ({date(2026, 1, 31): 1}, {date(2026, 1, 31): 2}, [('["2026-01-31"]', 1, 2)]),
        ({(1, "a"): 1}, {(1, "a"): 2}, [('[(1, "a")]', 1, 2)]),
        (Hold("x", 3), Hold("x", 2), [("count", 3, 2)]),
        (Account("a", {"x": 1}), Account("a", {"x": 2}), [("held.x", 1, 2)]),
        (Key("a", 1), Key("a", 2), [("number", 1, 2)]),
        (Pair(1, [2]), Pair(1, [3]), [("right[0]", 2, 3)]),
        (Bare(x=1), Bare(y=1), [("x", 1, NOTHING), ("y", NOTHING, 1)]),
        (Slotted(1), Slotted(2), [("a", 1, 2)]),
        (Beside(a=1), Beside(a=2), [("a", 1, 2)]),
        (MappingProxyType({"a": 1}), MappingProxyType({"a": 2}), [("a", 1, 2)]),
        ({"x", "y"}, {"y", "z"}, [('["x"]', "x", NOTHING), ('["z"]', NOTHING, "z")]),
        (frozenset({1}), frozenset({True}), [("[1]", 1, NOTHING), ("[True]", NOTHING, True)]),
        (deque([1, 2]), deque([1, 3]), [("[1]", 2, 3)]),
        (Hold("x"), Account("x"), [(".", Hold("x"), Account("x"))]),
        ({"a": {}}, {"a": OrderedDict()}, [("a", {}, OrderedDict())]),
        ({"a": [1]}, {"a": (1,)}, [("a", [1], (1,))]),
        (None, 1, [(".", None, 1)]),
    ],
)
def test_a_change_has_the_path_of_the_part_and_both_values(
    before: Any, after: Any, expected: list[tuple[str, Any, Any]]
) -> None:
    assert told(before, after) == expected
    for path, _, now in expected:
        assert now is NOTHING or same(parse_path(path).find(after), now)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("1", 1),
        (b"a", "a"),
        (Decimal("1.0"), Decimal("1.00")),
        (Colour.RED, 1),
        ([], ()),
        (date(2026, 1, 31), datetime(2026, 1, 31)),  # noqa: DTZ001 - what users write
        (datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31, 12)),  # noqa: DTZ001 - the same
        (type("Whole", (int,), {})(1), 1),
        (len, print),
        (object(), object()),
        (Fraction(1, 2), Fraction(1, 3)),
        (deque([1]), deque([1], 3)),
        (defaultdict(int), defaultdict(list)),
        (PurePosixPath("a"), PurePosixPath("b")),
    ],
    ids=stable,
)
def test_values_that_python_may_call_equal_are_told_apart(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same([one], [other])
    assert not same({"a": one}, {"a": other})
    assert same(one, one)


@pytest.mark.parametrize(
    "value", [math.nan, Decimal("NaN"), complex(math.nan, 1), -0.0, 10**5000], ids=type
)
def test_a_value_is_the_same_as_another_object_like_it(value: Any) -> None:
    other = copy.deepcopy([value, 0])[0]
    assert same(value, other)
    assert same({"a": [value]}, {"a": [other]})


def test_classes_of_attrs_are_read_like_dataclasses() -> None:
    attrs = pytest.importorskip("attrs")
    for slots in (True, False):
        fields = {"b": attrs.field(), "a": attrs.field(default=0)}
        kind: Any = attrs.make_class("Loan", fields, slots=slots, frozen=True)
        assert told(kind(1, 2), kind(3, 4)) == [("b", 1, 3), ("a", 2, 4)]
        assert parse_path("b").of(kind(1)) == 1


def test_an_order_of_keys_is_a_change_of_its_own() -> None:
    (change,) = changes({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert (change.note, str(change.path)) == (ORDER, ".")
    assert not changes({"a": 1, "b": 2}, {"a": 1, "b": 2})
    assert lines({"m": {"a": 1, "b": 2}}, {"m": {"b": 2, "a": 1}})[0].split() == [
        "m",
        *ORDER.split(),
    ]


# --- lists ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([1, 2, 3], [1, 9, 3], [("[1]", 2, 9)]),
        ([1, 2, 3], [1, 2, 3, 4], [("[3]", NOTHING, 4)]),
        ([1, 2, 3], [2, 3], [("[0]", 1, NOTHING)]),
        ([1, 2, 3], [1, 2, 5, 3], [("[2]", NOTHING, 5)]),
        ([1, 2, 3], [2, 3, 4], [("[0]", 1, NOTHING), ("[2]", NOTHING, 4)]),
        ([1, 2], [2, 1], [("[0]", 1, 2), ("[1]", 2, 1)]),
        ([[1], [2]], [[1], [3]], [("[1][0]", 2, 3)]),
        ([], [1], [("[0]", NOTHING, 1)]),
        ([1, 1, 1], [1, 1], [("[2]", 1, NOTHING)]),
        ([1, 2, 3, 4], [1, 9, 8, 7, 4], [("[1]", 2, 9), ("[2]", 3, 8), ("[3]", NOTHING, 7)]),
    ],
)
def test_what_was_put_in_between_does_not_change_what_is_behind_it(
    before: Any, after: Any, expected: list[tuple[str, Any, Any]]
) -> None:
    assert told(before, after) == expected
    assert told(deque(before), deque(after)) == expected


# --- applying changes gives the value after ---------------------------------------------------


def applied(value: Any, found: list[Change]) -> Any:
    """The value after, made of the value before and the changes; what it is worth shows here."""
    if whole := [change for change in found if not change.path.steps]:
        return whole[0].after
    if not found:
        return value
    below: dict[str, list[Change]] = {}
    for one in found:
        rest = msgspec.structs.replace(one, path=Path(one.path.steps[1:]))
        below.setdefault(str(one.path.steps[0]), []).append(rest)
    firsts = {str(one.path.steps[0]): one.path.steps[0] for one in found}
    if isinstance(value, list):
        return _of_list(value, {firsts[text].key: below[text] for text in below})  # type: ignore[union-attr]  # of a list
    made = dict(value)
    for text, step in firsts.items():
        key = step.key if isinstance(step, Keyed) else step.name
        now = applied(made.get(key, NOTHING), below[text])
        if now is NOTHING:
            del made[key]
        else:
            made[key] = now
    return made


def _of_list(value: list[Any], below: Mapping[int, list[Change]]) -> list[Any]:
    gone = {
        i
        for i, found in below.items()
        for one in found
        if one.after is NOTHING and not one.path.steps
    }
    come = {
        i: one.after
        for i, found in below.items()
        for one in found
        if one.before is NOTHING and not one.path.steps
    }
    changed = [
        applied(held, found)
        if (found := [one for one in below.get(i, []) if _is_changed(one)])
        else held
        for i, held in enumerate(value)
    ]
    made = [held for i, held in enumerate(changed) if i not in gone]
    for index in sorted(come):
        made.insert(index, come[index])
    return made


def _is_changed(change: Change) -> bool:
    return bool(change.path.steps) or NOTHING not in (change.before, change.after)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text("abc .\n", max_size=2) | st.integers(0, 2), inner, max_size=4)
    ),
    max_leaves=12,
)


def in_any_order(value: Any) -> str:
    if isinstance(value, dict):
        return str(sorted((described(k), in_any_order(held)) for k, held in value.items()))
    if isinstance(value, list):
        return str([*map(in_any_order, value)])
    return described(value)


@given(JSON, JSON)
def test_the_changes_applied_to_the_value_before_give_the_value_after(
    before: Any, after: Any
) -> None:
    assert in_any_order(applied(before, changes(before, after))) == in_any_order(after)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_the_changes_of_a_list_give_the_list_after(before: list[int], after: list[int]) -> None:
    found = changes(before, after)
    assert applied(before, found) == after
    assert len(found) <= len(before) + len(after)


@given(VALUES, VALUES)
def test_two_values_have_no_change_only_if_all_there_is_to_tell_of_them_is_the_same(
    one: Any, other: Any
) -> None:
    if same(one, other):
        assert in_any_order(one) == in_any_order(other)


@given(VALUES)
def test_every_change_is_one_printable_line_and_json(value: Any) -> None:
    for one in changes([value], [None]) + changes({}, {"k": value}):
        assert shown(one).isprintable()
        assert len(shown(one)) < 300
        msgspec.json.encode(change_record(one))


# --- bounds -----------------------------------------------------------------------------------


def test_what_is_shared_is_not_looked_at() -> None:
    shared = {"trap": trapped(dict), "wide": [*range(10_000)]}
    before: dict[str, Any] = {"shared": shared, "n": 1, "deep": {"same": shared, "x": 1}}
    after = {**before, "n": 2, "deep": {**before["deep"], "x": 2}}
    assert told(before, after) == [("n", 1, 2), ("deep.x", 1, 2)]


def test_only_so_many_changes_are_told() -> None:
    found = changes(dict.fromkeys(range(50), 1), dict.fromkeys(range(50), 2), most=3)
    assert [str(one.path) for one in found] == ["[0]", "[1]", "[2]", "."]
    assert found[3].note == CUT
    assert shown(found[3]) == CUT
    assert len(changes({"a": 1}, {"a": 2}, most=1)) == 1


def test_a_container_that_is_too_large_is_one_change() -> None:
    million = [*range(1_000_000)]
    (change,) = changes({"m": million, "n": 1}, {"m": [*million, 1], "n": 1})
    assert (str(change.path), change.note) == ("m", LARGE)
    assert shown(change).isprintable()
    assert len(shown(change)) < 300
    (change,) = changes(dict.fromkeys(million, 1), dict.fromkeys(million, 2))
    assert change.note == LARGE


def test_the_work_is_bounded_also_where_no_part_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 100)
    wide = {str(n): {"a": n} for n in range(60)}
    found = changes(wide, {key: {"a": held["a"] + 1} for key, held in wide.items()})
    assert len(found) == 60
    assert {one.note for one in found} == {"", LARGE}


def test_a_list_that_has_itself_in_it_has_an_end() -> None:
    one: list[Any] = [1]
    other: list[Any] = [1]
    one.append(one)
    other.append(other)
    assert same(one, other)
    other[0] = 2
    assert told(one, other) == [("[0]", 1, 2)]
    assert all(shown(change).isprintable() for change in changes([one], [None]))


def test_what_is_nested_too_deeply_is_one_change() -> None:
    before: Any = 1
    after: Any = 2
    for _ in range(5000):
        before, after = [before], [after]
    (change,) = changes(before, after)
    assert change.note == DEEP
    assert len(change.path.steps) == MOST_STEPS
    assert shown(change).isprintable()


def nested(steps: int, key: Any, leaf: Any) -> Any:
    """A leaf behind so many keys."""
    for _ in range(steps):
        leaf = {key: leaf}
    return leaf


@pytest.mark.parametrize(
    "key", ["k", "x" * 190, '"' * 100, 3, ("a", ("b", ("c", 1))), -7, "from", b"\xff" * 50]
)
@pytest.mark.parametrize("steps", [1, 25, 39, 40, 41, 50, 63, 64, 65, 300])
def test_the_path_of_each_change_is_read_back(steps: int, key: Any) -> None:
    before, after = nested(steps, key, [1, 2]), nested(steps, key, [1, 3])
    (change,) = changes(before, after)
    assert str(parse_path(str(change.path))) == str(change.path)
    assert recorded(change_record(change)).path == change.path
    assert same(change.path.find(after), change.after)
    assert steps >= 64 or same(before, nested(steps, key, [1, 2]))


def test_changes_in_what_no_path_can_say_are_one() -> None:
    before, after = nested(60, "k", [1, 2, 3]), nested(60, "k", [3, 2, 1])
    (change,) = changes({"a": 1, "b": before}, {"a": 1, "b": after})
    assert str(change.path).startswith("b.k.k")
    assert change.note == DEEP


def chained(error: Exception, cause: Exception) -> Exception:
    """Return an exception that another one has caused."""
    error.__cause__ = cause
    return error


def test_keys_that_no_path_can_say_make_one_change_of_their_mapping() -> None:
    before = {"m": {Key("a", 1): 1, "x": 1}}
    (change,) = changes(before, {"m": {Key("a", 1): 2, "x": 1}})
    assert (str(change.path), change.note) == ("m", UNWRITTEN)
    day = date(2026, 1, 31)
    assert changes({day: 1}, {"2026-01-31": 1})[0].note == UNWRITTEN
    assert changes({math.nan: 1}, {math.nan: 2})[0].note == UNWRITTEN


ALIKE: dict[str, Callable[[], Any]] = {
    "a dict keyed by dataclasses": lambda: {Key("a", 1): [1], Key("b", 2): [2]},
    "a set of them": lambda: {Key("a", 1), Key("b", 2), Key("c", 3)},
    "a frozenset of them": lambda: [frozenset({Key("a", 1), Key("b", 2)}), 7],
    "an exception": lambda: ValueError("no", [1]),
    "one with a cause": lambda: chained(ValueError("no"), KeyError("x")),
    "a namespace": lambda: {"a": SimpleNamespace(b=[1])},
}
OTHERS: dict[str, tuple[Any, Any]] = {
    "another key": ({Key("a", 1): 1}, {Key("a", 2): 1}),
    "another value": ({Key("a", 1): 1}, {Key("a", 1): 2}),
    "another order": ({Key("a", 1): 1, Key("b", 1): 1}, {Key("b", 1): 1, Key("a", 1): 1}),
    "one more": ({Key("a", 1)}, {Key("a", 1), Key("b", 1)}),
    "one less": ({Key("a", 1), Key("b", 1)}, {Key("a", 1)}),
    "a key of another type": ({Key("a", 1): 1}, {Key("a", True): 1}),
    "another text": (ValueError("no"), ValueError("yes")),
    "another class": (ValueError("no"), KeyError("no")),
    "another cause": (chained(ValueError("no"), KeyError("x")), ValueError("no")),
    "another part": (SimpleNamespace(a=1), SimpleNamespace(a=1.0)),
    "other objects": (object(), object()),
}


@pytest.mark.parametrize("what", ALIKE)
def test_what_holds_the_same_is_the_same_whatever_its_keys_are(what: str) -> None:
    assert same(ALIKE[what](), ALIKE[what]())


@pytest.mark.parametrize("what", OTHERS)
def test_what_holds_something_else_is_told_apart(what: str) -> None:
    assert not same(*OTHERS[what])


def test_an_exception_that_holds_itself_has_an_end() -> None:
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = one, other
    assert same(one, other)


# --- code of users ----------------------------------------------------------------------------


def test_no_code_of_the_users_runs() -> None:
    for base in (object, dict, list, set, int, str, float, tuple, Exception):
        one, other = trapped(base, held=1), trapped(base, held=1)
        found = changes({"a": one, "b": 1}, {"a": other, "b": 2})
        assert [str(change.path) for change in found][-1] == "b"
        for change in [*changes([one], [1]), *changes([one], []), *changes({}, {1: other})]:
            assert shown(change).isprintable()
            msgspec.json.encode(change_record(change))
    assert same(trapped_metaclass(a=1), trapped_metaclass(a=1)) is False  # of two classes
    assert shown(changes([trapped_metaclass()], [1])[0]).isprintable()
    here = datetime(2026, 1, 31, tzinfo=Zone())
    assert told([here], [here.replace(hour=1)])[0][0] == "[0]"
    assert shown(changes([here], [1])[0]).isprintable()


def test_an_object_is_compared_by_its_class_and_what_it_holds() -> None:
    kind = type(trapped())
    one, other = object.__new__(kind), object.__new__(kind)
    object.__setattr__(one, "held", [1])
    object.__setattr__(other, "held", [1])
    assert same(one, other)
    object.__setattr__(other, "held", [2])
    assert told(one, other) == [("held[0]", 1, 2)]


def test_what_is_computed_from_the_rest_is_no_change() -> None:
    account = Account("a")
    after = replace(account)
    assert after.doubled == 2
    assert not changes(account, after)


# --- as they are shown ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"held": {"acc16": 11300}}, {"held": {"acc16": 1700}},
         "held.acc16            11300 -> 1700   (-9600)"),
        ({"holds": {"1726": Hold("a", 3)}}, {"holds": {"1726": Hold("a", 2)}},
         'holds["1726"].count       3 -> 2   (-1)'),
        ({"a": 0.1}, {"a": 0.3}, "a                       0.1 -> 0.3   (+0.2)"),
        ({"a": Decimal("1.10")}, {"a": Decimal("2.00")},
         "a                      1.10 -> 2.00   (+0.90)"),
        ({"a": True}, {"a": 1}, "a                      True -> 1"),
        ({"a": "x"}, {"a": 'a"\x1b[31m\n'}, 'a                       "x" -> "a\\"\\x1b[31m\\n"'),
        ({}, {"a": {"b": None}}, 'a                     added {"b": null}'),
        ({"a": Hold("x")}, {},
         'a                     removed {"type": "Hold", "who": "x", "count": 1}'),
        ({"a": {}}, {"a": OrderedDict()},
         "a                        {} -> {}   (dict -> OrderedDict)"),
        ({"a": math.inf}, {"a": 1.0}, "a                       inf -> 1.0"),
        ({"a": 10**5000}, {"a": 0}, "a                     <int of 16610 bits> -> 0"),
        ({"a": len}, {"a": None}, "a                     <builtin_function_or_method> -> None"),
    ],
)  # fmt: skip
def test_a_change_is_shown_on_one_line(before: Any, after: Any, line: str) -> None:
    assert lines(before, after) == [line]


def test_long_values_and_paths_are_cut() -> None:
    (line,) = lines({"k" * 150: "x" * 5000}, {"k" * 150: "y" * 5000})
    assert len(line) < 250
    assert line.count("…") == 3


def test_a_change_is_data_of_the_contract() -> None:
    (change,) = changes({"held": {"acc16": 11300}}, {"held": {"acc16": 1700}})
    assert change_record(change) == {"path": "held.acc16", "before": 11300, "after": 1700}
    (change,) = changes({}, {"a": Hold("x")})
    assert change_record(change) == {
        "path": "a",
        "after": {"type": "Hold", "who": "x", "count": 1},
    }
    (change,) = changes([1] * 200_000, [2])
    assert change_record(change)["note"] == LARGE
    assert len(msgspec.json.encode(change_record(change))) < 10_000
