"""Values of classes that the other code has no more: no worker goes on with them in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ManualClock, MemoryStore, Node, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.errors import CodeRefused
from ssm_cli.history.past import with_past

CODE = """
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple
import msgspec
from ssm_cli import (
    Answer, Event, EventHandler, GenServer, KeepState, KeepStateAndData, Next, NoReply, Ok,
    Postpone, Reply, SetTimeout, StateMachine, Statem,
)

@dataclass
class Plain:
    n: int = 1

class Struct(msgspec.Struct):
    n: int = 1

class Pair(NamedTuple):
    n: int = 1

class Bare:
    pass

class Listed(list):
    pass

class Oops(ValueError):
    pass

class Side(Enum):
    BUY = 1

class Outer:
    class Inner:
        pass

class Kept:
    def __init__(self, held):
        self.held = held

def helper():
    return 1

def init(name, args):
    return HELD

class Desk(GenServer):
    def init(self, name, args):
        return Ok(HELD)
    def handle_call(self, message, caller, held):
        return Reply(type(held).__name__, held)
    def handle_info(self, message, held):
        return NoReply(held)

class Door(Statem):
    def init(self, name, args):
        return Next("closed", HELD)
    def closed(self, event, data):
        if event.content == "set":
            return KeepStateAndData([Answer(event.caller, "set"), SetTimeout("timeout", 99, BACK)])
        if event.type == "cast":
            return KeepStateAndData([Postpone()])
        return KeepStateAndData([Answer(event.caller, "shut")])

class Count(EventHandler):
    def init(self, args, previous):
        return Ok(HELD)
    def handle_event(self, event, state):
        return Ok(state)

class News(Event):
    handlers = {"count": Count}
"""
TREE = """
supervisor: root
intensity: 9
children:
  - worker: w
    start: ./w.py:Desk
"""
LOST = {
    "Plain": "Plain()", "Struct": "Struct()", "Pair": "Pair()", "Bare": "Bare()",
    "Listed": "Listed([1])", "Oops": "Oops('no')", "Side": "Side.BUY", "helper": "helper",
    "Outer.Inner": "Outer.Inner()",
}  # fmt: skip
AROUND = [
    "{}", "[1, {}]", "{{'a': ({},)}}", "Kept({})", "{{1: Kept([{}])}}", "partial(print, {})",
    "MappingProxyType({{'a': {}}})",
]  # fmt: skip
HOW = "give its code another `version` and a `code_change`"


class Folder:
    """A folder with a tree of one worker, and its code."""

    def __init__(self, path: Path, code: str, tree: str = TREE) -> None:
        self.path, self.store = path, MemoryStore()
        self.write(code)
        (path / "t.yaml").write_text(tree, encoding="utf-8")

    def write(self, code: str) -> None:
        """Write the code."""
        (self.path / "w.py").write_text(code, encoding="utf-8")

    def started(self) -> Node:
        """Return a node of the code that is there, on what is kept."""
        tree = load_tree(self.path / "t.yaml")
        return with_past(Node(tree, clock=ManualClock(), history=100, store=self.store), instant)


def without(name: str) -> str:
    """Return the code without a class or a function of that name, and without a state."""
    last = name.rpartition(".")[2]
    made = CODE.replace(f"class {last}", "class Other").replace(f"def {last}", "def other")
    return f"{made}\nHELD = BACK = None\n"


def home_of(node: Node) -> dict[str, Any]:
    """Return the names of the module of the worker's code."""
    cell: Any = node._world.names["w"]
    found: dict[str, Any] = cell.behaviour.init.__func__.__globals__
    return found


def refused(node: Node, name: str) -> None:
    """Check that a reload is refused for a class, and that nothing has been done."""
    was = node.digest()
    with pytest.raises(CodeRefused) as raised:
        node.reload(sure="yes")
    said = str(raised.value)
    assert f"w: its state cannot go on under the new code: `{name}` is not in w.py any more" in said
    assert HOW in said
    assert node.digest() == was


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", LOST)
def test_a_state_of_a_class_that_is_gone_is_refused(tmp_path: Path, name: str, around: str) -> None:
    code = f"{CODE}\nHELD = {around.format(LOST[name])}\n"
    folder = Folder(tmp_path, code)
    with folder.started() as node:
        folder.write(without(name))
        refused(node, name)
        folder.write(code + "# only this\n")
        assert node.reload()["done"]
        assert node.call("w", b"x") == type(node.get_state("w")).__name__.encode()


WORKERS = {
    "machine": "w = StateMachine(step=lambda message, state: (state, 'ok'), init=init)",
    "Statem": "w = Door",
    "a Statem's state":
        "class w(Door):\n    callback_mode = 'handle_event_function'\n"
        "    def init(self, name, args):\n        return Next(HELD, 0)\n"
        "    def handle_event(self, event, state, data):\n        return KeepStateAndData()\n",
    "Event": "w = News",
}  # fmt: skip


@pytest.mark.parametrize("kind", WORKERS)
def test_so_is_that_of_every_kind_of_worker(tmp_path: Path, kind: str) -> None:
    more = f"\n{WORKERS[kind]}\n"
    args = "    args: {handlers: {count: 1}}\n" * (kind == "Event")
    name = {"Statem": "Door", "Event": "News"}.get(kind, "w")
    folder = Folder(tmp_path, f"{CODE}\nHELD = [Plain()]{more}", TREE.replace("Desk", name) + args)
    with folder.started() as node:
        folder.write(without("Plain") + more)
        refused(node, "Plain")


def test_a_class_that_keeps_its_name_as_another_name_of_the_new_one_is_taken(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = Plain(7)\n")
    with folder.started() as node:
        new = CODE.replace("class Plain", "class Better")
        folder.write(f"{new}\nPlain = Better\nHELD = 0\n")
        assert node.reload()["done"]
        assert node.call("w", b"x") == b"Better"
        assert node.get_state("w").n == 7


def test_a_code_change_makes_another_of_it_or_is_refused_as_well(tmp_path: Path) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = Plain(7)\n")
    new = CODE.replace("class Plain", "class Better")
    change = (
        "class Desk(GenServer):\n    version = '2'\n"
        "    def code_change(self, old_version, held, extra):\n        return Ok(WHAT)\n"
    )
    new = new.replace("class Desk(GenServer):\n", change) + "\nHELD = 0\n"
    with folder.started() as node:
        folder.write(new.replace("WHAT", "[held]"))
        with pytest.raises(CodeRefused, match=r"`Plain` is not in w\.py any more; mend its `code"):
            node.reload(sure="yes")
        folder.write(new.replace("WHAT", "Better(held.n)"))
        assert node.reload(sure="yes")["done"]
        assert node.call("w", b"x") == b"Better"


def test_a_durable_worker_is_refused_too_and_told_of_migrate(tmp_path: Path) -> None:
    tree = TREE + "    persist: journal\n"
    folder = Folder(tmp_path, f"{CODE}\nHELD = [Plain(7)]\n", tree)
    with folder.started() as node:
        folder.write(CODE.replace("class Plain", "class Better") + "\nHELD = 0\n")
        with pytest.raises(CodeRefused, match=r"`Plain` is not in w.py any more.*`migrate`"):
            node.reload(sure="yes")
        assert node.call("w", b"x") == b"list"


@pytest.mark.parametrize("held", ["Plain()", "[Plain()]", "Kept(Plain())"])
@pytest.mark.parametrize("place", ["queue", "suspended"])
def test_what_waits_and_is_of_such_a_class_is_counted_and_asked_about(
    tmp_path: Path, held: str, place: str
) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = 0\nWAITS = {held}\n")
    with folder.started() as node:
        if place == "suspended":
            node.suspend("w")
        node.cast("w", home_of(node)["WAITS"])
        if place == "suspended":
            node.run(0)
        folder.write(without("Plain"))
        found = node.reload()
        told = found["workers"][0]
        assert (told["waiting"], told["unfit"], found["done"]) == (1, 1, False)
        assert node.reload(sure="yes", plan=found["plan"])["done"]


@pytest.mark.parametrize("how", ["postponed", "a time-out"])
def test_what_waits_in_a_statem_is_counted_too(tmp_path: Path, how: str) -> None:
    code = f"{CODE}\nHELD = 0\nBACK = Plain()\n"
    folder = Folder(tmp_path, code, TREE.replace("Desk", "Door"))
    with folder.started() as node:
        if how == "postponed":
            node.cast("w", home_of(node)["BACK"])
            node.run(0)
        else:
            assert node.call("w", b"set") == b"set"
        folder.write(without("Plain"))
        found = node.reload()
        assert (found["workers"][0]["unfit"], found["done"]) == (1, False)
        assert node.reload(sure="yes", plan=found["plan"])["done"]


# -- the other way round -----------------------------------------------------------------------


def test_a_state_put_since_of_a_class_that_the_old_code_has_not_is_not_gone_back_with(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = 0\n")
    with folder.started() as node:
        folder.write(f"{CODE}\nclass Other:\n    pass\n\nHELD = 0\n")
        assert node.reload()["done"]
        node.replace_state("w", [home_of(node)["Other"]()])
        was = node.digest()
        with pytest.raises(CodeRefused) as raised:
            node.rollback(sure="yes")
        said = "w: its state cannot go on under the old code: `Other` was not in w.py"
        assert said in str(raised.value)
        assert node.digest() == was
        assert node.call("w", b"x") == b"list"


def test_a_state_that_the_new_code_began_with_is_none_of_the_old_code(tmp_path: Path) -> None:
    folder = Folder(tmp_path, f"{CODE}\nHELD = 0\n")
    with folder.started() as node:
        folder.write(f"{CODE}\nclass Other:\n    pass\n\nHELD = Other()\n")
        assert node.reload()["done"]
        node.kill("w")
        node.run(0)
        assert node.call("w", b"x") == b"Other"
        with pytest.raises(CodeRefused, match=r"`Other` was not in w\.py"):
            node.rollback(sure="yes")
        assert node.call("w", b"x") == b"Other"


def test_annotations_that_are_text_name_the_classes_of_the_new_code(tmp_path: Path) -> None:
    code = """
from __future__ import annotations
from dataclasses import dataclass
from ssm_cli import StateMachine

@dataclass(frozen=True)
class In:
    n: int

@dataclass(frozen=True)
class Part:
    n: int = 0

@dataclass(frozen=True)
class Book:
    part: Part = Part()

def step(message: In, book: Book) -> tuple[Book, str]:
    return Book(Part(book.part.n + message.n)), "ok"

def init(name, args):
    return Book()

Desk = StateMachine(step=step, init=init, inputs=In)
"""
    folder = Folder(tmp_path, code, TREE + "    persist: journal\n")
    with folder.started() as node:
        node.call("w", b"In 3")
        folder.write(code.replace("n: int = 0", "n: int = 0\n    more: int = 5"))
        assert node.reload(sure="yes")["done"]
        assert str(node.get_state("w")) == "Book(part=Part(n=3, more=5))"
        assert node.rollback()["done"]
        assert str(node.get_state("w")) == "Book(part=Part(n=3))"
