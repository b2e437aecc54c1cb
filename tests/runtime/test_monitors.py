"""Monitors: a worker hears of the end of another, once, as long as it lives itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    Demonitor,
    Down,
    Exit,
    GenServer,
    Monitor,
    Node,
    NoReply,
    Ok,
    SsmError,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.partition import number_of
from ssm_cli.runtime.engine import monitors
from tests.runtime.test_effects import asks
from tests.runtime.workers import Server, actor, add, fail, get, running, worker

ONE, TWO, THREE = [key for key in "abcdefghijkl" if number_of(key, 2) == 0][:3]  # of k-1


class Hears(GenServer):
    """Monitors those in its arguments, and puts down what it hears."""

    def init(self, name: str, args: Any) -> Ok:
        return Ok([], effects=[Monitor(worker) for worker in args["of"]])

    def handle_cast(self, message: Any, state: Any) -> NoReply:
        return NoReply(state, effects=[message])

    def handle_info(self, message: Any, state: Any) -> NoReply:
        return NoReply([*state, message])


def hears(*of: str, name: str = "h", **options: Any) -> Any:
    return Worker(name, Hears, args={"of": of}, **options)


ENDS: dict[str, tuple[Callable[[Node], object], str]] = {
    "crash": (lambda node: node.call("a", fail), "crash"),
    "kill": (lambda node: node.kill("a"), "killed"),
    "stop": (lambda node: node.stop_process("a"), "normal"),
    "exit": (lambda node: node.call("a", asks(Exit("done"))), "stop:done"),
    "restart": (lambda node: node.perform("restart", "a"), "shutdown"),
    "sibling": (lambda node: node.call("sibling", fail), "shutdown"),
    "supervisor": (lambda node: node.kill("below"), "killed"),
    "terminate": (lambda node: node.terminate_child("below", "a"), "shutdown"),
}


@pytest.mark.parametrize("way", ENDS)
def test_a_monitor_tells_of_the_end_with_the_reason_of_the_reports(way: str) -> None:
    below = Supervisor("below", "one_for_all", [worker("a"), worker("sibling")], intensity=9)
    with running(below, hears("a")) as node:
        act, reason = ENDS[way]
        with contextlib.suppress(SsmError):
            act(node)
        node.run()
        assert node.get_state("h") == [Down("a", reason)]
        node.kill("below")
        node.run()
        assert node.get_state("h") == [Down("a", reason)]  # once


def test_a_worker_that_does_not_run_or_is_none_is_down_at_once() -> None:
    with running(worker("a"), worker("t", restart="temporary"), hears()) as node:
        node.stop_process("a")
        node.terminate_child("root", "a")
        for name in ("a", "nobody", "root"):
            node.cast("h", Monitor(name))
        node.run()
        assert node.get_state("h") == [Down(name, "noproc") for name in ("a", "nobody", "root")]


@pytest.mark.parametrize(
    "names", [("root/a", "a"), ("a", "root/a"), ("a", "a"), ("root/a",)], ids=" ".join
)
def test_it_is_told_by_each_name_that_it_has_asked_for_once(names: tuple[str, ...]) -> None:
    with running(worker("a"), hears(*names, *names)) as node:
        node.kill("a")
        node.run()
        assert node.get_state("h") == [Down(name, "killed") for name in dict.fromkeys(names)]
        node.kill("a")
        node.run()
        assert len(node.get_state("h")) == len({*names})


def test_a_child_of_a_pool_and_a_partition_are_told_by_each_of_their_names() -> None:
    pool = Supervisor("p", "simple_one_for_one", [worker("t")])
    parts = Supervisor("pt", children=[worker("k")], partitions=2)
    with running(pool, parts, hears(), intensity=9) as node:
        node.start_child("p", "x")
        names = ["p:x", "x", f"pt:{ONE}", f"pt:{TWO}", "root/p/x"]
        for name in names:
            node.cast("h", Monitor(name))
        node.run()
        digest, other = node.digest(), node.fork()
        for one in (node, other):
            one.kill("x")
            one.kill("k-1")
            one.run()
            down = [
                Down(name, "killed") for name in ("p:x", "x", "root/p/x", f"pt:{ONE}", f"pt:{TWO}")
            ]
            assert one.get_state("h") == down
        assert node.digest() == other.digest() != digest


def test_what_it_is_told_by_counts_for_how_a_node_goes_on() -> None:
    digests = set()
    for names in (("a",), ("root/a",), ("a", "root/a")):
        with running(worker("a"), hears()) as node:
            for name in names:
                node.cast("h", Monitor(name))
            node.run()
            digests.add(node.digest())
    assert len(digests) == 3


def test_who_hears_no_more_hears_nothing_by_no_name() -> None:
    with running(worker("a"), hears("a", "root/a")) as node:
        node.cast("h", Demonitor("a"))
        node.run()
        node.kill("a")
        node.run()
        assert node.get_state("h") == []


def test_names_of_one_worker_count_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitors, "MOST_MONITORED", 2)
    parts = Supervisor("pt", children=[worker("k")], partitions=2)
    with running(parts, worker("a")) as node:
        asked = [Monitor(f"pt:{ONE}"), Monitor(f"pt:{TWO}")]
        node.call("a", lambda state: (state, None, asked))
        node.call("a", lambda state: (state, None, asked))
        with pytest.raises(CalleeCrashed, match=r"a monitors more than .* workers"):
            node.call("a", lambda state: (state, None, [Monitor(f"pt:{THREE}")]))


def test_who_hears_no_more_hears_nothing() -> None:
    with running(worker("a"), hears("a")) as node:
        node.cast("h", Demonitor("root/a"))
        node.cast("h", Demonitor("nobody"))
        node.run()
        node.kill("a")
        node.run()
        assert node.get_state("h") == []


def test_a_monitor_ends_with_the_life_that_asked_for_it() -> None:
    with running(worker("a"), worker("w", args={"state": []})) as node:
        node.call("w", lambda state: (state, None, [Monitor("a")]))
        with pytest.raises(CalleeCrashed):
            node.call("w", fail)
        node.kill("a")
        node.run()
        assert node.call("w", get) == []
        assert (node._world.monitors.watchers, node._world.monitors.watched) == ({}, {})


def test_a_down_that_waits_is_void_once_its_worker_has_ended() -> None:
    tree = [worker("a"), hears("a"), worker("b")]
    with running(*tree, strategy="one_for_all") as node:
        node.suspend("h")
        node.kill("a")  # and with it all others, which start anew and monitor it again
        node.run()
        assert node.get_state("h") == []
        assert node.dropped == 0


def test_two_workers_that_monitor_each_other_hear_of_each_other() -> None:
    with running(hears("y", name="x"), hears("x", name="y")) as node:
        assert node._world.monitors.watched == {"y": ("x",)}  # y was not there when x began
        node.cast("x", Monitor("y"))
        node.run()
        node.kill("x")
        node.run()
        assert node.get_state("y") == [Down("x", "killed")]
        node.kill("y")
        node.run()
        assert node.get_state("x") == [Down("y", "killed")]  # it has begun anew, when y was up


def test_a_pure_step_gets_it_as_an_input() -> None:
    def step(message: Any, state: Any) -> Any:
        watches = [Monitor("a")] if message == "watch" else []
        return [*state, message], None, watches

    pure = actor.__class__(step=step, init=lambda *_: [])
    with running(worker("a"), Worker("p", pure)) as node:
        node.call("p", "watch")
        node.kill("a")
        node.run()
        assert node.get_state("p") == ["watch", Down("a", "killed")]


def test_too_many_monitors_are_a_crash_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitors, "MOST_MONITORED", 2)
    with running(*(worker(name) for name in "abcd")) as node:
        node.call("a", asks(Monitor("b"), Monitor("c"), Monitor("b")))
        with pytest.raises(CalleeCrashed, match=r"a monitors more than .* workers"):
            node.call("a", asks(Monitor("d")))


def test_a_fork_has_monitors_of_its_own() -> None:
    with running(worker("a"), hears("a")) as node:
        fork = node.fork()
        assert fork.digest() == node.digest()
        fork.kill("a")
        fork.run()
        assert fork.get_state("h") == [Down("a", "killed")]
        assert node.get_state("h") == []
        node.cast("h", Demonitor("a"))
        before = node.digest()
        node.run()
        assert node.digest() != before


def test_what_waits_when_the_tree_stops_is_reported_as_dropped() -> None:
    node = Node(Supervisor("root", children=[worker("a"), Worker("s", Server)])).start()
    for name in ("a", "s"):
        node.suspend(name)
        node.cast(name, add(1))
        node.cast(name, add(1))
    node.stop(drain=False)
    dropped = [report.detail for report in node.reports() if report.event == "dropped"]
    assert [told["to"] for told in dropped] == ["a", "a", "s", "s"]
    assert node.dropped == 4
    assert node.reports()[-1].event == "stopped"
