"""Another tree in the place of the one that runs: nodes go, change, are restarted, and come."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ssm_cli import Backoff, Restart, Strategy, Supervisor, Worker
from tests.faults.recovery import machine
from tests.faults.scenarios import add, crash
from tests.faults.stage import Scenario, Stage


def first(stage: Stage) -> Any:
    """Workers below two supervisors, and a pool."""
    low = Supervisor("low", "rest_for_one", [stage.worker("c"), stage.worker("d")], intensity=50)
    pool = Supervisor("pool", "simple_one_for_one", [stage.worker("t")], intensity=50)
    return Supervisor("root", children=[stage.worker("a"), stage.worker("b"), low, pool],
                      intensity=100)  # fmt: skip


def second(tree: Any, *more: Any) -> Any:
    """One is gone, one is restarted, one changed in place, the order and flags are others."""
    a, _, low, pool = tree.children
    c, d = low.children
    (t,) = pool.children
    low = replace(
        low,
        children=(replace(d, options=replace(d.options, restart=Restart.TRANSIENT)), c),
        intensity=70,
    )
    pool = replace(pool, children=(replace(t, args={"n": 1}),))
    return replace(tree, children=(low, replace(a, args={"n": 1}), pool, *more))


def applied(stage: Stage) -> None:
    """Look at the plan, carry it out, and go back; only specs as well."""
    stage.start()
    old = stage.node.spec
    new = second(old, stage.worker("e"))
    for name in ("a", "c", "d"):
        stage.call(name, add)
    stage.do("start_child", "pool", "t1")
    stage.ask("c", add)
    stage.do("plan", new)
    stage.do("apply", new)
    stage.call("c", add)
    stage.do("kill", "t1")
    stage.do("run")
    stage.act("apply", stage.node.apply, old, specs_only=True)
    stage.do("apply", old)
    stage.do("run")
    stage.stop()


def in_group(stage: Stage) -> Any:
    """Workers of which all wait where one waits."""
    slow = stage.worker("a")
    slow = replace(slow, options=replace(slow.options, backoff=Backoff(1000, 1, 1000, 0.0)))
    return Supervisor("root", "one_for_all", [slow, stage.worker("b")], intensity=100)


def applied_waiting(stage: Stage) -> None:
    """A change while a group waits for one of its own."""
    stage.start()
    old = stage.node.spec
    stage.call("a", crash)
    stage.do("apply", replace(old, intensity=50))
    stage.act("run 2 s", stage.node.run, 2.0)
    stage.call("a", crash)
    stage.do("apply", replace(old, strategy=Strategy.ONE_FOR_ONE))
    stage.act("run 2 s", stage.node.run, 2.0)
    stage.stop()


def kept(stage: Stage) -> Any:
    """A journalled worker, one that is saved now and then, and one that is forgotten."""
    a, b = (Worker("a", machine(), persist="journal"), Worker("b", machine(), persist="snapshot"))
    return Supervisor("root", children=[a, b, Worker("c", machine())], intensity=100)


def applied_kept(stage: Stage) -> None:
    """Change what is kept of durable workers, and of others."""
    stage.start()
    old = stage.node.spec
    a, b, c = old.children
    for name in "abc":
        stage.call(name, b"one")
    new = replace(old, children=(
        replace(b, args={"n": 1}), Worker("d", machine(), persist="journal"),
        replace(c, args={"n": 1}), a,
    ))  # fmt: skip
    stage.do("apply", new)
    for name in "abcd":
        stage.call(name, b"two")
    stage.do("apply", replace(old, children=(a, c)))
    stage.do("apply", old)
    stage.call("b", b"three")
    stage.stop()


SCENARIOS = [
    Scenario(
        "applied", first, applied, frozenset("abe"), watched=False, kills=True,
        options={"history": 64},
    ),
    Scenario("applied_waiting", in_group, applied_waiting, frozenset("ab"), watched=False,
             kills=True),
    Scenario(
        "applied_kept", kept, applied_kept, frozenset("abcd"), durable=True, kills=True,
        watched=False, defers=True,
    ),
]  # fmt: skip
