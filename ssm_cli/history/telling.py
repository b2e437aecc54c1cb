"""Telling: records as JSON-ready data, redacted as all that leaves a node."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.history.changes import Change, change_record, changes
from ssm_cli.history.records import Served, served
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.recorder import Entry, Recorder
from ssm_cli.runtime.looking.show import redacted, shown
from ssm_cli.runtime.performer.system import STATES
from ssm_cli.spec.model import Labelled
from ssm_cli.supervision.differing import code_name

MOST_CHANGED = 20  # parts of a state that a record tells of
MOST_TEXT = 1000  # characters of an input that was given by hand

Data = dict[str, Any]


class Teller:
    """Tells the records of one node.

    Attributes:
        recorder: what remembers them.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._world = recorder.world
        self._hiding: dict[WorkerCell, bool] = {}
        recorder.impure.compare()

    def is_impure(self, worker: str) -> bool:
        """Return whether a worker changes its states in place: they are not what they were."""
        return worker in self.recorder.impure.found

    def state(self, cell: Any, value: Any) -> Any:
        """Return a state without what must not leave the process."""
        if self._hiding.get(cell) is False or value is NOTHING or type(cell) is not WorkerCell:
            return value
        if not self.hides(cell):
            return value
        return redacted(self._world, cell, value)

    def hides(self, cell: WorkerCell) -> bool:
        """Return whether a worker hides parts of what is shown."""
        known = self._hiding.get(cell)
        if known is None:
            known = self._hiding[cell] = does_hide(cell.behaviour or cell.spec.start)
        return known

    def text(self, one: Served, value: Any) -> str:
        """Return an input or an output as its worker's codec writes it."""
        if value is NOTHING:
            return ""
        if one.is_input:
            return self.written(one.cell, value)
        words = value if isinstance(value, tuple) else (value,)
        if one.how in (*STATES, "edit"):
            return " ".join(self.written(one.cell, word) for word in words)
        return " ".join(given_by_hand(word)[:MOST_TEXT] for word in words)

    def written(self, cell: Any, value: Any) -> str:
        """Return a value as a worker's codec writes it; as Python does where there is none."""
        return shown(self._world, cell, value) if type(cell) is WorkerCell else repr(value)[:1000]

    def changes(self, one: Served, most: int = MOST_CHANGED) -> list[Change]:
        """Return what a record changed in the state of its worker."""
        if one.before is NOTHING or one.before is one.after or self.is_impure(one.worker):
            return []
        return changes(self.state(one.cell, one.before), self.state(one.cell, one.after), most)

    def record(self, one: Served, instant: Any, changed: list[Change] | None = None) -> Data:
        """Return a record as data; `instant` writes a time."""
        data: Data = {
            "v": 1,
            "type": "record",
            "record": one.record,
            "at": instant(one.at_s),
            "worker": one.worker,
            "how": one.how,
            "input": self.text(one, one.input),
            "outcome": one.outcome,
            "output": self.text(one, one.output),
            "changed": [change_record(c) for c in (changed or self.changes(one))],
            "cause": one.cause,
            "by": one.by,
        }
        if one.failure is not None:
            data["error"] = {"type": one.failure.type, "message": one.failure.message}
            data["stack"] = list(one.failure.stack)
        if one.reason:
            data["reason"] = one.reason
        if self.is_impure(one.worker):
            data["impure"] = True
        return data

    def names(self, one: Served) -> Askable:
        """Return what an EXPR may ask of a record."""
        return Askable(self, one)

    def names_in(self, entry: Entry) -> Askable:
        """Return what an EXPR may ask of an entry; it becomes a record if that is not enough."""
        return AskableEntry(self, entry)


class Askable:
    """What an EXPR may ask of one record, looked for when it is asked for."""

    __slots__ = ("_one", "_teller")

    def __init__(self, teller: Teller, one: Served) -> None:
        self._teller, self._one = teller, one

    def get(self, name: str, otherwise: Any) -> Any:
        """Return what a name stands for; `otherwise` where the record has none such."""
        teller, one = self._teller, self._one
        match name:
            case "state":
                return teller.state(one.cell, one.after)
            case "input":
                return teller.state(one.cell, one.input) if one.is_input else one.input
            case "kind":
                return otherwise if one.input is NOTHING else type(one.input).__name__
            case "error":
                return otherwise if one.failure is None else one.failure.message
            case "output" | "outcome" | "worker" | "record" | "how":
                return getattr(one, name)
        return otherwise


class AskableEntry(Askable):
    """The same of an entry of the ring: most questions are about the state, or the input, alone."""

    __slots__ = ("_entry",)

    def __init__(self, teller: Teller, entry: Entry) -> None:
        self._teller, self._entry = teller, entry

    def get(self, name: str, otherwise: Any) -> Any:
        """Return what a name stands for; `otherwise` where the record has none such."""
        _, cell, _, message, _, what = self._entry
        if type(what) is tuple:
            if name == "state":
                return self._teller.state(cell, what[0])
            if name == "kind":
                return type(message).__name__
        one = served(self._teller.recorder, self._entry)
        return otherwise if one is None else Askable(self._teller, one).get(name, otherwise)


def given_by_hand(word: Any) -> str:
    """Return what was given to a change by hand: of a child its name, of code the name of that.

    Values of arguments are not told: they may be secrets.

    >>> given_by_hand(Labelled("ann", {"size": 3})), given_by_hand(given_by_hand)
    ('ann (args: size)', 'ssm_cli.history.telling:given_by_hand')
    """
    if isinstance(word, Labelled):
        return f"{word.label} (args: {', '.join(word.args)})" if word.args else word.label
    is_code = isinstance(word, StateMachine | PureStatem) or callable(word)
    return code_name(word) if is_code else str(getattr(word, "id", word))
