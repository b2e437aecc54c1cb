from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.tree.far import FarSource
from ssm_cli.repl.tree.index import GROUP, GROUP_FIRST, Index, Wish
from ssm_cli.repl.tree.rates import OVER_S
from ssm_cli.repl.tree.source import Source, ViewSource
from ssm_cli.repl.tree.view import DEEP_QUEUE, TreeView, workers_below
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.looking.listing import CENSUS_CELLS
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import kv_tree, many_workers
from tests.repl.far import Far


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Counted:
    """A tree that is described rather than made: the names of the children of each supervisor."""

    def __init__(self, children: Mapping[str, list[str]], root: str = "root") -> None:
        self.root = root
        self._children = children
        self.asked = 0

    def size(self, name: str) -> int:
        return len(self._children.get(name, ()))

    def children(self, name: str, most: int | None = None) -> list[str]:
        found = self._children.get(name, [])[:most]
        self.asked += len(found)
        return found

    def supervisors(self, name: str) -> list[str]:
        return [child for child in self._children.get(name, ()) if child in self._children]


def rows(index: Index) -> list[str]:
    places = [index.place(row) for row in range(index.count)]
    return [place.guide + (f"… {place.hidden}" if place.hidden else place.name) for place in places]


MIXED = {
    "root": ["a", "s", "b", "c", "t", "d"],
    "s": ["s1", "s2"],
    "t": ["t1"],
}


def test_runs_of_workers_and_supervisors_come_in_start_order_with_their_guides() -> None:
    assert rows(Index(Counted(MIXED), Wish(), {})) == [
        "root",
        "├─ a",
        "├─ s",
        "│  ├─ s1",
        "│  └─ s2",
        "├─ b",
        "├─ c",
        "├─ t",
        "│  └─ t1",
        "└─ d",
    ]


def test_a_closed_supervisor_shows_none_of_its_children() -> None:
    wish = Wish(closed=frozenset({"s"}))
    assert rows(Index(Counted(MIXED), wish, {}))[2:4] == ["├─ s", "├─ b"]


def test_a_group_of_twenty_is_shown_whole_and_a_larger_one_is_folded() -> None:
    for count in (GROUP, GROUP + 1):
        names = [f"w{i:02}" for i in range(count)]
        found = rows(Index(Counted({"root": names}), Wish(), {}))
        assert len(found) == (1 + GROUP if count == GROUP else 1 + GROUP_FIRST + 1)


def test_a_folded_group_keeps_what_needs_looking_at_in_view() -> None:
    names = [f"w{i:04}" for i in range(1000)]
    interesting = {"root": ["w0500", "w0003", "w0600", "w0700", "w0800", "w0900"]}
    found = rows(Index(Counted({"root": names}), Wish(), interesting))
    assert found[-5:] == ["├─ w0500", "├─ w0600", "├─ w0700", "├─ w0800", "└─ … 990"]


def test_a_folded_group_of_a_million_costs_no_more_than_one_of_thirty() -> None:
    tree = Counted({"root": [f"w{i}" for i in range(1_000_000)]})
    index = Index(tree, Wish(), {})
    assert tree.asked == GROUP_FIRST
    assert index.count == GROUP_FIRST + 2


def test_every_row_of_a_large_open_group_is_found() -> None:
    names = [f"w{i}" for i in range(100_000)]
    index = Index(Counted({"root": names}), Wish(opened=frozenset({"root"})), {})
    assert index.count == 100_001
    assert [index.place(row).name for row in (0, 1, 50_000, 100_000)] == [
        "root",
        "w0",
        "w49999",
        "w99999",
    ]
    assert index.place(100_000).guide == "└─ "


def test_the_needle_leaves_what_contains_it_below_its_supervisors() -> None:
    assert rows(Index(Counted(MIXED), Wish(needle="2"), {})) == ["root", "└─ s", "   └─ s2"]
    assert rows(Index(Counted(MIXED), Wish(needle="zzz"), {})) == ["root"]


def test_the_index_notices_that_children_came_or_went() -> None:
    children = {"root": ["a", "b"]}
    index = Index(Counted(children), Wish(), {})
    assert index.fits()
    children["root"].append("c")
    assert not index.fits()


def test_trees_nested_without_end_are_cut_off_rather_than_followed() -> None:
    deep = {f"s{i}": [f"s{i + 1}"] for i in range(500)}
    index = Index(Counted(deep, root="s0"), Wish(), {})
    assert 100 <= index.count <= 102


# --- on a real tree ---------------------------------------------------------------------------


def all_of(node: Node) -> list[Source]:
    return [node.listing(), ViewSource(node), FarSource(cast("NodeApi", Far(node)), Clock())]


def test_a_tree_that_is_asked_for_as_a_whole_or_from_afar_shows_the_same_rows() -> None:
    node = kv_tree().start()
    near, whole, far = (TreeView(source, Clock()) for source in all_of(node))
    assert near.index.count == whole.index.count == far.index.count == 5
    for number in range(5):
        one, *others = near.row(number), whole.row(number), far.row(number)
        for other in others:
            assert (one.guide, one.node.path, one.size) == (
                other.guide,
                other.node.path,
                other.size,
            )
    node.stop()


@pytest.mark.parametrize("which", [0, 1, 2], ids=["its own listing", "its view", "from afar"])
def test_a_census_counts_workers_and_steps_and_finds_who_does_not_run(which: int) -> None:
    node = many_workers(30).start()
    for name in ("w0001", "w0002", "w0002"):
        node.call(name, b"Store x 1")
    node.terminate_child("root", "w0025")
    source = all_of(node)[which]
    (*_, census) = source.census()
    assert (census.workers, census.steps["root"]) == (30, 3)
    assert census.troubled == {"root": ["w0025"]}
    node.stop()


def test_a_census_of_a_large_tree_rests_in_between() -> None:
    children = [Worker(f"w{i}", kv_store) for i in range(CENSUS_CELLS + 10)]
    node = Node(Supervisor("root", children=children)).start()
    assert len(list(node.listing().census())) == 2
    node.stop()


@pytest.mark.parametrize("which", [0, 2], ids=["its own listing", "from afar"])
def test_a_worker_for_which_much_waits_is_kept_in_view(which: int) -> None:
    node = many_workers(100).start()
    tree = TreeView(all_of(node)[which], Clock())
    assert "w0070" not in [tree.index.place(row).name for row in range(tree.index.count)]
    for _ in range(DEEP_QUEUE):
        node.cast("w0070", b"Lookup x")
    tree.refresh(frozenset(), {})
    place = [tree.index.place(row).name for row in range(tree.index.count)].index("w0070")
    assert tree.row(place).node.queue == DEEP_QUEUE
    node.stop()


def test_rates_are_those_of_the_last_second() -> None:
    node, clock = kv_tree().start(), Clock()
    tree = TreeView(node.listing(), clock)
    tree.refresh(frozenset(), {})
    assert tree.row(3).rate is None
    for _ in range(50):
        node.call("kv2", b"Lookup x")
    clock.now_s += OVER_S
    assert [tree.count(), tree.count()] == [False, True]  # one turn counts, the next completes
    tree.refresh(frozenset(), {})
    assert tree.row(3).node.id == "kv2"
    assert tree.row(3).rate == pytest.approx(50)
    assert [tree.row(0).rate, tree.row(2).rate] == [pytest.approx(50), pytest.approx(50)]
    assert tree.rates.total == pytest.approx(50)
    node.stop()


def test_the_chosen_row_stays_with_its_node_when_rows_come_above_it() -> None:
    node = kv_tree().start()
    tree = TreeView(node.listing(), Clock())
    tree.chosen = 3
    tree.close("storage")
    tree.chosen = 2
    tree.open("storage")
    assert tree.chosen_name() == "storage"
    tree.move(99)
    assert tree.chosen_name() == "kv3"
    tree.move(-99)
    assert tree.chosen_name() == "root"
    node.stop()


def test_entering_opens_a_folded_rest_closes_a_supervisor_and_names_a_worker() -> None:
    node = many_workers(100).start()
    tree = TreeView(node.listing(), Clock())
    rest = tree.index.count - 1
    assert tree.toggle(rest) is None
    assert tree.index.count == 101
    assert tree.toggle(5) == "w0004"
    assert tree.toggle(0) is None
    assert tree.index.count == GROUP_FIRST + 2
    node.stop()


def test_children_are_sorted_by_restarts_downwards() -> None:
    node = many_workers(30).start()
    node.kill("w0020")
    tree = TreeView(node.listing(), Clock())
    tree.sort_by("RST")
    assert tree.index.place(1).name == "w0020"
    tree.sort_by("")
    assert tree.index.place(1).name == "w0000"
    node.stop()


def test_a_child_that_goes_between_two_frames_is_shown_as_stopped_once() -> None:
    node = many_workers(3).start()
    tree = TreeView(node.listing(), Clock())
    node.terminate_child("root", "w0001")
    node.delete_child("root", "w0001")
    assert tree.row(2).node.state == "stopped"
    tree.refresh(frozenset(), {})
    assert [tree.row(i).node.id for i in range(tree.index.count)] == ["root", "w0000", "w0002"]
    node.stop()


def test_workers_below_are_counted_no_further_than_asked() -> None:
    node = many_workers(30).start()
    assert workers_below(node.listing(), "root", 5) == 30
    assert workers_below(node.listing(), "w0001", 5) == 1
    node.stop()
