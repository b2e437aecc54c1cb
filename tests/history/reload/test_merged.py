"""What differs and becomes one under the other code: no worker goes on with less than it had."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli.errors import CodeRefused
from tests.history.reload.test_lost import TREE, Folder, home_of

CODE = """
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from dataclasses import dataclass, field
from enum import Enum, Flag, IntFlag
from types import MappingProxyType
from typing import Any, NamedTuple
import msgspec
from ssm_cli import GenServer, NoReply, Ok, Reply

@dataclass(frozen=True)
class Account:
    name: str
    currency: str = "eur"

class Pair(NamedTuple):
    name: str
    currency: str = "eur"

class Struct(msgspec.Struct, frozen=True):
    name: str
    currency: str = "eur"

class Name(str):
    pass

class Side(Enum):
    BUY = 1
    SELL = 2

class Right(Flag):
    READ = 1
    WRITE = 2

class Bits(IntFlag):
    READ = 1

class Cash:
    pass

class Card:
    pass

class Book(dict):
    pass

class Group(set):
    pass

class Frozen(frozenset):
    pass

class Kept:
    def __init__(self, held):
        self.held = held

class Desk(GenServer):
    def init(self, name, args):
        return Ok(HELD)
    def handle_call(self, message, caller, held):
        return Reply("ok", held)
    def handle_info(self, message, held):
        return NoReply(held)
"""
FIELD = ('currency: str = "eur"', "x: int = 0")
END = "\n\nclass Pair"
EQUAL = (f"{FIELD[0]}{END}", f'currency: str = field(default="", compare=False){END}')
NAME = "class Name(str):\n"
ALIKE = "    def __eq__(self, other):\n        return 1\n    def __hash__(self):\n        return 1"
NAMED = (f"{NAME}    pass", f"{NAME}{ALIKE}")
A, B = 'Account("x", "eur")', 'Account("x", "usd")'
MERGED = {
    "a dict": (f"{{{A}: 1, {B}: 2}}", FIELD),
    "a set": (f"{{{A}, {B}}}", FIELD),
    "a frozenset in a key": (f"{{(1, frozenset([{A}, {B}])): 1}}", FIELD),
    "no field to compare": (f"{{{A}: 1, {B}: 2}}", EQUAL),
    "a named tuple": ('{Pair("x", "eur"): 1, Pair("x", "usd"): 2}', FIELD),
    "a struct": ('{Struct("x", "eur"): 1, Struct("x", "usd"): 2}', FIELD),
    "its own equality": ('{Name("x"), Name("y")}', NAMED),
    "a Counter": (f"Counter([{A}, {B}])", FIELD),
    "an OrderedDict": (f"OrderedDict([({A}, 1), ({B}, 2)])", FIELD),
    "a defaultdict": (f"defaultdict(int, {{{A}: 1, {B}: 2}})", FIELD),
    "a view": (f"MappingProxyType({{{A}: 1, {B}: 2}})", FIELD),
    "a UserDict": (f"UserDict({{{A}: 1, {B}: 2}})", FIELD),
    "a dict's subclass": (f"Book({{{A}: 1, {B}: 2}})", FIELD),
    "a set's subclass": (f"Group([{A}, {B}])", FIELD),
    "a frozenset's subclass": (f"Frozen([{A}, {B}])", FIELD),
    "inside": (f"Kept([{{{A}: 1, {B}: 2}}])", FIELD),
    "enum members": ("[Side.BUY, Side.SELL]", ("SELL = 2", "SELL = 1")),
    "flags": ("Right.READ | Right.WRITE", ("WRITE = 2", "WRITE = 1")),
    "both flags of another name": (
        "[Right.READ]", ("READ = 1\n    WRITE = 2", "ANY = 1\n    READ = 1\n    WRITE = 1"),
    ),
    "bits without a name": (
        "Bits(9)", ("class Bits(IntFlag)",
                    "import enum\nclass Bits(IntFlag, boundary=enum.CONFORM)"),
    ),
    "classes": ("[Cash(), Card()]", ("class Card:\n    pass", "Card = Cash")),
}  # fmt: skip


def changed(code: str, change: tuple[str, str]) -> str:
    """Return the code with a change of it, which there must be."""
    assert change[0] in code
    return code.replace(*change)


@pytest.mark.parametrize("kind", MERGED)
def test_a_state_of_which_parts_become_one_is_refused(tmp_path: Path, kind: str) -> None:
    held, change = MERGED[kind]
    code = f"{CODE}\nHELD = {held}\n"
    folder = Folder(tmp_path, code)
    with folder.started() as node:
        was, state = node.digest(), node.get_state("w")
        folder.write(changed(code, change))
        with pytest.raises(CodeRefused, match="w: its state cannot go on under the new code") as e:
            node.reload(sure="yes")
        assert "give its code another `version` and a `code_change`" in str(e.value)
        assert (node.digest(), node.get_state("w")) == (was, state)
        assert node.get_state("w") is state
        folder.write(f"{code}# only this\n")
        assert node.reload()["done"]
        assert node.call("w", b"x") == b"ok"


@pytest.mark.parametrize("held", [f"{{{A}: 1, {B}: 2}}", f"[{{{A}, {B}}}]"])
def test_a_journalled_one_is_refused_too_and_at_a_start(tmp_path: Path, held: str) -> None:
    code = f"{CODE}\nHELD = {held}\n"
    folder = Folder(tmp_path, code, TREE + "    persist: journal\n")
    with folder.started() as node:
        node.call("w", b"x")
        folder.write(changed(code, EQUAL))
        with pytest.raises(CodeRefused, match="only 1 are left"):
            node.reload(sure="yes")
        assert len(str(node.get_state("w")).split("Account")) == 3
    with folder.started() as node:
        assert "equal for the code that is here" in str(node.reports())
        folder.write(code)
    with folder.started() as node:
        assert node.call("w", b"x") == b"ok"


def test_an_input_that_waits_and_would_lose_a_part_is_asked_about(tmp_path: Path) -> None:
    code = f"{CODE}\nHELD = 0\nWAITS = {{{A}: 1, {B}: 2}}\n"
    folder = Folder(tmp_path, code)
    with folder.started() as node:
        node.cast("w", home_of(node)["WAITS"])
        folder.write(changed(code, FIELD))
        found = node.reload()
        assert (found["workers"][0]["unfit"], found["done"]) == (1, False)


def test_a_state_put_since_of_which_parts_become_one_is_not_gone_back_with(tmp_path: Path) -> None:
    code = f"{CODE}\nHELD = 0\n"
    folder = Folder(tmp_path, changed(code, FIELD))
    with folder.started() as node:
        folder.write(code)
        assert node.reload()["done"]
        account = home_of(node)["Account"]
        node.replace_state("w", {account("x", "eur"): 1, account("x", "usd"): 2})
        was = node.digest()
        with pytest.raises(CodeRefused, match="of 2 keys or members only 1 are left"):
            node.rollback(sure="yes")
        assert node.digest() == was


def test_members_that_are_renamed_and_stay_apart_are_carried(tmp_path: Path) -> None:
    code = f"{CODE}\nHELD = [Side.BUY, Side.SELL, Right.READ | Right.WRITE, Bits(9)]\n"
    folder = Folder(tmp_path, code)
    with folder.started() as node:
        names = "BID = 1\n    ASK = 2\n    BUY = 1\n    SELL = 2"
        folder.write(changed(code, ("BUY = 1\n    SELL = 2", names)))
        assert node.reload()["done"]
        buy, sell, right, bits = node.get_state("w")
        assert (buy.name, sell.name, right.value, bits) == ("BID", "ASK", 3, 9)
