"""Any tree becomes any other one: what stands there is the file, and the same is not touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, permutations, product
from random import Random
from typing import Any

import pytest

from ssm_cli import Backoff, ManualClock, Node, Supervisor, Worker
from ssm_cli.spec.model import ChildSpec, SupervisorSpec, walk
from ssm_cli.supervision.differing import differences, kind_of
from tests.runtime.workers import actor, add

STRATEGIES: Any = ("one_for_one", "one_for_all", "rest_for_one")
OPTIONS: tuple[dict[str, Any], ...] = ({}, {"shutdown": 10}, {"restart": "transient"})


def child(chance: Random, names: list[str], depth: int) -> ChildSpec:
    name, kind = names.pop(), chance.random()
    if kind < 0.65 or depth > 3 or not names:
        args = {"state": chance.choice((0, 0, 0, 1))}
        return Worker(name, actor, args=args, **chance.choice(OPTIONS))
    if kind < 0.75:
        template = Worker(f"{name}_t", actor, args={"state": chance.choice((0, 1))})
        return Supervisor(name, "simple_one_for_one", [template])
    return supervisor(chance, name, names, depth + 1)


def supervisor(chance: Random, name: str, names: list[str], depth: int) -> SupervisorSpec:
    children: list[ChildSpec] = []
    while names and chance.random() < 0.7 and len(children) < 5:
        children.append(child(chance, names, depth))
    intensity = chance.choice((50, 60))
    return Supervisor(name, chance.choice(STRATEGIES), children, intensity=intensity, period=60)


def tree(chance: Random) -> SupervisorSpec:
    names = [f"n{number}" for number in range(9)]
    chance.shuffle(names)
    return supervisor(chance, "root", names, 1)


def paths(root: SupervisorSpec) -> dict[str, ChildSpec]:
    """Each node that is started by itself, by its path."""
    pools = [path for path, spec in walk(root) if kind_of(spec) == "pool"]
    return {
        path: spec
        for path, spec in walk(root)
        if not any(path.startswith(f"{pool}/") for pool in pools)
    }


def standing(node: Node) -> list[str]:
    found = []

    def below(view: Any, in_pool: bool) -> None:
        if not in_pool:
            found.append(view.path)
        for one in view.children:
            below(one, in_pool or view.strategy == "simple_one_for_one")

    below(node.tree(), in_pool=False)
    return found


def same(old: dict[str, ChildSpec], new: dict[str, ChildSpec]) -> set[str]:
    """The workers whose place and code are the same, and that of each supervisor above."""
    kept = {p for p in old.keys() & new.keys() if kind_of(old[p]) == kind_of(new[p])}
    return {
        path for path in kept
        if kind_of(new[path]) == "worker"
        and not any(one.restarts for one in differences(old[path], new[path]))
        and all(above in kept for above in parents(path))
    }  # fmt: skip


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


@pytest.mark.parametrize("seed", range(40))
def test_any_tree_becomes_any_other_one_and_what_is_the_same_is_not_touched(seed: int) -> None:
    chance = Random(seed)
    trees = [tree(chance) for _ in range(4)]
    with Node(trees[0], clock=ManualClock(), history=200) as node:
        for before, wanted in pairwise(trees):
            for name in node.names("worker"):
                node.call(name, add(5))
            cells: Any = node._world.names  # the states themselves
            stay = same(paths(before), paths(wanted))
            was = {p: (node.whereis(p), cells[p.rpartition("/")[2]].state) for p in stay}
            plan = node.plan(wanted)
            assert node.apply(wanted, plan=plan).failed is None
            assert standing(node) == list(paths(wanted))
            assert all(node.whereis(path) for path in paths(wanted)), "all of it runs"
            assert {p: (node.whereis(p), cells[p.rpartition("/")[2]].state) for p in stay} == was
            assert node.plan(wanted).todo == ()
            assert node.at(node.record).digest() == node.digest()


NAMES = ("a", "b", "c", "d")


def group(strategy: Any, order: Sequence[str]) -> SupervisorSpec:
    wait = Backoff(initial_ms=1000, max_ms=1000)
    children = [Worker(name, actor, backoff=wait if name < "c" else None) for name in order]
    below = Supervisor("s", strategy, children, intensity=50, period=60)
    return Supervisor("root", children=[below])


def crash(node: Node, *names: str) -> None:
    for name in names:
        node.cast(name, lambda state: 1 // state)
    node.run()


def later(node: Node, seconds: float) -> None:
    clock: Any = node._world.clock  # a manual one
    clock.advance_s(seconds)
    node.run()


def the_second_time(node: Node, name: str) -> None:
    crash(node, name)
    later(node, 1.5)
    crash(node, name)
    later(node, 0.2)


def in_the_middle(node: Node, name: str) -> None:
    crash(node, name)
    later(node, 0.5)


def suspended(node: Node, name: str) -> None:
    crash(node, name)
    node.suspend("s")


MOMENTS: dict[str, Callable[[Node, str], None]] = {
    "at once": crash,
    "in the middle": in_the_middle,
    "the second time": the_second_time,
    "two of them": lambda node, name: crash(node, name, *{"a", "b"} - {name}),
    "suspended": suspended,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("after", STRATEGIES)
@pytest.mark.parametrize("before", STRATEGIES)
def test_all_come_back_from_a_back_off_whatever_becomes_of_strategy_and_order(
    before: str, after: str, moment: str
) -> None:
    for name, order in product("ab", permutations(NAMES)):
        with Node(group(before, NAMES), clock=ManualClock()) as node:
            MOMENTS[moment](node, name)
            assert node.apply(group(after, order)).failed is None
            if moment == "suspended":
                node.resume("s")
            for _ in range(8):  # a cast that has waited may crash it once more
                later(node, 0.5)
            assert all(map(node.whereis, NAMES)), (name, order)
            assert node.count_children("s").active == len(NAMES)
