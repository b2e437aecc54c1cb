"""Reading: the nodes of a file as a node that was never started, and what it remembered."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from random import Random
from types import FunctionType
from typing import Any

from msgspec.msgpack import Ext

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.sizes import AsText
from ssm_cli.codec import exact
from ssm_cli.codec.classes import Classes, Inexact
from ssm_cli.errors import StorageDamaged
from ssm_cli.history.saved import forms
from ssm_cli.history.saved.checking import check_ends, check_fields, check_world
from ssm_cli.history.saved.code import Codes, SavedCode
from ssm_cli.history.saved.forms import CLASSES, CONSTANTS, ENUMS, FIELDS, NUMBERS, OBJECTS
from ssm_cli.history.saved.writing import ref
from ssm_cli.runtime.engine.cell import Cell, Extra, SupervisorCell, WorkerCell, replan
from ssm_cli.runtime.engine.crashes import CrashNotes
from ssm_cli.runtime.engine.events import EventLog, Room
from ssm_cli.runtime.engine.groups import Groups, Membership
from ssm_cli.runtime.engine.guard import NoGuard
from ssm_cli.runtime.engine.monitors import Monitors
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recalled import PastError, class_of
from ssm_cli.runtime.engine.recorder import Frozen
from ssm_cli.runtime.engine.timers import Timers
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.debug import Debug
from ssm_cli.runtime.performer import system
from ssm_cli.runtime.views import SysEvent
from ssm_cli.spec.judge import Judge
from ssm_cli.spec.model import WorkerSpec

FUNCTIONS = {
    name: function
    for name, function in vars(system).items()
    if type(function) is FunctionType and function.__module__ == system.__name__
}
"""System messages by name: no other code is ever found by what a file says."""
MADE_BY_CALL = (Extra, Timers, CrashNotes, Groups, Membership, Monitors)  # others are made bare
PARTED: dict[int, Callable[[list[Any]], Any]] = {
    forms.TUPLE: tuple, forms.LIST: list, forms.DEQUE: deque,
    forms.DICT: lambda parts: dict(zip(parts[::2], parts[1::2], strict=True)),
}  # fmt: skip
SIMPLE: dict[int, Callable[..., Any]] = {
    forms.TEXT: AsText, forms.CONSTANT: CONSTANTS.__getitem__, forms.CODE: SavedCode,
    forms.FUNCTION: FUNCTIONS.__getitem__,
}  # fmt: skip
"""How the parts of a node become a value, and how what stands for itself does."""


class PastReader:
    """Makes objects of nodes.

    Args:
        nodes: of the file.
        codes: what stands for the code of workers.

    Attributes:
        inexact: the workers of which a value is read without its classes: they are others now.
        at: the node that is read now.
    """

    def __init__(self, nodes: list[Any], codes: Codes) -> None:
        self._nodes = nodes
        self._codes = codes
        self._made: dict[int, Any] = {}
        self.inexact: set[str] = set()
        self.at = 0

    def read(self) -> None:
        """Make all objects, then fill them; worlds last, which need a root that is whole."""
        self._each(WorkerSpec, lambda index, _: self.of(ref(index)))  # how values are read
        for kind in OBJECTS:
            self._each(kind, self._blank)
        for kind in OBJECTS:
            if kind not in (World, Pending):
                self._each(kind, self._fill)
        check_ends(made for made in self._made.values() if isinstance(made, Cell))
        self._each(World, self._world)
        self._each(WorkerCell, lambda index, _: settle(self._made[index]))

    def _each(self, kind: type, do: Callable[[int, list[Any]], object]) -> None:
        number = NUMBERS[kind]
        for index, node in enumerate(self._nodes):
            if node[0] == number:
                self.at = index
                do(index, node)

    def of(self, part: Any) -> Any:
        """Return what stands in a node: a value as it is, or what another node stands for."""
        if type(part) is not Ext:
            return part
        index = int.from_bytes(part.data, "big")
        if index not in self._made:
            self._made[index] = self._value(self._nodes[index])
        return self._made[index]

    def _value(self, node: list[Any]) -> Any:
        mark, *rest = node
        if mark >= 0:
            return self._struct(CLASSES[mark], rest)
        if mark in PARTED:
            return PARTED[mark]([self.of(part) for part in rest])
        return self._exact(*rest) if mark == forms.VALUE else SIMPLE[mark](*rest)

    def _struct(self, kind: Any, rest: list[Any]) -> Any:
        if kind in ENUMS:
            return kind[rest[0]]
        make = getattr(kind, "of_fields", kind)
        values = [*map(self.of, rest)]
        check_fields(kind, values)
        made = make(**dict(zip(FIELDS[kind], values, strict=True)))
        return self._codes.spec(made) if kind is WorkerSpec else made

    def _exact(self, data: bytes, text: str | None, worker: str) -> Any:
        classes = self._codes.classes_of(worker)
        if classes is None and worker:
            return exact.read_plain(data, named=True) if text is None else AsText(text)
        try:
            return exact.read(data, classes or Classes())
        except Inexact:
            self.inexact.add(worker)
            return exact.read_plain(data, named=True) if text is None else AsText(text)

    def _blank(self, index: int, node: list[Any]) -> None:
        kind: Any = CLASSES[node[0]]
        if kind is PastError:
            name, *said = self.of(node[1])
            self._made[index] = class_of(name)(*said)
        elif kind is Pending:
            self._made[index] = Pending(request=node[1], number=node[2])
        else:
            self._made[index] = kind() if kind in MADE_BY_CALL else kind.__new__(kind)

    def _fill(self, index: int, node: list[Any]) -> None:
        made, kind = self._made[index], CLASSES[node[0]]
        values = [*map(self.of, node[1:])]
        check_fields(kind, values)
        for name, value in zip(FIELDS[kind], values, strict=True):
            if (kind, name) != (PastError, "args"):
                setattr(made, name, value)
        if kind is Extra and made.debug is not None:
            made.debug = looked_at(*made.debug)
        if kind is Timers:
            made.rebuild()
        if kind is WorkerCell:
            made.behaviour = made.codec = made.step = None
        if kind is SupervisorCell:
            made.temporary = True  # a child may be: each is looked at

    def _world(self, index: int, node: list[Any]) -> None:
        """Make a world, whose root is whole by now."""
        world = self._made[index]
        values = [*map(self.of, node[1:])]
        check_fields(World, values)
        fields = dict(zip(FIELDS[World], values, strict=True))
        now_s, wall_s = fields.pop("clock")
        root, chance = fields.pop("root"), Random()  # noqa: S311 - it spreads delays
        chance.setstate(fields.pop("random"))
        clock = Frozen(now_s, wall_s)
        World.__init__(world, root, clock, NoGuard(clock), chance, Judge(root.spec))
        reports = fields.pop("reports")
        world.reports.fill(reports.ring(), reports.seq)
        for name, value in fields.items():
            setattr(world, name, value)
        world.forked, world.retry_at_s, world.has_held = True, math.inf, True
        check_world(world)


def looked_at(traced: bool, most: int | None, *events: Any) -> Debug | None:
    """Return how a worker was looked at, without the functions that were installed."""
    debug = Debug()
    debug.traced = traced
    if most is not None:
        debug.log = EventLog(most, Room())
        for event in events:
            debug.log.add(SysEvent(*event))
    return debug if debug.in_use() else None


def settle(cell: WorkerCell) -> None:
    """Give a worker that is whole its behaviour, and choose how its inputs are served."""
    cell.behaviour = behaviour_of(cell.spec.start)
    replan(cell)


def nodes_in(body: Any, where: str) -> list[Any]:
    """Return the nodes of a body, each of which refers to nodes that are there.

    Raises:
        StorageDamaged: they are none.
    """
    nodes = body.get("nodes") if isinstance(body, dict) else None
    if not isinstance(nodes, list) or not all(map(is_node, nodes)):
        raise StorageDamaged(f"{where} is damaged: its nodes are none")
    return nodes


def is_node(node: Any) -> bool:
    """Return whether this is the form of a node."""
    return type(node) is list and len(node) > 0 and type(node[0]) is int and node[0] < len(CLASSES)
