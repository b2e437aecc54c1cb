"""The links of a tree through its link process: the port of `runtime/remote`.

A start is an order to the link process and nothing more; what became of it comes as news. The
process takes orders before it is connected, and answers each, or dies; then the next one gets what
was asked for and has not been answered yet.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Sequence
from uuid import uuid4

import msgspec

from ssm_cli.cluster.jetstream.wire import Access, access_at
from ssm_cli.cluster.link.answers import FULL, Answers
from ssm_cli.cluster.link.causes import Causes
from ssm_cli.cluster.link.frames import (
    Answered,
    CallChild,
    ChildJob,
    Claim,
    Done,
    Ended,
    HeardFar,
    Interest,
    Linked,
    LostFar,
    News,
    NodeSeen,
    ParentWaits,
    PublishFar,
    ServersSeen,
    StartChild,
    StopChild,
    Superseded,
)
from ssm_cli.cluster.link.spawned import LOOK_S, MARGIN_S, LinkProcess
from ssm_cli.cluster.link.starts import Starts
from ssm_cli.cluster.link.stops import Stops
from ssm_cli.runtime.clock import Clock, SystemClock
from ssm_cli.runtime.remote import ports
from ssm_cli.runtime.views import Carried
from ssm_cli.spec.model import RemoteSpec

MOST_UNOPENED = 3  # processes in a row that die before they are connected
GONE = "the process that links this tree to the cluster has ended"
HANGS = "the process that links this tree to the cluster hangs, and was ended"
UNREAD = "too much waits for the process that links this tree to the cluster"


TOLD: dict[type[News], type[ports.News]] = {
    HeardFar: ports.Heard,
    LostFar: ports.Unheard,
    NodeSeen: ports.NodeSeen,
    ParentWaits: ports.ParentWaits,
    Superseded: ports.Superseded,
}
"""The news that go on as they are."""


class ClusterLinks:
    """The links of one tree. Starts the link process at first use, and again if it dies.

    Args:
        access: the cluster, or its URL.
        tree: the name of the tree.
        clock: measures time-outs.
        takeover: do not wait for another process that runs a tree of that name.
    """

    def __init__(
        self, access: Access | str, tree: str, clock: Clock | None = None, takeover: bool = False
    ) -> None:
        known = access_at(access) if isinstance(access, str) else access
        self._clock = SystemClock() if clock is None else clock
        claim = Claim(uuid4().hex, socket.gethostname(), os.getpid(), takeover)
        self._process = LinkProcess(known, tree, claim, self._clock)
        self._n = 0
        self._why = GONE  # there is no process
        self._down = False  # as was told
        self._answers = Answers()
        self._jobs: dict[str, tuple[ChildJob, int, str]] = {}  # live children: epoch and node
        self._starts, self._stops = Starts(), Stops()
        self._causes = Causes()  # the next process must not tell of them again
        self._open = False  # whether the process is connected
        self._unopened = 0
        self._adopting: dict[int, str] = {}
        self._interests: set[str] = set()
        self._news: list[ports.News] = []

    def _begin(self) -> None:
        """Start a process; it goes on with the children that the one before has had."""
        self._open = False
        try:
            self._process.spawn(self._causes.ages(self._clock.now_s()))
        except OSError as error:
            self._why = f"the link process cannot be started: {error}"
            self._process.bury()
            self._fail()
            return
        for group in self._interests:
            self._process.send(Interest(group, wanted=True))
        for child, (job, epoch, node) in self._jobs.items():
            n = self._next()
            self._adopting[n] = child
            self._process.send(StartChild(n, job, adopt=True, epoch=epoch, node=node))
        gone = [stop for stop in self._stops.orders() if stop.child not in self._jobs]
        for start in self._starts.again():
            self._process.send(start)
        for stop in gone:
            self._process.send(stop)

    def _next(self) -> int:
        self._n += 1
        return self._n

    # -- the port --------------------------------------------------------------------------------

    def start(self, spec: RemoteSpec, *, adopt: bool) -> None:
        """Ask for the start of a child, of this process or of the one that comes next."""
        if not self._process.lives and self._process.again_s == math.inf:  # there was none yet
            self._begin()
        order = self._starts.ask(self._next(), job_of(spec), adopt=adopt)
        if order is not None:
            self._process.send(order)

    def stop_soon(self, child: str, within_s: float) -> None:
        """Ask for the end of a child; where the process dies over it, of the next one.

        One that was asked for before there was a connection is not waited for.
        """
        if self._stops.order(child) is not None or self._has_ended(child) is not None:
            return
        order = StopChild(self._next(), child, within_s)
        unopened = self._starts.drop(child) and not self._open
        self._stops.ask(order, self._clock.now_s() + within_s + MARGIN_S)
        if unopened:
            self._stopped(self._stops.take(Done(order.n, ok=True)))
        elif not self._process.lives and self._process.again_s == math.inf:
            self._begin()
        if child not in self._adopting.values():  # what it does not know it cannot stop
            self._process.send(order)

    def stop(self, child: str, within_s: float) -> bool:
        """The same, and wait for it."""
        self.stop_soon(child, within_s)
        while self._stops.order(child) is not None:
            self._process.wait(LOOK_S)
            self._turn()
        done = self._has_ended(child)
        if done is not None:
            self._news.remove(done)
        return done is not None and done.ok

    def _has_ended(self, child: str) -> ports.Stopped | None:
        stopped = (n for n in self._news if isinstance(n, ports.Stopped) and n.child == child)
        return next(stopped, None)

    def call(self, call: ports.Call, answered: ports.Answered) -> None:
        """Send a call without waiting for its outcome."""
        full = self._answers.full
        if not self._process.lives or full:
            outcome = ports.Outcome("busy", error=FULL)
            away = ports.Outcome("noconnection", error=self._why)
            self._answers.refuse(answered, outcome if full else away)
            return
        n, end_s = self._next(), self._clock.now_s() + call.timeout_s
        self._answers.await_one(n, answered, end_s, f"{call.child}.{call.worker}")
        if not self._process.send(CallChild(n, *msgspec.structs.astuple(call))):
            self._answers.end(n, ports.Outcome("busy", error=UNREAD))

    def cast(self, child: str, worker: str, carried: Carried) -> None:
        """Send a cast; one that cannot be sent is told."""
        call = CallChild(0, child, worker, carried.data, 0.0, is_value=carried.is_value)
        if not self._process.send(call):
            self._news.append(ports.Unheard(f"{child}.{worker}", self._unsent(), "cast"))

    def _unsent(self) -> str:
        """Return why an order was not taken."""
        return UNREAD if self._process.lives else self._why

    def interest(self, group: str, *, wanted: bool) -> None:
        """Tell the other processes whether there are members of a group here."""
        if wanted != (group in self._interests):
            (self._interests.add if wanted else self._interests.discard)(group)
            self._process.send(Interest(group, wanted))

    def publish(self, group: str, carried: Carried, *, alone: bool) -> None:
        """Send a publish to the other processes, if there are any."""
        if not self._process.send(PublishFar(group, carried, alone)) and (self._jobs or alone):
            self._news.append(ports.Unheard(group, f"other processes: {self._unsent()}"))

    def poll(self) -> Sequence[ports.News]:
        """Return the news since the last `poll`; start a process in the place of a dead one."""
        self._turn()
        self._answers.sweep(self._clock.now_s())
        self._answers.tell()
        return [self._news.pop(0) for _ in self._news[:]]

    def wait(self, seconds: float) -> None:
        """Wait for news, for at most so long."""
        if not (self._news or self._answers.ready):
            self._process.wait(seconds)

    def due_s(self) -> float:
        """Return when to `poll` at the latest."""
        return self._process.due_s()

    def fileno(self) -> int:
        """Return what an event loop can watch for news."""
        return self._process.fileno()

    def close(self) -> None:
        """Let go of all children; the process ends."""
        self._process.close()

    # -- what comes ------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._read()
        now_s = self._clock.now_s()
        if not self._process.lives and now_s >= self._process.again_s:
            self._begin()
        self._stopped(self._stops.late(now_s))

    def _read(self) -> None:
        while self._process.lives:
            came = self._process.received()
            if came is None:
                self._died(HANGS if self._process.hangs() else "")
            elif not came:
                return
            for news in came or ():
                self._take(news)

    def _take(self, news: News) -> None:
        match news:
            case Done():
                self._take_done(news)
            case Answered(n, outcome, output, error, reason, crash):
                self._answers.end(n, ports.Outcome(outcome, output, error, reason, crash))
            case Ended(child, epoch, reason, died):
                self._jobs.pop(child, None)
                if died:
                    self._causes.is_new(died, self._clock.now_s())
                self._news.append(ports.Ended(child, epoch, reason))
            case Linked(child, epoch, node):
                known = self._jobs.get(child)
                if known is not None:
                    self._jobs[child] = known[0], epoch, node
                self._news.append(ports.Linked(*msgspec.structs.astuple(news)))
            case ServersSeen(up, why):
                self._seen(up=up, why=why)
            case _ if type(news) in TOLD:
                self._news.append(TOLD[type(news)](*msgspec.structs.astuple(news)))

    def _take_done(self, done: Done) -> None:
        order = self._starts.take(done)
        if order is not None:
            child = order.job.name
            if done.ok:
                self._jobs[child] = order.job, done.epoch, done.node
            told = done.ok, done.reason, done.detail, done.node, done.epoch
            self._news.append(ports.Launched(child, *told))
        child = self._adopting.pop(done.n, "")
        if child and not done.ok:  # it cannot watch; the next process may
            self._died(done.detail)
        elif child and (stop := self._stops.order(child)) is not None:
            self._process.send(stop)
        self._stopped(self._stops.take(done))
        if done.n == 0:
            self._why, self._open = GONE if done.ok else done.detail, done.ok
            self._unopened = 0
            if done.ok:
                self._process.claimed()
            else:
                self._fail()
        if done.n == 0 and done.ok:
            self._seen(up=True)

    def _seen(self, *, up: bool, why: str = "") -> None:
        """Tell that the cluster is reached again, or is not, unless that was told."""
        if up is self._down:
            self._down = not up
            self._news.append(ports.LinkSeen(up, why))

    def _stopped(self, news: list[ports.Stopped]) -> None:
        for stopped in news:
            self._jobs.pop(stopped.child, None)
        self._news += news

    def _fail(self) -> None:
        """Fail the starts and stops that are under way: the cluster does not answer."""
        self._news += self._starts.fail(self._why)
        self._stopped(self._stops.fail())

    def _died(self, why: str = "") -> None:
        """Give up a process, and fail what is under way: nobody knows what became of that."""
        self._why = why or self._why
        self._process.bury()
        self._unopened += not self._open
        self._open = False
        if self._unopened >= MOST_UNOPENED:
            self._fail()
        self._adopting.clear()
        self._answers.lose(self._why)
        for child, (_, epoch, node) in self._jobs.items():
            self._news.append(ports.Linked(child, epoch, node, reachable=False, age_s=0.0))
        self._seen(up=False, why=self._why)


def job_of(spec: RemoteSpec) -> ChildJob:
    """Convert a remote child spec to a job of the link."""
    return ChildJob(
        spec.id,
        spec.tree,
        dict(spec.place),
        spec.lease_s or 0.0,
        spec.takeover.value,
        spec.orphan.value,
        shard=spec.shard,
    )
