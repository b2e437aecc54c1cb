"""Publishing: one message to all members of a group, without holding up anybody else.

Theory of operation. To publish is to cast to each who is a member at that moment. For a small group
that is what happens. For a large one a single entry waits in the queue, a `Publishing`, which knows
who is still to get the message. When its turn comes it puts the inputs of the next `CHUNK` members
at the head of the queue, and behind them what others wait for, up to as many again; the rest of it
comes behind these. So a publish goes on by a chunk at a time, and calls, timers and a stop get in
between.

Members may live in other processes of the tree, too. There it goes as bytes, once, and each of them
publishes it to its own (`publish_here`). A fork has no others: what it publishes stays in it.

The order is that of one queue all the same: before an input is let past a publish that its worker
has still to get, the message of that goes to this worker (`Turn`). So whatever reaches a worker
behind a publish, from whomever, reaches it behind the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.codec.json import plainly_written
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.groups import Member, Membership
from ssm_cli.runtime.engine.pending import SentInput
from ssm_cli.runtime.engine.world import Input, World
from ssm_cli.runtime.views import Carried

CAST = Kind.CAST
CHUNK = 64  # members that get a message at once; more, and others get in between
LOOKED_AT = 256  # entries of the queue, in which others are looked for behind publishes
GONE = "no such worker"
MAX_CARRIED_BYTES = 900_000  # of a publish to other processes: one message of the servers
NOT_FAR = "it does not cross to other processes"
OUTSIDE = -1  # in place of the record whose effect a publish is
MOST_UNDER_WAY = 10_000_000  # inputs that publishes of large groups may still have to bring


class Publishing(msgspec.Struct, frozen=True, eq=False):
    """A publish that is under way: it waits in the queue, and is no input of a worker.

    Attributes:
        group: whose members get it.
        message: what they get.
        members: who were members when it was published.
        order: their names, in order.
        at: how many of them have had their turn.
        early: who of the others has got it already.
        record: whose effect it is, in a node that remembers.
    """

    group: str
    message: Any
    members: dict[str, Member]
    order: tuple[str, ...]
    at: int = 0
    early: frozenset[str] = frozenset()
    record: int = 0

    def left(self) -> int:
        """Return how many are still to get it."""
        return len(self.order) - self.at - len(self.early)

    def awaited_by(self, worker: str) -> bool:
        """Return whether a worker is still to get it."""
        member = self.members.get(worker)
        if member is None or worker in self.early:
            return False
        return self.at == 0 or member.number > self.members[self.order[self.at - 1]].number

    def without(self, worker: str) -> Publishing:
        """Return what is left once a worker has got it ahead of its turn."""
        return msgspec.structs.replace(self, early=self.early | {worker})

    def part(self, most: int) -> tuple[list[str], Publishing]:
        """Return who is next to get it, at most so many, and what is left then."""
        end = min(len(self.order), self.at + most)
        turn = self.order[self.at : end]
        left = msgspec.structs.replace(self, at=end, early=self.early.difference(turn))
        return [name for name in turn if name not in self.early], left

    def waiting(self) -> tuple[str, Any, list[str]]:
        """Return what counts of it for how a world goes on."""
        return self.group, self.message, self.left_to()

    def left_to(self) -> list[str]:
        """Return who is still to get it, in order."""
        return [name for name in self.order[self.at :] if name not in self.early]


def place_of(world: World, entry: Publishing) -> Input:
    """Return a publish as it waits in the queue."""
    return (world.root, Kind.INFO, entry, None)  # type: ignore[return-value]  # it is no worker's


def places(world: World, group: str) -> int:
    """Return how many places in the queue a publish takes at first."""
    count = len(world.groups.members(group))
    return count if count <= CHUNK else 1


def has_way(world: World, groups: Sequence[str]) -> bool:
    """Return whether publishes to these groups may be under way beside those that are."""
    counts = [n for group in groups if (n := len(world.groups.members(group))) > CHUNK]
    if not counts:
        return True
    return world.groups.under_way + sum(counts) <= max(MOST_UNDER_WAY, *counts)  # one always may


def publish(world: World, group: str, message: Any, record: int = 0) -> None:
    """Publish a message to all; `record` is the one whose effect it is, or `OUTSIDE`."""
    far = world.outside.far_groups
    if far is None:
        publish_here(world, group, message, record)
        return
    here = group in world.groups.groups
    if here:
        publish_here(world, group, message, record)
    try:
        carried = carried_of(message)
    except DecodeError as error:
        world.drop(world.root, group, "publish", f"{NOT_FAR}: {error}")
    else:
        far.publish(group, carried, alone=not here)


def carried_of(message: Any) -> Carried:
    """Return a message as it crosses to other processes.

    Raises:
        DecodeError: it does not; says why.
    """
    is_value = type(message) is not bytes
    data = plainly_written(message) if is_value else message
    if len(data) > MAX_CARRIED_BYTES:
        raise DecodeError(f"it has {len(data):,} bytes, and at most {MAX_CARRIED_BYTES:,} cross")
    return Carried(data, is_value)


def publish_here(world: World, group: str, message: Any, record: int) -> None:
    """Publish a message to the members in this process."""
    found = world.groups.groups.get(group)
    if found is None:
        world.drop(world.root, group, "publish", "no members")
    elif len(found.members) <= CHUNK:
        cast_to_few(world, found, message, record)
    else:
        entry = Publishing(group, message, *found.lend(), record=record)
        world.groups.under_way += entry.left()
        world.queue.append(place_of(world, entry))


def cast_to_few(world: World, found: Membership, message: Any, record: int) -> None:
    """Put the inputs of a publish to a small group into the queue."""
    cells: tuple[WorkerCell, ...] | None = found.cells
    if cells is None:
        known = [world.names.get(name) for name in found.members]
        cells = tuple(cell for cell in known if type(cell) is WorkerCell)
        if len(cells) < len(known):
            names = found.members
            world.queue.extend([x for name in names for x in to(world, name, message, record)])
            return
        found.cells = cells
    if world.history is None or record == OUTSIDE:
        world.queue.extend([(cell, CAST, message, None) for cell in cells])
    else:
        sent = SentInput(world.history, record)
        world.queue.extend([(cell, CAST, message, sent) for cell in cells])


def to(world: World, name: str, message: Any, record: int) -> tuple[Input, ...]:
    """Return the input that brings a message to a member; none, and a report, if that is gone."""
    cell = world.names.get(name)
    if type(cell) is not WorkerCell:
        world.drop(world.root, name, "publish", GONE)
        return ()
    sent = None if world.history is None or record == OUTSIDE else SentInput(world.history, record)
    return ((cell, Kind.CAST, message, sent),)


def bring_on(world: World, entry: Publishing) -> None:
    """Bring a publish, which was taken from the head of the queue, to its next members."""
    queue = world.queue
    try:
        turn = Turn(world)
        seen = 0
        turn.add(place_of(world, entry))
        most = share(world)
        for waits in islice(queue, LOOKED_AT):
            if len(turn.inputs) >= 2 * most:
                break
            turn.add(waits)
            seen += 1
        ahead = turn.all()
        brought = turn.brought
    except BaseException:
        queue.appendleft(place_of(world, entry))
        raise
    # in one line, so that an exception from outside neither loses nor doubles an input
    ([queue.popleft() for _ in range(seen)], queue.extendleft(reversed(ahead)))  # type: ignore[func-returns-value]  # see above
    world.groups.under_way -= brought


def share(world: World) -> int:
    """Return how many inputs a publish may put into the queue at a time, beside those of others."""
    bound: int = world.bound
    return max(1, min(CHUNK, bound // 4))


class Turn:
    """One turn of the publishes at the head of the queue, as it is arranged.

    Attributes:
        inputs: those that come next.
        brought: how many of them publishes have brought.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._most = share(world)
        self._first: list[Input] = []
        self.inputs: list[Input] = []
        self._left: list[Publishing] = []
        self.brought = 0

    def add(self, waits: Input) -> None:
        """Take what is next in the queue: an input, or a publish."""
        cell, kind, message, _ = waits
        if type(message) is Publishing and self.brought >= self._most:
            self._left.append(message)  # it has its turn; what comes behind it is not held up
        elif type(message) is Publishing:
            names, left = message.part(self._most)
            for name in names:
                self._catch_up(name)
                self._bring(name, message)
            if left.left():
                self._left.append(left)
        elif kind is Kind.CONTINUE:
            self._first.append(waits)  # it goes ahead of all other inputs of its worker
        else:
            self._catch_up(cell.spec.id)
            self.inputs.append(waits)

    def all(self) -> list[Input]:
        """Return what the head of the queue is to be."""
        entries = [place_of(self._world, left) for left in self._left]
        return [*self._first, *self.inputs, *entries]

    def _catch_up(self, name: str) -> None:
        waits = [left.awaited_by(name) for left in self._left]
        if any(waits):
            for index, left in enumerate(self._left):
                if waits[index]:
                    self._bring(name, left)
                    self._left[index] = left.without(name)
            self._left = [left for left in self._left if left.left()]

    def _bring(self, name: str, entry: Publishing) -> None:
        self.inputs.extend(to(self._world, name, entry.message, entry.record))
        self.brought += 1


def catch_up(world: World, name: str, *, gone: bool = False) -> None:
    """Bring one worker all that publishes under way have for it, each in its place in the queue.

    One that is `gone`, as was reported, gets nothing.
    """
    queue = world.queue
    if not world.groups.under_way:
        return
    for index in reversed(range(len(queue))):
        entry = queue[index][2]
        if type(entry) is Publishing and entry.awaited_by(name):
            left = entry.without(name)
            queue[index] = place_of(world, left)
            if not left.left():
                del queue[index]
            for one in () if gone else to(world, name, entry.message, entry.record):
                queue.insert(index, one)
            world.groups.under_way -= 1
