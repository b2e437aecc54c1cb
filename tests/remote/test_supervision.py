"""A remote child under its supervisor: started, restarted, counted and stopped like any child."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ssm_cli import (
    Backoff,
    Busy,
    CallTimeout,
    DecodeError,
    FakeLinks,
    ManualClock,
    NoConnection,
    Node,
    NoProc,
    Remote,
    StartFailed,
    Supervisor,
    SupervisorError,
    Worker,
)
from ssm_cli.commands.execute import aexecute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.results import Result
from ssm_cli.commands.text import tree_lines
from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.shell.interpret import names_to_call
from ssm_cli.runtime.remote.ports import Launched, Outcome


def echo(data: bytes) -> Outcome:
    return Outcome("replied", b"got " + data)


def shop(
    strategy: Any = "rest_for_one", *, intensity: int = 3, **remote: Any
) -> tuple[Node, FakeLinks, ManualClock]:
    clock = ManualClock()
    links = FakeLinks(clock, {"billing.invoice": echo})
    tree = Supervisor(
        "shop",
        strategy,
        [
            Worker("cart", kv_store),
            Remote("billing", "billing.yaml", **remote),
            Worker("mail", kv_store),
        ],
        intensity=intensity,
        period=60,
    )
    return Node(tree, clock=clock, links=links), links, clock


def events(node: Node) -> list[str]:
    return [f"{report.id} {report.event}" for report in node.reports()]


def test_it_starts_in_order_and_stops_in_reverse() -> None:
    node, links, _ = shop()
    with node:
        assert [e for e in events(node) if e.endswith("started")] == [
            "cart started", "billing started", "mail started", "shop started",
        ]  # fmt: skip
    ended = [e for e in events(node) if e.endswith("terminated")]
    assert ended == ["mail terminated", "billing terminated", "cart terminated"]
    assert links.stopped == ["billing"]


@pytest.mark.parametrize("way", ["keep_remote", "taken over"])
def test_one_that_its_tree_leaves_to_the_next_parent_is_told_as_left_and_not_as_ended(
    way: str,
) -> None:
    node, links, _ = shop()
    node.start()
    if way == "keep_remote":
        node.stop(keep_remote=True)
    else:
        links.supersede("other, process 9")
        node.run(0)
    told = [(r.event, r.detail) for r in node.reports() if r.id == "billing"][2:]
    assert told == [("left", {"node": "here", "epoch": 1})]
    assert "mail terminated" in events(node)
    assert not node.running
    assert not links.stopped


def test_its_end_restarts_what_the_strategy_says() -> None:
    node, links, _ = shop()
    with node:
        links.end("billing", "noconnection")
        node.run()
        views = {view.id: view.restarts for view in node.tree().children}
        assert views == {"cart": 0, "billing": 1, "mail": 1}
        assert links.epochs["billing"] == 2


def test_the_end_of_an_earlier_life_is_no_news() -> None:
    node, links, _ = shop()
    with node:
        links.end("billing", "noconnection")
        node.run()
        links.end("billing", "fenced", epoch=1)
        node.run()
        assert links.epochs["billing"] == 2


def test_more_ends_than_the_intensity_allows_take_its_supervisor_down() -> None:
    node, links, _ = shop(intensity=1)
    node.start()
    for _ in range(2):
        links.end("billing", "killed")
        node.run()
    assert node.gave_up


def test_an_owner_that_stopped_itself_is_started_again_and_not_counted() -> None:
    node, links, _ = shop(intensity=0)
    with node:
        links.end("billing", "fenced")
        node.run()
        assert node.running
        assert links.epochs["billing"] == 2


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        ("permanent", "shutdown", True),
        ("transient", "shutdown", False),
        ("transient", "noconnection", True),
        ("temporary", "noconnection", False),
    ],
)
def test_its_restart_type_counts_as_for_any_child(restart: str, reason: str, again: bool) -> None:
    node, links, _ = shop(restart=restart)
    with node:
        links.end("billing", reason)
        node.run()
        assert (links.epochs["billing"] == 2) is again


def test_a_start_that_fails_is_tried_again_and_counted() -> None:
    node, links, _ = shop()
    with node:
        links.refusing["billing"] = [
            Launched("billing", ok=False, reason="undef", detail="n1: no such file")
        ]
        links.end("billing", "killed")
        node.run()
        assert "billing start_failed" in events(node)
        budget = node.tree().budget_left
        assert budget == 1
        assert links.epochs["billing"] == 2


@pytest.mark.parametrize("reason", ["noconnection", "no_node", "fenced"])
def test_a_start_that_fails_for_what_passes_is_tried_again_later_and_not_counted(
    reason: str,
) -> None:
    node, links, clock = shop(intensity=1)
    with node:
        away = Launched("billing", ok=False, reason=reason, detail="not now")
        links.refusing["billing"] = [away] * 10
        links.end("billing", "killed")
        node.run()
        assert node.tree().children[1].state == "restarting"
        for _ in range(10):
            clock.advance_s(5.0)
            node.run()
        assert node.tree().children[1].state == "running"
        assert node.tree().children[1].restarts == 1
        assert node.tree().budget_left == 0
        told = [event for event in events(node) if event.endswith((" restarting", " start_failed"))]
        assert told == ["shop restarting", "billing start_failed"]


def away(detail: str) -> Launched:
    return Launched("billing", ok=False, reason="no_node", detail=detail)


def asked_at(node: Node, links: FakeLinks, clock: ManualClock, within_s: int) -> list[float]:
    """After how many seconds a child is asked for; each try is refused."""
    begun_s, left, found = clock.now_s(), len(links.refusing["billing"]), []
    for _ in range(within_s * 4):
        clock.advance_s(0.25)
        node.run()
        if len(links.refusing["billing"]) < left:
            left = len(links.refusing["billing"])
            found.append(clock.now_s() - begun_s)
    return found


@pytest.mark.parametrize(
    ("remote", "tries"),
    [
        pytest.param({}, [0.5, 1.5, 3.5, 7.5, 12.5, 17.5], id="without a back-off of its own"),
        pytest.param({"backoff": Backoff(1000, 2, 8000, 0.0)}, [2.0, 6.0, 14.0], id="with one"),
    ],
)
def test_what_no_node_takes_is_asked_for_more_and_more_seldom(
    remote: dict[str, Any], tries: list[float]
) -> None:
    node, links, clock = shop(**remote)
    with node:
        links.refusing["billing"] = [away("no node")] * 99
        links.end("billing", "killed")
        node.run()
        while len(links.refusing["billing"]) == 99:  # its own back-off goes before the first try
            clock.advance_s(1.0)
            node.run()
        assert asked_at(node, links, clock, 20) == tries


@pytest.mark.parametrize("news", ["a node", "the link"])
def test_what_no_node_takes_is_asked_for_at_once_when_there_is_news(news: str) -> None:
    node, links, clock = shop()
    with node:
        links.refusing["billing"] = [away("no node")] * 9
        links.end("billing", "killed")
        node.run()
        while len(links.refusing["billing"]) > 2:
            clock.advance_s(0.25)
            node.run()
        links.refusing["billing"] = [away("no node")]
        if news == "a node":
            links.node("n3", up=True)
        else:
            links.break_off()
            links.break_off(up=True)
        node.run()
        assert links.refusing["billing"] == []
        clock.advance_s(1.0)  # that node was not ready: again soon
        node.run()
        assert node.tree().children[1].state == "running"
        assert node.call("billing.invoice", b"x") == b"got x"


def test_another_reason_why_no_node_takes_it_is_told_once() -> None:
    node, links, clock = shop()
    with node:
        links.refusing["billing"] = [away(why) for why in ("a", "a", "a", "b", "b")]
        links.end("billing", "killed")
        for _ in range(9):
            node.run()
            clock.advance_s(5.0)
        told = [str(r.detail["error"]) for r in node.reports() if r.event == "start_failed"]
        assert ["'a'" in one for one in told] == [True, False], told
        assert node.tree().children[1].state == "running"
        assert node.tree().children[2].state == "running"


@pytest.mark.parametrize("tried", [True, False])
@pytest.mark.parametrize("reason", ["noconnection", "no_node", "fenced"])
def test_a_restart_by_hand_that_fails_for_what_passes_is_tried_again(
    reason: str, *, tried: bool
) -> None:
    """Whether its supervisor tries it at that moment or it runs: it comes back with the node."""
    node, links, clock = shop(intensity=0)
    with node:
        away = Launched("billing", ok=False, reason=reason, detail="not now")
        links.refusing["billing"] = [away] * 5
        if tried:
            links.end("billing", "fenced")
            node.run()
        asked = node.request("billing", "restart")
        node.run()
        with pytest.raises(SupervisorError, match=f"failed to start: {reason}.*tried again"):
            asked.result()
        assert node.tree().children[1].state == "restarting"
        for _ in range(6):  # a try waits for its back-off
            clock.advance_s(10.0)
            node.run()
        assert node.tree().children[1].state == "running"


def test_a_restart_by_hand_that_fails_for_good_leaves_it_down() -> None:
    node, links, _ = shop()
    with node:
        links.refusing["billing"] = [Launched("billing", ok=False, reason="undef", detail="n1")]
        asked = node.request("billing", "restart")
        node.run()
        with pytest.raises(SupervisorError, match="failed to start: undef"):
            asked.result()
        assert node.tree().children[1].state == "stopped"


def test_a_first_start_that_fails_stops_what_has_started() -> None:
    node, links, _ = shop()
    links.refusing["billing"] = [
        Launched("billing", ok=False, reason="no_node", detail="no node is there")
    ]
    with pytest.raises(StartFailed, match="billing: no_node"):
        node.start()
    assert "cart terminated" in events(node)


def test_without_links_the_message_says_how_to_get_some() -> None:
    tree = Supervisor("shop", children=[Remote("billing", "billing.yaml")])
    node = Node(tree)
    with pytest.raises(StartFailed):
        node.start()
    (failed,) = [r for r in node.reports() if r.event == "start_failed" and r.id == "billing"]
    assert "--cluster" in str(failed.detail)


def test_unreachable_is_a_state_and_no_death() -> None:
    node, links, clock = shop()
    with node:
        links.link("billing", reachable=False, age_s=1.0)
        node.run()
        clock.advance_s(2.0)
        billing = node.tree().children[1]
        assert (billing.state, billing.restarts, billing.age_s) == ("unreachable", 0, 3.0)
        with pytest.raises(NoConnection):
            node.call("billing.invoice", b"x")
        links.link("billing", reachable=True)
        node.run()
        assert node.tree().children[1].state == "running"
        assert node.call("billing.invoice", b"x") == b"got x"


def whys(node: Node) -> list[Any]:
    return [r.detail.get("why") for r in node.reports() if r.event == "unreachable"]


def test_where_it_is_known_why_it_is_not_reached_the_tree_and_the_log_say_so_once() -> None:
    node, links, _ = shop()
    with node:
        links.link("billing", reachable=False)
        for why in ("n1 has zone=a, wanted zone=b", "n1 has zone=a, wanted zone=b", "no node"):
            links.link("billing", reachable=False, why=why)
            links.link("billing", reachable=False)  # said every second; it has changed nothing
            node.run()
            assert node.tree().children[1].why == why
        assert whys(node) == [None, "n1 has zone=a, wanted zone=b", "no node"]
        assert "running" not in tree_lines(node.tree())[3]
        assert "unreachable" in tree_lines(node.tree())[3]
        assert ": no node" in tree_lines(node.tree())[3]
        links.link("billing", reachable=True)
        node.run()
        assert node.tree().children[1].why == ""


def test_while_the_servers_are_away_they_are_named_and_not_the_nodes() -> None:
    node, links, _ = shop()
    with node:
        links.break_off(detail="there is no connection to nats://h:1")
        links.link("billing", reachable=False)
        node.run()
        assert whys(node) == ["there is no connection to nats://h:1"]
        assert node.tree().children[1].why == "there is no connection to nats://h:1"
        links.break_off(up=True)
        links.link("billing", reachable=True)
        node.run()
        assert node.tree().children[1].why == ""


def test_what_no_node_takes_says_why_and_when_it_is_tried_again() -> None:
    node, links, _ = shop()
    with node:
        links.refusing["billing"] = [away("n1 has zone=a, wanted zone=b")]
        links.end("billing", "killed")
        node.run()
        billing = node.tree().children[1]
        assert (billing.state, billing.delay_ms) == ("restarting", 500.0)
        assert billing.why == "n1 has zone=a, wanted zone=b"


@pytest.mark.parametrize("broke", [True, False])
def test_a_child_that_goes_on_at_another_node_is_reported_as_moved(*, broke: bool) -> None:
    node, links, _ = shop()
    with node:
        if broke:
            links.link("billing", reachable=False)
            node.run()
        links.link("billing", reachable=True, node="n2")
        node.run()
        links.link("billing", reachable=True, node="n2")
        node.run()
        told = [
            (one.event, one.detail["node"]) for one in node.reports()
            if one.event in {"unreachable", "reachable", "moved"}
        ]  # fmt: skip
        assert told == [("unreachable", "here"), ("reachable", "n2")] * broke + [("moved", "n2")]


def test_a_child_that_cannot_be_asked_to_stop_is_waited_for_no_longer_than_its_time() -> None:
    node, links, clock = shop(shutdown=4000)
    node.start()
    links.link("billing", reachable=False)
    node.run()
    before_s = clock.now_s()
    node.stop()
    assert clock.now_s() - before_s == pytest.approx(4.0)
    assert "billing killed" in events(node)


def test_a_call_ends_in_one_outcome_near_or_far() -> None:
    node, _, _ = shop()
    with node:
        assert node.call("billing.invoice", b"x") == b"got x"
        assert node.call_value("billing.invoice", b"x") == (b"got x", "got x")
        with pytest.raises(NoProc, match="nobody serves"):
            node.call("billing.nobody", b"x")
        with pytest.raises(NoProc, match=r"call billing\.WORKER"):
            node.call("billing", b"x")
        with pytest.raises(DecodeError, match="takes bytes"):
            node.call("billing.invoice", 1)


@pytest.mark.parametrize(
    ("outcome", "error"), [("busy", Busy), ("timeout", CallTimeout), ("noproc", NoProc)]
)
def test_outcomes_are_told_apart(outcome: str, error: type[Exception]) -> None:
    clock = ManualClock()
    links = FakeLinks(clock, {"billing.invoice": lambda _: Outcome(outcome, error="why")})
    tree = Supervisor("shop", children=[Remote("billing", "billing.yaml")])
    with Node(tree, clock=clock, links=links) as node, pytest.raises(error, match="why"):
        node.call("billing.invoice", b"x")


def test_a_call_crosses_inside_asyncio() -> None:
    async def main() -> bytes:
        node, _, _ = shop()
        node.start()
        serving = asyncio.create_task(node.serve())
        asking = asyncio.create_task(node.acall("billing.invoice", b"x"))
        while not asking.done():
            await asyncio.sleep(0)
            node.run()
        node.stop()
        await serving
        return bytes(asking.result())

    assert asyncio.run(main()) == b"got x"


def test_which_children_and_counts_take_it_for_a_supervisor() -> None:
    node, _, _ = shop()
    with node:
        assert [(c.id, c.type) for c in node.which_children("shop")] == [
            ("mail", "worker"), ("billing", "supervisor"), ("cart", "worker"),
        ]  # fmt: skip
        counts = node.count_children("shop")
        assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 3, 1, 2)
        node.terminate_child("shop", "billing")
        assert node.which_children("shop")[1].state == "undefined"
        node.restart_child("shop", "billing")
        assert node.which_children("shop")[1].state == "running"


def test_it_can_be_killed_and_comes_back() -> None:
    node, links, _ = shop()
    with node:
        node.exit("billing", "kill")
        assert links.epochs["billing"] == 2
        assert "billing killed" in events(node)


def test_a_line_that_begins_with_a_far_worker_is_a_call_to_it() -> None:
    async def main() -> None:
        node, _, _ = shop()
        node.start()
        try:
            names = names_to_call(node)
            for line, said in (
                ("billing.invoice Lookup x", "got Lookup x"),
                ("billing.nobody Lookup x", "nobody"),
            ):
                command = parse_line(line, names)
                assert command is not None
                shown: list[Result] = []
                asking = asyncio.create_task(aexecute(command, node, 1.0, show=shown.append))
                for _ in range(100):  # turns of the loop; two are enough
                    await asyncio.sleep(0)
                    node.run()
                assert shown == [asking.result()]
                assert said in shown[0].lines[0]
        finally:
            node.stop()

    asyncio.run(main())


def test_nodes_that_come_and_go_are_reports_of_the_root_and_nothing_is_restarted() -> None:
    node, links, _ = shop()
    with node:
        links.node("n1", up=True)
        links.node("n1", up=False)
        node.run(0)
        told = [(r.event, r.path, r.detail["node"]) for r in node.reports(last=2)]
        assert told == [("node_up", "shop", "n1"), ("node_down", "shop", "n1")]
        assert links.started == ["billing"]


def many(strategy: Any, *names: str) -> tuple[Node, FakeLinks]:
    """A tree of remote children that take their time to end, and a worker between the first two."""
    clock = ManualClock()
    links = FakeLinks(clock)
    links.lingering.update(names)
    first, *others = (Remote(name, "b.yaml") for name in names)
    tree = Supervisor("shop", strategy, [first, Worker("cart", kv_store), *others])
    return Node(tree, clock=clock, links=links).start(), links


def leaving_seen(links: FakeLinks, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Who has been asked to end, at each moment that one does; filled as they do."""
    seen: list[list[str]] = []
    leave = links.leave

    def noted(child: str) -> None:
        seen.append([*links._leaving])
        leave(child)

    monkeypatch.setattr(links, "leave", noted)
    return seen


@pytest.mark.parametrize(
    ("strategy", "asked"),
    [
        ("one_for_one", [["d", "c", "b"], ["c", "b"], ["b"], ["a"]]),
        ("rest_for_one", [["d"], ["c"], ["b"], ["a"]]),
        ("one_for_all", [["d"], ["c"], ["b"], ["a"]]),
    ],
)
def test_children_that_follow_each_other_end_side_by_side_if_they_are_independent(
    strategy: str, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ends, or has been asked to, at the moment that the tree waits for each."""
    node, links = many(strategy, "a", "b", "c", "d")
    seen = leaving_seen(links, monkeypatch)
    node.stop()
    assert seen == asked
    assert links.stopped == ["d", "c", "b", "a"]
    ended = [r.id for r in node.reports() if r.event == "terminated"]
    assert ended == ["d", "c", "b", "cart", "a"], "each in its turn"


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
@pytest.mark.parametrize(
    ("unreachable", "asked"),
    [
        ("dcb", [["d", "c", "b"], ["c", "b"], ["b"], ["a"]]),
        ("cb", [["d"], ["c", "b"], ["b"], ["a"]]),
        ("d", [["d"], ["c", "b"], ["b"], ["a"]]),
    ],
)
def test_children_that_are_lost_end_side_by_side_whatever_the_strategy(
    strategy: str, unreachable: str, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that do not answer; and, once one could not be asked to end, all of its node."""
    node, links = many(strategy, "a", "b", "c", "d")
    seen = leaving_seen(links, monkeypatch)
    for child in unreachable:
        links.link(child, reachable=False)
    node.run(0)
    node.stop()
    assert seen == asked
    assert links.stopped == ["d", "c", "b", "a"]


def leaving(strategy: Any = "one_for_one") -> tuple[Node, FakeLinks, Any]:
    """A tree, one of whose remote children was asked to end and takes its time."""
    node, links = many(strategy, "a", "b")
    pending = node.request("shop", "terminate_child", "a")
    node.run(0)
    return node, links, pending


def test_while_a_child_ends_local_calls_are_served_and_the_request_waits() -> None:
    node, links, pending = leaving()
    assert node.call("cart", b"Store x 1") == b"Ok"
    assert not pending.done
    with pytest.raises(NoProc):
        node.call("a.kv", b"x")
    links.leave("a")
    node.run(0)
    assert pending.result() is None
    assert [str(child.state) for child in node.tree().children] == ["stopped", "running", "running"]
    ended = [
        f"{r.id} {r.event}" for r in node.reports() if r.event in ("terminating", "terminated")
    ]
    assert ended == ["a terminating", "a terminated"]
    node.restart_child("shop", "a")
    assert links.epochs["a"] == 2


def test_a_child_that_did_not_end_in_its_time_is_told_as_killed() -> None:
    node, links, pending = leaving()
    links.link("a", reachable=False)
    links.leave("a")
    node.run(0)
    assert pending.result() is None
    assert [r.id for r in node.reports() if r.event == "killed"] == ["a"]


def test_who_needs_a_child_gone_that_is_just_ending_waits_for_it() -> None:
    """Its siblings go down and up with it, or the tree stops: in their order, as ever."""
    node, links, pending = leaving("one_for_all")
    node.kill("cart")
    node.run(0)
    assert links.stopped == ["b", "a"]
    links.leave("a")  # it came back with its siblings, and is still to end
    node.run(0)
    assert pending.result() is None
    assert [str(child.state) for child in node.tree().children] == ["stopped", "running", "running"]
    node, links, pending = leaving()
    node.stop()
    assert links.stopped == ["b", "a"]
    assert pending.done


def test_a_child_that_is_just_ending_is_not_started_or_deleted_before_it_is_gone() -> None:
    node, links, pending = leaving()
    for verb in ("restart_child", "delete_child"):
        refused = node.request("shop", verb, "a")
        node.run(0)
        with pytest.raises(SupervisorError, match="is running"):
            refused.result()
    again = node.request("shop", "terminate_child", "a")
    node.run(0)
    assert (links.stopped, pending.done, again.done) == (["a"], True, True)
