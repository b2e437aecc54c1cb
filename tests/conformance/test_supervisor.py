"""Every recorded supervisor scenario, step by step: result, trace, tree and counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.differences import as_we_do_it
from tests.conformance.matching import matches
from tests.conformance.supervisor_world import World


def differences(step: Any, world: World, result: Any) -> list[str]:
    """What does not agree with the recording after a step, in readable lines."""
    found = []
    if result != step["result"]:
        found.append(f"result   expected {json.dumps(step['result'])}\n         was      {result}")
    if not matches(step["trace"], world.trace):
        expected = "\n           ".join(json.dumps(event) for event in step["trace"])
        actual = "\n           ".join(json.dumps(event) for event in world.trace)
        found.append(f"trace expected\n           {expected}\n      was\n           {actual}")
    tree = world.tree()
    if "tree" in step and tree != step["tree"]:
        found.append(f"tree     expected {json.dumps(step['tree'])}\n         was      {tree}")
    if "counts" in step and world.node.running:
        counts = world.node.count_children(world.root)
        listed = [counts.specs, counts.active, counts.supervisors, counts.workers]
        if listed != step["counts"]:
            found.append(f"counts   expected {step['counts']}\n         was      {listed}")
    return found


@pytest.mark.parametrize("forks", [False, True], ids=["", "on forks"])
def test_it_does_what_otp_did(supervisor_vector: Any, forks: bool) -> None:
    world = World(supervisor_vector["tree"])
    for number, recorded in enumerate(supervisor_vector["steps"], 1):
        world.trace.clear()
        if forks:
            world.go_on_in_a_fork()
        step = as_we_do_it(supervisor_vector["id"], number, recorded)
        result = world.perform(step)
        wrong = differences(step, world, result)
        if wrong:
            shown = {key: step[key] for key in step if key not in ("trace", "tree", "counts")}
            pytest.fail(
                f"{supervisor_vector['id']}: {supervisor_vector['doc']}\n"
                f"step {number}: {json.dumps(shown)}\n" + "\n".join(wrong),
                pytrace=False,
            )
