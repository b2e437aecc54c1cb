"""Where children would go, before anything ends; children that take their time to end; and parts.

What is asked of a part alone is what trees come to seldom: a second record of one kind, a bound.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ssm_cli import FakeLinks, Join, Remote, Supervisor
from ssm_cli.behaviour.visible import Taken, Written
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.again import with_limits
from ssm_cli.runtime.engine import crashes, recorder
from ssm_cli.runtime.performer import starting
from ssm_cli.runtime.performer.breaking import Break
from ssm_cli.spec.model import OnCrash
from tests.faults.broken import each_time
from tests.faults.recoded import to
from tests.faults.scenarios import add, asking, crash
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.ticks import patched


def beside(stage: Stage, *remotes: Any) -> Any:
    """A worker beside remote children."""
    children = [stage.worker("a"), *remotes]
    return Supervisor("root", children=children, intensity=100)


def far(tree: str = "far.yaml", name: str = "far") -> Any:
    return Remote(name, tree, shutdown="infinity")


def one_far(stage: Stage) -> Any:
    """A worker and a remote child."""
    return beside(stage, far())


def none_far(stage: Stage) -> Any:
    """A worker alone."""
    return beside(stage)


def looks_ahead(stage: Stage) -> None:
    """A plan that no node takes: it is told, refused where something would end, else performed."""
    links = stage.links
    stage.start()
    links.nowhere.update(far="no node fits", other="no node fits")
    for wanted in (beside(stage, far("new.yaml")), beside(stage, far(), far("o.yaml", "other"))):
        stage.do("plan", wanted)
        stage.do("apply", wanted)
        stage.do("run")
    links.nowhere.clear()
    links.mute = True
    stage.act("plan", stage.node.meant, "root", "plan_tree",
              beside(stage, far("new.yaml")), False)  # fmt: skip
    stage.do("run")
    stage.stop()
    links.mute = False
    stage.act("too late", links.poll)


def goes_nowhere(stage: Stage) -> None:
    """A plan of a first remote child, where nothing makes links, and where something does."""

    def refused() -> FakeLinks:
        raise StorageError("as asked")

    for links in (None, lambda: FakeLinks(stage.clock), refused):
        stage.renew(links=links)
        stage.start()
        stage.do("plan", beside(stage, far()))
        stage.stop()


def lingers(stage: Stage) -> None:
    """A child that takes its time to end: an interruption meanwhile, an apply, a stop."""
    node, links = stage.node, stage.links
    stage.start()
    links.lingering.add("far")
    asked = node.meant("root", "terminate_child", "far")
    stage.do("run")
    stage.act("told", links.is_leaving, "far")
    stage.act("again", links.stop_soon, "far", 1.0)
    stage.call("a", add)
    stage.ask("a", add)
    stage.act("leave", links.leave, "far")
    stage.do("run")
    stage.do("restart_child", "root", "far")
    stage.act("meant", node.meant, "root", "terminate_child", "far")
    stage.do("run")
    stage.trap = ("terminate", "a")
    stage.do("terminate_child", "root", "a")
    stage.stop()
    del asked


class Doubled(Written, frozen=True):
    """What was written of a state: its number twice."""

    def put(self, old: Any, shown: Any) -> Any:
        return old[0], shown[1] * 2


class Strict(Utf8):
    """A codec that reads no bytes at all."""

    def decode(self, data: bytes) -> str:
        raise ValueError(data)


def hiding(stage: Stage) -> Any:
    """Workers that hide parts of their states, in groups; one has a codec that reads nothing."""
    made = stage.machine(redact=lambda state: (state[0], 0), codec=Strict())
    typed = replace(stage.machine(terminate=None), inputs=int | str)
    last = stage.worker("c", on_crash=OnCrash.LAST_GOOD)
    return Supervisor("root", children=[
        stage.worker("a", start=made), stage.worker("b", start=typed), last,
    ], intensity=100)  # fmt: skip


def hides(stage: Stage) -> None:
    """Put states in the place of hidden ones; crash in a group, and as the last of many."""
    node = stage.node
    stage.start()
    for given in (Taken((1, 5)), Doubled(), (1, 5), lambda state: (state[0], 6)):
        stage.do("replace_state", "a", given)
    stage.do("cast", "a", b"word")
    stage.do("run")
    stage.call("b", asking(Join("g")))
    with patched(crashes, "KEPT_CRASHES", 1):
        for message in (crash, "crash", crash):
            stage.call("b", message)
            stage.call("b", asking(Join("g")))
            stage.call("c", message)
    spec = node.spec.children[0]
    stage.act("limits", with_limits, spec, 1.0, 2.0)
    stage.act("reach", recorder.reach, recorder.Recorder(node._world, 64), 7)
    stage.stop()


def begun_but_cut(stage: Stage) -> None:
    """Interruptions once an `init` has returned, in a restart, a request, a start, an apply."""

    def cut(*_: Any) -> None:
        raise Own("as asked")

    node = stage.node
    stage.start()
    with patched(recorder.Recorder, "began", cut):
        stage.call("a", crash)
        stage.do("start_child", "root", stage.worker("n"))
        stage.do("terminate_child", "root", "a")
        stage.do("restart_child", "root", "a")
        stage.do("apply", beside(stage))
    stage.call("a", crash)
    stage.do("run")
    node.stop()
    with patched(starting, "tell_started", cut):
        stage.start()
    stage.start()
    stage.stop()


def recoded_at_break(stage: Stage) -> None:
    """Take other code while an input is held at a break."""
    stage.start()
    stage.do("set_breaks", "a", (Break(1, "True", each_time),))
    stage.ask("a", add)
    stage.do("run")
    stage.do("recode", "a", to(stage, "a"))
    stage.act("leave_break", stage.node.leave_break, "a")
    stage.do("run")
    stage.do("set_breaks", "a", ())
    stage.stop()


class Named:
    """A store that says whose it is."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def need_for(self, name: str) -> None:
        assert name == "root"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def owned(stage: Stage) -> None:
    """Start with a store of the tree's own."""
    stage.renew(store=Named(stage.store))
    stage.start()
    stage.stop()


FAR: dict[str, Any] = {"far": True, "kills": True}

SCENARIOS = [
    Scenario("looks_ahead", one_far, looks_ahead, frozenset({"a", "other"}), **FAR),
    Scenario("goes_nowhere", none_far, goes_nowhere, kills=True),
    Scenario("lingers", one_far, lingers, frozenset("a"), **FAR),
    Scenario("hides", hiding, hides, watched=False, options={"history": 64}, kills=True),
    Scenario("begun_but_cut", none_far, begun_but_cut, frozenset("an"), watched=False,
             options={"history": 64}),
    Scenario("recoded_at_break", none_far, recoded_at_break, options={"history": 64}),
    Scenario("owned", none_far, owned),
]  # fmt: skip
