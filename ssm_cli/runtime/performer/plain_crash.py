"""The straight way of a plain crash: end, decision and start in one.

Theory of operation. A pure step that has raised mostly has nothing to clean up, nobody who is told
at the moment itself, and a supervisor that starts it again at once and alone. Then nothing can come
between its end and its start, and there is no need to go through the lane. What is recorded, noted
and told is exactly what the careful way leaves behind: `failing.crashed` and `stop_worker`,
`end_worker`, `on_exit`, `restart`. Change both or neither; `test_plain_crash` compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

import msgspec

from ssm_cli.behaviour.reasons import NOPROC, Crash, ExitReason
from ssm_cli.runtime.engine.bonds import part
from ssm_cli.runtime.engine.cell import CellStatus, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.crashes import CrashNote
from ssm_cli.runtime.engine.failures import crash_error
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recalled import Places, places_of
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.failing import kept_crash, told_input
from ssm_cli.runtime.performer.starting import come_up
from ssm_cli.runtime.performer.supervise import limits_of, settle_start
from ssm_cli.runtime.reports import Entry, crash_text
from ssm_cli.spec.model import OnCrash, Strategy
from ssm_cli.supervision.decisions import Restarted, verdict

ONE_FOR_ONE = Strategy.ONE_FOR_ONE  # looked at for each crash: globals are quick
INIT, RESTARTING = OnCrash.INIT, CellStatus.RESTARTING


def crash_plainly(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, reason: ExitReason
) -> bool:
    """Go the whole way of a plain crash. Return False, without side effects, if it is none."""
    sup = cell.parent
    if sup is None or type(reason) is not Crash or not is_plain(world, sup, cell, pending):
        return False
    now_s = world.clock.now_s()
    decided = verdict(sup.spec, sup.window, sup.children, cell, reason, now_s=now_s)
    if type(decided) is not Restarted:
        return False
    error, wall_s = reason.error, world.clock.wall_s()
    kind, text = type(error).__name__, crash_text(reason)
    if world.history is not None:
        world.history.crashed(cell, message, reason, pending)
    told, noted, state = kept_crash(world, cell, message)
    crash = PlainCrash(
        wall_s, world, sup, cell, told, cell.starts + 1, reason.kind, kind, text, decided
    )
    note = PlainNote(world.reports.seq + 1, crash, noted, state, places_of(error))
    world.crashes.add(note)
    cell.status = RESTARTING
    sup.window.add(now_s)
    if pending is not None:
        pending.fail(crash_error(cell.spec.id, reason, kind, text))
    cell.crashes += 1
    part(world, cell, reason)
    cell.step, cell.state, cell.last_reason = None, None, NOPROC  # it holds frames alive
    cell.starts += 1
    world.reports.add_many(crash)
    outcome = come_up(world, cell)
    if outcome is not None:
        settle_start(world, sup, cell, outcome)
    return True


def is_plain(world: World, sup: SupervisorCell, cell: WorkerCell, pending: Pending | None) -> bool:
    """Return whether nothing but an end and a start can follow a crash of this pure step."""
    extra, options = cell.extra, cell.spec.options
    return (
        sup.spec.strategy is ONE_FOR_ONE
        and sup.extra is None
        and not world.lane
        and not world.reports.watched()
        and (pending is None or pending.notify is None)
        and cell.behaviour.terminate is None
        and options.backoff is None
        and options.on_crash is INIT
        and world.outside.keeper is None
        and (extra is None or not (extra.callers or extra.timers or extra.runs or extra.backlog))
        and (extra is None or not extra.links)
    )


class PlainCrash(msgspec.Struct, eq=False):
    """The reports of a plain crash, up to the start that follows, told when somebody reads.

    One object: the ring keeps thousands, and lets go of one for each crash. `starts` is the number
    of the next life; `kind` and `text` are of the error, which is not kept: it holds frames alive.
    `message` is what is kept of the input.
    """

    count: ClassVar[int] = 5

    at_s: float
    world: World
    sup: SupervisorCell
    cell: WorkerCell
    message: Any
    starts: int
    reason: str
    kind: str
    text: str
    decided: Restarted

    def entries(self, begin: int, end: int) -> Iterator[Entry]:
        """The reports that it stands for, in order, from one index up to another."""
        return islice(self._all(), begin, end)

    def _all(self) -> Iterator[Entry]:
        at_s, sup, cell, ended = self.at_s, self.sup, self.cell, {"reason": self.reason}
        name: str = cell.spec.id
        what = {"strategy": sup.spec.strategy.value, "child": name, "children": [name]}
        yield at_s, "crashed", cell, self.failure
        yield at_s, "terminating", cell, ended
        yield at_s, "terminated", cell, ended
        yield at_s, "restarting", sup, what | limits_of(sup, self.decided.restarts)
        yield at_s, "starting", cell, self.starts

    def failure(self) -> dict[str, Any]:
        """What is told of the crash itself; to write the input costs more than all the rest."""
        error = {"type": self.kind, "message": self.text}
        said = told_input(self.world, self.cell, self.message)
        return {"input": said, "reason": self.reason, "error": error}


class PlainNote(msgspec.Struct, eq=False):
    """The note of a plain crash, made when somebody asks; `crashes.CrashNote` has the fields."""

    seq: int
    crash: PlainCrash
    message: Any
    state: Any
    places: Places

    def note(self) -> CrashNote:
        """Return the note."""
        crash, decided = self.crash, self.crash.decided
        return CrashNote(
            self.seq, crash.at_s, crash.cell, self.message, self.state, crash.reason, crash.kind,
            crash.text, self.places, (), decided.word, decided.start,
            limits_of(crash.sup, decided.restarts),
        )  # fmt: skip
