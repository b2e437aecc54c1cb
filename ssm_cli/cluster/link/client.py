"""The links of a tree through its link process: the port of `runtime/remote`.

A start is an order to the link process and nothing more; what became of it comes as news. The
process takes orders before it is connected, and answers each, or dies; then another one is started
and gets what was asked for and has not been answered yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from ssm_cli.cluster.jetstream.wire import Access, access_at
from ssm_cli.cluster.link.frames import (
    Answered,
    CallChild,
    ChildJob,
    Done,
    Ended,
    Linked,
    News,
    NodeSeen,
    StartChild,
    StopChild,
)
from ssm_cli.cluster.link.spawned import MARGIN_S, LinkProcess
from ssm_cli.runtime.clock import Clock, SystemClock
from ssm_cli.runtime.remote import ports
from ssm_cli.spec.model import RemoteSpec

READ_BYTES = 65_536
MOST_CALLS = 4096  # without an answer; more are answered `busy`
MOST_DEATHS = 5  # of the link process in a row, with nothing heard in between
GONE = "the process that links this tree to the cluster has ended"


class ClusterLinks(LinkProcess):
    """The links of one tree. Starts the link process at first use, and again if it dies.

    Args:
        access: the cluster, or its URL.
        tree: the name of the tree.
        clock: measures time-outs.
    """

    def __init__(self, access: Access | str, tree: str, clock: Clock | None = None) -> None:
        known = access_at(access) if isinstance(access, str) else access
        super().__init__(known, tree, SystemClock() if clock is None else clock)
        self._n = 0
        self._deaths = 0
        self._done: dict[int, Done] = {}
        self._calls: dict[int, ports.Answered] = {}
        self._answers: list[tuple[ports.Answered, ports.Outcome]] = []
        self._jobs: dict[str, tuple[ChildJob, int, str]] = {}  # live children: epoch and node
        self._starting: dict[str, StartChild] = {}  # orders that have no answer yet
        self._adopting: dict[int, str] = {}
        self._news: list[ports.News] = []

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _until_done(self, n: int, limit_s: float) -> Done:
        """Wait for the answer to a stop order."""
        end_s, asked = self._clock.now_s() + limit_s, self._socket
        while n not in self._done:
            left_s = end_s - self._clock.now_s()
            if left_s <= 0 or self._socket is None or self._socket is not asked:
                return Done(n, ok=False, reason="noconnection", detail=GONE)
            self._wait(left_s)
            self._read()
        return self._done.pop(n)

    # -- the port --------------------------------------------------------------------------------

    def start(self, spec: RemoteSpec, *, adopt: bool) -> None:
        """Ask for the start of a child."""
        job, asked = job_of(spec), self._starting.get(spec.id)
        if asked is not None and asked.job == job:
            return
        order = self._starting[spec.id] = StartChild(self._next(), job, adopt)
        if self._socket is None:
            self._spawn()
        self._send(order)

    def stop(self, child: str, within_s: float) -> bool:
        """Stop a child, and wait."""
        self._jobs.pop(child, None)
        self._starting.pop(child, None)
        if self._socket is None:
            return False
        n = self._next()
        self._send(StopChild(n, child, within_s))
        return self._until_done(n, within_s + MARGIN_S).ok

    def call(self, call: ports.Call, answered: ports.Answered) -> None:
        """Send a call without waiting for its outcome."""
        if self._socket is None or len(self._calls) >= MOST_CALLS:
            full = self._socket is not None
            why = f"{MOST_CALLS} calls have no answer yet" if full else GONE
            outcome = ports.Outcome("busy" if full else "noconnection", error=why)
            self._answers.append((answered, outcome))
            return
        n = self._next()
        self._calls[n] = answered
        self._send(
            CallChild(n, call.child, call.worker, call.data, call.timeout_s, call.request_id)
        )

    def cast(self, child: str, worker: str, data: bytes) -> None:
        """Send a cast."""
        self._send(CallChild(0, child, worker, data, 0.0))

    def poll(self) -> Sequence[ports.News]:
        """Return the news since the last `poll`."""
        self._read()
        while self._answers:
            answered, outcome = self._answers[0]
            answered(outcome)
            del self._answers[0]  # last: one that is interrupted is told again
        return [self._news.pop(0) for _ in self._news[:]]

    def wait(self, seconds: float) -> None:
        """Wait until the socket is readable, for at most `timeout_s`."""
        if not (self._news or self._answers):
            self._wait(seconds)

    # -- what comes ------------------------------------------------------------------------------

    def _read(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._died()
                return
            self._deaths = 0
            for frame in self._frames.feed(data):
                if isinstance(frame, News):
                    self._take(frame)

    def _take(self, news: News) -> None:
        match news:
            case Done(n) if n in self._adopting:
                self._adopted(self._adopting.pop(n), news)
            case Done():
                self._done_with(news)
            case Answered(n, outcome, output, error, reason):
                answered = self._calls.pop(n, None)
                if answered is not None:
                    said = ports.Outcome(outcome, output, error, reason)
                    self._answers.append((answered, said))
            case Ended(child, epoch, reason):
                self._jobs.pop(child, None)
                self._news.append(ports.Ended(child, epoch, reason))
            case NodeSeen(node, up, host):
                self._news.append(ports.NodeSeen(node, up, host))
            case Linked(child, epoch, node, reachable, age_s):
                known = self._jobs.get(child)
                if known is not None:
                    self._jobs[child] = known[0], epoch, node
                self._news.append(ports.Linked(child, epoch, node, reachable, age_s))

    def _done_with(self, done: Done) -> None:
        """Tell what became of a start; what is none of a start is the answer to a stop.

        0 is the number of the connection itself.
        """
        if not done.n and not done.ok:
            self._unopened(done)
        for child, order in self._starting.items():
            if order.n == done.n:
                del self._starting[child]
                if done.ok:
                    self._jobs[child] = order.job, done.epoch, done.node
                self._news.append(
                    ports.Launched(child, done.ok, done.reason, done.detail, done.node, done.epoch)
                )
                return
        self._done[done.n] = done

    def _unopened(self, done: Done) -> None:
        """Tell that none of the starts can be, as the cluster does not answer."""
        starting, self._starting = self._starting, {}
        for child in starting:
            self._news.append(
                ports.Launched(child, ok=False, reason=done.reason, detail=done.detail)
            )

    def _died(self) -> None:
        """Fail pending calls of a dead link process, and start another one that adopts children."""
        before, self._socket = self._socket, None
        if self._process is not None:
            self._process.kill()  # it has closed its end, so it is ending anyway
            self._process.wait()
        self._done.clear()
        calls, self._calls = self._calls, {}
        lost = ports.Outcome("noconnection", error=GONE)
        self._answers += [(answered, lost) for answered in calls.values()]
        for child, (_, epoch, node) in self._jobs.items():
            self._news.append(ports.Linked(child, epoch, node, reachable=False, age_s=0.0))
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            self._unopened(Done(0, ok=False, reason="noconnection", detail=GONE))
        elif self._jobs or self._starting:
            self._spawn()
            for child, order in self._starting.items():
                again = StartChild(order.n, order.job, adopt=True)
                self._starting[child] = again
                self._send(again)
            for child, (job, epoch, _) in self._jobs.items():
                n = self._next()
                self._adopting[n] = child
                self._send(StartChild(n, job, adopt=True, epoch=epoch))
        if before is not None:
            before.close()  # last: whoever watches the socket must see that its number has changed

    def _adopted(self, child: str, done: Done) -> None:
        known = self._jobs.get(child)
        if known is not None and not done.ok:
            del self._jobs[child]
            self._news.append(ports.Ended(child, known[1], "noconnection"))


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
