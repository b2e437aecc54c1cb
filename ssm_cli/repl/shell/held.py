"""Calls whose worker is held at a break: the prompt goes on, their outcome is shown later."""

from __future__ import annotations

import asyncio

from ssm_cli.repl.model import Model
from ssm_cli.runtime.views import Report


class HeldCalls:
    """Waits for the lines of a session, but not for a call that is held at a break.

    Attributes:
        calling: the worker that is called now; empty: none is.
    """

    def __init__(self, model: Model) -> None:
        self.calling = ""
        self._model = model
        self._held = asyncio.Event()
        self._behind: set[asyncio.Task[None]] = set()
        model.followers.append(self._on_report)

    async def wait(self, task: asyncio.Task[None], line: str) -> None:
        """Wait until a line is carried out, or is a call that is held; raises as the line does."""
        held = asyncio.ensure_future(self._held.wait())
        try:
            await asyncio.wait({task, held}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            held.cancel()
            self.calling = ""
            self._held.clear()
        if task.done():
            await task
            return
        self._behind.add(task)
        task.add_done_callback(self._ended)
        self._model.notice(f"{line}: held at a break, and waits; `breaks` shows it")

    def _on_report(self, report: Report) -> None:
        if report.event == "held" and report.id == self.calling:
            self._held.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A call that was held has its outcome; its line has shown it."""
        self._behind.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._model.defect(error)
