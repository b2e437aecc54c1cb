"""Every recorded scenario of one server, step by step: result, trace and how the server is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.differences import as_we_do_it
from tests.conformance.event_world import EventWorld
from tests.conformance.server_world import ServerWorld
from tests.conformance.statem_world import StatemWorld

ON_FORKS = pytest.mark.parametrize("forks", [False, True], ids=["", "on forks"])


@ON_FORKS
def test_a_gen_server_does_what_otp_did(server_vector: Any, forks: bool) -> None:
    compare(ServerWorld(server_vector["server"]), server_vector, forks=forks)


@ON_FORKS
def test_a_gen_statem_does_what_otp_did(statem_vector: Any, forks: bool) -> None:
    compare(StatemWorld(statem_vector["server"]), statem_vector, forks=forks)


@ON_FORKS
def test_a_gen_event_manager_does_what_otp_did(event_vector: Any, forks: bool) -> None:
    compare(EventWorld(event_vector["server"]), event_vector, forks=forks)


def compare(world: ServerWorld, vector: Any, *, forks: bool) -> None:
    """Perform each step, and fail where something is not as it was recorded."""
    for number, recorded in enumerate(vector["steps"], 1):
        world.trace.clear()
        if forks and '"await"' not in json.dumps(vector["steps"]):  # a client of the node's
            world.go_on_in_a_fork()
        step = as_we_do_it(vector["id"], number, {"received": {}, **recorded})
        actual = {"result": world.perform(step), "trace": list(world.trace)}
        actual["server"] = world.state()
        actual["received"] = world.received()
        wrong = [
            f"{key:8} expected {json.dumps(step[key])}\n         was      {value}"
            for key, value in actual.items()
            if world.comparable(value) != world.comparable(step[key])
        ]
        if wrong:
            shown = {key: step[key] for key in step if key not in actual}
            pytest.fail(
                f"{vector['id']}: {vector['doc']}\n"
                f"server {json.dumps(vector['server'])}\n"
                f"step {number}: {json.dumps(shown)}\n" + "\n".join(wrong),
                pytrace=False,
            )
    world.node.stop()
