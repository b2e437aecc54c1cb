"""Starting: what a supervisor does to bring a child up, and a child to come up.

`start_cell` acts at once and to the end, depth-first for supervisors; nothing else is stepped
meanwhile. The depth of a tree is bounded (`MAX_DEPTH`), and with it the recursion. A remote child
is asked for and not waited for: it is coming, and so is each supervisor that cannot be up before
it is (see `performer/arriving.py`).
Source: OTP `supervisor:do_start_child/2`, `start_children/2`; `gen_server:init_it/6`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, takewhile
from typing import Any

from ssm_cli.behaviour.dispatch import behaviour_of, of_init
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.partition import JOINT, label_of
from ssm_cli.behaviour.reasons import (
    BadReturnError,
    Crash,
    ExitReason,
    FailedToStart,
    Other,
    Shutdown,
)
from ssm_cli.behaviour.results import NOTHING, Ignore, Ok, Stop
from ssm_cli.behaviour.visible import begun_anew, left_over
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable import lives
from ssm_cli.runtime.durable.fits import as_recorded, unfit
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.durable.records import Source
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.backlog import release_held
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
    plain_callbacks,
    replan,
)
from ssm_cli.runtime.engine.contained import ended_by, with_text
from ssm_cli.runtime.engine.entries import EndWorker
from ssm_cli.runtime.engine.failures import start_cause
from ssm_cli.runtime.engine.guard import INIT, STEP, engine_code, guarded
from ssm_cli.runtime.engine.naming import SIMPLE
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.children import arrange, begin_anew, find_problem, forget
from ssm_cli.runtime.performer.ending import terminate_children
from ssm_cli.runtime.performer.forks import own_answer, rearm_left
from ssm_cli.runtime.performer.members import dismiss, tell_not_started
from ssm_cli.runtime.remote.life import ask_for
from ssm_cli.runtime.reports import Detail, Group, error_detail, failure
from ssm_cli.spec.model import DEFAULT_INIT_TIMEOUT_MS, OnCrash, Persist
from ssm_cli.supervision.decisions import is_ordered

NONE, LAST_GOOD = Persist.NONE, OnCrash.LAST_GOOD  # looked at for each start: globals are quick

SAME_S = 0.0001  # workers that start within it have one instant, and one number for it

IGNORE = Ignore()


class Withheld(Ignore, frozen=True):
    """A durable worker cannot go on with its state: to its supervisor as if `init` had ignored.

    Somebody who has asked for the start is told so.
    """


class Coming(Ignore, frozen=True):
    """A remote child was asked for, or a supervisor waits for one: it is neither up nor down."""


WITHHELD, COMING = Withheld(), Coming()
FIRST, AGAIN = "first", "again"
"""What a child is asked for: the start of its supervisor, a restart; else a request (`Asked`)."""
ANSWERS = frozenset({Ok, Ignore, Stop, Withheld})
RUNNING = CellStatus.RUNNING
Started = ExitReason | Ignore | None
Begun = tuple[Cell | None, Started]


def start_cell(world: World, cell: Cell) -> Started:
    """Start a child. None: it runs; `IGNORE`: it does not want to; else why it failed.

    `COMING`: it was asked for, as one that its supervisor starts with.
    """
    cell.starts += 1
    world.report("starting", cell, cell.starts)
    return come_up(world, cell)


def come_up(world: World, cell: Cell) -> Started:
    """The rest of a start that is counted and recorded as begun."""
    start: Any = STARTS[type(cell)]
    result: Started = start(world, cell)
    if result is None:
        if cell.extra is not None:
            cell.extra.unbegun = False
        world.report("started", cell)
    elif result is WITHHELD:
        cell.status = CellStatus.UNDEFINED  # why is reported
    elif result is COMING:
        world.outside.coming[cell] = FIRST
    else:
        world.report(*started(world, cell, result))
    return result


def started(world: World, cell: Cell, outcome: Started) -> tuple[str, Cell, Detail]:
    """The event that a start ends with, about whom, and its further fields."""
    if outcome is None:
        return "started", cell, None
    sup = cell.parent
    if sup is not None and sup is world.outside.completing and not isinstance(outcome, Ignore):
        sup.last_reason = Shutdown(FailedToStart(cell.spec.id, outcome))
        sup.status = CellStatus.ENDING  # it does not come up without that child
    if isinstance(outcome, Ignore):
        cell.status = CellStatus.UNDEFINED
        return "ignored", cell, None
    if cell.status not in (CellStatus.RESTARTING, CellStatus.WAITING):
        cell.status = CellStatus.UNDEFINED  # else it is to be tried again
    return "start_failed", cell, failure(outcome)


def start_worker(world: World, cell: WorkerCell) -> Started:
    """Start a worker by its spec, which may be another than in its last life."""
    if cell.extra is not None and cell.extra.begun is not None:
        begin_anew(world, cell)
    if cell.spec.options.persist is not NONE and not world.forked:
        return start_durable(world, cell)
    started = run_init(world, cell)
    if started is None and cell.extra is not None and cell.extra.left:
        rearm_left(world, cell)
    return started


def run_init(world: World, cell: WorkerCell) -> Started:
    """Run `init` and commit what it answers. The plain case, a state and no more, is quick."""
    spec, guard = cell.spec, world.guard
    guard.used = True
    if not guard.armed:
        guard.arm()
    world.beginner, world.answer = cell, NOTHING
    guard.phase, guard.cell = INIT, cell
    try:
        behaviour = cell.behaviour
        if behaviour is None:
            behaviour = cell.behaviour = behaviour_of(spec.start)
        if world.outside.init is not None:
            world.answer = result = world.outside.init(spec.id, spec.args)
        elif world.forked:
            world.answer = result = own_answer(world, spec.id, spec.args)
        else:
            world.answer = result = (behaviour.init or nothing)(label_of(spec.id), spec.args)
    except BaseException as error:  # noqa: BLE001 - whatever init raises is a failed start
        return why_failed(world, cell, error)
    guard.cell, guard.phase = None, STEP
    if world.history is not None:
        world.history.began(cell, result)
    odd = type(behaviour) is not StateMachine or type(result) in ANSWERS
    if odd or spec.options.on_crash is LAST_GOOD:
        outcome = commit_init(world, cell, result)
        world.answer = NOTHING
        return outcome
    cell.state, cell.status = result, RUNNING
    world.answer = NOTHING
    cell.since_s = world.clock.now_s()
    if cell.extra is None and behaviour.reads is None:
        cell.step = behaviour.step
    else:
        replan(cell)
        release_held(world, cell)
    return None


def has_begun(world: World) -> None:
    """Have a worker run whose start was interrupted once its `init` had returned a state.

    So it is terminated when it ends, as any other. What interrupts this, too, leaves it to be done.
    """
    cell, answer = world.beginner, world.answer
    if cell is not None and answer is not NOTHING and cell.status is not RUNNING:
        if type(cell.behaviour) is StateMachine and type(answer) not in ANSWERS:
            cell.state, cell.status, cell.since_s = answer, RUNNING, world.clock.now_s()
        else:
            commit_init(world, cell, answer)
    world.beginner, world.answer = None, NOTHING


engine_code(run_init)


def nothing(_name: str, _args: object) -> None:
    """The `init` of a worker that has none: its state is None."""


def start_durable(world: World, cell: WorkerCell) -> Started:
    """Start a worker whose state outlives it: with what is there, else by `init`.

    Where it cannot start with what is there, that is tried again, as often as its supervisor would
    restart it and over its period; then it is down, and its supervisor leaves it alone.
    """
    kept, keeper = kept_of(cell), world.outside.keeper
    if kept is None:
        why = f"{cell.spec.id} has persist: {cell.spec.options.persist.value}, and its node has no"
        return Crash(StorageError(f"{why} store: give it one, Node(tree, store=FolderStore(DIR))"))
    lives.try_anew(kept)
    fresh = not kept.has and kept.trouble is None
    if not lives.is_given_up(keeper, cell, kept):
        if not kept.has:
            return begin(world, cell, kept, "init" if fresh else "fallback")
        reason = begin(world, cell, kept, "saved")
        if reason is None or isinstance(reason, Ignore):
            kept.tries = 0
            return reason
        world.report("start_failed", cell, failure(reason))
        if lives.try_later(world, cell, kept, reason):
            return WITHHELD
        if not lives.is_given_up(keeper, cell, kept):
            return begin(world, cell, kept, "fallback")
    return withhold(world, cell, kept)


def withhold(world: World, cell: WorkerCell, kept: Kept) -> Started:
    """Report that a worker is down, and why."""
    assert kept.trouble is not None, "it has a reason"
    what = {"reason": kept.trouble.reason, "error": error_detail(kept.trouble)}
    if world.history is not None:
        world.history.told(cell, "down", what)
    world.report("down", cell, what)
    return WITHHELD


def begin(world: World, cell: WorkerCell, kept: Kept, source: Source) -> Started:
    """One try to start a durable worker, with its state or anew."""
    spec, behaviour = cell.spec, kept.behaviour
    call: Any = behaviour.restore if source == "saved" else behaviour.init
    last = (kept.last,) if source == "saved" else ()
    try:
        if call is None:
            result = Ok(*last or (None,))
        else:
            given = call, label_of(spec.id), spec.args, *last
            result = guarded(world.guard, cell, cell.limit_s(INIT), *given)
        if source == "saved" and not kept.journals:
            result = begun_anew(result)
        if world.history is not None:
            world.history.began(cell, result)
        started = commit_init(world, cell, result)
        if started is None:
            lives.note_start(world.outside.keeper, cell, kept, source)
    except BaseException as error:
        if is_from_outside(world.guard, error):
            raise
        lives.undo(world, cell)
        return why_ended(world, cell, error)
    return started


def why_ended(world: World, cell: Cell, error: BaseException) -> ExitReason:
    """Return the reason that an exception out of `init` stands for; it is remembered."""
    reason = ended_by(world, cell, error)
    if world.history is not None:
        world.history.failed(cell, reason)
    return reason


def commit_init(world: World, cell: WorkerCell, result: Any) -> Started:
    """Commit an answer of `init` that may be anything."""
    spec = cell.spec
    try:
        outcome = guarded(world.guard, cell, cell.limit_s(INIT), of_init, cell.behaviour, result)
    except BaseException as error:
        if is_from_outside(world.guard, error):
            raise
        return ended_by(world, cell, error)
    if isinstance(outcome, Ignore):
        return WITHHELD if type(result) is Withheld else IGNORE
    if (excess := commit.too_much(world, cell, outcome, "effects of the init")) is not None:
        return Crash(excess)
    if type(result) is Stop and outcome.stop is not None:
        return with_text(world, cell, outcome.stop)
    kept = kept_of(cell)
    if kept is not None and kept.journals:
        if wrong := unfit(outcome):
            return Crash(BadReturnError(wrong), "bad_return_value")
        outcome = as_recorded(outcome)
    keep = spec.options.on_crash is LAST_GOOD and cell.steps and cell.state is not None
    keep = keep and spec.options.persist is NONE
    if keep and world.history is not None:
        world.history.keeps(cell)
    cell.state = left_over(cell.state) if keep else outcome.state
    cell.since_s = world.clock.now_s()
    release_held(world, cell)
    try:
        commit.after_init(world, cell, outcome)
    finally:
        cell.status = RUNNING  # last: what is interrupted before is committed again
    if outcome.stop is not None:  # an `Exit` among its effects: it has begun, and ends next
        reason = with_text(world, cell, outcome.stop)
        world.lane.append(EndWorker(cell, reason, begun=True))
    replan(cell)
    return None


def start_supervisor(world: World, sup: SupervisorCell) -> Started:
    """Ask its init, then start its children in order; a failure stops those that had started.

    It runs once they all do: a start that is interrupted before is done again.
    """
    sup.overdue = False
    sup.window = type(sup.window)(sup.spec.period_s)
    if sup.spec.init is not None:
        limit_s = DEFAULT_INIT_TIMEOUT_MS / 1000
        ask = sup.spec.init, label_of(sup.spec.id)
        if world.outside.init is not None:
            ask = world.outside.init, sup.spec.id
        try:
            answer = guarded(world.guard, sup, limit_s, *ask)
        except BaseException as error:
            if is_from_outside(world.guard, error):
                raise
            return why_ended(world, sup, error)
        if world.history is not None:
            world.history.began(sup, answer)
        if type(answer) is Ignore:
            return IGNORE
        if answer is not None:
            return with_text(world, sup, Other({"bad_return": [sup.spec.id, "init", answer]}))
    problem = find_problem(world, sup)
    if problem is not None:
        return Other(problem)
    arrange(world, sup)
    sup.since_s = world.clock.now_s()
    outcome = start_children(world, sup)
    if outcome is None or outcome is COMING:
        sup.status = CellStatus.RUNNING
    else:
        terminate_children(world, sup)
    return outcome


def start_remote(world: World, cell: RemoteCell) -> Started:
    """Ask for a remote child."""
    reason = ask_for(world, cell)
    if reason is None:
        return COMING
    cell.last_reason = reason
    return reason


STARTS: dict[type[Cell], Callable[[World, Any], Started]] = {
    WorkerCell: start_worker,
    SupervisorCell: start_supervisor,
    RemoteCell: start_remote,
}


def start_children(world: World, sup: SupervisorCell) -> Started:
    """Start the children in order, up to the first that fails; why, if one does."""
    if sup.spec.strategy is SIMPLE:
        start_members(world, sup)
        return None
    return start_some(world, sup, tuple(sup.children.values()))


def start_some(world: World, sup: SupervisorCell, cells: Sequence[Cell]) -> Started:
    """Start children of a supervisor that starts itself; `COMING` where one is asked for.

    Children that depend on it, by the strategy, stay `WAITING` then.
    """
    coming: Started = None
    for child, outcome in start_all(world, cells):
        if outcome is COMING:
            coming = COMING
            if is_ordered(sup.spec.strategy):
                break
        elif not isinstance(outcome, Ignore):
            return Shutdown(FailedToStart(child.spec.id, outcome))
        elif child.spec.restart.value == "temporary" and outcome is not WITHHELD:
            forget(world, child)
    return coming


def start_members(world: World, sup: SupervisorCell) -> None:
    """Start the children that a durable pool had; the trouble of one keeps no other down."""
    cells = tuple(sup.children.values())
    most = len(cells) if sup.spec.max_children is None else sup.spec.max_children
    for child, outcome in start_all(world, cells[:most]):
        if not isinstance(outcome, Ignore):
            why = f"it failed to start: {outcome}{start_cause(outcome)[0]}"
            tell_not_started(world, child, "init", why)
        elif outcome not in (WITHHELD, COMING):
            forget(world, child)
            dismiss(world, sup, child)
    for child in cells[most:]:
        child.status = CellStatus.UNDEFINED
        tell_not_started(world, child, "max_children", f"{most} others run, which is max_children")


def start_all(world: World, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ExitReason | Ignore]]:
    """Start children in order; yields each that does not run, and goes on when asked to.

    Workers that just start, while nobody watches or remembers, are recorded together.
    """
    index, walk = 0, iter(cells)
    cell = next(walk, None)
    while cell is not None:
        alone = type(cell) is not WorkerCell or JOINT in cell.spec.id
        if alone or world.reports.watched() or world.history is not None:
            outcome = start_cell(world, cell)
        else:
            begin = index
            try:
                last, outcome = start_workers(world, chain((cell,), walk))
                world.answer = NOTHING  # all that has begun runs, or was told
            except BaseException:
                has_begun(world)
                tell_started(world, [*takewhile(is_running, cells[begin:])])
                raise
            index = len(cells) if last is None else cells.index(last, begin)
            tell_started(world, cells[begin:index])
            cell = last
            if cell is None or outcome is None:
                continue
            world.report("starting", cell, cell.starts)
            world.report(*started(world, cell, outcome))
        if outcome is not None:
            yield cell, outcome
        index, cell = index + 1, next(walk, None)


def start_workers(world: World, cells: Iterator[Cell]) -> Begun:
    """Start workers, up to one that fails or is none: which, and how; None where all have started.

    `start_worker` for many: what follows from machine and options is looked at when they change.
    """
    guard, now_s = world.guard, world.clock.now_s
    behaviour = options = init = step = None
    at_s = now_s()
    guard.used, world.answer = True, NOTHING
    for cell in cells:
        if type(cell) is not WorkerCell:
            return cell, None
        cell.starts += 1
        spec = cell.spec
        if spec.start is not behaviour or spec.options is not options:
            behaviour, options = spec.start, spec.options
            init, step = plain_callbacks(behaviour, options)
        if init is None or cell.extra is not None:
            if (outcome := start_worker(world, cell)) is not None:
                return cell, outcome
            continue
        cell.behaviour = behaviour
        guard.phase, guard.cell = INIT, cell
        if not guard.armed:  # looked at once a tick can no longer take the guard for idle
            guard.arm()
        try:
            world.beginner, world.answer = cell, (result := init(spec.id, spec.args))
        except BaseException as error:  # noqa: BLE001 - as in run_init
            return cell, why_failed(world, cell, error)
        guard.cell, guard.phase = None, STEP
        if type(result) not in ANSWERS:
            cell.since_s = at_s = now if (now := now_s()) - at_s > SAME_S else at_s
            cell.state, cell.status, cell.step = result, RUNNING, step  # three need no tuple
        elif (outcome := commit_init(world, cell, result)) is not None:
            return cell, outcome
    return None, None


engine_code(start_workers)


def why_failed(world: World, cell: WorkerCell, error: BaseException) -> ExitReason:
    """Return the reason of a start whose `init` raised; raise what came from outside again."""
    guard = world.guard
    guard.cell, guard.phase = None, STEP
    if is_from_outside(guard, error):
        raise error
    return why_ended(world, cell, error)


def is_running(cell: Cell) -> bool:
    """Whether it is up."""
    return cell.status is RUNNING


def tell_started(world: World, cells: Sequence[Cell]) -> None:
    """Record that these were started, one after the other."""
    if cells:
        starts = [cell.starts for cell in cells]
        events = ("starting", "started")
        world.reports.add_many(Group(world.reports.wall_s(), events, tuple(cells), starts=starts))
