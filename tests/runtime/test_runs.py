"""`Run` effects: what is done outside of a step, and how it comes back as an input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    Answer,
    CalleeCrashed,
    CancelRun,
    Cast,
    Defer,
    Done,
    Exit,
    Failed,
    GenServer,
    KeepState,
    KeepStateAndData,
    ManualClock,
    Next,
    Node,
    NoReply,
    Ok,
    Reply,
    Run,
    RunError,
    StateEvent,
    Statem,
    StateMachine,
    Stop,
    Strategy,
    Supervisor,
    SystemClock,
    Worker,
    load_tree,
)
from ssm_cli.commands.records import tree_record
from ssm_cli.commands.text import tree_lines
from ssm_cli.runtime.engine.runs import run_over
from ssm_cli.runtime.performer.perform import MOST_RUNS_ENDED
from ssm_cli.runtime.runs import runner
from tests.runtime import outside_work as work
from tests.runtime.test_restep import stepped_from
from tests.runtime.workers import events, fail

LONG_MS = 60_000


def step(message: Any, state: list[Any]) -> Any:
    """Put down what has ended; do what a message says, or ask for the effects that it is."""
    if isinstance(message, Done | Failed):
        return [*state, message], None
    if callable(message):
        return message(state)
    return state, list(state), message


collector = StateMachine(step=step, init=lambda _name, args: list(args.get("state", [])))


def ask(*effects: Any) -> tuple[Any, ...]:
    return effects


def tree(*names: str, **flags: Any) -> Any:
    workers = [Worker(name, collector) for name in names or ("a",)]
    return Supervisor("root", children=workers, intensity=100, **flags)


@contextmanager
def running(*names: str, **flags: Any) -> Iterator[Node]:
    with Node(tree(*names, **flags), clock=ManualClock()) as node:
        yield node


async def awaited(node: Node) -> list[Any]:
    """What has ended, once something has."""
    while True:
        if found := await node.acall("a", ask()):
            return list(found)
        await asyncio.sleep(0.001)


def under_way(node: Node, name: str = "a") -> int:
    return next(view.runs for view in node.tree().children if view.id == name)


def reasons(node: Node, name: str = "a") -> list[Any]:
    return [one.error.reason if isinstance(one, Failed) else one.value for one in got(node, name)]


def got(node: Node, name: str = "a") -> list[Any]:
    found: list[Any] = node.call(name, ask())
    return found


# -- async functions ---------------------------------------------------------------------------


def test_an_async_run_comes_back_as_an_input_with_its_value() -> None:
    with running() as node:
        assert node.call("a", ask(Run("x", work.adouble, 4))) == []
        node.run()
        assert got(node) == [Done("x", 8)]


def test_without_asyncio_a_call_that_waits_lets_runs_go_on() -> None:
    def later(state: list[Any]) -> Any:
        return state, None, [Defer("caller"), Run("x", work.adouble, 4)]

    def answer(message: Any, state: Any) -> Any:
        if isinstance(message, Done):
            return state, None, [Answer("caller", message.value)]
        return message(state)

    with Node(Supervisor("root", children=[Worker("a", StateMachine(step=answer))])) as node:
        assert node.call("a", later) == 8


def test_in_asyncio_the_loop_that_serves_the_node_runs_it() -> None:
    async def whose_loop() -> int:
        return id(asyncio.get_running_loop())

    async def main() -> None:
        with Node(tree()) as node:
            await node.acall("a", ask(Run("x", whose_loop)))
            found = await awaited(node)
            assert found == [Done("x", id(asyncio.get_running_loop()))]

    asyncio.run(main())


def test_a_plain_call_within_asyncio_has_its_run_done_by_the_loop_around_it() -> None:
    async def main() -> None:
        with Node(tree()) as node:
            node.call("a", ask(Run("x", work.adouble, 4)))
            found = await awaited(node)
            assert found == [Done("x", 8)]

    asyncio.run(main())


def test_what_a_start_asks_for_is_done_by_the_loop_that_serves_the_node_later() -> None:
    begins = StateMachine(
        step=step, init=lambda _name, _args: Ok([], effects=[Run("first", work.adouble, 1)])
    )
    node = Node(Supervisor("root", children=[Worker("a", begins)])).start()

    async def main() -> None:
        found = await awaited(node)
        assert found == [Done("first", 2)]

    asyncio.run(main())
    node.stop()


def test_a_gen_server_gets_the_end_in_handle_info() -> None:
    class Server(GenServer):
        def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
            del caller
            return Reply(state, state, effects=(message,) if isinstance(message, Run) else ())

        def handle_info(self, message: Any, state: Any) -> NoReply | Stop:
            del state
            return NoReply(message)

    with Node(Supervisor("root", children=[Worker("s", Server)]), clock=ManualClock()) as node:
        node.call("s", Run("x", work.adouble, 4))
        node.run()
        assert node.call("s", "state") == Done("x", 8)


def test_a_state_machine_of_states_gets_the_end_as_an_info_event() -> None:
    class Device(Statem):
        def init(self, name: str, args: Any) -> Any:
            del name, args
            return Next("idle", [], [Run("x", work.adouble, 4)])

        def idle(self, event: StateEvent, data: list[Any]) -> Any:
            if isinstance(event.content, Done):
                return KeepState([event.type, event.content])
            return KeepStateAndData([Answer(event.caller, data)])

    with Node(Supervisor("root", children=[Worker("d", Device)]), clock=ManualClock()) as node:
        node.run()
        assert node.call("d", "get") == ["info", Done("x", 8)]


def test_a_worker_whose_purity_is_checked_may_ask_for_runs() -> None:
    with Node(tree(), clock=ManualClock(), verify_pure=True) as node:
        node.call("a", ask(Run("x", work.adouble, 4)))
        node.run()
        assert got(node) == [Done("x", 8)]
        assert not [word for word in events(node) if word.startswith("impure")]


@pytest.mark.parametrize(
    ("function", "kind", "said"),
    [
        (work.araises(lambda: KeyError("no such device")), "KeyError", "'no such device'"),
        (work.araises(lambda: SystemExit(3)), "SystemExit", "3"),
        (work.araises(KeyboardInterrupt), "KeyboardInterrupt", ""),
        (work.araises(RuntimeError), "RuntimeError", ""),
        (work.close_the_loop, "RuntimeError", "Cannot close a running event loop"),
    ],
    ids=["an error", "an exit", "an interrupt", "an error without text", "it closes the loop"],
)
def test_an_async_run_that_raises_has_failed_with_what_it_raised(
    function: Any, kind: str, said: str
) -> None:
    with running() as node:
        node.call("a", ask(Run("x", function)))
        node.run()
        assert got(node) == [Failed("x", RunError("raised", kind, said))]


def test_a_run_that_cancels_itself_has_failed_as_cancelled() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.araises(asyncio.CancelledError))))
        node.run()
        assert reasons(node) == ["cancelled"]


def test_ctrl_c_in_a_run_goes_to_whoever_runs_the_node_and_the_run_has_failed() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.actrl_c)))
        with pytest.raises(KeyboardInterrupt):
            node.run()
        node.run()
        assert [one.error.type for one in got(node)] == ["KeyboardInterrupt"]


def test_a_loop_that_is_stopped_by_a_run_goes_on() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.stop_the_loop)))
        node.run()
        node.run()
        assert got(node) == [Done("x", "went on")]


def test_a_slice_of_a_run_is_cut_at_the_limit_of_a_step() -> None:
    spins = Worker("a", collector, step_timeout=50)
    with Node(Supervisor("root", children=[spins])) as node:
        node.call("a", ask(Run("x", work.spin)))
        assert [one.error.type for one in until(node, 1)] == ["StepTimeout"]


def test_an_exception_whose_text_raises_is_told_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    with running() as node:
        node.call("a", ask(Run("x", work.araises(Mute))))
        node.run()
        assert [(one.error.reason, one.error.type) for one in got(node)] == [("raised", "Mute")]


# -- time, keys and limits ---------------------------------------------------------------------


def test_a_run_fails_with_timeout_once_its_time_is_over_by_the_clock_of_the_node() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.aforever, timeout_ms=1500)))
        clock: Any = node._world.clock
        clock.advance_s(1.4)
        node.run()
        assert got(node) == []
        clock.advance_s(0.2)
        assert got(node) == [
            Failed("x", RunError("timeout", "", "it has not ended within 1500 ms"))
        ]
        assert under_way(node) == 0


def test_on_a_manual_clock_a_node_that_waits_lets_a_run_end_before_time_passes() -> None:
    async def soon() -> str:
        await asyncio.sleep(0.01)  # of real time
        return "in time"

    with running() as node:
        node.call("a", ask(Run("x", soon, timeout_ms=1)))
        node.run(10)
        assert got(node) == [Done("x", "in time")]


def test_a_run_of_the_same_key_replaces_the_one_under_way_whose_end_is_void() -> None:
    told: list[str] = []
    with running() as node:
        node.call("a", ask(Run("x", work.stubborn, told)))
        node.run()
        node.call("a", ask(Run("x", work.adouble, 4)))
        node.run()
        assert told == ["cancelled", "ended"]
        assert got(node) == [Done("x", 8)]


def test_a_run_is_cancelled_by_its_key_even_as_its_end_waits_already() -> None:
    told: list[str] = []
    with running("a", "b") as node:
        node.call("a", ask(Run("x", work.stubborn, told), Run("y", work.adouble, 1)))
        node.call("b", ask(Run("x", work.adouble, 1)))
        node.suspend("a")
        node.cast("a", ask(CancelRun("x"), CancelRun("y"), CancelRun("z")))
        node.run()  # y has ended; its end waits behind what cancels it
        assert under_way(node) == 2
        node.resume("a")
        node.run()
        assert (told, got(node), got(node, "b")) == (["cancelled", "ended"], [], [Done("x", 2)])


def test_so_many_runs_of_a_worker_go_on_as_its_limit_says_and_others_pass_it() -> None:
    going: list[int] = []
    most: list[int] = []
    let = asyncio.Event()

    async def counted() -> None:
        going.append(1)
        most.append(len(going))
        await let.wait()
        going.pop()

    with running("a", "b") as node:
        node.call("a", [Run(f"x{n}", counted, limit=2) for n in range(5)])
        node.call("b", ask(Run("y", work.adouble, 4)))
        node.run()
        assert (max(most), got(node), got(node, "b")) == (2, [], [Done("y", 8)])
        assert under_way(node) == 5
        node.call("a", ask(CancelRun("x2")))
        let.set()
        for _ in range(5):
            node.run()
        assert [one.key for one in got(node)] == ["x0", "x1", "x3", "x4"]
        assert max(most) == 2


def test_what_more_than_so_many_runs_wait_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_WAITING", 10)
    with running() as node:
        node.call("a", [Run(f"x{n}", work.adouble, n, limit=1) for n in range(12)])
        for _ in range(12):
            node.run()
        found = got(node)
        assert [one.key for one in found if isinstance(one, Failed)] == ["x10", "x11"]
        assert {one.error.reason for one in found if isinstance(one, Failed)} == {"too_many"}
        assert [one.value for one in found if isinstance(one, Done)] == [2 * n for n in range(10)]


def test_a_flood_of_runs_is_served_to_its_end_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "MOST_WAITING", 500)
    with running() as node:
        node.call("a", [Run(f"{n}", work.adouble, n) for n in range(1000)])
        node.run()
        found = got(node)
        assert len(found) == 1000
        assert sum(isinstance(one, Done) for one in found) == 500
        assert not node._world.outside.runner.has_work()
        assert node._world.timers.next_s() == float("inf")


# -- lives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["crash", "kill", "exit", "stop", "terminate", "rest_for_one"])
def test_runs_are_cancelled_with_the_life_that_asked_for_them(how: str) -> None:
    told: list[str] = []
    with running("before", "a", strategy=Strategy.REST_FOR_ONE) as node:
        node.call("a", ask(Run("x", work.stubborn, told)))
        node.run()
        match how:
            case "crash":
                with pytest.raises(CalleeCrashed):
                    node.call("a", fail)
            case "kill":
                node.kill("a")
            case "exit":
                node.call("a", ask(Exit("enough")))
            case "stop":
                node.stop()
            case "terminate":
                node.terminate_child("root", "a")
            case _:
                node.kill("before")
        if how != "stop":
            node.run()
        assert told == ["cancelled", "ended"]
        assert not node._world.outside.runner.has_work()
        if how not in ("stop", "terminate"):
            assert (got(node), under_way(node)) == ([], 0)


def test_an_end_that_waits_as_its_worker_crashes_is_void_for_the_next_life() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.adouble, 4)))
        node._world.outside.runner.glance()  # it has ended, and its end waits
        with pytest.raises(CalleeCrashed):
            node.call("a", fail)
        node.run()
        assert got(node) == []
        assert "dropped a" not in events(node)


def test_a_suspended_worker_gets_the_end_once_it_is_resumed() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.adouble, 4)))
        node.suspend("a")
        node.run()
        node.resume("a")
        assert got(node) == [Done("x", 8)]


def test_a_run_that_never_ends_by_being_cancelled_does_not_keep_its_program() -> None:
    async def never() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def main() -> None:
        with Node(tree()) as node:
            await node.acall("a", ask(Run("x", never)))
            await asyncio.sleep(0)

    asyncio.run(main())  # it ends


def test_a_loop_that_was_closed_under_a_node_has_its_runs_fail() -> None:
    node = Node(tree()).start()

    async def main() -> None:
        await node.acall("a", ask(Run("x", work.aforever)))
        await asyncio.sleep(0)

    asyncio.run(main())  # it cancels what is left, and closes its loop
    assert reasons(node) == ["cancelled"]
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    task = asyncio.all_tasks(loop).pop()
    loop.close()  # it cancels nothing
    node.run()
    node.run()
    assert reasons(node) == ["cancelled", "cancelled"]
    assert "closed" in got(node)[-1].error.message
    node.stop()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left behind on purpose


# -- what cannot be carried out ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Run("", work.double, 1), "its key is no text of 1 to 1000 characters"),
        (Run("k" * 1001, work.double, 1), "its key is no text"),
        (Run(b"k", work.double, 1), "its key is no text"),  # type: ignore[arg-type]  # on purpose
        (Run("k", "double"), "its function is a str"),  # type: ignore[arg-type]  # on purpose
        (Run("k", lambda _: 1, 1), "<lambda> has no name by which a process can import it"),
        (Run("k", [1].append, 1), "has no name by which a process can import it"),
        (Run("k", work.adouble, 1, timeout_ms=-1), "its timeout_ms is no number"),
        (Run("k", work.adouble, 1, timeout_ms=float("inf")), "its timeout_ms is no number"),
        (Run("k", work.adouble, 1, limit=0), "its limit is no number of runs from 1 to 10,000"),
        (Run("k", work.adouble, 1, limit=True), "its limit is no number of runs"),
    ],
    ids=lambda one: "" if isinstance(one, Run) else one[:40],
)
def test_a_run_that_cannot_be_carried_out_is_a_crash_that_says_so(run: Run, said: str) -> None:
    with running() as node:
        with pytest.raises(CalleeCrashed, match=said):
            node.call("a", ask(run))
        assert not node._world.outside.runner.has_work()


# -- forks and the past ------------------------------------------------------------------------


def test_a_fork_shows_what_is_under_way_and_does_not_run_it() -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.adouble, 4)))
        fork = node.fork()
        assert fork.digest() == node.digest()
        fork.run(1)
        assert (under_way(fork), got(fork)) == (1, [])
        fork.run(10)
        assert reasons(fork) == ["timeout"]
        node.run()
        assert got(node) == [Done("x", 8)]


def test_the_past_holds_the_end_as_a_record_and_does_not_do_it_again() -> None:
    done: list[int] = []

    async def once(n: int) -> int:
        done.append(n)
        return n

    with Node(tree(), clock=ManualClock(), history=64) as node:
        node.call("a", ask(Run("x", once, 1), Run("y", work.aforever)))
        asked = node.record
        node.run()
        node.call("a", ask(CancelRun("y"), Run("z", once, 2)))
        node.run()
        before = node.at(asked)
        assert (under_way(before), got(before)) == (2, [])
        after = node.at(node.record)
        assert after.digest() == node.digest()
        assert got(after) == [Done("x", 1), Done("z", 2)]
        assert done == [1, 2]


def test_a_fork_that_steps_again_is_given_the_ends_of_then_as_far_as_it_asks_for_them() -> None:
    with Node(tree(), clock=ManualClock(), history=64) as node:
        node.call("a", ask())
        node.call("a", ask(Run("x", work.adouble, 1)))
        first = node.record
        node.call("a", ask(Run("y", work.adouble, 2)))
        node.run()
        node.run()
        before = first - 1
        assert got(stepped_from(node, before)) == [Done("x", 2), Done("y", 4)]
        assert got(stepped_from(node, before, {first: None})) == [Done("y", 4)]


# -- processes ---------------------------------------------------------------------------------


@contextmanager
def in_real_time(*names: str) -> Iterator[Node]:
    with Node(tree(*names), clock=SystemClock()) as node:
        yield node


def until(node: Node, count: int, name: str = "a") -> list[Any]:
    """Serve a node until so many runs of a worker have ended."""
    end_s = time.monotonic() + 60
    while len(found := got(node, name)) < count and time.monotonic() < end_s:
        node.run(0.05)
    return found


def blocking(key: str, function: Any, *args: Any) -> Run:
    return Run(key, function, *args, timeout_ms=LONG_MS)


def test_a_blocking_run_is_done_in_a_process_and_comes_back_with_its_value() -> None:
    with in_real_time() as node:
        node.call("a", ask(blocking("x", work.double, 4)))
        assert until(node, 1) == [Done("x", 8)]


def test_in_asyncio_too_without_a_thread() -> None:
    async def main() -> None:
        with Node(tree()) as node:
            await node.acall("a", ask(blocking("x", work.double, 4)))
            found = await awaited(node)
            assert found == [Done("x", 8)]
            assert threading.active_count() == 1

    asyncio.run(main())


def test_a_process_inherits_no_descriptor_no_secret_no_handler_and_no_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSM_TOKEN", "secret")
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        with in_real_time() as node:
            node.call("a", ask(blocking("x", work.facts)))
            (end,) = until(node, 1)
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        os.close(read)
        os.close(write)
    facts = end.value
    assert facts["parent"] == os.getpid()
    assert facts["group"] == facts["pid"]
    assert facts["fds"] == ["0", "1", "2", "3", "4"]  # the last is that of the listing
    assert facts["secrets"] == []
    assert facts["handler"] == str(signal.SIG_DFL)
    assert facts["masked"] == 0


BAD = [
    (work.fail, "raised", "KeyError", "no such device"),
    (work.leave, "raised", "SystemExit", "3"),
    (work.interrupt, "raised", "KeyboardInterrupt", ""),
    (work.vanish, "killed", "", "exit code 7"),
    (work.be_killed, "killed", "", "SIGKILL"),
    (work.unpicklable, "unsendable", "TypeError", "it cannot be pickled"),
    (work.too_much, "unsendable", "", "bytes; at most 16,777,216 can be sent back"),
    (work.shut_the_door, "killed", "", "closed its door"),
]


@pytest.mark.usefixtures("_no_child_is_left")
def test_whatever_a_process_does_its_run_ends_with_what_became_of_it() -> None:
    with in_real_time() as node:
        node.call("a", [blocking(str(n), one[0]) for n, one in enumerate(BAD)])
        ends = {one.key: one for one in until(node, len(BAD))}
        for n, (_, reason, kind, said) in enumerate(BAD):
            error = ends[str(n)].error
            assert (error.reason, error.type) == (reason, kind), error
            assert said in error.message
        settle(node)


UNREADABLE = [
    (work.unreadable, ValueError("it cannot be read back"), "ValueError"),
    (work.unreadable, SystemExit(3), "SystemExit"),
    (work.unreadable, KeyboardInterrupt(), "KeyboardInterrupt"),
    (work.of_a_module_that_is_nowhere_else, None, "ModuleNotFoundError"),
    (work.of_a_name_that_is_nowhere_else, None, "AttributeError"),
    (work.write_itself, b"", "EOFError"),
    (work.write_itself, b"Dx", "UnpicklingError"),
    (work.write_itself, b"F" + pickle.dumps(3), "TypeError"),
]


@pytest.mark.usefixtures("_no_child_is_left")
def test_whatever_reading_its_answer_raises_a_run_has_failed_at_once() -> None:
    """What the frame that finds classes raised was taken for an exception from outside."""
    with in_real_time() as node:
        runs = [
            blocking(str(n), function, *([] if arg is None else [arg]))
            for n, (function, arg, _) in enumerate(UNREADABLE)
        ]
        node.call("a", runs)
        ends = {int(one.key): one.error for one in until(node, len(UNREADABLE))}
        said = [(ends[n].reason, ends[n].type) for n in range(len(UNREADABLE))]
        assert said == [("unsendable", kind) for _, _, kind in UNREADABLE]
        settle(node)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((work.Unpicklable(),), "it cannot be pickled"),
        ((threading.Lock(),), "cannot be pickled"),
        ((b"x" * 17_000_000,), "at most 16,777,216"),
    ],
    ids=["not picklable", "not of C", "too much"],
)
def test_arguments_that_cannot_be_sent_fail_the_run_at_once(args: Any, said: str) -> None:
    with running() as node:
        node.call("a", ask(Run("x", work.double, *args)))
        node.run()
        (end,) = got(node)
        assert end.error.reason == "unsendable"
        assert said in end.error.message


def test_where_no_process_can_be_made_the_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with running() as node:
        node.call("a", ask(Run("x", work.double, 1)))
        node.run()
        assert [(one.error.reason, one.error.type) for one in got(node)] == [
            ("raised", "FileNotFoundError")
        ]


@pytest.mark.usefixtures("_no_child_is_left")
@pytest.mark.parametrize("how", ["cancel", "crash", "stop", "time is over"])
def test_a_process_ends_with_its_run_and_all_that_it_has_begun_too(
    how: str, tmp_path: Path
) -> None:
    place = tmp_path / "pid"
    with in_real_time() as node:
        node.call("a", ask(blocking("x", work.begin_another, str(place))))
        pid = read_pid(node, place)
        match how:
            case "cancel":
                node.call("a", ask(CancelRun("x")))
            case "crash":
                with pytest.raises(CalleeCrashed):
                    node.call("a", fail)
            case "stop":
                node.stop()
            case _:
                run_over(node._world, node._world.timers.find(1)[1])  # type: ignore[index]  # it is there
        assert ended(node, pid)
        settle(node)


def read_pid(node: Node, place: Path) -> int:
    """Serve a node until a process has said who it is."""
    end_s = time.monotonic() + 60
    while not (place.exists() and place.read_text()) and time.monotonic() < end_s:
        node.run(0.02)
    return int(place.read_text())


def ended(node: Node, pid: int) -> bool:
    """Whether a process ends soon; one that nobody has seen end counts, too."""
    for _ in range(6000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def children() -> set[int]:
    """The processes of ours, those that have ended and were not seen to among them."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(place.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(place.parent.name))
    return found


@pytest.fixture
def _no_child_is_left() -> Iterator[None]:
    """What a test has begun is gone at its end, and was seen to be."""
    before = children()
    yield
    assert children() <= before


def settle(node: Node) -> None:
    """Serve a node until it has seen all its processes end."""
    end_s = time.monotonic() + 60
    while node._world.outside.runner.has_work() and time.monotonic() < end_s:
        node.run(0.02)


ORPHANED = """
import os, sys
from ssm_cli import Node, Run, StateMachine, Supervisor, Worker
from tests.runtime import outside_work as work

machine = StateMachine(step=lambda message, state: (state, None, [message]))
with Node(Supervisor("root", children=[Worker("a", machine)])) as node:
    node.call("a", Run("x", work.begin_another, sys.argv[1], timeout_ms=60_000))
    node.run(60)
"""


def test_no_process_outlives_a_node_that_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    program = subprocess.Popen([sys.executable, "-c", ORPHANED, str(place)])
    try:
        with in_real_time() as node:
            pid = read_pid(node, place)
            program.kill()
            program.wait()
            assert ended(node, pid)
    finally:
        program.kill()


PROGRAM = """
import sys
from ssm_cli import Done, Node, Run, StateMachine, Supervisor, Worker

def double(n):
    return n * 2

def step(message, state):
    return ([message], None) if isinstance(message, Done) else (state, state, message)

if __name__ == "__main__":
    tree = Supervisor("root", children=[Worker("a", StateMachine(step=step))])
    with Node(tree) as node:
        node.call("a", [Run("x", double, 4, timeout_ms=60_000)])
        while not (found := node.call("a", ())):
            node.run(0.05)
        print(found)
"""


def test_a_function_of_the_program_itself_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    said = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (said.stdout, said.stderr) == ("[Done(key='x', value=8)]\n", "")


def test_a_function_of_a_file_that_a_tree_names_can_be_run_with_its_neighbours(
    tmp_path: Path,
) -> None:
    (tmp_path / "neighbour_of_runs.py").write_text(NEIGHBOUR)
    (tmp_path / "machine.py").write_text(FILE)
    (tmp_path / "tree.yaml").write_text(
        "supervisor: root\nchildren:\n  - {worker: a, start: ./machine.py:machine}\n"
    )
    with Node(load_tree(tmp_path / "tree.yaml")) as node:
        node.call("a", "begin")
        (done,) = until(node, 1)
        assert (done, type(done.value)) == (Done("x", done.value), node.call("a", "kind"))
        assert done.value.number == 8


NEIGHBOUR = """
class Doubled:
    def __init__(self, number):
        self.number = number

    def again(self):
        return Doubled(self.number * 2)
"""
FILE = """
from ssm_cli import Done, Failed, Run, StateMachine
from neighbour_of_runs import Doubled

def work(value):
    assert isinstance(value, Doubled)
    return value.again()

def step(message, state):
    if message == "kind":
        return state, Doubled
    if isinstance(message, Done | Failed):
        return [*state, message], None
    run = [Run("x", work, Doubled(4), timeout_ms=60_000)] if message == "begin" else []
    return state, list(state), run

machine = StateMachine(step=step, init=lambda name, args: [])
"""


# -- what is seen of them ----------------------------------------------------------------------


def test_the_tree_shows_how_many_runs_a_worker_has_under_way() -> None:
    with running("a", "b") as node:
        node.call("a", [Run(f"x{n}", work.aforever) for n in range(3)])
        node.call("b", ask(Run("y", work.aforever)))
        node.run()
        text = "\n".join(tree_lines(node.tree()))
        assert "running, 3 runs" in text
        assert "running, 1 run " in text
        assert [child.get("runs") for child in tree_record(node.tree())["children"]] == [3, 1]
        assert node.fork().tree().children[0].runs == 3


# -- init --------------------------------------------------------------------------------------


def test_an_init_may_ask_for_effects_and_for_its_end() -> None:
    def init(_name: str, _args: Any) -> Any:
        return Ok([], effects=[Run("x", work.adouble, 1), Cast("b", ask()), Exit("enough")])

    short = Worker("a", StateMachine(step=step, init=init), restart="temporary")
    tree = Supervisor("root", children=[Worker("b", collector), short])
    with Node(tree, clock=ManualClock()) as node:
        node.run()
        assert [word for word in events(node) if word.endswith(" a")] == [
            "starting a", "started a", "terminating a", "terminated a",
        ]  # fmt: skip
        (told,) = [r for r in node.reports(0) if r.event == "terminated" and r.id == "a"]
        assert told.detail["reason"] == "stop:enough"
        assert not node._world.outside.runner.has_work()


def test_of_many_runs_whose_time_is_over_at_once_so_many_end_before_others_are_served() -> None:
    clock, many = ManualClock(), 5 * MOST_RUNS_ENDED
    with Node(tree("a", "b"), clock=clock, guard=False) as node:
        runs = [Run(f"{n}", work.aforever, timeout_ms=1000, limit=many) for n in range(many)]
        node.call("a", ask(*runs))
        clock.sleep_s(2)
        node.call("b", ask())
        assert node.tree().children[0].runs >= many - 2 * MOST_RUNS_ENDED
        node.run()
        assert len(node.call("a", ask())) == many
