"""Groups: which workers are members of what, with a value each (OTP `pg`, Elixir `Registry`).

A worker is in a group for one life at most. Members stand in the order in which they joined. What
is lent out, to a publish that is under way or to a fork, is never changed: the next change is made
to a copy (`Membership.own`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MOST_JOINED = 10_000  # groups that one worker may be in


class Member(msgspec.Struct, frozen=True, eq=False):
    """A worker in a group; numbers grow in the order of joining, over all groups."""

    number: int
    value: Any = None


class Membership:
    """The members of one group by name, in order.

    Attributes:
        members: see above.
        lent: somebody else holds `members`: they are copied before they change.
        order, cells: their names and their cells, where a publish has asked for them since the last
            change; else None. Who is forgotten has left before.
    """

    __slots__ = ("cells", "lent", "members", "order")

    def __init__(self, members: dict[str, Member] | None = None) -> None:
        self.members: dict[str, Member] = {} if members is None else members
        self.lent = members is not None
        self.order: tuple[str, ...] | None = None
        self.cells: tuple[Any, ...] | None = None

    def own(self) -> dict[str, Member]:
        """Return the members, to be changed."""
        if self.lent:
            self.members, self.lent = dict(self.members), False
        self.order = self.cells = None
        return self.members

    def lend(self) -> tuple[dict[str, Member], tuple[str, ...]]:
        """Return the members and their names in order, which stay as they are."""
        self.lent = True
        if self.order is None:
            self.order = tuple(self.members)
        return self.members, self.order


NO_MEMBERS: Mapping[str, Member] = {}


class Groups:
    """All groups of a world.

    Each change can be repeated, where an exception from outside has cut it.

    Attributes:
        groups: by name; one without members is not there.
        joined: by worker, the groups that it is in.
        number: of the member that joined last.
        under_way: how many inputs publishes that are under way have still to bring.
    """

    __slots__ = ("groups", "joined", "number", "under_way")

    def __init__(self) -> None:
        self.groups: dict[str, Membership] = {}
        self.joined: dict[str, tuple[str, ...]] = {}
        self.number = self.under_way = 0

    def members(self, group: str) -> Mapping[str, Member]:
        """Return the members of a group by name, in the order of joining; to be read at once."""
        found = self.groups.get(group)
        return NO_MEMBERS if found is None else found.members

    def join(self, group: str, worker: str, value: Any) -> None:
        """Make a worker a member; one that is gets another value, and keeps its place."""
        found = self.groups.get(group)
        if found is None:
            found = self.groups[group] = Membership()
        known = found.members.get(worker)
        self.number += 1
        found.own()[worker] = Member(self.number if known is None else known.number, value)
        joined = self.joined.get(worker, ())
        if group not in joined:
            self.joined[worker] = (*joined, group)

    def leave(self, group: str, worker: str) -> None:
        """Make a worker a member no more."""
        self._take_out(group, worker)
        left = tuple(name for name in self.joined.get(worker, ()) if name != group)
        if left:
            self.joined[worker] = left
        else:
            self.joined.pop(worker, None)

    def end(self, worker: str) -> None:
        """A life of a worker has ended: it is in no group any more."""
        for group in self.joined.get(worker, ()):
            self._take_out(group, worker)
        self.joined.pop(worker, None)

    def _take_out(self, group: str, worker: str) -> None:
        found = self.groups.get(group)
        if found is not None and worker in found.members:
            found.own().pop(worker)
        if found is not None and not found.members:
            self.groups.pop(group, None)

    def too_many(self, worker: str, asked: Iterable[str]) -> bool:
        """Return whether a worker would be in too many groups once it has joined these as well."""
        return len({*self.joined.get(worker, ()), *asked}) > MOST_JOINED

    def clear(self) -> None:
        """Forget all: the tree is down."""
        self.groups.clear()
        self.joined.clear()
        self.under_way = 0

    def copy(self) -> Groups:
        """Return the groups of a fork; a group is copied by whoever changes it first."""
        other = Groups()
        other.joined, other.number, other.under_way = {**self.joined}, self.number, self.under_way
        for name, group in self.groups.items():
            group.lent = True
            other.groups[name] = Membership(group.members)
        return other
