"""Groups over nodes: between two processes, simulated and on NATS; and over a tree of real ones."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ClusterLinks, Node, Remote, Supervisor, Worker
from ssm_cli.cluster.link.groupcast import NOBODY, GroupCast
from ssm_cli.cluster.ports import Cluster
from ssm_cli.runtime.views import Carried
from tests.cluster.conftest import Play
from tests.cluster.real.scene import children_of, command_of, end, start_node, until_nodes
from tests.cluster.servers import Servers

SOON_S = 180.0


class Side:
    """One process of a tree, and what it hears."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.heard: list[bytes] = []
        self.lost: list[tuple[str, str]] = []
        self.time = cluster.time
        self.groups = GroupCast(
            cluster, "shop", name,
            lambda _, carried: self.heard.append(carried.data),
            lambda group, why: self.lost.append((group, why)),
        )  # fmt: skip

    def say(self, words: bytes, *, group: str = "tea", alone: bool = False) -> None:
        self.groups.publish(group, Carried(words), alone=alone)

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(int(SOON_S / 0.05)):
            if holds():
                return
            await self.time.sleep_s(0.05)
        raise AssertionError((self.heard, self.lost))

    async def listens(self, other: Side, group: str = "tea") -> None:
        """Listen, until the other one's words arrive."""
        self.groups.interest(group, wanted=True)
        while not self.heard:
            other.say(b"?", group=group)
            await self.time.sleep_s(0.05)
        await self.time.sleep_s(0.2)
        self.heard.clear()


def test_the_others_hear_all_once_in_order_and_who_publishes_does_not(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        ann, bob = Side(one, "ann"), Side(two, "bob")
        await bob.listens(ann)
        await ann.listens(bob)
        said = [f"{n}".encode() for n in range(500)]
        for words in said:
            ann.say(words)
        await bob.until(lambda: len(bob.heard) >= len(said))
        assert sorted(bob.heard, key=int) == said
        assert (ann.heard, ann.lost, bob.lost) == ([], [], [])
        await ann.groups.close()
        await bob.groups.close()

    play(body)


def test_the_order_of_one_process_is_kept(one_server: Servers, play: Play) -> None:
    del one_server

    async def body(one: Cluster, two: Cluster) -> None:
        if type(one).__name__ == "SimCluster":
            return  # its network delays each message by itself, which no connection does
        ann, bob = Side(one, "ann"), Side(two, "bob")
        await bob.listens(ann)
        said = [f"{n} ".encode() * (1 if n % 7 else 100_000) for n in range(200)]
        for n, words in enumerate(said):
            ann.say(words, alone=n % 3 == 0)
        await bob.until(lambda: len(bob.heard) >= len(said))
        assert bob.heard == said
        await bob.groups.close()
        await ann.groups.close()

    play(body)


def test_what_nobody_listens_to_is_told_and_what_somebody_does_is_not(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        ann, bob = Side(one, "ann"), Side(two, "bob")
        await bob.listens(ann)
        ann.say(b"1", alone=True)
        ann.say(b"2", group="coffee", alone=True)
        await ann.until(lambda: bool(ann.lost))
        assert ann.lost == [("coffee", NOBODY)]
        assert bob.heard == [b"1"]
        bob.groups.interest("tea", wanted=False)
        await bob.time.sleep_s(0.5)
        ann.say(b"3", alone=True)
        await ann.until(lambda: len(ann.lost) == 2)
        assert ann.lost[1] == ("tea", NOBODY)
        await ann.groups.close()
        await bob.groups.close()

    play(body)


def test_a_publisher_without_members_of_its_own_may_publish_as_much_as_any(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        ann, bob = Side(one, "ann"), Side(two, "bob")
        await bob.listens(ann)
        for n in range(6_000):
            ann.say(b"%d" % n, alone=True)
            if n % 100 == 0:
                await ann.time.sleep_s(0.0)
        await bob.until(lambda: len(bob.heard) >= 6_000)
        assert ann.lost == []
        await ann.groups.close()
        await bob.groups.close()

    play(body)


def test_as_many_as_may_be_under_way_are_and_one_more_is_told(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssm_cli.cluster.link.groupcast.MOST_SENDING", 3)

    async def body(one: Cluster, two: Cluster) -> None:
        del two
        ann = Side(one, "ann")
        for n in range(4):
            ann.say(b"x", group=f"g{n}")
        assert ann.lost == [("g3", "3 publishes are under way to other processes")]
        await ann.groups.close()

    play(body)


def test_as_many_groups_as_may_be_heard_are(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssm_cli.cluster.link.groupcast.MOST_HEARD_GROUPS", 2)

    async def body(one: Cluster, two: Cluster) -> None:
        del two
        ann = Side(one, "ann")
        for group in ("a", "b", "c"):
            ann.groups.interest(group, wanted=True)
        await ann.until(lambda: bool(ann.lost))
        assert [group for group, _ in ann.lost] == ["c"]
        await ann.groups.close()

    play(body)


# -- a tree on two nodes ---------------------------------------------------------------------------

CHAT = """\
from typing import Any
import msgspec
from ssm_cli import Join, Ok, Publish, StateMachine, Supervisor, Worker


class Say(msgspec.Struct, frozen=True):
    words: str


class Heard(msgspec.Struct, frozen=True):
    words: str


class All(msgspec.Struct, frozen=True):
    pass


def step(message: Say | Heard | All, heard: tuple[str, ...]) -> Any:
    match message:
        case Say(words):
            return heard, "said", [Publish("tea", Heard(words))]
        case Heard(words):
            return (*heard, words), None
        case All():
            return heard, ",".join(heard)


user = StateMachine(
    step=step, init=lambda name, args: Ok((), effects=[Join("tea")]), inputs=Say | Heard | All
)
tree = Supervisor("chat", children=[Worker("u", user)])
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
NAMES = ("u", "a.u", "b.u")


class Chat:
    """A tree with a user in each of three processes: its own, and two on other nodes."""

    def __init__(self, folder: Path) -> None:
        (folder / "chat_of_test.py").write_text(CHAT)
        self.servers = Servers(folder).start_all()
        url = self.servers.url
        self.nodes = {
            name: start_node(url, name, folder / "log", folder=str(folder)) for name in ("n1", "n2")
        }
        until_nodes(url, 2)
        space: dict[str, Any] = {}
        exec(CHAT, space)  # noqa: S102 - the file from above, as a user imports it
        here = Worker("u", space["user"])
        far = [Remote(name, "chat_of_test:tree") for name in ("a", "b")]
        self.links = ClusterLinks(url, "chat")
        self.node = Node(Supervisor("root", children=[here, *far]), links=self.links).start()

    def ask(self, name: str, words: bytes) -> bytes:
        found: bytes = self.node.call(name, words, SOON_S)
        return found

    def heard(self, name: str) -> list[str]:
        said = self.ask(name, b"All").decode().strip('"')
        return said.split(",") if said else []

    def until(self, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + SOON_S
        while not holds():
            assert time.monotonic() < end_s, {name: self.heard(name) for name in NAMES}
            self.node.run(0.05)

    def until_known(self) -> None:
        """Wait until each hears each."""
        for name in NAMES:
            for n in range(1_000):
                self.ask(name, f"Say ?{n}{name}".encode())
                self.node.run(0.05)
                if all(f"?{n}{name}" in self.heard(other) for other in NAMES):
                    break
            else:
                raise AssertionError(name)

    def host_of(self, child: str) -> int:
        found = [
            pid
            for node in self.nodes.values()
            for pid in children_of(node.pid)
            if "owner.host" in command_of(pid)
        ]
        tree = self.node.tree()
        where = next(one.node for one in tree.children if one.id == child)
        (pid,) = (pid for pid in found if pid in children_of(self.nodes[str(where)].pid))
        return pid

    def close(self) -> None:
        self.node.close()
        end(self.nodes)
        self.servers.stop()


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    pytest.importorskip("nats", reason="the extra `cluster` is not installed")
    made = Chat(tmp_path)
    yield made
    made.close()


def of(chat: Chat, name: str, mark: str) -> list[str]:
    return [words for words in chat.heard(name) if words.startswith(mark)]


def test_whoever_publishes_all_members_of_the_tree_get_it_once_and_in_order(chat: Chat) -> None:
    chat.until_known()
    for speaker in NAMES:
        for n in range(20):
            chat.ask(speaker, f"Say {speaker}-{n}".encode())
    said = {speaker: [f"{speaker}-{n}" for n in range(20)] for speaker in NAMES}
    for listener in NAMES:
        for speaker in NAMES:
            chat.until(lambda: len(of(chat, listener, f"{speaker}-")) >= 20)  # noqa: B023 - used at once
    for listener in NAMES:
        assert {s: of(chat, listener, f"{s}-") for s in NAMES} == said
    chat.node.publish("tea", b"Heard bytes-1")
    for listener in NAMES:
        chat.until(partial(lambda who: of(chat, who, "bytes") == ["bytes-1"], listener))
    chat.node.publish("nothing", b"Heard x")
    chat.until(lambda: any(r.detail.get("to") == "nothing" for r in chat.node.reports()))
    (dead,) = (r.detail for r in chat.node.reports() if r.event == "dropped")
    assert dead == {"to": "nothing", "how": "publish", "why": NOBODY}


@linux
def test_a_process_that_hangs_holds_up_nobody(chat: Chat) -> None:
    chat.until_known()
    pid = chat.host_of("b")
    os.kill(pid, signal.SIGSTOP)
    try:
        chat.ask("a.u", b"Say on-1")
        chat.ask("u", b"Say on-2")
        for listener in ("u", "a.u"):
            chat.until(partial(lambda who: set(of(chat, who, "on-")) == {"on-1", "on-2"}, listener))
    finally:
        os.kill(pid, signal.SIGCONT)


@linux
def test_a_new_link_process_listens_to_what_the_one_before_did(chat: Chat) -> None:
    chat.until_known()
    (pid,) = (pid for pid in children_of(os.getpid()) if "link.process" in command_of(pid))
    os.kill(pid, signal.SIGKILL)
    chat.until(lambda: any(r.event == "link_up" for r in chat.node.reports()))
    chat.until(lambda: all(child.state == "running" for child in chat.node.tree().children))
    chat.until_known()
