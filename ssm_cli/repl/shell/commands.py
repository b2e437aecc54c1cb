"""The commands of a session: lines wait in a queue and are carried out one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from rich.text import Text

from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.verbs import VERBS, find_verb, help_lines
from ssm_cli.errors import CommandError
from ssm_cli.render.crash import crash_texts
from ssm_cli.render.reply import echo, reply_lines
from ssm_cli.render.sanitize import lines_of, one_line
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.config import Settings, expand
from ssm_cli.repl.shell.interpret import perform, read_command
from ssm_cli.repl.shell.names import Names, Workers
from ssm_cli.repl.shell.results import Results
from ssm_cli.repl.shell.verbs import Local, find_here, help_here, parse_here
from ssm_cli.repl.tree.view import workers_below
from ssm_cli.runtime.api import NodeApi

WAITING_BYTES = 16 * 1024 * 1024  # of lines that wait; nothing more is read beyond it
SHOWN_LINES = 10  # that wait; from there on it is said how many there are

PLAIN_PROMPT = "ssm> "

NOT_WAITED = "not waited for any longer; what is a call goes on, and nobody waits for it any more"

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
        running: the line that is carried out; None while there is none.
        question: what the next line answers; None while nothing is asked.
        here: carries out a command of the prompt itself; set by who can.
        page: shows a tall result in a pager, or answers that it did not; set by who can.
        results: those so far, by number.
        room: waits until there is room in the output for more; set by who can.
        plain: the output is that of a script, and what was typed is repeated behind its prompt.
        echoes: what was typed is repeated in the output; else the terminal does that.
    """

    def __init__(
        self,
        api: NodeApi,
        names: Names,
        model: Model,
        settings: Settings,
        done: Callable[[Result | None], None],
    ) -> None:
        self.running: str | None = None
        self._shown: Result | None = None
        self.question: str | None = None
        self.here: Here | None = None
        self.page: Page | None = None
        self.room: Callable[[], Awaitable[None]] | None = None
        self.results = Results()
        self.plain = False
        self.echoes = True
        self._api = api
        self.names = self._names = names
        self._model = model
        self._settings = settings
        self._done = done
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[bool] | None = None

    @property
    def count(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    @property
    def waiting(self) -> str | None:
        """What is waited for, in words; None while nothing is."""
        if self.running is None:
            return None
        if len(self._lines) < SHOWN_LINES:
            return f"{self.running} ... Ctrl-C stops waiting"
        return f"{len(self._lines):,} lines wait ... Ctrl-C stops them   {self.running}"

    def has_room(self) -> bool:
        """Whether more lines may be read ahead."""
        return self._bytes < WAITING_BYTES

    @property
    def is_busy(self) -> bool:
        """Whether a line is carried out, or waits, and nothing is asked."""
        return (self.running is not None or bool(self._lines)) and self.question is None

    def echo(self, line: str) -> None:
        """Put a line into the output as it was typed."""
        self._model.say([Text(f"{PLAIN_PROMPT}{one_line(line)}") if self.plain else echo(line)])

    def answer(self, line: str) -> bool:
        """Take a line for the answer to the question; False if nothing is asked."""
        if self._answer is None or self._answer.done():
            return False
        self._answer.set_result(line.strip().lower() in {"y", "yes"})
        return True

    def put(self, line: str) -> None:
        """Have a line carried out after those before it."""
        if line:
            self._lines.append(line)
            self._bytes += len(line)
            self._come.set()

    def interrupt(self) -> None:
        """Stop waiting for the call that is under way, and drop the lines behind it."""
        if self._lines:
            count = len(self._lines)
            lines = "1 line was" if count == 1 else f"{count:,} lines were"
            self._model.notice(f"{lines} not carried out")
            self._lines.clear()
            self._bytes = 0
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Carry out lines for as long as the session lasts."""
        while True:
            while not self._lines:
                self._come.clear()
                await self._come.wait()
            line = self._lines.popleft()
            self._bytes -= len(line)
            if self.echoes:
                self.echo(line)
            self.running = line
            task = self._task = asyncio.create_task(self.line(line))
            try:
                await task
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise  # the session ends
                self._model.notice(NOT_WAITED)
                self._done(None)
            except Exception as error:  # noqa: BLE001 - a defect must not end the session
                self._model.defect(error)
                self._done(None)
            finally:
                self.running, self._task = None, None
            if self.room is not None:
                await self.room()

    async def line(self, line: str, *, script: bool = False) -> None:
        """Carry out a line now, and show what it came to.

        Args:
            line: as it was typed.
            script: it comes from a file: nothing is asked.
        """
        last = self.results.last
        result = await self.carry_out(line, script=script)
        if result is not None:
            number = self.results.last if self.results.last > last and not result.error else None
            known = result is self._shown
            if known or self.page is None or not await self.page(result):
                self.show(result, number)
        self._done(result)

    def show(self, result: Result, number: int | None = None) -> None:
        """Put what a command came to into the output, unless it is there already."""
        if result is self._shown:
            return
        if result.kind == "crash" and isinstance(result.value, list) and not result.output:
            blocks = ([*crash_texts(report), Text("")] for report in result.value)
            self._model.say([text for block in blocks for text in block][:-1])
            return
        if self.plain:
            self._model.say(Text(safe) for line in result.lines for safe in lines_of(line) or [""])
            return
        ms = _duration_ms(result)
        self._model.say(reply_lines(result.lines, error=result.error, ms=ms, number=number))

    def _at_once(self, result: Result) -> None:
        """Show the outcome of a call before all that it leads to, as a script does."""
        if self.plain and result.kind == "call":
            self.show(result)
            self._shown = result

    async def carry_out(self, line: str, *, script: bool = False) -> Result | None:
        """What a line comes to; None if it is a comment, or says nothing."""
        line = expand(line, self._settings.aliases)
        try:
            local = parse_here(line, Workers(self._names, line))
            if local is not None:
                assert self.here is not None, "the session sets it before it runs"
                return await self.here(local)
            command = read_command(line, Workers(self._names, line), self.results)
            if command is None:
                return None
            if not script and not await self._may(command):
                return None
            return await self._execute(command)
        except CommandError as error:
            return refused(error)

    async def _execute(self, command: Command) -> Result:
        result, shown = await perform(
            command, self._api, self.results, show=self._at_once, helped=self._help
        )
        worker = command.arguments.get("worker", "").rpartition("/")[2]
        if result.kind == "call" and not result.error:
            self._names.seen.note_input(
                worker, command.arguments["input"], self._names.constructors(worker)
            )
            record = result.records[0] if result.records else None
            if isinstance(record, dict):
                self._names.seen.note_reply(worker, record.get("value"))
        return shown

    def _help(self, command: Command) -> Result | None:
        """The help of a command of the prompt, of a worker, or of all commands; else None."""
        if command.verb != "help" or command.output not in (None, "text"):
            return None
        word = command.arguments.get("verb")
        if word is None:
            return Result("help", (*help_lines(), *help_here()))
        verb = find_here(word, ())
        if verb is not None:
            return Result("help", (f"{verb.usage}    {verb.help}",))
        if find_verb(word) is not None or word not in Workers(self._names, word):
            return None
        name = word.rpartition("/")[2]
        inputs = self._names.constructors(name)
        width = max((len(each.signature) for each in inputs), default=0)
        shown = (f"{name} {each.signature.ljust(width)}  {each.doc}".rstrip() for each in inputs)
        return Result("help", tuple(shown) or (f"{name} INPUT    any text is an input",))

    async def _may(self, command: Command) -> bool:
        """Ask before a command ends many workers; whether it may."""
        above = self._settings.confirm_above
        ends = VERBS[command.verb].ends
        if ends is None or not above:
            return True
        name = command.arguments.get(ends, self._model.tree.source.root)
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


def _duration_ms(result: Result) -> float | None:
    """How long a call took; None for other commands."""
    record = result.records[0] if result.kind == "call" and result.records else None
    value = record.get("ms") if isinstance(record, dict) else None
    return value if isinstance(value, float) else None
