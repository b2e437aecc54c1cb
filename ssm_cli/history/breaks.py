"""Break points of the live tree: who is held before which state, and how it goes on."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.errors import CommandError, Forgotten
from ssm_cli.history.changes import Change, changes, shown_values
from ssm_cli.history.expr import Asking, parse_expr
from ssm_cli.history.grammar import BadExpr
from ssm_cli.history.scratch import typed_input
from ssm_cli.history.telling import Data
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.recorder import WORDS
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import redacted
from ssm_cli.runtime.looking.show import shown as written
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.breaking import Break, Caught, Look
from ssm_cli.runtime.performer.intake import need_worker
from ssm_cli.runtime.performer.system import waiting_for

MOST_BREAKS = 64  # in one tree
MOST_TEXT = 200  # characters of an input that is held
TOLD_CHANGES = 2
LIVE = "breaks are of the live tree; `now` comes back to it"

GIVEN = ("state", "input", "output", "kind", "worker", "how", "outcome")
"""What an EXPR of a break may ask for: the input is served, and has no number yet."""


class Point(msgspec.Struct, eq=False):
    """A break, and whose it is.

    Attributes:
        trouble: why it could not be asked of some input, which went on.
    """

    worker: str
    asking: Asking
    one: Break
    trouble: str = ""


class BreakPoints:
    """The breaks of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._next_number = count(1).__next__
        self._points: list[Point] = []

    def set(self, worker: str, expr: str, place: str = "") -> Data:
        """Hold a worker before it commits a state for which an EXPR is true; return the break.

        Raises:
            BadExpr: it is none, with the column.
            CommandError: there are `MOST_BREAKS` already, or the place is none of the live tree.
        """
        need_live(place)
        asking = Asking(parse_expr(expr, GIVEN))
        cell = self._cell(worker)
        if len(self._points) >= MOST_BREAKS:
            raise CommandError(
                f"there are {MOST_BREAKS} breaks already; `unbreak N` takes one away"
            )
        point = Point(cell.spec.id, asking, Break(self._next_number(), asking.expr.text, never))
        point.one.look = look_of(self._world, point)
        self._points.append(point)
        self._install(point.worker)
        return self._told(point)

    def all(self, place: str = "") -> Data:
        """Return the breaks, and what is held at them now."""
        del place
        return {"breaks": list(map(self._told, self._points)), "held": self._held()}

    def clear(self, which: str, place: str = "") -> Data:
        """Take away a break by its number, those of a worker, or `all`; return how many.

        A worker that is held stays held until it goes on.
        """
        need_live(place)
        gone = [
            point for point in self._points if which in ("all", point.worker, str(point.one.number))
        ]
        if not gone and which != "all":
            there = ", ".join(f"{p.one.number} ({p.worker})" for p in self._points) or "none"
            raise Forgotten(f"there is no break `{which[:60]}`; there is {there}")
        self._points = [point for point in self._points if point not in gone]
        for worker in {point.worker for point in gone}:
            self._install(worker)
        return {"gone": [point.one.number for point in gone]}

    def go_on(self, worker: str | None = None, place: str = "") -> Data:
        """Let a worker commit what it is held with; the only one if none is named."""
        name, caught = self._one(worker, place)
        self._node.leave_break(name)
        return {"worker": name, "input": caught.given, "break": caught.number}

    def drop(self, worker: str | None = None, place: str = "") -> Data:
        """Let a worker go on without the input that it is held with; its caller is told."""
        name, caught = self._one(worker, place)
        self._node.leave_break(name, drop=True)
        return {"worker": name, "input": caught.given, "break": caught.number}

    def edit(self, worker: str, given: str, place: str = "") -> Data:
        """Let a worker go on with another input in place of the one that it is held with."""
        name, caught = self._one(worker, place)
        value = typed_input(self._cell(name), given.encode("utf-8", "surrogateescape"))
        self._node.leave_break(name, given=value)
        return {"worker": name, "input": given, "was": caught.given, "break": caught.number}

    # -- inside --------------------------------------------------------------------------------

    @property
    def _world(self) -> World:
        return self._node._world  # noqa: SLF001 - what is held is seen by nobody else

    def _cell(self, worker: str) -> WorkerCell:
        return need_worker(self._world, worker)

    def _install(self, worker: str) -> None:
        """Have the worker know its breaks, in the order in which they were set."""
        if type(self._world.find(worker)) is WorkerCell:
            own = tuple(point.one for point in self._points if point.worker == worker)
            self._node.set_breaks(worker, own)

    def _one(self, worker: str | None, place: str) -> tuple[str, Caught]:
        need_live(place)
        held = self._caught()
        if worker is None:
            if len(held) == 1:
                return next(iter(held.items()))
            whom = (
                f"{', '.join(held)} are held: name one" if held else "no worker is held at a break"
            )
            raise CommandError(whom)
        name = self._cell(worker).spec.id
        if name not in held:
            raise Forgotten(f"{name} is not held at a break; held are: {', '.join(held) or 'none'}")
        return name, held[name]

    def _caught(self) -> dict[str, Caught]:
        found: dict[str, Caught] = {}
        for name, cell in self._world.names.items():
            breaks = None if cell.extra is None else cell.extra.breaks
            caught = None if breaks is None else breaks.held(cell)
            if caught is not None:
                found[name] = caught
        return found

    def _held(self) -> list[Data]:
        now_s = self._world.clock.now_s()
        return [
            {
                "worker": name, "break": caught.number, "input": caught.given,
                "changed": caught.changed, "held_s": round(now_s - caught.since_s, 3),
                "waiting": waiting_for(self._world, self._cell(name)) - 1,
            }
            for name, caught in self._caught().items()
        ]  # fmt: skip

    def _told(self, point: Point) -> Data:
        one = point.one
        data: Data = {"break": one.number, "worker": point.worker, "when": one.text,
                      "hits": one.hits, "never": list(point.asking.never())}  # fmt: skip
        return data | ({"trouble": point.trouble} if point.trouble else {})


def name_of(change: Change) -> str:
    """Return what has changed, in words."""
    return str(change.path) if change.path.steps else "state"


def need_live(place: str) -> None:
    """Raise `CommandError` for a place that is not now."""
    if place:
        raise CommandError(LIVE)


def never(*_: Any) -> None:
    """Hold nothing."""


def look_of(world: World, point: Point) -> Look:
    """Return the question of a break, as the engine asks it: answers the texts of what is held."""

    def look(
        cell: WorkerCell, kind: Kind, message: Any, outcome: Outcome
    ) -> tuple[str, str] | None:
        hides = does_hide(cell.behaviour)
        after = redacted(world, cell, outcome.state) if hides else outcome.state
        names = {
            "state": after,
            "input": redacted(world, cell, message) if hides else message,
            "output": outcome.reply,
            "kind": type(message).__name__,
            "worker": cell.spec.id,
            "how": WORDS[kind],
            "outcome": "replied" if outcome.reply is not NOTHING else "silent",
        }
        try:
            if not point.asking.holds(names):
                return None
        except BadExpr as error:
            point.trouble = str(error)
            return None
        before = redacted(world, cell, cell.state) if hides else cell.state
        found = changes(before, after, TOLD_CHANGES)
        told = ", ".join(f"{name_of(one)} {shown_values(one)}" for one in found)
        return written(world, cell, message)[:MOST_TEXT], told[:MOST_TEXT]

    return look
