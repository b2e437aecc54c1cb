"""What fits other code of a worker: what waits for it, and what must be kept of its state."""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.behaviour.state_loop import InState
from ssm_cli.errors import CodeRefused, StorageError, Unrecovered
from ssm_cli.history.carrying import Classes
from ssm_cli.history.other_code import Code
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.durable.recoded import values_for
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.recoding import waiting_values


class Carrying:
    """Carries what waits for a worker to other code; the same object always to the same one."""

    def __init__(self, code: Code, runs: Again) -> None:
        self._code, self._runs = code, runs
        self._made: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """Return a value of the other code; the value as it is where it cannot be one."""
        known = self._made.get(id(value))
        if known is None:
            try:
                made = self._runs.step(self._code.carried, value)
            except BaseException as error:
                if self._runs.is_from_outside(error):
                    raise
                made = value
            known = self._made[id(value)] = value, made
        return known[1]

    def back(self, value: Any) -> Any:
        """Return what a value was before it was carried."""
        found = (old for old, new in self._made.values() if new is value)
        return next(found, value)


class Fitting:
    """Tells what waits for a worker, and what of that other code does not take.

    Args:
        there: a cell of that code.
        carry: carries values to it.
        classes: those that take the place of others.
        gone: the names of the modules that those others are of.
        runs: runs user code.
    """

    def __init__(
        self, there: WorkerCell, carry: Carrying, classes: Classes, gone: frozenset[str],
        runs: Again,
    ) -> None:  # fmt: skip
        self._there, self._carry, self._gone, self._runs = there, carry, gone, runs
        self._kinds = {kind for kind in classes.values() if isinstance(kind, type)}

    def counted(self, world: World, cell: WorkerCell) -> tuple[int, int]:
        """Return how many inputs wait for a worker, and how many of them do not fit."""
        waits = [*waiting_values(world, cell)]
        return len(waits), sum(not self.takes(value) for value in waits)

    def takes(self, value: Any) -> bool:
        """Return whether an input that waits is one of that code."""
        if isinstance(value, bytes):
            try:
                self._runs.step(codec_of(self._there).decode, value)
            except BaseException as error:
                if self._runs.is_from_outside(error):
                    raise
                return False
            return True
        made = self._carry(value)
        return type(made).__module__ not in self._gone or type(made) in self._kinds


def need_keepable(
    world: World, cell: WorkerCell, there: WorkerCell, state: Any, *, turned: bool | None = None
) -> None:  # fmt: skip
    """Check that a durable worker can go on with other code, of which `there` is a cell.

    Of code that comes (`turned` is given) the state has to be of the type that it says: always
    where it was turned for it, else where it says another one than the code that is there.

    Raises:
        CodeRefused: it is down, or its state under that code does not fit, or could not be kept.
    """
    kept = kept_of(cell)
    if kept is None:
        return
    if kept.trouble is not None:
        name = cell.spec.id
        raise CodeRefused(
            f"{name} is down ({kept.trouble.reason}), and what is stored of it waits "
            f"for its code: start the tree anew, or see `ssm data repair {name}`"
        )
    try:
        values = values_for(world.outside.keeper, kept, there.behaviour, codec_of(there))
        if cell.status is CellStatus.RUNNING or kept.has:
            data = values.dump(state)
            made = turned and type(state) is not InState  # whose type says nothing of that
            if made or (turned is not None and values.code.form != kept.values.code.form):
                values.revive(data, msgspec.structs.replace(values.code, form=""))
    except Unrecovered as error:
        raise CodeRefused(f"{cell.spec.id}: {error}, or a `code_change` to that type") from error
    except StorageError as error:
        raise CodeRefused(str(error)) from error
