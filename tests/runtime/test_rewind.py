"""Rewinding: the tree at a record is what somebody saw who looked at it then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import cycle
from random import Random
from typing import Any

import pytest

from ssm_cli import (
    Backoff,
    CallError,
    ManualClock,
    Node,
    StartFailed,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.runtime.engine.fork import fork
from ssm_cli.runtime.engine.recorder import Moment
from ssm_cli.runtime.performer.breaking import Break
from ssm_cli.runtime.recording.rewind import entries_to, first_in
from tests.runtime.test_fork import (
    BROKEN,
    a_tree,
    all_behaviours,
    an_act,
    an_act_by_bytes,
    do,
    seen,
)
from tests.thorough import tries

Act = Callable[[Random, Node], Callable[[Node], object]]


def look(node: Node) -> tuple[Any, ...]:
    """All that can be seen of a node."""
    return node.digest(), seen(node, 0), node.tree()


def a_remembered_history(
    seed: int, acts: int, an_act: Act = an_act
) -> list[tuple[int, tuple[Any, ...], Node]]:
    """What an eager recorder has seen of a random history; the node is the same in all of it."""
    r = Random(seed)
    BROKEN.clear()
    most = r.choice([16, 64, 1000])
    node = Node(a_tree(r, "s", 2), clock=ManualClock(), seed=seed, history=most)
    node._world.outside.runner = None  # `end_a_run` stands for it
    try:
        node.start()
    except StartFailed:
        return []
    saw = []
    for _ in range(acts):
        if r.random() < 0.1:
            BROKEN.symmetric_difference_update({r.choice([*node.names("worker"), "new"])})
        do(node, an_act(r, node))
        if node.running:
            node.run(0)
        if not node.queue and node.running:
            recorder = node.recorder()
            assert recorder is not None
            entries = [e for e in recorder.ring if type(e[5]) is not Moment]
            saw.append((node.record, (*look(node), node.now_s(), entries[-1:]), node))
    return saw


def last_entry(node: Node, record: int) -> object:
    """The last thing that is remembered to have happened at once with a record."""
    recorder = node.recorder()
    assert recorder is not None
    entries = [e for e in entries_to(recorder, record) if type(e[5]) is not Moment]
    return entries[-1] if entries else None


def compare(seed: int, act: Act = an_act) -> int:
    """Compare the tree at each record of a random history; return how many were."""
    compared = 0
    saw = a_remembered_history(seed, 30, act)
    last = {record: then for record, then, _ in saw}
    for record, then in last.items():
        node = saw[0][2]
        recorder = node.recorder()
        if record < node.first_record() or recorder is None or first_in(recorder) is None:
            continue  # so much has happened at once that nothing before it is remembered
        if then[4] and last_entry(node, record) is not then[4][0]:
            continue  # it was seen later
        at = node.at(record)
        at._world.clock.at_s = then[3]  # when it was seen
        assert seen(at, 0) == then[1], (seed, record)
        assert at.digest() == then[0], (seed, record)
        compared += 1
    return compared


@pytest.mark.parametrize("codes", [nullcontext, all_behaviours], ids=["", "all behaviours"])
@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_the_tree_at_a_record_is_as_an_eager_recorder_saw_it(hundred: int, codes: Any) -> None:
    with codes():
        assert sum(map(compare, range(hundred * 100, hundred * 100 + 100))) > 300


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_so_it_is_where_inputs_wait_as_bytes(hundred: int) -> None:
    first = 2000 + hundred * 100
    assert sum(compare(seed, an_act_by_bytes) for seed in range(first, first + 100)) > 300


def an_act_with_breaks(r: Random, node: Node) -> Callable[[Node], object]:
    """As `an_act`, or a break that holds at random, or the end of one."""
    name, drop = r.choice([*node.names("worker"), "nobody"]), r.random() < 0.3
    found = Break(1, "at random", lambda *_: ("input", "") if r.random() < 0.3 else None)
    return r.choice(
        [
            an_act(r, node),
            an_act(r, node),
            lambda n: n.set_breaks(name, (found,)),
            lambda n: n.leave_break(name, drop=drop),
        ]
    )


def test_the_tree_at_a_record_is_as_it_was_seen_with_breaks_too() -> None:
    assert sum(compare(seed, an_act_with_breaks) for seed in range(1000, 1150)) > 300


def test_the_last_records_can_be_shown_though_some_moments_take_long_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, quick, held_up = ManualClock(), fork, cycle((0.05, 0.0))

    def late(*given: Any) -> Any:
        clock.advance_s(next(held_up))  # the machine gets on with other work
        return quick(*given)

    monkeypatch.setattr("ssm_cli.runtime.engine.recorder.fork", late)
    counter = StateMachine(step=lambda _, state: (state + 1, state + 1), init=lambda *_: 0)
    tree = Supervisor("root", children=[Worker("a", counter), Worker("b", counter)])
    with Node(tree, clock=clock, history=200) as node:
        for _ in range(3000):
            node.call("a", "on")
        last = node.record
        assert [node.at(last - n).get_state("a") for n in (0, 50, 90)] == [3000, 2950, 2910]


def test_a_worker_that_ends_as_a_timer_is_due_began_again_behind_that() -> None:
    clock = ManualClock()

    def step(message: str, state: int) -> tuple[int, int]:
        if message == "crash":
            clock.advance_s(0.1)  # the back-off of `late` is over meanwhile
            raise ValueError(message)
        return state + 1, state + 1

    counter = StateMachine(step=step, init=lambda *_: 0)
    late = Worker("late", counter, backoff=Backoff(20, max_ms=40))
    tree = Supervisor(
        "root", children=[Worker("a", counter, on_crash="last_good"), late], intensity=100
    )
    with Node(tree, clock=clock, history=200) as node:
        saw: list[tuple[int, tuple[Any, ...]]] = []
        for _ in range(5):
            for name, message in (("late", "crash"), ("a", "on"), ("a", "crash")):
                with suppress(CallError):
                    node.call(name, message, timeout_s=1.0)
                saw.append((node.record, look(node)))
        assert [(record, look(node.at(record))[2]) for record, _ in saw[-8:]] == [
            (record, seen[2]) for record, seen in saw[-8:]
        ]
