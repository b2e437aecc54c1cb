"""The past of a tree with children on other computers: what the links have brought is in it."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import FakeLinks, ManualClock, Node, Remote, Strategy, Supervisor, Worker
from ssm_cli.commands.records import instant
from ssm_cli.history.past import with_past
from ssm_cli.history.saved.keeping import bytes_of_past, past_in
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.remote.ports import Launched
from ssm_cli.runtime.views import NodeView

SHOP = Supervisor(
    "shop",
    Strategy.REST_FOR_ONE,
    [Worker("cart", kv_store), Remote("billing", "billing.yaml"), Worker("mail", kv_store)],
    intensity=3,
    period=60,
)


class Scene:
    """A tree that remembers, and a record of the worker `cart` where somebody wants one."""

    def __init__(self, tree: Any = SHOP, *, slow: bool = True) -> None:
        self.clock = ManualClock()
        self.links = FakeLinks(self.clock)
        if slow:
            self.links.slow.add("billing")
        self.node = with_past(Node(tree, clock=self.clock, links=self.links, history=1000), instant)
        self.node.start(wait=False)

    def record(self) -> int:
        """Serve an input; return its record."""
        self.clock.advance_s(1.0)
        self.node.run(0)
        self.node.call("cart", b"Store x 1")
        recorder = self.node.recorder()
        assert recorder is not None
        return recorder.last()

    def arrive(self) -> None:
        self.clock.advance_s(1.0)
        self.links.arrive("billing")
        self.node.run(0)

    def at(self, record: int) -> dict[str, Any]:
        return flat(self.node.at(record).tree())


def flat(view: NodeView) -> dict[str, Any]:
    """Return what is known of each node of a tree."""
    known = str(view.state), view.restarts, view.node, view.epoch, view.uptime_s
    found = {view.id: known}
    for child in view.children:
        found |= flat(child)
    return found


def test_a_child_that_was_asked_for_is_shown_as_it_was_at_each_record() -> None:
    scene = Scene()
    before = scene.record()
    then = flat(scene.node.tree())
    assert (then["billing"][0], then["mail"][0]) == ("starting", "starting")
    scene.arrive()
    after = scene.record()
    now = flat(scene.node.tree())
    assert (now["billing"][0], now["mail"][0], now["shop"][0]) == ("running",) * 3
    assert scene.at(before) == then
    assert scene.at(after) == now


def test_a_child_that_ended_and_came_back_is_shown_with_its_siblings() -> None:
    scene = Scene()
    scene.arrive()
    first = scene.record()
    one = flat(scene.node.tree())
    scene.links.end("billing", "killed")
    scene.node.run(0)
    second = scene.record()
    two = flat(scene.node.tree())
    scene.arrive()
    third = scene.record()
    three = flat(scene.node.tree())
    assert [shown["billing"][0] for shown in (one, two, three)] == [
        "running", "starting", "running",
    ]  # fmt: skip
    assert [shown["mail"][:2] for shown in (one, two, three)] == [
        ("running", 0), ("restarting", 0), ("running", 1),
    ]  # fmt: skip
    assert [scene.at(record) for record in (first, second, third)] == [one, two, three]


def test_a_child_that_did_not_start_is_tried_again_in_the_past_too() -> None:
    scene = Scene()
    scene.arrive()
    scene.record()
    scene.links.refusing["billing"] = [Launched("", ok=False, reason="noconnection")]
    scene.links.end("billing", "killed")
    scene.node.run(0)
    scene.arrive()
    down = scene.record()
    then = flat(scene.node.tree())
    scene.arrive()
    up = scene.record()
    assert then["billing"][0] != "running"
    assert scene.at(down) == then
    assert scene.at(up) == flat(scene.node.tree())


@pytest.mark.parametrize("reachable", [False, True])
def test_a_link_that_breaks_is_shown_broken_and_a_node_is_told_once(*, reachable: bool) -> None:
    scene = Scene()
    scene.arrive()
    scene.links.link("billing", reachable=False, age_s=0.5)
    scene.links.node("n2", up=True)
    scene.links.break_off(detail="gone")
    scene.record()
    for _ in range(3):
        scene.links.link("billing", reachable=reachable, age_s=0.1)
        record = scene.record()
    past = scene.node.at(record)
    assert scene.at(record) == flat(scene.node.tree())
    told = [(r.event, r.id, r.detail) for r in scene.node.reports()]
    assert [(r.event, r.id, r.detail) for r in past.reports()] == told
    assert (past.tree().children[1].age_s or 0.0) < 1.0 or not reachable, "it was heard of then"


def test_a_child_that_is_stopped_by_hand_is_stopped_in_the_past_and_nothing_is_asked() -> None:
    scene = Scene()
    scene.arrive()
    before = scene.record()
    scene.node.terminate_child("shop", "billing")
    stopped = scene.record()
    scene.links.slow.clear()
    scene.node.restart_child("shop", "billing")
    again = scene.record()
    asked = [*scene.links.started], [*scene.links.stopped]
    states = [scene.at(record)["billing"][0] for record in (before, stopped, again)]
    assert states == ["running", "stopped", "running"]
    assert ([*scene.links.started], [*scene.links.stopped]) == asked


def test_a_child_that_is_just_ending_is_shown_so_and_its_end_is_one_record() -> None:
    scene = Scene()
    scene.arrive()
    scene.links.lingering.add("billing")
    pending = scene.node.request("shop", "terminate_child", "billing")
    scene.node.run(0)
    ending = scene.record()
    then = flat(scene.node.tree())
    scene.links.leave("billing")
    scene.node.run(0)
    gone = scene.record()
    assert pending.result() is None
    assert gone == ending + 1
    assert scene.at(ending) == then
    assert scene.at(gone) == flat(scene.node.tree())


def test_when_and_back_find_the_record_at_which_a_child_was_there() -> None:
    scene = Scene()
    scene.record()
    scene.arrive()
    last = scene.record()
    assert scene.node.perform("step_back", at=str(last), by=1)["place"] == str(last - 1)
    assert scene.at(last - 1)["billing"][0] == "starting"


def test_a_saved_past_shows_them_likewise() -> None:
    scene = Scene(slow=False)
    scene.record()
    scene.links.slow.add("billing")
    scene.links.end("billing", "noconnection")
    scene.links.node("n1", up=False)
    down = scene.record()
    scene.arrive()
    up = scene.record()
    opened = past_in(bytes_of_past(scene.node)[0], "shop.past").node
    for record in (down, up):
        assert flat(opened.at(record).tree()) == scene.at(record)
    assert scene.at(up)["billing"] == ("running", 1, "here", 2, 1.0)


def test_without_an_input_what_was_steps_again_and_children_elsewhere_are_left_alone() -> None:
    scene = Scene()
    scene.arrive()
    first = scene.record()
    scene.links.end("billing", "killed")
    scene.node.run(0)
    scene.arrive()
    scene.record()
    asked = [*scene.links.started]
    states = flat(scene.node.tree())
    place = scene.node.perform("fork")["place"]
    found = scene.node.perform("without", records=str(first), at=place)
    assert found["changes"] == []
    fork = scene.node.perform("standing", place, reading=False)
    assert flat(fork.tree()) == states
    assert scene.links.started == asked
