"""Inputs that a fork has already, of those that it is to be given."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from ssm_cli.runtime.engine.cell import Cell, WorkerCell
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.recorder import Acted, Began
from ssm_cli.runtime.engine.world import World

GO_ON = ("resume", "continue", "drop", "edit")
"""The acts by which a worker serves what was put off for it."""
INSTEAD = ("drop", "edit")
"""Those of them that leave out what it was held with at a break."""
BYTES = -1
"""Stands for the numbers of objects that are bytes."""


def waits_as(message: Any) -> int:
    """Return what an input that waits is known by, as long as it is there."""
    return BYTES if type(message) is bytes else id(message)


def inputs_waiting(world: World) -> Iterator[tuple[str, Any, Any, bool]]:
    """Yield each input that waits: its worker, the object it is, or is the copy of, who waits.

    The last says whether it is put off.
    """
    for cell, _, message, waiter in world.queue:
        if type(message) is Publishing:
            for name in message.left_to():
                yield name, world.origin(message.message), waiter, False
        else:
            yield cell.spec.id, world.origin(message), waiter, False
    for name, one in world.names.items():
        held = one.extra.backlog if isinstance(one, WorkerCell) and one.extra else ()
        for _, message, waiter in held:
            yield name, world.origin(message), waiter, True


class Given:
    """Inputs that a fork has got by itself or at an earlier record: they are not given again.

    Each is known by its object, which the fork shares with the past, or by that of which it is a
    copy; one that waits as bytes is known by being the next, as it is decoded when it is served.
    What is put off stays so until its worker begins or is resumed; it comes ahead of what is
    new then, so that one which is put off again is one of those.

    Attributes:
        numbers: by record of the past, the number that it has in the fork, where it is another.
    """

    def __init__(self, world: World) -> None:
        self.numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no other object has the number of one
        self._put_off: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._waits: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._held: dict[str, int | None] = {}  # at a break: the object; None: it comes next
        for name, message, _, held in inputs_waiting(world):
            self._add(self._put_off if held else self._waits, name, message)

    def follow(self, cell: Cell | None, what: Any) -> None:
        """Note that what was put off for a worker waits for it, where this has let it go on."""
        act = what.change if type(what) is Acted else ""
        begins = type(what) is Began or act in GO_ON
        if cell is not None and act == "break":
            self._held[cell.spec.id] = None
        elif cell is not None and act in INSTEAD:
            self._put_off[cell.spec.id][self._held.pop(cell.spec.id, None) or 0] -= 1
            for value in what.args:
                self._add(self._put_off, cell.spec.id, value)
        if begins and cell is not None:
            self._waits[cell.spec.id] += self._put_off.pop(cell.spec.id, Counter())

    def put_off(self, name: str, message: Any) -> bool:
        """Note that an input is put off; return whether the fork has it already."""
        known = self.take(name, message)
        if name in self._held and self._held[name] is None:
            self._held[name] = waits_as(message)
        self._add(self._put_off, name, message)
        return known

    def take(self, name: str, message: Any) -> bool:
        """Return whether an input waits that is served now."""
        waits = self._waits[name]
        for key in (id(message), BYTES):
            if waits[key] > 0:
                waits[key] -= 1
                return True
        return False

    def has(self, name: str) -> bool:
        """Return whether inputs of a worker wait."""
        return name in self._waits and any(self._waits[name].values())

    def _add(self, to: defaultdict[str, Counter[int]], name: str, message: Any) -> None:
        to[name][waits_as(message)] += 1
        self._kept.append(message)
