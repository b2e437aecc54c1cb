"""Metrics in the text format of Prometheus, collected in slices at each request.

Counters never fall: each of the first `MOST_NODES` nodes has a series of its own for as long as
the tree runs, also when it is gone or starts anew; what all others count is added up in one more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import add

import msgspec

from ssm_cli.http.calling import Calling
from ssm_cli.http.exchange import Parts
from ssm_cli.http.slices import each_seen, rested
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import NodeView

MOST_NODES = 1000  # nodes with a label of their own; the others are added up as `other`
OTHER = "other"


class Counter(msgspec.Struct):
    """A number that never falls, of a source that may begin anew."""

    total: float = 0.0
    last: float = 0.0

    def follow(self, now: float, *, anew: bool = False) -> None:
        """Add what the source has counted since it was read last.

        >>> counter = Counter()
        >>> counter.follow(5); counter.follow(3); counter.follow(4); counter.total
        6.0
        """
        self.total += float(now if anew else max(0.0, now - self.last))
        self.last = now


class Series:
    """What a node, or all the others of a kind, have counted."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.counters = [Counter() for _ in range(COUNTERS)]

    def follow(self, view: NodeView) -> None:
        """Follow the counters of a node; one with less than before is another by that name."""
        steps, busy_s, restarts = (counter.last for counter in self.counters)
        anew = view.steps < steps or view.restarts < restarts
        busy_s = view.busy_s if anew else max(view.busy_s, busy_s)  # it is an estimate
        self.take((view.steps, busy_s, view.restarts), anew=anew)

    def take(self, numbers: Numbers, *, anew: bool = False) -> None:
        """Add what the sources have counted since they were read last."""
        for counter, now in zip(self.counters, numbers, strict=False):
            counter.follow(now, anew=anew)

    def counted(self) -> tuple[str, Numbers]:
        """Return its kind and its totals."""
        return self.kind, [counter.total for counter in self.counters]


Numbers = Sequence[float]
"""Of a node, or of all the others of a kind: a number for each of `FAMILIES`, in their order."""
Labelled = dict[str, tuple[str, Numbers]]  # by path; with the kind of the node
ONE, OVER, FAR = ("worker",), ("supervisor",), ("remote",)
EVERY = (*ONE, *OVER, *FAR)
BUSY = "Seconds in steps, of a pure step by every 64th"
FAMILIES: tuple[tuple[str, str, str, tuple[str, ...], Callable[[float, float], float]], ...] = (
    ("ssm_steps_total", "counter", "Steps", ONE, add),
    ("ssm_step_seconds_total", "counter", BUSY, ONE, add),
    ("ssm_restarts_total", "counter", "Restarts", EVERY, add),
    ("ssm_queue_depth", "gauge", "Inputs waiting", ONE, add),
    ("ssm_running", "gauge", "1 if it runs", EVERY, add),
    ("ssm_budget_left", "gauge", "Restarts left in period", OVER, add),
    ("ssm_link_age_seconds", "gauge", "Since the last sign of life", FAR, max),
    ("ssm_epoch", "gauge", "Which life of a remote child", FAR, max),
)
"""Name, type, text, the kinds of nodes that have it, and what those of many come to."""
COUNTERS = 3  # ... which are the first


def numbers_of(view: NodeView) -> Numbers:
    """Return the numbers of a node."""
    is_up = view.state in ("running", "suspended")
    left, age_s = view.budget_left or 0, view.age_s or 0.0
    return view.steps, view.busy_s, view.restarts, view.queue, is_up, left, age_s, view.epoch


class Metrics:
    """The metrics of a tree, by node."""

    KIND = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, node: Node, calling: Calling) -> None:
        self._node = node
        self._calling = calling
        self._series: dict[str, Series] = {}
        self._rest: dict[str, Series] = {}
        self._records = Counter()

    async def exposition(self) -> Parts:
        """Yield the text of all metrics, version 0.0.4 of the format."""
        seen: Labelled = {}
        rest: dict[str, Numbers] = {}
        async for views in rested(each_seen(self._node.listing())):
            for view in views:
                if view is not None:
                    self._note(view, seen, rest)
        for kind, numbers in rest.items():
            self._rest.setdefault(kind, Series(kind)).take(numbers)
        async for lines in rested(self._lines(seen, rest)):
            yield "".join(lines).encode()

    def _note(self, view: NodeView, seen: Labelled, rest: dict[str, Numbers]) -> None:
        kind, numbers, one = view.kind, numbers_of(view), self._series.get(view.path)
        if one is None and len(self._series) < MOST_NODES:
            one = self._series[view.path] = Series(kind)
        if one is not None:
            one.follow(view)
            seen[view.path] = kind, numbers
        else:
            others = rest.get(kind, (0,) * len(FAMILIES))
            rest[kind] = [f[-1](*both) for f, *both in zip(FAMILIES, others, numbers, strict=True)]

    def _lines(self, seen: Labelled, rest: dict[str, Numbers]) -> Iterator[str]:
        totals = {label: one.counted() for label, one in self._series.items()}
        of_rest = dict(one.counted() for one in self._rest.values())
        for at, (name, type_, text, kinds, _) in enumerate(FAMILIES):
            yield head(name, text, type_)
            nodes, others = (totals, of_rest) if at < COUNTERS else (seen, rest)
            for label, (kind, numbers) in nodes.items():
                if kind in kinds:
                    yield sample(name, label, numbers[at])
            left = [numbers[at] for kind, numbers in others.items() if kind in kinds]
            if left:
                yield sample(name, self._other(), sum(left))
        yield from self._of_tree()

    def _of_tree(self) -> Iterator[str]:
        node, calling = self._node, self._calling
        listing = node.listing()
        root = listing.glance(listing.root)
        uptime_s = 0.0 if root is None else root.view.uptime_s
        yield family("ssm_uptime_seconds", "Since the root started", "gauge", uptime_s)
        yield family("ssm_reports_total", "Reports", "counter", node.last_seq)
        lost = "Messages that reached nobody"
        yield family("ssm_dropped_total", lost, "counter", node.dropped)
        stored = node.stored()
        if stored is not None:
            self._records.follow(stored[1])
            yield family("ssm_storage_bytes", "Room of what is kept", "gauge", stored[0])
            written = self._records.total
            yield family("ssm_records_total", "Records of the journal", "counter", written)
            failing = node.storage_error is not None
            yield family("ssm_storage_failing", "1 if it cannot write", "gauge", failing)
        yield head("ssm_call_seconds", "Calls over HTTP, from request to outcome", "summary")
        yield f"ssm_call_seconds_count {float(calling.calls)!r}\n"
        yield f"ssm_call_seconds_sum {float(calling.call_seconds)!r}\n"

    def _other(self) -> str:
        """Return the label for all others, which is the path of no node."""
        return OTHER if OTHER not in self._series else f"/{OTHER}"


def head(name: str, text: str, kind: str) -> str:
    """Return the first two lines of a family."""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def family(name: str, text: str, kind: str, value: float) -> str:
    """Return a family of one sample without labels."""
    return f"{head(name, text, kind)}{name} {float(value)!r}\n"


def sample(name: str, label: str, value: float) -> str:
    r"""Return a sample of a node, its path escaped.

    >>> sample("ssm_running", 'root/a"b', 1)
    'ssm_running{node="root/a\\"b"} 1.0\n'
    """
    escaped = label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}{{node="{escaped}"}} {float(value)!r}\n'
