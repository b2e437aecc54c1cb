"""Names: which node of a tree an id, a path, `POOL:KEY` or a label stands for.

The child of a pool (`simple_one_for_one`) has its label as its id, or `POOL:LABEL` where another
node is called so, or where it must have the same name at each start. `POOL:LABEL` stands for it
anyway. For people, and for programs around a node, a label by itself finds one called `POOL:LABEL`,
too, where nobody else may be meant: no node of the tree, and no child of another pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ssm_cli.behaviour.partition import JOINT, MOST_JOINTS, number_of, pool_child, splits
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell
from ssm_cli.spec.model import Strategy

Pools = Mapping[str, SupervisorCell]
SIMPLE = Strategy.SIMPLE_ONE_FOR_ONE


def found(
    root: SupervisorCell,
    names: Mapping[str, Cell],
    pools: Pools,
    declares: Callable[[str], bool],
    name: str,
) -> Cell | None:
    """Return the node that a name stands for which is no id; None if there is none.

    `declares` tells whether the tree has a node of a name by its spec, whether it is there or not.
    """
    cell = spelled_out(root, names, name)
    if cell is not None or "/" in name:
        return cell
    owners = labelled_so(pools, name)
    return owners[0] if len(owners) == 1 and not declares(name) else None


def spelled_out(root: SupervisorCell, names: Mapping[str, Cell], name: str) -> Cell | None:
    """Return the node of a path, or of `POOL:KEY`; None if there is none."""
    for pool, key in splits(name):
        sup = names.get(pool) or at_path(root, pool)
        cell = child_by_key(sup, key) if isinstance(sup, SupervisorCell) else None
        if cell is not None:
            return cell
        label, _, rest = key.partition("/")
        child = child_by_key(sup, label) if rest and isinstance(sup, SupervisorCell) else None
        if child is not None and JOINT not in child.spec.id:  # what is below it, by its own name
            own = f"{child.spec.id}/{rest}"
            return names.get(own) or spelled_out(root, names, own)
    return at_path(root, name) if "/" in name else None


def is_of_pool(root: SupervisorCell, names: Mapping[str, Cell], name: str) -> bool:
    """Return whether a name is one of a child that a pool may have, whether it has it or not."""
    pools = (names.get(pool) or at_path(root, pool) for pool, key in splits(name) if key)
    return any(isinstance(pool, SupervisorCell) and pool.spec.strategy is SIMPLE for pool in pools)


def child_by_key(sup: SupervisorCell, key: str) -> Cell | None:
    """Return the partition of a key, or the child of a pool that has it as its label."""
    spec = sup.spec
    if spec.partitions and spec.children:
        return sup.children.get(spec.children[number_of(key, len(spec.children))].id)
    if spec.strategy is not SIMPLE:
        return None
    return sup.children.get(pool_child(spec.id, key)) or sup.children.get(key)


def at_path(root: SupervisorCell, path: str) -> Cell | None:
    """Return the node of exactly that path from the root.

    The child of a pool is there by its name or by its label. Ids made from a template hold slashes,
    too, so that a part may be several words.
    """
    if path == root.spec.id:
        return root
    if not path.startswith(f"{root.spec.id}/"):
        return None
    cell: Cell | None = root
    begin = len(root.spec.id) + 1
    while begin <= len(path) and isinstance(cell, SupervisorCell):
        cell, begin = below(cell, path, begin)
    return cell if begin > len(path) else None


def below(sup: SupervisorCell, path: str, begin: int) -> tuple[Cell | None, int]:
    """Return the child that a path goes on with from a place, and where it goes on behind that."""
    end, name, above = begin, sup.spec.id, sup.spec.id.rpartition(JOINT)[0]
    for _ in range(MOST_JOINTS):
        end = path.find("/", end)
        end = len(path) if end < 0 else end
        part = path[begin:end]
        own = part.removeprefix(f"{name}{JOINT}")
        for known in (part, own, pool_child(name, part), pool_child(above, part)):
            if (cell := sup.children.get(known)) is not None:
                return cell, end + 1
        if end == len(path):
            break
        end += 1
    return None, begin


def labelled_so(pools: Pools, label: str) -> list[Cell]:
    """Return the children of all pools that have a label."""
    found = (pool.children.get(pool_child(name, label)) for name, pool in pools.items())
    return [cell for cell in found if cell is not None]
