"""What a durable worker begins with: after a crash, a restart, a loss of its process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    CalleeStopped,
    Cast,
    Denied,
    Ignore,
    NoProc,
    Ok,
    StartFailed,
    StartTimer,
    StateMachine,
    Supervisor,
    Unrecovered,
    Worker,
    load_tree,
)
from ssm_cli.behaviour.results import Continue
from ssm_cli.runtime.durable.sessions import KEPT_ANSWERS
from ssm_cli.runtime.durable.snapshots import Aside, Saved, pack, unpack
from ssm_cli.runtime.durable.values import plain_of
from ssm_cli.runtime.performer.loop import BATCH, NEVER, pump
from tests.runtime.durable.parts import (
    Add,
    Bad,
    Book,
    Boom,
    Close,
    End,
    Free,
    Get,
    GoOn,
    Keep,
    Later,
    Message,
    Never,
    Quiet,
    Seen,
    Send,
    Shelf,
    World,
    failing,
    log,
    step,
    tree,
    worker,
)


def asides(world: World) -> list[Aside]:
    return [unpack(key, world.store.get(key) or b"", Aside) for key in world.store.keys("aside/")]


def crash(world: World, name: str = "a", message: Any = None) -> None:
    with pytest.raises(CalleeCrashed):
        world.node.call(name, Boom() if message is None else message)


def of(**parts: Any) -> StateMachine:
    """The log with other parts."""
    return msgspec.structs.replace(log, **parts)


def later(function: Any) -> Any:
    """A function as the next version of the code has it: under the name of the step."""
    function.__module__, function.__qualname__ = step.__module__, step.__qualname__
    return function


# -- crashes and restarts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("persist", "on_crash", "expected"),
    [
        ("none", "init", []),
        ("none", "last_good", [1, 2, 3]),
        ("snapshot", "init", []),
        ("snapshot", "saved", [1, 2]),
        ("snapshot", "last_good", [1, 2, 3]),
        ("journal", "init", []),
        ("journal", "saved", [1, 2, 3]),
        ("journal", "last_good", [1, 2, 3]),
    ],
)
def test_what_a_crash_leaves_is_what_on_crash_says(
    persist: str, on_crash: str, expected: list[int]
) -> None:
    world = World(tree(worker("a", persist=persist, on_crash=on_crash, save_inputs=2)))
    for n in (1, 2, 3):
        world.node.call("a", Add(n))
    crash(world)
    assert world.seen() == expected
    if persist == "journal":
        world.crash()
        assert world.seen() == expected


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
@pytest.mark.parametrize("start", [log, Book])
def test_an_orderly_stop_keeps_the_state(persist: str, start: Any) -> None:
    world = World(tree(worker("a", start, persist=persist)))
    world.node.call("a", Add(1))
    world.restart()
    assert world.node.call("a", Add(2)) == Seen([1, 2])
    world.restart()
    assert world.seen() == [1, 2]


def test_the_loss_of_the_process_costs_a_journalled_worker_nothing_and_a_saved_one_its_inputs() -> (
    None
):
    world = World(tree(worker("a"), worker("b", persist="snapshot"), worker("c", Book)))
    for name in "abc":
        world.node.call(name, Add(1))
    world.restart()
    for name in "abc":
        world.node.call(name, Add(2))
    world.crash()
    assert [world.seen(name) for name in "abc"] == [[1, 2], [1], [1, 2]]


def test_the_siblings_that_a_strategy_restarts_keep_their_state() -> None:
    children = (worker("x"), worker("a", on_crash="init"), worker("b"), worker("c", Book))
    world = World(tree(*children, strategy="rest_for_one"))
    for name in "xabc":
        world.node.call(name, Add(1))
    crash(world)
    assert [world.seen(name) for name in "xabc"] == [[1], [], [1], [1]]
    world.crash()
    assert [world.seen(name) for name in "xabc"] == [[1], [], [1], [1]]


def test_a_kill_is_no_crash_that_keeps_the_state_where_on_crash_is_init() -> None:
    world = World(tree(worker("a", on_crash="init"), worker("b")))
    for name in "ab":
        world.node.call(name, Add(1))
        world.node.kill(name)
    world.node.run()
    assert (world.seen("a"), world.seen("b")) == ([], [1])
    world.crash()
    assert (world.seen("a"), world.seen("b")) == ([], [1])


def test_a_worker_that_crashed_and_was_not_started_again_begins_by_init() -> None:
    for snapshot_every in (1, 1000):
        child = worker("a", on_crash="init", restart="temporary")
        world = World(tree(child, snapshot_every=snapshot_every))
        world.node.call("a", Add(1))
        world.restart()
        crash(world)
        assert not world.node.exists("a")
        world.crash()
        assert world.seen() == []
        world.crash()
        assert world.seen() == []


def test_the_crash_of_an_earlier_process_is_in_what_is_saved_by_the_next() -> None:
    child = worker("a", on_crash="init", restart="temporary")
    world = World(tree(child, worker("b")))
    world.node.call("a", Add(1))
    world.restart()
    crash(world)
    ignored = of(init=lambda _name, _args: Ignore())
    world.crash(tree(worker("a", ignored, on_crash="init"), worker("b")))
    assert world.node.call("b", Add(1)) == Seen([1])
    world.restart(tree(child, worker("b")))  # which has saved states without starting a
    assert world.seen("a") == []


def test_a_worker_that_ended_itself_keeps_its_state_for_the_next_life() -> None:
    world = World(tree(worker("a", restart="transient"), worker("b", Book)))
    world.node.call("a", Add(1))
    world.node.call("b", Add(1))
    assert world.node.call("a", End()) == Seen([1])
    assert world.node.call("b", Close()) == Seen([1])
    assert world.seen("b") == [1]
    world.node.restart_child("root", "a")
    assert world.seen("a") == [1]
    world.crash()
    assert (world.seen("a"), world.seen("b")) == ([1], [1])


def test_dynamic_children_get_their_state_back_when_one_of_their_name_is_started() -> None:
    spec = tree(
        worker("s"),
        snapshot_every=3,
    )
    world = World(spec)
    world.node.start_child("root", worker("x"))
    world.node.start_child("root", worker("y", Book))
    for n in range(5):
        world.node.call("x", Add(n))
        world.node.call("y", Add(n))
    for again in (world.crash, world.restart, world.crash):
        again()
        for n in range(7):  # states are saved meanwhile, without them
            world.node.call("s", Add(n))
    world.crash()
    world.node.start_child("root", worker("x"))
    world.node.start_child("root", worker("y", Book))
    assert (world.seen("x"), world.seen("y")) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    world.node.call("x", Add(5))
    world.crash()
    world.node.start_child("root", worker("x"))
    assert world.seen("x") == [0, 1, 2, 3, 4, 5]


def test_a_start_that_fails_for_another_reason_costs_nobody_anything() -> None:
    def nested(first: Any) -> Any:
        return tree(Worker("first", first), Supervisor("s", children=[worker("a")]))

    world = World(nested(log))
    world.node.call("a", Add(1))
    broken = of(init=lambda _name, _args: 1 // 0)
    for _ in range(2):
        with pytest.raises(StartFailed):
            world.crash(nested(broken))
    world.crash(nested(log))
    assert world.seen() == [1]


def test_a_supervisor_that_ignores_its_start_keeps_what_its_workers_had() -> None:
    def nested(init_: Any) -> Any:
        return tree(worker("b"), Supervisor("s", children=[worker("a")], init=init_))

    world = World(nested(None))
    world.node.call("a", Add(1))
    world.crash(nested(lambda _: Ignore()))
    world.node.call("b", Add(1))
    world.restart(nested(None))
    assert world.seen() == [1]


def test_what_was_journalled_is_there_when_only_the_state_is_saved_from_now_on() -> None:
    world = World(tree(worker("a"), worker("b")))
    world.node.call("a", Add(1))
    world.crash(tree(worker("a", persist="snapshot", save_inputs=1), worker("b")))
    assert world.seen() == [1]
    for _ in range(2):
        world.crash()
        assert world.seen() == [1]
    world.node.call("a", Add(2))
    world.crash()
    assert world.seen() == [1, 2]
    world.crash(tree(worker("a"), worker("b")))
    assert world.seen() == [1, 2]


# -- states that are saved now and then ------------------------------------------------------------


def test_a_state_is_saved_after_so_many_inputs() -> None:
    world = World(tree(worker("a", persist="snapshot", save_inputs=3)))
    for n in range(5):
        world.node.call("a", Add(n))
    world.crash()
    assert world.seen() == [0, 1, 2]


def test_a_state_is_saved_so_many_seconds_after_the_first_input_that_is_not() -> None:
    world = World(tree(worker("a", persist="snapshot", save_seconds=10)))
    for n in range(5):
        world.node.call("a", Add(n))
        world.clock.advance_s(4.0)
    world.crash()
    assert world.seen() == [0, 1, 2]  # at 10 s, before the input at 12 s


def test_a_state_that_cannot_be_saved_crashes_its_input_and_the_one_before_stays() -> None:
    world = World(tree(worker("a", persist="snapshot")))
    world.node.call("a", Add(1))
    with pytest.raises(CalleeCrashed, match="the state of a cannot outlive the process"):
        world.node.call("a", Bad("state"))
    assert world.seen() == [1]
    world.restart()
    assert world.events("unsaved") == []
    assert world.seen() == [1]


# -- a start that fails on what is saved -----------------------------------------------------------


def picky(saved_ok: bool) -> StateMachine:
    def restore(name: str, args: Mapping[str, Any], saved: Any) -> Any:
        if not saved_ok and 1 in saved:
            raise ValueError(f"{saved} will not do")
        return saved

    return of(restore=restore)


def wait_out(world: World, tries: int) -> None:
    """Let the tries of a start that fails go by, spread over the period of the supervisor."""
    for _ in range(tries):
        world.clock.advance_s(5.0)
        world.node.run(0.0)


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
@pytest.mark.parametrize("intensity", [0, 1, 3])
def test_a_start_that_fails_on_its_state_is_tried_again_and_then_the_worker_is_down(
    persist: str, intensity: int
) -> None:
    world = World(tree(worker("a", persist=persist), worker("b")))
    world.node.call("a", Add(1))
    bad = tree(worker("a", picky(False), persist=persist), worker("b"), intensity=intensity)
    world.restart(bad)
    assert world.node.call("b", Add(1)) == Seen([1]), "the others run meanwhile"
    assert len(world.events("start_failed")) == 1, "the next try is later"
    wait_out(world, intensity + 1)
    assert len(world.events("start_failed")) == intensity + 1
    assert world.events("down", "gave_up", "restarting", "fell_back") == ["down a"]
    with pytest.raises(NoProc, match=r"a does not start \(restore\): .*ssm data repair a"):
        world.node.call("a", Add(2))
    assert asides(world) == []
    world.restart(tree(worker("a", persist=persist), worker("b")))
    assert world.seen() == [1]


@pytest.mark.parametrize("intensity", [1, 3])
def test_trouble_that_passes_keeps_the_state(intensity: int) -> None:
    failures = [intensity]

    def restore(name: str, args: Mapping[str, Any], saved: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise ConnectionError("not yet")
        return saved

    world = World(tree(worker("a", of(restore=restore)), intensity=intensity))
    world.node.call("a", Add(1))
    world.restart()
    wait_out(world, intensity)
    assert world.seen() == [1]
    assert world.events("down", "restarting") == []


def test_a_worker_that_is_down_is_tried_again_when_somebody_asks_for_it() -> None:
    there = [False]

    def restore(name: str, args: Mapping[str, Any], saved: Any) -> Any:
        if not there[0]:
            raise ConnectionError("not yet")
        return saved

    world = World(tree(worker("a", of(restore=restore)), intensity=0))
    world.node.call("a", Add(1))
    world.restart()
    assert world.events("down") == ["down a"]
    there[0] = True
    world.node.restart_child("root", "a")
    assert world.seen() == [1]


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
def test_with_consent_it_begins_by_init_once_and_its_state_is_set_aside(persist: str) -> None:
    options = {"persist": persist, "on_unrecoverable": "init"}
    world = World(tree(worker("a", **options)))
    world.node.call("a", Add(1))
    world.restart(tree(worker("a", picky(False), **options), intensity=2))
    wait_out(world, 3)
    assert world.seen() == []
    assert world.events("fell_back", "down") == ["fell_back a"]
    [aside] = asides(world)
    assert aside.worker == "a"
    assert "ValueError: [1] will not do" in aside.reason
    assert aside.saved is not None
    assert plain_of(aside.saved.state) == [1]
    world.crash()
    world.node.call("a", Add(2))
    world.restart(tree(worker("a", persist=persist)))
    assert world.seen() == [2]
    assert len(asides(world)) == 1, "nothing is deleted, and nothing is set aside again"


def test_a_restart_that_fails_on_its_state_is_not_counted_by_its_supervisor() -> None:
    def restore(name: str, args: Mapping[str, Any], saved: Any) -> Any:
        raise ValueError("not with this")

    world = World(tree(worker("a", of(restore=restore)), intensity=3))
    world.node.call("a", Add(1))
    crash(world)
    world.node.run(0.0)
    wait_out(world, 5)
    assert world.node.running
    assert world.events("down", "gave_up") == ["down a"]
    world.crash(tree(worker("a")))
    assert world.seen() == [1]


UNREADABLE = ["version", "type", "migrate"]


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
@pytest.mark.parametrize("how", UNREADABLE)
@pytest.mark.parametrize("consent", [False, True])
def test_a_saved_state_that_cannot_be_read_is_not_begun_without_unless_by_consent(
    persist: str, how: str, *, consent: bool
) -> None:
    other = {
        "version": of(version="2"),
        "type": of(state=dict[str, int]),
        "migrate": of(version="2", migrate=lambda _version, state: 1 // 0),
    }[how]
    world = World(tree(worker("a", persist=persist, args={"begin": [1]})))
    world.restart()
    first: Any = {} if how == "type" else [5]
    other = msgspec.structs.replace(other, init=lambda _name, _args: first)
    options = {"on_unrecoverable": "init"} if consent else {}
    world.restart(tree(worker("a", other, persist=persist, **options), worker("b")))
    if consent:
        assert world.events("fell_back", "down") == ["fell_back a"]
        assert world.seen() == first
        for _ in range(2):
            world.crash()
            assert world.events("fell_back", "down") == []
            assert len(asides(world)) == 1
        return
    assert world.events("fell_back", "down") == ["down a"]
    world.crash()
    assert world.events("down") == ["down a"]
    world.restart(tree(worker("a", persist=persist)))
    assert world.seen() == [1]


def test_a_state_of_an_older_version_is_migrated() -> None:
    def migrate(version: str, state: Any) -> Any:
        return [*state, int(version) * 10]

    for persist in ("snapshot", "journal"):
        world = World(tree(worker("a", persist=persist)))
        world.node.call("a", Add(1))
        newer = of(version="2", migrate=migrate)
        world.restart(tree(worker("a", newer, persist=persist)))
        assert world.seen() == [1, 10]
        world.node.call("a", Add(2))
        world.restart()
        assert world.seen() == [1, 10, 2]
        world.crash()
        assert world.seen() == [1, 10, 2]


def test_a_worker_that_its_own_timers_crash_is_down_with_its_state() -> None:
    def fragile(message: Message, state: Any) -> Any:
        if isinstance(message, Add) and message.n == 13:
            raise ValueError("an unlucky number")
        return step(message, state)

    def restore(name: str, args: Mapping[str, Any], saved: Any) -> Any:
        return Ok(saved, effects=[StartTimer("k", 5, Add(13))] if 1 in saved else [])

    world = World(tree(worker("a", of(step=later(fragile), restore=restore)), intensity=3))
    world.node.call("a", Add(1))
    world.restart()
    world.node.run(1.0)
    assert world.node.running
    assert world.events("down", "fell_back") == ["down a"]
    world.restart(tree(worker("a")))
    assert world.seen() == [1]


# -- inputs that crash -----------------------------------------------------------------------------


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
def test_an_input_that_has_crashed_so_often_is_in_quarantine(persist: str) -> None:
    world = World(tree(worker("a", persist=persist, quarantine=2)))
    crash(world)
    crash(world)
    for _ in range(2):
        with pytest.raises(Denied, match="has crashed a 2 times and is in quarantine as 1"):
            world.node.call("a", Boom())
        crash(world, message=Boom(1))
        assert world.node.call("a", Get()) is not None
        world.crash()
    [refused] = world.node.quarantined()[:1]
    assert (refused.worker, refused.crashes, refused.error) == (
        "a", 2, "ZeroDivisionError: boom 0",
    )  # fmt: skip
    world.node.release_input(1)
    crash(world)


def needs_two(message: Message, state: Any) -> Any:
    """Crashes on a `Boom` in a state of less than two, and on `Boom(1)` in each."""
    if message == Boom(1) or (isinstance(message, Boom) and len(state) < 2):
        raise ZeroDivisionError("too few")
    return (state, Seen(state)) if isinstance(message, Boom) else step(message, state)


@pytest.mark.parametrize("end", ["none", "kill", "stop"])
@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_an_input_that_crashed_because_of_the_state_is_tried_in_another(
    persist: str, end: str
) -> None:
    world = World(tree(worker("a", of(step=needs_two), persist=persist, quarantine=2)))
    for number in (0, 1):
        for _ in range(2):
            crash(world, message=Boom(number))
        with pytest.raises(Denied):
            world.node.call("a", Boom(number))
    world.node.call("a", Add(1))
    world.node.call("a", Add(2))
    if end == "stop" or (end == "kill" and persist == "journal"):
        (world.restart if end == "stop" else world.crash)()
    assert world.node.call("a", Boom(0)) == Seen([1, 2]), "that was not its fault"
    assert [one.input for one in world.node.quarantined()] == [b"Boom 1"]
    crash(world, message=Boom(1))
    world.node.call("a", Add(3))
    for _ in range(2):
        with pytest.raises(Denied, match="in quarantine"):
            world.node.call("a", Boom(1))
        world.restart()


def test_crashes_are_counted_over_processes_and_checkpoints() -> None:
    world = World(tree(worker("a"), snapshot_every=2))
    crash(world)
    world.crash()
    crash(world)
    world.restart()
    crash(world)
    with pytest.raises(Denied, match="3 times"):
        world.node.call("a", Boom())


def test_never_takes_an_input_again_and_again() -> None:
    world = World(tree(worker("a", quarantine="never")))
    for _ in range(10):
        crash(world)


# -- timers and what was sent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jump_s", "left_s"),
    [
        (0.0, 7.0),
        (4.0, 3.0),
        (100.0, 0.0),
        (-3600.0, 10.0),
        (-2.0, 9.0),
        (30 * 86_400.0, 0.0),
        (-30 * 86_400.0, 10.0),
    ],
)
@pytest.mark.parametrize("snapshot_every", [1, 1000])
def test_a_timer_has_what_is_left_of_its_time_whatever_the_wall_clock_does(
    jump_s: float, left_s: float, snapshot_every: int
) -> None:
    world = World(tree(worker("a"), snapshot_every=snapshot_every))
    world.node.call("a", Later("k", 10_000, 7))
    world.node.run(3.0)
    world.node.call("a", Add(1))
    if snapshot_every == 1 and jump_s < 0:
        left_s = min(left_s, 7.0)  # it was saved with what was left then
    world.crash(jump_s=jump_s)
    world.node.run(max(0.0, left_s - 0.1))
    assert world.seen() == ([1] if left_s else [1, 7])
    world.node.run(0.2)
    assert world.seen() == [1, 7]
    world.crash(jump_s=1000.0)
    world.node.run(20.0)
    assert world.seen() == [1, 7], "it fires once"


def test_a_clock_that_was_a_month_ahead_is_told_of_and_makes_no_timer_longer() -> None:
    world = World(tree(worker("a")))
    world.node.call("a", Later("k", 10_000, 7))
    world.crash(jump_s=30 * 86_400.0)
    world.node.run(0.1)
    assert world.seen() == [7], "due by that clock"
    assert world.events("clock_behind") == []
    world.node.call("a", Later("l", 10_000, 8))
    for _ in range(2):
        world.crash(jump_s=-30 * 86_400.0)
        assert world.events("clock_behind") == ["clock_behind root"]
    world.node.run(10.1)
    assert world.seen() == [7, 8]


def test_a_cancelled_timer_stays_cancelled_and_a_replaced_one_fires_once() -> None:
    world = World(tree(worker("a")))
    world.node.call("a", Later("k", 1000, 1))
    world.node.call("a", Later("l", 1000, 2))
    world.node.call("a", Never("k"))
    world.node.call("a", Later("l", 2000, 3))
    world.crash()
    world.node.run(5.0)
    assert world.seen() == [3]


def test_a_timer_that_is_started_anew_while_the_old_one_waits_is_not_lost() -> None:
    world = World(tree(worker("a")))
    world.node.call("a", Later("k", 1000, 1))
    world.clock.advance_s(2.0)
    world.ask("a", Later("k", 5000, 2))  # in the queue before the old one is seen to be due
    world.node.run()
    assert world.seen() == [1]
    world.crash()
    world.node.run(6.0)
    assert world.seen() == [1, 2]


def test_a_timer_that_has_run_out_and_waits_is_in_what_is_saved() -> None:
    world = World(tree(worker("a"), worker("b"), snapshot_every=1))
    world.node.call("a", Later("k", 1000, 7))
    world.node.suspend("a")
    world.node.run(2.0)
    world.node.call("b", Add(1))
    world.crash()
    world.node.run()
    assert world.seen() == [7]


def test_a_timeout_under_way_is_armed_again() -> None:
    for snapshot_every in (1, 1000):
        world = World(tree(worker("a", Book), snapshot_every=snapshot_every))
        world.node.call("a", Quiet(1000))
        world.crash()
        world.node.run(0.9)
        assert world.peek() == []  # to ask for it would begin the time anew
        world.node.run(0.2)
        assert world.seen() == [99]
        world.crash()
        world.node.run(5.0)
        assert world.seen() == [99]


def test_timers_outlive_an_orderly_stop_and_a_crash_that_keeps_the_state() -> None:
    world = World(tree(worker("a", on_crash="last_good")))
    world.node.call("a", Later("k", 1000, 7))
    world.restart()
    crash(world)
    world.node.call("a", Add(1))
    world.crash()
    world.restart()
    world.node.run(5.0)
    assert world.seen() == [1, 7]
    world.restart()
    world.node.run(5.0)
    assert world.seen() == [1, 7], "it fires once"


def test_a_timer_that_restore_has_started_takes_the_place_of_that_of_its_key() -> None:
    def restore(name: str, args: Mapping[str, Any], saved: Any) -> Any:
        return Ok(saved, effects=[StartTimer("k", 500, Add(9))])

    world = World(tree(worker("a", of(restore=restore))))
    world.node.call("a", Later("k", 1000, 7))
    world.restart()
    world.node.run(5.0)
    assert world.seen() == [9]


def test_timers_end_with_the_state_of_their_worker() -> None:
    world = World(tree(worker("a", on_crash="init")))
    world.node.call("a", Later("k", 1000, 7))
    crash(world)
    world.crash()
    world.node.run(5.0)
    assert world.seen() == []


@pytest.mark.parametrize("snapshot_every", [1, 2, 1000])
@pytest.mark.parametrize("suspended", [False, True])
def test_a_cast_between_durable_workers_outlives_the_process_between(
    snapshot_every: int, suspended: bool
) -> None:
    world = World(tree(worker("a"), worker("b"), snapshot_every=snapshot_every))
    if suspended:
        world.node.suspend("b")
        world.node.call("a", Send("b", 7))
        world.node.run()
        world.node.call("a", Add(1))
    else:
        world.node.call("a", Send("b", 7))  # it is sent, and not served yet
    assert world.seen("b") == []
    world.crash()
    world.node.run()
    assert world.seen("b") == [7]
    for again in (world.crash, world.restart, world.crash):
        again()
        world.node.run()
        assert world.seen("b") == [7], "it is served once"


def test_a_cast_between_durable_workers_outlives_an_orderly_stop() -> None:
    for drain in (True, False):
        world = World(tree(worker("a"), worker("b")))
        world.node.call("a", Send("b", 7))
        world.node.stop(drain=drain)
        world.crash()
        world.node.run()
        assert world.seen("b") == [7]


def test_what_is_sent_is_written_by_the_codec_of_its_receiver() -> None:
    class Note(msgspec.Struct, frozen=True):
        text: str

    def send(message: Message, state: Any) -> Any:
        if isinstance(message, Add):
            return state, Seen([]), [Cast("b", Note("hi")), Cast("c", object())]
        return step(message, state)

    def take(message: Note, state: list[str]) -> Any:
        return [*state, message.text], None

    taker = StateMachine(step=take, init=lambda _name, _args: [], inputs=Note, codec="json")
    spec = tree(
        worker("a", of(step=send)), worker("b", taker, codec="json"), worker("c", persist="none")
    )
    world = World(spec)
    world.node.call("a", Add(1))
    world.crash()
    world.node.run()
    assert str(world.seen("b")) == "['hi']"


def go_on(world: World) -> None:
    """Have a worker want to go on with an `Add`, and stop right before that."""
    world.ask("a", *[Get()] * (BATCH - 1), GoOn(7))
    pump(world.node._world, NEVER, 0.0)


def test_a_continue_outlives_the_process_and_runs_once() -> None:
    for snapshot_every in (1, 1000):
        world = World(tree(worker("a", Book), snapshot_every=snapshot_every))
        go_on(world)
        assert world.seen() == []
        world.crash()
        world.node.run()
        assert world.seen() == [7]
        world.crash()
        world.node.run()
        assert world.seen() == [7]


def test_a_continue_is_void_once_its_worker_has_ended() -> None:
    world = World(tree(worker("a", Book)))
    go_on(world)
    world.node.kill("a")
    world.node.run()
    assert world.seen() == []
    world.crash()
    world.node.run()
    assert world.seen() == []


def test_a_continue_of_init_outlives_the_process_too() -> None:
    class Starter(Book):
        def init(self, name: str, args: Mapping[str, Any]) -> Ok:
            return Ok([], then=Continue(Add(1)))

    world = World(tree(worker("a", Starter)))
    assert world.seen() == []
    for _ in range(2):
        world.crash()
        world.node.run()
        assert world.seen() == [1]


def test_effects_that_have_left_are_not_repeated() -> None:
    world = World(tree(worker("a"), worker("out", persist="none")))
    world.node.call("a", Send("out", 7))
    world.node.run()
    assert world.seen("out") == [7]
    world.crash()
    world.node.run()
    assert world.seen("out") == []


# -- request ids -----------------------------------------------------------------------------------


def test_a_request_id_is_stepped_once_and_answered_the_same() -> None:
    world = World(tree(worker("a")))
    first = world.node.call("a", Add(1), request_id="r1")
    assert world.node.call("a", Add(1), request_id="r1") == first
    assert world.node.call("a", b"Add 1", request_id="r1") == b"Seen [1]"
    for again in (world.crash, world.restart, world.crash):
        again()
        assert world.node.call("a", Add(1), request_id="r1") == Seen([1])
        assert world.node.call("a", b"Add 1", request_id="r1") == b"Seen [1]"
        assert world.seen() == [1]


def test_two_with_one_id_in_one_batch_get_the_answer_of_one_step() -> None:
    world = World(tree(worker("a")))
    both = [world.node.send_request("a", Add(1), request_id="r1") for _ in range(2)]
    world.node.run()
    assert [pending.result() for pending in both] == [Seen([1]), Seen([1])]
    assert world.seen() == [1]


def test_the_answer_to_a_retry_waits_for_the_record_too() -> None:
    world = World(tree(worker("a")))
    world.store.late = True
    both = [world.node.send_request("a", Add(1), request_id="r1") for _ in range(2)]
    world.node.run()
    assert not both[1].done
    world.store.land()
    assert both[1].result() == Seen([1])


def test_a_crash_is_answered_the_same_and_not_repeated() -> None:
    world = World(tree(worker("a")))
    for again in (None, world.crash, world.restart, world.crash):
        if again is not None:
            again()
        with pytest.raises(CalleeCrashed, match="a crashed: ZeroDivisionError: boom 0"):
            world.node.call("a", Boom(), request_id="r1")
        assert len(world.events("crashed")) == (1 if again is None else 0)


def test_an_id_belongs_to_one_input() -> None:
    world = World(tree(worker("a"), worker("b")))
    world.node.call("a", Add(1), request_id="r1")
    for _ in range(2):
        with pytest.raises(Denied, match="r1 belongs to another input of a"):
            world.node.call("a", Add(2), request_id="r1")
        assert world.node.call("b", Get(), request_id="r1") == Seen([])
        world.crash()
    assert world.seen() == [1]


def test_a_call_that_could_not_be_written_may_be_retried_under_its_id() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    failing(world.store)
    with pytest.raises(CalleeStopped):
        world.node.call("a", Add(1), request_id="r1")
    failing(world.store, None)
    assert world.node.call("a", Add(1), request_id="r1") == Seen([1])
    assert world.node.call("a", Add(1), request_id="r1") == Seen([1])


def test_a_retry_of_a_call_that_waits_is_answered_with_it() -> None:
    world = World(tree(worker("a")))
    both = [world.node.send_request("a", Keep("k"), request_id="r1") for _ in range(2)]
    world.node.run()
    assert not any(pending.done for pending in both)
    world.node.call("a", Free("k"))
    assert [pending.result() for pending in both] == [Seen([]), Seen([])]
    world.crash()
    with pytest.raises(CalleeStopped, match="was served already, and its answer was to come later"):
        world.node.call("a", Keep("k"), request_id="r1")


def test_the_oldest_answers_are_forgotten() -> None:
    world = World(tree(worker("a"), snapshot_every=5000))
    for n in range(KEPT_ANSWERS + 10):
        world.node.send_request("a", Get(), request_id=f"r{n}")
        if n % 100 == 0:
            world.node.run()
    world.restart()
    assert len(world.store.keys("request/")) == KEPT_ANSWERS


# -- code that moves ------------------------------------------------------------------------------

CODE = """
from ssm_cli import StateMachine
def step(message, state): return state + message, state + message
def init(name, args): return 0
machine = StateMachine(step=step, init=init, codec="json")
"""
TREE = """
supervisor: root
children:
  - {worker: a, start: "./counts.py:machine", persist: journal}
"""


def test_states_of_an_older_ssm_are_read_and_written_anew() -> None:
    world = World(tree(worker("a")))
    world.node.call("a", Add(1))
    world.node.stop()
    key = "state/a"
    saved = unpack(key, world.store.get(key), Saved)
    older = msgspec.structs.replace(saved, state=msgspec.msgpack.encode([1, 2]), form="", digest="")
    world.store.put({key: pack(older)}, lambda error: None)
    world.crash()
    assert world.seen() == [1, 2]
    world.node.call("a", Add(3))
    world.crash()
    assert world.seen() == [1, 2, 3]


def test_a_state_of_an_older_ssm_that_would_be_another_one_is_not_taken() -> None:
    world = World(tree(worker("a")))
    world.node.stop()
    key = "state/a"
    saved = unpack(key, world.store.get(key), Saved)
    older = msgspec.structs.replace(saved, state=msgspec.msgpack.encode(["one"]), form="")
    world.store.put({key: pack(older)}, lambda error: None)
    world.crash()
    assert world.events("down") == ["down a"]


def test_a_success_of_an_input_forgets_its_crashes() -> None:
    def fragile(message: Message, state: Any) -> Any:
        if isinstance(message, Boom) and len(state) < 2:
            raise ZeroDivisionError("too few")
        return step(message, state) if isinstance(message, Add) else (state, Seen(state))

    world = World(tree(worker("a", of(step=fragile), quarantine=2)))
    for _ in range(3):
        crash(world)
        world.node.call("a", Add(1))
        world.node.call("a", Add(2))
        world.node.call("a", Boom())
        world.crash()
        world.node.replace_state("a", [])
    assert world.node.quarantined() == []


def test_a_tree_that_was_moved_to_another_folder_has_its_states(tmp_path: Path) -> None:
    world = None
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "counts.py").write_text(CODE)
        (tmp_path / name / "tree.yaml").write_text(TREE)
        spec = load_tree(tmp_path / name / "tree.yaml")
        if world is None:
            world = World(spec)
            world.node.call("a", 5)
        else:
            world.crash(spec)
            assert world.node.call("a", 1) == 6
            assert world.events("down") == []


# -- damage ----------------------------------------------------------------------------------------


def test_a_step_that_gives_something_else_keeps_its_worker_down_and_no_other() -> None:
    world = World(tree(worker("a"), worker("b")))
    world.node.call("b", Add(1))
    world.node.call("a", Add(1))
    world.node.call("a", Add(2))
    other = of(step=later(lambda message, state: (step(message, state)[0][::-1], Seen([]))))
    world.crash(tree(worker("a", other), worker("b")))
    assert world.seen("b") == [1]
    with pytest.raises(NoProc, match=r"a does not start \(differs\): record \d+: .*memory"):
        world.node.call("a", Get())
    world.restart(tree(worker("a"), worker("b")))
    assert world.seen() == [1, 2]


def test_on_replay_difference_stop_the_tree_does_not_start() -> None:
    world = World(tree(worker("a")))
    world.node.call("a", Add(1))
    other = of(step=later(lambda message, state: ([9], Seen([]))))
    with pytest.raises(Unrecovered, match=r"record \d+"):
        world.crash(tree(worker("a", other), on_replay_difference="stop"))
    world.crash(tree(worker("a")))
    assert world.seen() == [1]


@pytest.mark.parametrize("start", [log, Shelf], ids=["deferred", "postponed"])
def test_an_answer_that_is_being_written_arrives_though_its_worker_crashes_meanwhile(
    start: Any,
) -> None:
    world = World(tree(worker("a", start)))
    asked = [Add(1), Add(2)] if start is Shelf else [Keep("k"), Add(1), Free("k")]
    calls = world.ask("a", *asked, Boom(3))  # in one batch: all are written together
    world.node.run()
    assert [call.error is None for call in calls] == [True] * len(asked) + [False]
    assert calls[0].value == Seen([1])
    state = [1, 2] if start is Shelf else [1]
    assert world.seen() == state
    world.crash()
    assert world.seen() == state


def test_a_call_that_is_kept_is_not_answered_by_a_crash_meanwhile() -> None:
    world = World(tree(worker("a")))
    calls = world.ask("a", Keep("k"), Boom(3))
    world.node.run()
    assert [type(call.error) for call in calls] == [CalleeCrashed, CalleeCrashed]


def test_an_answer_that_could_not_be_written_is_none_though_its_worker_has_ended() -> None:
    world = World(tree(worker("a"), on_storage_error="refuse"))
    kept = world.ask("a", Keep("k"))
    world.node.run()
    failing(world.store)
    world.ask("a", Free("k"), Boom(3))
    world.node.run()
    assert isinstance(kept[0].error, CalleeStopped)
