"""Stand-ins: a tree of the same shape, none of whose workers runs code of a user's.

Theory of operation. What a supervisor decides depends on its flags, on the child specs and on
when which child ended; not on what a worker does. So restart limits are looked at on a tree whose
workers have a step that crashes and nothing else, performed by the same runtime as the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import msgspec

from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import reason_of
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
    replan,
)
from ssm_cli.runtime.engine.entries import Restart, TryAgain
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node, forked_world
from ssm_cli.runtime.performer.system import stop_process
from ssm_cli.runtime.recording.restep import no_terminate
from ssm_cli.spec.model import (
    ChildSpec,
    OnCrash,
    Persist,
    RemoteSpec,
    SupervisorSpec,
    WorkerOptions,
    WorkerSpec,
    walk,
)

MOST_TURNS = 1_000  # of the loop, until a tree has come to rest


class Injected(Exception):
    """A crash that was put there."""


def stand(_message: Any, state: Any) -> Any:
    """Return the state as it is: the step of a stand-in, which nobody asks for."""
    return state, None


STAND_IN = StateMachine(step=stand)
CRASHED = reason_of("crash")  # an abnormal exit, as that of a worker which raised


def stood_in(spec: ChildSpec) -> Any:
    """Return a spec of the same shape whose workers are stand-ins; a remote child is one of them.

    Back-offs do not vary by chance: the mean delay is what is looked at.
    """
    backoff = spec.backoff and msgspec.structs.replace(spec.backoff, jitter=0.0)
    if isinstance(spec, SupervisorSpec):
        children = tuple(map(stood_in, spec.children))
        return msgspec.structs.replace(
            spec, children=children, backoff=backoff, init=None, partitions=None
        )
    options = spec.options if isinstance(spec, WorkerSpec) else options_like(spec)
    plain = msgspec.structs.replace(
        options, backoff=backoff, persist=Persist.NONE, on_crash=OnCrash.INIT, codec=None
    )
    return WorkerSpec(spec.id, STAND_IN, options=plain)


def options_like(spec: RemoteSpec) -> WorkerOptions:
    """Return the options of a worker that its supervisor restarts as it does a remote child."""
    return WorkerOptions(
        restart=spec.restart, shutdown_ms=spec.shutdown_ms, significant=spec.significant
    )


def world_of(node: Node) -> World:
    """Return the world of a node that is ours: a fork, or one that was made for a simulation."""
    return node._world  # noqa: SLF001 - nobody else has this node


def come_to_rest(node: Node) -> None:
    """Serve a node until nothing waits but what is due later.

    It ends after `MOST_TURNS` turns, and after the first one that leaves inputs: it takes as many
    of them as the loop does while a manual clock stands still (`loop.MOST_ROUNDS`).
    """
    bring_to_rest(world_of(node), node.run)


def bring_to_rest(world: World, run: Callable[[float], None]) -> None:
    """Serve a world by what runs it, as `come_to_rest`."""
    for _ in range(MOST_TURNS):
        run(0.0)
        if world.queue or not has_more(world):
            return


def has_more(world: World) -> bool:
    """Return whether something waits in a world that is not due later."""
    return world.running and bool(world.queue or world.lane or world.retries)


class Happened(msgspec.Struct, frozen=True):
    """An event, the id that it is about, the supervisor above that, and its further fields."""

    event: str
    id: str
    above: str
    detail: Any

    @property
    def decided(self) -> str:
        """The supervisor that has decided, if this is a decision about a restart; else ""."""
        if self.event == "delayed":
            return self.above
        return self.id if self.event in ("restarting", "gave_up") else ""


def happened(event: str, subject: Any, detail: Any) -> Happened:
    """Return an event as it is reported, before anything of it is written as text."""
    above = "" if subject.parent is None else subject.parent.spec.id
    return Happened(event, subject.spec.id, above, detail)


class Stand:
    """A tree of stand-ins that runs, and can be forked; its clock moves only when it is told to.

    It is a world without the many methods of a `Node`, which cost as much as the fork itself.

    Attributes:
        name: that of the tree.
        world: the tree.
        armed: by worker, how many of its next inits fail.
        happened: what it has reported since the list was emptied.
    """

    def __init__(self, name: str, world: World, armed: dict[str, int]) -> None:
        self.name, self.world, self.armed = name, world, armed
        self.happened: list[Happened] = []
        self._serving = Serving(world)
        world.outside.init = self._init
        world.outside.finish = no_terminate
        world.report = self._report
        world.reports.subscribe(_ignore, _ignore)  # so that each event is told by itself

    @classmethod
    def of_spec(cls, spec: SupervisorSpec) -> Self:
        """Return a tree of stand-ins for a spec, started; no code of a user's runs for it.

        Raises:
            SpecError: the tree does not validate.
        """
        node = Node(stood_in(spec), clock=ManualClock(), guard=False).start()
        return cls(node.name, world_of(node), {})

    @classmethod
    def of_live(cls, node: Node) -> Self:
        """Return a tree of stand-ins that stands where a node does: restarts, statuses, delays."""
        fork = node.fork(guard=False)
        world = world_of(fork)
        bring_near(world)
        world.queue.clear()
        kept = [
            (s, n, e) for s, n, e in world.timers.waiting() if isinstance(e, Restart | TryAgain)
        ]
        world.timers.take_over(world.timers, kept)
        world.groups, world.monitors = type(world.groups)(), type(world.monitors)()
        for cell in world.names.values():
            bare(cell)
        return cls(fork.name, world, {})

    @property
    def is_up(self) -> bool:
        """Whether the tree runs."""
        return self.world.running

    def now_s(self) -> float:
        """Return the time of its clock: monotonic seconds."""
        return self.world.clock.now_s()

    def fork(self) -> Stand:
        """Return a tree beside this one that goes on from here by itself."""
        world = forked_world(self.world, self.name, None, "shared", guard=False)
        return Stand(self.name, world, dict(self.armed))

    def crash(self, worker: str) -> None:
        """Crash a worker that runs, and let its supervisors act."""
        self._serving.act(stop_process, self.world.names[worker], CRASHED)
        if has_more(self.world):
            bring_to_rest(self.world, self._serving.run)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if seconds > 0:
            self._serving.run(seconds)
            bring_to_rest(self.world, self._serving.run)

    def running(self) -> list[WorkerCell]:
        """Return the workers that run, in start order."""
        return [
            cell
            for cell in self.world.names.values()
            if type(cell) is WorkerCell and cell.status is CellStatus.RUNNING
        ]

    def _init(self, name: str, _args: object = None) -> None:
        if self.armed.get(name, 0):
            self.armed[name] -= 1
            raise Injected("init fails")

    def _report(self, event: str, subject: Any, detail: Any = None) -> None:
        self.happened.append(happened(event, subject, detail))


def bring_near(world: World) -> None:
    """Put stand-ins in the place of the remote children of a fork, which has no way to them."""
    for cell in [*world.names.values()]:
        if isinstance(cell, SupervisorCell) and has_remote(cell.spec):
            cell.spec = near(cell.spec)
        if not isinstance(cell, RemoteCell) or cell.parent is None:
            continue
        new = WorkerCell(stood_in(cell.spec), cell.parent)
        new.status, new.starts, new.since_s = cell.status, cell.starts, cell.since_s
        new.last_reason, new.behaviour, new.extra = cell.last_reason, STAND_IN, cell.extra
        cell.parent.children[cell.spec.id] = world.names[cell.spec.id] = new
        for number, (due_s, entry) in [*world.timers.entries.items()]:
            if getattr(entry, "cell", None) is cell:
                moved = msgspec.structs.replace(entry, cell=new)
                world.timers.entries[number] = due_s, moved
        replan(new)


def has_remote(spec: Any) -> bool:
    """Return whether there is a remote child below a supervisor."""
    return any(isinstance(child, RemoteSpec) for _, child in walk(spec))


def near(spec: Any) -> Any:
    """Return a spec with stand-ins in the place of remote children."""
    if isinstance(spec, SupervisorSpec):
        return msgspec.structs.replace(spec, children=tuple(map(near, spec.children)))
    return stood_in(spec) if isinstance(spec, RemoteSpec) else spec


def bare(cell: Cell) -> None:
    """Make a cell of a fork that of a stand-in, where it stands."""
    if isinstance(cell, SupervisorCell):
        cell.spec = stood_in(cell.spec)
    elif isinstance(cell, WorkerCell):
        cell.spec, cell.behaviour, cell.codec = stood_in(cell.spec), STAND_IN, None
        cell.state = None
        if cell.extra is not None:
            extra = cell.extra
            cell.extra = None
            new = cell.ensure_extra()
            new.attempt, new.delay_until_s = extra.attempt, extra.delay_until_s
        replan(cell)


def _ignore(_: object) -> None:
    """Hear of a report, and do nothing."""
