"""What is in the way of another tree: names that are taken, and pools that cannot follow. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ssm_cli.spec.model import ChildSpec, Persist, SupervisorSpec, WorkerSpec, walk
from ssm_cli.supervision.differing import kind_of
from ssm_cli.supervision.standing import Place, Standing


def names_taken(
    root: Standing, wanted: Mapping[str, Place], stopped: Collection[str]
) -> Iterator[str]:
    """Yield a complaint for each name that a node elsewhere has, and keeps.

    Args:
        root: the root as it stands.
        wanted: where each node is wanted, by id.
        stopped: the ids of nodes that are stopped first, with all that is below them.
    """
    for name, path, ending in holders(root, wanted, stopped):
        if path != wanted[name].path:
            yield (
                f"{wanted[name].path}: {path} is called {name} already; end that first, by "
                f"{ending}, or choose another name"
            )


def holders(
    root: Standing, names: Collection[str], stopped: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield who has one of some names, and was started by hand: its name and path, how to end it.

    The children of pools are among them, and what is below a node that was started by hand.
    """

    def below(node: Standing, path: str, ending: str) -> Iterator[tuple[str, str, str]]:
        spec, sup = node.spec, node.spec.id
        if ending and sup in names:
            yield sup, path, ending
        if not isinstance(spec, SupervisorSpec):
            return
        dynamic = kind_of(spec) == "pool"
        own = () if dynamic else {child.id for child in spec.children}
        for child in node.children:
            name = child.spec.id
            if name in stopped or not (child.children or name in names):
                continue
            ends = ending if name in own else f"`terminate-child {sup} {name}`"
            if not dynamic and name not in own:
                ends = f"{ends} and `delete-child {sup} {name}`"
            yield from below(child, f"{path}/{name}", ends)

    yield from below(root, root.spec.id, "")


def pool_stuck(node: Standing, there: Place) -> Iterator[str]:
    """Yield why a pool that stays cannot have another template while it has the children it has."""
    old, new, children = node.spec, there.node, node.children
    if not isinstance(old, SupervisorSpec) or not children:
        return
    if kind_of(old) != "pool" or kind_of(new) != "pool":
        return
    (before,), (after,) = old.children, new.children
    if kind_of(before) != kind_of(after):
        yield (
            f"{there.path}: its template becomes a {kind_of(after)}, and each of its children "
            f"({len(children)}) is a {kind_of(before)}; end them first"
        )
    if keeps_below(before) or not keeps_below(after):
        return
    name = f"{new.id}:"
    if labels := [one.spec.id for one in children if not one.spec.id.startswith(name)]:
        count = f", and {len(labels) - 1} more" if len(labels) > 1 else ""
        yield (
            f"{there.path}: its template gets `persist`, and what is stored of its children is "
            f"found by {new.id}:LABEL, which {labels[0]}{count} is not called; end them first, or "
            "stop the tree and start it with this file"
        )


def without_store(tree: SupervisorSpec) -> Iterator[str]:
    """Yield a complaint for each worker with `persist`, in templates, too: there is no store."""
    for path, spec in walk(tree):
        if keeps(spec):
            yield f"{path}: has `persist`, and the tree has no store; start it anew"


def keeps_below(spec: ChildSpec) -> bool:
    """Whether something of a worker, or of one below, outlives the process."""
    return any(keeps(one) for _, one in walk(spec))


def keeps(spec: ChildSpec) -> bool:
    """Whether something of a worker outlives the process."""
    return isinstance(spec, WorkerSpec) and spec.options.persist is not Persist.NONE
