"""One worker under other code: what it would go on with, and how what it remembers comes out."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, behaviour_of, callback_of
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.results import Error, Ok
from ssm_cli.behaviour.standing import check_standing
from ssm_cli.behaviour.visible import code_changed
from ssm_cli.errors import CodeRefused, SsmError, a_or_an
from ssm_cli.history.comparing import Comparison
from ssm_cli.history.counterparts import OtherLoads
from ssm_cli.history.other_code import Clock, Code, tried
from ssm_cli.history.records import Served, served_in
from ssm_cli.history.reload.fitting import (
    Carrying,
    Fitting,
    misfit_of,
    need_keepable,
    place_and_fault,
)
from ssm_cli.history.telling import Data, Teller
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.code import digest_of
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.durable.recoded import values_for
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.recoding import Recode, bare_cell
from ssm_cli.spec.judge import judged_alone
from ssm_cli.spec.model import WorkerSpec

UNDER_NEW = "its state cannot go on under the new code"
SLOW = 2.0  # times as slow, from which on it is asked


class Changing:
    """A worker, and the code that it may go on with. Nothing is changed by it.

    Args:
        world: the node's.
        cell: the worker.
        loads: as below.
        clock: measures steps.

    Attributes:
        start, behaviour: the other code, as a child spec names it, and made.
        there: a cell of that code, in no tree.
        untried: whether it was to be rehearsed, and no input was.
        loads: the modules in use, each with the one in its place.
        was, code: digests of the modules of both.
        state: what it would go on with.

    Raises:
        CodeRefused: it cannot go on with that code; says why.
    """

    def __init__(self, world: World, cell: WorkerCell, loads: OtherLoads, clock: Clock) -> None:
        self.world, self.cell, self._clock, self.loads = world, cell, clock, loads
        start = self.start = other_start(loads, cell.spec)
        self.own = cell.behaviour if cell.behaviour is not None else behaviour_of(cell.spec.start)
        self._runs = Again(tried(cell.spec))
        self.comparison: Comparison | None = None
        self.waiting, self.unfit, self.left, self.untried = 0, 0, 0, False
        with loads.in_place():
            self.behaviour: Behaviour = self._sound(start)
            self.there = bare_cell(msgspec.structs.replace(cell.spec, start=start), self.behaviour)
            self.was, self.code = (digest_of(callback_of(one)) for one in (self.own, start))
            self.carry = Carrying(self._code(), self._runs)
            self.state = self._turned()
            need_keepable(world, cell, self.there, self.state, turned=self.turns)
            wrong = self._runs.revive(misfit_of, cell, self.behaviour, self.state)
        if wrong is not None and self._runs.revive(misfit_of, cell, self.own, cell.state) is None:
            raise self._refused(UNDER_NEW, CodeRefused(place_and_fault(wrong)), self._way_out())

    @property
    def worker(self) -> str:
        """Its name."""
        return str(self.cell.spec.id)

    @property
    def differs(self) -> bool:
        """Whether something comes out differently, or much slower, or waits that does not fit.

        What is remembered and could not be rehearsed may come out so, all of it.
        """
        told = self.told()
        known = told["same"] == told["total"] and told["slower"] < SLOW
        return bool(self.unfit) or not known or is_untried(told)

    def told(self) -> Data:
        """Return what was found, as data."""
        found: Data = {"worker": self.worker, "was": self.was, "code": self.code}
        found |= {"waiting": self.waiting, "unfit": self.unfit, "left": self.left}
        return found | (Comparison.nothing() if self.comparison is None else self.comparison.told())

    def rehearse(self, recorder: Recorder, instant: Any, last: int, until_s: float) -> None:
        """Step the last inputs that are remembered of it on the other code, and look at the queue.

        Args:
            recorder: what is remembered.
            instant: writes a time.
            last: how many inputs at most.
            until_s: when to leave off.
        """
        comparison = self.comparison = Comparison(
            Teller(recorder), instant, self._code(), self.there, self._clock
        )
        ones = last_served(recorder, self.cell, last)
        for one in ones[::-1]:  # what came last counts most
            if self._clock() > until_s:
                break
            comparison.add(one)
        self.left = len(ones) - comparison.total - comparison.unknown
        self.untried = not comparison.total

    def look_at_queue(self) -> None:
        """Count what waits for it, and what of that the other code does not take."""
        fitting = Fitting(self.there, self.carry, self.loads, self._runs)
        self.waiting, self.unfit = fitting.counted(self.world, self.cell)

    def recode(self) -> Recode:
        """Return what the node is to do."""
        detail: dict[str, Any] = {"was": self.was, "code": self.code}
        detail |= {"untried": True} if self.untried else {}
        before = self.cell.state if self.turns else self.state
        return Recode(self.start, self.behaviour, self.state, self.carry, before, detail)

    # -- inside --------------------------------------------------------------------------------

    @property
    def turns(self) -> bool:
        """Whether its states are turned by `code_change`: the versions differ."""
        return bool(self.own.version != self.behaviour.version)

    def _code(self) -> Code:
        turn = self._change_code if self.turns else None
        return Code(self.behaviour, self._clock, self.loads.classes, turn, self.loads.lost)

    def _change_code(self, state: Any) -> Any:
        kept = kept_of(self.cell)
        if kept is not None and not has_code_change(self.behaviour):  # as at a start
            keeper = self.world.outside.keeper
            values = values_for(keeper, kept, self.behaviour, codec_of(self.there))
            return values.revive(kept.values.dump(state), kept.values.code)
        result = code_changed(self.behaviour, self.own.version, state, None)
        if isinstance(result, Ok):
            return result.state
        if isinstance(result, Error):
            raise CodeRefused(f"code_change refused: {result.reason}")
        raise CodeRefused(f"code_change answered {type(result).__name__}; expected Ok or Error")

    def _sound(self, start: Any) -> Behaviour:
        spec = msgspec.structs.replace(self.cell.spec, start=start)
        own_name = spec.id.partition(":")[0]  # the name of a pool's child is none to be given
        try:
            refusal = self._runs.revive(judged_alone, msgspec.structs.replace(spec, id=own_name))
            made: Any = None if refusal else self._runs.revive(behaviour_of, start)
            if made is not None:
                codec_of(bare_cell(spec, made))
        except BaseException as error:
            raise self._refused("its code cannot be used", error) from error
        if refusal is not None:
            raise CodeRefused(f"{self.worker}: {'; '.join(refusal.complaints)}")
        old, new = kind_of_code(self.own), kind_of_code(made)
        if new != old:
            raise CodeRefused(
                f"{self.worker} was {a_or_an(old)} and would be {a_or_an(new)}:"
                f" its state is of another form; start the tree anew with that"
            )
        sound: Behaviour = made
        return sound

    def _turned(self) -> Any:
        state = state_held(self.cell)
        if state is None and self.cell.status is not CellStatus.RUNNING:
            return None
        try:
            turned = self._runs.revive(self._code().state_of, state)
            self._runs.step(check_standing, self.behaviour, turned)
        except BaseException as error:
            raise self._refused(UNDER_NEW, error, self._way_out()) from error
        return turned

    def _way_out(self) -> str:
        """Return what makes a state one of the new code."""
        durable = kept_of(self.cell) is not None
        ways = "`migrate` or `code_change`" if durable else "`code_change`"
        if not self.turns:
            return f"give its code another `version` and a {ways}, or new fields defaults"
        if durable or has_code_change(self.behaviour):
            return f"mend its {ways}"
        return f"give its code a {ways}"

    def _refused(self, what: str, error: BaseException, how: str = "") -> CodeRefused:
        """Return the error for user code that raises; what comes from outside is raised again."""
        said = str(error) if isinstance(error, SsmError) else self._runs.said(error, tried=True)
        name = "" if isinstance(error, CodeRefused) else f"{type(error).__name__}: "
        hint = f"; {how}" if how else ""
        return CodeRefused(f"{self.worker}: {what}: {name}{said}{hint}")


def other_start(loads: OtherLoads, spec: WorkerSpec) -> Any:
    """Return what other loads have in the place of a worker's code.

    Raises:
        CodeRefused: they have nothing; says whose it is.
    """
    try:
        return loads.other(spec.start)
    except CodeRefused as error:
        raise CodeRefused(f"{spec.id}: {error}") from error


def is_untried(told: Data) -> bool:
    """Return whether inputs are remembered of a worker, and none of them could be rehearsed."""
    return bool(told["left"] or told["unknown"]) and not told["total"]


def kind_of_code(behaviour: Any) -> str:
    """Return what kind of worker a behaviour is: `StateMachine`, `GenServer`, ..."""
    for kind in type(behaviour).__mro__:
        if kind.__module__.startswith("ssm_cli.behaviour."):
            return kind.__name__
    return type(behaviour).__name__


def has_code_change(behaviour: Any) -> bool:
    """Return whether code turns states of another version while it runs; handlers do it each."""
    if isinstance(behaviour, Event):
        return True
    own = behaviour.code_change
    return own is not None and not str(own.__module__).startswith("ssm_cli.behaviour.")


def state_held(cell: WorkerCell) -> Any:
    """Return the state of a worker; of one that is not running, what is kept of it."""
    kept = None if cell.extra is None else cell.extra.kept
    runs = cell.status is CellStatus.RUNNING
    return kept.last if kept is not None and kept.has and not runs else cell.state


def last_served(recorder: Recorder, cell: WorkerCell, last: int) -> list[Served]:
    """Return the last inputs that a worker has served, oldest first: with code of its version."""
    ones = served_in(recorder, worker=cell.spec.id, back=True)
    found = itertools.takewhile(lambda one: code_version(one.cell) == code_version(cell), ones)
    return [*itertools.islice((one for one in found if one.is_input), last)][::-1]


def code_version(cell: WorkerCell) -> Any:
    """Return the version of a worker's code."""
    return getattr(cell.behaviour, "version", None)
