"""States of another type than the new code declares: refused, also where nothing is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli.errors import CodeRefused
from tests.history.reload.test_lost import HOW, TREE, Folder

HEAD = """
from __future__ import annotations
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypedDict
import msgspec
from ssm_cli import GenServer, KeepStateAndData, Answer, Next, Ok, Reply, StateMachine, Statem
"""
MACHINE = """
def step(message: str, state: TYPE) -> tuple[TYPE, str]:
    return state, str(state)

def init(name, args):
    return VALUE

Desk = StateMachine(step=step, init=init, inputs=str)
"""
BY_INIT = """
def step(message, state):
    return state, str(state)

def init(name: str, args: object) -> TYPE:
    return VALUE

Desk = StateMachine(step=step, init=init, inputs=str)
"""
SERVER = """
class Desk(GenServer):
    state = TYPE
    def init(self, name, args):
        return Ok(VALUE)
    def handle_call(self, message, caller, state):
        return Reply(str(state), state)
"""
FIELD = """
@dataclass
class Book:
    held: TYPE

class Desk(GenServer):
    def init(self, name, args):
        return Ok(Book(VALUE))
    def handle_call(self, message, caller, book):
        return Reply(str(book.held), book)
"""
INNER = FIELD.replace("Ok(Book(VALUE))", "Ok(Book(Part(VALUE)))").replace(
    "held: TYPE", "held: Part"
)
INNER = (
    "@dataclass\nclass Part:\n    n: TYPE\n    def __str__(self):\n        return str(self.n)\n"
    + INNER
)
STRUCT = FIELD.replace("@dataclass\nclass Book:", "class Book(msgspec.Struct):")
NAMED = FIELD.replace("@dataclass\nclass Book:", "class Book(NamedTuple):")
DATA = """
@dataclass
class Book:
    held: TYPE

class Desk(Statem):
    def init(self, name, args):
        return Next("open", Book(VALUE))
    def open(self, event, book):
        return KeepStateAndData([Answer(event.caller, str(book.held))])
"""
CODES = {
    "step": MACHINE, "init": BY_INIT, "state": SERVER, "a dataclass": FIELD, "a part of it": INNER,
    "a struct": STRUCT, "a NamedTuple": NAMED, "the data of a Statem": DATA,
}  # fmt: skip
RETYPED = [
    ("int", "5", "dict[str, int]", "it is an int, and the code says dict[str, int] now"),
    ("tuple[str, ...]", "('a',)", "dict[str, int]", "it is a tuple"),
    ("list[int]", "[1]", "list[str]", "it is an int, and the code says str now"),
    ("int", "5", "str | None", "it is an int"),
]


def code_of(text: str, kind: str, value: str) -> str:
    """Return the code with that type and value."""
    return HEAD + text.replace("TYPE", kind).replace("VALUE", value)


@pytest.mark.parametrize("row", RETYPED, ids=[f"{row[0]} to {row[2]}" for row in RETYPED])
@pytest.mark.parametrize("text", CODES.values(), ids=CODES)
def test_a_state_of_another_type_than_the_code_declares_is_refused(
    tmp_path: Path, text: str, row: tuple[str, str, str, str]
) -> None:
    kind, value, new, said = row
    folder = Folder(tmp_path, code_of(text, kind, value))
    with folder.started() as node:
        shown, was = str(eval(value)).encode(), node.digest()  # noqa: S307 - of the table above
        folder.write(code_of(text, new, "None"))
        with pytest.raises(CodeRefused) as raised:
            node.reload(sure="yes")
        assert "w: its state cannot go on under the new code: " in str(raised.value)
        assert said in str(raised.value)
        assert HOW in str(raised.value)
        assert node.digest() == was
        assert node.call("w", b"x") == shown
        folder.write(code_of(text, f"{kind} | {new}", "None"))
        assert node.reload()["done"]
        assert node.call("w", b"x") == shown


@pytest.mark.parametrize("text", CODES.values(), ids=CODES)
def test_a_state_that_never_was_what_the_code_declares_is_taken(tmp_path: Path, text: str) -> None:
    folder = Folder(tmp_path, code_of(text, "dict[str, int]", "5"))
    with folder.started() as node:
        folder.write(code_of(text, "list[str]", "6"))
        assert node.reload()["done"]
        assert node.call("w", b"x") == b"5"


FITS = [
    ("int", "5", "float"),
    ("dict[str, int]", "{'a': 1}", "Mapping[str, int]"),
    ("int", "5", "Any"),
    ("Any", "5", "int"),
]


@pytest.mark.parametrize("row", FITS, ids=[f"{row[0]} to {row[2]}" for row in FITS])
@pytest.mark.parametrize("text", CODES.values(), ids=CODES)
def test_a_state_that_fits_another_type_as_well_is_taken(
    tmp_path: Path, text: str, row: tuple[str, str, str]
) -> None:
    kind, value, new = row
    folder = Folder(tmp_path, code_of(text, kind, value))
    with folder.started() as node:
        folder.write(code_of(text, new, "None"))
        assert node.reload()["done"]


def test_a_code_change_to_another_type_is_refused_and_a_right_one_taken(tmp_path: Path) -> None:
    folder = Folder(tmp_path, code_of(MACHINE, "int", "5"))
    turned = code_of(MACHINE, "dict[str, int]", "{}").replace(
        "inputs=str", "inputs=str, version='2', code_change=lambda old, state, extra: WHAT"
    )
    with folder.started() as node:
        folder.write(turned.replace("WHAT", "[state]"))
        with pytest.raises(CodeRefused, match=r"it is a list.*; mend its `code_change`;"):
            node.reload(sure="yes")
        folder.write(turned.replace("WHAT", "state"))
        with pytest.raises(CodeRefused, match="it is an int"):
            node.reload(sure="yes")
        folder.write(turned.replace("WHAT", "{'a': state}"))
        assert node.reload(sure="yes")["done"]
        assert node.call("w", b"x") == b"{'a': 5}"


def test_a_state_put_since_that_is_none_of_the_old_code_is_not_gone_back_with(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path, code_of(MACHINE, "int", "5"))
    with folder.started() as node:
        folder.write(code_of(MACHINE, "int | dict[str, int]", "{}"))
        assert node.reload()["done"]
        node.replace_state("w", {"a": 1})
        with pytest.raises(CodeRefused, match="under the old code: it is a dict, and the code"):
            node.rollback(sure="yes")
        assert node.call("w", b"x") == b"{'a': 1}"
        node.replace_state("w", 7)
        assert node.rollback(sure="yes")["done"]
        assert node.call("w", b"x") == b"7"


def test_a_worker_that_is_down_has_no_state_to_be_judged(tmp_path: Path) -> None:
    folder = Folder(tmp_path, code_of(MACHINE, "int", "5"), TREE)
    with folder.started() as node:
        node.terminate_child("root", "w")
        folder.write(code_of(MACHINE, "dict[str, int]", "{}"))
        assert node.reload()["done"]
        node.restart_child("root", "w")
        assert node.call("w", b"x") == b"{}"
