"""How far a long start or stop has come, on one line of the terminal while no screen is open."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from ssm_cli.runtime.views import Report
from ssm_cli.spec.model import SupervisorSpec

SILENT_S = 0.5  # what is done sooner says nothing
EVERY_S = 0.1  # between two updates of the line
ENDED = ("terminated", "killed")


@dataclass(eq=False)
class Progress:
    """A reader of reports that counts workers.

    Args:
        stream: the terminal.
        now: a monotonic clock, in seconds.
        what: `starting` or `stopping`.
        events: of a worker that is done.
        total: how many there will be.
    """

    stream: TextIO
    now: Callable[[], float]
    what: str
    events: tuple[str, ...]
    total: int

    def __post_init__(self) -> None:
        self._count = 0
        self._began_s = self.now()
        self._next_s = self._began_s + SILENT_S
        self._written = 0

    def on_report(self, report: Report) -> None:
        """Count; show the count if it is time."""
        if report.kind != "worker" or report.event not in self.events:
            return
        self._count += 1
        now_s = self.now()
        if now_s >= self._next_s:
            self._next_s = now_s + EVERY_S
            self._show(now_s - self._began_s)

    def _show(self, since_s: float) -> None:
        left_s = since_s / self._count * max(self.total - self._count, 0)
        line = (
            f"{self.what} {self._count:,} of {self.total:,} workers, "
            f"about {left_s:.0f} s left; Ctrl-C interrupts"
        )
        self._write(f"\r{line:<{self._written}}")
        self._written = len(line)

    def end(self) -> None:
        """Take the line away."""
        if self._written:
            self._write(f"\r{'':<{self._written}}\r")

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            self._next_s = float("inf")  # nobody is left to look


def workers_in(spec: SupervisorSpec) -> int:
    """How many workers a tree begins with."""
    return sum(
        workers_in(child) if isinstance(child, SupervisorSpec) else 1 for child in spec.children
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """A block in which Ctrl-C raises `KeyboardInterrupt` at once, also on an event loop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
