"""Reload: each kind of change is rehearsed, done between two inputs, and touches nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import CallError, load_tree
from ssm_cli.cli.past import notices
from ssm_cli.commands.records import instant
from ssm_cli.commands.reload import worker_lines
from ssm_cli.errors import CodeRefused, CommandError, QueueFull, ReadOnly, SsmError
from ssm_cli.history import other_code
from ssm_cli.history.reload.reloads import Reloads
from ssm_cli.history.saved.keeping import bytes_of_past, past_in
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.turns import all_turns
from ssm_cli.runtime.engine.crashes import stack_of
from ssm_cli.spec.importing import module_name
from ssm_cli.spec.sources import line_at
from tests.history.reload.desk import BOOK, FEES, LINES, TREE, Desk, counted, of

TEN = len(LINES)
Row = tuple[str, str, dict[str, int], int]
CHANGES: list[Row] = [
    # what, by what, how the ten inputs come out, the record of the first that differs
    ('"Bought"', '"Got"', {"same": 8, "output": 2}, 1),
    ('"Sold"', '"Gone"', {"same": 8, "output": 2}, 3),
    ('"Ok", [', '"Fine", [', {"same": 8, "output": 2}, 4),
    ("return book, book.held", "return book, -book.held", {"same": 7, "output": 3}, 2),
    ("return book, book.held", "return book, float(book.held)", {"same": 7, "output": 3}, 2),
    ("book.held + amount", "book.held + amount + 1", {"same": 8, "state": 2}, 1),
    ("book.held - amount - fee(amount)", "book.held - amount", {"same": 8, "state": 2}, 3),
    ('message), "Sold"', 'None), "Sold"', {"same": 8, "state": 2}, 3),
    ('message), "Bought"', 'book.last), "Bought"', {"same": 8, "state": 2}, 1),
    ("return book, book.held", "return Book(99), book.held", {"same": 7, "state": 3}, 2),
    ("book.held + amount", "book.held // 0", {"same": 8, "crashes": 2}, 1),
    ("return book, book.held", "raise KeyError('ask')", {"same": 7, "crashes": 3}, 2),
    ("return book, book.held", "return book.nothing, 1", {"same": 7, "crashes": 3}, 2),
    ("return book, book.held", "return 7", {"same": 7, "crashes": 3}, 2),
    ("if amount > 500", "if amount > 40", {"same": 9, "crashes": 1}, 9),
    ("if amount > 500", "if amount > 1000", {"same": 9, "mended": 1}, 7),
    ('raise ValueError("too much")', 'return book, "No"', {"same": 9, "mended": 1}, 7),
    ('raise ValueError("too much")', 'raise KeyError("x")', {"same": 9, "crashes": 1}, 7),
    ('Cast("teller", amount)', 'Cast("twin", amount)', {"same": 8, "effects": 2}, 4),
    ('Cast("teller", amount)', 'Cast("teller", -amount)', {"same": 8, "effects": 2}, 4),
    (', [Cast("teller", amount)]', "", {"same": 8, "effects": 2}, 4),
    ('[Cast("teller", amount)]', '[StartTimer("t", 5, Ask())]', {"same": 8, "effects": 2}, 4),
    ("inputs=Put | Take | Ask", "inputs=Put | Ask", {"same": 7, "crashes": 3}, 4),
    ("class Take:\n    amount: int", "class Take:\n    amount: str", {"same": 7, "crashes": 3}, 4),
    (
        "class Take:\n    amount: int",
        "class Take:\n    by: int\n    amount: int",
        {"same": 7, "crashes": 3},
        4,
    ),
    # what all inputs come out alike under
    ("Book()\n", "Book(7)\n", {"same": TEN}, 0),  # `init` is not run again
    ("def init(name, args):", "def init(name, args, more=1):", {"same": TEN}, 0),
    ("last: Put | None = None", "last: Put | None = None\n    fee: int = 0", {"same": TEN}, 0),
    ("    BUY = 1", '    HOLD = "h"\n    BUY = 1', {"same": TEN}, 0),
    ("@dataclass(frozen=True)\nclass Ask", "@dataclass\nclass Ask", {"same": TEN}, 0),
    ("class Ask:\n    pass", "class Ask:\n    now: bool = True", {"same": TEN}, 0),
    ("@dataclass(frozen=True)\nclass Take", "@dataclass(slots=True)\nclass Take", {"same": TEN}, 0),
    ("\ndef step", "\nimport json, decimal\n\ndef step", {"same": TEN}, 0),
    ("fee(amount), book.count", "1, book.count", {"same": TEN}, 0),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with made.node:
        made.serve()
        made.serve(["Put BUY 5"], "twin")
        yield made


@pytest.mark.parametrize("row", CHANGES, ids=[row[1].strip()[:40] for row in CHANGES])
def test_a_change_is_rehearsed_then_done_and_nothing_else_is_touched(desk: Desk, row: Row) -> None:
    old, new, kinds, first = row
    node, starts, record = desk.node, desk.starts(), desk.node.record
    teller, home = (
        desk.cells()["teller"].behaviour,
        sys.modules[module_name(desk.folder / "book.py")],
    )
    was = node.digest(), str(node.get_state("book")), desk.cells()["book"].behaviour
    desk.change(old, new)
    found = node.reload(sure="no")
    assert counted(of(found)) == kinds
    assert [one["record"]["record"] for one in of(found)["firsts"]] == ([first] if first else [])
    assert not found["done"]
    assert (node.digest(), str(node.get_state("book")), desk.cells()["book"].behaviour) == was
    assert (node.record, sys.modules[home.__name__]) == (record, home)
    found = node.reload(sure="yes", plan=found["plan"])
    assert (found["done"], found["stale"]) == (True, False)
    assert [one["worker"] for one in found["workers"]] == ["book", "twin"]
    assert desk.starts() == starts
    assert node.record == record + 2
    assert desk.cells()["teller"].behaviour is teller
    assert sys.modules[home.__name__] is not home
    state = node.get_state("book")
    assert type(state) is sys.modules[home.__name__].Book
    assert (state.held, state.count) == (48, 2)
    desk.serve(["Put BUY 1", "Ask"])
    assert node.at(record).get_state("book").held == 48


SAME = [row for row in CHANGES if not row[3]]


@pytest.mark.parametrize("row", SAME, ids=[row[1].strip()[:40] for row in SAME])
def test_what_comes_out_alike_is_done_without_asking(desk: Desk, row: Row) -> None:
    desk.change(row[0], row[1])
    assert desk.node.reload()["done"]
    assert desk.serve(["Ask", "Put SELL 1", "Ask"]) == [b"48", b"Sold", b"46"]


@pytest.mark.parametrize("row", CHANGES[:3], ids=[row[1] for row in CHANGES[:3]])
def test_what_differs_is_not_done_unless_somebody_is_sure(desk: Desk, row: Row) -> None:
    desk.change(row[0], row[1])
    found = desk.node.reload()
    assert (found["done"], found["differs"]) == (False, True)
    assert desk.serve(["Ask", "Put SELL 1"]) == [b"48", b"Sold"]


def test_what_was_served_by_code_of_before_is_rehearsed_as_well(desk: Desk) -> None:
    for old, new in (("Put SELL", ""), ('"Bought"', '"Got"'), ('"Sold"', '"Gone"')):
        if new:
            desk.change(old, new)
            assert desk.node.reload(sure="yes")["done"]
        desk.serve(["Put BUY 1"])
    desk.change('"Got"', '"Bought"')
    desk.change('"Gone"', '"Sold"')
    told = of(desk.node.reload(sure="no"))
    assert counted(told) == {"same": 11, "output": 2}
    desk.node.rollback(sure="yes")
    assert counted(of(desk.node.reload(sure="no"))) == {"same": 11, "output": 2}


def test_nothing_has_changed(desk: Desk) -> None:
    found = desk.node.reload()
    assert (found["modules"], found["workers"], found["done"]) == ([], [], False)
    desk.write("book.py", BOOK)  # as it was, with another time
    assert desk.node.reload()["modules"] == []


def test_a_helper_that_has_changed_takes_those_with_it_that_import_it(desk: Desk) -> None:
    desk.change("return 1", "return 2", "fees.py")
    found = desk.node.reload(sure="yes")
    files = [Path(one["file"]).name for one in found["modules"]]
    assert sorted(files) == ["book.py", "fees.py"]
    assert counted(of(found)) == {"same": 8, "state": 2}
    assert desk.serve(["Put SELL 1", "Ask"]) == [b"Sold", b"45"]


@pytest.mark.parametrize("what", ["book", "book.py", "fees", "root/book"])
def test_one_file_is_one_module_so_all_of_its_workers_go_on(desk: Desk, what: str) -> None:
    desk.change("return 1", "return 2", "fees.py")
    desk.change("[]", "[0]", "teller.py")
    wanted = what if what != "fees" else "book.py"
    found = desk.node.reload(wanted, sure="yes")
    assert [one["worker"] for one in found["workers"]] == ["book", "twin"]
    classes = {type(desk.node.get_state(name)) for name in ("book", "twin")}
    assert len(classes) == 1


def test_states_of_callbacks_are_of_the_new_classes_with_all_that_they_hold(desk: Desk) -> None:
    teller, told = desk.cells()["teller"], [2, 50]
    old = type(teller.state[0])
    desk.change("self.amount = amount", "self.amount = amount\n    def twice(self):\n"
                "        return 2 * self.amount", "teller.py")  # fmt: skip
    desk.change("sum(one.amount", "sum(one.twice()", "teller.py")
    assert desk.node.reload("teller")["done"]
    assert [one.amount for one in teller.state] == told
    assert {type(one) for one in teller.state} != {old}
    assert desk.call('"x"', "teller") == b"104"


TURNED = """
    def code_change(self, old_version, told, extra):
        return Ok([one.amount * 10 for one in told])
    def init(self"""


def test_another_version_turns_the_state_by_code_change(desk: Desk) -> None:
    desk.change('version = "1"', 'version = "2"', "teller.py")
    desk.change("\n    def init(self", TURNED, "teller.py")
    desk.change("one.amount for one", "one for one", "teller.py")
    desk.change("Told(message)]", "message * 10]", "teller.py")
    assert desk.node.reload()["done"]
    assert desk.node.get_state("teller") == [20, 500]
    assert desk.call('"x"', "teller") == b"520"


# -- what cannot be done -----------------------------------------------------------------------

TOO_OLD = """
from ssm_cli import Error

class Teller(GenServer):
    version = "2"
    def code_change(self, old, state, extra):
        return Error("too old")
"""
REFUSED: list[tuple[str, str, str, str]] = [
    ("book.py", "return book, book.held", "return book, (", "book.py is not valid Python"),
    ("book.py", "def init", "import nowhere\n\ndef init", "No module named 'nowhere'"),
    ("book.py", "def init", "1 / 0\n\ndef init", "ZeroDivisionError: division by zero at book.py"),
    ("book.py", "def init", "raise SystemExit(3)\n\ndef init", "raises on import: SystemExit: 3"),
    ("book.py", "def init", "raise KeyboardInterrupt\n\ndef init", "raises on import: Keyboard"),
    ("fees.py", "return 1", "return (", "fees.py is not valid Python"),
    ("book.py", "from fees import fee", "from fees import cost as fee", "cannot import name"),
    ("book.py", "\nbook =", "\nother =", "book.py has no `book`"),
    ("book.py", "\nbook = StateMachine(", "\nbook = dict(", "book: "),
    ("teller.py", "class Teller", "class Told2", "teller.py has no `Teller`"),
    ("book.py", "    held: int = 0", "    total: int\n    held: int = 0",
     "its state cannot go on under the new code"),
    ("book.py", "class Book:\n", "class Book:\n    x: int = field()\n",
     "give its code another `version`"),
    ("book.py", "step=step, init", "step=step, version='2', code_change=lambda *a: a[1].no, init",
     "AttributeError"),
    ("teller.py", 'class Teller(GenServer):\n    version = "1"',
     TOO_OLD,
     "code_change refused: too old"),
    ("book.py", "def init", "while True:\n    pass\n\ndef init", "book.py is not loaded: its code"),
    ("book.py", "inputs=Put | Take | Ask", "inputs=Put | 7", "book"),
    ("book.py", "inputs=Put | Take | Ask", "inputs=Put | Take, codec='xml'", "codec"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[f"{n}:{row[3]}" for n, row in enumerate(REFUSED)])
@pytest.mark.parametrize("sure", ["", "yes"])
def test_what_cannot_be_loaded_or_gone_on_with_leaves_all_as_it_was(
    desk: Desk, row: tuple[str, str, str, str], sure: str
) -> None:
    name, old, new, said = row
    home = {n: m for n, m in sys.modules.items() if n.startswith("ssm_file_")}
    was, record = desk.node.digest(), desk.node.record
    desk.change(old, new, name)
    with pytest.raises(CodeRefused) as raised:
        desk.node.reload(sure=sure)
    assert said in str(raised.value)
    assert {n: m for n, m in sys.modules.items() if n.startswith("ssm_file_")} == home
    assert (desk.node.digest(), desk.node.record) == (was, record)
    assert desk.serve(["Ask", "Put SELL 1", "Ask"]) == [b"48", b"Sold", b"46"]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("book.py", "\nbook =", "\nbooks =", "book: FILE has no `book`: {}; did you mean `books`?"),
        ("teller.py", "class Teller", "class Till", "teller: FILE has no `Teller`: {}"),
    ],
)  # fmt: skip
def test_who_has_no_code_any_more_is_named_with_what_may_be_meant(
    desk: Desk, name: str, old: str, new: str, said: str
) -> None:
    desk.change(old, new, name)
    with pytest.raises(CodeRefused) as raised:
        desk.node.reload(sure="yes")
    assert str(raised.value).startswith(
        said.format("is it the code of this worker").replace("FILE", str(desk.folder / name))
    )
    assert str(raised.value).endswith("; nothing is changed, the old code runs on")


def test_a_code_change_that_raises_is_to_be_mended_and_not_to_be_written(desk: Desk) -> None:
    desk.change('version = "1"', 'version = "2"\n    def code_change(self, *_):\n        1 / 0',
                "teller.py")  # fmt: skip
    with pytest.raises(CodeRefused, match="ZeroDivisionError: division by zero; mend its `code_ch"):
        desk.node.reload(sure="yes")


def test_verbs_about_nobody_say_that_there_is_nobody(desk: Desk) -> None:
    nobody = "there is no worker `boook`; did you mean book?"
    for ask in (
        lambda: desk.node.rollback("boook"),
        lambda: desk.node.shadow("boook"),
        lambda: desk.node.promote("boook"),
        lambda: desk.node.perform("replay", worker="boook", code=str(desk.folder / "book.py")),
    ):
        with pytest.raises(SsmError) as raised:
            ask()
        assert str(raised.value).endswith(nobody)


@pytest.mark.parametrize("what", ["nobody", "root", "", "book.yaml"])
def test_what_is_no_worker_and_no_module_is_told(desk: Desk, what: str) -> None:
    with pytest.raises(CodeRefused, match=r"expected a worker, or one of|name a worker"):
        desk.node.reload(what)


@pytest.mark.parametrize("verb", ["reload", "rollback"])
def test_what_is_no_answer_is_told(desk: Desk, verb: str) -> None:
    with pytest.raises(CommandError, match="`sure` is yes or no"):
        desk.node.perform(verb, sure="maybe")
    with pytest.raises(ReadOnly, match="`now` comes back"):
        desk.node.perform(verb, at="3")


def test_a_tree_that_does_not_run_takes_its_code_as_it_starts(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(CodeRefused, match="does not run"):
        desk.node.reload()


# -- while something is under way --------------------------------------------------------------


def typed(desk: Desk, name: str, *args: Any) -> Any:
    home = sys.modules[module_name(desk.folder / "book.py")]
    return getattr(home, name)(*args)


def test_under_a_load_of_calls_each_gets_an_outcome_of_before_or_of_after(desk: Desk) -> None:
    node, answers = desk.node, list[object]()
    waiting = [node.send_request("book", typed(desk, "Ask")) for _ in range(5)]
    waiting += [node.send_request("book", b"Put SELL 1") for _ in range(5)]
    desk.change('"Sold"', '"Gone"')
    desk.change("return book, book.held", "return book, -book.held")
    assert of(node.reload(sure="yes"))["waiting"] == 10
    waiting += [node.send_request("book", line) for line in (b"Ask", b"Put SELL 1")]
    answers = [node.wait(one) for one in waiting]
    assert set(map(str, answers[:5])) == {"-48"}
    assert set(map(str, answers[5:10])) == {"Gone"}
    assert answers[10:] == [-38, "Gone"]
    assert desk.starts()["book"] == 2


def outcome(desk: Desk, pending: Any) -> object:
    """What a call has come to: its output, or the class of what it raises."""
    try:
        return desk.node.wait(pending)
    except CallError as error:
        return type(error).__name__


@pytest.mark.parametrize("row", CHANGES, ids=[row[1].strip()[:40] for row in CHANGES])
def test_under_each_change_calls_that_wait_get_the_outcome_of_after(
    tmp_path: Path, row: Row
) -> None:
    found = list[list[object]]()
    for name in ("waits", "after"):
        (tmp_path / name).mkdir()
        desk = Desk(tmp_path / name)
        with desk.node as node:
            before = desk.serve()
            lines = [line.encode() for line in LINES]
            calls = [node.send_request("book", line) for line in lines if name == "waits"]
            desk.change(row[0], row[1])
            assert node.reload(sure="yes")["done"]
            calls += [node.send_request("book", line) for line in lines if name == "after"]
            others = desk.serve(["Put BUY 1", "Ask"], "twin")
            assert desk.cells()["teller"].starts == 1
            found.append([*before, *(outcome(desk, call) for call in calls), *others])
    assert found[0] == found[1]


def test_inputs_that_wait_and_do_not_fit_are_counted_and_asked_about(desk: Desk) -> None:
    node = desk.node
    waiting = [node.send_request("book", b"Take 1"), node.send_request("book", b"Ask")]
    waiting.append(node.send_request("book", typed(desk, "Take", 2)))
    desk.change("Take", "Draw")
    found = node.reload()
    assert (of(found)["waiting"], of(found)["unfit"], found["done"]) == (3, 2, False)
    assert [str(node.wait(one)) for one in waiting[:2]] == ["Ok", "47"]


def test_timers_and_what_is_put_off_bring_values_of_the_new_classes(desk: Desk) -> None:
    node = desk.node
    desk.change('[Cast("teller", amount)]', '[StartTimer("t", 5000, Put(Side.BUY, 7))]')
    node.reload(sure="yes")
    desk.call("Take 0")
    node.suspend("book")
    held = node.send_request("book", typed(desk, "Put", typed(desk, "Side", 1), 1))
    node.run()
    desk.change('"Bought"', '"Got"')
    assert node.reload(sure="yes")["done"]
    node.resume("book")
    assert node.wait(held) == "Got"
    clock: Any = node._world.clock
    clock.advance_s(6)
    node.run()
    assert node.get_state("book").held == 48 + 1 + 7


def test_a_worker_that_is_down_starts_with_the_new_code(desk: Desk) -> None:
    node = desk.node
    node.terminate_child("root", "twin")
    desk.change("return Book()", "return Book(7)")
    assert node.reload(sure="yes")["done"]
    assert desk.starts()["twin"] == 1
    node.restart_child("root", "twin")
    assert node.get_state("twin").held == 7


def test_a_worker_that_waits_for_its_restart_starts_with_the_new_code_when_it_is_due(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    desk.change("- worker: book\n", "- worker: book\n    backoff: {initial: 1000}\n", "t.yaml")
    node = remade(desk).node
    with node:
        assert [desk.call("Put BUY 10"), *desk.serve(["Take 900", "Ask"])] == [
            b"Bought", "CalleeCrashed", "NoProc",
        ]  # fmt: skip
        desk.change("return Book()", "return Book(7)")
        found = node.reload(sure="yes")
        assert (found["done"], desk.starts()["book"], desk.call("Ask")) == (True, 1, "NoProc")
        clock: Any = node._world.clock
        clock.advance_s(2)
        node.run()
        assert (desk.starts()["book"], desk.call("Ask")) == (2, b"7")


def test_a_full_queue_stays_full_and_each_of_it_gets_its_outcome(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("t.yaml", TREE.replace("intensity: 100", "intensity: 100\nqueue: 4"))
    node = remade(desk).node
    with node:
        node.suspend("book")
        waiting = [node.send_request("book", b"Put BUY 1") for _ in range(4)]
        desk.change('"Bought"', '"Got"')
        assert of(node.reload(sure="yes"))["waiting"] == 4
        with pytest.raises(QueueFull):
            node.send_request("book", b"Ask")
        node.resume("book")
        assert [str(node.wait(one)) for one in waiting] == ["Got"] * 4
        assert desk.call("Ask") == b"4"


POOL = """
supervisor: root
strategy: simple_one_for_one
children:
  - {worker: item, start: './book.py:book'}
"""


def test_the_children_to_come_of_a_pool_are_of_the_new_code(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("t.yaml", POOL)
    desk = remade(desk)
    with desk.node as node:
        names = [str(node.start_child("root", label)) for label in ("one", "root")]
        assert names == ["one", "root:root"]  # the pool is called `root`
        desk.change('"Bought"', '"Got"')
        assert [one["worker"] for one in node.reload(sure="yes")["workers"]] == names
        names.append(str(node.start_child("root", "two")))
        assert [desk.call("Put BUY 1", name) for name in names] == [b"Got"] * 3


def remade(desk: Desk) -> Desk:
    """Return the desk with a node of the tree file that is there."""
    from ssm_cli import ManualClock, Node, load_tree  # noqa: PLC0415 - for this test
    from ssm_cli.history.past import with_past  # noqa: PLC0415 - for this test

    tree = load_tree(desk.folder / "t.yaml")
    desk.node = with_past(Node(tree, clock=ManualClock(), history=100), instant)
    return desk


def test_a_supervisor_that_restarts_keeps_the_new_code(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    cell = desk.cells()["book"]
    desk.node.kill("book")
    assert (desk.call("Put BUY 1"), desk.cells()["book"]) == (b"Got", cell)


def test_a_step_cannot_reload_its_own_node(desk: Desk) -> None:
    desk.change("def step(message", "NODE = []\n\ndef step(message")
    desk.change("return book, book.held", "return book, NODE[0].reload(sure='yes')['done']")
    desk.node.reload(sure="yes")
    sys.modules[module_name(desk.folder / "book.py")].NODE.append(desk.node)
    desk.change('"Bought"', '"Got"')
    assert desk.call("Ask") == "CalleeCrashed"
    assert desk.call("Put BUY 1") == b"Bought"


# -- plans -------------------------------------------------------------------------------------


def test_a_plan_that_has_become_stale_is_told_and_not_carried_out(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    plan = desk.node.reload()["plan"]
    desk.change('"Got"', '"Taken"')
    found = desk.node.reload(sure="yes", plan=plan)
    assert (found["stale"], found["done"]) == (True, False)
    assert desk.call("Put BUY 1") == b"Bought"
    assert desk.node.reload(sure="yes", plan=found["plan"])["done"]
    assert desk.call("Put BUY 1") == b"Taken"


def test_a_plan_is_stale_once_another_kind_of_difference_has_come(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.change("return book, book.held", "return book, book.held if book.held < 1000 else 0")
    plan = desk.node.reload()["plan"]
    desk.serve(["Ask"])
    assert desk.node.reload(sure="no", plan=plan)["stale"] is False
    desk.change("book.held < 1000", "book.held < 10 // (book.held < 2000)")
    desk.serve(["Put BUY 3000", "Ask"])
    found = desk.node.reload(sure="yes", plan=plan)
    assert (found["stale"], found["done"]) == (True, False)


def test_a_second_reload_while_the_first_asks_makes_its_plan_stale(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    plan = desk.node.reload()["plan"]
    assert desk.node.reload(sure="yes")["done"]
    found = desk.node.reload(sure="yes", plan=plan)
    assert (found["modules"], found["done"]) == ([], False)


# -- slowness, counted -------------------------------------------------------------------------

TICKS = "NOW = [0.0]\n"


def test_what_has_become_slower_is_told_and_asked_about(desk: Desk) -> None:
    desk.write("ticks.py", TICKS)
    desk.change("from fees", "import ticks\nfrom fees")
    desk.change("    match message:", "    ticks.NOW[0] += 1\n    match message:")
    assert desk.node.reload()["done"]
    desk.serve(["Ask"] * 20)
    ticks = sys.modules[module_name(desk.folder / "ticks.py")]
    desk.change("ticks.NOW[0] += 1", "ticks.NOW[0] += 3")
    reloads = Reloads(Timeline(desk.node, instant), lambda: ticks.NOW[0])
    found = reloads.reload(last=10)
    assert of(found)["slower"] == 3.0
    assert (counted(of(found)), found["differs"]) == ({"same": of(found)["total"]}, True)


def test_what_could_not_be_rehearsed_in_time_is_asked_about(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    reloads = Reloads(Timeline(desk.node, instant), count(0.0, 60.0).__next__)
    found = reloads.reload()
    assert (of(found)["total"], of(found)["left"]) == (0, 10)
    assert (found["differs"], found["done"]) == (True, False)
    assert "book: none of 10 inputs was rehearsed: it took too long" in worker_lines(of(found))
    assert reloads.reload(sure="yes", plan=found["plan"])["done"]


def test_a_rehearsal_ends_whatever_the_limit_of_a_step_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_code, "TRIED_STEP_S", 0.3)
    desk = Desk(tmp_path)
    desk.write("t.yaml", TREE.replace("book.py:book", "book.py:book\n    step_timeout: infinity"))
    desk = remade(desk)
    with desk.node:
        desk.serve(["Ask", "Put BUY 1"])
        desk.change("return book, book.held", "while True:\n        pass")
        found = desk.node.reload()
        assert (counted(of(found)), found["done"]) == ({"same": 1, "crashes": 1}, False)
        assert of(found)["firsts"][0]["error"]["type"] == "StepTimeout"
        assert desk.serve(["Ask"]) == [b"1"]


@pytest.mark.parametrize("last", [0, -1])
def test_a_rehearsal_of_no_input_is_refused(desk: Desk, last: int) -> None:
    desk.change('"Bought"', '"Got"')
    with pytest.raises(CommandError, match=f"-n takes a number of inputs from 1, not {last}"):
        desk.node.reload(sure="yes", last=last)
    assert desk.call("Put BUY 1") == b"Bought"


def test_only_the_last_inputs_are_rehearsed(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    found = desk.node.reload(sure="no", last=3)
    assert counted(of(found)) == {"same": 3}
    assert of(found, "twin")["total"] == 1


@pytest.mark.parametrize(
    ("text", "output", "first"),
    [
        (BOOK, 2, 16),
        (BOOK.replace('"Bought"', '"Got"'), 2, 1),
        (BOOK.replace('"Sold"', '"Gone"'), 6, 3),
    ],
)
def test_a_replay_steps_what_code_of_before_has_served(
    desk: Desk, tmp_path: Path, text: str, output: int, first: int
) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    desk.serve()
    folder = tmp_path / "tried"
    folder.mkdir()
    for name, code in (("book.py", text), ("fees.py", FEES)):
        (folder / name).write_text(code)
    found = desk.node.perform("replay", worker="book", code=str(folder / "book.py"))
    assert counted(found) == {"same": 20 - output, "output": output}
    assert found["firsts"][0]["record"]["record"] == first
    assert found["earlier"] == 10
    whole = desk.node.perform("replay", worker="all", code=str(folder / "book.py"))
    assert (whole["others"], whole["total"], whole["earlier"]) == (["teller"], 21, 11)


def test_a_crash_is_shown_with_the_lines_of_its_own_code(desk: Desk) -> None:
    raised = 'raise ValueError("too much")'
    desk.call("Take 900")
    desk.change("\nfrom dataclasses", "\n# a line\nfrom dataclasses")
    assert desk.node.reload(sure="yes")["done"]
    desk.call("Take 901")
    desk.change("# a line\n", "# one\n# two\n# three\n")
    stacks = [report.stack for report in desk.node.crash_reports(last=2)]
    assert [stack[-1].rpartition(": ")[2] for stack in stacks] == [raised, raised]
    numbers = [int(stack[-1].split(":")[1].split()[0]) for stack in stacks]
    assert numbers[1] == numbers[0] + 1
    records = all_turns(Timeline(desk.node, str).history("book", last=3))["records"]
    crashes = [one["stack"][-1] for one in records if "stack" in one]
    assert {stack.rpartition(": ")[2] for stack in crashes} == {raised}


def test_a_line_that_is_not_known_any_more_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "plain.py"
    file.write_text("def fail():\n    raise ValueError\n")
    names: dict[str, Any] = {}
    made = compile(file.read_text(), str(file), "exec", dont_inherit=True)
    exec(made, names)  # noqa: S102 - as an import runs it
    code = names["fail"].__code__
    assert line_at(code, 2) == "raise ValueError"
    file.write_text("def other():\n    pass\n\ndef fail():\n    raise ValueError\n")
    assert line_at(code, 2) == ""
    assert stack_of([(code, 0)]) == (f"{file}:1 in fail",)


def test_a_past_over_a_reload_is_saved_with_the_classes_and_the_code_of_each_record(
    desk: Desk,
) -> None:
    desk.change('Cast("teller", amount)', 'Cast("twin", Put(Side.BUY, amount))')
    assert desk.node.reload(sure="yes")["done"]
    assert desk.serve(["Take 2", "Take 3"]) == [b"Ok", b"Ok"]
    desk.node.run(0.0)
    _, before = bytes_of_past(desk.node)  # states of the teller have no exact form
    desk.change('"Bought"', '"Got"')
    assert desk.node.reload(sure="yes")["done"]
    desk.serve(["Take 4"])
    data, facts = bytes_of_past(desk.node)
    assert facts.texts == before.texts
    past = past_in(data, "x.past", load_tree(desk.folder / "t.yaml"))
    assert (past.changed, past.reloaded, past.inexact) == ((), ("book", "twin"), ())
    assert any("had other code before a reload" in line for line in notices(past, "x", None))
    desk.change('"Got"', '"Had"')
    past = past_in(data, "x.past", load_tree(desk.folder / "t.yaml"))
    assert (past.changed, past.reloaded) == (("book", "twin"), ())
