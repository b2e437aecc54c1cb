"""Load: inputs for the workers of a tree, from those that it remembers or made from their types."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.history.comparing import kind_of
from ssm_cli.history.records import served_in
from ssm_cli.history.trying import is_given
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.simulation.making import Maker, Pool, maker_of

MOST_REMEMBERED = 1_000  # inputs of one worker
MAKE_S = 1.0  # that the `__post_init__` of an input may take
CASTS = 0.2  # how often an input that was made is a cast to a worker with callbacks
Input = tuple[Kind, Any]


class Load:
    """Inputs for the workers of a world.

    Args:
        world: whose workers they are for.
        recorder: remembers inputs; None where nothing does.
        last: the last record that is looked at; None for all.
    """

    def __init__(self, world: World, recorder: Recorder | None, last: int | None = None) -> None:
        self._world = world
        self._remembered = {} if recorder is None else remembered(recorder, last)
        self._makers: dict[str, Maker | None] = {}

    def input(self, chance: Random, worker: str) -> Input | None:
        """Return an input for a worker; None where its inputs have no types, and none is known."""
        known = self._remembered.get(worker)
        if known:
            return chance.choice(known)
        if worker not in self._makers:
            cell = self._world.names.get(worker)
            self._makers[worker] = maker_for(cell) if isinstance(cell, WorkerCell) else None
        maker = self._makers[worker]
        cell = self._world.names.get(worker)
        if maker is None or cell is None:
            return None
        made = guarded(self._world.guard, cell, MAKE_S, maker.make, chance)
        if made is None:
            return None
        return kind_for(getattr(cell, "behaviour", None), chance), made


def kind_for(behaviour: Any, chance: Random) -> Kind:
    """Return how an input that was made comes to a worker: as what its callbacks take."""
    casts = isinstance(behaviour, Callbacks) and chance.random() < CASTS
    if isinstance(behaviour, GenServer):
        casts = takes(behaviour, Kind.CAST) and (casts or not takes(behaviour, Kind.CALL))
    return Kind.CAST if casts else Kind.CALL


def takes(behaviour: Any, kind: Kind) -> bool:
    """Return whether a worker has a callback of its own for inputs of that kind."""
    name = f"handle_{kind.name.lower()}"
    own = getattr(type(behaviour), name, None)
    return not isinstance(behaviour, GenServer) or own is not getattr(GenServer, name)


def maker_for(cell: WorkerCell, others: Iterable[Any] = ()) -> Maker | None:
    """Return what makes inputs near to the state of a worker, and to other values."""
    pool = Pool()
    for value in (*others, cell.state):
        pool.add(value)
    return maker_of(cell.behaviour or cell.spec.start, pool)


def remembered(recorder: Recorder, last: int | None = None) -> dict[str, list[Input]]:
    """Return the inputs from outside up to a record, by worker, oldest first."""
    found: dict[str, list[Input]] = {}
    for one in served_in(recorder, last=last, back=True):
        if one.is_input and is_given(one) and type(one.cell) is WorkerCell:
            known = found.setdefault(one.worker, [])
            if len(known) < MOST_REMEMBERED:
                known.append((kind_of(one), one.input))
    return {worker: known[::-1] for worker, known in found.items()}
