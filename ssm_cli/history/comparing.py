"""Comparing: records stepped again, on the code that runs or on other code, and what differs.

Other code has classes of its own. What was served is carried to those, stepped there, and compared
there with what it had come to, carried as well: a field that only one of them has is no difference
by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from types import FunctionType
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.results import NOTHING, Exited, reason_for
from ssm_cli.behaviour.sizes import AsText
from ssm_cli.history.changes import change_record, changes, same
from ssm_cli.history.other_code import Clock, Code, code_of, tried
from ssm_cli.history.records import NOT_KEPT, Served
from ssm_cli.history.telling import Data, Teller
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.code import lasting_name
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.outside import is_raised_by_code

SAME, OUTPUT, STATE, EFFECTS = "same", "output", "state", "effects"
CRASHES, MENDED = "crashes", "mended"
KINDS = (SAME, OUTPUT, STATE, EFFECTS, CRASHES, MENDED)
READ = (Kind.CALL, Kind.CAST)  # what comes as text, as a rule
LEAST_S = 0.05  # that the steps take, before one speed is compared with another
TIMED = 1000  # records of a worker that are stepped on both codes, to compare the speed
MOST_CHANGES = 10  # that are told of the first record of a kind


class Comparison:
    """How the records of one worker come out on some code.

    Args:
        code: what they are stepped on.
        cell: of that code, by which its values are shown; None: it is the code of the records.
        clock: measures the code that has served the records as well; None: speeds are not compared.
        states: whether states are compared, and not only what is answered and asked for.

    Attributes:
        found: how many records there are of each kind.
        unknown: how many were not stepped: their input or state is kept as text alone, or cannot be
            copied.
        cause: why one of those cannot be, "" where none is among them.
        firsts: the first record of each kind but `same`, with what it would be.
    """

    def __init__(
        self, teller: Teller, instant: Any, code: Code,
        cell: WorkerCell | None = None, clock: Clock | None = None, *, states: bool = True,
    ) -> None:  # fmt: skip
        self._teller, self._instant, self._code = teller, instant, code
        self._cell, self._clock, self._states = cell, clock, states
        self._was: dict[tuple[int, bool], Code] = {}
        self._timed_s, self.unknown, self.cause = 0.0, 0, ""
        self._runs: dict[int, Again] = {}
        self._left: tuple[Any, Any] = (NOTHING, NOTHING)
        self.found: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.firsts: list[Data] = []

    @staticmethod
    def nothing() -> Data:
        """Return what is told where no record was stepped."""
        return {"total": 0, **dict.fromkeys(KINDS, 0), "unknown": 0, "cause": "", "firsts": [],
                "slower": 1.0}  # fmt: skip

    @property
    def total(self) -> int:
        """How many records were stepped."""
        return sum(self.found.values())

    @property
    def differs(self) -> bool:
        """Whether one of them has come out differently."""
        return self.found[SAME] != self.total

    @property
    def spent_s(self) -> tuple[float, float]:
        """What steps of both took: on the code, and on the code that has served the records."""
        return self._timed_s, sum(code.spent_s for code in self._was.values())

    def told(self) -> Data:
        """Return all of it as data."""
        firsts = sorted(self.firsts, key=lambda first: first["record"]["record"])
        told = {"total": self.total, **self.found, "unknown": self.unknown, "cause": self.cause}
        return {**told, "firsts": firsts, "slower": slowness([self])}

    def add(self, one: Served, state: Any = None, *, own: bool = False) -> Any:
        """Step a record on the code, from its own state or (`own`) from `state` of that code.

        Returns:
            The outcome, or what was raised; None for one that is not stepped (`unknown`).
        """
        if type(one.input) is AsText or (type(one.before) is AsText and not own):
            self.unknown += 1
            return None
        then: Any = None
        begun_s = self._code.spent_s
        try:
            if self._states:
                then = self._here(one, self._code.state_of, one.after)
            message, before = self._own(one, state, own=own)
            now = self._step(one, lambda: self._code.step(kind_of(one), message, before))
        except Uncopied as error:
            self.unknown, self.cause = self.unknown + 1, self.cause or str(error)
            return None
        except Exception as error:  # noqa: BLE001 - what user code raises is what is looked for
            now = error
        one = self._known(one, now, begun_s)
        kind = self._kind(one, now, then)
        goes_on = kind == SAME and self._states and isinstance(now, Outcome)
        self._left = (one.after, now.state) if goes_on else (NOTHING, NOTHING)
        self.found[kind] += 1
        if kind != SAME and self._is_first(kind, one):
            told = self._first(one, kind, now, then)
            self.firsts = [first for first in self.firsts if first["kind"] != kind] + [told]
        return now

    def _own(self, one: Served, state: Any, *, own: bool) -> tuple[Any, Any]:
        """Return the input and the state of a record, of the code, which may change them in place.

        What the record before has left here is the state of this one, where it left the same there.
        """
        known, left = self._left
        message = self._copied(one, "input")
        if own:
            before = state
        elif known is one.before and known is not NOTHING:
            before = left
        else:
            before = self._here(one, self._code.state_of, self._copied(one, "before"))
        return self._here(one, partial(self._input, one), message), before

    def _copied(self, one: Served, name: str) -> Any:
        """Return a copy of the input of a record or of its state of then, or raise `Uncopied`."""
        try:
            return self._step(one, partial(deepcopy, getattr(one, name)))
        except Exception as raised:  # noqa: BLE001 - what it is is told
            error = raised.error if isinstance(raised, Raised) else raised
            said = self._runs_of(one).said(error, tried=True)
            what = f"the {'input' if name == 'input' else 'state'} of record {one.record}"
            raise Uncopied(f"{what} cannot be copied: {type(error).__name__}: {said}") from error

    def _here(self, one: Served, carry: Callable[[Any], Any], value: Any) -> Any:
        """Return a value in the classes of the code; itself where it is the code of the record."""
        return value if self._code.is_own else self._step(one, lambda: carry(value))

    def _is_first(self, kind: str, one: Served) -> bool:
        """Return whether a record comes before all of its kind so far."""
        known = (first["record"]["record"] for first in self.firsts if first["kind"] == kind)
        return one.record < next(known, one.record + 1)

    def _input(self, one: Served, message: Any) -> Any:
        """Return an input of the other code: as that would read the text that stands for it.

        Raises:
            DecodeError: it would not take it.
        """
        made = self._code.carried(message)
        if self._cell is None or not self._code.classes or kind_of(one) not in READ:
            return made
        own = codec_of(one.cell)
        try:
            text = own.encode(message)
            stands = same(own.decode(text), message)
        except Exception:  # noqa: BLE001 - no text stands for it, so none was read
            return made
        return codec_of(self._cell).decode(text) if stands else made

    def _runs_of(self, one: Served) -> Again:
        known = self._runs.get(id(one.cell))
        if known is None:
            spec = one.cell.spec if self._cell is None else tried(one.cell.spec)
            known = self._runs[id(one.cell)] = Again(spec)
        return known

    def _step(self, one: Served, call: Callable[[], Any]) -> Any:
        """Return what user code answers, within its limit; whatever it raises is an Exception."""
        runs = self._runs_of(one)
        try:
            return runs.step(call)
        except BaseException as error:
            if runs.is_from_outside(error) and not is_raised_by_code(error):
                raise
            if isinstance(error, Exception):
                raise
            raise Raised(error) from error

    def _known(self, one: Served, now: Any, begun_s: float) -> Served:
        """Return a record with all that is known of it: a journal keeps no output and no effects.

        The code of then has come to the same state; its steps are timed as well.
        """
        timed, then = self._clock is not None and self.total < TIMED, now
        if timed:
            self._timed_s += self._code.spent_s - begun_s
        if self._cell is not None and (timed or one.effects is NOT_KEPT):
            then = self._again(one, timed=timed)
        if one.effects is NOT_KEPT and isinstance(then, Outcome):
            return msgspec.structs.replace(one, output=then.reply, effects=then.effects)
        return one

    def _again(self, one: Served, *, timed: bool) -> Outcome | None:
        """Step a record on the code that has served it; None where that raises."""
        clock = self._clock if timed and self._clock is not None else float
        code = self._was.setdefault((id(one.cell), timed), Code(code_of(one.cell), clock))
        try:
            message, before = own_copies(one)
            found: Outcome = self._step(one, lambda: code.step(kind_of(one), message, before))
        except Exception:  # noqa: BLE001 - what came of it is recorded
            return None
        return found

    def _kind(self, one: Served, now: Any, then: Any) -> str:
        if isinstance(now, BaseException):
            return SAME if self._is_alike(one, now) else CRASHES
        if one.outcome == "crashed":
            return MENDED
        if self._states and not same(now.state, then):
            return STATE
        code = self._code
        if type(one.output) is not AsText and not same(now.reply, self._known_there(one.output)):
            return OUTPUT  # of a text the value is not known
        asked = [self._known_there(effect, code.effect) for effect in one.effects]
        return SAME if same_effects(now.effects, asked) else EFFECTS

    def _is_alike(self, one: Served, error: BaseException) -> bool:
        """Return whether a record crashed with an exception of the same name, or ended likewise."""
        error = error.error if isinstance(error, Raised) else error
        if one.failure is not None or not issubclass(type(error), Exited):
            return one.failure is not None and one.failure.type == type(error).__name__
        try:
            return bool(self._step(one, lambda: str(reason_for(error))) == one.reason)
        except Exception:  # noqa: BLE001 - a reason of the user's that cannot be written
            return False

    def _known_there(self, value: Any, carry: Callable[[Any], Any] | None = None) -> Any:
        """Return what was answered in the classes of the code; as it is where it cannot be."""
        try:
            return (carry or self._code.carried)(value)
        except Exception:  # noqa: BLE001 - so it is another one than any of that code
            return value

    def _first(self, one: Served, kind: str, now: Any, then: Any) -> Data:
        """Return the first record of a kind: what it was, and what it would be."""
        teller = self._teller
        here = one if self._cell is None else msgspec.structs.replace(one, cell=self._cell)
        told: Data = {"kind": kind, "record": teller.record(one, self._instant)}
        if isinstance(now, BaseException):
            error = now.error if isinstance(now, Raised) else now
            message = self._runs_of(one).said(error, tried=True)
            told["error"] = {"type": type(error).__name__, "message": message}
        elif kind == EFFECTS:
            asked = [self._known_there(effect, self._code.effect) for effect in one.effects]
            told["changes"] = [change_record(c)
                               for c in changes(asked, [*now.effects], MOST_CHANGES)]  # fmt: skip
            if teller.hides(one.cell) or teller.hides(here.cell):
                told["changes"] = []
        elif kind == OUTPUT:
            told["output"] = teller.text(here, now.reply)
        else:
            before = then if kind == STATE else self._known_there(one.after)
            was, now = (teller.state(here.cell, state) for state in (before, now.state))
            told["changes"] = [change_record(c) for c in changes(was, now, MOST_CHANGES)]
        return told


def slowness(comparisons: Iterable[Comparison]) -> float:
    """Return the time of all steps as a multiple of that of the code that runs; 1 if too short."""
    spent = [one.spent_s for one in comparisons]
    now_s, was_s = (sum(part) for part in zip(*spent, strict=True))
    return round(now_s / was_s, 2) if was_s > LEAST_S else 1.0


class Uncopied(Exception):
    """An input or a state cannot be copied, so that code may not be given it to try."""


class Raised(Exception):
    """User code has raised what is no `Exception`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


def same_effects(now: Sequence[Any], then: Sequence[Any]) -> bool:
    """Return whether a step asks for what it asked for.

    What a saved past has as text alone is not known; a function it has by its name.
    """
    return len(now) == len(then) and all(map(same_effect, now, then))


def same_effect(now: Any, then: Any) -> bool:
    """Return whether two effects are alike, as far as that is known."""
    if type(now) is not type(then) or not hasattr(then, "__struct_fields__"):
        return same(now, then)
    for name in then.__struct_fields__:
        here, known = getattr(now, name), getattr(then, name)
        if name == "function":
            if not same_function(here, known):
                return False
        elif type(known) is not AsText and not same(here, known):
            return False
    return True


def same_function(now: Any, then: Any) -> bool:
    """Return whether two functions are one: a saved past, and another load, have it by its name."""
    if type(then) is AsText:
        return lasting_name(now) == then
    named = isinstance(then, FunctionType) and not then.__closure__ and "<" not in then.__qualname__
    return same(now, then) or (named and type(now) is type(then) and
                               lasting_name(now) == lasting_name(then))  # fmt: skip


def kind_of(one: Served) -> Kind:
    """Return how an input is given to a worker."""
    words = {"call": Kind.CALL, "cast": Kind.CAST, "continue": Kind.CONTINUE}
    return words.get(one.how, Kind.INFO)


def own_copies(one: Served) -> tuple[Any, Any]:
    """Return the input and the state of a record for a step that may change them in place.

    Raises:
        Exception: they cannot be copied.
    """
    return deepcopy((one.input, one.before))
