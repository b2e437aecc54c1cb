"""Replay on changed code: each kind of difference is found, and the first record of it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ssm_cli import CallError, Forgotten, ManualClock, Node, Supervisor, Worker, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.history.carrying import carried, classes_of
from ssm_cli.history.other_code import home_of
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import Store, kv_store
from ssm_cli.spec.importing import load_apart
from tests.architecture.source import ROOT

CODE = """
from dataclasses import dataclass
from enum import Enum
from ssm_cli import StateMachine

class Side(Enum):
    BUY = 1
    SELL = 2

@dataclass(frozen=True)
class Put:
    side: Side
    amount: int

@dataclass(frozen=True)
class Take:
    amount: int

@dataclass(frozen=True)
class Ask:
    pass

@dataclass(frozen=True)
class Book:
    held: int = 0
    count: int = 0
    last: Put | None = None

def step(message: Put | Take | Ask, book: Book) -> tuple[Book, object]:
    match message:
        case Put(Side.BUY, amount):
            return Book(book.held + amount, book.count + 1, message), "Bought"
        case Put(Side.SELL, amount):
            return Book(book.held - amount, book.count + 1, message), "Sold"
        case Take(amount):
            if amount > 500:
                raise ValueError("too much")
            return Book(book.held - amount, book.count, book.last), "Ok"
    return book, book.held

def init(name, args):
    return Book()

book = StateMachine(step=step, init=init, inputs=Put | Take | Ask)
"""
TREE = "supervisor: root\nintensity: 100\nchildren:\n  - worker: book\n    start: ./book.py:book\n"
LINES = [
    "Put BUY 10", "Ask", "Put SELL 3", "Take 2", "Ask", "Take 900", "Put BUY 100", "Take 50",
    "Ask", "Put SELL 1",
]  # fmt: skip

Change = tuple[str, str, str, str, int]
CHANGES: list[Change] = [
    # what, by what, how the first difference is called, whether all else is the same, its record
    ('"Bought"', '"Got"', "output", "only", 1),
    ('"Sold"', '"Gone"', "output", "only", 3),
    ('"Ok"', '"Fine"', "output", "only", 4),
    ("return book, book.held", "return book, -book.held", "output", "only", 2),
    ("return book, book.held", "return book, float(book.held)", "output", "only", 2),
    ("book.held + amount", "book.held + amount + 1", "state", "only", 1),
    ("book.held - amount, book.count + 1", "book.held - amount, book.count", "state", "only", 3),
    ("book.held - amount, book.count, ", "book.held, book.count, ", "state", "only", 4),
    ('message), "Sold"', 'None), "Sold"', "state", "only", 3),
    ('message), "Bought"', 'book.last), "Bought"', "state", "only", 1),
    ("return book, book.held", "return Book(book.held, 99), book.held", "state", "only", 2),
    ("book.held + amount", "book.held // 0", "crashes", "only", 1),
    (
        "case Take(amount):",
        "case Take(amount):\n            1 / (amount-2)",
        "crashes",
        "only",
        4,
    ),
    ("return book, book.held", "raise KeyError('ask')", "crashes", "only", 2),
    ("return book, book.held", "return book.nothing, 1", "crashes", "only", 2),
    ("if amount > 500", "if amount > 1000", "mended", "only", 6),
    ('raise ValueError("too much")', 'return book, "No"', "mended", "only", 6),
    ('raise ValueError("too much")', 'raise KeyError("other")', "crashes", "only", 6),
    ("amount > 500", "amount > 40", "crashes", "only", 8),
    ("book.held + amount", "book.held + (amount if amount < 50 else 50)", "state", "only", 7),
    ("Book()", "Book(7)", "same", "all", 0),  # `init` is not run again
]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("book")
    (folder / "book.py").write_text(CODE)
    (folder / "t.yaml").write_text(TREE)
    with Node(load_tree(folder / "t.yaml"), clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        for line in LINES:
            try:
                node.call("book", line.encode())
            except CallError:
                continue
        yield node


@pytest.mark.parametrize("change", CHANGES, ids=[change[1] for change in CHANGES])
def test_a_changed_worker(node: Node, tmp_path: Path, change: Change) -> None:
    old, new, kind, how, first = change
    assert old in CODE
    file = tmp_path / "book.py"
    file.write_text(CODE.replace(old, new))
    before, seq = node.digest(), node.last_seq
    found = node.perform("replay", worker="book", code=str(file))
    assert found["total"] == len(LINES)
    assert (node.digest(), node.last_seq, node.record) == (before, seq, len(LINES))
    if how == "all":
        assert found["same"] == found["total"]
        return
    assert [one["kind"] for one in found["firsts"]] == [kind]
    assert found["firsts"][0]["record"]["record"] == first
    assert found["same"] + found[kind] == found["total"]


def test_what_a_step_asks_for_counts(tmp_path: Path) -> None:
    code = """
from ssm_cli import Cast, StateMachine
def step(message, state):
    return state, "Ok", [Cast("other", message)] if message == "tell" else []
teller = StateMachine(step=step, init=lambda name, args: 0)
"""
    (tmp_path / "teller.py").write_text(code)
    tree = "supervisor: root\nchildren:\n  - worker: teller\n    start: ./teller.py:teller\n"
    (tmp_path / "t.yaml").write_text(tree)
    (tmp_path / "new.py").write_text(code.replace('"other"', '"another"'))
    with Node(load_tree(tmp_path / "t.yaml"), clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        for message in ("a", "tell", "b"):
            node.call("teller", message)
        found = node.perform("replay", worker="teller", code=str(tmp_path / "new.py"))
        assert (found["same"], found["effects"]) == (2, 1)
        assert found["firsts"][0]["changes"][0]["after"] == "another"
        assert node.perform("replay", worker="teller")["same"] == 3


def test_a_field_that_is_new_has_its_default_and_one_that_is_gone_is_left_out(
    node: Node, tmp_path: Path
) -> None:
    file = tmp_path / "book.py"
    code = CODE.replace("last: Put | None = None", "last: Put | None = None\n    fee: int = 0")
    file.write_text(code)
    assert node.perform("replay", worker="book", code=str(file))["same"] == len(LINES)


@pytest.mark.parametrize("worker", ["nobody", ""])
def test_a_worker_that_has_no_records_is_told(node: Node, worker: str) -> None:
    with pytest.raises(Exception, match="no input of"):
        node.perform("replay", worker=worker)


class Colour(Enum):
    RED = 1


@dataclass
class Spot:
    colour: Colour
    sizes: tuple[int, ...] = ()


class Pair(NamedTuple):
    one: Any
    other: Any


def test_what_holds_no_class_of_the_module_is_carried_as_it_is() -> None:
    value = {"a": [1, (2, {3}), frozenset({4})], "b": Supervisor("root", children=[])}
    assert carried(value, {Spot: Spot}) is value


def test_values_are_carried_with_all_that_they_hold() -> None:
    class Other(Enum):
        RED = 2

    @dataclass
    class Mark:
        colour: Any
        sizes: tuple[int, ...] = ()

    value = {"x": [Spot(Colour.RED, (1,))], "y": (Colour.RED,)}
    assert carried(value, {Spot: Mark, Colour: Other}) == {
        "x": [Mark(Other.RED, (1,))], "y": (Other.RED,),
    }  # fmt: skip
    assert carried(Pair(Colour.RED, 1), {Pair: Pair, Colour: Other}) == Pair(Other.RED, 1)


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(RecursionError, match="nested"):
        carried(deep, {Spot: Spot})


def test_code_of_a_module_that_is_gone_has_what_that_held(tmp_path: Path) -> None:
    file = tmp_path / "gone.py"
    file.write_text(CODE)
    module = load_apart(file)
    assert home_of(module.book, pytest).Side is module.Side
    assert classes_of(home_of(module.book, pytest), module)[module.Put] is module.Put


def test_where_nothing_is_remembered_it_is_said_of_what_and_where() -> None:
    tree = Supervisor("root", children=[Worker("kv", kv_store)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, instant)
        place = node.perform("fork")["place"]
        for worker, said in [
            ("all", "no input is remembered here; a fork has records of its own"),
            ("kv", "no input of kv is remembered here; a fork"),
            ("nobody", "no input of nobody is remembered here; a fork"),
        ]:
            with pytest.raises(Forgotten, match=said):
                node.perform("replay", worker=worker, at=place)


def test_code_that_changes_its_state_in_place_is_given_one_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "kv.py"
    pure = "return {**state, key: value}, "
    text = (ROOT / "ssm_cli" / "machines" / "kv.py").read_text(encoding="utf-8")
    assert pure in text
    file.write_text(
        text.replace(pure, "state[key] = value; return state, "),
        encoding="utf-8",
    )
    tree = Supervisor("root", children=[Worker("kv", kv_store)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        with_past(node, instant)
        for number in range(40):
            node.call("kv", Store(f"k{number % 7}", number))
        before = [node.at(record).get_state("kv") for record in range(41)]
        for _ in range(2):
            found = node.perform("replay", worker="kv", code=str(file))
            assert (found["total"], found["same"]) == (40, 40)
        assert [node.at(record).get_state("kv") for record in range(41)] == before
        assert len({*map(str, before)}) == 41
