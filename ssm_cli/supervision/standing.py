"""Trees laid side by side: where each node stands, and where it is wanted, by its id. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from ssm_cli.codec.kinds import name_of
from ssm_cli.spec.model import ChildSpec, SupervisorSpec, WorkerOptions
from ssm_cli.supervision.differing import code_name, differences, kind_of, settled

Down = Literal["running", "restarting", "waiting", "stopped", "held", "new"]
MOST_DEEP = 20  # levels of a value that a digest looks into


class Standing(msgspec.Struct, frozen=True):
    """A node as it stands.

    Attributes:
        spec: its spec.
        begun: the spec that its life has begun with, if that is another one.
        state: `new`: no life has begun with its spec, and it is down; `restarting`: it is down for
            now; `waiting`: likewise, until a sibling starts; `held`: it cannot go on with what is
            stored of it.
        starts: how often it was started.
        suspended: it is held by `suspend`.
        stored: something of it outlives the process.
        children: what is in the table of a supervisor, in start order.
        trouble: why it is held.
    """

    spec: ChildSpec
    begun: ChildSpec | None = None
    state: Down = "running"
    starts: int = 1
    suspended: bool = False
    stored: bool = False
    children: tuple[Standing, ...] = ()
    trouble: str = ""


class Place(msgspec.Struct, frozen=True):
    """Where a node is: its path, the path and the id of its supervisor, its number there.

    `node` is a `Standing`, or the spec that is wanted. `own`: the spec of its supervisor has it; it
    was not started by hand.
    """

    node: Any
    path: str
    above: str
    supervisor: str
    number: int
    own: bool = True


def each(node: Standing) -> Iterator[Standing]:
    """Yield a node and all below it, depth-first in start order."""
    yield node
    for child in node.children:
        yield from each(child)


def places_of(root: Standing) -> Iterator[Place]:
    """Yield each node that stands there, depth-first in start order; not the children of pools."""

    def below(node: Standing, path: str) -> Iterator[Place]:
        spec = node.spec
        if not isinstance(spec, SupervisorSpec) or kind_of(spec) == "pool":
            return
        own = {child.id for child in spec.children}
        for number, child in enumerate(node.children):
            name = child.spec.id
            yield Place(child, f"{path}/{name}", path, spec.id, number, name in own)
            yield from below(child, f"{path}/{name}")

    yield Place(root, root.spec.id, "", "", 0)
    yield from below(root, root.spec.id)


def places_in_spec(tree: SupervisorSpec) -> Iterator[Place]:
    """Yield each node of a spec, depth-first in start order; not the templates of pools."""

    def below(spec: ChildSpec, path: str) -> Iterator[Place]:
        if not isinstance(spec, SupervisorSpec) or kind_of(spec) == "pool":
            return
        for number, child in enumerate(spec.children):
            yield Place(child, f"{path}/{child.id}", path, spec.id, number)
            yield from below(child, f"{path}/{child.id}")

    yield Place(tree, tree.id, "", "", 0)
    yield from below(tree, tree.id)


def settled_tree(now: Standing, wanted: SupervisorSpec) -> SupervisorSpec:
    """Return what is wanted, with each spec that is the same as one that stands there.

    So what did not change keeps its very spec, and the code that it has.
    """
    known = {place.node.spec.id: place.node for place in places_of(now)}

    def settle(spec: ChildSpec) -> ChildSpec:
        node = known.get(spec.id)
        old = None if node is None else node.begun or node.spec
        if isinstance(spec, SupervisorSpec) and kind_of(spec) != "pool":
            children = tuple(map(settle, spec.children))
            spec = msgspec.structs.replace(spec, children=children)
            if isinstance(old, SupervisorSpec) and not differences(old, spec):
                return old if is_one(old.children, children) else spec
            return spec
        return spec if old is None or kind_of(old) != kind_of(spec) else settled(old, spec)

    tree = settle(wanted)
    assert isinstance(tree, SupervisorSpec)
    return tree


def is_one(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether two tuples hold the same objects."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


class Facts:
    """What a spec says, as text, without asking values of a user's own."""

    def __init__(self) -> None:
        self._options: dict[int, tuple[WorkerOptions, str]] = {}

    def of(self, value: Any, depth: int = 0) -> Iterator[str]:
        """Yield the text in parts; a value that goes deeper than `MOST_DEEP` is cut there."""
        if value is None or isinstance(value, str | int | float | bytes):
            yield f"{value!r},"
        elif isinstance(value, WorkerOptions):
            if id(value) not in self._options:
                self._options[id(value)] = value, "".join(self._fields(value, depth))
            yield self._options[id(value)][1]
        elif isinstance(value, SupervisorSpec):  # its own depth has a bound already
            yield from self._fields(value, 0)
        elif isinstance(value, dict | list | tuple) and depth < MOST_DEEP:
            yield f"{len(value)}("
            for part in value.items() if isinstance(value, dict) else value:
                yield from self.of(part, depth + 1)
        elif isinstance(value, msgspec.Struct) and hasattr(value, "step"):
            yield f"{code_name(value)},"
        elif isinstance(value, msgspec.Struct) and depth < MOST_DEEP:
            yield from self._fields(value, depth)
        else:
            yield f"{name_of(value if hasattr(value, '__qualname__') else type(value))},"

    def _fields(self, value: Any, depth: int) -> Iterator[str]:
        yield f"{type(value).__name__}("
        for field in value.__struct_fields__:
            yield from self.of(getattr(value, field), depth + 1)
