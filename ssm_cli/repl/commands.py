"""The commands of a session: lines wait in a queue and are carried out one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ssm_cli.commands.execute import aexecute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.results import Result, refused
from ssm_cli.errors import CommandError
from ssm_cli.render.reply import echo, reply_lines
from ssm_cli.repl.model import Model
from ssm_cli.repl.prompt.names import Names, Workers
from ssm_cli.runtime.api import NodeApi

WAITING_LINES = 100  # lines that may be typed ahead while a call waits


class Commands:
    """Carries out lines, and puts what was typed and what came of it into the output.

    Args:
        api: the tree.
        names: its names; a line that begins with a worker is a call.
        model: where the output goes.
        done: told after each line; None for one that came to nothing.

    Attributes:
        waiting: what is waited for, in words; None while nothing is.
    """

    def __init__(
        self, api: NodeApi, names: Names, model: Model, done: Callable[[Result | None], None]
    ) -> None:
        self.waiting: str | None = None
        self._api = api
        self._names = names
        self._model = model
        self._done = done
        self._lines: asyncio.Queue[str] = asyncio.Queue(WAITING_LINES)
        self._task: asyncio.Task[Result] | None = None

    def put(self, line: str) -> bool:
        """Have a line carried out after those before it; False, and said so, if too many wait."""
        if not line:
            return True
        try:
            self._lines.put_nowait(line)
        except asyncio.QueueFull:
            self._model.notice(f"{WAITING_LINES} lines wait already; Ctrl-C drops them", "red")
            return False
        return True

    def interrupt(self) -> None:
        """Stop waiting for the call that is under way, and drop the lines behind it."""
        while not self._lines.empty():
            self._lines.get_nowait()
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Carry out lines for as long as the session lasts."""
        while True:
            line = await self._lines.get()
            self._model.say([echo(line)])
            result = await self._carry_out(line)
            if result is not None:
                ms = _duration_ms(result)
                self._model.say(reply_lines(result.lines, error=result.error, ms=ms))
            self._done(result)

    async def _carry_out(self, line: str) -> Result | None:
        """What a line comes to; None if it is a comment, or was not waited for."""
        try:
            command = parse_line(line, Workers(self._names, line))
        except CommandError as error:
            return refused(error)
        if command is None:
            return None
        self.waiting = f"{line} ... Ctrl-C stops waiting"
        task = self._task = asyncio.create_task(aexecute(command, self._api))
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise  # the session ends
            self._model.notice("not waited for any longer; a late reply is dropped")
            return None
        except Exception as error:  # noqa: BLE001 - a defect of a command must not end the session
            self._model.defect(error)
            return None
        finally:
            self.waiting, self._task = None, None


def _duration_ms(result: Result) -> float | None:
    """How long a call took; None for other commands."""
    record = result.records[0] if result.kind == "call" and result.records else None
    value = record.get("ms") if isinstance(record, dict) else None
    return value if isinstance(value, float) else None
