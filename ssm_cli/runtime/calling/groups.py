"""Groups, as they are asked from outside: who is a member, and one message to all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ssm_cli.behaviour.sizes import cut
from ssm_cli.behaviour.sound import MOST_GROUP_CHARACTERS, is_group
from ssm_cli.codec.json import jsonable, unshowable
from ssm_cli.errors import QueueFull, SysError
from ssm_cli.runtime.engine.bonds import tell_far
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.contained import contained
from ssm_cli.runtime.engine.publishing import OUTSIDE, has_way, publish
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import redacted, shown
from ssm_cli.runtime.performer.intake import enter, full_queue, need
from ssm_cli.runtime.remote.hearing import publish_heard
from ssm_cli.runtime.remote.ports import FarGroups
from ssm_cli.runtime.views import Carried, GroupInfo, MemberInfo, MemberValue, Published


class GroupCalls:
    """The part of a node that is asked about groups. Workers join and leave by effects."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get_members(self, group: str) -> list[str]:
        """Return the members of a group, in the order in which they joined (`pg:get_members/1`)."""
        return [*self._world.groups.members(group)]

    def which_groups(self) -> list[str]:
        """Return the groups that have members (`pg:which_groups/0`)."""
        return [*self._world.groups.groups]

    def lookup(self, group: str) -> dict[str, Any]:
        """Return the value that each member has joined with (Elixir's `Registry.lookup/2`)."""
        found = self._world.groups.members(group)
        return {name: member.value for name, member in found.items()}

    def joined(self, worker: str) -> list[str]:
        """Return the groups that a worker is in (Elixir's `Registry.keys/2`).

        Raises:
            NoProc: there is nobody of that name.
        """
        cell = need(self._world, worker)
        return [*self._world.groups.joined.get(cell.spec.id, ())]

    def groups(self) -> list[GroupInfo]:
        """Return the groups that have members, and how many."""
        found = self._world.groups.groups.items()
        return [GroupInfo(name, len(group.members)) for name, group in found]

    def members(self, group: str) -> list[MemberInfo]:
        """Return the members of a group, their values as text, redacted as their states are."""
        return [*self.each_member(group)]

    def each_member(self, group: str) -> Iterator[MemberInfo]:
        """Yield them, as they were at first."""
        for name, cell, value in self._each(group):
            yield MemberInfo(name, "" if value is None else shown(self._world, cell, value))

    def member_values(self, group: str) -> list[MemberValue]:
        """Return the members of a group, their values as data, redacted as their states are."""
        return [*self.each_value(group)]

    def each_value(self, group: str) -> Iterator[MemberValue]:
        """Yield them, as they were at first."""
        for name, cell, value in self._each(group):
            unsaid = partial(unshowable, value)
            visible = redacted(self._world, cell, value)
            yield MemberValue(name, contained(self._world, cell, unsaid, jsonable, visible))

    def _each(self, group: str) -> Iterator[tuple[str, WorkerCell, Any]]:
        found = self._world.groups.groups.get(group)
        members, order = ({}, ()) if found is None else found.lend()
        for name in order:
            cell = self._world.names.get(name)
            if isinstance(cell, WorkerCell):
                yield name, cell, members[name].value

    def join_others(self, far: FarGroups) -> None:
        """Have publishes reach members in other processes of the tree, and the other way round."""
        self._world.outside.far_groups = far
        tell_far(self._world, self.which_groups())

    def hear(self, group: str, carried: Carried) -> None:
        """Publish here what another process of the tree has published; not from a step."""
        publish_heard(self._world, group, carried)
        if self._world.outside.wake is not None:
            self._world.outside.wake()

    def note_lost(self, group: str, why: str) -> None:
        """Count and report a publish that did not reach other processes of the tree."""
        self._world.drop(self._world.root, group, "publish", why)

    def publish(self, group: str, message: Any) -> Published:
        """Cast `message` to each who is a member now; say how many that are in this process.

        Bytes are decoded by the codec of each. While the queue is full, what waits is served first.

        Raises:
            SysError: `badarg`: this is no name of a group.
            QueueFull: it is full all the same, or 10 million inputs of publishes are under way.
            CalledFromStep: a step publishes by its own node, and not by an effect.
            CalleeStopped: the tree is down; `GaveUp`, if its root gave up.
        """
        world = self._world
        if not is_group(group):
            most = f"expected text of 1 to {MOST_GROUP_CHARACTERS} characters"
            raise SysError(f"{cut(ascii(group))} is no name of a group: {most}", term="badarg")
        enter(world, group, wait=True)
        if len(world.queue) >= world.bound:
            raise full_queue(world, group)
        if not has_way(world, [group]):
            raise QueueFull(f"{group}: too much is being published; publish again later")
        count = len(world.groups.members(group))
        publish(world, group, message, OUTSIDE)
        if world.outside.wake is not None and not world.pumping:
            world.outside.wake()
        return Published(group, count)
