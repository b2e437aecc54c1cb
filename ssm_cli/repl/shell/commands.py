"""The commands of a session: lines wait in a queue and are carried out one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.text import Text

from ssm_cli.commands.parse import Command, known_as
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.verbs import VERBS, help_lines
from ssm_cli.errors import CommandError, StorageError
from ssm_cli.render.crash import crash_texts
from ssm_cli.render.reply import MARK, echo, reply_lines
from ssm_cli.render.sanitize import lines_of, one_line
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.config import Settings, expand
from ssm_cli.repl.shell.held import HeldCalls
from ssm_cli.repl.shell.interpret import NamesHere, perform, read_command
from ssm_cli.repl.shell.names import Names, Workers
from ssm_cli.repl.shell.questions import Questions
from ssm_cli.repl.shell.results import Results, reply_of
from ssm_cli.repl.shell.verbs import Local, find_here, help_here, parse_here
from ssm_cli.repl.tree.view import workers_below
from ssm_cli.runtime.api import NodeApi

WAITING_BYTES = 16 * 1024 * 1024  # of lines that wait; nothing more is read beyond it
MOST_LATER = 64  # keys that wait for a line
SHOWN_LINES = 10  # that wait; from there on it is said how many there are

NOT_WAITED = "not waited for any longer; what is a call goes on, and nobody waits for it any more"


@dataclass(eq=False)
class Commands:
    """Carries out lines, and puts what was typed and what came of it into the output.

    What is set by who can is set before `run`.

    Args:
        api: the tree.
        names: its names; a line that begins with a worker is a call.
        model: where the output goes.
        settings: aliases, and when to ask.
        done: told after each line; None for one that came to nothing.

    Attributes:
        running: the line that is carried out; None while there is none.
        asking: what a person is asked before a command goes on.
        here: carries out a command of the prompt itself; set by who can.
        page: shows a tall result in a pager, or answers that it did not; set by who can.
        results: those so far, by number.
        room: waits until there is room in the output for more; set by who can.
        plain: the output is that of a script, and what was typed is repeated behind its prompt.
        echoes: what was typed is repeated in the output; else the terminal does that.
    """

    api: NodeApi
    names: Names
    model: Model
    settings: Settings
    done: Callable[[Result | None], None]

    def __post_init__(self) -> None:
        self.running: str | None = None
        self._shown: Result | None = None
        self.asking = Questions(self.model.notice)
        self.here: Callable[[Local], Awaitable[Result | None]]
        self.page: Callable[[Result], Awaitable[bool]]
        self.room: Callable[[], Awaitable[None]]
        self.results = Results()
        self.plain = False
        self.echoes = True
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._held = HeldCalls(self.model)
        self._far = ""  # how far what takes long is
        self._later: deque[Callable[[], None]] = deque(maxlen=MOST_LATER)

    @property
    def count(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    @property
    def waiting(self) -> str | None:
        """What is waited for, in words; None while nothing is."""
        if self.running is None or (self._task is not None and self._task.done()):
            return None  # what it came to is shown: nothing is left to wait for
        if len(self._lines) < SHOWN_LINES:
            behind = "; ".join(self._lines)
            drops = f" and drops what waits behind it: {behind}" if behind else ""
            return f"{self.running} ... {self._far}Ctrl-C stops waiting{drops}"
        return f"{len(self._lines):,} lines wait ... Ctrl-C stops them   {self.running}"

    def has_room(self) -> bool:
        """Whether more lines may be read ahead."""
        return self._bytes < WAITING_BYTES

    @property
    def is_busy(self) -> bool:
        """Whether a line is carried out, or waits, and nothing is asked."""
        return (self.running is not None or bool(self._lines)) and self.asking.text is None

    def when_free(self, do: Callable[[], None]) -> None:
        """Do what a key asks for now, or behind the lines; of many keys the last ones count."""
        if self.is_busy:
            self._later.append(do)
        else:
            do()

    @property
    def prompt(self) -> str:
        """What stands before a line that is typed."""
        return f"{self.results.where}{'>' if self.plain else MARK} "

    def echo(self, line: str) -> None:
        """Put a line into the output as it was typed."""
        self.model.say([Text(f"{self.prompt}{one_line(line)}") if self.plain else echo(line)])

    def put(self, line: str) -> None:
        """Have a line carried out after those before it."""
        if line:
            self._lines.append(line)
            self._bytes += len(line)
            self._come.set()

    def interrupt(self) -> None:
        """Stop waiting for the call that is under way, and drop the lines behind it.

        Where something is asked, the answer is no.
        """
        self._later.clear()
        if self._lines:
            self.model.notice(dropped(self.drop()))
        if not self.asking.answer("") and self._task is not None:
            self._task.cancel()

    def drop(self) -> int:
        """Drop the lines that wait; return how many."""
        count, self._bytes = len(self._lines), 0
        self._lines.clear()
        return count

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
                await self._held.wait(task, line)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise  # the session ends
                self.model.notice(NOT_WAITED)
                self.done(None)
            except Exception as error:  # noqa: BLE001 - a defect must not end the session
                self.model.defect(error)
                self.done(None)
            finally:
                self.running, self._task, self._far = None, None, ""
            await self.room()
            while self._later and not self.is_busy:
                self._later.popleft()()

    async def line(self, line: str, *, script: bool = False) -> None:
        """Carry out a line now, and show what it came to.

        Args:
            line: as it was typed.
            script: it comes from a file: nothing is asked.
        """
        last = self.results.last
        result = await self.carry_out(line, script=script)
        behind = 0
        if self.results.missed and self._lines:  # typed before it was known that it leads nowhere
            self.results.lose()
            behind = self.drop()
        if result is not None:
            number = self.results.last if self.results.last > last and not result.error else None
            if result is self._shown or not await self.page(result):
                self.show(result, number)
        if behind:
            self.model.notice(f"{dropped(behind)}: `now` or `at RECORD` says where to go on")
        self.done(result)

    def show(self, result: Result, number: int | None = None) -> None:
        """Put what a command came to into the output, unless it is there already."""
        if result is self._shown:
            return
        if result.kind == "crash" and isinstance(result.value, list) and not result.output:
            blocks = ([*crash_texts(report), Text("")] for report in result.value)
            self.model.say([text for block in blocks for text in block][:-1])
            return
        if self.plain:
            self.model.say(Text(safe) for line in result.lines for safe in lines_of(line) or [""])
            return
        ms = reply_of(result).get("ms")
        self.model.say(reply_lines(result.lines, error=result.error, ms=ms, number=number))
        if result.kind == "help" and len(result.lines) > 1:
            self.model.notice("F1 shows this in pages, from its beginning", "")

    def _at_once(self, result: Result) -> None:
        """Show the outcome of a call before all that it leads to, as a script does."""
        if self.plain and result.kind == "call":
            self.show(result)
            self._shown = result

    async def carry_out(self, line: str, *, script: bool = False) -> Result | None:
        """What a line comes to; None if it is a comment, or says nothing."""
        line = expand(line, self.settings.aliases)
        workers = Workers(self.names, line)
        try:
            local = parse_here(line, workers)
            if local is not None:
                return await self.here(local)
            names = NamesHere(lambda: workers, self.api, self.results)
            command = read_command(line, names, self.results)
            if command is None:
                return None
            if not script and not await self._may(command):
                return None
            return await self._asked(command, script=script)
        except (CommandError, StorageError) as error:
            return refused(error)

    async def _asked(self, command: Command, *, script: bool) -> Result | None:
        """Execute a command, and what it asks about; None if that is not agreed."""
        result = await self._execute(command)
        while (question := result.question) is not None and not script:
            self.show(result.asking)
            if not await self.asking.agreed(question.text):
                return None
            result = await self._execute(question.then)
        return result

    async def _execute(self, command: Command) -> Result:
        if command.verb == "call" and not command.at:
            self._held.calling = known_as(command.arguments["worker"])
        result, shown = await perform(
            command, self.api, self.results, show=self._at_once, helped=helped,
            note=self._note,
        )  # fmt: skip
        note_call(self.names, command, result)
        return shown

    def _note(self, far: str) -> None:
        self._far = f"{far}; "

    async def _may(self, command: Command) -> bool:
        """Ask before a command ends many workers; whether it may."""
        ends, above = VERBS[command.verb].ends, self.settings.confirm_above
        if ends is None or not above:
            return True
        name = command.arguments.get(ends, self.model.tree.source.root)
        count = workers_below(self.model.tree.source, name.rpartition("/")[2], above)
        what = f"more than {above:,} workers end"
        return count <= above or await self.asking.agreed(f"{command.verb} {name}: {what}")


def helped(command: Command) -> Result | None:
    """The help of a command of the prompt, or of all commands; else None."""
    if command.verb != "help" or command.output not in (None, "text"):
        return None
    word = command.arguments.get("verb")
    if word is None:
        return Result("help", (*help_lines(), *help_here()))
    verb = find_here(word, ())
    return None if verb is None else Result("help", (f"{verb.usage}    {verb.help}",))


def note_call(names: Names, command: Command, result: Result) -> None:
    """Remember what a call has given to a worker and got from it, to be offered again."""
    if result.kind != "call" or result.error:
        return
    worker = known_as(command.arguments.get("worker", ""))
    names.seen.note_input(worker, command.arguments["input"], names.constructors(worker))
    names.seen.note_reply(worker, reply_of(result).get("value"))


def dropped(count: int) -> str:
    """Say that so many lines were dropped.

    >>> dropped(1), dropped(2_000)
    ('1 line was not carried out', '2,000 lines were not carried out')
    """
    return f"{count:,} line{' was' if count == 1 else 's were'} not carried out"
