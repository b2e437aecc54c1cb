"""Answers: the calls that have none yet, and the outcomes that were not told yet."""

from __future__ import annotations

from ssm_cli.runtime.remote.ports import Answered, Outcome

LATE_S = 1.0  # after its time-out a call without an answer is given up here
MOST_CALLS = 4096  # without an answer; more are answered `busy`
SWEEP_S = 1.0  # between two looks for those whose time is over
FULL = f"{MOST_CALLS} calls have no answer yet"


class Answers:
    """The calls of one tree that are under way, by number; each ends in one outcome."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[Answered, float, str]] = {}  # until when, and whom
        self._ready: list[tuple[Answered, Outcome]] = []
        self._swept_s = float("-inf")

    @property
    def full(self) -> bool:
        """Whether no more may be under way."""
        return len(self._calls) >= MOST_CALLS

    @property
    def ready(self) -> bool:
        """Whether there are outcomes to be told."""
        return bool(self._ready)

    def await_one(self, n: int, answered: Answered, end_s: float, name: str) -> None:
        """Note a call that was sent, until when it is waited for, and who was called."""
        self._calls[n] = answered, end_s + LATE_S, name

    def end(self, n: int, outcome: Outcome) -> None:
        """Note the outcome of a call; one that has one already gets no other."""
        asked = self._calls.pop(n, None)
        if asked is not None:
            self._ready.append((asked[0], outcome))

    def refuse(self, answered: Answered, outcome: Outcome) -> None:
        """Note the outcome of a call that was not sent."""
        self._ready.append((answered, outcome))

    def sweep(self, now_s: float) -> None:
        """Give up calls whose time is over; nobody knows whether they were stepped."""
        if not self._calls or now_s < self._swept_s + SWEEP_S:
            return
        self._swept_s = now_s
        for n, (_, until_s, name) in tuple(self._calls.items()):
            if until_s <= now_s:
                said = f"{name} has not answered in time; it may have been stepped"
                self.end(n, Outcome("timeout", error=said))

    def lose(self, why: str) -> None:
        """Fail all that are under way: nobody knows what became of them."""
        for n in tuple(self._calls):
            self.end(n, Outcome("noconnection", error=f"{why}; it may have been stepped"))

    def tell(self) -> None:
        """Tell the outcomes that are there."""
        while self._ready:
            answered, outcome = self._ready[0]
            answered(outcome)
            del self._ready[0]  # last: one that is interrupted is told again
