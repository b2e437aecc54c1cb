"""A second model of a tree: rebuilt from its report stream alone, and asked for its opinion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ssm_cli import NodeView, Report

UP = "up"
DOWN = "down"
DELAYED = "delayed"
AFTER = {
    "started": UP,
    "start_failed": DOWN,
    "ignored": DOWN,
    "terminated": DOWN,
    "killed": DOWN,
    "exited": DOWN,
    "delayed": DELAYED,
}
RESTARTS = ("restarting", "delayed")


class Folded:
    """What the report stream says of a tree.

    Attributes:
        states: up, down or delayed, by path.
        wrong: what the stream says that cannot be, in words.
    """

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.wrong: list[str] = []
        self._seq = 0
        self._starts: defaultdict[str, int] = defaultdict(int)
        self._restarts: defaultdict[str, list[float]] = defaultdict(list)
        self._pending: list[str] = []

    def read(self, report: Report) -> None:
        """Take in the next report."""
        self._seq += 1
        if report.seq != self._seq:
            self.wrong.append(f"report {report.seq} where {self._seq} was due")
            self._seq = report.seq
        path, event = report.path, report.event
        if event == "starting":
            self._begin(report)
        elif event in ("crashed", "terminating") and self.states.get(path) != UP:
            self.wrong.append(f"{event} {path}, which is not up")
        elif event == "restarting":
            self._restart(report)
        if event in AFTER:
            self.states[path] = AFTER[event]

    def _begin(self, report: Report) -> None:
        path = report.path
        above = path.rpartition("/")[0]
        if self.states.get(path) == UP:
            self.wrong.append(f"{path} starts, and is up already")
        if self._pending and report.id == self._pending[0]:
            del self._pending[0]
        elif report.id in self._pending:
            self.wrong.append(f"{path} starts before {self._pending[0]}")
        if report.kind == "supervisor":
            self._restarts[path].clear()
        if above and self.states.get(above) == DOWN and not self._starting(above):
            self.wrong.append(f"{path} starts below {above}, which is down")
        self.states[path] = "starting"

    def _starting(self, path: str) -> bool:
        return self.states.get(path) == "starting"

    def _restart(self, report: Report) -> None:
        detail = report.detail
        times_s = self._restarts[report.path]
        times_s.append(report.at_s)
        recent = [at_s for at_s in times_s if at_s > report.at_s - detail["period"]]
        if len(recent) > detail["intensity"] + 1:  # one may be a delayed restart, counted before
            self.wrong.append(f"{report.path} restarts {len(recent)} times in its period")
        if detail["restarts"] > detail["intensity"]:
            self.wrong.append(f"{report.path} restarts beyond its intensity")
        self._pending = list(detail["children"])


def walk(view: NodeView) -> Iterator[NodeView]:
    """A view and all below it."""
    yield view
    for child in view.children:
        yield from walk(child)


def disagreements(folded: Folded, view: NodeView) -> list[str]:
    """Where the stream and the tree as it stands tell different stories."""
    nodes = {node.path: node for node in walk(view)}
    up = {path for path, node in nodes.items() if node.state in ("running", "suspended")}
    said = {path for path, state in folded.states.items() if state == UP}
    delayed = {path for path, node in nodes.items() if node.delay_ms is not None}
    said_delayed = {path for path, state in folded.states.items() if state == DELAYED}
    found = [f"only the stream has {path} up" for path in said - up]
    found += [f"only the tree has {path} up" for path in up - said]
    found += [f"only the tree delays {path}" for path in delayed - said_delayed]
    found += [f"only the stream delays {path}" for path in said_delayed - delayed]
    return found + folded.wrong
