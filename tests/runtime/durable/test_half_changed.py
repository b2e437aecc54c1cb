"""After a crash a durable worker goes on with what was recorded, not with what was half done."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    GenServer,
    ManualClock,
    MemoryStore,
    Node,
    NoProc,
    Ok,
    Reply,
    StateMachine,
    Supervisor,
    Worker,
)

KEEPING = ["saved", "last_good"]
LARGE = ["x" * 1000] * 100  # of which hashes are not taken for each record


class Sum(msgspec.Struct, frozen=True):
    n: int = 0


class Put(msgspec.Struct, frozen=True):
    n: int


class Book(GenServer):
    """Changes its state in place, and may raise then."""

    state: ClassVar[Any] = list[Any]

    def init(self, _name: str, args: Any) -> Ok:
        return Ok(list(args.get("begin", ())))

    def handle_call(self, message: Any, _caller: Any, state: list[Any]) -> Any:
        if message != "look":
            state.append(message)
        if message == "bad":
            raise ValueError(message)
        return Reply(len(state), state)


def node_of(store: MemoryStore, start: Any, args: Any = None, **options: Any) -> Node:
    given = {"persist": "journal", "on_crash": "saved", **options}
    child = Worker("a", start, args=args or {}, **given)
    tree = Supervisor("root", children=[child], intensity=99, snapshot_every=5)
    return Node(tree, store=store, clock=ManualClock()).start()


def crash(node: Node, message: Any = "bad") -> None:
    with pytest.raises(CalleeCrashed):
        node.call("a", message)


@pytest.mark.parametrize("on_crash", KEEPING)
@pytest.mark.parametrize("begin", [[], LARGE], ids=["small", "large"])
@pytest.mark.parametrize("saved", [0, 7], ids=["behind its start", "behind a saved state"])
def test_a_change_that_was_half_done_is_not_there_in_the_next_life(
    on_crash: str, begin: list[Any], saved: int
) -> None:
    store = MemoryStore()
    node = node_of(store, Book, {"begin": begin}, on_crash=on_crash)
    for number in range(saved):
        node.call("a", number)
    state = [*begin, *range(saved)]
    crash(node)
    assert node.get_state("a") == state
    node.call("a", "good")
    crash(node)
    crash(node)
    assert node.get_state("a") == [*state, "good"]
    again = node_of(store, Book, {"begin": begin}, on_crash=on_crash)
    assert again.get_state("a") == [*state, "good"]


def test_nor_is_one_that_waits_to_be_written() -> None:
    store = MemoryStore()
    node = node_of(store, Book)
    store.late = True
    pendings = [node.send_request("a", message) for message in ("one", "bad", "two")]
    node.run()
    store.land()
    node.run()
    store.late = False
    assert pendings[2].result() == 2
    assert node.get_state("a") == ["one", "two"]
    assert node_of(store, Book).get_state("a") == ["one", "two"]


def reads(message: Any, state: list[int]) -> tuple[list[int], str]:
    if isinstance(message, Put):
        return [*state, message.n], "ok"
    state.sort(reverse=True)
    return state, str(1 // message.n)


@pytest.mark.parametrize("on_crash", KEEPING)
def test_nor_is_what_an_input_that_only_reads_has_changed_before_it_raised(on_crash: str) -> None:
    store = MemoryStore()
    machine = StateMachine(step=reads, init=lambda _n, _a: [], inputs=Sum | Put, reads=Sum)
    node = node_of(store, machine, on_crash=on_crash)
    for n in (1, 3, 2):
        node.call("a", Put(n))
    crash(node, Sum(0))
    assert node.get_state("a") == [1, 3, 2]
    node.call("a", Put(9))
    assert node_of(store, machine, on_crash=on_crash).get_state("a") == [1, 3, 2, 9]


def test_a_state_that_is_saved_now_and_then_is_the_saved_one_where_it_was_half_changed() -> None:
    store = MemoryStore()
    node = node_of(store, Book, persist="snapshot", on_crash="last_good", save_inputs=1)
    node.call("a", "good")
    crash(node)
    assert node.get_state("a") == ["good"]


class Dice(Book):
    """Comes to something else each time."""

    thrown: ClassVar[int] = 0

    def handle_call(self, message: Any, caller: Any, state: list[Any]) -> Any:
        Dice.thrown += 1
        return super().handle_call(message if message == "bad" else Dice.thrown, caller, state)


def test_where_the_records_do_not_come_to_it_the_worker_is_down_and_all_is_kept() -> None:
    store = MemoryStore()
    node = node_of(store, Dice)
    node.call("a", "x")
    crash(node)
    with pytest.raises(NoProc, match=r"does not start \(differs\)"):
        node.call("a", "x")
    node.stop()
    Dice.thrown = 0
    again = node_of(store, Dice)
    assert again.get_state("a") == [1]
