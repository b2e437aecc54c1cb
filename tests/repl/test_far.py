"""The rows of a tree of another process: what is asked for, and what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import msgspec
import pytest

from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.tree.far import AT_ONCE, FarSource
from ssm_cli.repl.tree.index import GROUP
from ssm_cli.repl.tree.rates import OVER_S
from ssm_cli.repl.tree.view import TreeView
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.looking.listing import CENSUS_CELLS, Census, Listing
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Backoff, Supervisor, Worker
from tests.repl.far import Far

MANY = 20_000
SMALL = 200  # bytes of an answer that says that there is nothing new
SCREEN = 40


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Looked:
    """A tree as it is seen from afar, and what was asked for it."""

    def __init__(self, node: Node) -> None:
        self.node, self.clock, self.far = node, Clock(), Far(node)
        self.tree = TreeView(FarSource(cast("NodeApi", self.far), self.clock), self.clock)
        self.frame()

    def frame(self, first: int = 0) -> list[str]:
        """Draw a screen of rows a second later; return what it says."""
        self.clock.now_s += OVER_S
        for _ in range(2 + MANY // CENSUS_CELLS):
            self.tree.count()
        self.tree.refresh(frozenset(), {})
        last = min(first + SCREEN, self.tree.index.count)
        rows = [self.tree.row(number) for number in range(first, last)]
        return [f"{row.hidden} more" if row.hidden else row.node.id for row in rows]

    def settle(self) -> None:
        """Draw until nothing is new, and forget what was asked."""
        for _ in range(3):
            self.frame()
        self.far.taken()


@contextmanager
def looked(node: Node) -> Iterator[Looked]:
    with node:
        yield Looked(node)


def pool(size: int) -> Node:
    """A supervisor with a large pool, whose node remembers what happens."""
    many = [Worker(f"w{i:05}", kv_store) for i in range(size)]
    return Node(Supervisor("root", children=[Supervisor("pool", children=many)]), history=1000)


def test_a_large_tree_is_shown_for_the_price_of_its_rows() -> None:
    with looked(pool(MANY)) as seen:
        shown = seen.frame()
        assert shown[:3] == ["root", "pool", "w00000"]
        assert shown[-1] == f"{MANY - 6} more"
        assert seen.tree.rates.census.workers == MANY
        assert sum(seen.far.sizes) < 20_000


def test_an_idle_tree_is_asked_for_nothing_but_news() -> None:
    with looked(pool(MANY)) as seen:
        seen.settle()
        for _ in range(10):
            seen.frame()
        assert max(seen.far.sizes) < SMALL
        assert seen.far.taken() == ["rows"] * 10
        assert seen.tree.rates.total == 0


def test_a_row_of_an_idle_tree_grows_older_by_itself() -> None:
    with looked(pool(3)) as seen:
        seen.settle()
        before = seen.tree.row(2).node.uptime_s
        seen.frame()
        assert seen.tree.row(2).node.uptime_s == pytest.approx(before + OVER_S)


def test_what_was_served_is_seen_by_one_request_for_rows_and_one_count() -> None:
    with looked(pool(MANY)) as seen:
        seen.settle()
        for _ in range(30):
            seen.node.call("w00001", b"Lookup x")
        seen.frame()
        assert seen.tree.row(3).node.steps == 30
        assert seen.tree.row(3).rate == pytest.approx(30)
        seen.frame()
        assert seen.far.taken() == ["rows", "census", "rows"]
        assert seen.tree.rates.total == pytest.approx(30)
        seen.frame()
        assert seen.tree.rates.total == 0


def test_children_that_come_and_go_are_shown() -> None:
    with looked(pool(3)) as seen:
        seen.settle()
        seen.node.start_child("pool", Worker("new", kv_store))
        assert seen.frame()[-1] == "new"
        seen.node.terminate_child("pool", "new")
        seen.node.delete_child("pool", "new")
        assert seen.frame() == ["root", "pool", "w00000", "w00001", "w00002"]


def test_a_child_in_the_place_of_another_is_shown() -> None:
    with looked(pool(3)) as seen:
        seen.settle()
        seen.node.terminate_child("pool", "w00001")
        seen.node.delete_child("pool", "w00001")
        seen.node.start_child("pool", Worker("new", kv_store))
        seen.frame()
        assert seen.frame() == ["root", "pool", "w00000", "w00002", "new"]


def test_a_group_that_is_opened_is_asked_for_its_names_once_and_for_rows_by_the_page() -> None:
    with looked(pool(MANY)) as seen:
        seen.settle()
        seen.tree.open("pool")
        assert seen.far.taken() == ["names"]
        assert seen.frame(first=MANY // 2)[0] == f"w{MANY // 2 - 2:05}"
        seen.frame(first=MANY // 2)
        assert set(seen.far.taken()) == {"rows"}
        seen.frame(first=MANY // 2)
        assert seen.far.taken() == ["rows"]


def test_more_rows_than_are_answered_at_once_are_asked_for_in_several_requests() -> None:
    with looked(pool(3 * AT_ONCE)) as seen:
        seen.settle()
        seen.tree.sort = "RST"
        seen.node.kill(f"w{2 * AT_ONCE:05}")
        seen.tree.open("pool")
        assert seen.tree.index.place(2).name == f"w{2 * AT_ONCE:05}"
        assert seen.far.taken().count("rows") == 3


def test_a_restart_that_is_put_off_is_counted_down() -> None:
    late = Worker("late", kv_store, backoff=Backoff(60_000, max_ms=60_000))
    with looked(Node(Supervisor("root", children=[late]), history=100)) as seen:
        seen.node.kill("late")
        seen.settle()
        seen.frame()
        assert seen.tree.row(1).node.delay_ms is not None
        assert seen.tree.counts_down
        assert max(seen.far.sizes) > SMALL


def test_a_tree_that_does_not_answer_is_shown_unreachable_until_it_does() -> None:
    with looked(pool(2 * GROUP)) as seen:
        seen.settle()
        seen.far.away = True
        assert seen.frame()[:2] == ["root", "pool"]
        assert {seen.tree.row(number).node.state for number in range(4)} == {"unreachable"}
        seen.tree.open("pool")
        seen.frame(first=GROUP)
        seen.far.away = False
        assert seen.frame()[-1] == f"w{SCREEN - 3:05}"
        assert {seen.tree.row(number).node.state for number in range(4)} == {"running"}


def test_a_row_of_a_tree_that_is_away_is_as_old_as_when_it_was_heard_of_last() -> None:
    with looked(pool(3)) as seen:
        seen.settle()
        seen.frame()
        heard = seen.tree.row(2).node.uptime_s
        seen.far.away = True
        for _ in range(3):
            seen.frame()
            assert seen.tree.row(2).node.state == "unreachable"
            assert seen.tree.row(2).node.uptime_s == pytest.approx(heard)


def test_another_run_of_the_tree_is_looked_at_anew() -> None:
    with looked(pool(2)) as seen, pool(2) as other:
        seen.settle()
        other.suspend("w00001")
        seen.far.serve(other, "bb")
        seen.frame()
        assert seen.tree.row(3).node.state == "suspended"


@pytest.mark.parametrize("history", [0, 100])
def test_whatever_happens_is_noticed(history: int) -> None:
    node = Node(Supervisor("root", children=[Worker("kv", kv_store)]), history=history)
    with node:
        listing = node.listing()
        happens: list[Callable[[], object]] = [
            partial(node.call, "kv", b"Lookup x"),
            partial(node.suspend, "kv"),
            partial(node.cast, "kv", b"Lookup x"),
            partial(node.run, 0),
            partial(node.resume, "kv"),
            partial(node.replace_state, "kv", {"x": 1}),
            partial(node.kill, "kv"),
            partial(node.start_child, "root", Worker("kv2", kv_store)),
            partial(node.terminate_child, "root", "kv2"),
            partial(node.delete_child, "root", "kv2"),
        ]
        for what in happens:
            listing.moved()
            before = listing.moved()
            what()
            assert listing.moved() > before, what


def test_a_tree_in_which_nothing_happens_is_not_counted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    census = Listing.census

    def counting(self: Listing) -> Iterator[Census]:
        counted.append(1)
        return census(self)

    monkeypatch.setattr(Listing, "census", counting)
    with pool(100) as node:
        clock = Clock()
        tree = TreeView(node.listing(), clock)
        node.call("w00001", b"Lookup x")
        for _ in range(20):
            clock.now_s += OVER_S
            tree.count()
        assert len(counted) == 2
        assert tree.rates.total == 0


def test_rows_are_json_that_others_can_read() -> None:
    with pool(1) as node:
        far = Far(node)
        seen = far.perform("rows", {"names": ["w00000", "nobody"]})
        assert [row and row.view.path for row in seen.rows] == ["root/pool/w00000", None]
        assert msgspec.to_builtins(seen)["nodes"] == 3
