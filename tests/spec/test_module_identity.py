"""One file is one module, however it is reached; neighbours of two trees do not mix."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ssm_cli import Node, Supervisor, TreeFileError, load_tree
from ssm_cli.codec.kinds import found, name_of
from ssm_cli.history.other_code import other_code
from ssm_cli.spec.importing import OURS, load_file

WORKER = """
from dataclasses import dataclass
from ssm_cli import StateMachine

@dataclass(frozen=True)
class Add:
    amount: int

def init(name, args):
    return 0

def step(message: Add, state):
    if not isinstance(message, Add):
        raise TypeError("another Add")
    return state + message.amount, state + message.amount

machine = StateMachine(step=step, init=init, inputs=Add)
"""
USES_HELPER = """
from ssm_cli import StateMachine
import helper

def step(message, state):
    import helper as later
    return later.Kept(later.WHO), (helper.WHO, later.WHO)

machine = StateMachine(step=step)
"""
HELPER = """
from dataclasses import dataclass

WHO = {!r}

@dataclass
class Kept:
    who: str
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write files of a project by their paths; take its modules out at the end."""

    def files(**texts: str) -> Path:
        for name, text in texts.items():
            file = tmp_path / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    yield files
    for name, module in [*sys.modules.items()]:
        if str(vars(module).get("__file__")).startswith(str(tmp_path)):
            del sys.modules[name]


def package(*folders: Path) -> None:
    for folder in folders:
        (folder / "__init__.py").touch()


def tree_in(folder: Path, *starts: str) -> Path:
    rows = [f"- {{worker: w{n}, start: '{start}'}}\n" for n, start in enumerate(starts)]
    (folder / "tree.yaml").write_text(f"supervisor: root\nchildren:\n{''.join(rows)}")
    return folder / "tree.yaml"


def modules_of(tree: Path) -> list[ModuleType]:
    """The modules of the steps of a tree's workers."""
    children: Any = load_tree(tree).children
    return [sys.modules[child.start.step.__module__] for child in children]


# -- the same file, by other ways ------------------------------------------------------------------


def test_what_is_imported_after_the_tree_is_the_module_of_the_tree(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(identity_1=WORKER)
    with Node(load_tree(tree_in(folder, "./identity_1.py:machine"))) as node:
        monkeypatch.syspath_prepend(str(folder))
        module = importlib.import_module("identity_1")
        assert node.call("w0", module.Add(2)) == 2
    assert modules_of(folder / "tree.yaml") == [module]


@pytest.mark.parametrize("starts", [("a", "b"), ("b", "a")])
def test_a_worker_that_imports_another_finds_that_one(
    write: Write, starts: tuple[str, str]
) -> None:
    folder = write(b=WORKER, a=f"from b import Add, step\n{USES_HELPER.replace('helper', 'b')}")
    tree: Any = load_tree(tree_in(folder, *(f"./{name}.py:machine" for name in starts)))
    machines = dict(zip(starts, tree.children, strict=True))
    assert machines["b"].start is load_file(folder / "a.py").b.machine
    assert machines["a"].start is load_file(folder / "a.py").machine


def test_a_circle_of_imports_is_two_modules(write: Write) -> None:
    folder = write(one="import two\nWHO = 1\n", two="import one\ndef who(): return one.WHO\n")
    one = load_file(folder / "one.py")
    assert one.two.who() == 1
    assert one.two.one is one
    assert load_file(folder / "two.py") is one.two


def test_a_link_is_what_it_points_to(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(real__identity_2=WORKER)
    (folder / "linked").symlink_to(folder / "real")
    (folder / "other_2.py").symlink_to(folder / "real" / "identity_2.py")
    places = ("./real/identity_2.py", "./linked/identity_2.py", "./other_2.py")
    modules = modules_of(tree_in(folder, *(f"{place}:machine" for place in places)))
    monkeypatch.syspath_prepend(str(folder / "linked"))
    assert {*modules} == {importlib.import_module("identity_2")}


@pytest.mark.parametrize("is_first", [True, False])
def test_a_link_that_a_program_imports_is_what_it_points_to(
    write: Write, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    folder = write(real__identity_3=WORKER)
    (folder / "linked_3.py").symlink_to(folder / "real" / "identity_3.py")
    monkeypatch.syspath_prepend(str(folder))
    before = importlib.import_module("linked_3") if is_first else None
    module = load_file(folder / "real" / "identity_3.py")
    assert module is (before or importlib.import_module("linked_3"))


def test_two_trees_in_one_process_share_what_they_share(write: Write) -> None:
    folder = write(worker=WORKER)
    tree = tree_in(folder, "./worker.py:machine")
    first, second = load_tree(tree), load_tree(tree)
    with Node(first) as one, Node(second) as two:
        add = vars(load_file(folder / "worker.py"))["Add"]
        assert [one.call("w0", add(1)), two.call("w0", add(2))] == [1, 2]


@pytest.mark.parametrize("line", ["from .helper import WHO", "from shop_4.helper import WHO"])
def test_a_file_of_a_package_imports_from_it_and_is_the_module_of_the_package(
    write: Write, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    folder = write(shop_4__worker=f"{line}\n{WORKER}", shop_4__helper="WHO = 'shop'\n")
    package(folder / "shop_4")
    (module,) = modules_of(tree_in(folder, "./shop_4/worker.py:machine"))
    assert module.WHO == "shop"
    monkeypatch.syspath_prepend(str(folder))
    assert importlib.import_module("shop_4.worker") is module
    assert importlib.import_module("shop_4").worker is module


def test_packages_and_folders_of_modules_are_found_beside_a_tree(write: Write) -> None:
    folder = write(
        tree="from shop.till.box import who\nfrom loose.one import two\n"
        "import shop.till\nassert shop.till.box.who is who\ntree = None\n",
        shop__till__box="from ..names import who\n",
        shop__names="import loose.one\ndef who(): return 'shop'\n",
        loose__one="two = 2\n",
    )
    package(folder / "shop", folder / "shop" / "till")
    module = load_file(folder / "tree.py")
    assert (module.who(), module.two) == ("shop", 2)
    assert name_of(module.who) == "shop.names:who"
    assert load_file(folder / "shop" / "names.py").who is module.who


def test_the_main_program_is_the_module_of_its_file(write: Write) -> None:
    folder = write(
        worker=f"{WORKER}\nif __name__ == '__main__':\n    from ssm_cli import Node, load_tree\n"
        "    with Node(load_tree('tree.yaml')) as node:\n        print(node.call('w0', Add(5)))\n"
    )
    tree_in(folder, "./worker.py:machine")
    done = subprocess.run(
        [sys.executable, "worker.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("5\n", "")


def test_imports_of_others_go_on_whatever_is_in_the_path(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(worker=WORKER, other="WHO = 'other'\n")
    load_file(folder / "worker.py")
    odd: Any = [folder, None, 7, b"x", "", str(folder / "gone"), str(folder)]
    monkeypatch.setattr(sys, "path", [*odd, *sys.path])
    assert importlib.import_module("other").WHO == "other"


# -- neighbours ------------------------------------------------------------------------------------


def test_each_worker_has_the_helper_beside_it_now_and_later(write: Write) -> None:
    folder = write(
        a__w=USES_HELPER,
        b__w=USES_HELPER,
        a__helper=HELPER.format("a"),
        b__helper=HELPER.format("b"),
    )
    before = [*sys.path]
    with Node(load_tree(tree_in(folder, "./a/w.py:machine", "./b/w.py:machine"))) as node:
        assert [node.call("w0", 1), node.call("w1", 1)] == [("a", "a"), ("b", "b")]
    assert sys.path == before
    assert {"helper", "w"} & {*sys.modules} == set()


def test_a_helper_of_a_program_is_not_that_of_a_tree(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(a__w=USES_HELPER, a__helper=HELPER.format("a"), helper=HELPER.format("mine"))
    monkeypatch.syspath_prepend(str(folder))
    mine = importlib.import_module("helper")
    with Node(load_tree(tree_in(folder, "./a/w.py:machine"))) as node:
        assert node.call("w0", 1) == ("a", "a")
    assert sys.modules["helper"] is mine


def test_a_kept_value_of_a_helper_comes_back_as_that_of_its_neighbour(write: Write) -> None:
    folder = write(
        a__w=USES_HELPER,
        b__w=USES_HELPER,
        a__helper=HELPER.format("a"),
        b__helper=HELPER.format("b"),
    )
    modules = modules_of(tree_in(folder, "./a/w.py:machine", "./b/w.py:machine"))
    assert [module.helper.WHO for module in modules] == ["a", "b"]
    for module in modules:
        assert found("helper:Kept", module.__name__) is module.helper.Kept


@pytest.mark.parametrize("name", ["queue", "colorsys"])
def test_a_neighbour_does_not_hide_the_standard_library(write: Write, name: str) -> None:
    folder = write(
        **{name: "mine = True\n", "w": f"import {name}\nmine = hasattr({name}, 'mine')\n"}
    )
    assert load_file(folder / "w.py").mine is False


def test_what_is_missing_is_still_said(write: Write) -> None:
    folder = write(w="import no_such_helper\n")
    with pytest.raises(TreeFileError, match=r"No module named 'no_such_helper' at w\.py line 1"):
        load_tree(tree_in(folder, "./w.py:machine"))


# -- loaded anew -----------------------------------------------------------------------------------


def test_an_edit_of_a_helper_is_seen_by_the_next_load_and_not_by_what_runs(write: Write) -> None:
    folder = write(w=USES_HELPER, helper=HELPER.format("old"))
    tree = tree_in(folder, "./w.py:machine")
    with Node(load_tree(tree)) as node:
        assert node.call("w0", 1) == ("old", "old")
        write(helper=HELPER.format("new"))
        with Node(load_tree(tree)) as other:
            assert other.call("w0", 1) == ("new", "new")
        assert node.call("w0", 1) == ("old", "old")


IN_A_FUNCTION = """
from ssm_cli import StateMachine

def step(message, state):
    import helper
    return None, helper.WHO

machine = StateMachine(step=step)
"""


@pytest.mark.parametrize("texts", [(USES_HELPER,) * 2, (IN_A_FUNCTION,) * 2,
                                   (IN_A_FUNCTION, USES_HELPER)],
                         ids=["at the top", "in a function", "both"])  # fmt: skip
def test_each_file_of_a_tree_that_is_loaded_again_has_the_helper_as_it_is_by_then(
    write: Write, texts: tuple[str, str]
) -> None:
    """The second file kept the old one, and so did functions that import it."""
    folder = write(u=texts[0], w=texts[1], helper=HELPER.format("old"))
    tree = tree_in(folder, "./u.py:machine", "./w.py:machine")

    def whose(node: Node) -> set[object]:
        answers = [node.call(worker, 1) for worker in ("w0", "w1")]
        return {who for said in answers for who in (said if type(said) is tuple else (said,))}

    with Node(load_tree(tree)) as node:
        assert whose(node) == {"old"}
        for word in ("new", "newer"):
            write(helper=HELPER.format(word))
            with Node(load_tree(tree)) as other:
                assert whose(other) == {word}
        assert whose(node) == {"old"}
        (folder / "helper.py").unlink()
        write(
            u="from ssm_cli import StateMachine\nmachine = StateMachine(step=lambda m, s: (s, 1))"
        )
        load_file(folder / "u.py")


def test_a_load_that_fails_leaves_what_was_loaded(write: Write) -> None:
    folder = write(w=USES_HELPER, helper=HELPER.format("old"))
    module = load_file(folder / "w.py")
    before = {name for name in sys.modules if name.startswith(OURS)}
    write(w=f"{USES_HELPER}\n1 / 0\n", helper=HELPER.format("new"))
    with pytest.raises(ZeroDivisionError):
        load_file(folder / "w.py")
    assert {name for name in sys.modules if name.startswith(OURS)} == before
    assert sys.modules[module.__name__] is module
    write(w=USES_HELPER, helper=HELPER.format("old"))
    assert load_file(folder / "w.py") is module


def test_other_code_is_apart_from_what_runs(write: Write) -> None:
    folder = write(w=USES_HELPER, helper=HELPER.format("old"))
    module = load_file(folder / "w.py")
    write(helper=HELPER.format("new"))
    node = Node(Supervisor("root", children=[]))
    other = other_code(str(folder / "w.py"), node._world)
    assert (other.helper.WHO, module.helper.WHO) == ("new", "old")
    assert sys.modules[module.__name__] is module
