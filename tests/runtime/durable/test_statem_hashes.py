"""The hash of a `Statem` is taken of each run of events that wait once, and of every record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    KeepState,
    KeepStateAndData,
    MemoryStore,
    Next,
    Node,
    Postpone,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.state_loop import InState, put_behind
from ssm_cli.behaviour.statem import Statem
from ssm_cli.behaviour.transitions import StateEvent
from ssm_cli.codec.build import codec_for
from ssm_cli.codec.classes import Classes
from ssm_cli.codec.exact import canonical
from ssm_cli.codec.renames import Names, Renames
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.runtime.durable.records import CHAIN_BYTES, Batch, Input
from ssm_cli.runtime.durable.values import EXACT_HASH, Values, digest
from ssm_cli.runtime.durable.waiting import RUNS_HASH, is_fixed


class Door(Statem):
    """Postpones all but ticks while it is closed."""

    callback_mode = "handle_event_function"

    def init(self, _name: str, _args: Any) -> Next:
        return Next("closed", 0)

    def handle_event(self, event: StateEvent, state: Any, data: Any) -> Any:
        if event.content == "open":
            return Next("open", data)
        if event.content == "tick" or state == "open":
            return KeepState(data + 1)
        return KeepStateAndData([Postpone()])


TREE = Supervisor("root", children=[Worker("door", Door, persist="journal")])


@dataclass(frozen=True)
class Fixed:
    part: Any


@dataclass
class Open:
    part: Any


class Sealed(msgspec.Struct, frozen=True):
    part: Any


def values() -> Values:
    return Values("door", Door(), codec_for("json", None, None))


def closed(count: int, content: Any = "please") -> InState:
    waiting: Any = ()
    for number in range(count):
        waiting = put_behind(waiting, StateEvent("cast", (content, number)))
    return InState("closed", 0, waiting)


def hash_of_the_whole(state: InState) -> bytes:
    return EXACT_HASH + digest(canonical(state, Classes())[0])


def told(node: Node, words: list[str], served: int) -> None:
    """Tell the door so, until it has taken in so many events."""
    for word in words:
        node.cast("door", word)
    while node.get_state("door").data < served:
        node.run()


def stepped_again(store: MemoryStore) -> Recovered:
    return Recovered(store, TREE, 1, effects=True)


def inputs(store: MemoryStore) -> list[Input]:
    batches = [msgspec.msgpack.decode(data[CHAIN_BYTES:], type=Batch) for _, data in store.read(0)]
    return [record for batch in batches for record in batch.records if type(record) is Input]


def test_events_that_wait_are_hashed_once() -> None:
    known, at = values(), closed(1000)
    _, first = known.hash(at)
    _, again = known.hash(msgspec.structs.replace(at, data=1))
    assert again < first / 50
    one_more = put_behind(at.postponed, StateEvent("cast", "please"))
    _, behind = known.hash(msgspec.structs.replace(at, postponed=one_more))
    assert behind < first / 10


def test_what_is_hashed_bit_by_bit_has_the_hash_of_the_whole() -> None:
    known = values()
    for count in (0, 1, 2, 3, 64, 1000):
        at = closed(count)
        known.hash(at)
        later = msgspec.structs.replace(at, data=5)
        taken = known.hash(later)[0]
        assert values().hash(later)[0] == taken
        back = values().revive(values().dump(later), values().code)
        assert values().hash(back)[0] == taken
        assert values().has_hash(back, taken)
        assert not values().has_hash(closed(count + 1), taken)


def test_nearly_all_records_of_a_statem_with_many_events_that_wait_have_a_hash() -> None:
    store = MemoryStore()
    with Node(TREE, store=store) as node:
        for number in range(500):
            node.cast("door", ("please", number))
            node.cast("door", "tick")
            node.run()
        hashes = [record.state_hash for record in inputs(store)][-1000:]
        assert hashes.count(b"") < 100


def test_all_of_it_is_stepped_again_to_the_same_hashes() -> None:
    store = MemoryStore()
    with Node(TREE, store=store) as node:
        told(node, [*map(str, range(70)), "tick", "open", "tick", *map(str, range(9))], 81)
        assert stepped_again(store).troubles == {}
        state = node.get_state("door")
    with Node(TREE, store=store) as node:
        assert node.get_state("door") == state == ("open", 81)


@pytest.mark.parametrize("content", [["a"], Open("a"), Fixed(["a"]), ("a", Sealed(["a"]))])
def test_events_that_can_be_changed_are_hashed_each_time(content: Any) -> None:
    known, at = values(), closed(5, content)
    first = known.hash(at)
    assert known.hash(at) == first
    held: Any = content
    while not isinstance(held, list | Open):
        held = held.part if isinstance(held, Fixed | Sealed) else held[-1]
    if isinstance(held, Open):
        held.part = "b"
    else:
        held.append("b")
    assert known.hash(at)[0] != first[0]
    assert known.hash(at)[0] == values().hash(at)[0]


@pytest.mark.parametrize("content", ["a", ("a", 1), Fixed("a"), Sealed(("a", None)), b"a", None])
def test_events_that_cannot_be_changed_are_known(content: Any) -> None:
    assert is_fixed(StateEvent("cast", content))


def test_a_hash_of_the_whole_that_an_older_ssm_has_taken_is_known_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = closed(100)
    assert values().has_hash(at, hash_of_the_whole(at))
    assert not values().has_hash(closed(99), hash_of_the_whole(at))
    store = MemoryStore()
    with monkeypatch.context() as older:
        older.setattr(Values, "hash", lambda _, state: (hash_of_the_whole(state), 1))
        older.setattr("ssm_cli.runtime.durable.records.FORMAT", 4)
        with Node(TREE, store=store) as node:
            told(node, [*map(str, range(70)), "tick", "open"], 71)
            assert {record.state_hash[:1] for record in inputs(store)} == {EXACT_HASH}
            found = [*store.read(0)]
    left = MemoryStore()
    for number, entry in found:
        left.append(number, entry, lambda _: None)
    assert stepped_again(left).troubles == {}
    with Node(TREE, store=left) as node:
        assert node.get_state("door") == ("open", 71)


def test_an_event_that_cannot_be_kept_is_named() -> None:
    at = closed(3, content={})
    broken = InState("closed", 0, put_behind(at.postponed, StateEvent("cast", object())))
    with pytest.raises(Exception, match=r"state\.postponed\[\d\].*\.content"):
        values().hash(broken)


def test_classes_that_have_another_name_now_have_the_hash_of_then() -> None:
    at, now = closed(9, Fixed("a")), f"{__name__}:Fixed"
    old = f"{__name__}:Was"
    then = RUNS_HASH + digest(values()._runs.canonical(at, then=Names([(old, now)]))[0])
    renamed = Values("door", Door(), codec_for("json", None, None), Renames([(9, old, now)]))
    assert renamed.has_hash(at, renamed.hash(at)[0], 10)
    assert renamed.has_hash(at, then, 3)
    assert not renamed.has_hash(at, then, 10)
