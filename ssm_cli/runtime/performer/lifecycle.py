"""Starting and ending: what a supervisor does with one child, and a child with itself.

`start_cell` and `terminate_cell` act at once and to the end, depth-first for supervisors; nothing
else is stepped meanwhile. The depth of a tree is bounded (`MAX_DEPTH`), and with it the recursion.
Sources: OTP `supervisor:do_start_child/2`, `do_terminate/2`, `shutdown/1`; `gen_server:terminate`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ssm_cli.behaviour.dispatch import BadReturnError, behaviour_of, finish, of_init, reason_for
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import (
    KILLED,
    SHUTDOWN,
    Crash,
    ExitReason,
    FailedToStart,
    Other,
    Shutdown,
)
from ssm_cli.behaviour.results import Ignore, Ok, Stop
from ssm_cli.errors import CalleeCrashed, CalleeStopped, CallError, QueueFull
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import Cell, Status, SupervisorCell, WorkerCell, seconds
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.guard import INIT, OTHER, STEP, TERMINATE, Guard, engine_code
from ssm_cli.runtime.reports import Detail, ending, error_text, failure
from ssm_cli.spec.model import (
    DEFAULT_INIT_TIMEOUT_MS,
    ChildSpec,
    OnCrash,
    ShutdownTime,
    Strategy,
    SupervisorSpec,
)
from ssm_cli.spec.validate import check_childspecs, check_flags

IGNORE = Ignore()
ANSWERS = frozenset({Ok, Ignore, Stop})
RUNNING = Status.RUNNING
Started = ExitReason | Ignore | None


def guarded(core: Core, cell: Cell, limit_s: float, call: Callable[..., Any], *args: Any) -> Any:
    """Run user code that is no step, `init` or `terminate` under the guard."""
    core.guard.begin(cell, OTHER, limit_s)
    try:
        return call(*args)
    finally:
        core.guard.end()


for _function in (guarded, Guard.begin, Guard.end):
    engine_code(_function)


# -- the table of children ---------------------------------------------------------------------


def adopt(core: Core, sup: SupervisorCell, spec: ChildSpec) -> Cell:
    """Put a new child at the end of the table of `sup`."""
    cell: Cell
    if isinstance(spec, SupervisorSpec):
        cell = SupervisorCell(spec, sup)
        core.guard.expect(DEFAULT_INIT_TIMEOUT_MS / 1000)
    else:
        cell = WorkerCell(spec, sup)
        if spec.options is not core.expected:
            core.expected = spec.options
            expect_limits(core.guard, cell)
    sup.children[spec.id] = cell
    core.names[spec.id] = cell
    return cell


def expect_limits(guard: Guard, cell: WorkerCell) -> None:
    """Tell the guard which limits there will be, so that its ticks are fine enough."""
    options = cell.spec.options
    shutdown_ms = 0 if options.shutdown_ms == "brutal_kill" else options.shutdown_ms
    for limit_ms in (options.step_timeout_ms, options.init_timeout_ms, shutdown_ms):
        if limit_ms:
            guard.expect(seconds(limit_ms))


def forget(core: Core, cell: Cell) -> None:
    """Take a child, and all below it, out of the tables."""
    if isinstance(cell, SupervisorCell):
        for child in tuple(cell.children.values()):
            forget(core, child)
    if cell.parent is not None and cell.parent.children.get(cell.spec.id) is cell:
        del cell.parent.children[cell.spec.id]
    if core.names.get(cell.spec.id) is cell:
        del core.names[cell.spec.id]


def arrange(core: Core, sup: SupervisorCell) -> None:
    """Make the table of a supervisor that starts what its spec says; dynamic children are gone."""
    specs = () if sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE else sup.spec.children
    before = dict(sup.children)
    sup.children.clear()
    for spec in specs:
        known = before.get(spec.id)
        if known is not None and known.spec is spec:
            del before[spec.id]
            sup.children[spec.id] = known
        else:
            adopt(core, sup, spec)
    for cell in before.values():
        forget(core, cell)


# -- starting ----------------------------------------------------------------------------------


def start_cell(core: Core, cell: Cell) -> Started:
    """Start a child. None: it runs; `IGNORE`: it does not want to; else why it failed."""
    cell.starts += 1
    reports = core.reports
    if type(cell) is WorkerCell and not reports.watched():
        begun_s = reports.wall_s()
        outcome = start_worker(core, cell)
        event, detail = started(cell, outcome)
        first = (begun_s, "starting", cell.starts)
        reports.add_pair(cell, first, (reports.wall_s(), event, detail))
        return outcome
    core.report("starting", cell, cell.starts)
    start: Any = start_worker if type(cell) is WorkerCell else start_supervisor
    result: Started = start(core, cell)
    event, detail = started(cell, result)
    core.report(event, cell, detail)
    return result


def started(cell: Cell, outcome: Started) -> tuple[str, Detail]:
    """The event that a start ends with, and its further fields."""
    if outcome is None:
        return "started", None
    cell.status = Status.UNDEFINED
    if isinstance(outcome, Ignore):
        return "ignored", None
    return "start_failed", failure(outcome)


def start_worker(core: Core, cell: WorkerCell) -> Started:
    """Run `init` and commit what it answers. The plain case, a state and no more, is quick."""
    spec = cell.spec
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
            answer = guarded(core, sup, limit_s, sup.spec.init, sup.spec.id)
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


def start_children(core: Core, sup: SupervisorCell) -> ExitReason | None:
    """Start the children in order, up to the first that fails; why, if one does."""
    for child in tuple(sup.children.values()):
        outcome = start_cell(core, child)
        if isinstance(outcome, Ignore):
            if child.spec.restart.value == "temporary":
                forget(core, child)
        elif outcome is not None:
            return Shutdown(FailedToStart(child.spec.id, outcome))
    return None


def find_problem(core: Core, sup: SupervisorCell) -> object | None:
    """OTP's term for what is wrong with its flags or children; frozen, they are looked at once.

    Beyond OTP, a name must be unique in the whole tree, since workers are called by it; another
    supervisor may have taken one since the last start.
    """
    spec, dynamic = sup.spec, sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
    if not sup.sound:
        if (term := check_flags(spec)) is not None:
            return {"supervisor_data": term}
        if dynamic and len(spec.children) != 1:
            return {"bad_start_spec": [child.id for child in spec.children]}
        if (term := check_childspecs(spec.children, spec.auto_shutdown)) is not None:
            return {"start_spec": term}
        sup.sound = True
    for child in () if dynamic else spec.children:
        owner = core.names.get(child.id)
        if owner is not None and owner.parent is not sup:
            return {"start_spec": {"duplicate_child_name": child.id}}
    return None


# -- ending ------------------------------------------------------------------------------------


def terminate_children(core: Core, sup: SupervisorCell) -> None:
    """End all children of `sup`, the last started first. Their specs stay in the table."""
    for child in reversed(tuple(sup.children.values())):
        core.guard.pass_deadlines()
        if sup.overdue:
            orphan(core, child)
        else:
            terminate_cell(core, child)


def terminate_cell(core: Core, cell: Cell) -> None:
    """End a child as its supervisor does: by its shutdown time, with the reason `shutdown`."""
    if type(cell) is WorkerCell and cell.step is not None and is_plain(core, cell):
        now_s = core.reports.wall_s()
        first = (now_s, "terminating", SHUTDOWN)
        core.reports.add_pair(cell, first, (now_s, "terminated", SHUTDOWN))
        cell.step, cell.state, cell.last_reason = None, None, SHUTDOWN
        cell.status = Status.UNDEFINED
        return
    if cell.status is RUNNING:
        if isinstance(cell, SupervisorCell):
            terminate_supervisor(core, cell, SHUTDOWN, cell.spec.shutdown_ms)
        else:
            assert isinstance(cell, WorkerCell)
            if cell.spec.options.shutdown_ms == "brutal_kill":
                kill_worker(core, cell)
            else:
                end_worker(core, cell, SHUTDOWN, told=True)
    put_down(cell)


def is_plain(core: Core, cell: WorkerCell) -> bool:
    """Whether a running pure step has nothing to clean up, and nobody watches it end."""
    return (
        cell.extra is None
        and cell.behaviour.terminate is None
        and cell.spec.options.shutdown_ms != "brutal_kill"
        and not core.reports.watched()
    )


def put_down(cell: Cell) -> None:
    """A child has no process any more, and none that would be started later."""
    cell.status = Status.UNDEFINED
    if cell.extra is not None:
        cell.extra.delay_until_s = None


def end_worker(
    core: Core, cell: WorkerCell, reason: ExitReason, *, told: bool = False
) -> ExitReason:
    """Run `terminate` within its limit; the reason that is final in the end.

    An exception in `terminate` becomes the reason; time over is `killed`. A worker that is not
    `told` to end by its supervisor has at least the time of a step (in OTP: no limit).
    """
    core.report("terminating", cell, ending(reason))
    behaviour = cell.behaviour
    if type(behaviour) is StateMachine and behaviour.terminate is None:
        core.report("terminated", cell, ending(reason))
        release(core, cell, reason)
        return reason
    limit_s = cell.limit_s(TERMINATE)
    if not told:
        limit_s = max(limit_s, cell.limit_s(STEP))
    try:
        guarded(core, cell, limit_s, finish, behaviour, cell.spec.id, reason, cell.state)
    except KeyboardInterrupt:  # it counts as ended, so that nobody waits for it
        kill_worker(core, cell)
        cell.status = Status.UNDEFINED
        raise
    except BaseException as error:  # noqa: BLE001 - whatever terminate raises is the new reason
        reason = reason_for(error)
        if isinstance(reason, Crash) and reason.kind == "step_timeout":
            kill_worker(core, cell)
            return KILLED
    early_replies(core)
    core.report("terminated", cell, ending(reason))
    release(core, cell, reason)
    return reason


def early_replies(core: Core) -> None:
    """Hand over what the callback that just ended answered through `Caller.reply`."""
    if core.outbox:
        replies = tuple(core.outbox)
        core.outbox.clear()
        for pending, value in replies:
            pending.resolve(value)


def kill_worker(core: Core, cell: WorkerCell, reason: ExitReason = KILLED) -> None:
    """End a worker without a callback of its own."""
    core.report("killed" if reason is KILLED else "terminated", cell, ending(reason))
    release(core, cell, reason)


def release(core: Core, cell: WorkerCell, reason: ExitReason) -> None:
    """Let go of all that a worker held: callers are answered, timers and settings forgotten."""
    cell.step = None
    cell.last_reason = reason
    if cell.spec.options.on_crash is not OnCrash.LAST_GOOD or not isinstance(reason, Crash):
        cell.state = None
    extra = cell.extra
    if extra is None:
        return
    for number in extra.timers.values():
        core.timers.cancel(number)
    extra.timers.clear()
    extra.timeout += 1
    extra.suspended = False
    callers = [*extra.callers.values()]
    callers += [pending for _, _, pending in extra.backlog if pending is not None]
    extra.callers.clear()
    extra.backlog.clear()
    for pending in callers:
        pending.fail(callee_error(cell, reason))


def callee_error(cell: Cell, reason: ExitReason) -> CallError:
    """What a caller is told whose callee ended for `reason` before it answered."""
    name = cell.spec.id
    if isinstance(reason, Crash):
        kind = type(reason.error).__name__
        return CalleeCrashed(
            f"{name} crashed: {kind}: {error_text(reason.error)}",
            worker=name,
            reason=str(reason),
            error=reason.error,
        )
    return CalleeStopped(f"{name} ended: {reason}", worker=name, reason=str(reason))


def terminate_supervisor(
    core: Core, sup: SupervisorCell, reason: ExitReason, limit_ms: ShutdownTime
) -> None:
    """End a supervisor: its children in reverse order, then itself; time over is `killed`."""
    if limit_ms == "brutal_kill":
        kill_supervisor(core, sup)
        return
    if limit_ms == "infinity":
        terminate_children(core, sup)
    else:
        deadline_s = core.clock.now_s() + seconds(limit_ms)
        core.guard.push_deadline(deadline_s, partial(time_over, core, sup))
        try:
            terminate_children(core, sup)
        finally:
            core.guard.pop_deadline()
    sup.last_reason = KILLED if sup.overdue else reason
    if not sup.overdue:
        core.report("exited", sup, ending(reason))
    drop_requests(sup)


def time_over(core: Core, sup: SupervisorCell) -> None:
    """The shutdown time of a supervisor is over: it is killed, if who would do that still lives."""
    if sup.parent is None or not sup.parent.overdue:
        mark_overdue(core, sup)


def mark_overdue(core: Core, sup: SupervisorCell) -> None:
    """A supervisor is killed: it is gone, and what is left of it are orphans.

    One that it was just ending is an orphan, too, and goes on: nobody is there to cut it.
    """
    sup.overdue = True
    core.report("exited", sup, KILLED)
    ending_now = core.guard.cell
    if ending_now is not None and ending_now.parent is sup:
        core.guard.allow(ending_now.limit_s(STEP))


def kill_supervisor(core: Core, sup: SupervisorCell) -> None:
    """A supervisor ends without a word; each of its children learns that its parent is gone."""
    sup.last_reason = KILLED
    mark_overdue(core, sup)
    terminate_children(core, sup)
    drop_requests(sup)


def orphan(core: Core, cell: Cell) -> None:
    """A child learns that its supervisor was killed: it ends on its own, with that reason."""
    if cell.status is Status.RUNNING:
        if isinstance(cell, SupervisorCell):
            terminate_supervisor(core, cell, KILLED, "infinity")
        else:
            assert isinstance(cell, WorkerCell)
            end_worker(core, cell, KILLED)
    put_down(cell)


def drop_requests(sup: SupervisorCell) -> None:
    """Requests that a supervisor did not get to end with its exit reason."""
    if sup.status is Status.RUNNING:
        sup.status = Status.UNDEFINED  # else a request that waited would still be carried out
    if sup.extra is None:
        return
    sup.extra.suspended = False
    backlog = tuple(sup.extra.backlog)
    sup.extra.backlog.clear()
    for function, args in backlog:
        function(*args)  # each finds its supervisor gone, and says so to whoever waits
