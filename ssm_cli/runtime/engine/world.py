"""`World`: all of a node that evolves by itself. `Outside`: what it is connected to.

A world is what a fork copies: cells, queue, timers, chance, reports. What lies outside of it (who
serves it, where records are written, remote children) belongs to one node and is never copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Outcome, advance, finish
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.crashes import CrashNotes
from ssm_cli.runtime.engine.entries import Caused, Entry, TryAgain
from ssm_cli.runtime.engine.groups import Groups
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.engine.monitors import Monitors
from ssm_cli.runtime.engine.naming import SIMPLE, found, spelled_out
from ssm_cli.runtime.engine.pending import Numbered, Pending, Waiter
from ssm_cli.runtime.engine.timers import Timers
from ssm_cli.runtime.reports import ReportStream
from ssm_cli.spec.afresh import Modules
from ssm_cli.spec.judge import Judge

Input = tuple[WorkerCell, Kind, Any, Waiter | None]
MOST_EFFECTS = 1_000_000  # inputs that effects may put into the queue


class Outside:
    """What a world is connected to.

    Attributes:
        asker: who asks for what is done by hand now, or why; "" where that is not known.
        carry: makes values from outside a worker, of classes that its code does not have since a
            reload, into those that it has; None where there can be none.
        behind: the modules of a worker's code that others have taken the place of, by name; None
            where there can be none.
        advance: runs a callback (`dispatch.advance`, or a check of it).
        far_groups: the members of groups in other processes of the tree; None where it has one.
        finish: runs `terminate` (`dispatch.finish`, or the answers of the past).
        init: in place of the `init` of workers and supervisors: the answers of the past; or None.
        coming: who was asked for and is not there yet, and for what (`performer/arriving.py`):
            remote children, and supervisors that wait for one.
        completing: the supervisor whose start goes on, with children that waited; None for none.
        dropping: hears of each message that reaches nobody; None for nothing.
        driver: what serves the node from an asyncio loop; None where nothing does.
        held: calls of remote children that are coming, until those are there.
        leaving: remote children that are to end, and the request that each is ended for.
        keeps: whether remote children live on when the tree stops; `taken_by` names the process
            that has taken them over, "" for none.
        keeper: writes down what must outlive the process (see `durable`); None without.
        links: the way to remote children (see `remote`); None without.
        linking: makes that at the first remote child; None where nothing does.
        looks: plans for which nodes are asked, and what they have said (`performer/taking.py`).
        not_started: why the root did not come up in the end; None where it did.
        runner: does what `Run` effects ask for (see `runs`); None in a fork, which does not.
        unwatch: ends the watch of a manual clock; None where nothing watches.
        waits_for: the parent of the remote children, while we wait until it is not; "" for none.
        wake: called when there is work and the loop does not run; an asyncio driver listens.
    """

    __slots__ = (
        "advance", "asker", "behind", "carry", "coming", "completing", "driver", "dropping",
        "far_groups",
        "finish", "held", "init", "keeper", "keeps", "leaving", "linking", "links", "looks", "news",
        "not_started", "runner", "taken_by", "unwatch", "waits_for", "wake",
    )  # fmt: skip

    def __init__(self) -> None:
        self.advance: Callable[..., Outcome] = advance
        self.asker = ""
        self.finish: Callable[..., Any] = finish
        self.init: Callable[..., Any] | None = None
        self.behind: Callable[[Any], Modules] | None = None
        self.carry: Callable[[Any, Any], Any] | None = None
        self.coming: dict[Cell, Any] = {}
        self.completing: SupervisorCell | None = None
        self.held: dict[Any, list[Any]] = {}
        self.not_started: Any = None
        self.keeps, self.taken_by, self.waits_for = False, "", ""
        self.linking: Callable[[], Any] | None = None
        self.driver: Any = None
        self.dropping: Callable[[dict[str, Any]], None] | None = None
        self.far_groups: Any = None
        self.keeper: Any = None
        self.links: Any = None
        self.leaving: dict[Any, Any] = {}
        self.looks: dict[Any, Any] = {}
        self.news: deque[Any] = deque()  # of the links, until each is dealt with
        self.runner: Any = None
        self.unwatch: Callable[[], None] | None = None
        self.wake: Callable[[], None] | None = None

    def link(self, links: Any) -> None:
        """Take the way to remote children, or what makes it at the first of them."""
        if callable(links):
            self.linking = links
        else:
            self.links = self.far_groups = links


class World:
    """The mutable state of one node.

    Attributes:
        answer: what the `init` of `beginner` has returned, until that runs; else `NOTHING`.
        batch: how many inputs are served between two looks at the clock.
        beginner: the worker that starts, or started last.
        begun: the workers whose `terminate` has begun, until they are known to be ending.
        bound: how many inputs from outside may wait; effects may exceed it (`MOST_EFFECTS`).
        callers: calls of `GenServer` workers that wait for an answer, by the number of their
            `Caller`.
        dropped: how many messages have reached nobody.
        expected: the options whose limits the guard was told of last.
        forked: whether it is a fork, which keeps nothing that outlives it.
        gave_up: whether the root reached its restart intensity.
        has_held: whether an input was ever put off: if none was, none is looked for.
        groups: which workers are members of what.
        history: remembers what is served (`engine/recorder.py`); None where nothing does.
        judge: judges specs: of the tree, and of new children.
        launched: the child that a request has asked for, until its start has come to something.
        lane: system messages; they overtake the queue.
        monitors: which worker hears of the end of which.
        names: every live node by id.
        outbox: replies given by `Caller.reply` in the callback that runs now, as (number, value);
            shared with forks, since callers in states are.
        performing: the entry of the lane that is performed now.
        pools: the supervisors whose children are made from a template, by id.
        pumping: whether the loop runs; nothing may enter it twice.
        queue: the inputs that wait; and publishes under way, under the root.
        numbers: gives each record of the history its number.
        origins: in a fork that copies: by the id of an input, the copy and what it is the copy of.
        record: puts an entry into the history; None where nothing is remembered.
        report: records what happened to a cell; see `ReportStream.add`.
        retries: restarts whose start failed and is tried again; others get in between.
        retry_at_s: no start is tried again before.
        shares_random: whether a fork may have the same random source, until one of them draws.
        try_s: how long the last such try took.
        uncollected: whether the cycle collector is kept out for it, and was in before.
    """

    __slots__ = (
        "answer", "batch", "beginner", "begun", "bound", "caller", "callers", "clock",
        "crashes", "dropped", "expected", "forked", "gave_up", "groups", "guard", "has_held",
        "history", "judge", "lane", "launched", "monitors", "names", "numbers", "origins", "outbox",
        "outside", "performing", "pools", "pumping", "queue", "random", "record", "report",
        "reports", "retries", "retry_at_s", "root", "running", "shares_random", "timers",
        "try_s", "uncollected",
    )  # fmt: skip

    def __init__(
        self, root: SupervisorCell, clock: Clock, guard: Guard, random: Random, judge: Judge
    ) -> None:
        self.root = root
        self.judge = judge
        root.sound = judge.sound
        self.clock = clock
        self.guard = guard
        self.random, self.shares_random, self.has_held = random, False, False
        self.outside = Outside()
        self.bound = root.spec.queue
        self.batch = 1
        self.begun: dict[Cell, bool] = {}
        self.answer: Any = NOTHING
        self.beginner: WorkerCell | None = None
        self.launched: Cell | None = None
        self.queue: deque[Input] = deque()
        self.lane: deque[Entry] = deque()
        self.retries: deque[TryAgain] = deque()
        self.performing: Entry | None = None
        self.retry_at_s = self.try_s = 0.0
        self.names: dict[str, Cell] = {}
        self.origins: dict[int, tuple[Any, Any]] = {}
        self.pools: dict[str, SupervisorCell] = {}
        if root.spec.strategy is SIMPLE:
            self.pools[root.spec.id] = root
        self.timers = Timers()
        self.groups = Groups()
        self.monitors = Monitors()
        self.caller = self.dropped = 0
        self.callers: dict[int, Pending] = {}
        self.outbox: list[tuple[int, Any]] = []
        self.reports = ReportStream(clock)
        self.report = self.reports.add
        self.crashes = CrashNotes()
        self.history: Any = None
        self.record: Callable[[Any], None] | None = None  # at hand for each input
        self.numbers = count(1)
        self.pumping = self.running = self.forked = self.gave_up = self.uncollected = False
        self.expected: object = None

    def chance(self) -> float:
        """Draw a number in [0, 1) from the random source; a shared one is copied before."""
        if self.shares_random:
            own = Random(0)  # noqa: S311 - its state is that of the other; it keeps no secret
            own.setstate(self.random.getstate())
            self.random, self.shares_random = own, False
        return self.random.random()

    def remember(self, history: Any) -> None:
        """Have a `Recorder` remember what is served from now on; None: nothing is remembered."""
        append = None if history is None else history.append
        self.history, self.record = history, append  # nothing comes between the two

    def origin(self, message: Any) -> Any:
        """Return the input that one is the copy of, in a fork that copies; else itself."""
        known = self.origins.get(id(message))
        return message if known is None else known[1]

    def is_coming_up(self) -> bool:
        """Return whether the tree runs, and its start waits for remote children."""
        return self.running and self.root in self.outside.coming

    def find(self, name: str) -> Cell | None:
        """Return the node that a name stands for, running or not; see `engine/naming.py`."""
        return self.names.get(name) or found(
            self.root, self.names, self.pools, self.judge.declares, name
        )

    def reach(self, name: str) -> Cell | None:
        """Return the node that a worker names: as `find`, but a label alone is nobody.

        Who has a label alone may be another tomorrow, or once the process has been killed.
        """
        return self.names.get(name) or spelled_out(self.root, self.names, name)

    def post(self, entry: Entry) -> None:
        """Put a system message into the lane."""
        self.lane.append(entry)
        wake = self.outside.wake
        if wake is not None and not self.pumping:
            wake()

    def drop(self, about: Cell, to: str, how: str, why: str, came: Any = None) -> None:
        """Count and report a message that reaches nobody; `about` is its sender or receiver.

        Where it `came` between durable workers that is written first: it does not come again.
        """
        detail, keeper = {"to": to, "how": how, "why": why}, self.outside.keeper
        if self.outside.dropping is not None:
            self.outside.dropping(detail)
        if self.history is not None:
            self.history.told(about, "dropped", detail)
        if type(came) is Caused and keeper is not None:
            keeper.dropped(to, came.cause)
            keeper.hold(None, self.tell_dropped, about, detail)
        else:
            self.tell_dropped(about, detail)

    def tell_dropped(self, about: Cell, detail: dict[str, Any]) -> None:
        """Count and report it."""
        self.dropped += 1
        self.report("dropped", about, detail)


def call_of(world: World, request: str = "") -> Pending:
    """Return a call on its way, with the id of its request if it has one."""
    if world.history is None:
        return Pending(request=request) if request else Pending()  # of which each call makes one
    return Numbered(request=request, history=world.history)


def answered_call(world: World, output: Any) -> Pending:
    """Return a call that has just been answered."""
    pending = call_of(world)
    pending.resolve(output)
    return pending


def asked_by(world: World) -> int:
    """Return the record whose effects are carried out now; 0 where nothing is remembered."""
    return 0 if world.history is None else world.history.current
