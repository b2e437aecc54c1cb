"""Remote children without a cluster: the twin of the links, for tests. Part of the public API."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.remote.ports import (
    WHERE,
    Answered,
    Call,
    Ended,
    Heard,
    Launched,
    Linked,
    LinkSeen,
    News,
    NodeSeen,
    Outcome,
    Stopped,
    Superseded,
    Unheard,
)
from ssm_cli.runtime.views import Carried
from ssm_cli.spec.model import RemoteSpec

Worker = Callable[[bytes], Outcome]
NODE = "here"


class FakeLinks:
    """Links to children that exist in memory only.

    Args:
        clock: time passes by it while a node waits.
        workers: what is called, by `child.worker`.

    Attributes:
        asked: the children that were asked for and are not there; whether one that lives will do.
        refusing: why the next starts of a child fail, by its name.
        slow: children that start only when told to (`arrive`).
        nowhere: the children that no node would take, and why.
        lingering: children that take their time to stop.
        mute: whether calls are answered later.
        started, stopped: the names of children, in order.
        epochs: how many lives each child has had.
        interests: the groups that have members in the node.
        published: what was published to others: the group, what, and whether nobody here gets it.
    """

    def __init__(self, clock: Clock, workers: dict[str, Worker] | None = None) -> None:
        self.asked: dict[str, bool] = {}
        self.slow: set[str] = set()
        self.refusing: dict[str, list[Launched]] = {}
        self.nowhere: dict[str, str] = {}
        self.mute = False
        self.lingering: set[str] = set()
        self._leaving: dict[str, float] = {}  # that are to stop, and within how long
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.epochs: dict[str, int] = {}
        self.interests: set[str] = set()
        self.published: list[tuple[str, Carried, bool]] = []
        self._clock = clock
        self._workers = {} if workers is None else workers
        self._live: dict[str, bool] = {}
        self._news: list[News] = []
        self._answers: list[tuple[Answered, Outcome]] = []

    def start(self, spec: RemoteSpec, *, adopt: bool) -> None:
        """Note that a child is asked for; it starts at once, unless it is one of the `slow`."""
        self.asked[spec.id] = adopt
        if spec.id not in self.slow:
            self.arrive(spec.id)

    def arrive(self, child: str) -> None:
        """Start a child that was asked for, or refuse as `refusing` says.

        An adopted one keeps its epoch.
        """
        adopt, refusals = self.asked[child], self.refusing.get(child)
        if refusals:
            refused = msgspec.structs.replace(refusals[0], child=child)
            # in one line, here and below: an exception from outside neither loses nor doubles it
            (self._news.append(refused), refusals.pop(0), self.asked.pop(child))  # type: ignore[func-returns-value]  # nobody keeps it
            return
        if not (adopt and child in self._live):
            self.epochs[child] = self.epochs.get(child, 0) + 1
        self._live[child] = True
        self.started.append(child)
        launched = Launched(child, ok=True, node=NODE, epoch=self.epochs[child])
        (self._news.append(launched), self.asked.pop(child))  # type: ignore[func-returns-value]  # as above

    def stop_soon(self, child: str, within_s: float) -> None:
        """Stop a child; one of the `lingering` ends only when told to (`leave`)."""
        if child not in self._leaving and not self._is_told(child):
            self._leaving[child] = within_s
            if child not in self.lingering:
                self.leave(child)

    def _is_told(self, child: str) -> Stopped | None:
        told = (n for n in self._news if isinstance(n, Stopped) and n.child == child)
        return next(told, None)

    def is_leaving(self, child: str) -> bool:
        """Return whether a child was told to stop, and takes its time."""
        return child in self._leaving

    def leave(self, child: str) -> None:
        """End a child that was to stop; for one that is cut off its time passes."""
        within_s = self._leaving.pop(child)
        self.asked.pop(child, None)
        self._news = [n for n in self._news if not (isinstance(n, Launched) and n.child == child)]
        reachable = self._live.pop(child, True)
        self.stopped.append(child)
        if not reachable:
            self._clock.sleep_s(within_s)
        self._news.append(Stopped(child, reachable))

    def stop(self, child: str, within_s: float) -> bool:
        """Stop a child now."""
        self.stop_soon(child, within_s)
        if child in self._leaving:
            self.leave(child)
        told = self._is_told(child)
        assert told is not None
        self._news.remove(told)
        return told.ok

    def call(self, call: Call, answered: Answered) -> None:
        """Have the worker answer, if it can be reached."""
        worker = self._workers.get(f"{call.child}.{call.worker}")
        if call.worker == WHERE:
            why = self.nowhere.get(call.child, "")
            outcome = Outcome("noproc", error=why) if why else Outcome("replied", NODE.encode())
        elif not self._live.get(call.child, False):
            outcome = Outcome("noconnection", error=f"{call.child} cannot be reached")
        elif worker is None:
            outcome = Outcome("noproc", error=f"nobody serves {call.child}.{call.worker}")
        else:
            outcome = worker(call.data)
        self._answers.append((answered, outcome))

    def cast(self, child: str, worker: str, carried: Carried) -> None:
        """Hand an input over, if the child can be reached."""
        known = self._workers.get(f"{child}.{worker}")
        if known is not None and self._live.get(child, False):
            known(carried.data)

    def interest(self, group: str, *, wanted: bool) -> None:
        """Note whether a group has members."""
        (self.interests.add if wanted else self.interests.discard)(group)

    def publish(self, group: str, carried: Carried, *, alone: bool) -> None:
        """Note what was published."""
        self.published.append((group, carried, alone))

    def poll(self) -> Sequence[News]:
        """What has happened since the last time."""
        while self._answers and not self.mute:
            answered, outcome = self._answers[0]
            answered(outcome)
            del self._answers[0]  # last: one that is interrupted is told again
        return [self._news.pop(0) for _ in self._news[:]]

    def due_s(self) -> float:
        """Return that there is nothing to look after."""
        return math.inf

    def wait(self, seconds: float) -> None:
        """Let time pass, unless there are news."""
        if not (self._news or (self._answers and not self.mute)):
            self._clock.sleep_s(seconds)

    def fileno(self) -> int:
        """There is nothing to watch."""
        return -1

    def close(self) -> None:
        """Nothing is to be let go of."""

    # -- what tests do to the children -----------------------------------------------------------

    def end(self, child: str, reason: str, epoch: int | None = None) -> None:
        """A child ends, or an earlier epoch of it is reported to have ended."""
        ended = self.epochs[child] if epoch is None else epoch
        if ended == self.epochs[child]:
            self._live.pop(child, None)
        self._news.append(Ended(child, ended, reason))

    def node(self, name: str, *, up: bool) -> None:
        """A node of the cluster comes or goes."""
        self._news.append(NodeSeen(name, up))

    def hear(self, group: str, carried: Carried) -> None:
        """Another process of the tree publishes something."""
        self._news.append(Heard(group, carried))

    def unheard(self, group: str, why: str) -> None:
        """A publish has not reached the others."""
        self._news.append(Unheard(group, why))

    def break_off(self, *, up: bool = False, detail: str = "") -> None:
        """Whatever links the tree to its cluster goes, or is back."""
        self._news.append(LinkSeen(up, detail))

    def supersede(self, by: str) -> None:
        """Another process becomes the parent of the children."""
        self._news.append(Superseded(by))

    def link(
        self, child: str, *, reachable: bool, age_s: float = 0.0, node: str = NODE, why: str = ""
    ) -> None:
        """The link to a child breaks, or is there again, at a node that may be another."""
        self._live[child] = reachable
        self._news.append(Linked(child, self.epochs[child], node, reachable, age_s, why))
