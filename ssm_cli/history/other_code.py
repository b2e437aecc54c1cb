"""Other code: what a file has in the place of the code of workers; forks that are stepped by it.

The file is loaded beside the module that it stands for, so that both have classes of the same
names. A worker keeps its own: its inputs and states are carried to those of the file for each step,
and what comes of it is carried back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Kind, Outcome, advance, behaviour_of, callback_of
from ssm_cli.behaviour.partition import label_of
from ssm_cli.behaviour.results import NOTHING, Caller, Ok
from ssm_cli.behaviour.state_loop import InState
from ssm_cli.errors import CommandError, message_of
from ssm_cli.history.carrying import NONE, Classes, Lost, carried, classes_of, put_attribute
from ssm_cli.history.counterparts import counterpart
from ssm_cli.runtime.durable.again import Again, with_limits
from ssm_cli.runtime.engine.cell import WorkerCell, replan
from ssm_cli.runtime.engine.guard import INIT, STEP
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_raised_by_code
from ssm_cli.runtime.performer.forks import left_to, own_answer
from ssm_cli.spec.importing import load_apart
from ssm_cli.spec.model import WorkerSpec

Clock = Callable[[], float]
Turn = Callable[[Any], Any]
TRIED_STEP_S = 2.0  # that a step of code that is only tried takes, whatever the limit of its worker
TRIED_LOAD_S = 30.0  # the same, to load it


class Code:
    """What a worker is stepped with: its own code, or other code for it.

    Args:
        behaviour: the code.
        clock: measures its steps.
        classes: of the worker, each with the one of that code that takes its place.
        turn: what is made of a state, as it was, before it is carried (`code_change`).
        lost: what no class of that code takes the place of: no state may hold it.

    Attributes:
        spent_s: what its steps took, without what else is done to values.
    """

    def __init__(
        self,
        behaviour: Any,
        clock: Clock = float,
        classes: Classes | None = None,
        turn: Turn | None = None,
        lost: Lost = NONE,
    ) -> None:
        self.spent_s, self._clock = 0.0, clock
        self.behaviour, self.classes, self._turn = behaviour, classes or {}, turn
        self._lost = lost
        self._is_server = isinstance(behaviour, Callbacks)

    @property
    def is_own(self) -> bool:
        """Whether values of the worker are of this code as they are."""
        return not self.classes and self._turn is None

    def carried(self, value: Any) -> Any:
        """Return a value in the classes of this code."""
        return carried(value, self.classes)

    def held(self, value: Any) -> Any:
        """Return the same of what goes on under this code.

        Raises:
            CodeRefused: it holds what is `lost`.
        """
        return carried(value, self.classes, self._lost)

    def effect(self, effect: Any) -> Any:
        """Return an effect whose parts, functions too, are of this code."""
        fields = getattr(effect, "__struct_fields__", ())
        if not self.classes or not fields:
            return effect
        parts = self.carried([getattr(effect, name) for name in fields])
        made = copy(effect)
        for name, part in zip(fields, parts, strict=True):
            put_attribute(made, name, part)
        return made

    def state_of(self, state: Any) -> Any:
        """Return a state of the worker as one of this code.

        Raises:
            CodeRefused: it holds what is `lost`; of a `Statem` what waits in it may.
        """
        turned = state if self._turn is None else self._turn(own_copy(state))
        if type(turned) is not InState:
            return self.held(turned)
        self.held((turned.state, turned.data, turned.modules))
        return self.carried(turned)

    def step(self, kind: Kind, message: Any, state: Any, caller: Caller | None = None) -> Outcome:
        """Return the outcome of a step; input, state and outcome are of this code."""
        if caller is None and self._is_server and kind is Kind.CALL:
            caller = Caller(0, [])
        begun_s = self._clock()
        try:
            return advance(self.behaviour, kind, message, caller, state)
        finally:
            self.spent_s += self._clock() - begun_s


class Beside:
    """A worker stepped by the code of a file; all that goes in and comes out is of its classes."""

    def __init__(self, own: Any, module: Any) -> None:
        self._there = code_in(module, own)
        self._here = Code(own, classes={new: old for old, new in self._there.classes.items()})

    def init(self, name: str, args: Any) -> Any:
        """Return what `init` answers."""
        init = self._there.behaviour.init
        answer = None if init is None else init(name, args)
        if type(answer) is Ok:
            return msgspec.structs.replace(answer, state=self._here.carried(answer.state))
        return self._here.carried(answer)

    def step(self, kind: Kind, message: Any, state: Any, caller: Caller | None) -> Outcome:
        """Return the outcome of a step."""
        message, state = (self._there.carried(value) for value in (message, state))
        outcome = self._there.step(kind, message, state, caller)
        state, reply = (self._here.carried(value) for value in (outcome.state, outcome.reply))
        effects = [self._here.effect(effect) for effect in outcome.effects]
        return msgspec.structs.replace(outcome, state=state, reply=reply, effects=effects)


class Replaced:
    """A world whose workers are stepped by the code of a file, where that is of the same name.

    Args:
        world: of a fork.
        module: what was loaded of the file.

    Raises:
        CommandError: no worker has its code in a file of that name, or the file lacks it.
    """

    def __init__(self, world: World, module: Any) -> None:
        self._world, self._module = world, module
        self._codes: dict[Any, Beside | None] = {}
        cells = [cell for cell in world.names.values() if type(cell) is WorkerCell]
        found = [cell for cell in cells if self._code(cell.behaviour or cell.spec.start)]
        if not found:
            name = Path(module.__file__).name
            raise CommandError(f"no worker has its code in a file that is called {name}")
        world.outside.advance, world.outside.init = self._advance, self._init
        for cell in found:
            cell.ensure_extra().checked = True  # so that each input comes by here
            replan(cell)

    def _code(self, behaviour: Any) -> Beside | None:
        """Return the code of the file for a worker; None where it is of another file."""
        callback = callback_of(behaviour)
        if callback not in self._codes:
            home = sys.modules.get(getattr(callback, "__module__", ""))
            same_name = Path(getattr(home, "__file__", "") or "").name
            is_of_it = same_name == Path(self._module.__file__).name
            self._codes[callback] = Beside(behaviour, self._module) if is_of_it else None
        return self._codes[callback]

    def _advance(
        self, behaviour: Any, kind: Kind, message: Any, caller: Caller | None, state: Any
    ) -> Outcome:
        code = self._code(behaviour)
        if code is None:
            return advance(behaviour, kind, message, caller, state)
        return code.step(kind, message, state, caller)

    def _init(self, name: str, *args: Any) -> Any:
        cell = self._world.names[name]
        if isinstance(cell, WorkerCell) and (code := self._code(cell.behaviour)) is not None:
            left = left_to(cell)
            return code.init(label_of(name), *args) if left is NOTHING else left
        return own_answer(self._world, name, *args)


def tried(spec: WorkerSpec) -> WorkerSpec:
    """Return a spec whose limits end whatever its code does: for code that is only tried."""
    cell = WorkerCell(spec)
    step_s, load_s = min(cell.limit_s(STEP), TRIED_STEP_S), min(cell.limit_s(INIT), TRIED_LOAD_S)
    return with_limits(spec, step_s, load_s)


def other_code(file: str, world: World, worker: str = "") -> Any:
    """Return the module of a file, loaded anew, within the limit of an `init` of its worker.

    Args:
        file: where it stands.
        world: of the tree that it is tried in.
        worker: for which it is; "" or a name that nobody has: the one that may take longest.

    Raises:
        CommandError: it cannot be loaded; says what it raised.
    """
    path = Path(file)
    if not path.is_file():
        raise CommandError(f"{file}: there is no such file of Python code")
    workers = {name: c for name, c in world.names.items() if isinstance(c, WorkerCell)}
    cells = [workers[worker]] if worker in workers else [*workers.values()]
    slowest = max(cells, key=lambda cell: cell.limit_s(INIT), default=None)
    runs = Again(None if slowest is None else tried(slowest.spec))
    try:
        return runs.revive(load_apart, path)
    except BaseException as error:
        if runs.is_from_outside(error) and not is_raised_by_code(error):
            raise
        kind, said = type(error).__name__, message_of(error)[:500]
        raise CommandError(f"{file} cannot be loaded: {kind}: {said}") from error


def code_in(module: Any, own: Any, clock: Clock = float) -> Code:
    """Return what a module has in the place of a worker's own code.

    Raises:
        CommandError: it has nothing of that name.
    """
    home = home_of(own, module)
    behaviour = behaviour_of(counterpart(own, [(home, module)]))
    return Code(behaviour, clock, classes_of(home, module))


def home_of(own: Any, otherwise: Any) -> Any:
    """Return the module that a worker's code is of, in use or not any more: what it held."""
    callback = callback_of(own)
    name = getattr(callback, "__module__", "")
    module = sys.modules.get(name, otherwise)
    parts = vars(callback).values() if isinstance(callback, type) else (callback,)
    functions = (part for part in parts if isinstance(part, FunctionType))
    held = next((part.__globals__ for part in functions if part.__module__ == name), vars(module))
    return module if held is vars(module) else SimpleNamespace(**held)


def code_of(cell: WorkerCell) -> Any:
    """Return the code of a worker, made, whether it has run or not."""
    own = cell.behaviour or cell.spec.start
    return own() if isinstance(own, type) else own


def own_copy(state: Any) -> Any:
    """Return a copy of a state, for code that may change it in place; itself if it has none."""
    try:
        return deepcopy(state)
    except Exception:  # noqa: BLE001 - a lock, a socket: the worker has but one of it
        return state
