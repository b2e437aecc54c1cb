"""Children on other computers, and members of groups there: what comes, is late, or is no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ssm_cli import (
    FakeLinks,
    Info,
    Join,
    Node,
    Publish,
    Remote,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.runtime.engine import publishing
from ssm_cli.runtime.engine.entries import Arrived
from ssm_cli.runtime.engine.groups import Member, Membership
from ssm_cli.runtime.performer import arriving
from ssm_cli.runtime.performer.recoding import bare_cell
from ssm_cli.runtime.remote import far as far_calls
from ssm_cli.runtime.remote import hearing
from ssm_cli.runtime.remote.ports import Launched, Linked, ParentWaits
from ssm_cli.runtime.views import Carried
from tests.faults.doors import arrive
from tests.faults.rest import interrupts
from tests.faults.scenarios import add, asking, failing
from tests.faults.stage import Scenario, Stage
from tests.faults.ticks import patched

GROUP = "g"


@dataclass(frozen=True)
class Raises:
    """A class of inputs that cannot be made."""

    n: int

    def __post_init__(self) -> None:
        raise ZeroDivisionError("as asked")


def both(message: Any, state: Any) -> tuple[Any, Any]:
    """A step of which nothing is expected."""
    return state, message


def joint(stage: Stage) -> Any:
    """Workers beside a remote child, which do not depend on it."""
    children = [stage.worker(name) for name in "abc"]
    return Supervisor("root", children=[*children, Remote("far", "far.yaml")], intensity=100)


def crosses(stage: Stage) -> None:
    """Publish to members here and elsewhere, and hear what is published there."""
    node, links = stage.node, stage.links
    stage.start()
    stage.do("publish", GROUP, b"word")
    for name in "abc":
        stage.call(name, asking(Join(GROUP)))
    for message in (b"word", "word", object()):
        stage.do("publish", GROUP, message)
    with patched(publishing, "MAX_CARRIED_BYTES", 1):
        stage.do("publish", GROUP, b"word")
    stage.call("a", asking(Publish(GROUP, b"word")))
    for data, is_value in ((b"word", False), (b'"word"', True), (b"{", True)):
        stage.act("hear", links.hear, GROUP, Carried(data, is_value))
        stage.do("run")
    with patched(hearing, "MOST_WAITING", 0):
        stage.do("hear", GROUP, Carried(b"word", is_value=False))
    stage.do("note_lost", GROUP, "as asked")
    stage.do("join_others", links)
    raising: Any = bare_cell(Worker("r", StateMachine(step=both, inputs=Raises)))
    with patched(hearing, "codec_for", lambda *_: SimpleNamespace(decode=Raises)):
        stage.act("read", hearing.read_as, node._world, raising, b"1", "json")
    stage.act("unheard", links.unheard, GROUP, "as asked")
    for up in (False, True):
        stage.act("break off", links.break_off, up=up)
    links._news += [
        ParentWaits("another"), Launched("nobody", ok=True, node="n", epoch=1),
        Linked("far", 1, "n2", reachable=True, age_s=0.0),
    ]  # fmt: skip
    stage.do("run")
    links.end("far", "old", epoch=0)
    stage.do("run")
    in_asyncio(stage, node)
    stage.stop()


def in_asyncio(stage: Stage, node: Node) -> None:
    """Publish and hear where a loop serves the node."""
    loop = stage.loop = asyncio.new_event_loop()

    async def main() -> None:
        await node.acall("a", add)
        node.hear(GROUP, Carried(b"word", is_value=False))
        node.publish(GROUP, b"word")
        await node.acall("a", add)

    stage.act("acall", loop.run_until_complete, main())


def cannot_go(stage: Stage) -> None:
    """Calls and casts while a child starts, is cut off, is asked for from a step; too large."""
    node, links = stage.node, stage.links
    links.slow.add("far")
    stage.act("start", node.start, wait=False)
    stage.do("cast", "far.kv", b"word")
    stage.do("cast_nowait", "far.kv", b"word")
    stage.do("far", "far.kv")
    with patched(far_calls, "MOST_HELD", 0):
        stage.ask("far.kv", b"word")
    stage.act("send_request", node.send_request, "far.kv", b"word", None, 0.5)
    stage.do("decode", "far.kv", b"7", "json")
    loop = stage.loop = asyncio.new_event_loop()

    async def main() -> None:
        up = loop.create_task(node.until_up())
        call = loop.create_task(node.acall("far.kv", b"word", 0.5))
        stage.tasks += [up, call]
        await asyncio.sleep(0)
        stage.clock.advance_s(1.0)
        if "far" in links.asked:
            links.arrive("far")
        await asyncio.wait([up, call], timeout=0.02)

    stage.act("acall", loop.run_until_complete, main())
    arrive(stage, "far")
    stage.call("a", lambda _state: node.cast("far.kv", b"word"))
    with patched(far_calls, "MAX_INPUT_BYTES", 1):
        stage.do("cast", "far.kv", b"word")
    stage.act("link", links.link, "far", reachable=False)
    stage.do("run")
    stage.do("cast", "far.kv", b"word")
    stage.do("terminate_child", "root", "far")
    links.slow.clear()
    stage.do("restart_child", "root", "far")
    far: Any = node._world.names["far"]
    stage.act("late", arriving.on_arrived, node._world, Arrived(far, 99, None, "n", 1))
    stage.do("terminate_child", "root", "far")
    stage.stop()


def taken_over(stage: Stage) -> None:
    """Another parent takes the remote children: the tree ends, and says why."""
    node, links = stage.node, stage.links
    stage.start()
    stage.act("supersede", links.supersede, "another")
    stage.do("run")
    stage.act("end_error", lambda: node.end_error)
    stage.start()


class Late(FakeLinks):
    """Links whose children start while the node waits for them."""

    def wait(self, seconds: float) -> None:
        super().wait(seconds)
        for child in [*self.asked]:
            self.arrive(child)


def later(stage: Stage) -> None:
    """A node that waits for its remote children, and one that makes its links at the first."""

    def links() -> FakeLinks:
        made = Late(stage.clock, {"far.kv": stage.far})
        made.slow.add("far")
        return made

    stage.act("make", Node, joint(stage), clock=stage.clock, links=links)
    stage.renew(links=links)
    stage.start()
    stage.call("far.kv", b"word")
    stage.stop()


def in_order(stage: Stage) -> Any:
    """A worker that depends on a remote child, and does not start."""
    last = stage.worker("b", args={"init": failing(*range(100))})
    return Supervisor("root", "rest_for_one", [Remote("far", "far.yaml"), last], intensity=100)


def comes_in_vain(stage: Stage) -> None:
    """What waited for a remote child fails once that is there."""
    stage.start()
    stage.act("start", stage.node.start, wait=False)
    stage.links.refusing["far"] = [Launched("far", ok=False, reason="undef")]
    stage.start()


def within(stage: Stage) -> Any:
    """A remote child below a supervisor, with siblings before and behind it."""
    inner = [stage.worker("b"), Remote("deep", "deep.yaml"), stage.worker("c")]
    return Supervisor(
        "root",
        children=[
            stage.worker("a"),
            Remote("far", "far.yaml"),
            Supervisor("inner", "one_for_all", inner, intensity=100),
        ],
        intensity=100,
    )


def interrupted(stage: Stage) -> None:
    """Interruptions while children come: in a step, as they are up, as they do not start."""
    node, links = stage.node, stage.links
    links.slow.update(("far", "deep"))
    stage.act("start", node.start, wait=False)
    stage.call("a", interrupts)
    for trap, child in (("started", "far"), "far"), (("started", "inner"), "deep"):
        stage.trap = trap
        arrive(stage, child)
        stage.do("run")
    for trap in (("start_failed", "far"), ("started", "far")):
        stage.do("terminate_child", "root", "far")
        asked = node.meant("root", "restart_child", "far")
        stage.do("run")
        stage.trap = trap
        arrive(stage, "far", **({"reason": "undef"} if trap[0] == "start_failed" else {}))
        stage.do("run")
        stage.act("wait", node.wait, asked, 1.0)
    stage.do("kill", "inner")
    stage.do("run")
    stage.trap = ("terminating", "b")
    arrive(stage, "deep", reason="undef")
    stage.do("run")
    arrive(stage, "deep")
    stage.trap = ("", "")
    stage.stop()


def coming_down(stage: Stage) -> None:
    """The start of a tree fails on a child elsewhere, and what ends with it is interrupted."""
    node, links = stage.node, stage.links
    for trap in (("terminating", "b"), ("start_failed", "inner"), ("", "")):
        links.slow.update(("far", "deep"))
        stage.act("start", node.start, wait=False)
        stage.trap = trap
        arrive(stage, "deep", reason="undef")
        stage.do("run")
        stage.stop()


# -- publishes under way ---------------------------------------------------------------------------


def goes_by_parts(stage: Stage) -> None:
    """Publishes of which a part waits: beside other inputs, and ahead of a continue."""
    world = stage.node._world
    with patched(publishing, "CHUNK", 1):
        stage.start()
        for name in "abc":
            stage.call(name, asking(Join(GROUP, {"n": 1})))
        stage.call("a", asking(Publish(GROUP, add)))
        stage.do("publish", GROUP, add)
        for name in "abcabc":
            stage.ask(name, add)
        for copying in ("shared", "deep"):
            stage.act("fork", stage.node.fork, copy=copying)
        stage.do("digest")
        for name in "cb":
            stage.act("catch up", publishing.catch_up, world, name)
        stage.act("gone", publishing.catch_up, world, "a", gone=True)
        stage.act("catch up", publishing.catch_up, world, "a")
        stage.do("run")
        with patched(publishing, "MOST_UNDER_WAY", 0):
            stage.do("publish", GROUP, add)
            stage.do("publish", GROUP, add)
        stage.do("run")
        stage.do("publish", "", add)
        with patched(world, "bound", 0):
            stage.do("publish", GROUP, add)
        with patched(world, "bound", 1):
            for _ in range(3):
                stage.do("publish", GROUP, add)
        stage.do("run")
    plainly(stage)
    stage.stop()


def plainly(stage: Stage) -> None:
    """Members that the tree does not know, which leave before they are forgotten."""
    world = stage.node._world
    known = world.groups.members(GROUP)
    few = Membership({**known, "nobody": Member(99)})
    stage.act("to", publishing.to, world, "nobody", add, 0)
    stage.act("cast", publishing.cast_to_few, world, few, add, 0)
    stage.call("a", asking(Publish(GROUP, add), Info("b", add)))
    stage.do("run")


FAR: Mapping[str, Any] = {"far": True, "kills": True}

SCENARIOS = [
    Scenario("crosses", joint, crosses, frozenset("abc"), kinds=(KeyboardInterrupt,), **FAR),
    Scenario("cannot_go", joint, cannot_go, kinds=(KeyboardInterrupt,), defers=True, **FAR),
    Scenario("taken_over", joint, taken_over, may_end=True, **FAR),
    Scenario("later", joint, later, kills=True, may_end=True),
    Scenario("comes_in_vain", in_order, comes_in_vain, may_end=True, failing_inits=100, **FAR),
    Scenario("interrupted", within, interrupted, frozenset("abc"), may_end=True, **FAR),
    Scenario("coming_down", within, coming_down, frozenset("abc"), may_end=True, **FAR),
    Scenario("goes_by_parts", joint, goes_by_parts, watched=False, options={"history": 64}, **FAR),
]  # fmt: skip
