"""What a durable worker does to others, it does once its input is written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    CalleeStopped,
    DecodeError,
    Denied,
    Fenced,
    MemoryStore,
    QueueFull,
    StorageError,
    SysError,
)
from ssm_cli.errors import StartFailed
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.runtime.durable.keeper import MOST_BYTES, MOST_RECORDS
from ssm_cli.runtime.durable.ports import Done
from tests.runtime.durable.parts import (
    Add,
    Bad,
    Book,
    Boom,
    Close,
    Early,
    End,
    Free,
    Get,
    GoOn,
    Keep,
    Later,
    Seen,
    Send,
    World,
    failing,
    log,
    tree,
    worker,
)


def late(*children: Any, **flags: Any) -> World:
    """A world whose store tells late, from now on."""
    world = World(tree(*children, **flags))
    world.store.late = True
    return world


def test_a_reply_leaves_only_once_its_input_is_written() -> None:
    world = late(worker("a"))
    [pending] = world.ask("a", Add(1))
    world.node.run()
    assert not pending.done
    assert world.seen() == [1]
    world.store.land()
    assert pending.result() == Seen([1])


def test_the_answer_of_a_crash_waits_for_its_record_too() -> None:
    world = late(worker("a"))
    first, crash = world.ask("a", Add(1), Boom())
    world.node.run()
    assert (first.done, crash.done) == (False, False)
    world.store.land()
    assert first.done
    with pytest.raises(CalleeCrashed, match="boom 0"):
        crash.result()


def test_all_that_waits_goes_into_one_entry() -> None:
    world = World(tree(worker("a"), worker("b")))
    before = world.store.last()
    asked = [*world.ask("a", *map(Add, range(20))), *world.ask("b", *map(Add, range(20)))]
    world.node.run()
    assert all(pending.done for pending in asked)
    assert world.store.last() == before + 1


def test_what_comes_while_an_entry_is_written_goes_into_the_next() -> None:
    world = late(worker("a"))
    before = world.store.last()
    [first] = world.ask("a", Add(1))
    world.node.run()
    second = world.ask("a", Add(2), Add(3))
    world.node.run()
    assert world.store.last() == before + 1
    world.store.land()
    world.node.run()
    assert first.done
    assert world.store.last() == before + 2
    assert not any(pending.done for pending in second)
    world.store.land()
    assert [pending.result() for pending in second] == [Seen([1, 2]), Seen([1, 2, 3])]


def test_effects_leave_once_their_input_is_written() -> None:
    world = late(worker("a"), worker("b", persist="none"))
    world.ask("a", Send("b", 7), Later("k", 10, 8))
    world.node.run(1.0)
    assert world.seen("b") == []
    assert world.seen("a") == []
    world.store.land()
    world.node.run()
    assert world.seen("b") == [7]
    world.node.run(0.02)
    assert world.seen("a") == [8]


@pytest.mark.parametrize(("start", "message"), [(None, End()), (Book, Close())])
def test_an_end_waits_and_what_comes_meanwhile_is_for_the_next_life(
    start: Any, message: Any
) -> None:
    world = late(worker("a") if start is None else worker("a", start))
    ending, after = world.ask("a", message, Add(1))
    world.node.run()
    assert not ending.done
    assert world.events("terminated") == []
    world.store.land()
    world.node.run()
    assert ending.result() == Seen([])
    assert world.events("terminated") == ["terminated a"]
    assert not after.done
    for _ in range(3):
        world.store.land()
        world.node.run()
    assert after.result() == Seen([1])


def test_an_answer_that_comes_later_is_held_as_well() -> None:
    world = late(worker("a"))
    [kept] = world.ask("a", Keep("k"))
    world.node.run()
    world.store.land()
    assert not kept.done
    [free] = world.ask("a", Free("k"))
    world.node.run()
    assert not kept.done
    world.store.land()
    assert (kept.result(), free.result()) == (Seen([]), Seen([]))


def test_a_reply_by_the_caller_itself_is_held_and_counts_before_a_crash() -> None:
    world = late(worker("a", Book))
    early, crash = world.ask("a", Early(1), Early(2, crash=True))
    world.node.run()
    assert (early.done, crash.done) == (False, False)
    world.store.land()
    assert (early.result(), crash.result()) == (Seen([1]), Seen([2]))


def test_a_continue_runs_once_and_before_what_waits() -> None:
    world = World(tree(worker("a", Book)))
    world.ask("a", GoOn(1), Add(2))
    world.node.run()
    assert world.seen() == [1, 2]


# -- bounds ----------------------------------------------------------------------------------------


def test_no_more_is_stepped_than_may_wait_behind_an_entry() -> None:
    world = late(worker("a"))
    world.ask("a", Get())
    world.node.run()
    for _ in range(MOST_RECORDS // 100 + 2):
        with contextlib.suppress(QueueFull):
            for _ in range(100):
                world.node.cast_nowait("a", Get())
        world.node.run()
    waiting = len(world.node._world.queue)
    assert waiting > 0
    assert len(world.node._world.outside.keeper._next.records) < MOST_RECORDS + 100
    world.store.land()
    world.node.run()
    assert len(world.node._world.queue) < waiting


def test_states_are_saved_in_the_end_however_late_the_store_and_however_many_the_inputs() -> None:
    world = late(worker("a"), snapshot_every=10, keep_records=0)
    for n in range(100):
        world.ask("a", Add(n))
        world.node.run()
        if n % 3 == 2:
            world.store.land()
    assert world.node._world.outside.keeper.head_seq > 50
    while world.node._world.queue or world.node._world.outside.keeper.has_work():
        world.store.land()
        world.node.run()
    assert world.seen() == list(range(100))


def test_what_waits_for_the_store_counts_as_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssm_cli.runtime.engine.commit.MOST_EFFECTS", 1200)
    world = late(worker("a", quarantine="never"), worker("b", persist="none"), intensity=1000)
    for _ in range(1300):
        world.node.cast("a", Send("b", 1))
    world.node.run()
    inner = world.node._world
    assert inner.outside.keeper.sending <= 1200
    assert world.events("crashed").count("crashed a") > 0


def test_a_queue_behind_a_store_that_does_not_answer_is_full_in_the_end() -> None:
    world = late(worker("a"))
    world.ask("a", Get())
    world.node.run()
    with pytest.raises(QueueFull):  # noqa: PT012 - which of the many it is, is not the claim
        for _ in range(2 * MOST_RECORDS):
            world.node.cast("a", Get())


def test_large_states_are_spread_over_entries() -> None:
    big = [7] * 200_000
    world = World(tree(*[worker(f"w{n}", args={"begin": big}) for n in range(12)]))
    sizes = [len(entry) for _, entry in world.store.read(0)]
    assert len(sizes) >= 4
    assert max(sizes) < MOST_BYTES + 2 * len(big)


def test_inside_asyncio_a_late_store_wakes_the_node() -> None:
    async def main() -> None:
        world = late(worker("a"), worker("b"))
        loop = asyncio.get_running_loop()

        def land() -> None:
            world.store.land()
            if world.node.running:
                loop.call_soon(land)

        land()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for n in range(300):
                group.create_task(world.node.acall("a", Add(n), None))
            ended = group.create_task(world.node.acall("b", End(), None))
        assert ended.result() == Seen([])
        assert await world.node.acall("b", Add(1), None) == Seen([1])
        assert world.seen("a") == list(range(300))
        world.store.late = False
        world.node.stop()

    asyncio.run(main())


# -- a store that fails ----------------------------------------------------------------------------


def test_by_default_a_tree_that_cannot_write_stops_and_its_callers_are_told() -> None:
    world = World(tree(worker("a"), worker("b", persist="none")))
    world.node.call("a", Add(1))
    failing(world.store)
    pending = world.ask("a", Add(2), Add(3))
    world.node.run()
    for one in pending:
        with pytest.raises(CalleeStopped, match="could not be written, so it does not count"):
            one.result()
    assert not world.node.running
    assert str(world.node.storage_error) == "no room"
    assert world.events("storage_failed", "stopped") == ["storage_failed root", "stopped root"]
    failing(world.store, None)
    world.crash()
    assert world.seen() == [1]


def test_a_single_call_stops_the_tree_at_once() -> None:
    world = World(tree(worker("a")))
    failing(world.store)
    with pytest.raises(CalleeStopped, match="could not be written"):
        world.node.call("a", Add(1))
    assert not world.node.running


def test_where_told_to_it_refuses_and_others_go_on() -> None:
    world = World(tree(worker("a"), worker("b", persist="none"), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    for n in (2, 3):
        with pytest.raises(CalleeStopped, match="safe to send it again"):
            world.node.call("a", Add(n))
        assert world.seen() == [1]
    assert world.node.call("b", Add(5)) == Seen([5])
    failing(world.store, None)
    assert world.node.call("a", Add(4)) == Seen([1, 4])
    assert world.node.storage_error is None
    assert world.events("storage_failed", "storage_restored") == [
        "storage_failed root", "storage_restored root",
    ]  # fmt: skip
    world.crash()
    assert world.seen() == [1, 4]


@pytest.mark.parametrize("on_crash", ["init", "saved", "last_good"])
def test_a_crash_that_could_not_be_written_has_not_happened_to_the_state(on_crash: str) -> None:
    world = World(tree(worker("a", on_crash=on_crash), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    refused = world.ask("a", Add(2), Boom(), Add(3))
    world.node.run()
    for pending in refused:
        with pytest.raises(CalleeStopped, match="does not count"):
            pending.result()
    assert world.seen() == [1]
    failing(world.store, None)
    world.node.call("a", Add(4))
    world.crash()
    assert world.seen() == [1, 4]


def test_a_crash_alone_that_could_not_be_written_has_not_happened_either() -> None:
    world = World(tree(worker("a", on_crash="init"), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    for _ in range(2):
        with pytest.raises(CalleeStopped, match="its state is as before"):
            world.node.call("a", Boom())
        assert world.seen() == [1]
    failing(world.store, None)
    world.crash()
    assert world.seen() == [1]


@pytest.mark.parametrize("unsure", [False, True])
@pytest.mark.parametrize(("start", "message"), [(log, Boom(7)), (Book, Early(1, crash=True))])
def test_a_crash_that_could_not_be_written_counts_as_a_restart_and_its_caller_hears_so(
    start: Any, message: Any, *, unsure: bool
) -> None:
    world = World(tree(worker("a", start), on_storage_error="refuse", intensity=2, period=60))
    world.node.call("a", Add(1))
    failing(world.store)
    world.store.failing.unsure = unsure
    for left in (1, 0):
        with pytest.raises(CalleeStopped, match="the crash counts all the same") as told:
            world.node.call("a", message)
        assert "a crashed: ZeroDivisionError: " in str(told.value)
        assert "safe to send it again" not in str(told.value)
        assert ("not known" in str(told.value)) is unsure
        assert world.node.tree().budget_left == left
        assert world.seen() == [1]
    assert world.events("crashed", "restarting") == ["crashed a", "restarting root"] * 2
    with pytest.raises(CalleeStopped, match="the crash counts all the same"):
        world.node.call("a", message)
    assert world.events("gave_up") == ["gave_up root"], "so it has an end"


def test_calls_beside_a_crash_that_could_not_be_written_may_be_sent_again() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    failing(world.store)
    before, crash, behind = world.ask("a", Add(2), Boom(), Add(3))
    world.node.run()
    assert ["safe to send" in str(one.error) for one in (before, crash, behind)] == [
        True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["refuse", "stop"])
def test_an_input_whose_release_cannot_be_written_stays_in_quarantine(how: str) -> None:
    world = World(tree(worker("a", quarantine=1), on_storage_error=how))
    with pytest.raises(CalleeCrashed):
        world.node.call("a", Boom())
    [refused] = world.node.quarantined()
    failing(world.store)
    with pytest.raises(StorageError, match="input 1 stays in quarantine: no room"):
        world.node.release_input(1)
    assert world.node.quarantined() == [refused]
    failing(world.store, None)
    if how == "refuse":
        with pytest.raises(Denied):
            world.node.call("a", Boom())
    world.crash()
    assert world.node.quarantined() == [refused]
    assert world.node.release_input(1) == refused
    assert world.node.quarantined() == []


def test_entries_behind_one_that_fails_are_taken_back_with_it() -> None:
    world = late(worker("a"), worker("b"), on_storage_error="refuse")
    [first] = world.ask("a", Add(1))
    world.node.run()
    world.store.land()
    failing(world.store)
    second = world.ask("a", Add(2))
    world.node.run()
    third = [*world.ask("a", Add(3)), *world.ask("b", Add(4))]
    world.node.run()
    assert (world.seen("a"), world.seen("b")) == ([1, 2, 3], [4])
    failing(world.store, None)
    world.store.land()
    assert first.done
    for pending in [*second, *third]:
        with pytest.raises(CalleeStopped, match="does not count"):
            pending.result()
    assert (world.seen("a"), world.seen("b")) == ([1], [])
    world.store.late = False
    assert world.node.call("a", Add(5)) == Seen([1, 5])
    assert world.node.call("b", Add(6)) == Seen([6])
    world.crash()
    assert (world.seen("a"), world.seen("b")) == ([1, 5], [6])


def test_an_end_that_could_not_be_written_has_not_happened() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    for pending in world.ask("a", End(), Add(2)):
        world.node.run()
        with pytest.raises(CalleeStopped):
            pending.result()
    assert world.events("terminated") == []
    failing(world.store, None)
    assert world.node.call("a", Add(3)) == Seen([1, 3])


def test_what_a_timer_brought_comes_back_once_it_can_be_written() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    world.node.call("a", Later("k", 10, 7))
    failing(world.store)
    world.node.run(0.02)
    assert world.seen() == []
    failing(world.store, None)
    world.node.call("a", Add(1))
    world.node.run()
    assert world.seen() == [1, 7]
    world.crash()
    assert world.seen() == [1, 7]
    world.node.run(1.0)
    assert world.seen() == [1, 7]


def test_what_was_sent_before_comes_back_once_it_can_be_written() -> None:
    world = late(worker("a"), worker("b"), on_storage_error="refuse")
    world.ask("a", Send("b", 7))
    world.node.run()
    world.store.land()  # sent, and not served
    failing(world.store)
    world.node.run()
    world.store.land()  # served, and not written
    assert world.seen("b") == []
    failing(world.store, None)
    world.store.late = False
    world.node.call("a", Add(1))
    world.node.run()
    assert world.seen("b") == [7]
    world.crash()
    assert world.seen("b") == [7]


def test_a_stop_finds_the_states_as_they_are_written() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    world.ask("a", Add(2))
    world.node.stop()
    failing(world.store, None)
    world.node.start()
    assert world.seen() == [1]
    assert world.node.call("a", Add(3)) == Seen([1, 3])
    world.crash()
    assert world.seen() == [1, 3]


def test_a_state_that_could_not_be_saved_is_saved_at_the_next_try() -> None:
    world = World(tree(worker("a"), snapshot_every=5, on_storage_error="refuse"))
    put = world.store.put
    world.store.put = lambda _changes, done: done(StorageError("no room for cells"))
    for n in range(7):
        world.node.call("a", Add(n))
    assert world.store.keys("state/") == []
    world.store.put = put
    for n in range(7, 14):
        world.node.call("a", Add(n))
    assert world.store.keys("state/") == ["state/a"]
    world.crash()
    assert world.seen() == list(range(14))


def test_old_records_that_cannot_be_forgotten_are_no_harm() -> None:
    world = World(tree(worker("a"), snapshot_every=2, keep_records=0, on_storage_error="refuse"))

    def trim(_upto: int) -> None:
        raise StorageError("cannot forget")

    world.store.trim = trim
    for n in range(10):
        world.node.call("a", Add(n))
    assert "storage_failed root" in world.events("storage_failed")
    del world.store.trim
    world.crash()
    assert world.seen() == list(range(10))


def test_another_owner_of_the_store_stops_the_node_at_once() -> None:
    world = World(tree(worker("a"), worker("b", persist="none"), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    world.store.failing = Fenced("another owner has gone on")
    pending = world.ask("a", Add(2), Add(3))
    world.node.run()
    for one in pending:
        with pytest.raises(CalleeStopped):
            one.result()
    assert not world.node.running
    assert isinstance(world.node.storage_error, Fenced)


def test_another_owner_stops_a_node_that_refuses_already() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    failing(world.store)
    with pytest.raises(CalleeStopped):
        world.node.call("a", Add(1))
    assert world.node.running
    world.store.failing = Fenced("another owner has gone on")
    with pytest.raises(CalleeStopped):
        world.node.call("a", Add(1))
    assert not world.node.running


def test_a_fenced_node_writes_nothing_more() -> None:
    world = World(tree(worker("a"), worker("b", persist="snapshot")))
    world.node.call("a", Add(1))
    world.node.call("b", Add(1))
    world.store.failing = Fenced("another owner has gone on")
    world.ask("a", Add(2))
    world.node.run()
    world.store.failing = None
    last, keys = world.store.last(), world.store.keys()
    world.node.stop()
    assert (world.store.last(), world.store.keys()) == (last, keys)


def test_a_tree_that_cannot_write_its_start_does_not_start() -> None:
    store = MemoryStore()
    store.failing = StorageError("no room")
    with pytest.raises(StorageError, match="no room"):
        World(tree(worker("a")), store)


# -- what cannot be written ------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["state", "timer", "cast"])
def test_what_could_not_be_recovered_is_a_crash_before_anything_is_answered(what: str) -> None:
    world = World(tree(worker("a")))
    world.node.call("a", Bad("state") if what == "never" else Get())
    with pytest.raises(CalleeCrashed, match="StorageError"):
        world.node.call("a", Bad(what))
    assert world.node.call("a", Add(1)) == Seen([1])
    world.crash()
    assert world.seen() == [1]


@pytest.mark.parametrize("message", [object(), ["in", [object()]], Later])
def test_an_input_that_cannot_be_recorded_is_refused(message: Any) -> None:
    world = World(tree(worker("a")))
    with pytest.raises(DecodeError, match="an input of a cannot be recorded"):
        world.node.call("a", message)
    world.node.cast("a", message)
    world.node.run()
    assert world.events("crashed") == []
    assert world.events("refused") == ["refused a"]
    assert world.node.call("a", Add(1)) == Seen([1])


def test_a_first_state_that_cannot_be_written_is_a_failed_start() -> None:
    with pytest.raises(StartFailed, match="did not start"):
        World(tree(worker("a", args={"begin": [object()]})))


def test_a_state_that_cannot_be_written_is_not_put_in_the_place_of_another() -> None:
    for persist in ("journal", "snapshot"):
        world = World(tree(worker("a", persist=persist)))
        world.node.call("a", Add(1))
        with pytest.raises(
            StorageError, match=r"the state of a cannot outlive the process: state\[0\]"
        ):
            world.node.replace_state("a", [object()])
        assert world.seen() == [1]


def test_a_state_is_put_in_the_place_of_another_once_that_is_written() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    with pytest.raises(StorageError, match="no room"):
        world.node.replace_state("a", [5])
    assert world.seen() == [1]
    failing(world.store, None)
    world.node.replace_state("a", [6])
    world.crash()
    assert world.seen() == [6]


def test_a_change_of_code_is_recorded() -> None:
    world = World(tree(worker("a", Book)))
    world.node.call("a", Add(1))
    world.node.suspend("a")
    with pytest.raises(SysError):
        world.node.replace_state("a", lambda state: 1 // 0)
    world.node.change_code("a", "0")
    world.node.replace_state("a", lambda state: [*state, 2])
    world.node.resume("a")
    world.crash()
    assert world.seen() == [1, 2]


def sliced(monkeypatch: pytest.MonkeyPatch, *children: Any, **flags: Any) -> World:
    """A world whose checkpoints save one state at a time; the first begins at record 10."""
    monkeypatch.setattr(checkpoints, "SLICE_S", -1.0)
    return World(tree(*children, snapshot_every=10, **flags))


def saved(world: World) -> list[str]:
    return [key.removeprefix("state/") for key in world.store.keys("state/")]


@pytest.mark.parametrize("calls", range(1, 14))
def test_a_checkpoint_that_a_kill_cuts_short_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    world = sliced(monkeypatch, *(worker(name) for name in "abcd"))
    for n in range(calls):
        world.node.call("abcd"[n % 4], Add(n))
    assert len(saved(world)) == min(4, max(0, calls - 5))
    before = {name: world.peek(name) for name in "abcd"}
    world.crash()
    assert {name: world.peek(name) for name in "abcd"} == before
    assert world.events("down") == []


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_what_is_under_way_while_states_are_saved_arrives_once(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    world = sliced(monkeypatch, *(worker(name) for name in "abcd"))
    for n in range(5):
        world.node.call("a", Add(n))
    world.node.suspend("b")
    for n in range(5, 8):  # each call saves a state
        world.node.call("a", Send("b", n))
    if how == "kill":
        world.crash()
        world.node.run()
        assert world.seen("b") == [5, 6, 7]
    world.node.resume("b")
    world.node.run()
    world.restart()
    world.node.run()
    assert world.seen("b") == [5, 6, 7]


def test_a_slice_that_cannot_be_saved_leaves_the_head_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = sliced(monkeypatch, *(worker(name) for name in "abcd"), on_storage_error="refuse")
    put, broken = world.store.put, list[bool]()

    def fails(changes: Any, done: Any) -> None:
        if broken and any(key.startswith("state/") for key in changes):
            done(StorageError("no room for states"))
        else:
            put(changes, done)

    world.store.put = fails
    for n in range(20):
        broken[:] = [True] if n == 7 else []
        world.node.call("abcd"[n % 4], Add(n))
    before = {name: world.peek(name) for name in "abcd"}
    world.crash()
    assert {name: world.peek(name) for name in "abcd"} == before


# -- the error told is that of this entry ----------------------------------------------------------


class Tight(MemoryStore):
    """Has room for entries, and for cells only if told so."""

    no_cells = False

    def put(self, changes: Mapping[str, bytes | None], done: Done) -> None:
        if self.no_cells:
            done(StorageError("no room for cells"))
        else:
            super().put(changes, done)


def full_once() -> World:
    """A world whose storage was full, and has room for entries again, and not for states."""
    world = World(tree(worker("a"), on_storage_error="refuse"), Tight())
    world.node.call("a", Add(1))
    failing(world.store)
    with pytest.raises(CalleeStopped):
        world.node.call("a", Add(2))
    failing(world.store, None)
    world.store.no_cells = True
    return world


def test_a_state_that_is_put_is_told_of_by_its_own_entry() -> None:
    world = full_once()
    world.node.replace_state("a", [500])
    world.crash()
    assert world.seen() == [500]


def test_a_state_that_cannot_be_put_is_refused_and_not_there_after_a_kill() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    failing(world.store)
    with pytest.raises(StorageError, match="no room"):
        world.node.replace_state("a", [500])
    assert world.seen() == []
    failing(world.store, None)
    world.crash()
    assert world.seen() == []


@pytest.mark.parametrize("on_crash", ["init", "last_good"])
@pytest.mark.parametrize("verb", ["kill", "stop"])
def test_an_end_that_cannot_be_written_is_told(verb: str, on_crash: str) -> None:
    world = World(tree(worker("a", on_crash=on_crash), on_storage_error="refuse"))
    world.node.call("a", Add(1))
    failing(world.store)
    node = world.node
    act = node.kill if verb == "kill" else partial(node.stop_process, reason="boom")
    for _ in range(2):
        with pytest.raises(StorageError, match="a: its end could not be written"):
            act("a")
        assert world.seen() == [1]
    failing(world.store, None)
    act("a")
    assert world.seen() == ([] if on_crash == "init" else [1])
