"""Going back: what a reload has put away, and what came since, stepped again on the old code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ssm_cli.behaviour.dispatch import callback_of
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.behaviour.standing import check_standing
from ssm_cli.errors import CodeRefused, Forgotten, SsmError, counted
from ssm_cli.history.carrying import Classes
from ssm_cli.history.comparing import Comparison
from ssm_cli.history.counterparts import OtherLoads
from ssm_cli.history.other_code import Clock, Code, own_copy, tried
from ssm_cli.history.records import Served, served_in
from ssm_cli.history.reload.changing import Changing, state_held
from ssm_cli.history.reload.finding import all_workers
from ssm_cli.history.reload.fitting import (
    Carrying,
    Fitting,
    misfit_of,
    need_keepable,
    place_and_fault,
)
from ssm_cli.history.reload.plan import LONG_S, CodePlan, sign_of
from ssm_cli.history.telling import Data, Teller
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.recoding import Recode, former_of
from ssm_cli.runtime.performer.system import STATES
from ssm_cli.spec.afresh import Modules, in_place

OTHER_WAY = "put the old code into its file, and `reload`"


class Undo:
    """What one worker had before a reload.

    Attributes:
        worker: its id.
        number: the record of the reload.
        cell: the worker; `former` is one with the code of before.
        put: the code that the reload has put in its place.
        start, state: its code and its state.
        steps: how many inputs it had served.
    """

    def __init__(self, one: Changing) -> None:
        self.worker, self.cell, self.number = one.worker, one.cell, 0
        self.start, self.state, self.steps = (
            one.cell.spec.start,
            state_held(one.cell),
            one.cell.steps,
        )
        self.put, self.loads = one.start, one.loads.back()
        self.former = former_of(one.cell)
        self.former.behaviour = self.behaviour = one.own
        self.was, self.code = one.was, one.code
        self._carry = one.carry

    def is_there(self, world: World) -> bool:
        """Return whether the worker is in the tree, and has the code that was put in its place."""
        here = world.names.get(self.worker) is self.cell
        return here and callback_of(self.cell.spec.start) is callback_of(self.put)

    def modules(self) -> Modules:
        """Return the modules of before, by their names."""
        return {old.__name__: old for _, old in self.loads.pairs}

    def at_once(self) -> Recode:
        """Return what undoes it before anything was served."""
        detail = {"was": self.code, "code": self.was}
        return Recode(self.start, self.behaviour, self.state, self._carry.back, self.state, detail)


class Undone:
    """What a reload has put away: the workers' code and states, and the modules."""

    def __init__(self, plan: CodePlan) -> None:
        self.workers = [Undo(one) for one in plan.workers]
        self.pools = [(sup, sup.spec.children[0].start, start) for sup, start in plan.pools]
        self.old, self.put_classes = plan.old, plan.classes

    def staying(self, world: World) -> list[str]:
        """Return the workers that began since with the code of the reload, and cannot go back."""
        put = [callback_of(one.put) for one in self.workers]
        put += [callback_of(start) for _, _, start in self.pools]
        known = [one.cell for one in self.workers]
        return [
            str(cell.spec.id) for cell in all_workers(world)
            if callback_of(cell.spec.start) in put and not any(cell is one for one in known)
        ]  # fmt: skip

    def pools_there(self, world: World) -> list[tuple[str, Any]]:
        """Return the pools whose children to come have the code of the reload, and that of before.

        Not those that are gone, or have another template by now.
        """
        return [
            (sup.spec.id, old) for sup, old, put in self.pools
            if world.names.get(sup.spec.id) is sup and sup.spec.children[0].start is put
        ]  # fmt: skip


class Back:
    """One worker on its way back to the code of before.

    Attributes:
        waiting, unfit: how many inputs wait for it, and how many of them that code does not take.
        number: the record of the way back, once that was taken.

    Args:
        former: what the code that has served since has put in the place of classes, as of
            `OtherLoads`.

    Raises:
        Forgotten: not all of its inputs since are remembered.
        CodeRefused: to step them again takes too long; or its state could not be kept, or the old
            code cannot go on from it.
    """

    def __init__(
        self, undo: Undo, world: World, instant: Any, clock: Clock, until_s: float,
        *, former: Sequence[Classes],
    ) -> None:  # fmt: skip
        self.undo, self.worker, self.number = undo, undo.worker, 0
        loads = self._loads = OtherLoads(undo.loads.pairs, former, is_back=True)
        self._code = Code(undo.behaviour, clock, loads.classes, lost=loads.lost)
        self._comparison: Comparison | None = None
        self._runs, recorder = Again(tried(undo.cell.spec)), world.history
        self._carry = Carrying(self._code, self._runs)
        self._present = undo.cell.spec.start, undo.cell.behaviour, state_held(undo.cell)
        self._state = own_copy(undo.state)
        if recorder is not None:
            teller = Teller(recorder)
            self._comparison = Comparison(teller, instant, self._code, undo.former, states=False)
        since = since_of(recorder, undo)
        self._lives = True
        for one in since:
            if clock() > until_s:
                raise CodeRefused(
                    f"{undo.worker} has served {counted(len(since), 'input')} since, and to step "
                    f"them again takes longer than {LONG_S:g} s: {OTHER_WAY}"
                )
            self._step(one)
        with loads.in_place():
            self._sound(self._judged)
            need_keepable(world, undo.cell, undo.former, self._state)
        fitting = Fitting(undo.former, self._carry, loads, self._runs)
        self.waiting, self.unfit = fitting.counted(world, undo.cell)

    def _step(self, one: Served) -> None:
        if one.is_input and self._comparison is not None:
            now = self._comparison.add(one, self._state, own=True)
            if now is None:
                why = self._comparison.cause or f"the input of record {one.record} is not kept"
                raise CodeRefused(f"{self.worker} cannot go back: {why}; {OTHER_WAY}")
            raised = isinstance(now, BaseException)
            self._state = self._state if raised else now.state
            self._lives = raised or one.outcome != "crashed"
        elif one.how == "start" and not self._lives:
            self._lives = True  # the old code has not crashed there
        elif one.how in (*STATES, "start") and one.after is not NOTHING:
            self._state = self._sound(lambda: self._code.state_of(own_copy(one.after)))

    def _judged(self) -> None:
        """Raise where the old code cannot go on from the state, which was one that it could."""
        undo = self.undo
        check_standing(undo.behaviour, self._state)
        wrong = misfit_of(undo.cell, undo.behaviour, self._state)
        if wrong is not None and misfit_of(undo.cell, undo.behaviour, undo.state) is None:
            raise CodeRefused(place_and_fault(wrong))

    def _sound(self, call: Callable[[], Any]) -> Any:
        """Return what a look at its state gives, or refuse it as none of the old code."""
        try:
            return self._runs.step(call)
        except BaseException as error:
            said = self._runs.said(error, tried=True)
            name = "" if isinstance(error, CodeRefused) else f"{type(error).__name__}: "
            what = f"{self.worker}: its state cannot go on under the old code"
            raise CodeRefused(f"{what}: {name}{said}; {OTHER_WAY}") from error

    @property
    def differs(self) -> bool:
        """Whether something was answered that the old code answers differently, or does not fit."""
        return bool(self.unfit) or (self._comparison is not None and self._comparison.differs)

    def recode(self) -> Recode:
        """Return what the node is to do."""
        undo = self.undo
        detail = {"was": undo.code, "code": undo.was, "back": True}
        before = self._carry(undo.cell.state)
        return Recode(undo.start, undo.behaviour, self._state, self._carry, before, detail)

    def at_once(self) -> Recode:
        """Return what undoes that before anything was served."""
        start, behaviour, state = self._present
        detail = {"was": self.undo.was, "code": self.undo.code}
        return Recode(start, behaviour, state, self._carry.back, state, detail)

    def told(self) -> Data:
        """Return what was found, as data."""
        undo, made = self.undo, self._comparison
        found = Comparison.nothing() if made is None else made.told()
        return {"worker": self.worker, "was": undo.code, "code": undo.was,
                "waiting": self.waiting, "unfit": self.unfit, "left": 0, **found}  # fmt: skip


def exchange(
    node: Node, modules: Modules, pairs: Iterable[tuple[Changing | Back, Undo | Back]]
) -> None:
    """Have workers go on with other code, all or none of them.

    Each comes with what undoes it, which is told the record of it. The code is of `modules`, which
    are found by their names meanwhile: what is kept of a worker names its classes.

    Raises:
        SsmError: one of them cannot be; the others are as they were.
    """
    done: list[Undo | Back] = []
    try:
        with in_place(modules):
            for one, back in pairs:
                node.recode(one.worker, one.recode())
                back.number = node.record
                done.append(back)
    except SsmError:
        for back in reversed(done):
            node.recode(back.worker, back.at_once())
        raise


def told_back(backs: list[Back], staying: list[str]) -> Data:
    """Return what going back comes to, as data; `staying` are those that cannot."""
    workers = [one.told() for one in backs]
    differs = bool(staying) or any(one.differs for one in backs)
    sign = sign_of(staying, workers)
    return {"modules": [], "workers": workers, "staying": staying, "differs": differs, "plan": sign}


def since_of(recorder: Recorder | None, undo: Undo) -> list[Served]:
    """Return what a worker has served since a reload, and its starts, in order.

    Whatever code it had: other reloads may have come since, and have been taken back.

    Raises:
        Forgotten: not all of it is remembered.
    """
    served = undo.cell.steps - undo.steps
    first = None if recorder is None or not recorder.ring else recorder.ring[0][0]
    if served and (first is None or first > undo.number):
        raise Forgotten(
            f"{undo.worker} has served {counted(served, 'input')} since the reload, which is "
            f"record {undo.number:,}, and {_kept(first)} (`--history N`): {OTHER_WAY}"
        )
    if recorder is None:
        return []
    ones = served_in(recorder, undo.number, worker=undo.worker)
    return [one for one in ones if one.how != "reload"]


def each_once(classes: Iterable[Classes]) -> list[Classes]:
    """Return those that differ; all workers of a reload have the same, but those left behind."""
    found: list[Classes] = []
    for one in classes:
        if one not in found:
            found.append(one)
    return found


def _kept(first: int | None) -> str:
    """Return from where on is remembered what came to a worker."""
    return "nothing is remembered" if first is None else f"only records from {first:,} on are kept"
