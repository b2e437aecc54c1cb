"""PATH: what it finds, how it is written back, and what is said where it finds nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import CommandError
from ssm_cli.history.changes import step_to
from ssm_cli.history.grammar import BadExpr, is_plain_name
from ssm_cli.history.paths import Keyed, Named, NoSuchPart, Path, named_or_keyed, parse_path
from ssm_cli.history.plain import EnumName, elements, entries, fields, form_of, spelled
from tests.history.worlds import BANK, Beside, Colour, trapped, trapped_metaclass
from tests.properties.exact_values import VALUES

FOUND: dict[str, Any] = {
    "held.acc16": 11300,
    'holds["1726"].count': 3,
    "holds.é": 2,
    'holds["from"]': 1,
    r'holds["a\"b\n"]': 4,
    "numbers[1726]": "n",
    "numbers[1.5]": "f",
    "numbers[True]": "t",
    "numbers[None]": "x",
    'numbers[b"k"]': "b",
    'numbers[(1, "a")]': "tuple",
    'numbers[1, "a"]': "tuple",
    "colours[RED]": 1,
    'colours["BLUE"]': 2,
    'days["2026-01-31"]': "last",
    'days["1.50"]': "price",
    "items[1]": "b",
    "items[-1][0]": "c",
    'tags["x"]': "x",
    "queue[2]": 3,
    "pair.right.z": 2,
    "pair[0]": 1,
    "bare.x": 1,
    "bare._hidden": 2,
    'bare["x"]': 1,
    "slotted.a": 5,
    "boxed.inside": "in",
    "view.k": "v",
    "colour.name": "BLUE",
    "colour.value": "blue",
    'account.held["a b"]': 3,
    " held . acc16 ": 11300,
}


@pytest.mark.parametrize("text", FOUND)
def test_a_path_finds_a_part_of_a_value_of_every_kind(text: str) -> None:
    path = parse_path(text)
    assert path.of(BANK) == FOUND[text]
    assert path.find(BANK) == FOUND[text]
    assert parse_path(str(path)) == path


@pytest.mark.parametrize("text", ["", ".", "  ", " . "])
def test_the_empty_path_is_the_whole_value(text: str) -> None:
    assert parse_path(text) == Path()
    assert parse_path(text).of(BANK) is BANK
    assert str(Path()) == "."


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("holds['1726'].count", 'holds["1726"].count'),
        ('held["acc16"]', 'held["acc16"]'),
        ("numbers[0x10]", "numbers[16]"),
        ("numbers[1,'a']", 'numbers[(1, "a")]'),
        ("a[true].b[null]", "a[True].b[None]"),
        ('["a b"][0]', '["a b"][0]'),
    ],
)
def test_a_path_is_written_back_in_one_way(text: str, written: str) -> None:
    assert str(parse_path(text)) == written


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("held acc16", 6, "invalid syntax"),
        ("held.", 6, "invalid syntax"),
        ("held[", 5, "'[' was never closed"),
        ("held.acc-16", 1, "`held.acc-16` is not allowed"),
        ("held()", 1, "`held()` is not allowed"),
        ("held[1:2]", 6, "expected a key"),
        ("held[x + 1]", 6, "expected a key"),
        ("holds.from", 7, '["from"]'),
        ("a.__class__", 1, "`__class__` is not allowed"),
        ("a.b # c", 5, "`#` is not allowed"),
        ("a\x1b.b", 2, r"write \x1b in quotes"),
        ("a\nb", 2, r"write \n in quotes"),
        ("a[1e999]", 3, "expected one below"),
        ("é[", 2, "'[' was never closed"),
        ('a["\\d"]', 4, "invalid escape"),
        ("a" * 5000, 4001, "at most 4000 characters"),
        ("a" + ".b" * 60, 1, "at most 50 levels"),
        (f"a[{'9' * 400}]", 3, "at most 1024 bits"),
        ("[" * 300, 1, "nested"),
    ],
)
def test_a_wrong_path_is_refused_with_its_column(text: str, column: int, said: str) -> None:
    with pytest.raises(BadExpr) as caught:
        parse_path(text)
    assert "PATH, column " in str(caught.value)
    assert said in str(caught.value)
    if said != "nested":
        assert caught.value.column == column


def test_a_caret_stands_below_the_place() -> None:
    with pytest.raises(BadExpr) as caught:
        parse_path("held.é.x y")
    line, caret = caught.value.place_lines()
    assert (line, caret) == ("held.é.x y", "         ^")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hold.acc16", "the value has no .hold; it has held, holds"),
        ("hold.acc16", "did you mean `hold"),
        ("held.acc61", "`held` has no .acc61; it has acc16; did you mean `acc16`?"),
        ('holds["1726"].cout', '`holds["1726"]` has no .cout; it has who, count'),
        ("items[3]", "`items` has no [3]; it has 3 elements"),
        ("items[-4]", "has no [-4]"),
        ('tags["z"]', '`tags` has no ["z"]; it has'),
        ("held.acc16.x", "`held.acc16` has no .x; it is of type int"),
        ("colours[GREEN]", "`colours` has no [GREEN]; it has RED, BLUE"),
        ("account.worth", "`account` has no .worth; it has name, held"),
        ("account.total", "has no .total"),
        ("account.doubled", "has no .doubled"),
        ("slotted.b", "has no .b; it has a"),
        ("items.append", "has no .append"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(text: str, said: str) -> None:
    with pytest.raises(NoSuchPart) as caught:
        parse_path(text).of(BANK)
    assert said in str(caught.value)
    assert isinstance(caught.value, CommandError)


def test_a_field_comes_before_an_entry_of_that_name() -> None:
    value = Beside(count=1, other=2)
    value.count = 5  # type: ignore[attr-defined]  # an attribute beside the keys
    assert parse_path("count").of(value) == 5
    assert parse_path('["count"]').of(value) == 1
    assert parse_path("other").of(value) == 2


def test_a_text_finds_a_key_of_text_before_one_that_is_shown_so() -> None:
    day = date(2026, 1, 31)
    for value in ({day: 1, "2026-01-31": 2}, {"2026-01-31": 2, day: 1}):
        assert parse_path('["2026-01-31"]').of(value) == 2


def test_no_code_of_the_users_runs() -> None:
    trap = trapped(inside={"a": 1}, own=2)
    assert parse_path("inside.a").of(trap) == 1
    assert parse_path('["own"]').of(trap) == 2
    assert parse_path("x.inside").find({"x": trap}) == {"a": 1}
    assert parse_path("a").of(trapped_metaclass(a=3)) == 3
    for there in (trap, [trap], {"k": trap}, trapped_metaclass(), trapped(dict), trapped(str)):
        with pytest.raises(NoSuchPart):
            parse_path("nowhere").of(there)


class Clash:
    """Its hash is that of the text "a": a lookup of "a" would compare the two."""

    def __hash__(self) -> int:
        return hash("a")

    def __eq__(self, other: object) -> bool:
        raise AssertionError(other)


def test_a_key_of_the_users_with_the_hash_of_a_text_is_not_compared() -> None:
    there = {Clash(): 2, "b": 3}
    assert parse_path("a").find(there) is NOTHING
    assert parse_path("b").of(there) == 3
    assert parse_path('["a"]').find({Clash()}) is NOTHING


KEYS = st.recursive(
    st.text(max_size=8)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=4)
    | st.sampled_from(Colour).map(lambda member: EnumName(member.name)),
    lambda keys: st.lists(keys, max_size=3).map(tuple),
    max_leaves=4,
)
NAMES = st.text(min_size=1, max_size=8).filter(is_plain_name)
STEPS = NAMES.map(Named) | KEYS.filter(spelled).map(Keyed)


@given(st.lists(STEPS, max_size=6).map(lambda steps: Path(tuple(steps))))
def test_every_path_is_read_back_as_it_was(path: Path) -> None:
    again = parse_path(str(path))
    assert repr(again) == repr(path)
    assert str(again) == str(path)


@given(VALUES)
def test_every_part_is_found_by_the_path_that_is_written_of_it(value: Any) -> None:
    for path, part in parts_below(value, Path()):
        assert parse_path(str(path)).of(value) is part


def parts_below(value: Any, path: Path, depth: int = 0) -> Iterator[tuple[Path, Any]]:
    """All parts of a value that a path can say."""
    yield path, value
    form = form_of(value)
    named = fields(value, form) if form.sort != "enum" else {}
    for name, held in named.items():
        yield from parts_below(held, path / named_or_keyed(name), depth + 1)
    if form.sort == "mapping":
        steps = [step_to(key, named) for key, _ in entries(value)]
        written = Counter(map(str, steps))
        for step, (_, held) in zip(steps, entries(value), strict=True):
            if step is not None and written[str(step)] == 1:
                yield from parts_below(held, path / step, depth + 1)
    if form.sort == "sequence" and not form.places:
        for index, held in enumerate(elements(value)):
            yield from parts_below(held, path / Keyed(index), depth + 1)


@given(st.text(max_size=30) | st.text(st.sampled_from("ab_.[]()\"'01-, #:\\\n"), max_size=30))
def test_a_text_is_a_path_or_it_is_refused_with_a_column(text: str) -> None:
    refused = None
    try:
        assert parse_path(str(path := parse_path(text))) == path
    except BadExpr as error:
        refused = error
    assert refused is None or 1 <= refused.column <= len(text) + 1
    assert refused is None or all(line.isprintable() for line in refused.place_lines())
