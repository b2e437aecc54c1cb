"""The children of durable pools: who is in them, with which arguments, so that they come back.

A pool (`simple_one_for_one`) is durable if what its template makes has a durable worker in it. Each
child is a cell, written before whoever has started it is told, and removed before whoever has ended
it is. What its workers know is kept as that of any worker, by their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeGuard

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.partition import pool_child, splits
from ssm_cli.codec.classes import Classes, Inexact
from ssm_cli.codec.exact import read, write
from ssm_cli.errors import Unrecovered, message_of
from ssm_cli.runtime.durable.code import facts_of
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.snapshots import CHILD, Pooled, unpack
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.spec.model import (
    NO_ARGS,
    ChildSpec,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
    made_of,
    walk,
)
from ssm_cli.spec.rules import label_fault
from ssm_cli.supervision.obstacles import keeps

MOST_CHILDREN = 100_000  # of one durable pool
MOST_ARGS_BYTES = 64 * 1024  # of a child's own arguments, as they are written
SIMPLE = Strategy.SIMPLE_ONE_FOR_ONE


class BadArgs(Exception):
    """Arguments of a child that cannot be kept."""


class Pools:
    """The children of all durable pools of a store, by their names, in the order of their starts.

    Args:
        store: what is stored; raises `StorageError` where that cannot be read.

    Attributes:
        last: the number of the last start.
        fresh: children that are to be stored once their start is written, by name.
    """

    def __init__(self, store: Store) -> None:
        found = [unpack(key, store.get(key) or b"", Pooled) for key in store.keys(CHILD)]
        self._by_pool: dict[str, dict[str, Pooled]] = {}
        self.last, self.fresh = 0, dict[str, Pooled]()
        for one in sorted(found, key=lambda one: one.number):
            self.add(one)

    def __iter__(self) -> Iterator[Pooled]:
        """Yield all, pool by pool."""
        return chain.from_iterable(pool.values() for pool in self._by_pool.values())

    def add(self, one: Pooled) -> None:
        """A child was started."""
        self.last = max(self.last, one.number)
        self._by_pool.setdefault(one.pool, {})[one.name] = one

    def add_former(self, tree: SupervisorSpec, workers: Iterable[str]) -> None:
        """Add the children that the pools of a tree had, with these workers; they have number 0.

        With which arguments they were started is not known any more.
        """
        durable = {spec.id for _, spec in walk(tree) if is_durable(spec)}
        for pool, key in (parts for worker in workers for parts in splits(worker)):
            label = key.partition("/")[0]
            name = pool_child(pool, label)
            if pool in durable and name not in self._by_pool.get(pool, {}):
                self.add(Pooled(name, pool, label, 0.0, 0))

    def remove(self, pool: str, name: str) -> Pooled | None:
        """A child is gone for good; what it was, None for one that is not kept."""
        return self._by_pool.get(pool, {}).pop(name, None)

    def of(self, pool: str) -> list[Pooled]:
        """Return the children of a pool, in the order in which they were started."""
        return [*self._by_pool.get(pool, {}).values()]

    def specs(self, tree: SupervisorSpec, path: str = "") -> Iterator[tuple[str, ChildSpec]]:
        """Yield the children of the pools of a tree, and all below them, with their paths."""
        for above, spec in walk(tree, path):
            if not is_durable(spec):
                continue
            for one in self.of(spec.id):
                child = child_of(spec, one)[0]
                yield from walk(child, above)
                if isinstance(child, SupervisorSpec):
                    yield from self.specs(child, above)


def is_durable(spec: ChildSpec) -> TypeGuard[SupervisorSpec]:
    """Return whether this is a pool whose children come back after a start."""
    return (
        isinstance(spec, SupervisorSpec)
        and spec.strategy is SIMPLE
        and len(spec.children) == 1
        and any(keeps(one) for _, one in walk(spec.children[0]))
    )


def child_of(pool: SupervisorSpec, one: Pooled) -> tuple[ChildSpec, Unrecovered | None]:
    """Return the spec of a child by the template that is here, and why it cannot be started so."""
    template, args = pool.children[0], NO_ARGS
    wrong = label_fault(one.label, template)
    why = None if wrong is None else f"its label {wrong}"
    if one.args and not isinstance(template, WorkerSpec):
        why = "it was started with arguments, and the template is no worker now"
    elif one.args and isinstance(template, WorkerSpec):
        try:
            args = read(one.args, classes_of(template, one.name))
        except BaseException as error:  # whatever reading raises is its trouble alone
            if is_from_outside(None, error):
                raise
            why = f"its arguments cannot be read: {message_of(error)}"
    spec = made_of(pool, one.label, args)
    return spec, None if why is None else not_started(one.name, "args", why, pool.id)


def not_started(name: str, reason: str, why: str, pool: str) -> Unrecovered:
    """Return why the child of a pool is down, with the ways out."""
    return Unrecovered(
        f"{name} does not start ({reason}): {why}. It stays in its pool: mend that, and `restart "
        f"{name}` or start the tree again; or give it up by `terminate-child {pool} {name}`",
        worker=name, reason=reason,
    )  # fmt: skip


def written_args(template: ChildSpec, name: str, args: Mapping[str, Any]) -> bytes:
    """Return the arguments of a child's own as they are kept; empty for none.

    Raises:
        BadArgs: they would not come back as they are, or are too large.
    """
    if not args or not isinstance(template, WorkerSpec):
        return b""
    try:
        data = write({**args}, classes_of(template, name))
    except Inexact as error:
        raise BadArgs(f"args{error.path} cannot outlive the process: {error.why}") from error
    if len(data) > MOST_ARGS_BYTES:
        raise BadArgs(f"the arguments take {len(data)} bytes; expected at most {MOST_ARGS_BYTES}")
    return data


def classes_of(template: WorkerSpec, name: str) -> Classes:
    """Return the classes that arguments of a template's children may hold."""
    return facts_of(behaviour_of(template.start)).classes_for(name)
