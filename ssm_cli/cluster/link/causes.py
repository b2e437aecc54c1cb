"""Causes: the nodes whose death was told of, so that all that died with one counts once."""

from __future__ import annotations

from collections.abc import Mapping

ONE_CAUSE_S = 60.0  # a node that dies again within it is the same cause


class Causes:
    """The nodes that have died, each since its death was told of.

    Args:
        ages: how many seconds ago that was, as an earlier link process has told it.
        now_s: the time of who asks.
    """

    def __init__(self, ages: Mapping[str, float] | None = None, now_s: float = 0.0) -> None:
        self._told_s = {node: now_s - age_s for node, age_s in (ages or {}).items()}

    def is_new(self, node: str, now_s: float) -> bool:
        """Return whether the death of a node has not been told of yet, and note it.

        >>> causes = Causes({"n1": 59.0}, 100.0)
        >>> [causes.is_new("n1", 100.5), causes.is_new("n1", 101.5), causes.is_new("n1", 102.0)]
        [False, True, False]
        """
        new = node not in self.ages(now_s)
        if new:
            self._told_s[node] = now_s
        return new

    def ages(self, now_s: float) -> dict[str, float]:
        """Return for each node how many seconds ago it was; older ones are forgotten."""
        known = self._told_s.items()
        self._told_s = {node: told_s for node, told_s in known if now_s - told_s < ONE_CAUSE_S}
        return {node: now_s - told_s for node, told_s in self._told_s.items()}
