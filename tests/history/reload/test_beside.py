"""What is beside a reload: runs under way, remote children, packages, files that are watched."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import FakeLinks, ManualClock, Node, Remote, Supervisor, Worker
from ssm_cli.errors import CodeRefused
from ssm_cli.history.reload import watching
from tests.history.reload.desk import FILES, Desk

RUNNER = """
import asyncio
from dataclasses import dataclass
from ssm_cli import Done, Run, StateMachine

@dataclass(frozen=True)
class Found:
    what: str

GATE = asyncio.Event()

async def look():
    await GATE.wait()
    return Found("it")

def step(message, state):
    match message:
        case "go":
            return state, "asked", [Run("look", look)]
        case Done(key, Found(what)):
            return f"{what} FIRST", None
        case "get":
            return state, state
    return "not known", None

runner = StateMachine(step=step, init=lambda name, args: "none")
"""


def test_what_a_run_answers_that_was_under_way_is_of_the_new_classes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("runner.py", RUNNER)
    desk.write("t.yaml", "supervisor: root\nchildren:\n"
               "  - {worker: runner, start: './runner.py:runner'}\n")  # fmt: skip

    async def served() -> object:
        node = desk.node = Node(load(desk), history=100)
        node.start()
        serving = asyncio.create_task(node.serve())
        assert await node.acall("runner", "go") == "asked"
        await asyncio.sleep(0)
        desk.change("FIRST", "SECOND", "runner.py")
        home = sys.modules[node._world.names["runner"].behaviour.step.__module__]  # type: ignore[attr-defined]  # a worker's
        assert node.reload()["done"]  # it asks for the same run: nothing differs
        home.GATE.set()
        for _ in range(100):
            await asyncio.sleep(0)
            if (state := await node.acall("runner", "get")) != "none":
                break
        node.stop()
        await serving
        return state

    assert asyncio.run(served()) == "it SECOND"


def load(desk: Desk) -> Supervisor:  # type: ignore[valid-type]  # it reads as a class
    from ssm_cli import load_tree  # noqa: PLC0415 - for this test

    return load_tree(desk.folder / "t.yaml")


# -- workers that are held ---------------------------------------------------------------------

HELD = """
from ssm_cli import StateMachine

def step(message: str, total: int) -> tuple[int, str]:
    return total + int(message), "old"

till = StateMachine(step=step, init=lambda name, args: 0)
"""


def test_what_is_held_at_a_break_stays_held_and_is_stepped_by_the_new_code(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("till.py", HELD)
    desk.write("t.yaml", "supervisor: root\nchildren:\n"
               "  - {worker: till, start: './till.py:till'}\n"
               "  - {worker: book, start: './book.py:book'}\n")  # fmt: skip
    with Node(load(desk), clock=ManualClock(), history=100) as node:
        put = sys.modules[node._world.names["book"].behaviour.step.__module__]  # type: ignore[attr-defined]  # a worker's
        assert node.reload()["modules"] == []
        node.perform("break_at", worker="till", expr="state > 5")
        node.perform("break_at", worker="book", expr="state.held > 5")
        calls = [
            node.send_request("till", "10"),
            node.send_request("book", put.Put(put.Side(1), 9)),
        ]
        node.run()
        desk.change('total + int(message), "old"', 'total + int(message) * 2, "new"', "till.py")
        desk.change('"Bought"', '"Got"')
        assert node.reload(sure="yes")["done"]
        assert [one["worker"] for one in node.perform("breaks")["held"]] == ["till", "book"]
        for worker in ("till", "book"):
            node.perform("leave", worker=worker)
            node.run()  # it is stepped by the new code, and held with what that makes of it
            node.perform("leave", worker=worker)
        assert [node.wait(call) for call in calls] == ["new", "Got"]
        assert (node.get_state("till"), node.get_state("book").held) == (20, 9)


# -- remote children ---------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["billing", "billing.invoice"])
def test_what_runs_on_another_computer_is_refused_clearly(tmp_path: Path, what: str) -> None:
    desk, clock = Desk(tmp_path), ManualClock()
    start = desk.node.spec.children[0].start
    tree = Supervisor("root", children=[Worker("book", start), Remote("billing", "b.yaml")])
    with Node(tree, clock=clock, history=100, links=FakeLinks(clock, {})) as node:
        with pytest.raises(CodeRefused, match="runs on another computer"):
            node.reload(what)
        with pytest.raises(CodeRefused, match="runs on another computer"):
            node.shadow(what, str(desk.folder / "book.py"))
        desk.change('"Bought"', '"Got"')
        assert [one["worker"] for one in node.reload()["workers"]] == ["book"]


def keep_facts(file: Path, text: str) -> None:
    """Write a file as a tool does that keeps its time; it has the same size and number."""
    told, before = file.stat(), file.read_text(encoding="utf-8")
    assert len(text) == len(before)
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    now = file.stat()
    assert (now.st_mtime_ns, now.st_size, now.st_ino) == (
        told.st_mtime_ns, told.st_size, told.st_ino,
    )  # fmt: skip


# -- packages ----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "shop_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "fees.py").write_text(FILES["fees.py"])
    (folder / "book.py").write_text(FILES["book.py"].replace("from fees", "from .fees"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("shop_of_tests")]:
        del sys.modules[name]


def test_a_module_of_a_package_is_reloaded_and_found_by_its_name(package: Path) -> None:
    from importlib import import_module  # noqa: PLC0415 - for this test

    book = import_module("shop_of_tests.book")
    fees = import_module("shop_of_tests.fees")
    tree = Supervisor("root", children=[Worker("book", book.book)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        node.call("book", b"Put SELL 1")
        assert node.reload()["modules"] == []
        (package / "fees.py").touch()
        assert node.reload()["modules"] == []
        keep_facts(package / "fees.py", "def fee(amount):\n    return 7\n")
        found = node.reload("shop_of_tests.book", sure="yes")
        assert found["done"]
        assert [Path(one["file"]).name for one in found["modules"]] == ["book.py", "fees.py"]
        assert import_module("shop_of_tests.book") is not book
        assert sys.modules["shop_of_tests"].fees.fee(1) == 7
        node.call("book", b"Put SELL 1")
        assert node.call("book", b"Ask") == b"-10"
        (package / "fees.py").write_text("def fee(amount) return 7\n")
        with pytest.raises(CodeRefused, match=r"fees.py is not valid Python"):
            node.reload()
        assert sys.modules["shop_of_tests"].fees.fee(1) == 7
        assert node.rollback(sure="yes")["done"]
        assert import_module("shop_of_tests.book") is book
        assert sys.modules["shop_of_tests"].fees is fees


# -- files that are watched --------------------------------------------------------------------


def looked(desk: Desk, times: int = 2) -> list[str]:
    """Look so many times; return what was reported meanwhile."""
    seq = desk.node.last_seq
    for _ in range(times):
        desk.node.perform("watch_code")
    return [f"{one.event} {one.id}" for one in desk.node.reports(seq)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with made.node:
        made.serve()
        looked(made)
        yield made


def test_a_file_that_changes_is_taken_once_two_looks_find_it_alike(desk: Desk) -> None:
    desk.change("return Book()", "return Book(1)")
    assert looked(desk, 1) == []
    desk.change("return Book(1)", "return Book(22)")
    assert looked(desk, 1) == []
    assert looked(desk, 1) == ["reloaded book", "reloaded twin"]
    assert looked(desk, 3) == []


def test_what_differs_waits_for_somebody_and_is_told_once(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    assert looked(desk, 4) == ["code_differs book", "code_differs twin"]
    told = next(one for one in desk.node.reports() if one.event == "code_differs").detail
    assert (told["differ"], told["total"]) == (2, 10)
    assert desk.call("Put BUY 1") == b"Bought"
    assert desk.node.reload(sure="yes")["done"]
    assert looked(desk, 3) == []


def test_what_cannot_be_loaded_is_told_and_what_is_mended_is_taken(desk: Desk) -> None:
    desk.change("return Book()", "return Book(!)")
    assert looked(desk, 4) == ["code_failed root"]
    desk.change("return Book(!)", "return Book(4)")
    assert looked(desk) == ["reloaded book", "reloaded twin"]


REFUSED_EDITS = {
    "a state that does not fit": (
        "held: int = 0", "held: dict[str, int] = field(default_factory=dict)",
        "book: its state cannot go on under the new code: at state.held: it is an int",
    ),
    "a new field without a default": (
        "class Book:\n", "class Book:\n    more: int = field()\n",
        "book: its state cannot go on under the new code: TypeError",
    ),
    "a file with a syntax error": ("return book, book.held", "return book, (", "SyntaxError"),
    "a class that is gone": ("Book", "Ledger", "`Book` is not in book.py any more"),
    "code that is gone": ("\nbook = S", "\nbooks = S", "book: "),
}  # fmt: skip


@pytest.mark.parametrize("edit", REFUSED_EDITS.values(), ids=REFUSED_EDITS)
def test_what_is_refused_is_told_the_old_code_runs_on_and_the_next_good_edit_is_taken(
    desk: Desk, edit: tuple[str, str, str]
) -> None:
    old, new, said = edit
    before, behaviour = FILES["book.py"], desk.cells()["book"].behaviour
    desk.change(old, new)
    assert looked(desk, 4) == ["code_failed root"]
    message = desk.node.reports()[-1].detail["error"]["message"]
    assert said in message
    assert message.endswith("nothing is changed, the old code runs on")
    assert desk.cells()["book"].behaviour is behaviour
    assert desk.serve(["Ask", "Put SELL 1", "Ask"]) == [b"48", b"Sold", b"46"]
    desk.write("book.py", before.replace("return Book()", "return Book(1)"))
    assert looked(desk) == ["reloaded book", "reloaded twin"]
    assert desk.serve(["Ask"]) == [b"46"]


def test_a_helper_and_a_file_that_is_gone_are_watched_too(desk: Desk) -> None:
    os.remove(desk.folder / "fees.py")  # noqa: PTH107 - as a shell does
    assert looked(desk, 3) == ["code_failed root"]
    desk.write("fees.py", "def fee(amount):\n    return 1 + 0\n")
    assert looked(desk, 3) == ["reloaded book", "reloaded twin"]


@pytest.mark.parametrize("looks", [0, 1, 9])
def test_a_change_that_keeps_time_size_and_number_of_a_file_is_seen(desk: Desk, looks: int) -> None:
    assert looked(desk, looks) == []
    keep_facts(desk.folder / "fees.py", FILES["fees.py"].replace("1", "2"))
    assert looked(desk) == ["code_differs book", "code_differs twin"]
    keep_facts(desk.folder / "fees.py", FILES["fees.py"].replace("1", "3"))
    assert looked(desk) == ["code_differs book", "code_differs twin"]


def test_a_change_before_the_first_look_and_within_a_tick_of_the_disk_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "facts_of", lambda _: (1, 2, 3))
    desk = Desk(tmp_path)
    with desk.node:
        desk.serve()
        desk.change("return 1", "return 2", "fees.py")
        assert looked(desk) == ["code_differs book", "code_differs twin"]
        desk.change("return 2", "return 3", "fees.py")
        assert looked(desk) == ["code_differs book", "code_differs twin"]


def test_a_file_that_was_only_touched_is_not_loaded_again(desk: Desk) -> None:
    for file in desk.folder.iterdir():
        file.touch()
        file.chmod(0o600)
    assert looked(desk, 3) == []
    assert desk.node.reload()["modules"] == []


MEANWHILE = """    if NEXT and message == Ask():
        __import__("pathlib").Path(__file__).write_text(NEXT)
    match message:
"""


def test_what_is_written_while_it_is_rehearsed_is_taken_next(desk: Desk) -> None:
    then = FILES["book.py"].replace("return Book()", "return Book(22)")
    desk.change("def step(", f"NEXT = {then!r}\n\ndef step(")
    desk.change("    match message:\n", MEANWHILE)
    assert looked(desk, 2) == ["reloaded book", "reloaded twin"]
    assert (desk.folder / "book.py").read_text() == then
    assert looked(desk, 2) == ["reloaded book", "reloaded twin"]
    assert desk.serve(["Ask"]) == [b"48"]
    assert looked(desk, 3) == []


def test_a_pipe_in_the_place_of_the_code_is_refused_and_nothing_waits_for_it(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    with desk.node as node:
        (tmp_path / "book.py").unlink()
        os.mkfifo(tmp_path / "book.py")
        with pytest.raises(CodeRefused, match="is no regular file"):
            node.reload(sure="yes")
        assert desk.serve(["Put BUY 5"]) != ["CalleeCrashed"]
        (tmp_path / "book.py").unlink()  # others look for the source of each module that is there
