"""Sharded pools: a remote child many times, over the nodes that fit; each key is in one of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli import (
    FakeLinks,
    ManualClock,
    Node,
    Remote,
    Supervisor,
    TreeFileError,
    load_tree,
    sharded,
)
from ssm_cli.cluster.link.spreading import moves
from ssm_cli.runtime.remote.ports import Outcome
from ssm_cli.spec.model import RemoteSpec, SupervisorSpec

TREE = """\
supervisor: shop
children:
  - {remote: sessions, shards: 8, tree: sessions.yaml, place: {zone: a}}
"""


def in_file(folder: Path, text: str = TREE) -> SupervisorSpec:
    (folder / "shop.yaml").write_text(text)
    return load_tree(str(folder / "shop.yaml"))


def test_yaml_and_python_make_the_same_pool(tmp_path: Path) -> None:
    near = Supervisor(
        "shop", children=[sharded(Remote("sessions", "sessions.yaml", place={"zone": "a"}), 8)]
    )
    assert in_file(tmp_path) == near
    (pool,) = near.children
    assert isinstance(pool, SupervisorSpec)
    assert [child.id for child in pool.children] == [f"sessions-{n}" for n in range(1, 9)]
    assert all(isinstance(one, RemoteSpec) and one.shard for one in pool.children)
    assert pool.intensity == 8  # a node takes all of its shards with it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TREE.replace("8", "1"), "shop/sessions.shards"),
        (TREE.replace("8", "many"), "shop/sessions.shards"),
        (TREE + "  - {worker: sessions-3, start: 'ssm_cli.machines.kv:kv_store'}\n", "sessions-3"),
        (TREE.replace("tree: sessions.yaml, ", ""), "has no tree"),
    ],
)
def test_what_is_wrong_with_a_pool_is_told_at_its_place(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(TreeFileError) as caught:
        in_file(tmp_path, text)
    assert any(words in complaint for complaint in caught.value.complaints)


class Shards:
    """Remote shards that remember what they were asked."""

    def __init__(self, count: int = 8) -> None:
        self.asked: list[tuple[str, bytes]] = []
        workers: dict[str, Any] = {
            f"sessions-{n}.{worker}": self.worker(f"sessions-{n}.{worker}")
            for n in range(1, count + 1)
            for worker in ("sessions", "cart")
        }
        self.links = FakeLinks(ManualClock(), workers)
        tree = Supervisor("shop", children=[sharded(Remote("sessions", "s.yaml"), count)])
        self.node = Node(tree, links=self.links)

    def worker(self, name: str) -> Any:
        def answer(data: bytes) -> Outcome:
            self.asked.append((name, data))
            return Outcome("replied", name.encode())

        return answer


def test_a_key_is_always_in_the_same_shard_and_keys_are_in_all_of_them() -> None:
    shards = Shards()
    with shards.node as node:
        first = [node.call(f"sessions:user{n}", b"x") for n in range(200)]
        again = [node.call(f"sessions:user{n}", b"x") for n in range(200)]
    assert first == again
    counts = Counter(first)
    assert len(counts) == 8
    assert max(counts.values()) < 3 * min(counts.values())


@pytest.mark.parametrize(
    ("name", "worker"),
    [
        ("sessions:ann", "sessions"),
        ("sessions.cart:ann", "cart"),
        ("shop/sessions:ann", "sessions"),
        ("shop/sessions.cart:ann", "cart"),
        ("sessions:ann@example.org", "sessions"),
        ("sessions.cart:a:b.c", "cart"),
        ("sessions-3.cart", "cart"),
    ],
)
def test_names_of_a_pool_are_taken_apart(name: str, worker: str) -> None:
    shards = Shards()
    with shards.node as node:
        far = node.far(name)
        assert far is not None
        assert far[1] == worker
        assert node.call(name, b"x") == f"{far[0]}.{worker}".encode()
        node.cast(name, b"y")
    assert shards.asked == [(f"{far[0]}.{worker}", b"x"), (f"{far[0]}.{worker}", b"y")]


def test_the_worker_is_no_part_of_the_key() -> None:
    with Shards().node as node:
        one, other = node.far("sessions:ann"), node.far("sessions.cart:ann")
        assert one is not None
        assert other is not None
        assert one[0] == other[0]
        assert node.far("sessions") is None
        assert node.far("sessions.cart") is None
        assert node.far("nobody:ann") is None


def test_a_shard_that_ends_is_started_again_and_the_others_go_on() -> None:
    shards = Shards()
    with shards.node as node:
        for n in range(1, 9):
            shards.links.end(f"sessions-{n}", "noconnection")  # their node has gone
        node.run(0)
        assert node.running
        assert node.call("sessions:ann", b"x")


# -- moves -----------------------------------------------------------------------------------------


places = st.dictionaries(st.integers(0, 99).map(str), st.sampled_from(["n1", "n2", "n3", "gone"]))
nodes = st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), unique=True)


@given(places, nodes)
def test_after_the_moves_no_node_has_two_more_than_another(
    places: dict[str, str], nodes: list[str]
) -> None:
    after = dict(places)
    for child, node in moves(places, nodes):
        assert after[child] in nodes
        after[child] = node
    counts = [list(after.values()).count(node) for node in nodes]
    assert not counts or max(counts) - min(counts) < 2
    assert all(after[child] == at for child, at in places.items() if at not in nodes)


@given(places, nodes)
def test_what_is_spread_stays(places: dict[str, str], nodes: list[str]) -> None:
    after = places | dict(moves(places, nodes))
    assert moves(after, nodes) == []
