"""Changes of a tree that keeps states: what is acknowledged goes along, or is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import Cast, Node, StateMachine, Supervisor
from ssm_cli.errors import Unrecovered
from ssm_cli.storage.memory import MemoryStore
from tests.runtime.durable.parts import (
    Add,
    Later,
    Message,
    Seen,
    World,
    init,
    step,
    tree,
    worker,
)

PERSISTS = pytest.mark.parametrize("persist", ["journal", "snapshot"])
AFTER = pytest.mark.parametrize("after", ["nothing", "stop", "kill"])


def doubling(message: Message, state: list[int]) -> Any:
    """Other code of the same inputs and states: each number counts twice."""
    answer = step(message, state)
    return (answer[0] + answer[0][-1:], *answer[1:]) if isinstance(message, Add) else answer


double = StateMachine(
    step=doubling, init=init, inputs=Message, outputs=Seen, version="2",
    migrate=lambda _version, state: state,
)  # fmt: skip
unnamed = StateMachine(step=doubling, init=init, inputs=Message, outputs=Seen)


def lost(w: World, after: str) -> None:
    """Lose the process, or not."""
    if after == "kill":
        w.crash(w.node.spec)
    elif after == "stop":
        w.restart(w.node.spec)


def applied(w: World, *children: Any, **flags: Any) -> list[str]:
    done = w.node.apply(tree(*children, **flags))
    assert done.failed is None, done.reason
    return [f"{one.act} {one.id}: {one.why}" for one in done.done]


@AFTER
@PERSISTS
def test_other_args_leave_the_state_of_a_durable_worker(persist: str, after: str) -> None:
    w = World(tree(worker("a", persist=persist)))
    w.node.call("a", Add(1))
    assert applied(w, worker("a", persist=persist, args={"begin": [9]})) == [
        "restart a: args: begin; its stored state goes with it"
    ]
    w.node.call("a", Add(2))
    lost(w, after) if (persist, after) != ("snapshot", "kill") else None
    assert w.peek("a") == [1, 2]


@AFTER
@PERSISTS
def test_other_code_goes_on_with_the_state_and_its_journal_is_stepped_by_it(
    persist: str, after: str
) -> None:
    w = World(tree(worker("a", persist=persist), worker("b")))
    w.node.call("a", Add(1))
    applied(w, worker("a", double, persist=persist), worker("b"))
    assert w.peek("a") == [1]
    w.node.call("a", Add(2))
    lost(w, after) if (persist, after) != ("snapshot", "kill") else None
    assert (w.peek("a"), w.events("down")) == ([1, 2, 2], [])


@AFTER
def test_code_of_another_name_is_asked_about_and_all_of_the_state_is_kept(after: str) -> None:
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    w.node.call("b", Add(1))
    w.node.apply(tree(worker("a", unnamed), worker("b")))
    assert w.node.plan(tree(worker("a", unnamed), worker("b"))).todo == ()
    lost(w, after)
    assert w.events("down") == ["down a"]
    assert w.peek("b") == [1], "the others run"
    applied(w, worker("a"), worker("b"))
    assert w.peek("a") == [1], "with the code from before it goes on"
    w.node.call("a", Add(2))
    lost(w, after)
    assert w.peek("a") == [1, 2]


@pytest.mark.parametrize("after", ["nothing", "stop"])
def test_a_state_that_cannot_be_migrated_is_kept_for_code_that_can(after: str) -> None:
    bad = StateMachine(
        step=doubling, init=init, inputs=Message, outputs=Seen, version="2",
        migrate=lambda _version, state: state[99],
    )  # fmt: skip
    w = World(tree(worker("a")))
    w.node.call("a", Add(1))
    w.node.apply(tree(worker("a", bad)))
    lost(w, after)
    assert w.events("down") == ["down a"]
    applied(w, worker("a", double))
    assert w.peek("a") == [1]


@AFTER
def test_what_is_stored_of_a_worker_that_is_gone_is_kept(after: str) -> None:
    w = World(tree(worker("a"), worker("b", persist="none")))
    w.node.call("a", Add(1))
    assert applied(w, worker("b", persist="none")) == [
        "stop a: gone from the file; what is stored of a is kept"
    ]
    lost(w, after)
    wanted = tree(worker("a"), worker("b", persist="none"))
    assert w.node.plan(wanted).todo[0].why == "new; what is stored of it comes back"
    applied(w, worker("a"), worker("b", persist="none"))
    assert w.peek("a") == [1]


@AFTER
@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_a_renamed_worker_is_held_back_until_somebody_says_what_it_is(
    persist: str, after: str
) -> None:
    if (persist, after) == ("snapshot", "kill"):
        pytest.skip("a kill loses what no snapshot was made of")
    w = World(tree(worker("a", persist=persist), worker("b", persist="none")))
    w.node.call("a", Add(1))
    wanted = tree(worker("c", persist=persist), worker("b", persist="none"))
    starts = [step for step in w.node.plan(wanted).todo if step.act == "start"]
    assert ["it may be a, renamed" in step.why for step in starts] == [True]
    w.node.apply(wanted)
    assert w.events("down") == ["down c"]
    assert w.node.plan(wanted).todo == (), "it is not tried each time"
    lost(w, after)
    assert (w.events("down")[-1], w.node.whereis("c")) == ("down c", None)
    w.restart(tree(worker("a", persist=persist), worker("b", persist="none")))
    assert w.peek("a") == [1]


def test_the_past_is_there_before_and_behind_a_worker_that_was_held_back() -> None:
    store = MemoryStore()
    with Node(tree(worker("a"), worker("b")), store=store, history=64) as node:
        node.call("a", Add(1))
        node.apply(tree(worker("c"), worker("b")))
        node.call("b", Add(2))
        first, last = node.at(1), node.at(node.record)
        assert first.get_state("a") == [1]
        assert last.get_state("b") == [2]
        assert last.whereis("c") is None
        told = [(report.event, report.id) for report in node.reports()]
        assert [(report.event, report.id) for report in last.reports()] == told
        assert last.digest() == node.at(node.record).digest()


def test_a_new_worker_of_the_same_code_beside_the_old_one_is_no_renamed_one() -> None:
    w = World(tree(worker("a")))
    w.node.call("a", Add(1))
    applied(w, worker("a"), worker("c"))
    assert (w.peek("c"), w.events("down")) == ([], [])


@AFTER
def test_a_durable_worker_moves_with_its_state(after: str) -> None:
    w = World(tree(worker("a"), Supervisor("s")))
    w.node.call("a", Add(1))
    steps = applied(w, Supervisor("s", children=[worker("a")]))
    assert [step.partition(":")[0] for step in steps] == ["stop a", "start a"]
    lost(w, after)
    assert (w.peek("a"), w.events("down")) == ([1], [])


def test_a_timer_of_a_durable_worker_outlives_its_restart() -> None:
    w = World(tree(worker("a")))
    w.node.call("a", Later("k", 1000, 5))
    applied(w, worker("a", args={"begin": [9]}))
    w.clock.advance_s(2.0)
    w.node.run()
    assert w.peek("a") == [5]


@AFTER
def test_a_worker_becomes_durable_and_ceases_to_be(after: str) -> None:
    w = World(tree(worker("a", persist="none", on_crash="init"), worker("b")))
    w.node.call("a", Add(1))
    applied(w, worker("a"), worker("b"))
    assert w.peek("a") == [], "another child, which begins by init"
    w.node.call("a", Add(2))
    lost(w, after)
    assert w.peek("a") == [2]
    applied(w, worker("a", persist="none", on_crash="init"), worker("b"))
    assert w.peek("a") == []
    assert applied(w, worker("a"), worker("b")) == [
        "restart a: persist none -> journal; what is stored of it comes back"
    ]
    assert w.peek("a") == [2], "its data was kept"


@AFTER
def test_settings_of_a_durable_worker_change_in_place(after: str) -> None:
    w = World(tree(worker("a")))
    w.node.call("a", Add(1))
    applied(w, worker("a", on_crash="init", quarantine="never"), snapshot_every=2)
    assert w.peek("a") == [1]
    lost(w, after)
    assert w.peek("a") == [1]


def test_what_a_durable_worker_had_sent_to_one_that_restarts_is_served_by_it() -> None:
    def sends(message: Any, state: list[int]) -> Any:
        return state, Seen(state), [Cast("b", Add(7))]

    sender = StateMachine(step=sends, init=init, inputs=Message, outputs=Seen)
    w = World(tree(worker("a", sender), worker("b")))
    pending = w.node.send_request("a", Add(1))
    w.node.wait(pending)
    applied(w, worker("a", sender), worker("b", args={"begin": [3]}))
    w.node.run()
    assert w.peek("b") == [7]


def carts(persist: str = "journal", **options: Any) -> Any:
    template = worker("cart", persist=persist, on_crash="init", **options)
    return Supervisor("carts", "simple_one_for_one", [template])


def test_the_children_of_a_durable_pool_that_goes_come_back_with_it() -> None:
    w = World(tree(carts(), worker("b", persist="none")))
    w.node.start_child("carts", "ann", {"begin": [5]})
    w.node.call("carts:ann", Add(1))
    applied(w, worker("b", persist="none"))
    assert not w.node.exists("carts:ann")
    applied(w, carts(), worker("b", persist="none"))
    assert w.peek("carts:ann") == [5, 1]


@AFTER
def test_a_pool_becomes_durable_and_its_children_stay_and_are_kept_from_their_next_start_on(
    after: str,
) -> None:
    w = World(tree(carts("none"), worker("ann")))
    w.node.start_child("carts", "ann", {"begin": [5]})
    w.node.call("carts:ann", Add(1))
    applied(w, carts(), worker("ann"))
    assert w.peek("carts:ann") == [5, 1]
    w.node.kill("carts:ann")
    w.node.run()
    w.node.call("carts:ann", Add(2))
    lost(w, after)
    assert w.peek("carts:ann") == [5, 2]


@pytest.mark.parametrize("nested", [False, True])
def test_a_pool_does_not_become_durable_while_its_children_have_other_names(nested: bool) -> None:
    def wanted(persist: str) -> Any:
        inner = Supervisor("s", children=[carts(persist)])
        return tree(Supervisor("p", "simple_one_for_one", [inner]) if nested else carts(persist))

    w = World(wanted("none"))
    name = "p" if nested else "carts"
    w.node.start_child(name, "ann")
    assert f"found by {name}:LABEL, which ann is not" in w.node.plan(wanted("journal")).refused[0]
    w.node.terminate_child(name, "ann")
    w.node.apply(wanted("journal"))
    w.node.start_child(name, "ann")
    w.crash(wanted("journal"))
    assert w.node.exists(f"{name}:ann")


@pytest.mark.parametrize("moves", [False, True])
def test_what_is_stored_of_a_worker_that_ceases_to_be_durable_stays(moves: bool) -> None:
    w = World(tree(worker("a"), Supervisor("s")))
    w.node.call("a", Add(1))
    plain = worker("a", persist="none", on_crash="init")
    below = [plain] if moves else []
    said = applied(w, *([] if moves else [plain]), Supervisor("s", children=below))[0]
    assert ("; what is stored of a is kept" if moves else "; it begins by `init`, and what") in said
    assert w.peek("a") == []


@AFTER
def test_children_of_a_durable_pool_go_on_with_another_template(after: str) -> None:
    w = World(tree(carts(), worker("b")))
    w.node.start_child("carts", "ann", {"begin": [5]})
    w.node.call("carts:ann", Add(1))
    applied(w, carts(args={"begin": [7], "more": 1}), worker("b"))
    lost(w, after)
    w.node.call("carts:ann", Add(2))
    w.node.start_child("carts", "bob")
    assert (w.peek("carts:ann"), w.peek("carts:bob")) == ([5, 1, 2], [7])


@AFTER
def test_the_plan_names_all_below_a_new_supervisor_whose_data_comes_back(after: str) -> None:
    w = World(tree(worker("a"), worker("b"), worker("c", persist="none")))
    w.node.call("a", Add(1))
    w.node.call("b", Add(2))
    applied(w, worker("c", persist="none"))
    lost(w, after)
    below = Supervisor("s", children=[worker("a"), worker("b"), worker("d")])
    said = applied(w, below, worker("c", persist="none"))
    assert said == ["start s: new, with the 3 below it; what is stored of a, b comes back"]
    assert (w.peek("a"), w.peek("b"), w.peek("d")) == ([1], [2], [])


def test_what_has_nothing_stored_begins_without_a_word_of_it() -> None:
    w = World(tree(worker("a", persist="none", on_crash="init")))
    assert applied(w, worker("a")) == ["restart a: persist none -> journal"]


def held_back() -> World:
    """A worker whose name in the file has changed: `c`, which may be `a`."""
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    done = w.node.apply(tree(worker("c"), worker("b")))
    assert [(one.id, one.path) for one in done.held] == [("c", "root/c")]
    assert "c is not started" in done.held[0].why or "c does not start" in done.held[0].why
    assert done.failed is None
    return w


ASKED: list[tuple[str, tuple[str, ...]]] = [
    ("restart_child", ("root", "c")), ("restart", ("c",)),
]  # fmt: skip


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("verb", "args"), ASKED)
def test_a_start_that_is_asked_for_and_held_back_is_refused_with_what_to_do(
    verb: str, args: tuple[str, ...], times: int
) -> None:
    w = held_back()
    for _ in range(times):
        with pytest.raises(Unrecovered, match="ssm data repair") as caught:
            w.node.perform(verb, *args)
        assert caught.value.reason == "renamed"
    assert w.node.whereis("c") is None


def test_the_plan_says_of_a_worker_that_is_held_back_that_it_stays_down() -> None:
    w = held_back()
    plan = w.node.plan(w.node.spec)
    assert (plan.todo, plan.held) == ((), ("c",))
    assert [(one.act, one.id) for one in plan.steps] == [("nothing", "c")]
    assert plan.steps[0].why.startswith("it is down, and stays so: c ")


def test_what_was_held_back_below_a_new_supervisor_is_told() -> None:
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    done = w.node.apply(tree(Supervisor("s", children=[worker("c")]), worker("b")))
    assert [one.path for one in done.held] == ["root/s/c"]


def test_a_child_started_by_hand_that_cannot_go_on_is_refused_and_leaves_nothing() -> None:
    bad = StateMachine(
        step=doubling, init=init, inputs=Message, outputs=Seen, version="2",
        migrate=lambda _version, state: state[99],
    )  # fmt: skip
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    applied(w, worker("b"))
    lost(w, "kill")
    with pytest.raises(Unrecovered, match="migrate"):
        w.node.start_child("root", worker("a", bad))
    assert not w.node.exists("a")
    w.node.start_child("root", worker("a"))
    assert w.peek("a") == [1]


def is_deleted(w: World) -> None:
    w.node.terminate_child("root", "a")
    w.node.delete_child("root", "a")


OTHERS: dict[str, tuple[Callable[[World], object], Callable[[World], object]]] = {
    "gone from the file": (
        lambda w: w.node.apply(tree(worker("b"))),
        lambda w: w.node.apply(tree(worker("a", double), worker("b"))),
    ),
    "deleted by hand": (is_deleted, lambda w: w.node.start_child("root", worker("a", double))),
    "moved": (
        lambda w: w.node.apply(tree(worker("a"), worker("b"), Supervisor("s"))),
        lambda w: w.node.apply(tree(worker("b"), Supervisor("s", children=[worker("a", double)]))),
    ),
}


@AFTER
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_durable_worker_that_comes_again_has_the_code_of_its_new_spec(
    other: tuple[Callable[[World], object], Callable[[World], object]], after: str
) -> None:
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    for change in other:
        change(w)
    assert w.peek("a") == [1]
    w.node.call("a", Add(2))
    assert w.peek("a") == [1, 2, 2]
    w.node.apply(tree(worker("a", double), worker("b")))
    lost(w, after)
    assert (w.peek("a"), w.events("down")) == ([1, 2, 2], [])


def test_a_durable_worker_that_comes_again_is_kept_as_its_new_spec_says() -> None:
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    applied(w, worker("b"))
    applied(w, worker("a", persist="snapshot", on_crash="init"), worker("b"))
    cell: Any = w.node._world.names["a"]
    assert (w.peek("a"), cell.extra.kept.journals) == ([1], False)
    applied(w, worker("b"))
    applied(w, worker("a", persist="snapshot", on_crash="last_good"), worker("b"))
    cell = w.node._world.names["a"]
    assert cell.extra.kept.options.on_crash.value == "last_good"
