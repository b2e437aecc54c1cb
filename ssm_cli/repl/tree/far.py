"""The tree of another process as rows: what is seen of it is asked for, and kept meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ssm_cli.errors import CallTimeout, NoTree
from ssm_cli.repl.tree.index import GROUP
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.looking.listing import Branch, Census, Glance, Rows
from ssm_cli.runtime.views import Kind, NodeView

AT_ONCE = 200  # nodes in a request, at most; the tree takes about 2 ms for them
AWAY = (NoTree, CallTimeout)


class FarSource:
    """A tree that is asked for what is looked at; see `Source`.

    While nothing happens, a `look` is one small request, and the rows grow older by themselves.
    While the tree does not answer, all rows are unreachable.

    Args:
        api: asked by the effects `rows`, `branches`, `names` and `census`.
        now: a monotonic clock, in seconds.

    Raises:
        SsmError: the tree does not answer now.
    """

    def __init__(self, api: NodeApi, now: Callable[[], float]) -> None:
        self._api = api
        self._now = now
        self._seen: dict[str, tuple[Glance | None, float]] = {}
        self._wanted: dict[str, None] = {}  # what was looked at since the last look, in that order
        self._names: dict[str, list[str]] = {}
        self._away = False
        self._heard_s = now()
        self._moved = 0
        self._deep = 0
        self._last = self._ask((), None)
        self._branches = self._ask_branches()

    @property
    def root(self) -> str:
        """See `Source`."""
        return self._last.root

    @property
    def queue(self) -> int:
        """See `Source`."""
        return self._last.queue

    def moved(self) -> int:
        """See `Source`."""
        return self._moved

    def look(self) -> None:
        """See `Source`: what was looked at since the last time is looked at again."""
        names, self._wanted = tuple(self._wanted), {}
        before, since = self._last, None if self._away or self._fades(names) else self._last.seen
        try:
            seen = self._ask(names[:AT_ONCE], since)
            if seen.rows is not None:
                self._moved += 1
                self._seen = {}
                self._take(names[:AT_ONCE], seen.rows)
                self._fetch(names[AT_ONCE:])
                if self._away or self._is_other(before, seen):
                    self._branches, self._names = self._ask_branches(), {}
            self._last, self._away, self._heard_s = seen, False, self._now()
        except AWAY:
            self._moved += not self._away
            self._away = True

    def deep(self, least: int) -> dict[str, list[str]]:
        """See `Source`; as of the last look."""
        self._deep = least
        return self._last.deep

    def need(self, names: Sequence[str]) -> None:
        """See `Source`."""
        try:
            self._fetch([name for name in names if name not in self._seen])
        except AWAY:
            self._away = True

    def glance(self, name: str) -> Glance | None:
        """See `Source`."""
        self._wanted[name] = None
        if name not in self._seen:
            self.need((name,))
        until_s = self._heard_s if self._away else self._now()
        found, at_s = self._seen.get(name, (self._unknown(name), until_s))
        if found is None or (found.view.state != "running" and not self._away):
            return found
        view = found.view
        if view.state == "running":
            uptime_s = view.uptime_s + max(until_s - at_s, 0.0)
            view = msgspec.structs.replace(view, uptime_s=uptime_s)
        if self._away:
            view = msgspec.structs.replace(view, state="unreachable")
        return Glance(view, found.size)

    def size(self, name: str) -> int:
        """See `Source`."""
        branch = self._branches.get(name)
        return 0 if branch is None else branch.size

    def children(self, name: str, most: int | None = None) -> list[str]:
        """See `Source`; all of a large group are asked for once, until the tree has others."""
        branch = self._branches.get(name)
        if branch is None:
            return []
        enough = branch.size if most is None else min(most, branch.size)
        if enough <= len(branch.first):
            return branch.first[:enough]
        if name not in self._names:
            try:
                self._names[name] = self._api.perform("names", None, name)
            except AWAY:
                self._away = True
                self._branches[name] = msgspec.structs.replace(branch, size=len(branch.first))
                return branch.first
        return self._names[name][:most]

    def supervisors(self, name: str) -> list[str]:
        """See `Source`."""
        branch = self._branches.get(name)
        return [] if branch is None else branch.supervisors

    def census(self) -> Iterator[Census]:
        """See `Source`; in one step, counted where the tree runs."""
        try:
            census: Census = self._api.perform("census")
        except AWAY:
            self._away = True
        else:
            yield census

    def _ask(self, names: Sequence[str], since: str | None) -> Rows:
        asked = {"names": names, "since": since, "deep": self._deep or None}
        seen: Rows = self._api.perform(
            "rows", {key: value for key, value in asked.items() if value is not None}
        )
        return seen

    def _ask_branches(self) -> dict[str, Branch]:
        return {branch.name: branch for branch in self._api.perform("branches", GROUP)}

    def _fetch(self, names: Sequence[str]) -> None:
        for at in range(0, len(names), AT_ONCE):
            some = names[at : at + AT_ONCE]
            self._take(some, self._ask(some, None).rows or ())

    def _take(self, names: Sequence[str], rows: Sequence[Glance | None]) -> None:
        now_s = self._now()
        self._seen.update((name, (row, now_s)) for name, row in zip(names, rows, strict=True))

    def _is_other(self, before: Rows, seen: Rows) -> bool:
        """Whether there are other nodes than those that are known of."""
        if before.nodes != seen.nodes or before.root != seen.root:
            return True
        return any(
            found is None or found.size != self.size(name)
            for name, (found, _) in self._seen.items()
        )

    def _fades(self, names: Sequence[str]) -> bool:
        """Whether time alone changes more of a row than for how long its node has been up."""
        seen = (self._seen[name][0] for name in names if name in self._seen)
        return any(found is not None and changes_by_itself(found.view) for found in seen)

    def _unknown(self, name: str) -> Glance | None:
        """What is shown of a node that was never seen, and cannot be asked for now."""
        if not self._away:
            return None
        kind: Kind = "supervisor" if name in self._branches else "worker"
        return Glance(NodeView(name, name, kind, "unreachable"), self.size(name))


def changes_by_itself(view: NodeView) -> bool:
    """Return whether a node is shown otherwise a while later though nothing has happened.

    >>> changes_by_itself(NodeView("kv1", "root/kv1", "worker", "restarting", delay_ms=900.0))
    True
    >>> changes_by_itself(NodeView("kv1", "root/kv1", "worker", "running"))
    False
    """
    return view.kind == "remote" or view.delay_ms is not None or view.budget_left != view.intensity
