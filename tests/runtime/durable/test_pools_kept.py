"""Durable pools: their children are there again after a start, each with what it was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    CalleeStopped,
    FolderStore,
    ManualClock,
    MemoryStore,
    Node,
    OnStorageError,
    StateMachine,
    StorageError,
    Supervisor,
    SupervisorError,
    Worker,
)
from ssm_cli.behaviour.effects import Cast, Exit
from ssm_cli.behaviour.reasons import Normal
from ssm_cli.commands.handlers import all_run
from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.durable import pools
from ssm_cli.storage.contents import contents
from ssm_cli.storage.repair import Repairing
from tests.runtime.durable import run_work


class Add(msgspec.Struct, frozen=True):
    n: int


class Get(msgspec.Struct, frozen=True):
    pass


class Send(msgspec.Struct, frozen=True):
    to: str
    n: int


class Boom(msgspec.Struct, frozen=True):
    pass


class End(msgspec.Struct, frozen=True):
    pass


State = tuple[str, int, tuple[int, ...]]


def init(name: str, args: Mapping[str, Any]) -> State:
    """Begin with what it was given; a size that is no number is no size."""
    return name, 0 + args.get("size", 0), ()


def step(message: Add | Get | Send | Boom | End, state: State) -> Any:
    name, size, seen = state
    match message:
        case Add(n):
            return (name, size, (*seen, n)), len(seen) + 1
        case Send(to, n):
            return state, None, [Cast(to, Add(n))]
        case Get():
            return state, state
        case End():
            return state, None, [Exit(Normal())]
        case Boom():
            raise ValueError("as asked")


MACHINE = StateMachine(step=step, init=init, inputs=Add | Get | Send | Boom | End)


def pool(*, most: int | None = None, start: Any = MACHINE, **options: Any) -> Any:
    options.setdefault("persist", "journal")
    template = Worker("t", start, **options)
    return Supervisor("pool", "simple_one_for_one", [template], max_children=most, intensity=5)


def tree(*children: Any) -> Any:
    return Supervisor("root", children=children or [pool()], intensity=5)


def started(store: Any, spec: Any = None) -> Node:
    """A node over a store; one that is not stopped is as good as killed."""
    return Node(spec or tree(), clock=ManualClock(), store=store).start()


@contextmanager
def running(store: Any, spec: Any = None) -> Iterator[Node]:
    node = started(store, spec)
    yield node
    node.stop()


def labels(node: Node, of: str = "pool") -> list[str]:
    return [c.id.removeprefix(f"{of}:") for c in reversed(node.which_children(of))]


def told_down(node: Node) -> dict[str, str]:
    return {r.id: r.detail["reason"] for r in node.reports() if r.event == "down"}


ENDS = pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "killed"])


@ENDS
@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_children_come_back_with_their_labels_arguments_and_states(
    persist: str, stopped: bool
) -> None:
    store, spec = MemoryStore(), tree(pool(persist=persist, save_inputs=None))
    for life in range(3):
        node = started(store, spec)
        if not life:
            for label, size in (("b", 2), ("a", 1)):
                node.start_child("pool", label, {"size": size})
            node.start_child("pool", "c")
        assert labels(node) == ["b", "a", "c"]
        assert [node.call(f"pool:{x}", Get())[:2] for x in "abc"] == [("a", 1), ("b", 2), ("c", 0)]
        if persist == "journal" or stopped:
            assert node.call("pool:a", Add(life)) == life + 1
        if stopped:
            node.stop()


@ENDS
@pytest.mark.parametrize("how", ["terminate", "stop", "end", "crash"])
def test_who_was_ended_for_good_does_not(how: str, stopped: bool) -> None:
    store, spec = MemoryStore(), tree(pool(restart="temporary"))
    node = started(store, spec)
    for label in "abc":
        node.start_child("pool", label)
    match how:
        case "terminate":
            node.terminate_child("pool", "b")
        case "stop":
            node.stop_process("pool:b")
        case "end":
            node.cast("pool:b", End())
        case _:
            with pytest.raises(CalleeCrashed):
                node.call("pool:b", Boom())
    node.run()
    assert labels(node) == ["a", "c"]
    if stopped:
        node.stop()
    again = started(store, spec)
    assert labels(again) == ["a", "c"]
    again.start_child("pool", "b")
    assert labels(started(store, spec)) == ["a", "c", "b"]


def test_they_come_back_with_their_pool_in_one_process_and_in_a_fork_of_it() -> None:
    node = started(MemoryStore())
    node.start_child("pool", "a", {"size": 4})
    node.call("pool:a", Add(1))
    for one in (node, node.fork()):
        one.terminate_child("root", "pool")
        one.restart_child("root", "pool")
        assert one.call("pool:a", Get())[:2] == ("a", 4)
    assert node.call("pool:a", Get())[2] == (1,)


def test_one_that_its_pool_gave_up_on_is_there_at_the_next_start() -> None:
    store = MemoryStore()
    node = started(store)
    node.start_child("pool", "a")
    node.start_child("pool", "b")
    for _ in range(6):
        node.kill("pool:a")
        node.run()
    assert [r.id for r in node.reports() if r.event == "gave_up"] == ["pool"]
    assert labels(node) == labels(started(store)) == ["a", "b"]


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_a_child_that_cannot_be_written_is_refused_and_not_there(persist: str) -> None:
    store, spec = MemoryStore(), tree(pool(persist=persist))
    spec = msgspec.structs.replace(spec, on_storage_error=OnStorageError.REFUSE)
    node = started(store, spec)
    store.failing = StorageError("the disk is full")
    for label in "ab":
        with pytest.raises(
            (StorageError, CalleeStopped), match=r"cannot be written|not be written"
        ):
            node.start_child("pool", label)
        node.run()
        assert labels(node) == []
    assert labels(started(store, spec)) == []
    store.failing = None
    node.start_child("pool", "a")
    assert labels(node) == labels(started(store, spec)) == ["a"]


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_who_ends_a_child_that_cannot_be_written_hears_what_was_done(persist: str) -> None:
    store, spec = MemoryStore(), tree(pool(persist=persist))
    spec = msgspec.structs.replace(spec, on_storage_error=OnStorageError.REFUSE)
    node = started(store, spec)
    node.start_child("pool", "a")
    store.failing = StorageError("the disk is full")
    with pytest.raises(CalleeStopped, match="the child is ended, and that could not be written"):
        node.terminate_child("pool", "pool:a")
    assert labels(node) == []
    assert labels(started(store, spec)) == ["a"]
    store.failing = None
    node.start_child("pool", "b")
    assert labels(started(store, spec)) == ["b"]


@pytest.mark.parametrize("of", ["put", "append"])
def test_what_is_told_of_a_child_is_there_after_a_kill_whichever_write_fails(
    monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    store, spec = MemoryStore(), tree(pool(persist="journal"))
    spec = msgspec.structs.replace(spec, on_storage_error=OnStorageError.REFUSE)
    node = started(store, spec)
    node.start_child("pool", "a")

    def full(*args: Any) -> None:
        args[-1](StorageError("the disk is full"))

    monkeypatch.setattr(store, of, full)
    with pytest.raises(CalleeStopped, match="the child was started could not be written"):
        node.start_child("pool", "b")
    node.run()
    assert labels(node) == ["a"]
    left = []
    try:
        node.terminate_child("pool", "pool:a")
    except CalleeStopped:
        left = ["a"]
    node.run()
    monkeypatch.undo()
    assert left == (["a"] if of == "put" else [])
    assert labels(started(store, spec)) == left


def test_who_asks_hears_of_a_child_once_it_is_written() -> None:
    store = MemoryStore()
    node = started(store)
    store.late = True
    waits = node.request("pool", "start_child", "a")
    node.run()
    assert not waits.done
    store.land()
    assert waits.result() == "pool:a"


def test_what_one_has_sent_to_another_is_served_once_also_by_the_next_process() -> None:
    """By its name, or its path: as a node would have found it. A label alone is nobody."""
    parts = Supervisor("parts", children=[Worker("p", MACHINE, persist="journal")], partitions=3)
    store, spec = MemoryStore(), tree(pool(), parts)
    for life in range(2):
        node = started(store, spec)
        if not life:
            node.start_child("pool", "a")
            node.start_child("pool", "b")
            node.suspend("pool:b")
            node.suspend("p-1")
            for n, to in enumerate(("pool:b", "b", "root/pool:b", "root/pool/pool:b", "parts:bob")):
                node.call("pool:a", Send(to, n))
            continue
        node.run()
        assert node.call("pool:b", Get())[2] == (0, 2, 3)
        assert node.call("parts:bob", Get())[2] == (4,)


def test_its_runs_are_begun_again(tmp_path: Path) -> None:
    store, place = MemoryStore(), tmp_path / "noted"
    spec = tree(pool(start=run_work.machine))
    for life in range(2):
        node = started(store, spec)
        if not life:
            node.start_child("pool", "a")
            node.call("pool:a", run_work.Ask("x", str(place), waits=True))
        node.run()
        assert place.read_text().split() == ["x"] * (life + 1)
        node._world.outside.runner.close()


def test_a_folder_keeps_them_as_well(tmp_path: Path) -> None:
    for life in range(2):
        store = FolderStore(tmp_path / "data")
        node = started(store)
        if not life:
            node.start_child("pool", "a", {"size": 7})
        assert node.call("pool:a", Get())[1] == 7
        node.stop()
        store.close()


def test_supervisors_with_durable_workers_come_back_too_and_the_pools_below_them() -> None:
    inner = Supervisor("inner", "simple_one_for_one", [Worker("t", MACHINE, persist="journal")])
    desk = Supervisor("desk", children=[Worker("w", MACHINE, persist="journal"), inner])
    spec = tree(Supervisor("pool", "simple_one_for_one", [desk]))
    store = MemoryStore()
    for life in range(3):
        node = started(store, spec)
        if not life:
            node.start_child("pool", "a")
            node.start_child("pool:a/inner", "x", {"size": 3})
        assert node.call("pool:a/w", Add(life)) == life + 1
        assert node.call("pool:a/inner:x", Add(life)) == life + 1
        assert node.call("pool:a/inner:x", Get())[1] == 3


# -- what has changed meanwhile ------------------------------------------------------------------


def kept(**sizes: Any) -> MemoryStore:
    """What a tree leaves behind whose pool had children of these sizes."""
    store = MemoryStore()
    with running(store) as node:
        for label, size in sizes.items():
            node.start_child("pool", label, {"size": size})
            node.call(f"pool:{label}", Add(size))
    return store


def test_a_template_with_other_arguments_and_options_is_that_of_the_children_that_come_back() -> (
    None
):
    def restore(name: str, args: Mapping[str, Any], old: State) -> State:
        return name, args["size"] * args["times"], old[2]

    machine = StateMachine(step=step, init=init, restore=restore, inputs=MACHINE.inputs)
    node = started(kept(a=1, b=2), tree(pool(start=machine, args={"size": 9, "times": 100})))
    assert node.call("pool:b", Get()) == ("b", 200, (2,))


def ready(node: Node) -> bool:
    kept = node.readiness()
    assert [*kept.refresh()] == []
    return kept.is_ready()


def test_arguments_that_do_not_fit_any_more_keep_nobody_else_down() -> None:
    def restore(name: str, args: Mapping[str, Any], old: State) -> State:
        if args["size"] == 1:
            raise KeyError("no such size any more")
        return old

    machine = StateMachine(step=step, init=init, restore=restore, inputs=MACHINE.inputs)
    store = kept(a=1, b=2)
    node = started(store, tree(pool(start=machine), Worker("w", MACHINE)))
    node.run(10)
    assert told_down(node)["pool:a"] == "restore"
    assert node.call("pool:b", Get()) == ("b", 2, (2,))
    assert labels(node) == ["a", "b"]
    assert (ready(node), all_run(node.tree(), node)) == (False, False)
    node.stop()
    assert started(store).call("pool:a", Get()) == ("a", 1, (1,))


def test_one_whose_init_fails_is_down_and_is_started_by_hand() -> None:
    def fussy(name: str, args: Mapping[str, Any]) -> State:
        if fails:
            raise OSError("not now")
        return init(name, args)

    fails, store = False, MemoryStore()
    spec = tree(pool(start=StateMachine(step=step, init=fussy, inputs=MACHINE.inputs)))
    node = started(store, spec)
    for label in "ab":
        node.start_child("pool", label)
    node.terminate_child("root", "pool")
    store2, fails = MemoryStore(), True
    for key in store.keys("child/"):
        store2.put({key: store.get(key)}, lambda _: None)
    again = started(store2, spec)
    assert told_down(again) == {"pool:a": "init", "pool:b": "init"}
    with pytest.raises(SupervisorError, match="failed to start"):
        again.perform("restart", "pool:a")
    fails = False
    assert again.perform("restart", "pool:a") == "pool:a"
    assert [(c.id, c.state) for c in again.which_children("pool")] == [
        ("pool:b", "undefined"),
        ("pool:a", "running"),
    ]
    again.terminate_child("pool", "b")
    assert labels(started(store2, spec)) == ["a"]


def test_of_more_than_may_be_the_first_run_and_the_others_wait_for_room() -> None:
    store = kept(a=1, b=2, c=3)
    node = started(store, tree(pool(most=2)))
    assert told_down(node) == {"pool:c": "max_children"}
    assert node.call("pool:b", Get())[1] == 2
    for verb, what in (("restart", "pool:c"), ("start_child", "pool")):
        with pytest.raises(SupervisorError, match="max_children"):
            node.perform(verb, what, *(["d"] if verb == "start_child" else []))
    node.terminate_child("pool", "a")
    node.perform("restart", "pool:c")
    assert node.call("pool:c", Get()) == ("c", 3, (3,))
    assert labels(started(store, tree(pool(most=2)))) == ["b", "c"]


@pytest.mark.parametrize(
    "meanwhile",
    [tree(Worker("w", MACHINE)), tree(pool(persist="none")), tree(Supervisor("pool", children=[]))],
    ids=["gone", "not durable", "no pool"],
)
def test_a_pool_that_is_gone_meanwhile_keeps_nobody_down_and_loses_nobody(meanwhile: Any) -> None:
    store = kept(a=1)
    for _ in range(2):
        with running(store, meanwhile) as node:
            assert "pool:a" not in node.names()
    assert started(store).call("pool:a", Get()) == ("a", 1, (1,))


def test_code_that_has_changed_keeps_down_only_who_it_does_not_fit() -> None:
    store = kept(a=1, b=2)
    other = StateMachine(step=lambda message, state: (state, None), inputs=MACHINE.inputs)
    node = started(store, tree(pool(start=other), Worker("w", MACHINE)))
    assert {*told_down(node)} == {"pool:a", "pool:b"}
    assert node.call("w", Add(1)) == 1
    node.stop()
    assert started(store).call("pool:b", Get()) == ("b", 2, (2,))


def test_a_state_that_an_older_ssm_has_kept_under_the_label_is_asked_about() -> None:
    store = MemoryStore()
    spec = tree(pool(), Supervisor("dyn", children=[]))
    with running(store, spec) as node:
        node.start_child("dyn", Worker("a", MACHINE, persist="journal"))
        node.call("a", Add(1))
    node = started(store, spec)
    with pytest.raises(Unrecovered, match="renamed"):
        node.start_child("pool", "a")
    assert told_down(node) == {"pool:a": "renamed"}


# -- bounds --------------------------------------------------------------------------------------


class Odd:
    """What no store can bring back."""


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"x": Odd()}, r"root/pool/\(child\).args: args\['x'\] cannot outlive the process"),
        ({"x": lambda: 0}, "cannot outlive the process"),
        ({"x": "y" * pools.MOST_ARGS_BYTES}, "expected at most 65536"),
    ],
)
def test_arguments_that_cannot_be_kept_are_refused_before_anything_starts(
    args: dict[str, Any], says: str
) -> None:
    node = started(MemoryStore())
    with pytest.raises(SupervisorError, match=says) as refused:
        node.start_child("pool", "a", args)
    assert refused.value.term == {"invalid_child_spec": "a"}
    assert labels(node) == []


def test_a_durable_pool_has_a_bound_where_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssm_cli.runtime.performer.members.MOST_CHILDREN", 2)
    node = started(MemoryStore(), tree(pool(), Supervisor("free", "simple_one_for_one",
                                                         [Worker("f", MACHINE)])))  # fmt: skip
    for label in "abc":
        node.start_child("free", label)
    for label in "ab":
        node.start_child("pool", label)
    with pytest.raises(SupervisorError, match="it has 2 children, which is its max_children"):
        node.start_child("pool", "c")


def test_one_is_taken_over_into_another_pool_with_its_state_and_its_arguments() -> None:
    store = kept(a=1, b=2)
    repairing = Repairing(store, "pool:a", None, 0.0)
    repairing.rename("pool:a", "other:z")
    repairing.carry_out()
    other = msgspec.structs.replace(pool(), id="other")
    node = started(store, tree(pool(), other))
    assert (labels(node), labels(node, "other")) == (["b"], ["z"])
    assert node.call("other:z", Get()) == ("a", 1, (1,))


def test_a_child_is_repaired_by_the_code_of_its_template() -> None:
    store = kept(a=1)
    repairing = Repairing(store, "pool:a", tree(), 0.0)
    repairing.state('["z", 7, [1, 2]]')
    repairing.carry_out()
    assert started(store).call("pool:a", Get()) == ("z", 7, (1, 2))


def test_what_is_in_pools_is_listed_with_what_is_stored() -> None:
    assert [(one.pool, one.label) for one in contents(kept(a=1, b=2)).children] == [
        ("pool", "a"),
        ("pool", "b"),
    ]


def test_the_plan_says_that_children_whose_template_is_kept_no_more_do_not_come_back() -> None:
    store, plain = MemoryStore(), tree(pool(persist="none"))
    with running(store) as node:
        node.start_child("pool", "idle")
        node.start_child("pool", "a", {"size": 1})
        node.call("pool:a", Add(1))
        change, stay = node.plan(plain).steps
        assert (change.act, stay.act) == ("change", "nothing")
        assert change.why == (
            "template t: persist journal -> none; pool:idle, pool:a begin by `init` at their next "
            "start, and do not come back with the tree; what is stored of them stays where it is"
        )
        node.apply(plain)
        assert node.call("pool:a", Get()) == ("a", 1, (1,))
        node.perform("restart", "pool:a")
        assert node.call("pool:a", Get()) == ("a", 1, ())
        assert not node.plan(plain).todo
    with running(store, plain) as node:
        assert labels(node) == []
    assert [one for one in store.keys("state/") if "pool:a" in one]
