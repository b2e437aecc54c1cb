"""Remote children in the past: what is asked of them was asked then, and nobody is asked again."""

from __future__ import annotations

from typing import Any

from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
from ssm_cli.runtime.engine.world import World


class PastLinks:
    """The links of a tree that is led on by what is remembered: their news are remembered, too.

    Attributes:
        news: what is to be taken next.
    """

    def __init__(self) -> None:
        self.news: list[Any] = []

    def poll(self) -> list[Any]:
        """Return the news since the last `poll`."""
        return [self.news.pop(0) for _ in self.news[:]]

    def start(self, spec: Any, *, adopt: bool) -> None:
        """Nobody is asked: whether it came is among the news."""

    def stop_soon(self, child: str, within_s: float) -> None:
        """Nobody is asked: that it has ended is among the news."""

    def stop(self, child: str, within_s: float) -> bool:
        """Return that it was stopped in order, as far as is known."""
        del child, within_s
        return True

    def cast(self, child: str, worker: str, carried: Any) -> None:
        """Nobody is sent anything."""


def note_heard(world: World) -> None:
    """Note that children which could be reached were heard of, as links tell each second."""
    for cell in world.names.values():
        if isinstance(cell, RemoteCell) and cell.status is CellStatus.RUNNING and cell.reachable:
            cell.age_s, cell.heard_s = 0.0, world.clock.now_s()
