"""`Node`: a tree, running on the thread of its caller."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from random import Random
from types import TracebackType
from typing import Any, Literal, Self

from ssm_cli.errors import StartFailed, StorageError, TakenOver
from ssm_cli.runtime.calling.acalls import AsyncCalls
from ssm_cli.runtime.calling.calls import Calls
from ssm_cli.runtime.calling.casts import Casts
from ssm_cli.runtime.calling.changing import Changing
from ssm_cli.runtime.calling.clients import Clients
from ssm_cli.runtime.calling.codes import Codes
from ssm_cli.runtime.calling.groups import GroupCalls
from ssm_cli.runtime.calling.messages import Messages
from ssm_cli.runtime.calling.opening import Opening
from ssm_cli.runtime.calling.refs import Refs
from ssm_cli.runtime.calling.requests import Requests
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.clock import Clock, ManualClock, SystemClock
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.quarantine import Keeps
from ssm_cli.runtime.engine.cell import SupervisorCell
from ssm_cli.runtime.engine.digest import world_digest
from ssm_cli.runtime.engine.fork import deep_in_turns, fork, is_deep
from ssm_cli.runtime.engine.guard import AlarmGuard, Guard, ManualGuard, NoGuard
from ssm_cli.runtime.engine.recorder import LEAST, MOST, Recorder
from ssm_cli.runtime.engine.watch import watch
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.lifecycle import Lifecycle
from ssm_cli.runtime.looking.looks import Looks
from ssm_cli.runtime.looking.purity import Purity
from ssm_cli.runtime.performer.children import without_collector
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.runtime.performer.requests import REQUESTS
from ssm_cli.runtime.recording.memory import Memory
from ssm_cli.runtime.remote.ports import Links
from ssm_cli.runtime.runs.late import LateRunner
from ssm_cli.spec.judge import Judge
from ssm_cli.spec.model import SupervisorSpec

PARTS = (
    Calls, Casts, GroupCalls, Clients, AsyncCalls, Serving, Lifecycle, Requests, Changing, Messages,
    Looks, Memory, Codes, Keeps, Opening, Refs,
)  # fmt: skip


class Parts(type):
    """Shows the methods of a node's parts on the class, to `help`, `dir` and other such tools.

    They are in no `__dict__` there: a method of the class behind that of the instance would make
    each call slower by about 5 % on Python 3.12 and later.
    """

    def __dir__(cls) -> list[str]:
        """Return the names of the class and of the methods that `_bind` takes from the parts."""
        binding = (Node._bind, Node._bind_groups, Node._bind_requests)  # noqa: SLF001 - its own class
        taken = {name for method in binding for name in method.__code__.co_names}
        return [*super().__dir__(), *(n for part in PARTS for n in vars(part) if n in taken)]

    def __getattr__(cls, name: str) -> Any:
        """Return a method of a part by its name."""
        for part in PARTS:
            if name in vars(part) and not name.startswith("_") and name in dir(cls):
                return vars(part)[name]
        raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")


class Node(metaclass=Parts):
    """A tree, running on the thread of its caller. Implements `NodeApi`.

        with Node(load_tree("tree.yaml")) as node:
            node.call("kv2", b"Store x 1")

    It takes no thread and needs no asyncio: calling it runs it. Inside asyncio, `acall` and
    `serve` let the running loop do so. Two nodes in one process are independent.

    Its methods belong to its parts, in `runtime/calling`, `looking` and `durable`: `Calls`,
    `Casts`, `GroupCalls`, `Clients`, `AsyncCalls`, `Serving` (`wait`, `run`), `Requests` to
    supervisors, `Changing` (`apply`), `Messages` (`get_state`, `kill`, ...), `Refs`, `Looks`
    (`tree`, `reports`), `Memory` (`at`), `Codes` (`reload`), `Keeps`, `Opening` (`open`).

    Args:
        tree: the root supervisor.
        name: the name others find it by; the id of the root by default.
        clock: where time comes from; a `ManualClock` in tests.
        seed: of the node's random source (the jitter of back-offs).
        store: where the states and inputs of workers with `persist` are kept (`FolderStore`). It
            stays open when the tree stops, for another start; `close` closes it.
        history: how many records are remembered, with what they came to: what the tree was at each
            of them can be looked at (`history`), and forked. 0 for none; else at least 16.
        verify_pure: step every pure worker twice, on copies, and report those that differ.
        links: the way to remote children (`ClusterLinks`), or what makes it; open until it closes.
        guard: whether callbacks are cut at their limits. It needs the main thread, since Python
            delivers signals there only; in another thread nothing is cut.

    Attributes:
        effects: what else can be performed, by its name: given by what is built around the node.
        store: as it was given.
        file: the tree file that `plan` and `apply` take by default; "" where none is known.

    Raises:
        SpecError: the tree does not validate; with every complaint, before anything starts. What
            OTP's supervisor refuses itself is left to `start`, which raises with OTP's term.
    """

    store: Store | None = None
    spec = property(lambda self: self._world.root.spec, doc="The tree, as it was applied last.")

    def __init__(
        self,
        tree: SupervisorSpec,
        *,
        name: str | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        guard: bool = True,
        store: Store | None = None,
        history: int = 0,
        verify_pure: bool = False,
        links: Links | Callable[[], Links] | None = None,
    ) -> None:
        judge = Judge(tree)
        clock = SystemClock() if clock is None else clock
        chance = Random(seed)  # noqa: S311 - it spreads delays; it keeps no secret
        guarding = choose_guard(clock, wanted=guard)
        world = World(SupervisorCell(tree, None), clock, guarding, chance, judge)
        world.outside.link(links)
        world.outside.runner = LateRunner(world)
        if checked_history(history):
            world.remember(Recorder(world, history))
            world.reports.record_of = world.history.marks.record_of
        self.store = store
        if verify_pure:
            world.outside.advance = Purity(world).advance
        self._bind(tree, checked_name(tree.id if name is None else name), world)

    def _bind(self, spec: SupervisorSpec, name: str, world: World) -> None:
        """Make the methods of the parts those of the node."""
        self.file, self.name, self._world = "", name, world
        self.effects: dict[str, Callable[..., Any]] = {}
        serving = Serving(world)
        life = self._life = Lifecycle(name, world, serving, self.store)
        self.stop, self.close, self.note_failure = life.stop, life.close, life.note_failure
        self.wait, self.run, self.turns = serving.wait, serving.run, serving.turns
        calls = Calls(world, serving)
        self.call, self.call_value, self.begin = calls.call, calls.call_value, calls.begin
        self.send_request, self.run_clients = calls.send_request, Clients(world, calls).run_clients
        casts = Casts(world)
        self.cast, self.cast_nowait, self.info = casts.cast, casts.cast_nowait, casts.info
        self.exists, self.data, self.shown = casts.exists, casts.data, casts.shown
        self.drop, self.far, self.ask_far = casts.drop, casts.far, casts.ask_far
        self.encode, self.decode, self.state_type = casts.encode, casts.decode, casts.state_type
        self._bind_groups(GroupCalls(world))
        awaited = AsyncCalls(world)
        self.acall, self.acall_value = awaited.acall, awaited.acall_value
        self.serve, self.until_up = awaited.serve, awaited.until_up
        self.open, self.worker = Opening(self).open, Refs(self, spec, world).worker
        self._bind_requests(Requests(world, serving), Messages(world, serving))
        looks = Looks(world)
        self.names, self.tree, self.listing = looks.names, looks.tree, looks.listing
        self.reports, self.subscribe, self.id_of = looks.reports, looks.subscribe, looks.id_of
        self.readiness, self.next_reports = looks.readiness, looks.next_reports
        past = Memory(world, self._beside, serving.turns)
        self.at, self.turns_to, self.first_record = past.at, past.turns_to, past.first_record
        self.remember, self.recorder, self.answered = past.remember, past.recorder, past.answered
        self.give_again, self.step_again = past.give_again, past.step_again
        self.note_asker, self.asked_by = past.note_asker, past.asked_by
        self.note_changes = past.note_changes
        keeps = self._keeps = Keeps(world)
        self.stored, self.quarantined = keeps.stored, keeps.quarantined
        self.release_input = keeps.release_input

    def _bind_groups(self, groups: GroupCalls) -> None:
        self.get_members, self.which_groups = groups.get_members, groups.which_groups
        self.lookup, self.joined = groups.lookup, groups.joined
        self.groups, self.members = groups.groups, groups.members
        self.member_values, self.each_value = groups.member_values, groups.each_value
        self.each_member, self.publish = groups.each_member, groups.publish
        self.join_others, self.hear = groups.join_others, groups.hear
        self.note_lost = groups.note_lost

    def _bind_requests(self, asked: Requests, sent: Messages) -> None:
        self.which_children, self.count_children = asked.which_children, asked.count_children
        self.which_child, self.answer = asked.which_child, asked.answer
        self.get_childspec, self.start_child = asked.get_childspec, asked.start_child
        self.terminate_child, self.restart_child = asked.terminate_child, asked.restart_child
        self.delete_child, self.whereis, self.meant = asked.delete_child, asked.whereis, asked.meant
        self.request, self.begin_request = asked.request, asked.begin_request
        tree = Changing(self._world, asked, lambda: self.file)
        self.plan, self.apply, self.wanted_tree = tree.plan, tree.apply, tree.wanted_tree
        self.get_state, self.replace_state = sent.get_state, sent.replace_state
        self.suspend, self.resume, self.keep = sent.suspend, sent.resume, sent.keep
        self.set_breaks, self.leave_break = sent.set_breaks, sent.leave_break
        self.get_status, self.change_code = sent.get_status, sent.change_code
        self.install, self.remove, self.statistics = sent.install, sent.remove, sent.statistics
        self.recode, self.recode_pool, self.trace = sent.recode, sent.recode_pool, sent.trace
        codes = Codes(self)
        self.reload, self.rollback = codes.reload, codes.rollback
        self.shadow, self.promote = codes.shadow, codes.promote
        self.crash_reports, self.constructors = sent.crash_reports, sent.constructors
        self.kill, self.stop_process, self.exit = sent.kill, sent.stop_process, sent.exit

    @property
    def running(self) -> bool:
        """Whether the tree is up."""
        return self._world.running

    @property
    def gave_up(self) -> bool:
        """Whether the root has reached its restart intensity."""
        return self._world.gave_up

    @property
    def queue(self) -> int:
        """How many inputs wait in the queue."""
        return len(self._world.queue)

    @property
    def dropped(self) -> int:
        """How many messages have reached nobody; each has a `dropped` report."""
        return self._world.dropped

    @property
    def last_seq(self) -> int:
        """The number of the last report."""
        return self._world.reports.seq

    @property
    def record(self) -> int:
        """The number of the last record: of the input that was served last; 0 for none.

        A node numbers its inputs if it remembers them (`history`).
        """
        history = self._world.history
        return 0 if history is None else history.last()

    @property
    def storage_error(self) -> StorageError | None:
        """Why what must outlive the process cannot be written; None where it can be."""
        return self._keeps.storage_error

    def perform(self, effect: str, *args: Any, **given: Any) -> Any:
        """Carry out an effect by its name: a request to a supervisor, of `effects`, or a method."""
        if effect in REQUESTS:
            return self.answer(self.meant(args[0], effect, *args[1:]))
        method = self.effects.get(effect)
        return (getattr(self, effect) if method is None else method)(*args, **given)

    def now_s(self) -> float:
        """Return the time of the node's clock: monotonic seconds."""
        return self._world.clock.now_s()

    def start(self, *, wait: bool = True) -> Self:
        """Start the tree, depth-first in order; see `Lifecycle.start`."""
        self._life.start(wait=wait)
        return self

    @property
    def end_error(self) -> StartFailed | TakenOver | None:
        """Why the tree has not come up after `start(wait=False)`, or had to end; else None."""
        return self._life.end_error()

    def fork(
        self,
        *,
        clock: Clock | None = None,
        guard: bool = True,
        copy: Literal["shared", "deep"] = "shared",
    ) -> Node:
        """Return a node beside this one that goes on from here by itself; nothing leaves it.

        It has the cells, states, inputs, timers, restart windows, reports and chance of this one,
        but not its store, links, readers, installed functions or callers. Workers with `persist`
        start by `init` again in it. Costs some microseconds a worker.

        Args:
            clock: by default a `ManualClock` that shows the present, so that time can be tried.
            guard: as for `Node`.
            copy: `shared` states, for workers that never change them in place, or `deep` copies.

        Raises:
            CalledFromStep: a step, or a reader of reports, forks its own node.
            StorageError: what was acknowledged last is still being written.
            TypeError, ValueError: an argument is none of these.
        """
        return self._beside(forked_world(self._world, self.name, clock, copy, guard=guard))

    def _beside(self, world: World) -> Node:
        """Return a node for another world of the same tree."""
        return Node.of_world(self.spec, self.name, world, self.file)

    @classmethod
    def of_world(cls, spec: SupervisorSpec, name: str, world: World, file: str = "") -> Node:
        """Return a node for a world that is there: a fork, or one that was saved."""
        node = cls.__new__(cls)
        node._bind(spec, name, world)  # noqa: SLF001 - it is one of this class
        node.file = file
        return node

    def digest(self) -> bytes:
        """Return 16 bytes that stand for all that decides how this node goes on.

        Two nodes with the same digest make the same of the same inputs. Numbers that only count
        (starts, steps, reports) and absolute times do not enter.
        """
        return world_digest(self._world)

    def __enter__(self) -> Self:
        return self if self._world.forked and self._world.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(drain=kind is None)


def forked_world(world: World, name: str, clock: Clock | None, copy: str, *, guard: bool) -> World:
    """Return a copy of the world of the node `name`; see `Node.fork`."""
    deep = is_deep(copy)
    forbid_reentry(world)
    keeper = world.outside.keeper
    if keeper is not None:
        keeper.commit()
        if keeper.has_work() or keeper.is_writing():
            raise StorageError(f"{name}: an entry is being written; fork again after it")
    if clock is None:
        clock = ManualClock(world.clock.wall_s(), world.clock.now_s())
    with without_collector(world):
        guarding = choose_guard(clock, wanted=guard)
        forked = fork(world, clock, guarding, deep=deep)
    if world.running:
        watch(forked)
    return forked


def with_own_states(shared: Node) -> Generator[None, None, Node]:
    """Return a deep copy of a fork that nobody else has, and that stands still meanwhile.

    Done in turns: as what is returned is iterated over, others may get in between.
    """
    world = shared._world  # noqa: SLF001 - its own file
    copied = yield from deep_in_turns(world)
    if world.outside.unwatch is not None:
        world.outside.unwatch()
        watch(copied)
    return Node.of_world(shared.spec, shared.name, copied, shared.file)


def checked_name(name: str) -> str:
    """Return the name of a node; raise TypeError if it is no text."""
    if not isinstance(name, str):
        raise TypeError(f"name={name!r:.60} is no name: expected text, or None")
    return name


def checked_history(history: int) -> int:
    """Return how many records are to be remembered; 0 for none."""
    if type(history) is not int or not (history == 0 or LEAST <= history <= MOST):
        raise ValueError(
            f"history={history!r:.60} is no number of records: expected 0, or {LEAST} to {MOST:,}"
        )
    return history


def choose_guard(clock: Clock, *, wanted: bool) -> Guard:
    """Return the guard that fits the clock and the thread."""
    if type(wanted) is not bool:
        raise TypeError(f"guard={wanted!r:.60} is no choice: expected True or False")
    if not callable(getattr(clock, "now_s", None)):
        raise TypeError(f"clock={clock!r:.60} is no clock: expected ManualClock() or SystemClock()")
    if not wanted:
        return NoGuard(clock)
    if isinstance(clock, ManualClock):
        return ManualGuard(clock)
    return AlarmGuard(clock) if hasattr(signal, "setitimer") else NoGuard(clock)
