"""Kept events (`sys:log`): the last of each worker, and so many bytes of all together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from weakref import WeakSet

from ssm_cli.behaviour.sizes import size_of
from ssm_cli.runtime.views import SysEvent

MOST_KEPT_BYTES = 16 * 1024 * 1024  # of the events of all workers of a node
MOST_EVENT_BYTES = 64 * 1024  # of a value that is kept as it is; a larger one is kept as its text
EVENT_BYTES = 200  # of an event beside its value


class Room:
    """The bytes that the events of all workers of a node take; the largest log makes room."""

    __slots__ = ("_logs", "used_bytes")

    def __init__(self) -> None:
        self.used_bytes = 0.0
        self._logs: WeakSet[EventLog] = WeakSet()

    def join(self, log: EventLog) -> None:
        """Count the events of a log from now on, as long as somebody holds it."""
        self._logs.add(log)

    def keep_bound(self) -> None:
        """Let the oldest events of the largest logs go, until the rest fits."""
        logs = [*self._logs]
        self.used_bytes = sum(log.used_bytes for log in logs)
        while self.used_bytes > MOST_KEPT_BYTES:
            max(logs, key=lambda log: log.used_bytes).drop_oldest()


class EventLog:
    """The last `most` events of a worker, oldest first."""

    __slots__ = ("__weakref__", "_events", "_room", "most", "used_bytes")

    def __init__(self, most: int, room: Room) -> None:
        self.most = most
        self._room = room
        self._events: deque[tuple[SysEvent, float]] = deque()
        self.used_bytes = 0.0
        room.join(self)

    def __iter__(self) -> Iterator[SysEvent]:
        return (event for event, _ in self._events)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: SysEvent) -> None:
        """Keep an event whose value was looked at; older ones go where there are too many."""
        taken = EVENT_BYTES + size_of(event.value)
        self._events.append((event, taken))
        self.used_bytes += taken
        self._room.used_bytes += taken
        if len(self._events) > self.most:
            self.drop_oldest()
        if self._room.used_bytes > MOST_KEPT_BYTES:
            self._room.keep_bound()

    def copy(self, room: Room) -> EventLog:
        """Return a log of the same events that takes the room of another node."""
        other = EventLog(self.most, room)
        for event in self:
            other.add(event)
        return other

    def drop_oldest(self) -> None:
        """Let the oldest event go."""
        _, taken = self._events.popleft()
        self.used_bytes -= taken
        self._room.used_bytes -= taken
