"""EXPR: what it says of a record, what it refuses, and that it runs nobody's code."""

from __future__ import annotations

import math
import re
from collections import OrderedDict, deque
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode, exit_code_of
from ssm_cli.history import expr as module
from ssm_cli.history.compiling import NAMES
from ssm_cli.history.expr import Asking, parse_expr
from ssm_cli.history.functions import FUNCTIONS, METHODS
from ssm_cli.history.grammar import MOST_CHARACTERS, MOST_LEVELS, BadExpr
from ssm_cli.history.paths import NoSuchPart, parse_path
from tests.architecture.source import ROOT
from tests.history.worlds import (
    BANK,
    Colour,
    Hold,
    Key,
    Level,
    Pair,
    Word,
    Zone,
    trapped,
    trapped_metaclass,
)
from tests.properties.exact_values import VALUES

RECORD: dict[str, Any] = {
    "state": BANK,
    "input": Hold("acc16", 3),
    "output": None,
    "kind": "Hold",
    "how": "call",
    "outcome": "replied",
    "error": None,
    "worker": "ledger",
    "record": 2013,
}


def value(text: str, **names: Any) -> Any:
    return parse_expr(text).value({**RECORD, **names})


def holds(text: str, **names: Any) -> bool:
    return parse_expr(text).holds({**RECORD, **names})


# --- what it says -----------------------------------------------------------------------------

TRUE = """\
state.held.acc16 > 11000
state["held"]["acc16"] == 11300
state.holds["1726"].count > 1
len(state.holds) == 4 and kind == "Hold"
input.who == "acc16" or input.nowhere == 1
record >= 2000 and worker in ("ledger", "bank")
error is None and output is None
outcome != "crashed"
not (how == "cast")
1 < input.count < 5
"acc" in input.who and "acc16" in state.held
"z" not in state.tags and "x" in state.tags
input.who.startswith("acc") and input.who.endswith("16") and "ACC16".lower() == input.who
any(n > 2 for n in state.queue)
all(item.count > 1 for key, item in state.holds.items() if key == "1726")
sum(state.queue) == 6 and min(state.queue) == 1 and max(state.queue) == 3
max(1, 5, 3) == 5 and abs(-2) == 2
[q + 1 for q in state.queue if q % 2 == 1] == [2, 4]
any(a == b and a > 2 for a in state.queue for b in [3, 4])
state.colours[RED] == 1
state.colour == "BLUE"
state.colour == "blue"
state.colour.name == "BLUE" and state.colour.value == "blue"
state.pair.left == state.pair[0] == 1
state.items[-1][0] == "c"
state.numbers[1726] == "n" and state.numbers[1, "a"] == "tuple"
state.numbers[(1, "a")] == "tuple"
state.held.get("acc16", 0) > 0 and state.held.get("acc99", 0) == 0
state.at > "2026-01-31" and state.at < "2026-02-01"
state.view.k == "v"
(1 if input.count > 1 else 2) == 1
state.bare._hidden == 2
true and not false and null is None
state.items == ["a", "b", ["c"]]
7 // 2 == 3 and 7 % 2 == 1 and 7 / 2 == 3.5 and 2 * 3 - 1 == 5
input.who[0] == "a"
{"a": 1} == {"a": 1.0} and {1, 2} == {2, 1}
state.days["2026-01-31"] == "last"
len(state.held.keys()) == len(state.held.values())"""


@pytest.mark.parametrize("text", TRUE.splitlines())
def test_it_holds_of_a_record(text: str) -> None:
    assert value(text) is True
    assert holds(text)
    assert not holds(f"not ({text})")


@pytest.mark.parametrize(
    ("text", "state", "expected"),
    [
        ("state", [], False),
        ("state", [0], True),
        ("state", "", False),
        ("state", 0.0, False),
        ("state", Level.LOW, True),
        ("state", Level.NONE, False),
        ("state", Hold("x"), True),
        ("state == 1", Level.LOW, True),
        ('state == "LOW"', Level.LOW, True),
        ("state < 2", Level.LOW, True),
        ('state == "yes"', Word.YES, True),
        ('state == "YES"', Word.YES, True),
        ("state.a == state.b", {"a": Word.YES, "b": Word.YES}, True),
        ("state.a == state.b", {"a": Colour.RED, "b": Level.LOW}, False),
        ("state > 1", Decimal("1.5"), True),
        ('state == "1.5"', Decimal("1.5"), True),
        ("state + 1 == 2.5", Decimal("1.5"), True),
        ("state * 2 == 3", Decimal("1.5"), True),
        ("-state < 0", Decimal("1.5"), True),
        ("state == 0.5", Fraction(1, 2), True),
        ('state == "a/b"', PurePosixPath("a/b"), True),
        ('state == "00000000-0000-0000-0000-000000000001"', UUID(int=1), True),
        ('state <= "2026-01-31"', date(2026, 1, 31), True),
        ("state[0] < state[1]", [timedelta(1), timedelta(2)], True),
        ("state[0] < state[1]", [Hold("a"), Hold("b")], False),
        ("state[0] == state[1]", [Hold("a", 2), Hold("a", 2)], True),
        ("state[0] == state[1]", [Hold("a", 2), Hold("a", 3)], False),
        ("state[0] == state[1]", [Hold("a"), Key("a", 1)], False),
        ("state[0] in state[1]", [Hold("a"), [Hold("b"), Hold("a")]], True),
        ("state[0] == state[1]", [OrderedDict(a=1), {"a": 1}], True),
        ("state[0] == state[1]", [Pair(1, 2), (1, 2)], True),
        ("state[0] == state[1]", [[1], deque([1])], False),
        ("state == state", math.nan, False),
        ("state < 1", math.nan, False),
        ("state == 10", 10**4000, False),
        ("state > 10", 10**4000, True),
        ('state == b"a"', b"a", True),
        ("state[0] == state[1]", [len, len], True),
        ("state[0] == state[1]", [len, print], False),
    ],
)
def test_values_of_every_kind_are_compared(text: str, state: Any, expected: bool) -> None:
    assert holds(text, state=state) is expected


# --- what is not known ------------------------------------------------------------------------

UNKNOWN = """\
state.hold.acc16 < 0
not state.hold
input.amount > 1000
input.amount > 1000 and kind == "Hold"
input.amount > 1000 or kind == "Release"
state.items[7] == 1
state.held < 0
state.held.acc16 / 0 > 1
state.held.acc16 // 0 > 1
state.held.acc16 % 0 > 1
input.who + 1 > 1
-input.who == 1
"a" < 1
len(input.count) == 1
sum(state.held) > 1
min([]) == 1
any(item.nowhere for item in state.holds.values())
all(item.count > 0 for item in state.holds.values())
1 in input.count
input.who in 5
[1] < ["a"]
state.held.startswith("a")
input.count.lower() == "a"
state.queue.values() == 1
{state.items} == 1
1e308 * 10 // 1 == 5 or (1e308 * 10) % 0 == 1
[a for a, b in state.items] == []
state.colours[GREEN] == 1
state.account.worth > 1
state.account.total > 1
(1.5 if state.nowhere else 2) > 1"""


@pytest.mark.parametrize("text", UNKNOWN.splitlines())
def test_what_is_not_known_does_not_hold_and_neither_does_its_contrary(text: str) -> None:
    assert not holds(text)
    assert not holds(f"not ({text})")
    with pytest.raises(NoSuchPart):
        value(text)
    assert Asking(parse_expr(text)).never() == ()


def test_and_and_or_are_known_where_the_other_side_decides() -> None:
    assert holds('input.nowhere > 1 or kind == "Hold"')
    assert value('input.nowhere > 1 and kind == "Release"') is False
    assert value("not (input.nowhere and False)") is True
    assert value("any(h.nowhere or h.count > 2 for h in [input])") is True
    assert value("any(n > 1 for n in [1, None, 2])") is True
    assert value("all(n > 1 for n in [1, None, 2])") is False


def test_names_that_a_record_does_not_have_are_not_known() -> None:
    assert not holds("input.count > 1", input=NOTHING)
    with pytest.raises(NoSuchPart, match="there is no output"):
        parse_expr("output == 1").value({"state": 1})


def test_a_spelling_that_no_record_has_is_told_with_what_was_meant() -> None:
    asking = Asking(parse_expr("state.hold.acc16 < 0 or state.held.acc61 < 0 or state.held < 1"))
    for _ in range(3):
        assert not asking.holds(RECORD)
    first, second, third = asking.never()
    assert first.startswith("`state` has no .hold; it has held, holds")
    assert second == "`state.held` has no .acc61; it has acc16; did you mean `acc16`?"
    assert third == "`<` of `dict` and `int` is not known"


def test_a_part_that_only_some_records_have_is_no_complaint() -> None:
    asking = Asking(parse_expr("input.count > 2"))
    assert not asking.holds({"input": Colour.RED})
    assert asking.never() == ("`input` has no .count; it has name, value",)
    assert asking.holds(RECORD)
    assert asking.never() == ()


# --- what is refused --------------------------------------------------------------------------

REFUSED = {
    "": (1, "it is empty"),
    "held < 0": (1, "no name `held`: expected one of state, input"),
    "stat.held < 0": (1, "did you mean `state`?"),
    "state.held <": (13, "invalid syntax"),
    "state.held = 1": (12, "expected names"),
    "state.held == 1 2": (17, "invalid syntax"),
    "print(1)": (1, "a call of `print` is not allowed: expected one of len, abs"),
    "state.held.pop(1)": (1, "a call of `state.held.pop` is not allowed"),
    "__import__('os')": (1, "a call of `__import__` is not allowed"),
    "open('/etc/passwd').read()": (1, "a call of `open('/etc/passwd').read`"),
    "state.__class__ == 1": (1, "`__class__` is not allowed"),
    "1 + state.a.__dict__": (5, "`__dict__` is not allowed"),
    "2 ** 3": (1, "`2 ** 3` is not allowed"),
    "1 << 2": (1, "`1 << 2` is not allowed"),
    "state @ state": (1, "is not allowed"),
    "~1": (1, "`~` is not allowed"),
    "9**9**9**9": (1, "is not allowed"),
    "lambda: 1": (1, "a function is not allowed"),
    "(x := 1)": (2, "`:=` is not allowed"),
    'f"{state}"': (1, "an f-string is not allowed"),
    "state[1:2]": (7, "a slice is not allowed"),
    "[*state]": (2, "`*` is not allowed"),
    "{**state}": (1, "`**` is not allowed"),
    "{x for x in state}": (1, "a set comprehension is not allowed"),
    "(x for x in state)": (1, "a generator that is no argument"),
    "len(x for x in state)": (4, "a generator that is no argument"),
    "any([], default=1)": (1, "`any` takes 1 arguments"),
    "len()": (1, "`len` takes 1 arguments without names, got 0"),
    "state.held.get()": (1, "`get` takes 1 to 2 arguments"),
    "state is 1": (10, "`is` goes with None, True and False"),
    "any(state for state in [1])": (15, "`state` has a meaning"),
    "any(x for x.a in state)": (11, "expected a name"),
    "any(x for x in state) + x": (25, "no name `x`"),
    "1j": (1, "`1j` is not allowed"),
    "...": (1, "`...` is not allowed"),
    "1e999": (1, "expected one below 1e308"),
    "9" * 400: (1, "at most 1024 bits"),
    "9" * 5000: (4001, "at most 4000 characters"),
    "x" * 1_000_000: (4001, "at most 4000 characters, got 1000000"),
    "0x" + "f" * 3000: (1, "at most 1024 bits"),
    "state.a # < 0": (9, "`#` is not allowed"),
    "state\x00": (6, r"write \x00 in quotes"),
    "state.a\n< 0": (8, r"write \n in quotes"),
    '"\ud800"': (2, r"write \ud800 in quotes"),
    '"\u202e"': (2, r"write \u202e in quotes"),
    r'"\d"': (2, "invalid escape sequence"),
    "state.from == 1": (7, '["from"]'),
    "await state": (1, "is not allowed"),
    "yield": (1, "`yield` cannot stand here"),
    "é == 1": (1, "no name `é`"),
    '"é" == é': (8, "no name `é`"),
    "state; state": (6, "invalid syntax"),
    "import os": (1, "`import` cannot stand here"),
    "a)(b": (2, "unmatched ')'"),
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30].encode("unicode_escape"))
def test_what_is_not_allowed_is_refused_with_its_column(text: str) -> None:
    column, said = REFUSED[text]
    with pytest.raises(BadExpr) as caught:
        parse_expr(text)
    error = caught.value
    assert str(error).startswith("EXPR, column ")
    assert said in str(error)
    assert error.column == column
    line, caret = error.place_lines()
    assert line.isprintable()
    assert len(line) < 200
    assert caret.strip() == "^"
    assert exit_code_of(error) is ExitCode.USAGE
    assert isinstance(error, CommandError)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 199 + "1" + ")" * 199,
        "(" * 1999 + "1" + ")" * 1999,
        "-" * 3900 + "1",
        "not " * 900 + "1",
        "state" + ".a" * 1900,
        "state" + "[0]" * 1200,
        "1+" * 1900 + "1",
        "1<" * 1900 + "1",
        "[" * 90 + "]" * 90,
        "any(" * 90 + "state" + ")" * 90,
        "1 if state else " * 200 + "1",
        "lambda:" * 500 + "1",
        "{" * 190,
        '"' + "a" * 3990,
    ],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_nested_or_long_is_answered(text: str) -> None:
    try:
        parse_expr(text).holds(RECORD)
    except BadExpr as error:
        assert len(str(error)) < 500  # noqa: PT017 - it may be answered in either way


def test_the_place_is_shown_below_the_text() -> None:
    with pytest.raises(BadExpr) as caught:
        parse_expr(f"{'1 + ' * 30}ü + print(1)")
    line, caret = caught.value.place_lines()
    assert line[len(caret) - 1 :].startswith("ü + print(1)")
    assert line.startswith("…")


# --- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "any(x < 0 for x in state)",
        "sum(state) < 0",
        "max(state) < 0",
        "-1 in state",
        "any(state)",
        "[x for x in state for y in state] == 1",
    ],
)
def test_work_beyond_the_bound_is_a_clear_error(text: str) -> None:
    with pytest.raises(BadExpr, match="more than 250,000 steps: ask about a smaller part"):
        parse_expr(text).holds({"state": [0] * 300_000})


def test_every_part_and_operation_is_a_step() -> None:
    records = [{"a": Hold("x")}] * 50_000
    for text in (
        "any(r.a.who == r.a.count == 1 for r in state)",
        f"any({'-' * 12}0 for r in state)",
    ):
        with pytest.raises(BadExpr, match="steps"):
            parse_expr(text).holds({"state": records})


def test_work_within_the_bound_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_expr("sum(state) == 90000").holds({"state": [1] * 90_000})
    monkeypatch.setattr(module, "MOST_STEPS", 20)
    assert not parse_expr("any(x > 1 for x in state)").holds({"state": [1] * 3})
    with pytest.raises(BadExpr, match="more than 20 steps"):
        parse_expr("any(x > 1 for x in state)").holds({"state": [1] * 30})


@pytest.mark.parametrize(
    "text",
    [
        'any("a" in state.text for n in state.many)',
        "any(state.text == state.same for n in state.many)",
        "any(state.text.lower() == n for n in state.many)",
        "any(state.wide.x == n for n in state.many)",
        "any(state.keys[n] == n for n in state.many)",
        "any(state.wide.values() == n for n in state.many)",
        "any(len(state.wide.items()) == n for n in state.many)",
    ],
)
def test_looks_into_large_values_cost_more_steps(text: str) -> None:
    keys: dict[Any, int] = {Colour.RED: 1, **{str(n): n for n in range(50_000)}}
    state = {
        "text": "b" * 1_000_000,
        "same": "b" * 999_999 + "c",
        "many": [*range(90_000)],
        "wide": {str(n): n for n in range(50_000)} | {"x": -1},
        "keys": keys,
    }
    with pytest.raises(BadExpr, match="steps"):
        parse_expr(text).holds({"state": state})


def test_numbers_do_not_grow_without_end() -> None:
    assert holds("state * state > 0", state=2**400)
    assert not holds("state * state > 0", state=2**600)
    assert not holds("state + 1 > 0", state=10**5000)
    assert holds("state > 0", state=10**5000)
    assert not holds("state / 0.1 > 0", state=2**1024 - 1)
    assert not holds("state - 1 > 0", state=Decimal("sNaN"))
    assert not holds("state > 0", state=Decimal("sNaN"))
    assert not holds("state == 1", state=Decimal("sNaN"))
    assert holds("state + 1 > 0", state=Decimal("1e999999"))


def test_values_that_hold_themselves_are_not_compared_without_end() -> None:
    one: list[Any] = []
    other: list[Any] = []
    one.append(one)
    other.append(other)
    assert not holds("state[0] == state[1]", state=[one, other])
    assert not holds("state[0] != state[1]", state=[one, other])
    deep: Any = 1
    twin: Any = 2
    for _ in range(10_000):
        deep, twin = [deep], [twin]
    assert not holds("state[0] == state[1]", state=[deep, twin])
    assert not holds("state[0] < state[1]", state=[deep, twin])


# --- code of users ----------------------------------------------------------------------------

PROBES = """\
state == 1
state != state.a
1 < state
state in [1, state]
state.b in state
1 in state
not state
len(state) > 0
state + 1 > 0
-state > 0
abs(state) > 0
state.x.y > 1
state["x"] > 1
state[0] > 1
state[state] == 1
any(x for x in state)
sum(state) > 1
max(state, 1) > 1
min([1, state]) == 1
state.values() == 1
state.get("a") == 1
state.startswith("a")
{state} == 1
{state: 1} == 1
[state] == [1]
[state] < [1]
(state, 1) == (state, 2)
state is None
state if state else 1"""


@pytest.mark.parametrize(
    "base", [object, dict, list, set, int, str, float, tuple, frozenset, bytes]
)
@pytest.mark.parametrize("text", PROBES.splitlines())
def test_no_code_of_the_users_runs(base: type, text: str) -> None:
    for state in (trapped(base, held=1), [trapped(base)], {"a": trapped(base), "b": trapped(base)}):
        parsed = parse_expr(text)
        parsed.holds({"state": state, "input": state})
        asking = Asking(parsed)
        asking.holds({"state": state})
        assert all(complaint.isprintable() for complaint in asking.never())


@pytest.mark.parametrize("text", PROBES.splitlines())
def test_no_code_of_a_metaclass_or_a_zone_runs(text: str) -> None:
    odd = trapped_metaclass(a=1)
    here = datetime(2026, 1, 31, tzinfo=Zone())
    for state in (
        odd,
        [odd, odd],
        {"a": odd, "x": here},
        here,
        [here, here],
        {odd.__dict__["a"]: 1},
    ):
        asking = Asking(parse_expr(text))
        asking.holds({"state": state})
        asking.never()
    assert not holds('state < "2026"', state=here)
    assert holds("state[0] == state[1]", state=[here, here.replace()])


# --- the page about it ------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "reference" / "expressions.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """What is set as code in the first column of the table below a heading."""
    text = PAGE.partition(f"{heading}\n")[2].partition("\n#")[0]
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_every_expression_and_path_of_the_reference_is_read() -> None:
    exprs, paths = first_cells("## EXPR"), first_cells("## PATH")
    assert len(exprs) == 9
    assert len(paths) == 9
    assert all(parse_expr(text) for text in exprs)
    assert all(str(parse_path(text)) == text for text in paths)


def test_the_reference_has_every_name_function_and_method() -> None:
    assert first_cells("### Names") == list(NAMES)
    assert f"| `{' '.join(FUNCTIONS)}` |" in PAGE
    assert all(f".{name}(" in PAGE for name in METHODS)
    assert f"{MOST_CHARACTERS:,} characters, {MOST_LEVELS} levels" in PAGE
    assert f"{module.MOST_STEPS:,} steps" in PAGE


# --- the same as Python -----------------------------------------------------------------------

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, -0.0, 2.0, 1e9])
    | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("ab") | st.integers(0, 2), inner, max_size=4)
        | st.sets(st.integers(0, 3), max_size=3)
    ),
    max_leaves=8,
)
ATOMS = st.sampled_from(
    ["state", "input", "1", "2.0", '"a"', "None", "True", '""', "0", "[]", "(1, 2)", "{}"]
)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
    return st.one_of(
        st.tuples(inner, signs, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, signs, inner, signs, inner).map(lambda t: f"({' '.join(t)})"),
        two.map(lambda t: f"({t[0]} and {t[1]})"),
        two.map(lambda t: f"({t[0]} or {t[1]})"),
        inner.map(lambda t: f"(not {t})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        two.map(lambda t: f"({t[0]})[{t[1]}]"),
        two.map(lambda t: f"[{t[0]}, {t[1]}]"),
        inner.map(lambda t: f"len({t})"),
        st.tuples(st.sampled_from(["min", "max", "sum", "any", "all"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        two.map(lambda t: f"any(x == {t[1]} for x in {t[0]})"),
        two.map(lambda t: f"[x for x in {t[0]} if x in {t[1]}]"),
        inner.map(lambda t: f"({t}).values()"),
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
            lambda t: f"({' '.join(t)})"
        ),
    )


TEXTS = st.recursive(ATOMS, _combined, max_leaves=6)
SILENT: dict[str, Any] = {
    "__builtins__": {"len": len, "min": min, "max": max, "sum": sum, "any": any, "all": all}
}


@given(TEXTS, PLAIN, PLAIN)
def test_it_agrees_with_python_wherever_both_have_an_answer(
    text: str, state: Any, given_input: Any
) -> None:
    names = {"state": state, "input": given_input}
    try:
        expected = eval(text, SILENT, dict(names))  # noqa: S307 - what is compared with; our text
    except Exception:  # noqa: BLE001 - Python has no answer
        return
    try:
        found = parse_expr(text).value(names)
    except NoSuchPart:
        return
    if isinstance(expected, type({}.values())):
        expected = list(expected)
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    "text",
    ["state == input", "state != input", "state in input", "len(state)", "not state", "any(state)"],
)
@given(state=PLAIN, given_input=PLAIN)
def test_it_has_an_answer_where_python_has_one(text: str, state: Any, given_input: Any) -> None:
    names = {"state": state, "input": given_input}
    try:
        expected = eval(text, SILENT, dict(names))  # noqa: S307 - what is compared with; our text
    except Exception:  # noqa: BLE001 - Python has no answer
        return
    assert parse_expr(text).value(names) == expected


@given(TEXTS, VALUES, VALUES)
def test_of_values_of_every_kind_nothing_else_is_raised(
    text: str, state: Any, given_input: Any
) -> None:
    asking = Asking(parse_expr(text))
    assert asking.holds({"state": state, "input": given_input}) in {True, False}
    assert all(complaint.isprintable() for complaint in asking.never())


WORDS = st.sampled_from(
    [*NAMES, *"()[]{}.,:=<>!+-*/%~@#\\'\"", " ", "not ", " and ", " in ", " for ", " if ", "0",
     "1e9", "0x", "None", "lambda", "__", "x", "é", "\x00", "\n", "\ud800", "f'", "b'", "any("]
)  # fmt: skip


@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=60))
def test_a_text_however_odd_is_answered_or_refused_in_one_way(text: str) -> None:
    try:
        parsed = parse_expr(text)
        parsed.holds(RECORD)
    except BadExpr as error:
        refused = error
    else:
        return
    assert 1 <= refused.column <= len(text) + 1
    assert all(line.isprintable() for line in (*refused.place_lines(), str(refused)))
