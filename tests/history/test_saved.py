"""A saved past: what is opened is what was remembered, wherever that is, and nothing that hides."""

from __future__ import annotations

import os
import resource
import stat
import zlib
from collections.abc import Callable
from enum import Enum
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CallError,
    Forgotten,
    GenServer,
    ManualClock,
    Node,
    Ok,
    Reply,
    Run,
    StartFailed,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
    load_tree,
)
from ssm_cli.commands.parse import Command
from ssm_cli.commands.records import instant
from ssm_cli.commands.scratch import made_report
from ssm_cli.errors import CommandError, StorageDamaged
from ssm_cli.history.past import with_past
from ssm_cli.history.saved import file
from ssm_cli.history.saved.code import GONE_MACHINE
from ssm_cli.history.saved.keeping import bytes_of_past, past_in
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.turns import all_turns
from ssm_cli.machines.kv import Lookup, Store
from ssm_cli.runtime.engine.recorder import Moment
from tests.runtime.outside_work import adouble, aforever
from tests.runtime.test_fork import BROKEN, a_tree, an_act, an_act_by_bytes, do, seen
from tests.runtime.test_rewind import Act
from tests.thorough import tries


def a_past(seed: int, acts: int, an_act: Act = an_act) -> Node | None:
    """A random tree with a random past that is remembered; None where it does not start."""
    r = Random(seed)
    BROKEN.clear()
    most = r.choice([16, 64, 1000])
    node = Node(a_tree(r, "s", 2), clock=ManualClock(), seed=seed, history=most)
    node._world.outside.runner = None  # `end_a_run` stands for it
    try:
        node.start()
    except StartFailed:
        return None
    for _ in range(acts):
        if r.random() < 0.1:
            BROKEN.symmetric_difference_update({r.choice([*node.names("worker"), "new"])})
        do(node, an_act(r, node))
        if node.running:
            node.run(0)
    return node


@pytest.mark.parametrize("act", [an_act, an_act_by_bytes])
@pytest.mark.parametrize("twenty", range(tries(2, 5)))
def test_the_tree_at_each_record_of_an_opened_past_is_that_of_the_live_one(
    twenty: int, act: Act
) -> None:
    compared = exact = 0
    for seed in range(twenty * 20, twenty * 20 + 20):
        node = a_past(seed, 30, act)
        if node is None:
            continue
        data, facts = bytes_of_past(node)
        opened = past_in(data, "x.past", node.spec).node
        recorder = node.recorder()
        assert recorder is not None
        if not any(type(entry[5]) is Moment for entry in recorder.ring):
            continue
        for record in range(node.first_record(), node.record + 1):
            then, now = node.at(record), opened.at(record)
            assert now.tree() == then.tree(), (seed, record)
            assert seen(now, 0) == seen(then, 0), (seed, record)
            assert now.crash_reports() == then.crash_reports(), (seed, record)
            compared += 1
            codes = [getattr(one.spec, "start", None) for one in now._world.names.values()]
            known = GONE_MACHINE not in codes
            if not facts.texts and known:  # a child that was given by hand may be in no file
                assert now.digest() == then.digest(), (seed, record)
                exact += 1
    assert compared > 100
    assert exact > 50


@pytest.mark.parametrize("seed", [13, 23])
def test_the_page_of_a_live_tree_takes_reports_that_are_of_no_record(seed: int) -> None:
    node = a_past(seed, 30)
    assert node is not None
    with_past(node, instant)
    numbers = [report.record for report in node.reports()]
    assert "dropped" in {report.event for report in node.reports()}
    assert numbers != sorted(numbers)
    _, count = made_report(Command("report", {"file": "x.html"}), node)
    assert count > 0


# -- what a tree was, told elsewhere -------------------------------------------------------------


def a_kv() -> Node:
    """A tree whose `kv2` has stored, crashed, and stored again."""
    node = Node(load_tree("trees/kv.yaml"), clock=ManualClock(), history=1000).start()
    for number in range(5):
        node.call("kv2", Store("x", number))
    with pytest.raises(CallError):
        node.call("kv2", Lookup("crash"))
    node.call("kv2", Store("y", 1))
    return node


@cache
def kv_bytes() -> bytes:
    """The bytes of its past."""
    return bytes_of_past(a_kv())[0]


@pytest.mark.parametrize("with_code", [True, False])
def test_each_question_to_an_opened_past_has_the_answer_of_the_live_one(with_code: bool) -> None:
    node = a_kv()
    past = past_in(bytes_of_past(node)[0], "kv.past", node.spec if with_code else None)
    live, opened = Timeline(node, str), Timeline(past.node, str)
    asked: list[Callable[[Timeline], Any]] = [
        lambda t: t.history(),
        lambda t: t.go("crash"),
        lambda t: t.blame("kv2", "x"),
        lambda t: t.when("kv2", "state.x > 2"),
        lambda t: t.why("7"),
        lambda t: t.diff("2", "5"),
        lambda t: t.step(-2, place="5"),
    ]
    for ask in asked:
        assert all_turns(ask(opened)) == all_turns(ask(live))
    assert past.node.crash_reports() == node.crash_reports()
    assert past.missing == (() if with_code else ("kv1", "kv2", "kv3"))


def test_a_fork_of_an_opened_past_steps_where_the_code_is_here() -> None:
    node = a_kv()
    past = past_in(bytes_of_past(node)[0], "kv.past", node.spec)
    fork = past.node.at(5).fork()
    fork.call("kv2", Store("z", 9))
    assert fork.get_state("kv2") == {"x": 4, "z": 9}
    assert past.node.get_state("kv2") == {"y": 1}


def test_a_fork_of_an_opened_past_says_that_the_code_is_not_here() -> None:
    past = past_in(kv_bytes(), "kv.past")
    with pytest.raises(CallError, match=r"its code is not here: open the file with --tree FILE"):
        past.node.at(5).fork().call("kv2", "Store z 9")


def counting(message: str, state: int) -> tuple[int, str]:
    return state + 1, message


def counting_twice(message: str, state: int) -> tuple[int, str]:
    return state + 2, message


def test_workers_whose_code_is_another_are_named() -> None:
    tree = Supervisor("root", children=[Worker("c", StateMachine(step=counting, init=zero))])
    node = Node(tree, clock=ManualClock(), history=100).start()
    node.call("c", "one")
    other = load_tree("trees/kv.yaml").children[0]
    changed = msgspec.structs.replace(other, id="c")
    past = past_in(bytes_of_past(node)[0], "x", msgspec.structs.replace(tree, children=(changed,)))
    assert past.changed == ("c",)
    assert past.node.at(1).get_state("c") == 1


def zero(_name: str, _args: Any) -> int:
    return 0


def test_a_node_that_remembers_nothing_cannot_be_saved() -> None:
    node = Node(load_tree("trees/kv.yaml"), clock=ManualClock()).start()
    with pytest.raises(Forgotten, match="remembers nothing"):
        bytes_of_past(node)


# -- secrets -------------------------------------------------------------------------------------

SECRET = "hunter2-planted"  # noqa: S105 - it is planted, to be looked for


def hide(value: Any) -> Any:
    return {**value, "password": "***"} if isinstance(value, dict) else value


def login(message: dict[str, Any], state: dict[str, Any]) -> Any:
    if message.get("crash"):
        raise ValueError("as asked")
    return {**state, "password": message["password"]}, "ok"


class Vault(GenServer):
    """Keeps a secret, and shows none."""

    codec = "json"

    def init(self, name: str, args: Any) -> Ok:
        return Ok({"password": args["password"]})

    def handle_call(self, message: Any, caller: Any, state: Any) -> Reply:
        if message.get("crash"):
            raise ValueError("as asked")
        return Reply("ok", {**state, "password": message["password"]})

    def format_status(self, value: Any) -> Any:
        return hide(value)


def test_nothing_that_is_hidden_is_in_a_file() -> None:
    machine = StateMachine(step=login, init=lambda *_: {}, redact=hide, codec="json")
    tree = Supervisor(
        "root", intensity=9,
        children=[
            Worker("login", machine, args={"password": SECRET}),
            Worker("vault", Vault, args={"password": SECRET}),
        ],
    )  # fmt: skip
    node = Node(tree, clock=ManualClock(), history=100).start()
    for name in ("login", "vault"):
        node.trace(name, True)
        node.keep(name, 10)
        node.call(name, {"password": SECRET})
        with pytest.raises(CallError):
            node.call(name, {"password": SECRET, "crash": True})
        node.replace_state(name, {"password": SECRET})
        node.suspend(name)
        node.cast(name, {"password": SECRET})
    assert SECRET not in str(Timeline(node, str).history(last=99))
    data, facts = bytes_of_past(node)
    assert SECRET.encode() not in file.body_of(data, "x")
    assert facts.texts == 0
    past = past_in(data, "x", tree)
    assert past.node.get_status("vault").log
    assert past.node.get_state("vault") == {"password": "***"}


@pytest.mark.parametrize("data", [f'{{"password": "{SECRET}"}}', f"no input, but {SECRET}"])
@pytest.mark.parametrize("worker", ["login", "vault"])
def test_bytes_that_wait_hide_what_their_worker_hides(worker: str, data: str) -> None:
    machine = StateMachine(step=login, init=lambda *_: {}, redact=hide, codec="json")
    children = [Worker("login", machine), Worker("vault", Vault, args={"password": SECRET})]
    node = Node(Supervisor("root", children=children), clock=ManualClock(), history=100).start()
    node.cast(worker, data.encode())  # in the queue
    body = file.body_of(bytes_of_past(node)[0], "x")
    node.suspend(worker)
    node.run()  # held
    node.cast(worker, data.encode())
    body += file.body_of(bytes_of_past(node)[0], "x")
    assert SECRET.encode() not in body
    assert SECRET.encode() in data.encode()


# -- values that have no exact form --------------------------------------------------------------


class Odd:
    """A class that cannot be written, nor shown without a fault."""

    def __init__(self) -> None:
        self.held = lambda: None

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_a_value_that_has_no_exact_form_is_kept_as_text_and_counted() -> None:
    machine = StateMachine(step=lambda message, state: (Odd(), Odd()), init=zero)
    node = Node(
        Supervisor("root", children=[Worker("odd", machine)]), clock=ManualClock(), history=100
    ).start()
    node.call_value("odd", b"x", None)
    data, facts = bytes_of_past(node)
    assert facts.texts == 2
    assert "Odd" in str(past_in(data, "x", node.spec).node.at(1).get_state("odd"))


def test_a_run_of_a_saved_past_is_known_by_the_name_of_its_function() -> None:
    def step(message: str, state: int) -> Any:
        return (state, None, [Run("x", aforever)]) if message == "run" else (state + 1, Odd())

    def other(message: str, state: int) -> Any:
        return (state, None, [Run("x", adouble, 1)]) if message == "run" else step(message, state)

    def tree(stepping: Any) -> Any:
        return Supervisor("root", children=[Worker("a", StateMachine(step=stepping, init=zero))])

    node = Node(tree(step), clock=ManualClock(), history=100)
    node._world.outside.runner = None
    node.start()
    for message in ("run", "count"):
        node.send_request("a", message)
    node.run()
    node.cast("a", lambda: None)
    node.run()
    data, _ = bytes_of_past(node)
    found = with_past(past_in(data, "x", tree(step)).node, str).perform("replay", worker="a")
    assert (found["total"], found["same"], found["unknown"]) == (2, 2, 1)
    found = with_past(past_in(data, "x", tree(other)).node, str).perform("replay", worker="a")
    assert (found["same"], found["effects"]) == (1, 1)


# -- bounds --------------------------------------------------------------------------------------


def test_what_is_too_much_loses_its_oldest_records_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = load_tree("trees/kv.yaml")
    node = Node(tree, clock=ManualClock(), history=1000).start()
    for number in range(900):
        node.call("kv2", Store(f"k{number % 7}", number))
    whole = len(file.body_of(bytes_of_past(node)[0], "x"))
    monkeypatch.setattr(file, "MOST_BYTES", whole // 2)
    data, facts = bytes_of_past(node)
    assert facts.forgotten == facts.first > 0
    assert len(data) < whole // 2
    opened = past_in(data, "x", tree).node
    assert opened.first_record() == facts.first
    assert opened.at(facts.first).tree() == node.at(facts.first).tree()
    monkeypatch.setattr(file, "MOST_BYTES", 1000)
    with pytest.raises(StorageError, match="cannot save the past of root"):
        bytes_of_past(node)


# -- files ---------------------------------------------------------------------------------------


def test_a_file_is_its_owners_alone_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    os.umask(before := os.umask(0))
    path = tmp_path / "x.past"
    path.write_bytes(b"old")
    path.chmod(0o666)
    file.write_past(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]
    os.umask(before)


@pytest.mark.parametrize("at", range(0, 100, 3))
def test_each_byte_that_is_another_is_found(at: int) -> None:
    data = bytearray(kv_bytes())
    data[at * len(data) // 100] ^= 0x41
    with pytest.raises(StorageError, match=r"kv\.past"):
        past_in(bytes(data), "kv.past")


@pytest.mark.parametrize("left", [0, 1, 8, 20, 49, 50, 51, 1000, -1])
def test_a_file_that_is_cut_off_is_found(left: int) -> None:
    with pytest.raises(StorageError, match=r"kv\.past is (cut off|no saved past)"):
        past_in(kv_bytes()[:left], "kv.past")


def resealed(data: bytes, change: Callable[[Any], object]) -> bytes:
    """The bytes of a file whose body somebody has changed."""
    body = msgspec.msgpack.decode(file.body_of(data, "x"))
    change(body)
    return file.sealed_body(msgspec.msgpack.encode(body))


def test_a_newer_format_and_another_layout_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = kv_bytes()
    other = resealed(data, lambda body: body["facts"].update(layout="else", ssm="9.9"))
    with pytest.raises(StorageError, match=r"saved by ssm 9\.9, whose records are laid out"):
        past_in(other, "kv.past")
    monkeypatch.setattr(file, "FORMAT", 2)
    newer = file.sealed_body(b"")
    monkeypatch.undo()
    with pytest.raises(StorageError, match="of format 2, and this ssm reads format 1"):
        past_in(newer, "kv.past")


def test_nodes_that_do_not_fit_together_are_damage_and_no_defect() -> None:
    data = kv_bytes()
    chance = Random(5)
    for _ in range(150):

        def change(body: Any) -> None:
            nodes = body["nodes"]
            index = chance.randrange(len(nodes))
            nodes[index] = chance.choice(
                [[], 5, [-99], [10**6], [0], [2, 1], [-1], [-4, "x"], nodes[index - 1], None]
            )

        try:
            past_in(resealed(data, change), "kv.past").node.tree()
        except StorageDamaged as error:
            assert "kv.past is damaged" in str(error)  # noqa: PT017 - others do not matter
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error


def test_a_body_that_swells_is_refused() -> None:
    packed = zlib.compress(b"\0" * (file.MOST_BYTES + 10))
    assert len(packed) < 100_000
    with pytest.raises(StorageError, match="holds more than 64 MiB"):
        file.body_of(file.sealed_body(b"\0" * (file.MOST_BYTES + 10)), "x")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    huge = tmp_path / "huge"
    with huge.open("wb") as made:
        made.truncate(file.MOST_BYTES + 1)
    for path, why in (
        (tmp_path, "is no file"), (tmp_path / "fifo", "is no file"), (tmp_path / "no", "cannot"),
        (huge, "bytes; a saved past has"), (Path("/dev/null"), "is no file"),
    ):  # fmt: skip
        with pytest.raises(CommandError, match=why):
            file.read_past(path)
    for path, why in ((tmp_path, "is no file"), (tmp_path / "fifo", "is no file")):
        with pytest.raises(StorageError, match=why):
            file.write_past(path, b"x")
    with pytest.raises(StorageError, match="No such file"):
        file.write_past(tmp_path / "no" / "x.past", b"x")


def test_a_full_disk_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.past"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"x\.past: File too large"):
            file.write_past(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


class Bed(Enum):
    SINGLE = 1


def test_a_key_that_is_a_member_of_an_enum_is_no_other_key_in_a_file() -> None:
    def step(message: str, state: dict[Any, int]) -> tuple[Any, str]:
        key = {"member": Bed.SINGLE, "number": 1, "text": "1"}[message]
        return {**state, key: state.get(key, 0) + 1}, "Ok"

    machine = StateMachine(step=step, init=lambda *_: {}, state=dict[Any, int])
    with Node(
        Supervisor("root", children=[Worker("w", machine)]), clock=ManualClock(), history=100
    ) as node:
        for message in ("member", "number", "text", "member"):
            node.call("w", message)
        data, _ = bytes_of_past(node)
    opened = past_in(data, "x.past", None).node
    assert opened.get_state("w") == {"SINGLE": 2, 1: 1, "1": 1}
    blame = Timeline(opened, str).blame("w", "[1]")["records"]
    assert [one["record"] for one in blame] == [2]
