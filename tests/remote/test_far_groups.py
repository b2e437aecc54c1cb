"""Groups over processes: a publish leaves once, and what is heard is published here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    FakeLinks,
    Join,
    Leave,
    ManualClock,
    Node,
    Publish,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.runtime.engine.publishing import MAX_CARRIED_BYTES
from ssm_cli.runtime.views import Carried


class Enter(msgspec.Struct, frozen=True):
    room: str


class Quit(msgspec.Struct, frozen=True):
    room: str


class Say(msgspec.Struct, frozen=True):
    room: str
    words: str


class Shout(msgspec.Struct, frozen=True):
    room: str


class Heard(msgspec.Struct, frozen=True):
    words: str


class Boom(msgspec.Struct, frozen=True):
    pass


Inputs = Enter | Quit | Say | Shout | Heard | Boom


def step(message: Inputs, heard: tuple[str, ...]) -> Any:
    match message:
        case Enter(room):
            return heard, None, [Join(room)]
        case Quit(room):
            return heard, None, [Leave(room)]
        case Say(room, words):
            return heard, None, [Publish(room, Heard(words))]
        case Shout(room):
            return heard, None, [Publish(room, object())]
        case Heard(words):
            return (*heard, words), None
        case Boom():
            raise RuntimeError


user = StateMachine(step=step, init=lambda _name, _args: (), inputs=Inputs)
HEARD = b'{"type":"Heard","words":"hi"}'


class Scene:
    """A tree with two users, and the others as the twin shows them."""

    def __init__(self) -> None:
        self.links = FakeLinks(ManualClock())
        tree = Supervisor("chat", children=[Worker("ann", user), Worker("bob", user)])
        self.node = Node(tree, links=self.links).start()

    def dropped(self) -> list[tuple[Any, Any]]:
        self.node.run()
        found = [report.detail for report in self.node.reports() if report.event == "dropped"]
        return [(detail["to"], detail["why"]) for detail in found]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.node.close()


def test_others_know_which_groups_have_members_here(scene: Scene) -> None:
    for name in ("ann", "bob"):
        scene.node.call(name, Enter("tea"))
    assert scene.links.interests == {"tea"}
    scene.node.call("ann", Quit("tea"))
    assert scene.links.interests == {"tea"}
    scene.node.cast("bob", Boom())
    scene.node.run()
    assert scene.links.interests == set()  # its life is over
    scene.node.call("ann", Enter("tea"))
    scene.node.stop()
    assert scene.links.interests == set()


def test_a_publish_leaves_once_and_the_members_here_get_it_once(scene: Scene) -> None:
    scene.node.call("ann", Enter("tea"))
    scene.node.call("bob", Say("tea", "hi"))
    scene.node.run()
    assert scene.links.published == [("tea", Carried(HEARD, is_value=True), False)]
    assert scene.node.get_state("ann") == ("hi",)
    assert scene.dropped() == []


def test_a_publish_from_outside_leaves_as_the_input_that_it_is(scene: Scene) -> None:
    assert scene.node.publish("tea", b"Heard hi").members == 0
    assert scene.links.published == [("tea", Carried(b"Heard hi"), True)]
    assert scene.dropped() == []  # somebody may be a member elsewhere


def test_where_nobody_is_a_member_anywhere_it_is_a_dead_letter(scene: Scene) -> None:
    scene.node.publish("tea", b"Heard hi")
    scene.links.unheard("tea", "no members, in no process of the tree")
    assert scene.dropped() == [("tea", "no members, in no process of the tree")]
    assert scene.node.dropped == 1


@pytest.mark.parametrize("carried", [Carried(b"Heard hi"), Carried(HEARD, is_value=True)], ids=str)
def test_what_is_heard_goes_to_the_members_here_and_no_further(
    scene: Scene, carried: Carried
) -> None:
    for name in ("ann", "bob"):
        scene.node.call(name, Enter("tea"))
    scene.links.hear("tea", carried)
    scene.node.run()
    assert [scene.node.get_state(name) for name in ("ann", "bob")] == [("hi",), ("hi",)]
    assert scene.links.published == []


def test_what_is_heard_of_no_use_is_dropped_and_counted(scene: Scene) -> None:
    scene.links.hear("tea", Carried(HEARD, is_value=True))  # the member has left
    scene.node.run()
    scene.node.call("ann", Enter("tea"))
    scene.links.hear("tea", Carried(b'{"type":"Herd"}', is_value=True))
    (first, second) = scene.dropped()
    assert first == ("tea", "no members")
    assert second[1].startswith("undecodable: no input `Herd`")
    assert scene.node.get_state("ann") == ()


def test_a_message_that_cannot_cross_reaches_the_members_here_and_says_so(scene: Scene) -> None:
    scene.node.call("bob", Shout("tea"))
    large = b"Heard " + b"x" * MAX_CARRIED_BYTES
    scene.node.call("ann", Enter("tea"))
    scene.node.publish("tea", large)
    (value, size) = scene.dropped()
    assert value[1].startswith("it does not cross to other processes: an object is no JSON")
    assert size[1].endswith("and at most 900,000 cross")
    assert len(scene.node.get_state("ann")) == 1
    assert scene.links.published == []


def test_one_byte_less_crosses(scene: Scene) -> None:
    scene.node.publish("tea", b"x" * MAX_CARRIED_BYTES)
    assert [len(carried.data) for _, carried, _ in scene.links.published] == [MAX_CARRIED_BYTES]


def test_a_fork_sends_nothing_and_tells_nobody(scene: Scene) -> None:
    scene.node.call("ann", Enter("tea"))
    fork = scene.node.fork()
    fork.call("bob", Enter("coffee"))
    fork.call("bob", Say("tea", "hi"))
    fork.publish("coffee", b"Heard hi")
    fork.run()
    assert fork.get_state("ann") == ("hi",)
    assert (scene.links.published, scene.links.interests) == ([], {"tea"})
    assert scene.node.get_state("ann") == ()


def test_as_much_as_waits_already_is_the_bound_of_what_is_heard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssm_cli.runtime.remote.hearing.MOST_WAITING", 3)
    scene.node.call("ann", Enter("tea"))
    for _ in range(5):
        scene.links.hear("tea", Carried(b"Heard hi"))
    assert scene.dropped() == [("tea", "3 inputs wait already")] * 2
    assert scene.node.get_state("ann") == ("hi",) * 3


def test_a_broken_link_is_a_report_and_hurts_nobody(scene: Scene) -> None:
    scene.links.break_off(detail="it was killed")
    scene.links.break_off(up=True)
    scene.node.run()
    told = [(r.event, r.detail["why"]) for r in scene.node.reports() if r.event.startswith("link")]
    assert told == [("link_down", "it was killed"), ("link_up", "")]
