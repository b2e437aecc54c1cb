"""What fits other code of a worker: what waits for it, and what must be kept of its state."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import Ok
from ssm_cli.behaviour.state_loop import InState, one_by_one
from ssm_cli.codec.classes import Inexact
from ssm_cli.codec.declared import is_union, misfit
from ssm_cli.codec.kinds import kept_form
from ssm_cli.errors import CodeRefused, StorageError, Unrecovered
from ssm_cli.history.counterparts import OtherLoads
from ssm_cli.history.other_code import Code
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.code import facts_of
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.durable.recoded import values_for
from ssm_cli.runtime.durable.remedies import for_state
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.recoding import waiting_values


class Carrying:
    """Carries what waits for a worker to other code; the same object always to the same one."""

    def __init__(self, code: Code, runs: Again) -> None:
        self._code, self._runs = code, runs
        self._unfit: set[int] = set()
        self._made: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """Return a value of the other code; the value as it is where it cannot be one."""
        known = self._made.get(id(value))
        if known is None:
            try:
                made = self._runs.step(self._code.held, value)
            except BaseException as error:
                if self._runs.is_from_outside(error):
                    raise
                made = value
                self._unfit.add(id(value))
            known = self._made[id(value)] = value, made
        return known[1]

    def is_carried(self, value: Any) -> bool:
        """Return whether a value can be one of the other code."""
        self(value)
        return id(value) not in self._unfit

    def back(self, value: Any) -> Any:
        """Return what a value was before it was carried."""
        found = (old for old, new in self._made.values() if new is value)
        return next(found, value)


class Fitting:
    """Tells what waits for a worker, and what of that other code does not take.

    Args:
        there: a cell of that code.
        carry: carries values to it.
        loads: the modules, each with the one in its place.
        runs: runs user code.
    """

    def __init__(self, there: WorkerCell, carry: Carrying, loads: OtherLoads, runs: Again) -> None:
        self._there, self._carry, self._gone, self._runs = there, carry, loads.gone, runs
        self._kinds = {kind for kind in loads.classes.values() if isinstance(kind, type)}

    def counted(self, world: World, cell: WorkerCell) -> tuple[int, int]:
        """Return how many inputs wait for a worker, and how many of them do not fit."""
        waits, inside = [*waiting_values(world, cell)], [*waiting_inside(cell.state)]
        unfit = sum(not self.takes(one) for one in waits) + sum(not self.fits(o) for o in inside)
        return len(waits) + len(inside), unfit

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
        return self.fits(value)

    def fits(self, value: Any) -> bool:
        """Return whether a value is one of that code, with all that it holds."""
        made = self._carry(value)
        return self._carry.is_carried(value) and self._is_there(made)

    def _is_there(self, made: Any) -> bool:
        return type(made).__module__ not in self._gone or type(made) in self._kinds


def waiting_inside(state: Any) -> Iterator[Any]:
    """Yield what waits in the state of a `Statem`: its events, and what its time-outs say."""
    if type(state) is InState:
        yield from (one.content for one in one_by_one(state.postponed + state.inserted))
        yield from state.timeouts.values()


def misfit_of(cell: WorkerCell, behaviour: Behaviour, state: Any) -> Inexact | None:
    """Return what is wrong with the state of a worker that runs, by the types that code declares.

    Those are what its steps take, else what `init` answers, else the fields of the state's class.
    None of what fits, or cannot be judged; and of a durable worker, which `need_keepable` judges.
    """
    if cell.status is not CellStatus.RUNNING or kept_of(cell) is not None:
        return None
    held = state.data if type(state) is InState else state
    said = facts_of(behaviour).said
    if said is Any and isinstance(behaviour, StateMachine):
        said = type_by_init(behaviour.init)
    kind: Any = type(held)
    try:
        misfit(held, kind if said is Any and kept_form(kind) else said)
    except Inexact as error:
        return error
    except Exception:  # noqa: BLE001 - it holds itself, or what it holds raises if it is looked at
        return None
    return None


def place_and_fault(wrong: Inexact) -> str:
    """Return where in a state something is wrong, and what."""
    return f"at state{wrong.path}: {wrong.why}" if wrong.path else wrong.why


def type_by_init(init: Any) -> Any:
    """Return the type of the states that an `init` answers, Any where it does not say one."""
    try:
        said = typing.get_type_hints(init).get("return", Any)
    except (TypeError, NameError, AttributeError):
        return Any
    members = typing.get_args(said) if is_union(said) else (said,)
    kinds = [typing.get_origin(one) or one for one in members]
    return Any if any(getattr(one, "__module__", "") == Ok.__module__ for one in kinds) else said


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
        name, store = cell.spec.id, world.outside.keeper.store
        raise CodeRefused(
            f"{name} is down ({kept.trouble.reason}), and what is stored of it waits "
            f"for its code: start the tree anew, or {for_state(store, name)}"
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
