"""The timeline above the prompt: whether it is shown, what it shows, and steps along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.commands.past import record_line
from ssm_cli.errors import SsmError, message_of
from ssm_cli.runtime.api import NodeApi

COLUMNS = 80  # until it was drawn once
EVERY_S = 0.25  # how often it is brought up to date, at most
LATER_S = 5.0  # the same, once it could not be

Data = dict[str, Any]


class TimelineRow:
    """The row of a timeline. Going to the past opens it; coming back closes it again.

    Args:
        api: the live tree.
        now: a monotonic clock, in seconds.

    Attributes:
        shown: whether it is there.
        found: what the tree has told of the records around the place; None: it could not.
        trouble: why it could not, in words.
        columns: how wide it was drawn last.
    """

    def __init__(self, api: NodeApi, now: Callable[[], float]) -> None:
        self.shown = False
        self.found: Data | None = None
        self.trouble = ""
        self.columns = COLUMNS
        self._stays = False
        self._place = ""
        self._api = api
        self._now = now
        self._next_s = 0.0

    @property
    def line(self) -> str:
        """The record of the place, where it is one of the past and the row is shown."""
        found = self.found if self.shown else None
        if found is None or not self._place or found["record"] is None:
            return ""
        return record_line(found["record"]).strip()

    def widen(self, columns: int) -> bool:
        """Note how wide it is drawn; return whether it has room for more than was asked for."""
        wider = columns > self.columns
        if wider:
            self._next_s = 0.0
        self.columns = columns
        return wider

    def toggle(self) -> None:
        """Show it, now as well as in the past; or no longer."""
        self.shown = self._stays = not self.shown
        self.ask()

    def stand(self, place: str) -> None:
        """Show the records around a place."""
        if bool(place) != bool(self._place):
            self.shown = bool(place) or self._stays
        self._place = place
        self.ask()

    def refresh(self) -> None:
        """Bring it up to date, if it is time."""
        if self._now() >= self._next_s:
            self.ask()

    def ask(self) -> None:
        """Ask the tree for the records around the place."""
        if not self.shown:
            return
        self._next_s = self._now() + EVERY_S
        try:
            self.found = self._api.perform("timeline", last=self.columns, at=self._place)
            self.trouble = ""
        except SsmError as error:
            self.found, self.trouble = None, message_of(error)
            self._next_s = self._now() + LATER_S

    def step(self, by: int, *, crash: bool = False) -> Data:
        """Return the place a record, or a crash, back (-1) or on (1).

        A record on from the last one is now.

        Raises:
            SsmError: there is none, or the tree cannot tell.
        """
        found = self.found
        if by > 0 and not crash and found is not None and found["here"] >= found["last"]:
            return self.go("now")
        given = {"crash": "yes"} if crash else {}
        there: Data = self._api.perform(
            "step_back" if by < 0 else "step", by=abs(by), at=self._place, **given
        )
        return there

    def go(self, where: str) -> Data:
        """Return the place that a word stands for; raises as `step`."""
        there: Data = self._api.perform("go", where=where, at=self._place)
        return there
