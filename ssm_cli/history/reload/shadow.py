"""Shadows: other code that gets what a worker gets, and whose answers reach nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ssm_cli.behaviour.dispatch import callback_of
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import CodeRefused, CommandError, StepTimeout
from ssm_cli.history.comparing import Comparison, Raised
from ssm_cli.history.counterparts import OtherLoads
from ssm_cli.history.other_code import Clock, Code, other_code
from ssm_cli.history.records import Served, served_in
from ssm_cli.history.reload.plan import CodePlan, sign_of
from ssm_cli.history.telling import Data, Teller
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.system import STATES
from ssm_cli.spec.afresh import file_of

SHADOWED = 1000  # inputs, unless somebody wants more or fewer
MOST_SHADOWED = 1_000_000
SHARE = 0.1  # of the time that passes, which a shadow takes
AT_ONCE_S = 2.0  # that it takes at once, at most, where it has taken less than its share before


class Ration:
    """How much time may be taken: a share of what passes, and so much at once.

    Used as a context manager, it counts what is taken.
    """

    def __init__(self, clock: Clock, share: float = SHARE, most_s: float = AT_ONCE_S) -> None:
        self._clock, self._share, self._most_s = clock, share, most_s
        self._left_s, self._at_s = most_s, clock()

    def __enter__(self) -> None:
        """Begin to count."""
        now_s = self._clock()
        more_s = self._share * (now_s - self._at_s)
        self._left_s, self._at_s = min(self._most_s, self._left_s + more_s), now_s

    def is_over(self) -> bool:
        """Return whether all that may be taken now is taken."""
        return self._clock() - self._at_s >= self._left_s

    def __exit__(self, *_: object) -> None:
        """Count what was taken."""
        now_s = self._clock()
        self._left_s, self._at_s = self._left_s - (now_s - self._at_s), now_s


def loaded(file: str, world: World, cell: WorkerCell) -> ModuleType:
    """Return the module of a file, loaded within the limit of an `init` of a worker.

    Raises:
        CodeRefused: it cannot be loaded.
    """
    try:
        made: ModuleType = other_code(file, world, cell.spec.id)
    except CommandError as error:
        raise CodeRefused(str(error)) from error
    return made


class Shadow:
    """Other code for one worker, with a state of its own.

    It takes what the node remembers, so that a call takes no longer for it: when it is asked for,
    and now and then as the node goes on (`Recorder.readers`).

    Args:
        world: the node's.
        cell: the worker, which runs.
        file: the file with the other code.
        wanted: for how many inputs.
        instant: writes a time.
        clock: measures steps.

    Raises:
        CodeRefused: the code cannot be loaded, or the worker cannot go on with it; the node
            remembers nothing.
    """

    def __init__(  # noqa: PLR0917 - what it is of, and for how long
        self, world: World, cell: WorkerCell, file: str, wanted: int, instant: Any, clock: Clock
    ) -> None:
        if not 0 < wanted <= MOST_SHADOWED:
            raise CommandError(f"--for takes 1 to {MOST_SHADOWED:,} inputs, not {wanted}")
        if world.history is None:
            raise CodeRefused("a shadow needs the inputs that are remembered: `--history N`")
        self.recorder: Recorder = world.history
        self.file, self._wanted = file, wanted
        self._cell, self._own = cell, cell.behaviour
        self._home = sys.modules[callback_of(cell.behaviour).__module__]
        self._module = loaded(file, world, cell)
        made = self._changing = self.plan_of(world, clock).workers[0]
        self._code = Code(made.behaviour, clock, made.loads.classes)
        self._comparison = Comparison(
            Teller(self.recorder), instant, self._code, made.there, clock, states=not made.turns
        )
        self._state, self._at, self._lives = made.state, self.recorder.last(), True
        self._seen = 0  # starts and ends behind that record, which have no number of their own
        self._ration = Ration(clock)
        self._missed, self._why = 0, ""

    def is_own_file(self) -> bool:
        """Return whether the other code stands in the file of the worker's own module."""
        return Path(file_of(self._home)).resolve() == Path(self.file).resolve()

    def plan_of(self, world: World, clock: Clock) -> CodePlan:
        """Return the plan of going on with the other code."""
        loads = OtherLoads([(self._home, self._module)])
        return CodePlan(world, {self._module.__name__: self._module}, loads, [self._cell], clock)

    def plan(self, world: World, clock: Clock) -> CodePlan:
        """Return the plan of promoting the other code.

        Raises:
            CodeRefused: the worker is durable, or has other code by now.
        """
        if kept_of(self._cell) is not None:
            raise CodeRefused(
                f"{self._cell.spec.id} is durable, and its journal names its code's own file: put "
                f"the new code there, and `reload {self._cell.spec.id}`"
            )
        if self._cell.behaviour is not self._own:
            raise CodeRefused(f"the code of {self._cell.spec.id} has changed since; begin anew")
        made = self.plan_of(world, clock)
        made.look_at_queues()
        return made

    def sign(self, made: CodePlan) -> str:
        """Return what stands for promoting it: the plan, and how it has come out so far."""
        parts = [made.sign(), self._why, "missed" * bool(self._missed)]
        return sign_of(parts, [{**self.told(), "unfit": 0}])

    @property
    def over(self) -> bool:
        """Whether it has compared as many inputs as were wanted, or cannot go on."""
        return self._comparison.total >= self._wanted or bool(self._why)

    @property
    def clean(self) -> bool:
        """Whether it has compared as many as were wanted, and none differs."""
        enough = self._comparison.total >= self._wanted
        return enough and not self._comparison.differs and not self._missed

    def catch_up(self) -> None:
        """Step what was served since, up to as many inputs as are wanted, as time is left for it.

        What is left waits for the next time.
        """
        ring = self.recorder.ring
        if self.over or not ring or self.recorder.last() == self._at:
            return
        if self._cell.behaviour is not self._own:
            self._why = "the code of the worker has changed"
            return
        with self._ration:
            self._take()

    def _take(self) -> None:
        jumps = self._forgotten()
        for one in self._since():
            if one.is_input and self._ration.is_over():
                return
            if one.is_input and jumps:
                self._missed, jumps = self._missed + jumps, 0
                self._state = self._code.state_of(one.before)
            self._step(one)
            self._seen = 0 if one.record != self._at else self._seen
            self._at, self._seen = one.record, self._seen + (not one.numbered)
            if self.over:
                return
        if self._at != self.recorder.last():
            self._at, self._seen = self.recorder.last(), 0

    def _since(self) -> Iterator[Served]:
        """Yield what the worker has served, and its starts, behind what was looked at."""
        at, seen = self._at, self._seen
        for one in served_in(self.recorder, at, worker=self._cell.spec.id):
            if one.cell is not self._cell:
                continue
            if one.record > at:
                yield one
            elif not one.numbered:
                seen -= 1
                if seen < 0:
                    yield one

    def _step(self, one: Served) -> None:
        if one.is_input:
            now = self._comparison.add(one, self._state, own=True)
            if now is None:
                self._why = self._comparison.cause or "the input is not kept"
                return
            raised = isinstance(now, BaseException)
            if isinstance(now, Raised) and isinstance(now.error, StepTimeout):
                self._why = "a step of the other code ran longer than one may (`step_timeout`)"
            self._lives = raised or one.outcome != "crashed"
            self._state = self._state if raised else now.state
        elif one.how == "start" and not self._lives:
            self._lives = True  # the other code has not crashed there
        elif one.how in (*STATES, "start") and one.after is not NOTHING:
            self._state = self._changing.carry(one.after)

    def _forgotten(self) -> int:
        """Return how many records are forgotten behind the last one that was looked at."""
        ring = self.recorder.ring
        return max(0, ring[0][0] - self._at - 1) if ring and not self.over else 0

    def _left(self) -> int:
        """Return how many inputs wait to be compared."""
        return 0 if self.over else sum(one.is_input for one in self._since())

    def told(self) -> Data:
        """Return how far it is, as data."""
        return {
            "worker": self._cell.spec.id, "file": self.file, "wanted": self._wanted,
            "was": self._changing.was, "code": self._changing.code, "clean": self.clean,
            "over": self.over, "missed": self._missed + self._forgotten(), "why": self._why,
            "left": self._left(), **self._comparison.told(),
        }  # fmt: skip
