"""Starts: the orders to start children that the link process has not answered yet."""

from __future__ import annotations

from ssm_cli.cluster.link.frames import ChildJob, Done, StartChild
from ssm_cli.runtime.remote.ports import Launched


class Starts:
    """The starts of one tree that are under way, by child."""

    def __init__(self) -> None:
        self._orders: dict[str, StartChild] = {}

    def ask(self, n: int, job: ChildJob, *, adopt: bool) -> StartChild | None:
        """Return the order to start a child; None where the same is under way."""
        asked = self._orders.get(job.name)
        if asked is not None and asked.job == job:
            return None
        order = self._orders[job.name] = StartChild(n, job, adopt)
        return order

    def again(self) -> list[StartChild]:
        """Return the orders for the next process: what the one before has started will do."""
        self._orders = {
            child: StartChild(order.n, order.job, adopt=True)
            for child, order in self._orders.items()
        }
        return list(self._orders.values())

    def drop(self, child: str) -> bool:
        """Forget the start of a child; return whether it was under way."""
        return self._orders.pop(child, None) is not None

    def take(self, done: Done) -> StartChild | None:
        """Return the order that is answered; None where it is that of something else."""
        for child, order in self._orders.items():
            if order.n == done.n:
                del self._orders[child]
                return order
        return None

    def fail(self, why: str) -> list[Launched]:
        """Return that none of them can be, as the cluster does not answer."""
        orders, self._orders = self._orders, {}
        return [Launched(child, ok=False, reason="noconnection", detail=why) for child in orders]
