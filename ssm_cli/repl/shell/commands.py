"""The commands of a session: lines wait in a queue and are carried out one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rich.text import Text

from ssm_cli.commands.execute import aexecute
from ssm_cli.commands.parse import Command, parse_line
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.verbs import help_lines
from ssm_cli.errors import CommandError
from ssm_cli.render.crash import crash_texts
from ssm_cli.render.reply import echo, reply_lines
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.config import Settings, expand
from ssm_cli.repl.shell.names import Names, Workers
from ssm_cli.repl.shell.pipeline import split
from ssm_cli.repl.shell.programs import redirected
from ssm_cli.repl.shell.results import Results
from ssm_cli.repl.shell.verbs import Local, find_here, help_here, parse_here
from ssm_cli.repl.tree.view import workers_below
from ssm_cli.runtime.api import NodeApi

WAITING_LINES = 100  # lines that may be typed ahead while a call waits
ENDS_WORKERS = {"kill": "name", "stop-process": "name", "terminate-child": "id", "stop": ""}
"""The verbs that end what is below a node, and the argument that names it; empty: the root."""

Here = Callable[[Local], Awaitable[Result | None]]
Page = Callable[[Result], Awaitable[bool]]


class Commands:
    """Carries out lines, and puts what was typed and what came of it into the output.

    Args:
        api: the tree.
        names: its names; a line that begins with a worker is a call.
        model: where the output goes.
        settings: aliases, and when to ask.
        done: told after each line; None for one that came to nothing.

    Attributes:
        waiting: what is waited for, in words; None while nothing is.
        question: what the next line answers; None while nothing is asked.
        here: carries out a command of the prompt itself; set by who can.
        page: shows a tall result in a pager, or answers that it did not; set by who can.
        results: those so far, by number.
        echoes: what was typed is repeated in the output.
    """

    def __init__(
        self,
        api: NodeApi,
        names: Names,
        model: Model,
        settings: Settings,
        done: Callable[[Result | None], None],
    ) -> None:
        self.waiting: str | None = None
        self.question: str | None = None
        self.here: Here | None = None
        self.page: Page | None = None
        self.results = Results()
        self.echoes = True
        self._api = api
        self.names = self._names = names
        self._model = model
        self._settings = settings
        self._done = done
        self._lines: asyncio.Queue[str] = asyncio.Queue(WAITING_LINES)
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[bool] | None = None

    def put(self, line: str) -> bool:
        """Have a line carried out after those before it; False, and said so, if too many wait."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(line.strip().lower() in {"y", "yes"})
            return True
        if not line:
            return True
        try:
            self._lines.put_nowait(line)
        except asyncio.QueueFull:
            self._model.notice(f"{WAITING_LINES} lines wait already; Ctrl-C drops them", "bad")
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
            if self.echoes:
                self._model.say([echo(line)])
            self.waiting = f"{line} ... Ctrl-C stops waiting"
            task = self._task = asyncio.create_task(self.line(line))
            try:
                await task
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise  # the session ends
                self._model.notice("not waited for any longer; a late reply is dropped")
                self._done(None)
            except Exception as error:  # noqa: BLE001 - a defect must not end the session
                self._model.defect(error)
                self._done(None)
            finally:
                self.waiting, self._task = None, None

    async def line(self, line: str, *, script: bool = False) -> None:
        """Carry out a line now, and show what it came to.

        Args:
            line: as it was typed.
            script: it comes from a file: nothing is asked.
        """
        result = await self.carry_out(line, script=script)
        if result is not None:
            named = result.records and not result.error
            number = self.results.add(result) if named else None
            if self.page is None or not await self.page(result):
                self.show(result, number)
        self._done(result)

    def show(self, result: Result, number: int | None = None) -> None:
        """Put what a command came to into the output."""
        if result.kind == "crash" and isinstance(result.value, list) and not result.output:
            blocks = ([*crash_texts(report), Text("")] for report in result.value)
            self._model.say([text for block in blocks for text in block][:-1])
            return
        ms = _duration_ms(result)
        self._model.say(reply_lines(result.lines, error=result.error, ms=ms, number=number))

    async def carry_out(self, line: str, *, script: bool = False) -> Result | None:
        """What a line comes to; None if it is a comment, or says nothing."""
        line = expand(line, self._settings.aliases)
        try:
            local = parse_here(line, Workers(self._names, line))
            if local is not None:
                assert self.here is not None, "the session sets it before it runs"
                return await self.here(local)
            pipeline = split(line)
            text = self.results.substitute(pipeline.command)
            command = parse_line(text, Workers(self._names, text))
            if command is None:
                return None
            if not script and not await self._may(command):
                return None
            result = help_with(command) or await self._execute(command)
            return await redirected(pipeline, result)
        except CommandError as error:
            return refused(error)

    async def _execute(self, command: Command) -> Result:
        result = await aexecute(command, self._api)
        worker = command.arguments.get("worker", "").rpartition("/")[2]
        if result.kind == "call" and not result.error:
            self._names.seen.note_input(
                worker, command.arguments["input"], self._names.constructors(worker)
            )
            record = result.records[0] if result.records else None
            if isinstance(record, dict):
                self._names.seen.note_reply(worker, record.get("value"))
        return result

    async def _may(self, command: Command) -> bool:
        """Ask before a command ends many workers; whether it may."""
        above = self._settings.confirm_above
        if command.verb not in ENDS_WORKERS or not above:
            return True
        name = command.arguments.get(ENDS_WORKERS[command.verb], self._model.tree.source.root)
        count = workers_below(self._model.tree.source, name.rpartition("/")[2], above)
        if count <= above:
            return True
        self.question = f"{command.verb} {name}: more than {above:,} workers end. Type y to go on"
        self._model.notice(self.question)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            agreed = await self._answer
        finally:
            self._answer = self.question = None
        if not agreed:
            self._model.notice("not done")
        return agreed


def help_with(command: Command) -> Result | None:
    """The help of a command of the prompt itself, or that of all commands; else None."""
    if command.verb != "help" or command.output not in (None, "text"):
        return None
    word = command.arguments.get("verb")
    if word is None:
        return Result("help", (*help_lines(), *help_here()))
    verb = find_here(word, ())
    return None if verb is None else Result("help", (f"{verb.usage}    {verb.help}",))


def _duration_ms(result: Result) -> float | None:
    """How long a call took; None for other commands."""
    record = result.records[0] if result.kind == "call" and result.records else None
    value = record.get("ms") if isinstance(record, dict) else None
    return value if isinstance(value, float) else None
