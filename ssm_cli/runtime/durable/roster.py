"""The durable workers of a tree: those of its file, and those that were in its pools."""

from __future__ import annotations

from collections.abc import Iterable

from ssm_cli.behaviour.partition import number_of, pool_child, splits
from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.durable.pools import SIMPLE, Pools, child_of, is_durable
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.unclaimed import places_in
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec, walk
from ssm_cli.supervision.obstacles import keeps


class Roster:
    """Who is to be there again, and by which names others send to them.

    Args:
        store: what is stored.
        tree: the tree of now.
        former: workers that may have been in children of its pools, which are to be there, too.

    Attributes:
        specs: the durable workers, by their names; templates among them.
        places: where in the tree the workers are that it starts by itself.
        names: of all nodes of the tree.
        pools: the children of its pools, and of those that it has not any more.
        unfit: why children of pools cannot be started by the template of now.
    """

    def __init__(self, store: Store, tree: SupervisorSpec, former: Iterable[str] = ()) -> None:
        self.pools = Pools(store)
        self.pools.add_former(tree, former)
        self.places = dict(places_in(tree))
        nodes = [*walk(tree), *self.pools.specs(tree)]
        self.names = {spec.id for _, spec in nodes}
        self.specs = {spec.id: spec for _, spec in nodes if isinstance(spec, WorkerSpec)}
        self.specs = {name: spec for name, spec in self.specs.items() if keeps(spec)}
        self._paths = {path: spec.id for path, spec in nodes}
        self._sups = {spec.id: spec for _, spec in nodes if isinstance(spec, SupervisorSpec)}
        found = [
            child_of(pool, one)[1]
            for pool in self._sups.values()
            if is_durable(pool)
            for one in self.pools.of(pool.id)
        ]
        self.unfit: dict[str, Unrecovered] = {
            trouble.worker: trouble for trouble in found if trouble is not None
        }

    def named(self, name: str) -> str:
        """Return the id of the durable worker that a name stands for, as in a node; else "".

        By its id, its path, or as `POOL:KEY`.
        """
        name = self._paths.get(name, name)
        if name in self.specs:
            return name
        for above, key in splits(name):
            pool = self._sups.get(self._paths.get(above, above))
            known = "" if pool is None else name_by_key(pool, key)
            if known in self.specs:
                return known
        return ""


def name_by_key(sup: SupervisorSpec, key: str) -> str:
    """Return the name of the partition of a key, or of the child of a pool with that label."""
    if sup.partitions and sup.children:
        return sup.children[number_of(key, len(sup.children))].id
    return pool_child(sup.id, key) if sup.strategy is SIMPLE else ""
