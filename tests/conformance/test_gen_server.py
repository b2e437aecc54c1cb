"""Every recorded gen_server scenario, step by step: result, trace and how the server is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.differences import as_we_do_it
from tests.conformance.server_world import ServerWorld


@pytest.mark.parametrize("forks", [False, True], ids=["", "on forks"])
def test_it_does_what_otp_did(server_vector: Any, forks: bool) -> None:
    world = ServerWorld(server_vector["server"])
    for number, recorded in enumerate(server_vector["steps"], 1):
        world.trace.clear()
        if forks and '"await"' not in json.dumps(server_vector["steps"]):  # a client of the node's
            world.go_on_in_a_fork()
        step = as_we_do_it(server_vector["id"], number, recorded)
        actual = {"result": world.perform(step), "trace": list(world.trace)}
        actual["server"] = world.state()
        wrong = [
            f"{key:8} expected {json.dumps(step[key])}\n         was      {value}"
            for key, value in actual.items()
            if value != step[key]
        ]
        if wrong:
            shown = {key: step[key] for key in step if key not in actual}
            pytest.fail(
                f"{server_vector['id']}: {server_vector['doc']}\n"
                f"server {json.dumps(server_vector['server'])}\n"
                f"step {number}: {json.dumps(shown)}\n" + "\n".join(wrong),
                pytrace=False,
            )
    world.node.stop()
