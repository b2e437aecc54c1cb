"""Stops: the orders to stop children that the link process has not answered yet."""

from __future__ import annotations

from ssm_cli.cluster.link.frames import Done, StopChild
from ssm_cli.runtime.remote.ports import Stopped


class Stops:
    """The stops of one tree that are under way, by child, and until when each is waited for."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[StopChild, float]] = {}

    def ask(self, order: StopChild, end_s: float) -> None:
        """Note an order."""
        self._orders[order.child] = order, end_s

    def order(self, child: str) -> StopChild | None:
        """Return the order to stop a child; None where none is under way."""
        return self._orders.get(child, (None, 0.0))[0]

    def orders(self) -> list[StopChild]:
        """Return all of them."""
        return [order for order, _ in self._orders.values()]

    def take(self, done: Done) -> list[Stopped]:
        """Return which child has been stopped, if this is the answer to the order to stop one."""
        return self._end(
            [c for c, (order, _) in self._orders.items() if order.n == done.n], done.ok
        )

    def late(self, now_s: float) -> list[Stopped]:
        """Return those that are not waited for any more."""
        return self._end([child for child, (_, end_s) in self._orders.items() if end_s <= now_s])

    def fail(self) -> list[Stopped]:
        """Return that none of them can be asked for, as the cluster does not answer."""
        return self._end([*self._orders])

    def _end(self, children: list[str], ok: bool = False) -> list[Stopped]:
        for child in children:
            del self._orders[child]
        return [Stopped(child, ok) for child in children]
