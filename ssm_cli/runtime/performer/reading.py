"""Inputs that are declared as reading: answered from the state, which stays, and not recorded."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.equality import equal
from ssm_cli.behaviour.reasons import BadReturnError
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.contained import contained
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.failing import crashed
from ssm_cli.runtime.performer.settling import conclude, show_answer


def to_be_read(world: World, cell: WorkerCell) -> bytes:
    """The state of a durable worker as bytes, to see whether it stays; else nothing.

    Raises:
        StorageError: it cannot be written.
    """
    kept = kept_of(cell)
    if kept is None:
        return b""
    world.outside.keeper.now = None
    return kept.before(cell.state)


def answer_read(
    world: World,
    cell: WorkerCell,
    came: tuple[Any, Pending | None],
    outcome: Outcome,
    before: bytes,
) -> None:
    """Answer an input that only reads; one that did more crashes its worker, whose state stays.

    The answer of a journalled worker waits for what it may have seen to be written.
    """
    message, pending = came
    kept = kept_of(cell)
    more = asks_for_more(outcome)
    if not more and not stays(world, cell, kept, outcome.state, before):
        more = "another state"
        if kept is not None and before:  # it may be changed in place
            cell.state = kept.values.revive(before, kept.values.code)
    if more:
        name = type(message).__name__
        wrong = f"{name} is declared as reading (`reads`), and its step asks for {more}"
        crashed(world, cell, message, pending, BadReturnError(wrong))
        return
    if world.history is not None:
        world.history.served(cell, message, outcome, pending, reads=True)
    cell.steps += 1
    show_answer(world, cell, outcome.reply, pending)
    if kept is not None and kept.journals:
        world.outside.keeper.hold(pending, conclude, world, cell, pending, outcome)
    else:
        conclude(world, cell, pending, outcome)


def asks_for_more(outcome: Outcome) -> str:
    """Return what a step asks for that may only read; "" if it only answers.

    >>> asks_for_more(Outcome(1, "answer"))
    ''
    """
    for asked, what in (
        (outcome.effects, "effects"),
        (outcome.stop, "the end of its worker"),
        (outcome.then, "something to go on with"),
    ):
        if asked:
            return what
    return ""


def stays(world: World, cell: WorkerCell, kept: Kept | None, state: Any, before: bytes) -> Any:
    """Whether the state is what it was, as far as that can be seen."""
    if kept is not None:
        return kept.is_still(before, cell.state, state)
    return state is cell.state or contained(world, cell, differs, equal, cell.state, state)


def differs(_: BaseException) -> bool:
    """Two states that cannot be compared are not the same."""
    return False
