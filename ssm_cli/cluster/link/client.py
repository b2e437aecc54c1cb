"""The links of a tree through its link process: the port of `runtime/remote`.

A start is an order to the link process and nothing more; what became of it comes as news. The
process takes orders before it is connected, and answers each, or dies; then the next one gets what
was asked for and has not been answered yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ssm_cli.cluster.jetstream.wire import Access, access_at
from ssm_cli.cluster.link.frames import (
    Answered,
    CallChild,
    ChildJob,
    Done,
    Ended,
    HeardFar,
    Interest,
    Linked,
    LostFar,
    News,
    NodeSeen,
    Order,
    PublishFar,
    StartChild,
    StopChild,
)
from ssm_cli.cluster.link.spawned import LOOK_S, MARGIN_S, LinkProcess
from ssm_cli.cluster.ports import ClusterError
from ssm_cli.runtime.clock import Clock, SystemClock
from ssm_cli.runtime.remote import ports
from ssm_cli.runtime.views import Carried
from ssm_cli.spec.model import RemoteSpec

OPEN_S = 15.0
LATE_S = 1.0  # after its time-out a call without an answer is given up here
MOST_UNOPENED = 3  # processes in a row that die before they are connected
MOST_CALLS = 4096  # without an answer; more are answered `busy`
GONE = "the process that links this tree to the cluster has ended"
HANGS = "the process that links this tree to the cluster hangs, and was ended"
FULL = "too much waits for the process that links this tree to the cluster"


class ClusterLinks:
    """The links of one tree. Starts the link process at first use, and again if it dies.

    Args:
        access: the cluster, or its URL.
        tree: the name of the tree.
        clock: measures time-outs.
    """

    def __init__(self, access: Access | str, tree: str, clock: Clock | None = None) -> None:
        known = access_at(access) if isinstance(access, str) else access
        self._clock = SystemClock() if clock is None else clock
        self._process = LinkProcess(known, tree, self._clock)
        self._n = 0
        self._why = GONE  # there is no process
        self._down = False  # as was told
        self._done: dict[int, Done] = {}
        self._calls: dict[int, tuple[ports.Answered, float, str]] = {}  # until when, and whom
        self._swept_s = float("-inf")
        self._answers: list[tuple[ports.Answered, ports.Outcome]] = []
        self._jobs: dict[str, tuple[ChildJob, int, str]] = {}  # live children: epoch and node
        self._starting: dict[str, StartChild] = {}  # orders that have no answer yet
        self._open = False  # whether the process is connected
        self._unopened = 0
        self._adopting: dict[int, str] = {}
        self._interests: set[str] = set()
        self._news: list[ports.News] = []

    def _opened(self) -> None:
        """Ensure that the link process runs and is connected.

        Raises:
            ClusterError: the cluster does not answer.
        """
        if not self._process.lives:
            self._begin()
            done = self._until_done(0, OPEN_S)
            if not done.ok:
                raise ClusterError(done.detail)

    def _begin(self) -> None:
        """Start a process; it goes on with the children that the one before has had."""
        self._open = False
        try:
            self._process.spawn()
        except OSError as error:
            self._why = f"the link process cannot be started: {error}"
            self._process.bury()
            self._fail_starts()
            return
        for group in self._interests:
            self._send(Interest(group, wanted=True))
        for child, (job, epoch, node) in self._jobs.items():
            n = self._next()
            self._adopting[n] = child
            self._send(StartChild(n, job, adopt=True, epoch=epoch, node=node))
        for child, order in self._starting.items():
            again = order if self._process.life == 1 else StartChild(order.n, order.job, adopt=True)
            self._starting[child] = again
            self._send(again)

    def _send(self, order: Order) -> bool:
        return self._process.send(order)

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _until_done(self, n: int, limit_s: float) -> Done:
        """Wait for the answer to a stop order; not longer than its process lives."""
        end_s, asked = self._clock.now_s() + limit_s, self._process.life
        while n not in self._done:
            left_s = end_s - self._clock.now_s()
            if left_s <= 0 or not self._process.lives or self._process.life != asked:
                return Done(n, ok=False, reason="noconnection", detail=self._why)
            self._process.wait(min(left_s, LOOK_S))
            self._read()
        return self._done.pop(n)

    # -- the port --------------------------------------------------------------------------------

    def start(self, spec: RemoteSpec, *, adopt: bool) -> None:
        """Ask for the start of a child, of this process or of the one that comes next."""
        job, asked = job_of(spec), self._starting.get(spec.id)
        if asked is not None and asked.job == job:
            return
        order = self._starting[spec.id] = StartChild(self._next(), job, adopt)
        if self._process.lives:
            self._send(order)
        elif self._process.again_s == math.inf:  # there was none yet
            self._begin()

    def stop(self, child: str, within_s: float) -> bool:
        """Stop a child, and wait; where the process dies over it, by the next one.

        One that was asked for before there was a connection is not waited for.
        """
        if self._starting.pop(child, None) is not None and not self._open:
            self._send(StopChild(self._next(), child, within_s))
            return True
        end_s, done = self._clock.now_s() + within_s + MARGIN_S, None
        while done is None and (self._process.lives or self._why in {GONE, HANGS}):
            try:
                self._opened()
            except ClusterError:
                break
            life, limit_s = self._process.life, max(0.0, end_s - self._clock.now_s())
            self._until_adopted(child, limit_s)
            n = self._next()
            self._send(StopChild(n, child, within_s))
            done = self._until_done(n, limit_s)
            lost = not self._process.lives or self._process.life != life
            if not done.ok and lost and self._clock.now_s() < end_s:
                done = None
        self._jobs.pop(child, None)
        return done is not None and done.ok

    def _until_adopted(self, child: str, limit_s: float) -> None:
        """Wait until the process watches a child: what it does not know it cannot stop."""
        end_s = self._clock.now_s() + limit_s
        while child in self._adopting.values() and self._clock.now_s() < end_s:
            self._process.wait(LOOK_S)
            self._read()

    def call(self, call: ports.Call, answered: ports.Answered) -> None:
        """Send a call without waiting for its outcome."""
        full = len(self._calls) >= MOST_CALLS
        if not self._process.lives or full:
            why = f"{MOST_CALLS} calls have no answer yet" if full else self._why
            outcome = ports.Outcome("busy" if full else "noconnection", error=why)
            self._answers.append((answered, outcome))
            return
        n = self._next()
        until_s = self._clock.now_s() + call.timeout_s + LATE_S
        self._calls[n] = answered, until_s, f"{call.child}.{call.worker}"
        if not self._send(
            CallChild(n, call.child, call.worker, call.data, call.timeout_s, call.request_id)
        ):
            del self._calls[n]
            self._answers.append((answered, ports.Outcome("busy", error=FULL)))

    def cast(self, child: str, worker: str, data: bytes) -> None:
        """Send a cast; one that cannot be sent is told."""
        if not self._send(CallChild(0, child, worker, data, 0.0)):
            self._news.append(ports.Unheard(f"{child}.{worker}", self._unsent(), "cast"))

    def _unsent(self) -> str:
        """Return why an order was not taken."""
        return FULL if self._process.lives else self._why

    def interest(self, group: str, *, wanted: bool) -> None:
        """Tell the other processes whether there are members of a group here."""
        if wanted != (group in self._interests):
            (self._interests.add if wanted else self._interests.discard)(group)
            self._send(Interest(group, wanted))

    def publish(self, group: str, carried: Carried, *, alone: bool) -> None:
        """Send a publish to the other processes, if there are any."""
        if not self._send(PublishFar(group, carried, alone)) and (self._jobs or alone):
            self._news.append(ports.Unheard(group, f"other processes: {self._unsent()}"))

    def poll(self) -> Sequence[ports.News]:
        """Return the news since the last `poll`; start a process in the place of a dead one."""
        self._read()
        if not self._process.lives and self._clock.now_s() >= self._process.again_s:
            self._begin()
        self._sweep()
        while self._answers:
            answered, outcome = self._answers[0]
            answered(outcome)
            del self._answers[0]  # last: one that is interrupted is told again
        return [self._news.pop(0) for _ in self._news[:]]

    def _sweep(self) -> None:
        """Give up calls whose time is over; nobody knows whether they were stepped."""
        now_s = self._clock.now_s()
        if not self._calls or now_s < self._swept_s + LOOK_S:
            return
        self._swept_s = now_s
        for n in [n for n, (_, until_s, _) in self._calls.items() if until_s <= now_s]:
            answered, _, name = self._calls.pop(n)
            said = f"{name} has not answered in time; it may have been stepped"
            self._answers.append((answered, ports.Outcome("timeout", error=said)))

    def wait(self, seconds: float) -> None:
        """Wait for news, for at most so long."""
        if not (self._news or self._answers):
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
            case Answered(n, outcome, output, error, reason):
                asked = self._calls.pop(n, None)
                if asked is not None:
                    said = ports.Outcome(outcome, output, error, reason)
                    self._answers.append((asked[0], said))
            case Ended(child, epoch, reason):
                self._jobs.pop(child, None)
                self._news.append(ports.Ended(child, epoch, reason))
            case HeardFar(group, carried):
                self._news.append(ports.Heard(group, carried))
            case LostFar(group, why):
                self._news.append(ports.Unheard(group, why))
            case NodeSeen(node, up, host):
                self._news.append(ports.NodeSeen(node, up, host))
            case Linked(child, epoch, node, reachable, age_s):
                known = self._jobs.get(child)
                if known is not None:
                    self._jobs[child] = known[0], epoch, node
                self._news.append(ports.Linked(child, epoch, node, reachable, age_s))

    def _take_done(self, done: Done) -> None:
        started = [child for child, order in self._starting.items() if order.n == done.n]
        for child in started:
            order = self._starting.pop(child)
            if done.ok:
                self._jobs[child] = order.job, done.epoch, done.node
            told = done.ok, done.reason, done.detail, done.node, done.epoch
            self._news.append(ports.Launched(child, *told))
        if self._adopting.pop(done.n, None) is None:
            self._done |= {} if started else {done.n: done}
        elif not done.ok:  # it cannot watch; the next process may
            self._died(done.detail)
        if done.n == 0:
            self._why, self._open = GONE if done.ok else done.detail, done.ok
            self._unopened = 0
            if not done.ok:
                self._fail_starts()
        if done.n == 0 and done.ok and self._down:
            self._down = False
            self._news.append(ports.LinkSeen(up=True))

    def _fail_starts(self) -> None:
        """Tell that none of the starts can be, as the cluster does not answer."""
        starting, self._starting = self._starting, {}
        for child in starting:
            why = self._why
            self._news.append(ports.Launched(child, ok=False, reason="noconnection", detail=why))

    def _died(self, why: str = "") -> None:
        """Give up a process, and fail what is under way: nobody knows what became of that."""
        self._why = why or self._why
        self._process.bury()
        self._unopened += not self._open
        self._open = False
        if self._unopened >= MOST_UNOPENED:
            self._fail_starts()
        self._done.clear()
        self._adopting.clear()
        calls, self._calls = self._calls, {}
        lost = ports.Outcome("noconnection", error=f"{self._why}; it may have been stepped")
        self._answers += [(answered, lost) for answered, _, _ in calls.values()]
        for child, (_, epoch, node) in self._jobs.items():
            self._news.append(ports.Linked(child, epoch, node, reachable=False, age_s=0.0))
        if not self._down:
            self._down = True
            self._news.append(ports.LinkSeen(up=False, detail=self._why))


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
