"""The pace of a simulation: how long it may take by the time of the machine, and how far it is."""

from __future__ import annotations

from collections.abc import Callable

from ssm_cli.history.trials import Bounds
from ssm_cli.simulation.beside import Tell, untold


class Pace:
    """How long a search may take, and who is told how far it is.

    Args:
        seconds: that it may take; shrinking what it finds may take as long again.
        clock: monotonic seconds.
        tell: told how far it is.

    Attributes:
        seconds: as above.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], tell: Tell = untold) -> None:
        self.seconds, self._clock, self.tell = seconds, clock, tell
        self._end_s = clock() + seconds

    @property
    def said(self) -> str:
        """The bound in words."""
        return f"{self.seconds:g} s"

    def is_over(self) -> bool:
        """Return whether the time is over."""
        return self._clock() > self._end_s

    def shrinking(self) -> Bounds:
        """Return the bounds of the shrinking of what was found, which begins now."""
        tries = 0

        def now_s() -> float:
            nonlocal tries
            tries += 1
            self.tell("steps of shrinking", tries, 0)
            return self._clock()

        return Bounds(seconds=self.seconds, now_s=now_s)
