"""Remote children are asked for and not waited for: all else goes on until they are there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli import (
    CalleeStopped,
    CallTimeout,
    FakeLinks,
    ManualClock,
    Node,
    NoProc,
    Remote,
    Strategy,
    Supervisor,
    SupervisorError,
    Worker,
)
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.remote.ports import Launched, Outcome
from ssm_cli.runtime.views import NodeView

MANY = 51
STRATEGIES = [Strategy.ONE_FOR_ONE, Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL]


def echo(data: bytes) -> Outcome:
    return Outcome("replied", b"got " + data)


def started(tree: Any, *slow: str, clock: ManualClock | None = None) -> tuple[Node, FakeLinks]:
    """Start a tree whose slow children start when they are told to."""
    clock = clock or ManualClock()
    links = FakeLinks(clock, {"billing.invoice": echo})
    links.slow.update(slow)
    node = Node(tree, clock=clock, links=links)
    node.start(wait=False)
    return node, links


def shop(strategy: Any = "rest_for_one", **options: Any) -> Any:
    children: list[Any] = [
        Worker("cart", kv_store), Remote("billing", "billing.yaml"), Worker("mail", kv_store),
    ]  # fmt: skip
    return Supervisor("shop", strategy, children, **options)


def states(view: NodeView) -> dict[str, str]:
    found = {view.id: str(view.state)}
    for child in view.children:
        found |= states(child)
    return found


def events(node: Node, *kinds: str) -> list[str]:
    return [f"{r.id} {r.event}" for r in node.reports() if r.event in kinds]


def asked(node: Node, verb: str, *args: Any) -> Pending:
    """Ask a supervisor something, without waiting for the answer."""
    pending = node.meant(args[0], verb, *args[1:])
    node.run()
    return pending


def test_calls_of_local_workers_are_served_while_a_child_starts() -> None:
    node, links = started(shop("one_for_one"), "billing")
    assert states(node.tree()) == {
        "shop": "starting", "cart": "running", "billing": "starting", "mail": "running",
    }  # fmt: skip
    assert node.call("cart", b"Store x 1") == b"Ok"
    links.arrive("billing")
    node.run()
    assert set(states(node.tree()).values()) == {"running"}
    assert events(node, "started")[-2:] == ["billing started", "shop started"]


def test_later_siblings_that_depend_on_it_wait_for_it() -> None:
    node, links = started(shop(), "billing")
    assert states(node.tree())["mail"] == "starting"
    assert events(node, "started") == ["cart started"]
    links.arrive("billing")
    node.run()
    assert events(node, "started") == [
        "cart started", "billing started", "mail started", "shop started",
    ]  # fmt: skip


def test_who_waits_for_a_supervisor_waits_for_the_children_below_it() -> None:
    below = Supervisor("stock", children=[Remote("billing", "billing.yaml")])
    tree = Supervisor("shop", "rest_for_one", [below, Worker("mail", kv_store)])
    node, links = started(tree, "billing")
    assert states(node.tree())["mail"] == "starting"
    links.arrive("billing")
    node.run()
    assert events(node, "started") == [
        "billing started", "stock started", "mail started", "shop started",
    ]  # fmt: skip


def test_independent_children_are_asked_for_side_by_side() -> None:
    names = [f"b{n}" for n in range(MANY)]
    node, links = started(
        Supervisor("shop", children=[Remote(name, "b.yaml") for name in names], intensity=MANY),
        *names,
    )
    assert list(links.asked) == names
    for name in reversed(names):
        links.arrive(name)
    node.run()
    links.slow.update(names)
    for name in names:
        links.end(name, "killed")
    node.run()
    assert list(links.asked) == names
    assert set(states(node.tree()).values()) == {"running", "starting"}


def test_a_first_start_that_fails_later_ends_the_start_of_the_tree() -> None:
    node, links = started(shop(), "billing")
    links.refusing["billing"] = [Launched("billing", ok=False, reason="undef", detail="no file")]
    links.arrive("billing")
    node.run()
    assert not node.running
    assert node.end_error is not None
    assert "billing" in str(node.end_error)
    assert "cart terminated" in events(node, "terminated")
    assert "mail started" not in events(node, "started")


def test_a_first_start_below_fails_up_to_the_root() -> None:
    below = Supervisor("stock", children=[Remote("billing", "billing.yaml")])
    node, links = started(Supervisor("shop", children=[Worker("cart", kv_store), below]), "billing")
    links.refusing["billing"] = [Launched("billing", ok=False, reason="undef")]
    links.arrive("billing")
    node.run()
    assert events(node, "start_failed") == [
        "billing start_failed", "stock start_failed", "shop start_failed",
    ]  # fmt: skip
    assert not node.running


def test_a_restart_that_fails_later_is_tried_again_and_counted() -> None:
    node, links = started(shop(intensity=3, period=60))
    links.slow.add("billing")
    links.end("billing", "killed")
    node.run()
    assert states(node.tree())["mail"] == "restarting"
    links.refusing["billing"] = [Launched("billing", ok=False, reason="undef")]
    links.arrive("billing")
    node.run()
    assert node.tree().budget_left == 1
    assert states(node.tree())["billing"] == "starting"
    links.arrive("billing")
    node.run()
    assert set(states(node.tree()).values()) == {"running"}


def test_the_end_of_an_earlier_sibling_takes_a_child_that_starts_with_it() -> None:
    node, links = started(shop(), "billing")
    node.exit("cart", "kill")
    assert links.stopped == ["billing"]
    assert list(links.asked) == ["billing"]
    links.arrive("billing")
    node.run()
    assert set(states(node.tree()).values()) == {"running"}
    assert [view.restarts for view in node.tree().children] == [1, 1, 0]


def test_a_crash_beside_it_is_healed_meanwhile() -> None:
    node, links = started(shop("one_for_one"), "billing")
    node.exit("cart", "kill")
    assert node.call("cart", b"Store x 1") == b"Ok"
    assert list(links.asked) == ["billing"]
    assert states(node.tree())["shop"] == "starting"


def test_a_supervisor_that_gives_up_meanwhile_stops_the_start() -> None:
    node, links = started(shop("one_for_one", intensity=0), "billing")
    node.exit("cart", "kill")
    assert node.gave_up
    assert links.stopped == ["billing"]
    assert not node.running


def test_calls_of_a_child_that_starts_wait_for_it() -> None:
    node, links = started(shop(), "billing")
    pending = node.send_request("billing.invoice", b"x")
    node.run()
    assert not pending.done
    links.arrive("billing")
    node.run()
    assert pending.result() == b"got x"


def test_calls_of_a_child_that_does_not_start_fail() -> None:
    node, links = started(shop())
    links.slow.add("billing")
    links.end("billing", "killed")
    node.run()
    pending = node.send_request("billing.invoice", b"x")
    links.refusing["billing"] = [Launched("billing", ok=False, reason="undef")]
    links.arrive("billing")
    node.run()
    with pytest.raises(NoProc, match="not running"):
        pending.result()


def test_a_call_waits_no_longer_than_its_time() -> None:
    node, _ = started(shop(), "billing")
    with pytest.raises(CallTimeout):
        node.call("billing.invoice", b"x", timeout_s=0.5)


def test_a_call_inside_asyncio_waits_no_longer_than_its_time() -> None:
    async def main() -> None:
        node, _ = started(shop(), "billing")
        with pytest.raises(CallTimeout):
            await node.acall("billing.invoice", b"x", 0.01)
        node.stop()

    asyncio.run(main())


def test_a_start_that_is_waited_for_and_interrupted_stops_what_has_started() -> None:
    clock = ManualClock()
    links = FakeLinks(clock)
    links.slow.add("billing")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    links.wait = interrupted  # type: ignore[method-assign, assignment]  # that is where it comes
    node = Node(shop(), clock=clock, links=links)
    with pytest.raises(KeyboardInterrupt):
        node.start()
    assert not node.running
    assert links.stopped == ["billing"]


def test_a_request_that_starts_a_child_is_answered_once_that_is_there() -> None:
    node, links = started(Supervisor("shop", children=[Worker("cart", kv_store)]))
    links.slow.add("billing")
    pending = asked(node, "start_child", "shop", Remote("billing", "billing.yaml"))
    assert not pending.done
    assert node.call("cart", b"Store x 1") == b"Ok"
    links.arrive("billing")
    node.run()
    assert pending.result() == "billing"
    assert "billing started" in events(node, "started")


def test_a_request_whose_child_does_not_start_is_refused_and_leaves_nothing() -> None:
    node, links = started(Supervisor("shop", children=[Worker("cart", kv_store)]))
    links.slow.add("billing")
    links.refusing["billing"] = [Launched("billing", ok=False, reason="undef")]
    pending = asked(node, "start_child", "shop", Remote("billing", "billing.yaml"))
    links.arrive("billing")
    node.run()
    with pytest.raises(SupervisorError, match="failed to start"):
        pending.result()
    assert [child.id for child in node.which_children("shop")] == ["cart"]


def test_a_child_that_is_terminated_while_it_starts_lets_its_siblings_go_on() -> None:
    node, links = started(shop(), "billing")
    asked(node, "terminate_child", "shop", "billing")
    assert links.stopped == ["billing"]
    assert states(node.tree()) == {
        "shop": "running", "cart": "running", "billing": "stopped", "mail": "running",
    }  # fmt: skip


def test_who_asked_for_a_child_that_is_ended_meanwhile_is_told() -> None:
    node, links = started(Supervisor("shop", children=[Worker("cart", kv_store)]))
    links.slow.add("billing")
    pending = asked(node, "start_child", "shop", Remote("billing", "billing.yaml"))
    node.stop()
    with pytest.raises(CalleeStopped):
        pending.result()


def test_a_tree_that_is_stopped_while_it_starts_stops_the_child() -> None:
    node, links = started(shop(), "billing")
    node.stop()
    assert links.stopped == ["billing"]
    assert not node.running
    assert node.end_error is None


def test_an_end_that_is_told_with_the_start_is_seen_after_it() -> None:
    node, links = started(shop("one_for_one"), "billing")
    links.arrive("billing")
    links.slow.clear()
    links.end("billing", "killed")
    node.run()
    assert links.epochs["billing"] == 2
    assert set(states(node.tree()).values()) == {"running"}


def test_a_suspended_supervisor_looks_at_it_once_it_is_resumed() -> None:
    node, links = started(shop(), "billing")
    node.suspend("shop")
    links.arrive("billing")
    node.run()
    assert states(node.tree())["mail"] == "starting"
    node.resume("shop")
    node.run()
    assert set(states(node.tree()).values()) == {"running"}


def test_an_interruption_asks_again_for_what_was_asked_for() -> None:
    node, links = started(shop(), "billing")
    links.asked.clear()  # as if it had come before the order went out

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    unsubscribe = node.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        node.exit("cart", "kill")
    unsubscribe()
    node.run()
    assert list(links.asked) == ["billing"]
    links.arrive("billing")
    node.run()
    assert set(states(node.tree()).values()) == {"running"}


# -- any tree, any order ---------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> tuple[Any, list[str]]:
    """A tree of two levels, and the names of its remote children."""
    remotes: list[str] = []
    number = iter(range(100))

    def leaf() -> Any:
        name = f"c{next(number)}"
        if draw(st.booleans()):
            remotes.append(name)
            return Remote(name, "c.yaml")
        return Worker(name, kv_store)

    def level(deep: bool) -> Any:
        name, strategy = f"s{next(number)}", draw(st.sampled_from(STRATEGIES))
        size = draw(st.integers(1, 3))
        children = [level(False) if deep and draw(st.booleans()) else leaf() for _ in range(size)]
        return Supervisor(name, strategy, children, intensity=99)

    return level(True), remotes


def all_before(view: NodeView) -> bool:
    """Whether, in each ordered supervisor, nobody has started behind one that has not."""
    seen = True
    for child in view.children:
        if view.strategy != "one_for_one" and not seen and child.state != "starting":
            return False
        seen = seen and child.state == "running"
    return all(all_before(child) for child in view.children)


@given(trees(), st.data())
def test_whatever_comes_first_order_is_kept_and_all_runs_in_the_end(
    tree: tuple[Any, list[str]], data: st.DataObject
) -> None:
    spec, remotes = tree
    node, links = started(spec, *remotes)
    while links.asked:
        assert all_before(node.tree())
        links.arrive(data.draw(st.sampled_from(sorted(links.asked))))
        node.run()
    assert set(states(node.tree()).values()) == {"running"}
    assert events(node, "started").count(f"{spec.id} started") == 1
    assert not any(view.restarts for view in node.tree().children)
    node.stop()
    assert sorted(links.stopped) == sorted(remotes)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_worker_that_crashes_behind_a_remote_child_is_started_behind_it(strategy: Any) -> None:
    """Where it takes the remote child down and up with itself, it waits for that."""
    children: list[Any] = [Remote("billing", "b.yaml"), Worker("cart", kv_store)]
    node, links = started(Supervisor("shop", strategy, [*children, Remote("mail", "m.yaml")]))
    node.run()
    links.slow.update(("billing", "mail"))
    node.kill("cart")
    node.run()
    for _ in range(2):
        for name in [*links.asked]:
            links.arrive(name)
        node.run()
    assert set(states(node.tree()).values()) == {"running"}
    assert node.call("cart", b"Store x 1") == b"Ok"
