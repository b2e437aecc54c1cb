"""One parent: of the processes that run a tree of one name, one has its children."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import (
    ChildJob,
    Claim,
    Done,
    FrameDecoder,
    Open,
    StartChild,
    Superseded,
)
from ssm_cli.cluster.link.parenthood import FOLLOWS_S, Parenthood
from ssm_cli.cluster.link.process import Link
from ssm_cli.cluster.ports import Answer, ClusterError, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.limits import STARTED_S
from ssm_cli.cluster.protocol.messages import Advert, Parent, Said, Start, control
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.ports import SimCells, SimCluster, Switchboard
from ssm_cli.cluster.simulated.servers import Servers

encoded = msgspec.json.encode
TTL_S = 2.0
SEEDS = 40


class Candidate:
    """A process that runs the tree, and what it has heard."""

    def __init__(self, scene: Scene, name: str, *, takeover: bool = False) -> None:
        self.name = name
        self.process = Process(name, scene.net.random.uniform(0.9, 1.1), 0.0)
        self.waited_for: list[str] = []
        self.kept: list[str] = []
        self.is_parent = self.left = False
        self.taken_by = ""
        cluster = SimCluster(scene.net, self.process, scene.servers, scene.switchboard)
        me = Parent(name, host=name, pid=1, ttl_s=scene.ttl_s)
        self.parenthood = Parenthood(
            cluster, "shop", me, waits=self.waited_for.append, kept=self.kept.append
        )
        self._scene = scene
        scene.net.begin(self.process, self.run(takeover))

    async def run(self, takeover: bool) -> None:
        await self.parenthood.take(takeover=takeover)
        self.is_parent = True
        self.taken_by = await self.parenthood.hold()
        self.is_parent = False

    def leave(self) -> None:
        """End in order."""

        async def leaving() -> None:
            await self.parenthood.release()
            self.process.crash()

        self.is_parent = False
        self._scene.net.begin(self.process, leaving())

    def crash(self) -> None:
        self.is_parent = False
        self.process.crash()


class Scene:
    def __init__(self, seed: int = 1, loss: float = 0.0, ttl_s: float = TTL_S) -> None:
        self.ttl_s = ttl_s
        self.net = Network(seed, loss=loss)
        self.servers = Servers(Random(seed))
        self.switchboard: Switchboard = {}

    def candidate(self, name: str, *, takeover: bool = False) -> Candidate:
        made = Candidate(self, name, takeover=takeover)
        self.net.run(1.0)
        return made


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.net.close()


def test_the_first_is_the_parent_and_a_second_waits_and_says_for_whom(scene: Scene) -> None:
    first, second = scene.candidate("first"), scene.candidate("second")
    scene.net.run(60.0)
    assert (first.is_parent, second.is_parent) == (True, False)
    assert second.waited_for == ["first, process 1"]


def test_one_that_leaves_is_followed_at_once(scene: Scene) -> None:
    first, second = scene.candidate("first"), scene.candidate("second")
    first.leave()
    scene.net.run(TTL_S / 2)
    assert second.is_parent


def test_one_that_crashed_is_followed_soon_by_one_that_comes_then() -> None:
    """Sooner than its lease is over: nobody answers, for as long as the next process would need."""
    scene = Scene(ttl_s=10.0)
    first = scene.candidate("first")
    first.crash()
    second = scene.candidate("second")
    scene.net.run(FOLLOWS_S + 1.5)
    assert second.is_parent
    assert not second.waited_for
    scene.net.close()


@pytest.mark.parametrize("after_s", [0.2, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("ttl_s", [2.0, 10.0])
def test_one_that_comes_while_a_link_process_follows_another_does_not_take_the_tree(
    after_s: float, ttl_s: float
) -> None:
    """It did: at its first look nobody answered, as the one before was just gone."""
    scene = Scene(ttl_s=ttl_s)
    scene.candidate("first").crash()
    second = Candidate(scene, "second")
    scene.net.run(after_s)
    again = scene.candidate("first")
    scene.net.run(30.0)
    assert (again.is_parent, second.is_parent) == (True, False)
    assert second.waited_for == ["first, process 1"]
    scene.net.close()


def test_one_that_crashes_is_followed_by_one_that_waits_once_its_lease_is_over(
    scene: Scene,
) -> None:
    first, second = scene.candidate("first"), scene.candidate("second")
    first.crash()
    scene.net.run(TTL_S / 2)
    assert not second.is_parent
    scene.net.run(2 * TTL_S)
    assert second.is_parent


def test_one_that_is_told_to_takes_over_and_the_first_hears_from_whom(scene: Scene) -> None:
    first = scene.candidate("first")
    second = scene.candidate("second", takeover=True)
    scene.net.run(TTL_S)
    assert (first.is_parent, second.is_parent) == (False, True)
    assert first.taken_by == "second, process 1"


def test_the_next_link_process_of_the_same_tree_does_not_wait(scene: Scene) -> None:
    first = scene.candidate("first")
    first.crash()
    again = scene.candidate("first")
    assert again.is_parent
    assert not again.waited_for


def test_one_that_hangs_for_longer_than_its_lease_finds_that_it_is_the_parent_no_more(
    scene: Scene,
) -> None:
    first, second = scene.candidate("first"), scene.candidate("second")
    first.process.paused_until_s = scene.net.true_s + 5 * TTL_S
    scene.net.run(4 * TTL_S)
    assert second.is_parent
    scene.net.run(4 * TTL_S)
    assert first.taken_by == "second, process 1"


class Told:
    """What a link process tells its tree."""

    def __init__(self) -> None:
        self.frames = FrameDecoder()
        self.news: list[object] = []
        self.transport = self

    def write(self, data: bytes) -> None:
        self.news += [n for n in self.frames.feed(data) if isinstance(n, Done | Superseded)]

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize("taken", [False, True])
def test_a_start_that_fails_as_another_parent_has_taken_over_is_told_as_that(
    scene: Scene, taken: bool
) -> None:
    process, node = Process("first", 1.0, 0.0), Process("n1", 1.0, 0.0)
    told, waiting = Told(), list[Answer]()
    cluster = SimCluster(scene.net, process, scene.servers, scene.switchboard)
    link = Link(cluster, Open("shop", Access(""), Claim("first", "first", 1)), told)  # type: ignore[arg-type]  # as much of a stream as it uses

    def on_order(_: str, data: bytes, answer: Answer | None) -> None:
        assert answer is not None
        waits = isinstance(control(data), Start)
        waiting.append(answer) if waits else answer(msgspec.json.encode(Said(ok=True)))

    async def agent() -> None:
        there = SimCluster(scene.net, node, scene.servers, scene.switchboard)
        await (await there.cells(names.ADVERTS, 1)).cas("n1", encoded(Advert("n1")), 0)
        await there.calls.serve(names.agent("n1"), on_order)
        await there.calls.serve(names.looks("n1"), on_order)

    async def parent() -> None:
        link.begin()
        link.on(StartChild(1, ChildJob("billing", "b.yaml")))

    scene.net.begin(node, agent())
    scene.net.run(0.2)
    scene.net.begin(process, parent())
    while not waiting:
        scene.net.run(0.01)
    if taken:
        Candidate(scene, "second", takeover=True)
        scene.net.run(0.2)
    waiting[0](encoded(Said(ok=False, reason="stopped")))
    scene.net.run(2 * TTL_S)
    begun, *more = told.news
    assert begun == Done(0, ok=True)
    failed = Done(1, ok=False, reason="stopped", detail="n1: ")
    assert more == ([Superseded("second, process 1")] if taken else [failed])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_is_lost_one_that_lives_is_the_parent_in_the_end(seed: int) -> None:
    scene = Scene(seed, loss=0.05)
    candidates = [scene.candidate(f"p{n}") for n in range(3)]
    for candidate in scene.net.random.sample(candidates, 2):
        scene.net.run(scene.net.random.uniform(0.0, 5.0))
        candidate.crash()
    scene.net.run(30.0)
    (left,) = [one for one in candidates if one.process.alive]
    assert left.is_parent
    assert not left.taken_by
    scene.net.close()


def test_servers_that_do_not_answer_are_waited_for_as_long_as_a_start_may_take(
    scene: Scene,
) -> None:
    """So are three that choose a leader, for which five seconds are too short."""
    scene.servers.away = True
    first = scene.candidate("first")
    scene.net.run(0.8 * STARTED_S)
    scene.servers.away = False
    scene.net.run(10.0)
    assert first.is_parent


@pytest.mark.parametrize("what", ["get", "cas"])
def test_servers_that_stay_away_are_an_error_when_that_time_is_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Also where they still read, and do not write."""

    async def away(*_: object) -> Unknown:
        return Unknown("no answer came")

    monkeypatch.setattr(SimCells, what, away)
    scene.candidate("first")
    scene.net.run(0.8 * STARTED_S)
    with pytest.raises(ClusterError, match="no answer came"):
        scene.net.run(STARTED_S)


@pytest.mark.parametrize("what", ["get", "cas"])
def test_who_may_not_be_the_parent_is_told_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def denied(*_: object) -> Unknown:
        return Unknown("s1 does not let us", denied=True)

    monkeypatch.setattr(SimCells, what, denied)
    with pytest.raises(ClusterError, match="s1 does not let us"):
        scene.candidate("first")


def test_a_parent_whose_servers_take_nothing_says_why_until_they_do(scene: Scene) -> None:
    one = scene.candidate("one")
    scene.net.run(5.0)
    assert set(one.kept) == {""}
    one.kept.clear()
    scene.servers.away = True
    scene.net.run(5.0)
    assert one.kept[-1] == "no answer came"
    one.kept.clear()
    scene.servers.away = False
    scene.net.run(5.0)
    assert one.kept[-1] == ""
    assert one.is_parent
