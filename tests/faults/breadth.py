"""What a tree is rarely asked: restarts by name, partitions, pools that are kept, other trees."""

from __future__ import annotations

from enum import Enum
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from ssm_cli import FakeLinks, Ignore, Join, ManualClock, Node, Remote, Supervisor, Worker
from ssm_cli.runtime.engine import publishing
from tests.faults.recovery import machine
from tests.faults.scenarios import add, asking, crash, failing, flat
from tests.faults.stage import Scenario, Stage


class Colour(Enum):
    RED = 1


class Slotted:
    """An object that a digest has to look at."""

    __slots__ = ("one",)

    def __init__(self) -> None:
        self.one = 1


def asked_by_name(stage: Stage) -> None:
    """Look at a node by its digest, at a fork, at its groups; make another; restart by name."""
    node = stage.node
    stage.start()
    stage.act("make", Node, node.spec, clock=ManualClock(), history=16, verify_pure=True)
    stage.call("a", asking(Join("g", {"x": Colour.RED})))
    for state in (
        (1, Colour.RED),
        (1, {2: Slotted()}),
        (1, [Slotted, len, add, stage.seen.append]),
    ):
        stage.do("replace_state", "b", state)
        stage.do("digest")
    fork = stage.do("fork")
    stage.act("digest", fork.digest)
    stage.act("draw", node._world.chance)
    stage.do("member_values", "g")
    for name in ("a", "b", "c"):
        stage.do("perform", "restart", name)
    stage.do("perform", "restart", "root")
    stage.do("perform", "restart", "nobody")
    stage.do("terminate_child", "root", "b")
    stage.do("perform", "restart", "b")
    stage.call("b", add)
    stage.do("perform", "which_children", "root")
    stage.stop()


def sharded(stage: Stage) -> Any:
    """Partitions, and a pool, that are called by a key."""
    parts = Supervisor("parts", children=[stage.worker("p")], partitions=3, intensity=100)
    pool = Supervisor("pool", "simple_one_for_one", [stage.worker("w")], max_children=2)
    return Supervisor("root", children=[stage.worker("a"), parts, pool], intensity=100)


def by_key(stage: Stage) -> None:
    """Call by a key and by a path; restart one partition; fill a pool."""
    stage.start()
    for name in ("parts:x", "root/parts:x", "parts:", "nobody:x", "pool:x", "root/a", "a:x"):
        stage.call(name, add)
    stage.do("perform", "restart", "parts:x")
    stage.do("terminate_child", "parts", "parts:0")
    for label in ("x", "y", "z"):
        stage.do("start_child", "pool", label)
    stage.call("pool:x", crash)
    stage.call("x", add)
    stage.do("perform", "restart", "pool:x")
    stage.do("terminate_child", "pool", "pool:x")
    stage.stop()


def parts(stage: Stage) -> None:
    """A publish goes on by parts while members are stopped, killed and called."""
    with patch.object(publishing, "CHUNK", 1):
        stage.start()
        for name in "abc":
            stage.call(name, asking(Join("g", name)))
        for verb in ("terminate_child", "kill", "suspend", "stop_process"):
            stage.do("publish", "g", add)
            stage.do("publish", "g", b"word")
            stage.ask("c", add)
            stage.do(verb, *(("root", "c") if verb == "terminate_child" else ("b",)))
            stage.do("run")
            stage.do("restart_child", "root", "c")
            stage.do("resume", "b")
            stage.call("c", asking(Join("g", "c")))
            stage.call("b", asking(Join("g", "b")))
        stage.stop()


def crew(stage: Stage) -> Any:
    """A pool whose children come back, and one that is kept by its template alone."""
    kept = Worker("w", machine(init=begins), persist="journal")
    pool = Supervisor("pool", "simple_one_for_one", [kept], intensity=100, max_children=3)
    return Supervisor("root", children=[pool, stage.worker("a")], intensity=100)


def begins(_name: str, args: Any) -> Any:
    """Begin as the arguments of its own say."""
    if args.get("how") == "ignore" and args.get("count"):
        return Ignore()
    return (len(args), str(args.get("how", "")))


def kept_pool(stage: Stage) -> None:
    """Children with arguments come back in the next process, by whatever template there is then."""
    stage.start()
    for label, args in (
        ("x", {"how": "plain"}),
        ("y", {}),
        ("z", {"how": object()}),
        ("z", {"n": 1}),
    ):
        stage.do("start_child", "pool", label, args)
        stage.call(f"pool:{label}", b"one")
    stage.do("terminate_child", "pool", "pool:y")
    stage.do("start_child", "pool", "y", {"how": "again"})
    pool, a = stage.node.spec.children
    for most in (3, 1):
        stage.renew(replace(stage.node.spec, children=(replace(pool, max_children=most), a)))
        stage.start()
        stage.call("pool:x", b"two")
        stage.call("pool:z", b"ping")
    (kept,) = pool.children
    stage.do("apply", replace(stage.node.spec, children=(pool, a)))
    changed = replace(kept, args={"count": 1})
    stage.do("apply", replace(stage.node.spec, children=(replace(pool, children=(changed,)), a)))
    stage.call("pool:x", b"three")
    stage.stop()


def kept_two(stage: Stage) -> Any:
    """Two workers whose inputs are recorded."""
    workers = [Worker(name, machine(), persist="journal") for name in "ab"]
    return Supervisor("root", children=[*workers, stage.worker("c")], intensity=100)


def otherwise_applied(stage: Stage) -> None:
    """Apply trees whose code cannot read a state, and whose workers may be renamed ones."""
    stage.start()
    old = stage.node.spec
    a, b, c = old.children
    for name in "ab":
        stage.call(name, b"one")
    unlike = replace(a, start=machine(version="2"))
    fails = replace(a, start=machine(version="2", migrate=lambda *_: 1 // 0), args={"n": 1})
    again = replace(a, start=machine(version="2", migrate=lambda _old, state: state), args={"n": 2})
    for one in (unlike, fails, again, a):
        stage.do("apply", replace(old, children=(one, b, c)))
        stage.call("a", b"ping")
    stage.do("apply", replace(old, children=(a, replace(b, id="d"), c)))
    stage.call("d", b"ping")
    stage.do("apply", replace(old, children=(a, c)))
    stage.do("apply", replace(old, children=(a, replace(b, id="d"), c), period_s=9.0))
    stage.do("apply", old)
    stage.stop()


def first(stage: Stage) -> Any:
    """A pool, and workers whose next specs cannot start."""
    pool = Supervisor("pool", "simple_one_for_one", [stage.worker("t", args={"n": 1})], period=7)
    low = Supervisor("low", children=[stage.worker("b"), stage.worker("d", restart="temporary")])
    return Supervisor("root", children=[stage.worker("a"), low, pool], intensity=100)


def fails_to_apply(stage: Stage) -> None:
    """Apply a tree with a worker that does not start, and pools with other templates and limits."""
    stage.start()
    old = stage.node.spec
    a, low, pool = old.children
    (t,) = pool.children
    for label, args in (("x", {"n": 1}), ("y", {"m": 2})):
        stage.do("start_child", "pool", label, args)
    stage.call("d", asking())
    stage.do("kill", "d")
    fails = stage.worker("e", args={"init": failing(*range(100))})
    stage.do("suspend", "a")
    stage.ask("a", add)
    stage.do("cast", "a", add)
    moved = replace(old, children=(replace(low, children=(*low.children, a)), pool))
    stage.do("apply", moved)
    stage.do("apply", replace(old, children=(a, fails, low, pool)))
    other = replace(pool, children=(replace(t, args={"n": 3}),), period_s=9.0)
    stage.do("apply", replace(old, children=(a, low, other)))
    inner = Supervisor("t", children=[stage.worker("u")])
    stage.do("apply", replace(old, children=(a, low, replace(pool, children=(inner,)))))
    stage.do("plan", replace(old, id="another"))
    stage.do("apply", old)
    stage.do("run")
    stage.stop()


def remote(stage: Stage) -> Any:
    """Remote children, also as partitions."""
    shards = Supervisor("shards", children=[Remote("s", "far.yaml")], partitions=2, intensity=100)
    return Supervisor("root", children=[Remote("far", "far.yaml"), shards], intensity=100)


def far_names(stage: Stage) -> None:
    """Call far workers by all their names, and the child itself; the way there is cut."""
    stage.start()
    stage.act("make", FakeLinks, stage.clock, {"far.kv": stage.far})
    names = (
        "far.kv",
        "root/far.kv",
        "far.",
        "shards:x.kv",
        "shards.kv:x",
        "shards:x",
        "no.x",
        "x.",
    )
    for name in names:
        stage.call(name, b"word")
        stage.do("cast", name, b"word")
    for child in ("far", "nobody"):
        stage.act("ask_far", stage.node.ask_far, child, b"tree", 1.0)
    stage.do("run")
    stage.do("tree")
    for reachable in (False, True):
        stage.act("link", stage.links.link, "far", reachable=reachable)
        stage.do("run")
        stage.call("far.kv", b"word")
        stage.act("ask_far", stage.node.ask_far, "far", b"tree", 1.0)
    stage.act("end", stage.links.end, "far", "crash")
    stage.act("node", stage.links.node, "n1", up=False)
    stage.do("run")
    stage.do("terminate_child", "root", "far")
    stage.act("ask_far", stage.node.ask_far, "far", b"tree", 1.0)
    stage.call("far.kv", b"word")
    stage.stop()


FAR = frozenset({"far", "shards:0", "shards:1"})
CREW = frozenset({"pool:x", "pool:y", "pool:z"})

SCENARIOS = [
    Scenario("asked_by_name", flat("one_for_one"), asked_by_name, frozenset("abc"), watched=False,
             kills=True),
    Scenario("by_key", sharded, by_key, CREW | {"p-1", "x", "y", "z"}, watched=False, kills=True),
    Scenario("parts_go", flat("one_for_one"), parts, frozenset("bc"), watched=False, kills=True),
    Scenario("far_names", remote, far_names, FAR, far=True, watched=False),
    Scenario("kept_pool", crew, kept_pool, CREW, durable=True, kills=True, defers=True,
             watched=False),
    Scenario("otherwise_applied", kept_two, otherwise_applied, frozenset("abd"), durable=True,
             kills=True, watched=False),
    Scenario("fails_to_apply", first, fails_to_apply, frozenset("abdex"), kills=True,
             watched=False, failing_inits=100),
]  # fmt: skip
