"""What waits in a world besides plain inputs, as data: system messages, timers, marked inputs.

Entries of the lane and of the timers name what is to be done; `performer/perform.py` does it, in
one `match`. A message that can become void before it is served carries what makes it void: the
number of its timer, the life (`starts`) that it belongs to. A fork copies all of it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.behaviour.reasons import ExitReason
from ssm_cli.behaviour.results import NOTHING, TIMEOUT
from ssm_cli.behaviour.runs import Ended, Run
from ssm_cli.runtime.engine.cell import Cell, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.pending import Pending

Cause = tuple[int, int]  # a record of the journal, and which effect of it


class ChildEnded(msgspec.Struct, frozen=True, eq=False):
    """The supervisor of `cell` is to look at its end (`{'EXIT', Pid, Reason}`)."""

    cell: Cell
    starts: int
    reason: ExitReason


class TryAgain(msgspec.Struct, frozen=True, eq=False):
    """A start that failed in a restart is tried again, and counted (`try_again_restart`)."""

    cell: Cell
    starts: int


class Restart(msgspec.Struct, frozen=True, eq=False):
    """A restart of `cell` that was decided and counted (`restarts`) is carried out."""

    cell: Cell
    starts: int
    restarts: int


class Arrived(msgspec.Struct, frozen=True, eq=False):
    """A remote child whose start was asked for runs; or why it does not, in `reason`."""

    cell: RemoteCell
    starts: int
    reason: ExitReason | None
    node: str = ""
    epoch: int = 0


class EndWorker(msgspec.Struct, frozen=True, eq=False):
    """A worker that crashed, or asked to stop, terminates; then its caller is answered.

    `begun`: its `init` asked for that, and there is no note of it yet.
    """

    cell: WorkerCell
    reason: ExitReason
    pending: Pending | None = None
    reply: Any = NOTHING
    begun: bool = False


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A request to a supervisor: `verb` is a name in `requests.REQUESTS`."""

    cell: SupervisorCell
    starts: int
    verb: str
    args: tuple[Any, ...]
    pending: Pending


class LinkBroken(msgspec.Struct, frozen=True, eq=False):
    """The worker `sender`, to which `cell` is linked, by `names`, has ended for `reason`."""

    cell: WorkerCell
    starts: int
    reason: ExitReason
    sender: str
    names: tuple[str, ...] = ()


class StopTree(msgspec.Struct, frozen=True, eq=False):
    """The whole tree is to stop."""

    reason: ExitReason


class TimerDue(msgspec.Struct, frozen=True, eq=False):
    """A worker's timer: first among the timers, then, with its time over, in the queue.

    It counts while its worker still has it under `key` with this `number`; 0 counts always within
    its life. `cause` is the record of the journal that started it, for a worker whose inputs are
    written; `record` that of the node's history, as below; `at_s` the instant of the wall clock
    that it was set to, if it was.
    """

    number: int
    cell: WorkerCell
    starts: int
    key: str
    message: Any
    cause: Cause | None = None
    record: int = 0
    at_s: float | None = None


class TimeoutDue(msgspec.Struct, frozen=True, eq=False):
    """A time-out (`TimeoutAfter`): any input that is served before it makes it void."""

    number: int
    cell: WorkerCell
    record: int = 0
    message: Any = TIMEOUT


class RunDue(msgspec.Struct, frozen=True, eq=False):
    """A run that is under way, among the timers: when it comes up there, its time is over.

    It counts while its worker has it by its key. `cause` and `record` as of a `TimerDue`.
    """

    number: int
    cell: WorkerCell
    starts: int
    run: Run
    cause: Cause | None = None
    record: int = 0


class RunEnded(msgspec.Struct, frozen=True, eq=False):
    """The end of a run, in the queue; it counts while its worker has the run by its key.

    One with the number 0 counts always within its life.
    """

    number: int
    cell: WorkerCell
    starts: int
    key: str
    message: Ended
    cause: Cause | None = None
    record: int = 0


class SaveDue(msgspec.Struct, frozen=True, eq=False):
    """The state of a `persist: snapshot` worker is to be saved, if no input has done so."""

    cell: WorkerCell
    starts: int


class StartAgain(msgspec.Struct, frozen=True, eq=False):
    """A durable worker that could not start from its state is to try again."""

    cell: WorkerCell
    starts: int


class ContinueDue(msgspec.Struct, eq=False):
    """A `then=Continue(message)` on its way through the queue; void with the life `starts`.

    `cause` is the record that asked for it; set once that has a number.
    """

    starts: int
    message: Any
    cause: Cause | None = None
    record: int = 0


class DownDue(msgspec.Struct, frozen=True, eq=False):
    """A `Down` on its way to the worker that has asked for it; void with its life `starts`."""

    starts: int
    message: Any
    record: int = 0


class Dropped(msgspec.Struct, frozen=True, eq=False):
    """In the place of a message with which a worker is held, and which it drops."""

    message: Any


class Caused(msgspec.Struct, frozen=True, eq=False):
    """A message that a recorded worker sends to a recorded worker, with the record that sent it."""

    cause: Cause
    message: Any


Entry = Arrived | ChildEnded | TryAgain | Restart | EndWorker | Asked | LinkBroken | StopTree
Timed = TimerDue | TimeoutDue | RunDue | SaveDue | StartAgain | TryAgain | Restart
Marked = TimerDue | TimeoutDue | RunEnded | ContinueDue | DownDue | Caused
MARKED = (TimerDue, TimeoutDue, RunEnded, ContinueDue, DownDue, Caused)


def message_in(cell: WorkerCell, marked: Marked) -> object:  # noqa: PLR0911 - each kind has its own
    """The message that a marked input brings to `cell`; `NOTHING` if it is void by now.

    Take a timer, or a run, that counts away from its worker: it is served.
    """
    match marked:
        case TimerDue(number=number, starts=starts, key=key):
            extra = cell.extra
            if starts != cell.starts:
                return NOTHING
            if number and (extra is None or extra.timers.get(key) != number):
                return NOTHING
            if number and extra is not None:
                del extra.timers[key]
            return marked.message
        case RunEnded():
            return ended_in(cell, marked)
        case TimeoutDue(number=number):
            counts = cell.extra is not None and cell.extra.timeout == number
            return marked.message if counts else NOTHING
        case ContinueDue(starts=starts) | DownDue(starts=starts):
            return marked.message if starts == cell.starts else NOTHING
        case Caused():
            return marked.message


def ended_in(cell: WorkerCell, marked: RunEnded) -> object:
    """The end of a run, as `message_in`."""
    runs = {} if cell.extra is None else cell.extra.runs
    asked = runs.get(marked.key)
    if marked.starts != cell.starts:
        return NOTHING
    if marked.number:
        if asked is None or asked.number != marked.number:
            return NOTHING
        if cell.extra is not None and cell.extra.breaks is not None:
            cell.extra.breaks.ended = asked  # counts again, if the worker is held with it
        del runs[marked.key]
    return marked.message
