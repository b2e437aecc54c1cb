"""Opening: the keeper of a node that begins, and what goes on once its tree is up."""

from __future__ import annotations

from collections.abc import Callable

from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable import checkpoints, rollback
from ssm_cli.runtime.durable.keeper import Keeper, Turns
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.rebuild import recover
from ssm_cli.runtime.engine.world import World
from ssm_cli.spec.model import OnReplayDifference

BEHIND_S = 1.0  # that the clock may be behind the last record, and nothing is said
TURNS = Turns(checkpoints.attempt, checkpoints.attempt_all, rollback.take_back, rollback.bring_back)


def keeper_for(world: World, store: Store, stop: Callable[[StorageError], None]) -> Keeper:
    """The keeper of a node, which begins with what is stored.

    Raises:
        StorageError: that cannot be read.
        Unrecovered: a worker cannot go on, and the tree's file says that it does not start then.
    """
    recovered = recover(store, world.root.spec, world.guard)
    stops = world.root.spec.on_replay_difference is OnReplayDifference.STOP
    for trouble in recovered.troubles.values() if stops else ():
        raise trouble
    if recovered.records:
        world.report(
            "recovered", world.root, {"records": recovered.records, "where": store.where()}
        )
    behind_s = recovered.at_s - world.clock.wall_s()
    if behind_s > BEHIND_S:
        world.report("clock_behind", world.root, {"seconds": behind_s})
    return Keeper(store, world, recovered, TURNS, stop)
