"""Workers that hear of others: groups, publishes at once and in parts, monitors."""

from __future__ import annotations

from unittest.mock import patch

from ssm_cli import Demonitor, Join, Leave, Monitor, Publish
from ssm_cli.runtime.engine import publishing
from tests.faults.scenarios import add, asking, crash, flat
from tests.faults.stage import Scenario, Stage


def groups(stage: Stage) -> None:
    """Join, publish from a step and by hand, leave, and end as a member."""
    stage.start()
    for name in "abc":
        stage.call(name, asking(Join("g", name), Join("h")))
    stage.call("a", asking(Publish("g", add), Leave("h")))
    stage.do("publish", "g", add)
    stage.do("publish", "nobody", add)
    stage.do("get_members", "g")
    stage.do("lookup", "g")
    stage.do("which_groups")
    stage.do("groups")
    stage.do("members", "g")
    stage.do("joined", "a")
    stage.call("b", crash)
    stage.do("run")
    stage.stop()


def parts(stage: Stage) -> None:
    """The same by parts: a publish is one entry that goes on."""
    with patch.object(publishing, "CHUNK", 1):
        groups(stage)


def monitors(stage: Stage) -> None:
    """Hear of an end, of none, and of one that has been."""
    stage.start()
    stage.call("a", asking(Monitor("b"), Monitor("c"), Monitor("nobody")))
    stage.call("a", asking(Demonitor("c")))
    stage.call("b", crash)
    stage.do("run")
    stage.call("c", crash)
    stage.do("run")
    stage.stop()


SCENARIOS = [
    Scenario("groups", flat("one_for_one"), groups),
    Scenario("groups_in_parts", flat("one_for_one"), parts, watched=False),
    Scenario("monitors", flat("rest_for_one"), monitors, watched=False),
]
