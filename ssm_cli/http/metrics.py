"""Metrics in the text format of Prometheus, collected in slices at each request.

Counters never fall: each of the first `MOST_NODES` nodes has a series of its own for as long as
the tree runs, also when it is gone or starts anew; what all others count is added up in one more.
"""

from __future__ import annotations

from collections.abc import Iterator

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


class Series(msgspec.Struct):
    """What a node, or all the others of a kind, have counted."""

    kind: str
    steps: Counter
    busy_s: Counter
    restarts: Counter

    def follow(self, view: NodeView) -> None:
        """Follow the counters of a node; one with less than before is another by that name."""
        anew = view.steps < self.steps.last or view.restarts < self.restarts.last
        busy_s = view.busy_s if anew else max(view.busy_s, self.busy_s.last)  # it is an estimate
        self.steps.follow(view.steps, anew=anew)
        self.busy_s.follow(busy_s, anew=anew)
        self.restarts.follow(view.restarts, anew=anew)


class Gauges(msgspec.Struct):
    """How a node, or all the others of a kind, stand; and what these others have counted."""

    kind: str
    queue: int = 0
    running: int = 0
    budget: int = 0
    steps: int = 0
    busy_s: float = 0.0
    restarts: int = 0
    age_s: float = 0.0
    epoch: int = 0

    def add(self, view: NodeView) -> None:
        """Add a node."""
        self.queue += view.queue
        self.running += view.state in ("running", "suspended")
        self.budget += view.budget_left or 0
        self.steps += view.steps
        self.busy_s += view.busy_s
        self.restarts += view.restarts
        self.age_s = max(self.age_s, view.age_s or 0.0)
        self.epoch = max(self.epoch, view.epoch)


def new_series(kind: str) -> Series:
    """Return a series that has counted nothing."""
    return Series(kind, Counter(), Counter(), Counter())


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
        gauges: dict[str, Gauges] = {}
        rest: dict[str, Gauges] = {}
        async for views in rested(each_seen(self._node.listing())):
            for view in views:
                if view is not None:
                    self._note(view, gauges, rest)
        for kind, others in rest.items():
            one = self._rest.setdefault(kind, new_series(kind))
            one.steps.follow(others.steps)
            one.busy_s.follow(others.busy_s)
            one.restarts.follow(others.restarts)
        async for lines in rested(self._lines(gauges, rest)):
            yield "".join(lines).encode()

    def _note(self, view: NodeView, gauges: dict[str, Gauges], rest: dict[str, Gauges]) -> None:
        one = self._series.get(view.path)
        if one is None and len(self._series) < MOST_NODES:
            one = self._series[view.path] = new_series(view.kind)
        if one is None:
            rest.setdefault(view.kind, Gauges(view.kind)).add(view)
        else:
            one.follow(view)
            gauges.setdefault(view.path, Gauges(view.kind)).add(view)

    def _lines(self, gauges: dict[str, Gauges], rest: dict[str, Gauges]) -> Iterator[str]:
        remote = ("remote",)
        worker, supervisor, every = ("worker",), ("supervisor",), ("worker", "supervisor", "remote")
        busy = "Seconds in steps, of a pure step by every 64th"
        counters = (
            ("ssm_steps_total", "Steps", "steps", worker),
            ("ssm_step_seconds_total", busy, "busy_s", worker),
            ("ssm_restarts_total", "Restarts", "restarts", every),
        )
        for name, text, field, kinds in counters:
            yield head(name, text, "counter")
            for label, one in self._series.items():
                if one.kind in kinds:
                    yield sample(name, label, getattr(one, field).total)
            totals = [getattr(o, field).total for o in self._rest.values() if o.kind in kinds]
            if totals:
                yield sample(name, self._other(), sum(totals))
        standing = (
            ("ssm_queue_depth", "Inputs waiting", "queue", worker),
            ("ssm_running", "1 if it runs", "running", every),
            ("ssm_budget_left", "Restarts left in period", "budget", supervisor),
            ("ssm_link_age_seconds", "Since the last sign of life", "age_s", remote),
            ("ssm_epoch", "Which life of a remote child", "epoch", remote),
        )
        for name, text, field, kinds in standing:
            yield head(name, text, "gauge")
            for label, node in gauges.items():
                if node.kind in kinds:
                    yield sample(name, label, getattr(node, field))
            numbers = [getattr(others, field) for k, others in rest.items() if k in kinds]
            if numbers:
                yield sample(name, self._other(), sum(numbers))
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
