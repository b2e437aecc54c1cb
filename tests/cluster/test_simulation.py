"""The protocol in a simulated cluster: seeds that must all be well, and mutants that must not."""

from __future__ import annotations

import os

import pytest

from ssm_cli.cluster.protocol import lease
from tests.cluster.schedules import violations
from tests.cluster.world import Rules

SEEDS = 300
BATCH = 50
REPLAY = "SSM_CLUSTER_SEED={seed} python -m pytest tests/cluster/test_simulation.py -k one_seed"


def resume_without_writing(holder: lease.Holder, event: lease.Event) -> lease.Step:
    """A mutant: an owner whose lease is over looks again, and goes on if the lease names it."""
    if isinstance(event, lease.Found) and event.ours:
        return lease.step_holder(holder, lease.Renewed(event.revision, event.now_s))
    after, commands = lease.step_holder(holder, event)
    if isinstance(event, lease.Tick) and after.stopped:
        return holder, (lease.Read(),)
    return after, commands


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_no_schedule_breaks_the_protocol(first: int) -> None:
    for seed in range(first, first + BATCH):
        wrong = violations(seed)
        assert not wrong, f"{wrong}\nreplay it: {REPLAY.format(seed=seed)}"


@pytest.mark.skipif("SSM_CLUSTER_SEED" not in os.environ, reason="set SSM_CLUSTER_SEED to replay")
def test_one_seed() -> None:
    assert not violations(int(os.environ["SSM_CLUSTER_SEED"]))


def test_equal_seeds_give_equal_runs() -> None:
    mutant = Rules(compares=False)
    assert violations(1, mutant) == violations(1, mutant)


@pytest.mark.parametrize(
    ("name", "rules", "tries"),
    [
        ("appends are not compared", Rules(compares=False), 30),
        ("an owner does not stop itself", Rules(stops_itself=False), 60),
        ("a reply leaves before the append is acknowledged", Rules(replies_early=True), 60),
        ("a lease is resumed without writing it", Rules(holder=resume_without_writing), 300),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mutant_is_caught(name: str, rules: Rules, tries: int) -> None:
    assert any(violations(seed, rules) for seed in range(tries)), f"{name}, and nobody noticed"
