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

TURNS = Turns(checkpoints.attempt, rollback.take_back, rollback.bring_back)


def keeper_for(world: World, store: Store, stop: Callable[[StorageError], None]) -> Keeper:
    """The keeper of a node, which begins with what is stored.

    Raises:
        StorageError: that cannot be read.
        Unrecovered: a worker cannot go on, and the tree's file says that it does not start then.
    """
    recovered = recover(store, world.root.spec)
    stops = world.root.spec.on_replay_difference is OnReplayDifference.STOP
    for trouble in recovered.troubles.values() if stops else ():
        raise trouble
    if recovered.records:
        world.report(
            "recovered", world.root, {"records": recovered.records, "where": store.where()}
        )
    return Keeper(store, world, recovered, TURNS, stop)
