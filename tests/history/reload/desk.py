"""A tree whose code can be changed: a book of its own file, a teller, and a clock beside both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssm_cli import CallError, ManualClock, Node, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.history.past import with_past

BOOK = """
from dataclasses import dataclass, field
from enum import Enum
from fees import fee
from ssm_cli import Cast, StartTimer, StateMachine

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
            return Book(book.held - amount - fee(amount), book.count + 1, message), "Sold"
        case Take(amount):
            if amount > 500:
                raise ValueError("too much")
            return Book(book.held - amount, book.count, book.last), "Ok", [Cast("teller", amount)]
    return book, book.held

def init(name, args):
    return Book()

book = StateMachine(step=step, init=init, inputs=Put | Take | Ask)
"""
FEES = "def fee(amount):\n    return 1\n"
TELLER = """
from ssm_cli import GenServer, NoReply, Ok, Reply

class Told:
    def __init__(self, amount):
        self.amount = amount

class Teller(GenServer):
    version = "1"
    def init(self, name, args):
        return Ok([])
    def handle_call(self, message, caller, told):
        return Reply(sum(one.amount for one in told), told)
    def handle_cast(self, message, told):
        return NoReply([*told, Told(message)])
"""
TREE = """
supervisor: root
intensity: 100
children:
  - worker: book
    start: ./book.py:book
  - worker: twin
    start: ./book.py:book
  - worker: teller
    start: ./teller.py:Teller
    codec: json
"""
LINES = [
    "Put BUY 10", "Ask", "Put SELL 3", "Take 2", "Ask", "Take 900", "Put BUY 100", "Take 50",
    "Ask", "Put SELL 1",
]  # fmt: skip
FILES = {"book.py": BOOK, "fees.py": FEES, "teller.py": TELLER, "t.yaml": TREE}


class Desk:
    """The tree, and the folder that its code lies in."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.folder = folder
        for name, text in FILES.items():
            self.write(name, text)
        history = how.pop("history", 1000)
        clock = how.pop("clock", None) or ManualClock()
        self.node = Node(load_tree(folder / "t.yaml"), clock=clock, history=history, **how)
        with_past(self.node, instant)

    def write(self, name: str, text: str) -> None:
        """Write a file of the tree's folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def change(self, old: str, new: str, name: str = "book.py") -> None:
        """Change the code of a file."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def serve(self, lines: list[str] = LINES, worker: str = "book") -> list[object]:
        """Call a worker; return what came of each."""
        return [self.call(line, worker) for line in lines]

    def call(self, line: str, worker: str = "book") -> object:
        """Call a worker; return its output, or the class of what was raised."""
        try:
            return self.node.call(worker, line.encode())
        except CallError as error:
            return type(error).__name__

    def cells(self) -> dict[str, Any]:
        """Return the cells by name."""
        return dict(self.node._world.names)

    def starts(self) -> dict[str, int]:
        """Return how often each of the tree was started."""
        return {name: cell.starts for name, cell in self.cells().items()}


def of(found: dict[str, Any], worker: str = "book") -> dict[str, Any]:
    """Return what was found of one worker."""
    told: dict[str, Any] = next(one for one in found["workers"] if one["worker"] == worker)
    return told


def counted(told: dict[str, Any]) -> dict[str, int]:
    """Return the kinds of which there are some, with how many."""
    kinds = ("same", "output", "state", "effects", "crashes", "mended")
    return {kind: told[kind] for kind in kinds if told[kind]}


Change = Callable[[Desk], None]
