"""Starting: what a supervisor does to bring a child up, and a child to come up.

`start_cell` acts at once and to the end, depth-first for supervisors; nothing else is stepped
meanwhile. The depth of a tree is bounded (`MAX_DEPTH`), and with it the recursion.
Source: OTP `supervisor:do_start_child/2`, `start_children/2`; `gen_server:init_it/6`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ssm_cli.behaviour.dispatch import BadReturnError, behaviour_of, of_init, reason_for
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import (
    Crash,
    ExitReason,
    FailedToStart,
    Other,
    Shutdown,
)
from ssm_cli.behaviour.results import Ignore, Ok, Stop
from ssm_cli.errors import QueueFull, StorageError
from ssm_cli.runtime.durable import lives
from ssm_cli.runtime.durable.format.records import Source
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import Cell, RemoteCell, Status, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.guard import INIT, STEP, engine_code, guarded
from ssm_cli.runtime.performer.children import arrange, find_problem, forget
from ssm_cli.runtime.performer.ending import terminate_children
from ssm_cli.runtime.remote.life import start_remote
from ssm_cli.runtime.reports import Detail, Group, failure
from ssm_cli.spec.model import (
    DEFAULT_INIT_TIMEOUT_MS,
    OnCrash,
    Persist,
)

NONE = Persist.NONE  # looked at for each start: a global is quick

IGNORE = Ignore()
ANSWERS = frozenset({Ok, Ignore, Stop})
RUNNING = Status.RUNNING
Started = ExitReason | Ignore | None


def start_cell(core: Core, cell: Cell) -> Started:
    """Start a child. None: it runs; `IGNORE`: it does not want to; else why it failed."""
    cell.starts += 1
    core.report("starting", cell, cell.starts)
    start: Any = STARTS[type(cell)]
    result: Started = start(core, cell)
    core.report(*started(cell, result))
    return result


def started(cell: Cell, outcome: Started) -> tuple[str, Cell, Detail]:
    """The event that a start ends with, about whom, and its further fields."""
    if outcome is None:
        return "started", cell, None
    cell.status = Status.UNDEFINED
    if isinstance(outcome, Ignore):
        return "ignored", cell, None
    return "start_failed", cell, failure(outcome)


def start_worker(core: Core, cell: WorkerCell) -> Started:
    """Run `init` and commit what it answers. The plain case, a state and no more, is quick."""
    spec = cell.spec
    if spec.options.persist is not NONE:
        return start_durable(core, cell)
    guard = core.guard
    guard.used = True
    if not guard.armed:
        guard.arm()
    guard.phase, guard.cell = INIT, cell
    try:
        behaviour = cell.behaviour
        if behaviour is None:
            behaviour = cell.behaviour = behaviour_of(spec.start)
        init = behaviour.init
        result = None if init is None else init(spec.id, spec.args)
    except KeyboardInterrupt:
        guard.cell, guard.phase = None, STEP
        raise
    except BaseException as error:  # noqa: BLE001 - whatever init raises is a failed start
        guard.cell, guard.phase = None, STEP
        return reason_for(error)
    guard.cell, guard.phase = None, STEP
    plain = type(behaviour) is StateMachine
    if not plain or type(result) in ANSWERS or spec.options.on_crash is OnCrash.LAST_GOOD:
        return commit_init(core, cell, result)
    cell.state = result
    cell.status = RUNNING
    cell.since_s = core.clock.now_s()
    if cell.extra is None:
        cell.step = behaviour.step
    else:
        commit.make_ready(cell)
    return None


engine_code(start_worker)


def start_durable(core: Core, cell: WorkerCell) -> Started:
    """Start a worker whose state outlives it: with what is there, else by `init`.

    Where it cannot start with what is there as often as its supervisor would restart it, that is
    set aside, and it starts by `init` within the same start. Its first start is tried again here;
    the others are tried again by its supervisor.
    """
    kept = kept_of(cell)
    if kept is None:
        why = f"{cell.spec.id} has persist: {cell.spec.options.persist.value}, and its node has no"
        return Crash(StorageError(f"{why} store: give it one, Node(tree, store=FolderStore(DIR))"))
    reason: ExitReason | None = None
    while kept.has:
        if lives.falls_back(core.keeper, cell, kept, reason):
            return begin(core, cell, kept, "fallback")
        started = begin(core, cell, kept, "saved")
        if started is None or isinstance(started, Ignore):
            return started
        reason = started
        kept.failures += 1
        if kept.failures < lives.allowed(cell):
            if cell.starts > 1:
                return reason
            core.report("start_failed", cell, failure(reason))
    return begin(core, cell, kept, "init")


def begin(core: Core, cell: WorkerCell, kept: Kept, source: Source) -> Started:
    """One try to start a durable worker, with its state or anew."""
    spec, behaviour = cell.spec, kept.behaviour
    call: Any = behaviour.restore if source == "saved" else behaviour.init
    last = (kept.last,) if source == "saved" else ()
    if last and kept.problem is not None:
        return Crash(kept.problem)
    try:
        if call is None:
            result = Ok(*last or (None,))
        else:
            result = guarded(core.guard, cell, cell.limit_s(INIT), call, spec.id, spec.args, *last)
        started = commit_init(core, cell, result)
        if started is None:
            lives.started(core.keeper, cell, kept, source)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever init raises is a failed start
        cell.status, cell.state = Status.UNDEFINED, None
        return reason_for(error)
    return started


def commit_init(core: Core, cell: WorkerCell, result: Any) -> Started:
    """Commit an answer of `init` that may be anything."""
    spec = cell.spec
    try:
        outcome = of_init(cell.behaviour, result)
    except BadReturnError as error:
        return reason_for(error)
    if isinstance(outcome, Ignore):
        return IGNORE
    if not commit.room_for(core, outcome):
        return Crash(QueueFull(f"the effects of the init of {spec.id} do not fit into the queue"))
    if outcome.stop is not None:
        return outcome.stop
    keep = spec.options.on_crash is OnCrash.LAST_GOOD and cell.steps and cell.state is not None
    keep = keep and spec.options.persist is NONE
    cell.state = cell.state if keep else outcome.state
    cell.status = RUNNING
    cell.since_s = core.clock.now_s()
    commit.make_ready(cell)
    if outcome.effects or outcome.then is not None:
        commit.after_init(core, cell, outcome)
    return None


def start_supervisor(core: Core, sup: SupervisorCell) -> Started:
    """Ask its init, then start its children in order; a failure stops those that had started."""
    sup.overdue = False
    sup.window = type(sup.window)(sup.spec.period_s)
    if sup.spec.init is not None:
        limit_s = DEFAULT_INIT_TIMEOUT_MS / 1000
        try:
            answer = guarded(core.guard, sup, limit_s, sup.spec.init, sup.spec.id)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever init raises is a failed start
            return reason_for(error)
        if isinstance(answer, Ignore):
            return IGNORE
    problem = find_problem(core, sup)
    if problem is not None:
        return Other(problem)
    arrange(core, sup)
    sup.status = Status.RUNNING
    sup.since_s = core.clock.now_s()
    try:
        failure = start_children(core, sup)
    except KeyboardInterrupt:
        terminate_children(core, sup)
        sup.status = Status.UNDEFINED
        raise
    if failure is not None:
        terminate_children(core, sup)
        sup.status = Status.UNDEFINED
    return failure


STARTS: dict[type[Cell], Callable[[Core, Any], Started]] = {
    WorkerCell: start_worker,
    SupervisorCell: start_supervisor,
    RemoteCell: start_remote,
}


def start_children(core: Core, sup: SupervisorCell) -> ExitReason | None:
    """Start the children in order, up to the first that fails; why, if one does."""
    for child, outcome in start_all(core, tuple(sup.children.values())):
        if not isinstance(outcome, Ignore):
            return Shutdown(FailedToStart(child.spec.id, outcome))
        if child.spec.restart.value == "temporary":
            forget(core, child)
    return None


def start_all(core: Core, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ExitReason | Ignore]]:
    """Start children in order; yields each that does not run, and goes on when asked to.

    Workers that just start, while nobody watches, are recorded together.
    """
    reports = core.reports
    together: list[Cell] = []
    try:
        for cell in cells:
            if type(cell) is not WorkerCell or reports.watched():
                tell_started(core, together)
                outcome = start_cell(core, cell)
            else:
                cell.starts += 1
                outcome = start_worker(core, cell)
                if outcome is None:
                    together.append(cell)
                    continue
                tell_started(core, together)
                core.report("starting", cell, cell.starts)
                core.report(*started(cell, outcome))
            if outcome is not None:
                yield cell, outcome
    finally:
        tell_started(core, together)


def tell_started(core: Core, cells: list[Cell]) -> None:
    """Record that these were started, one after the other; empties the list."""
    if cells:
        starts = [cell.starts for cell in cells]
        events = ("starting", "started")
        core.reports.add_group(Group(core.reports.wall_s(), events, tuple(cells), starts=starts))
        cells.clear()
