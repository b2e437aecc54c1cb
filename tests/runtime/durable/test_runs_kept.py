"""Runs of durable workers: done at least once, and their ends served once."""

from __future__ import annotations

import asyncio
import functools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    CalleeStopped,
    ManualClock,
    MemoryStore,
    Node,
    OnStorageError,
    Run,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.runtime.durable.records import FORMAT
from tests.runtime.durable import run_work
from tests.runtime.durable.run_work import Ask, Cancel, Crash, Get, machine


def tree(**options: Any) -> Any:
    options.setdefault("persist", "journal")
    return Supervisor("root", children=[Worker("a", machine, **options)], intensity=10)


@contextmanager
def opened(store: Any, **options: Any) -> Iterator[Node]:
    """A node over a store, that is left at the end as if its process was killed."""
    node = Node(tree(**options), clock=ManualClock(), store=store).start()
    yield node
    node._world.outside.runner.close()


def noted(place: Path) -> list[str]:
    return place.read_text().split() if place.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "noted"


def test_a_run_whose_end_is_not_recorded_is_asked_for_again_by_the_next_process(
    place: Path,
) -> None:
    store = MemoryStore()
    with opened(store) as node:
        node.call("a", Ask("x", str(place), waits=True))
        node.call("a", Ask("y", str(place)))
        node.run()
        assert node.call("a", Get()) == "y:did y"
    assert noted(place) == ["x", "y"]
    with opened(store) as node:
        assert node.tree().children[0].runs == 1
        node.run()
        assert noted(place) == ["x", "y", "x"]
        assert node.call("a", Get()) == "y:did y"


def test_one_whose_end_is_recorded_or_that_was_cancelled_is_not(place: Path) -> None:
    store = MemoryStore()
    with opened(store) as node:
        node.call("a", Ask("x", str(place)))
        node.call("a", Ask("y", str(place), waits=True))
        node.run()
        node.call("a", Cancel("y"))
    with opened(store) as node:
        node.run()
        assert node.call("a", Get()) == "x:did x"
        assert node.tree().children[0].runs == 0
    assert noted(place) == ["x", "y"]


@pytest.mark.parametrize("snapshot_every", [1000, 1])
def test_what_is_under_way_outlives_saved_states_and_a_stop_in_order(
    place: Path, snapshot_every: int
) -> None:
    store, spec = MemoryStore(), tree()
    spec = msgspec.structs.replace(spec, snapshot_every=snapshot_every)
    for _ in range(2):
        with Node(spec, clock=ManualClock(), store=store) as node:
            if not noted(place):
                node.call("a", Ask("x", str(place), waits=True))
                for _ in range(3):
                    node.call("a", Get())
            node.run()
    assert noted(place) == ["x", "x"]


def test_a_restart_asks_again_for_what_the_life_before_had_under_way(place: Path) -> None:
    with opened(MemoryStore(), on_crash="last_good") as node:
        node.call("a", Ask("x", str(place), waits=True))
        node.run()
        with pytest.raises(CalleeCrashed):
            node.call("a", Crash())
        node.run()
        assert (noted(place), node.tree().children[0].runs) == (["x", "x"], 1)


def test_one_that_begins_anew_after_a_crash_does_not(place: Path) -> None:
    store = MemoryStore()
    with opened(store, on_crash="init") as node:
        node.call("a", Ask("x", str(place), waits=True))
        node.run()
        with pytest.raises(CalleeCrashed):
            node.call("a", Crash())
        node.run()
        assert (noted(place), node.tree().children[0].runs) == (["x"], 0)
    with opened(store, on_crash="init") as node:
        assert node.tree().children[0].runs == 0


def test_a_run_that_is_not_written_yet_as_its_worker_crashes_is_not_lost(place: Path) -> None:
    store = MemoryStore()
    with opened(store, on_crash="last_good") as node:
        store.late = True
        node.send_request("a", Ask("x", str(place), waits=True))
        node.send_request("a", Crash())
        node.run()
        store.late = False
        store.land()
        node.run()
        assert (noted(place), node.tree().children[0].runs) == (["x"], 1)
    with opened(store, on_crash="last_good") as node:
        assert node.tree().children[0].runs == 1


def test_a_run_that_could_never_be_written_is_not_done(place: Path) -> None:
    store = MemoryStore()
    spec = msgspec.structs.replace(tree(), on_storage_error=OnStorageError.REFUSE)
    with Node(spec, clock=ManualClock(), store=store) as node:
        store.failing = StorageError("no room")
        with pytest.raises(CalleeStopped):
            node.call("a", Ask("x", str(place)))
        node.run()
        assert (noted(place), node.tree().children[0].runs) == ([], 0)
        store.failing = None


def test_an_end_that_could_not_be_written_is_served_again_once_something_can_be(
    place: Path,
) -> None:
    store = MemoryStore()
    spec = msgspec.structs.replace(tree(), on_storage_error=OnStorageError.REFUSE)
    with Node(spec, clock=ManualClock(), store=store) as node:
        node.call("a", Ask("x", str(place)))
        store.failing = StorageError("no room")
        node.run()
        store.failing = None
        node.call("a", Get())
        assert node.call("a", Get()) == "x:did x"
    assert noted(place) == ["x"]


def test_an_answer_that_no_record_can_carry_fails_the_run() -> None:
    with opened(MemoryStore()) as node:
        node.call("a", Ask("odd", ""))
        node.run()
        assert node.call("a", Get()) == "odd:unsendable"


def test_a_function_that_a_later_version_has_not_fails_the_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    with opened(store) as node:
        node.call("a", Ask("x", str(place), waits=True))
    with Node(tree(), clock=ManualClock(), store=store):
        pass  # its saved state holds what is under way
    monkeypatch.delattr(run_work, "note")
    for _ in range(2):  # the second time from what the first has saved
        node = Node(tree(), clock=ManualClock(), store=store).start()
        run = node._world.names["a"].extra.runs["x"].run  # type: ignore[union-attr]  # it has one
        assert "tests.runtime.durable.run_work:note is not there" in told_by(run)
        node._world.outside.runner = None
        node.stop()
    monkeypatch.undo()
    with opened(store) as node:
        node.run()
    assert noted(place) == ["x"]


def told_by(run: Run) -> str:
    """What the function of a run raises."""
    with pytest.raises(LookupError) as raised:
        asyncio.run(run.function(*run.args))  # type: ignore[arg-type]  # it is async
    return str(raised.value)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Run("x\ud800", run_work.odd), "a key that cannot be recorded"),
        (Run("x", functools.partial(run_work.odd)), "a partial for its function"),
        (Run("x", told_by, object()), "the arguments of Run 'x' of a cannot be recorded: tuple[0]"),  # type: ignore[arg-type]  # on purpose
    ],
    ids=["a key", "a partial", "arguments"],
)
def test_what_no_record_can_carry_is_refused_as_it_is_asked_for(run: Run, said: str) -> None:
    asks = StateMachine(step=lambda _message, state: (state, None, [run]))
    spec = Supervisor("root", children=[Worker("a", asks, persist="journal")])
    with Node(spec, clock=ManualClock(), store=MemoryStore()) as node:
        with pytest.raises(CalleeCrashed) as caught:
            node.call("a", b"go")
        assert said in str(caught.value)


PROGRAM = """
import sys
from ssm_cli import FolderStore, Node, Supervisor, Worker
from tests.runtime.durable.run_work import Ask, Get, machine

folder, place = sys.argv[1:]
tree = Supervisor("root", children=[Worker("a", machine, persist="journal")])
with Node(tree, store=FolderStore(folder)) as node:
    if not node.tree().children[0].runs:
        node.call("a", Ask("x", place, waits=True))
    node.run(60)
"""


def test_after_kill_9_a_run_is_done_again(tmp_path: Path, place: Path) -> None:
    for times in (1, 2):
        argv = [sys.executable, "-c", PROGRAM, str(tmp_path / "data"), str(place)]
        with subprocess.Popen(argv) as program:
            end_s = time.monotonic() + 60
            while len(noted(place)) < times and time.monotonic() < end_s:
                time.sleep(0.02)
            program.send_signal(signal.SIGKILL)
    assert noted(place) == ["x", "x"]


def test_a_replay_of_the_journal_does_nothing_again(place: Path) -> None:
    store = MemoryStore()
    with opened(store) as node:
        node.call("a", Ask("x", str(place)))
        node.run()
        node.call("a", Ask("y", str(place), waits=True))
        node.run()
    recovered = Recovered(store, tree(), effects=True)
    assert not recovered.troubles
    assert noted(place) == ["x", "y"]


def test_the_format_of_a_journal_with_runs_is_one_that_an_older_ssm_refuses() -> None:
    assert FORMAT > 2
