"""When the screen is drawn: a ticker that draws what is new, in a twentieth of the time at most.

The node never draws: its reports only mark the model as out of date, so a storm of restarts costs
no more frames than a quiet tree. While inputs wait in the queue, a frame that takes long is
followed by a longer rest; a quiet tree is drawn at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from prompt_toolkit.application import Application

from ssm_cli.repl.model import Model

SHARE = 20  # a frame that takes t seconds is followed by at least so many t of rest
QUIET_SHARE = 2  # the same while no input waits
INTERVALS_S = (0.1, 1.0)  # shortest and longest rest between two frames


def frame_interval(last_frame_s: float, *, busy: bool) -> float:
    """Seconds until the next frame, so that a busy tree gives it a twentieth of the time at most.

    >>> [frame_interval(took_s, busy=True) for took_s in (0.002, 0.02, 3.0)]
    [0.1, 0.4, 1.0]
    >>> [frame_interval(took_s, busy=False) for took_s in (0.05, 0.1, 3.0)]
    [0.1, 0.2, 1.0]
    """
    shortest, longest = INTERVALS_S
    share = SHARE if busy else QUIET_SHARE
    return max(shortest, min(last_frame_s * share, longest))


@dataclass(eq=False)
class Frames:
    """The frames of an application.

    Args:
        app: what is drawn.
        model: what it shows.
        flush: called before each frame.
        now: a monotonic clock, in seconds.
        unread: bytes of earlier frames that nobody has read yet; the next ones wait for that.
    """

    app: Application[None]
    model: Model
    flush: Callable[[], None]
    now: Callable[[], float]
    unread: Callable[[], int] = lambda: 0

    def __post_init__(self) -> None:
        self._refresh_s = 0.0
        self._render_s = 0.0
        self._began_s = 0.0
        self.app.before_render += self._before_render
        self.app.after_render += self._after_render

    async def run(self) -> None:
        """Draw for as long as the session lasts."""
        while True:
            busy = self.model.tree.source.queue > 0
            await asyncio.sleep(frame_interval(self._refresh_s + self._render_s, busy=busy))
            try:
                self.model.count()
                if self.model.is_due() and not self.unread():
                    self.flush()
                    self.draw()
            except Exception as error:  # noqa: BLE001 - the next frame may do better; the tree lives on
                self.model.defect(error)

    def draw(self) -> None:
        """Bring the model up to date, and draw it with the next turn of the loop."""
        began_s = self.now()
        try:
            self.model.refresh()
        except Exception as error:  # noqa: BLE001 - as above; and a key may have asked for it
            self.model.defect(error)
        self._refresh_s = self.now() - began_s
        self.app.invalidate()

    def _before_render(self, app: Application[None]) -> None:
        del app
        self._began_s = self.now()

    def _after_render(self, app: Application[None]) -> None:
        del app
        self._render_s = self.now() - self._began_s
