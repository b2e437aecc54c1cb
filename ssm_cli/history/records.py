"""Records: what a node has served, as values that say what came, what came of it, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.behaviour.results import NOTHING, Ok
from ssm_cli.runtime.engine.crashes import stack_of
from ssm_cli.runtime.engine.recalled import places_of
from ssm_cli.runtime.engine.recorder import (
    WORDS,
    Acted,
    AskedFor,
    Began,
    Came,
    Entry,
    Recorder,
    Terminated,
)

INPUTS = frozenset({"call", "cast", "info", "continue", "timer", "timeout", "run"})
"""How an input comes; all else is between two of them, or by hand."""


class NotKept(tuple[Any, ...]):
    """The effects of a record that are not known, and its output: a journal keeps neither."""

    __slots__ = ()


NOT_KEPT = NotKept()


class Failure(msgspec.Struct, frozen=True):
    """Why a worker ended: the type and the text of its exception, and the lines that it passed."""

    type: str
    message: str
    stack: tuple[str, ...] = ()


class Served(msgspec.Struct, frozen=True):
    """One record: an input that was served, a change by hand, or a start or end between two.

    Attributes:
        record: its number; of a start or an end, that of the record before it.
        recorder: what remembers it: it is asked for the rest, as few want to know all.
        worker: the id of the worker, or of the supervisor that was asked.
        how: `call`, `cast`, `info`, `continue`, `timer`, `timeout`; `start`, `exit`; else by hand:
            `replace_state`, `kill`, `start_child`, ...
        input: what came, as a value; `NOTHING` where nothing did.
        before, after: the state, by reference; `after` is `before` where the worker ended.
        outcome: `replied`, `silent` (nobody waits, or the reply comes later), `crashed`, `stopped`.
        output: what was answered; `NOTHING` for nothing.
        failure: of one that crashed.
        reason: why the worker ended, as reports say it; "" where it did not.
        effects: what the step asked for besides; `NOT_KEPT` where that is not known.
        reads: whether the input is declared as reading.
        numbered: whether it has its number for itself.
        by_hand: whether it is no input, but what was done between two (`continue` at a break).
        cell: the worker, or the supervisor that was asked; None where it is not known.
    """

    recorder: Recorder
    record: int
    worker: str
    how: str
    input: Any
    before: Any
    after: Any
    outcome: str
    output: Any = NOTHING
    cell: Any = None
    failure: Failure | None = None
    reason: str = ""
    effects: Sequence[Any] = ()
    reads: bool = False
    numbered: bool = True
    by_hand: bool = False

    @property
    def at_s(self) -> float:
        """Seconds since 1970, as near as is known."""
        return self.recorder.instants.of(self.record)[1]

    @property
    def cause(self) -> int | None:
        """The record that sent the input, or started its timer; None from outside."""
        return self.recorder.causes.get(self.record) if self.numbered else None

    @property
    def by(self) -> str:
        """Who asked; "" where that is not known."""
        return self.recorder.askers.get(self.record, "") if self.numbered else ""

    @property
    def is_input(self) -> bool:
        """Whether a worker was stepped with it."""
        return self.how in INPUTS and not self.by_hand


def served_in(
    recorder: Recorder,
    first: int = 0,
    last: int | None = None,
    worker: str | None = None,
    *,
    back: bool = False,
) -> Iterator[Served]:
    """Yield what is remembered from one record to another, oldest first, or newest (`back`)."""
    for entry in entries_in(recorder, first, last, worker, back=back):
        one = served(recorder, entry)
        if one is not None:
            yield one


def entries_in(
    recorder: Recorder,
    first: int = 0,
    last: int | None = None,
    worker: str | None = None,
    *,
    back: bool = False,
) -> Iterator[Entry]:
    """Yield the entries of the ring that are about a cell, or about one, in the same order."""
    last = recorder.last() if last is None else last
    cells: dict[Any, bool] = {None: False}
    for entry in list(recorder.ring)[:: -1 if back else 1]:
        if first <= entry[0] <= last:
            cell = entry[1]
            wanted = cells.get(cell)
            if wanted is None:
                wanted = cells[cell] = worker is None or cell.spec.id == worker
            if wanted:
                yield entry


def latest_of(recorder: Recorder, number: int) -> Served | None:
    """Return the record of that number; None if it is not remembered."""
    for entry in reversed(recorder.ring):
        if entry[0] < number:
            return None
        if entry[0] == number and has_number(entry):
            return served(recorder, entry)
    return None


def has_number(entry: Entry) -> bool:
    """Return whether an entry has its number for itself."""
    what = entry[5]
    by_hand = type(what) is AskedFor or (type(what) is Acted and what.change != "")
    return entry[2] is not None or by_hand


def served(recorder: Recorder, entry: Entry) -> Served | None:
    """Return an entry of the ring as a record; None for what is no news to people."""
    number, cell, kind, message, before, what = entry
    name = "" if cell is None else cell.spec.id
    if kind is None:
        told = between(what)
        if told is None:
            return None
        return Served(recorder, number, name, cell=cell, numbered=has_number(entry), **told)
    if type(what) is tuple:
        word = "replied" if kind is Kind.CALL else "silent"
        return Served(
            recorder, number, name, WORDS[kind], message, before, what[0], word, what[1], cell
        )
    return Served(recorder, number, name, cell=cell, **stepped(message, before, what))


def stepped(message: Any, before: Any, came: Came) -> dict[str, Any]:
    """Return the fields of an input that came to more than a state and an output."""
    outcome = came.outcome
    told: dict[str, Any] = {"how": came.how, "input": message, "before": before}
    if outcome is None:
        failed = {"reason": str(came.reason), "failure": failure_of(came.reason)}
        return told | {"after": before, "outcome": "crashed"} | failed
    word = "stopped" if outcome.stop is not None else "silent"
    if word == "silent" and came.how == "call" and outcome.reply is not NOTHING:
        word = "replied"
    reason = "" if outcome.stop is None else str(outcome.stop)
    return told | {
        "after": outcome.state, "outcome": word, "output": outcome.reply, "reason": reason,
        "failure": failure_of(outcome.stop), "reads": came.reads, "effects": outcome.effects,
    }  # fmt: skip


def between(what: Any) -> dict[str, Any] | None:
    """Return the fields of what lies between two inputs, or was done by hand."""
    told: dict[str, Any] = {"input": NOTHING, "before": NOTHING, "after": NOTHING}
    told |= {"outcome": "replied", "by_hand": True}
    match what:
        case Began(answer, None):
            state = answer.state if type(answer) is Ok else answer
            return told | {"how": "start", "after": state}
        case Began(_, reason) | Terminated(reason) if reason is not None:
            how = "start" if type(what) is Began else "exit"
            failed = {"how": how, "outcome": "crashed", "reason": str(reason)}
            return told | failed | {"failure": failure_of(reason)}
        case Acted(function, args, change, before, after) if change:
            return told | {
                "how": change, "input": args or NOTHING, "before": before,
                "after": before if after is None else after,
                "outcome": "refused" if function is None else "replied",
            }  # fmt: skip
        case AskedFor(verb, args):
            return told | {"how": verb, "input": args}
    return None


def failure_of(reason: ExitReason | None) -> Failure | None:
    """Return what is known of a crash; None of any other end."""
    if type(reason) is not Crash:
        return None
    stack = stack_of(places_of(reason.error))
    return Failure(type(reason.error).__name__, reason.said, stack)
