"""`--rename` is of what was written before it: back again, in chains, and beside new names.

Each life is a process of its own, killed or stopped in order, with the code of that time.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import FolderStore
from ssm_cli.runtime.durable.snapshots import RENAMED, Renamed, pack, unpack
from ssm_cli.storage.contents import change
from tests.faults.evolution import ACCOUNT, MIGRATE, TREE, edited
from tests.program import python, ssm

ENDS = pytest.mark.parametrize("end", ["kill", "stop"])
STEP = "StateMachine(step=step,"
FIELD = {"cents": "pence"}
CLASS = {"Account": "Ledger"}
CHANGES = {
    "a module": ({}, ("code", "moved"), ("moved", "code")),
    "a class": (CLASS, ("code:Account", "code:Ledger"), ("code:Ledger", "code:Account")),
    "a field": (FIELD, ("code:Account.cents", "pence"), ("code:Account.pence", "cents")),
    "a step": (
        {"step(": "take(", "step=step": "step=take"},
        ("code:step", "code:take"),
        ("code:take", "code:step"),
    ),
}  # fmt: skip
KINDS = pytest.mark.parametrize("kind", CHANGES)
BOTH = ACCOUNT.replace("def step", """
@dataclasses.dataclass(frozen=True)
class Ledger:
    owner: str
    cents: int

def step""")  # fmt: skip
HELD = """
import collections
import dataclasses
from ssm_cli import StateMachine

@dataclasses.dataclass(frozen=True)
class Zed:
    n: int

@dataclasses.dataclass(frozen=True)
class Mid:
    n: int

def step(message, state):
    held = collections.defaultdict(Zed, {'a': frozenset([Zed(1), Mid(1), Zed(2)])})
    return [held, Mid(int(message)), {Zed(7)}], 'Ok'

machine = StateMachine(step=step, init=lambda name, args: [])
"""


class Folder:
    """A project, its data, and the lives that it has had."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hours = 0

    def code(self, text: str, module: str = "code", worker: str = "w") -> None:
        for old in self.place.glob("*.py"):
            old.unlink()
        tree = edited(TREE, {"./code.py": f"./{module}.py", "worker: w,": f"worker: {worker},"})
        lines = [line for line in tree.splitlines() if "other" not in line]
        (self.place / "tree.yaml").write_text("\n".join(lines))
        (self.place / f"{module}.py").write_text(text)

    def life(self, *inputs: str, end: str = "stop", worker: str = "w") -> str:
        """Its state at the end of one process; or why it is down."""
        self.hours += 1
        calls = [(worker, one) for one in inputs]
        job = {"folder": str(self.place), "calls": calls, "stop": end == "stop",
               "at_s": 1e9 + 3600 * self.hours}  # fmt: skip
        lived = python("from tests.faults.evolution import main; main()", given=json.dumps([job]))
        assert lived.returncode == (0 if end == "stop" else -signal.SIGKILL), lived.stderr
        (result,) = json.loads(lived.stdout)
        said: dict[str, Any] = result["states"] | result["messages"]
        return str(said[worker])

    def repair(self, *words: str, worker: str = "w", code: int = 0) -> str:
        found = ssm("data", "repair", worker, "--data", "data", *words, "--yes", cwd=self.place)
        assert found.returncode == code, found.stdout + found.stderr
        return found.stdout + found.stderr

    def rename(self, old: str, new: str) -> None:
        self.repair("--rename", old, new)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.code(ACCOUNT)
    return made


def account(cents: int, kind: str = "") -> str:
    field = "pence" if kind == "a field" else "cents"
    return f"{'Ledger' if kind == 'a class' else 'Account'}(owner='ann', {field}={cents})"


def renamed_code(folder: Folder, kind: str) -> None:
    folder.code(edited(ACCOUNT, CHANGES[kind][0]), "moved" if kind == "a module" else "code")


@KINDS
@ENDS
def test_a_rename_that_was_taken_back_leaves_the_worker_as_it_was(
    folder: Folder, kind: str, end: str
) -> None:
    _, there, back = CHANGES[kind]
    folder.life("5", end="stop")
    folder.life("7", end=end)
    renamed_code(folder, kind)
    folder.rename(*there)
    assert folder.life("1", end=end) == account(13, kind)
    folder.code(ACCOUNT)
    assert f"--rename {back[0]} {back[1]}" in folder.life() or kind in ("a class", "a field")
    folder.rename(*back)
    assert folder.life("1", end=end) == account(14)
    assert folder.life() == account(14)
    renamed_code(folder, kind)
    folder.rename(*there)
    assert folder.life(end=end) == account(14, kind), "and there once more"


@KINDS
@ENDS
def test_it_may_be_taken_back_before_any_start(folder: Folder, kind: str, end: str) -> None:
    folder.life("5")
    folder.life("7", end=end)
    for pair in (*CHANGES[kind][1:], *CHANGES[kind][1:]):
        folder.rename(*pair)
    assert folder.life() == account(12)
    assert folder.life("1", end=end) == account(13)
    assert folder.life() == account(13)


@ENDS
def test_renames_follow_each_other_in_the_order_in_which_they_were_made(
    folder: Folder, end: str
) -> None:
    folder.life("5")
    folder.life("7", end=end)
    for pair in (
        ("code:Account.cents", "pence"), ("code", "moved"), ("moved:Account", "moved:Ledger"),
        ("moved:Ledger.owner", "holder"),
    ):  # fmt: skip
        folder.rename(*pair)
    folder.code(edited(ACCOUNT, FIELD | CLASS | {"owner": "holder"}), "moved")
    assert folder.life(end=end) == "Ledger(holder='ann', pence=12)"
    assert folder.life("1") == "Ledger(holder='ann', pence=13)"


@ENDS
def test_a_class_of_the_old_name_that_is_new_keeps_its_name(folder: Folder, end: str) -> None:
    plain = {"message: str, state: Account) -> tuple[Account, str]": "message, state)"}
    text = edited(ACCOUNT, plain)
    folder.code(text)
    folder.life("5")
    folder.code(edited(text, CLASS))
    folder.rename("code:Account", "code:Ledger")
    assert folder.life("7", end=end) == account(12, "a class")
    folder.code(edited(BOTH, plain))
    said = folder.life()
    assert "differs" in said or said == account(12, "a class")
    if "differs" in said:  # the step that wrote it made a Ledger
        folder.repair("--as-new", "--tree", "tree.yaml")
    assert folder.life("1", end=end) == account(13)
    assert folder.life() == account(13), "not a Ledger"


@ENDS
def test_a_field_of_the_old_name_that_is_new_keeps_its_name(folder: Folder, end: str) -> None:
    folder.life("5")
    folder.code(edited(ACCOUNT, FIELD))
    folder.rename("code:Account.cents", "pence")
    assert folder.life() == account(5, "a field")
    text = edited(ACCOUNT, FIELD)
    text = edited(text, {
        "pence: int": "pence: int\n    cents: int = 9", "+ int(message))": "+ int(message), 9)",
        STEP: MIGRATE + "Account(**state),",
    })  # fmt: skip
    folder.code(text)
    folder.life("1", end=end)
    assert folder.life("1", end=end) == "Account(owner='ann', pence=7, cents=9)"
    assert folder.life() == "Account(owner='ann', pence=7, cents=9)"


@ENDS
def test_what_is_read_under_a_new_name_is_what_is_stored(folder: Folder, end: str) -> None:
    text = edited(ACCOUNT, {
        "@dataclasses.dataclass(frozen=True)\nclass Account:": "class Account(msgspec.Struct):",
        "import dataclasses": "import msgspec",
    })  # fmt: skip
    folder.code(text)
    folder.life("5", end=end)
    other = "cents: int\n\n    def __post_init__(self):\n        self.cents += 9"
    folder.code(edited(text, CLASS | {"cents: int": other}))
    folder.rename("code:Account", "code:Ledger")
    said = folder.life()
    assert "does not start" in said
    assert "is another" in said or "is not what is stored" in said or "differs" in said


@ENDS
def test_classes_in_sets_and_factories_are_renamed_too(folder: Folder, end: str) -> None:
    folder.code(HELD)
    folder.life("5")
    folder.life("6", end=end)
    renamed = {"Zed": "Abe"}
    folder.code(edited(HELD, renamed))
    folder.rename("code:Zed", "code:Abe")
    said = folder.life(end=end)
    assert "does not start" not in said
    assert said.count("Abe(n=") == 3
    assert "Mid(n=6)" in said
    assert folder.life() == said or end == "stop"


def test_a_saved_state_that_is_taken_again_has_the_renames_since_it_was_written(
    folder: Folder,
) -> None:
    folder.life("5")
    folder.life("7", end="kill")
    folder.code(edited(ACCOUNT, CLASS))
    folder.rename("code:Account", "code:Ledger")
    folder.repair("--from-saved")
    assert folder.life() == account(5, "a class")
    assert folder.life() == account(5, "a class")


@ENDS
def test_a_worker_and_what_is_in_its_state_may_have_other_names(folder: Folder, end: str) -> None:
    folder.life("5")
    folder.life("7", end=end)
    folder.rename("code:Account", "code:Ledger")
    folder.rename("w", "v")
    folder.repair("--rename", "code", "moved", worker="v")
    folder.code(edited(ACCOUNT, CLASS), "moved", worker="v")
    assert folder.life("1", worker="v", end=end) == account(13, "a class")
    assert folder.life(worker="v") == account(13, "a class")


@ENDS
def test_renames_of_an_older_ssm_are_of_what_was_there_at_the_first_start(
    folder: Folder, end: str
) -> None:
    folder.life("5")
    folder.life("7", end=end)
    names = {"code:Account": "code:Ledger", "code:step": "code:step"}
    with FolderStore(folder.place / "data") as store:
        change(store, {RENAMED + "w": pack(Renamed("w", names))})
    folder.code(edited(ACCOUNT, CLASS))
    assert folder.life() == account(12, "a class")
    with FolderStore(folder.place / "data") as store:
        found = unpack(RENAMED, store.get(RENAMED + "w") or b"", Renamed)
    assert not found.names
    assert len({number for number, _, _ in found.made}) == 1
    folder.code(ACCOUNT)
    folder.rename("code:Ledger", "code:Account")
    assert folder.life("1", end=end) == account(13)
    assert folder.life() == account(13)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("w", "w", "is called so already"),
        ("code", "code", "is called so already"),
        ("w", "", "no worker can be called ''"),
        ("w", "b/c", "no worker can be called 'b/c'"),
        ("w", "a b", "no worker can be called 'a b'"),
        ("w", "a\x1b", "no worker can be called 'a\\x1b'"),
        ("code", "", "no module can be called ''"),
        ("code", "a/b", "no module can be called 'a/b'"),
        ("code", "a:b", "no module can be called 'a:b'"),
        ("code:Account", "Ledger", "code:Account is a class, and no class can be called 'Ledger'"),
        ("code:Account", "moved:", "no class can be called 'moved:'"),
        ("code:Account.cents", "", "no field can be called ''"),
        ("code:Account.cents", "1st", "no field can be called '1st'"),
        ("code:Account.cents", "owner", "there is one of that name"),
        ("code:Nobody", "code:Any", "nothing in what is stored of w is called code:Nobody"),
    ],
)
def test_a_name_that_can_never_be_is_refused(folder: Folder, old: str, new: str, says: str) -> None:
    folder.life("5")
    said = folder.repair("--rename", old, new, code=74)
    assert says in said
    assert folder.life() == account(5), "nothing was changed"


def test_classes_that_could_not_be_told_apart_any_more_do_not_get_one_name(folder: Folder) -> None:
    folder.code(edited(HELD, {"class Mid:\n    n: int": "class Mid:\n    n: int\n    m: int = 0"}))
    folder.life("5")
    said = folder.repair("--rename", "code:Zed", "code:Mid", code=74)
    assert "two classes of other fields are called code:Mid" in said
