"""The straight way of a plain crash: end, decision and start in one.

Theory of operation. A pure step that has raised mostly has nothing to clean up, no caller that is
notified at the moment itself, and a supervisor that starts it again at once and alone. Then nothing
can come between its end and its start, and there is no need to go through the lane. One object is
its note and its reports; readers of reports are told of those up to the start, then of that. What
is recorded, noted and told is exactly what the careful way leaves behind: `failing.crashed` and
`stop_worker`, `end_worker`, `on_exit`, `restart`. Change both or neither; `test_plain_crash`
compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

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
from ssm_cli.runtime.performer.starting import start_worker, started
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
    decided = verdict(sup.spec, sup.window, sup.children, cell, reason, now_s)
    if type(decided) is not Restarted:
        return False
    error, wall_s = reason.error, world.clock.wall_s()
    kind, text = type(error).__name__, reason.said or crash_text(reason)
    if world.history is not None:
        world.history.crashed(cell, message, reason, pending)
    told, noted, state = kept_crash(world, cell, message)
    reports = world.reports
    crash = PlainCrash(
        reports.seq + 1, wall_s, world, sup, cell, told, noted, state, cell.starts + 1,
        reason.kind, kind, text, places_of(error), decided.restarts,
    )  # fmt: skip
    world.crashes.add(crash)
    cell.status = RESTARTING
    sup.window.add(now_s)
    if pending is not None:
        pending.fail(crash_error(cell.spec.id, reason, kind, text))
    cell.crashes += 1
    if world.groups.joined or world.monitors.watched or world.monitors.watchers:
        part(world, cell, reason)
    cell.step, cell.state, cell.last_reason = None, None, NOPROC  # it holds frames alive
    cell.starts += 1
    reports.add_many(crash)
    outcome = start_worker(world, cell)
    if outcome is None and reports.seq == crash.seq + 4:
        crash.started_s = wall_s + (cell.since_s - now_s)
        reports.add_to(crash)
    else:  # or its `init` has made reports of its own
        world.report(*started(world, cell, outcome))
        settle_start(world, sup, cell, outcome)
    return True


def is_plain(world: World, sup: SupervisorCell, cell: WorkerCell, pending: Pending | None) -> bool:
    """Return whether nothing but an end and a start can follow a crash of this pure step."""
    extra, options = cell.extra, cell.spec.options
    return (
        sup.spec.strategy is ONE_FOR_ONE
        and sup.extra is None
        and not world.lane
        and (pending is None or pending.notify is None)
        and cell.behaviour.terminate is None
        and options.backoff is None
        and options.on_crash is INIT
        and world.outside.keeper is None
        and (
            extra is None
            or not (extra.callers or extra.timers or extra.runs or extra.backlog or extra.links)
        )
    )


class PlainCrash(msgspec.Struct, eq=False):
    """The note and the reports of a plain crash and the start that follows; told when read.

    One object: the ring keeps thousands, and lets go of one for each crash. `seq` is the number of
    the first report, `starts` that of the next life; `kind` and `text` are of the error, which is
    not kept: it holds frames alive. `told` is what the report keeps of the input, `message` and
    `state` what the note does, for as long as it is one of the last.
    """

    seq: int
    at_s: float
    world: World
    sup: SupervisorCell
    cell: WorkerCell
    told: Any
    message: Any
    state: Any
    starts: int
    reason: str
    kind: str
    text: str
    places: Places
    restarts: int
    started_s: float = 0.0
    count: int = 5

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
        yield at_s, "restarting", sup, what | limits_of(sup, self.restarts)
        yield at_s, "starting", cell, self.starts
        yield self.started_s, "started", cell, None

    def failure(self) -> dict[str, Any]:
        """What is told of the crash itself; to write the input costs more than all the rest."""
        error = {"type": self.kind, "message": self.text}
        said = told_input(self.world, self.cell, self.told)
        return {"input": said, "reason": self.reason, "error": error}

    def note(self) -> CrashNote:
        """Return the note."""
        return CrashNote(
            self.seq, self.at_s, self.cell, self.message, self.state, self.reason, self.kind,
            self.text, self.places, (), Restarted.word, [self.cell.spec.id],
            limits_of(self.sup, self.restarts),
        )  # fmt: skip
