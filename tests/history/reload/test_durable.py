"""Durable workers under other code: what a start after a kill steps, on the code that is there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssm_cli import ManualClock, MemoryStore, Node, StorageError, load_tree
from ssm_cli.errors import CodeRefused
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.spec.model import Persist
from tests.history.reload.desk import FILES, Desk, counted, of

TREE = FILES["t.yaml"].replace("./book.py:book", "./book.py:book\n    persist: journal")
SAVED = TREE.replace("persist: journal", "persist: snapshot")


def desk_of(tmp_path: Path, tree: str = TREE) -> tuple[Desk, MemoryStore]:
    """Return a desk whose books are durable, and where they are kept."""
    desk, store = Desk(tmp_path), MemoryStore()
    desk.write("t.yaml", tree)
    desk.node = started(desk, store)
    return desk, store


def started(desk: Desk, store: MemoryStore) -> Node:
    """Return a node of the code that is in the files, on a store."""
    tree = load_tree(desk.folder / "t.yaml")
    return Node(tree, clock=ManualClock(), history=100, store=store).start()


def killed(store: MemoryStore) -> MemoryStore:
    """Return the store as another process finds it after `kill -9`."""
    made = copy.deepcopy(store)
    for name in ("append", "put"):
        vars(made).pop(name, None)  # what a test has put there
    return made


@contextmanager
def running(desk: Desk) -> Iterator[Node]:
    """Stop the tree of a desk at the end of a block."""
    yield desk.node
    desk.node.stop()


CHANGES = [
    ('"Bought"', '"Got"', "46"),
    ("book.held + amount", "book.held + 3 * amount", "46"),
    ("return book, book.held", "return book, -book.held", "-46"),
    ("last: Put | None = None", "last: Put | None = None\n    fee: int = 0", "46"),
    ('Cast("teller", amount)', 'Cast("twin", Put(Side.BUY, amount))', "46"),
    (', [Cast("teller", amount)]', "", "46"),
    ("if amount > 500", "if amount > 1", "46"),
]


@pytest.mark.parametrize("change", CHANGES, ids=[one[1][:40] for one in CHANGES])
def test_after_a_kill_each_input_is_stepped_on_the_code_that_is_there(
    tmp_path: Path, change: tuple[str, str, str]
) -> None:
    old, new, answer = change
    desk, store = desk_of(tmp_path)
    desk.serve()
    desk.change(old, new)
    assert desk.node.reload(sure="yes")["done"]
    desk.serve(["Put SELL 1"])
    after, state = killed(store), str(desk.node.get_state("book"))
    desk.node.stop()
    desk.node = started(desk, after)
    with running(desk) as node:
        assert str(node.get_state("book")) == state
        assert desk.call("Ask") == answer.encode()
        assert desk.call("Ask", "twin") in (b"0", b"-0")
        assert desk.cells()["book"].extra.kept.trouble is None
        assert not [one for one in node.reports() if one.event == "down"]


def test_a_kill_between_the_saved_state_and_its_record_begins_with_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, store = desk_of(tmp_path)
    desk.serve()
    desk.change("book.held + amount", "book.held + 3 * amount")
    found, append = list[MemoryStore](), store.append

    def cut(number: int, entry: bytes, done: object) -> None:
        found.append(killed(store))
        append(number, entry, done)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(store, "append", cut)
    assert desk.node.reload(sure="yes")["done"]
    desk.node.stop()
    desk.node = started(desk, found[0])
    with running(desk):
        assert desk.serve(["Ask", "Put BUY 1", "Ask"]) == [b"48", b"Bought", b"51"]


def test_the_journal_names_the_code_and_verifies(tmp_path: Path) -> None:
    desk, store = desk_of(tmp_path)
    desk.serve()
    desk.change('"Sold"', '"Gone"')
    found = desk.node.reload(sure="yes")
    desk.serve(["Put SELL 1", "Put BUY 2"])
    kept = desk.cells()["book"].extra.kept
    assert kept.values.code.digest == of(found)["code"] != of(found)["was"]
    after = killed(store)
    desk.node.stop()
    tree = load_tree(desk.folder / "t.yaml")
    assert Recovered(after, tree, check_every=1, effects=True).troubles == {}


def test_the_old_code_after_a_kill_is_noticed_as_any_other(tmp_path: Path) -> None:
    desk, store = desk_of(tmp_path)
    desk.serve()
    desk.change("book.held + amount", "book.held + 3 * amount")
    desk.node.reload(sure="yes")
    desk.serve(["Put BUY 1"])
    after = killed(store)
    desk.node.stop()
    desk.change("3 * amount", "amount")
    desk.node = started(desk, after)
    with running(desk):
        trouble = desk.cells()["book"].extra.kept.trouble
        assert trouble.reason == "differs"
        desk.change("book.held + amount", "book.held + 3 * amount")
        with pytest.raises(CodeRefused, match=r"is down .differs."):
            desk.node.reload(sure="yes")


def test_a_rollback_is_kept_too(tmp_path: Path) -> None:
    desk, store = desk_of(tmp_path)
    desk.serve()
    desk.change("book.held + amount", "book.held + 3 * amount")
    desk.node.reload(sure="yes")
    desk.serve(["Put BUY 1"])
    assert desk.node.rollback(sure="yes")["done"]
    assert desk.call("Ask") == b"49"
    after = killed(store)
    desk.node.stop()
    desk.change("3 * amount", "amount")
    desk.node = started(desk, after)
    with running(desk):
        assert desk.serve(["Ask", "Put BUY 1", "Ask"]) == [b"49", b"Bought", b"50"]


def test_a_state_that_is_saved_now_and_then_is_saved_with_the_new_code(tmp_path: Path) -> None:
    desk, store = desk_of(tmp_path, SAVED)
    desk.serve()
    desk.change("last: Put | None = None", "last: Put | None = None\n    fee: int = 0")
    assert desk.node.reload()["done"]
    after = killed(store)
    desk.node.stop()
    desk.node = started(desk, after)
    with running(desk):
        assert (desk.call("Ask"), desk.cells()["book"].extra.kept.trouble) == (b"48", None)


def test_a_state_that_could_not_be_kept_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    desk, _ = desk_of(tmp_path)
    desk.serve()
    desk.change("inputs=Put", "version='2', code_change=lambda *_: Book(1, 1, open), inputs=Put")
    with pytest.raises(CodeRefused, match="cannot outlive the process"):
        desk.node.reload(sure="yes")
    assert desk.serve(["Ask", "Put SELL 1", "Ask"]) == [b"48", b"Sold", b"46"]
    desk.node.stop()


RETYPED = {
    "retyped": [("count: int = 0", "count: dict[str, int] = field(default_factory=dict)")],
    "a part retyped": [("last: Put | None = None", "last: str | None = None")],
    "version alone": [("inputs=Put", "version='2', inputs=Put")],
    "code_change to another type": [
        ("inputs=Put", "version='2', code_change=lambda *_: {'held': 1}, inputs=Put")
    ],
    "migrate to another type": [
        ("inputs=Put", "version='2', migrate=lambda *_: {'held': 1}, inputs=Put")
    ],
}


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
@pytest.mark.parametrize("edits", RETYPED.values(), ids=RETYPED)
def test_a_state_that_does_not_fit_the_new_code_is_refused_as_at_a_start(
    tmp_path: Path, edits: list[tuple[str, str]], persist: str
) -> None:
    desk, store = desk_of(tmp_path, TREE.replace("journal", persist))
    desk.serve()
    desk.node.stop()
    desk.node = started(desk, store)  # nothing is remembered to rehearse it on
    for old, new in edits:
        desk.change(old, new)
    with running(desk):
        with pytest.raises(CodeRefused, match=r"book: .*another `version`|without a migrate"):
            desk.node.reload(sure="yes")
        assert desk.serve(["Ask", "Put SELL 1", "Ask"]) == [b"48", b"Sold", b"46"]


def test_a_migrate_turns_the_state_as_at_a_start(tmp_path: Path) -> None:
    desk, store = desk_of(tmp_path)
    desk.serve()
    turned = "version='2', migrate=lambda old, kept: Book(kept['held'] + 1), inputs=Put"
    desk.change("inputs=Put", turned)
    assert desk.node.reload(sure="yes")["done"]
    assert desk.call("Ask") == b"49"
    after = killed(store)
    desk.node.stop()
    desk.node = started(desk, after)
    with running(desk):
        assert desk.call("Ask") == b"49"


def test_a_store_that_cannot_be_written_leaves_the_old_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = TREE.replace("intensity: 100", "intensity: 100\non_storage_error: refuse")
    desk, store = desk_of(tmp_path, tree)
    desk.serve()
    behaviour = desk.cells()["book"].behaviour
    desk.change('"Bought"', '"Got"')

    def full(_changes: object, done: object) -> None:
        done(StorageError("the disk is full"))  # type: ignore[operator]  # as it came

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(StorageError, match="disk is full"):
        desk.node.reload(sure="yes")
    monkeypatch.undo()
    assert desk.cells()["book"].behaviour is behaviour
    assert desk.serve(["Ask", "Put BUY 1"])[0] == b"48"
    assert desk.node.reload(sure="yes")["done"]
    assert desk.call("Put BUY 1") == b"Got"
    desk.node.stop()


def test_what_is_durable_is_not_promoted_from_another_file(tmp_path: Path) -> None:
    desk, _ = desk_of(tmp_path)
    desk.write("new.py", FILES["book.py"].replace('"Bought"', '"Got"'))
    desk.node.shadow("book", str(desk.folder / "new.py"), count=1)
    desk.call("Ask")
    assert counted(desk.node.shadow("book")) == {"same": 1}
    with pytest.raises(CodeRefused, match="put the new code there"):
        desk.node.promote("book")
    assert desk.cells()["book"].spec.options.persist is Persist.JOURNAL
    desk.node.stop()


# -- killed at any write -----------------------------------------------------------------------


def written(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> list[MemoryStore]:
    """Return where the store is kept as a kill finds it before each write from now on."""
    found = list[MemoryStore]()
    for name in ("append", "put"):
        write = getattr(store, name)

        def cut(*given: object, write: Callable[..., object] = write) -> object:
            found.append(killed(store))
            return write(*given)

        monkeypatch.setattr(store, name, cut)
    return found


def two_of(tmp_path: Path, persist: str) -> tuple[Desk, MemoryStore]:
    """Return a desk with two durable books, 48 saved in one and 5 in the other; and its store."""
    both = FILES["t.yaml"].replace("./book.py:book", f"./book.py:book\n    persist: {persist}")
    desk, store = desk_of(tmp_path, both)
    desk.serve()
    desk.serve(["Put BUY 5"], "twin")
    desk.node.stop()
    desk.node = started(desk, store)
    return desk, store


def asked_after(desk: Desk, stores: list[MemoryStore]) -> list[tuple[object, object]]:
    """Return what both books answer after a kill at each of these writes."""
    answers = []
    for store in stores:
        desk.node = started(desk, store)
        with running(desk):
            answers.append((desk.call("Ask"), desk.call("Ask", "twin")))
    return answers


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
@pytest.mark.parametrize("verb", ["reload", "rollback"])
def test_a_kill_in_the_middle_of_several_loses_the_state_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, persist: str, verb: str
) -> None:
    desk, store = two_of(tmp_path, persist)
    desk.change("return book, book.held", "return book, book.held + 0")
    if verb == "rollback":
        assert desk.node.reload(sure="yes")["done"]
    stores = written(store, monkeypatch)
    done = desk.node.rollback() if verb == "rollback" else desk.node.reload(sure="yes")
    assert done["done"]
    assert len(stores) > 1
    stores.append(killed(store))
    desk.node.stop()
    monkeypatch.undo()
    assert asked_after(desk, stores) == [(b"48", b"5")] * len(stores)


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
@pytest.mark.parametrize("tree", ["old", "new"])
def test_a_kill_in_the_middle_of_an_apply_loses_the_state_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, persist: str, tree: str
) -> None:
    desk, store = two_of(tmp_path, persist)
    file = desk.folder / "t.yaml"
    old = file.read_text()
    new = old.replace("./book.py:book", "./book.py:book\n    args: {more: 1}")
    new += "  - worker: third\n    start: ./book.py:book\n    persist: journal\n"
    file.write_text(new)
    stores = written(store, monkeypatch)
    assert desk.node.apply(file).failed is None
    assert stores
    stores.append(killed(store))
    desk.node.stop()
    monkeypatch.undo()
    file.write_text(old if tree == "old" else new)
    assert asked_after(desk, stores) == [(b"48", b"5")] * len(stores)


@pytest.mark.parametrize("of", ["put", "append"])
def test_a_store_with_room_again_takes_the_new_code_and_one_that_is_full_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    tree = TREE.replace("intensity: 100", "intensity: 100\non_storage_error: refuse")
    desk, store = desk_of(tmp_path, tree)
    desk.serve()
    store.failing = StorageError("the disk is full")
    assert desk.call("Put BUY 1") == "CalleeStopped"
    store.failing = None
    desk.change('"Bought"', '"Got"')

    def full(*args: object) -> None:
        args[-1](StorageError("the disk is full again"))  # type: ignore[operator]  # as it came

    monkeypatch.setattr(store, of, full)
    with pytest.raises(StorageError, match="full again"):
        desk.node.reload(sure="yes")
    monkeypatch.undo()
    assert desk.node.reload(sure="yes")["done"]
    after = killed(store)
    assert desk.call("Put BUY 1") == b"Got"
    desk.node.stop()
    desk.node = started(desk, after)
    with running(desk):
        assert desk.call("Put BUY 1") == b"Got"
