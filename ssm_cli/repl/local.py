"""The commands of the prompt itself, carried out: those that move the view or run others."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial

import msgspec

from ssm_cli.commands.execute import aexecute, standing
from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.values import data_of
from ssm_cli.commands.verbs import nearest
from ssm_cli.errors import CommandError, SsmError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.render.log import log_text
from ssm_cli.repl.actions import Actions
from ssm_cli.repl.shell.config import write_template
from ssm_cli.repl.shell.pipeline import lines_in
from ssm_cli.repl.shell.programs import contents, edited, expanded
from ssm_cli.repl.shell.verbs import SORTS, Local
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import Report

WATCH_S = 1.0  # between two runs of a watched command
SCRIPT_BYTES = 64 * 1024 * 1024  # a larger file is no script for a prompt
FOLLOWED_REPORTS = 1_000  # that wait to be printed; of more the oldest go
FOLLOWED_LAST = 10  # reports that were there before
SOURCE_DEPTH = 10  # scripts that run each other
COPIED_BYTES = 100_000  # at once; terminals take no more


@dataclass(eq=False)
class Locals:
    """Carries out the commands of the prompt itself.

    Args:
        api: the tree.
        actions: what keys do; they have what is looked at, and what runs commands.
        now: a monotonic clock, in seconds.
        detach: gives the terminal back to the shell.
        only_lines: the terminal can only print lines.
    """

    api: NodeApi
    actions: Actions
    now: Callable[[], float]
    _: KW_ONLY
    detach: Callable[[], None]
    only_lines: bool

    def __post_init__(self) -> None:
        self._depth = 0
        actions = self.actions
        self._model, self._commands = actions.model, actions.commands
        tree = self._model.tree
        self._views: dict[str, Callable[[str], None]] = {
            "filter": tree.seek,
            "sort": lambda column: tree.sort_by(SORTS[column]),
            "open": lambda name: tree.open(name.rpartition("/")[2]),
            "close": lambda name: tree.close(name.rpartition("/")[2]),
            "detail": self._detail,
            "freeze": lambda _: self._model.freeze(),
            "filter-log": self._model.filter_log,
            "ui": actions.face,
            "mouse": lambda _: actions.toggle_mouse(),
            "theme": lambda name: setattr(self._model, "theme", name),
            "find": actions.seeking.find,
            "find-log": actions.seeking.find_in_log,
            "detach": lambda _: self.detach(),
            "clear": lambda _: self._clear(),
            "copy": self._copy,
        }
        self._runs: dict[str, Callable[[str], Awaitable[Result | None]]] = {
            "time": self._time,
            "watch": self._watch,
            "source": self.source,
            "follow": self._follow,
            "edit": self._edit,
            "settings": self._settings,
        }

    async def run(self, local: Local) -> Result | None:
        """Carry out a command.

        Raises:
            CommandError: it cannot be done; says why.
            StorageError: a file that it needs cannot be written.
        """
        if local.verb in self._views:
            self._views[local.verb](local.argument)
            self._model.touch()
            return None
        return await self._runs[local.verb](local.argument)

    async def _settings(self, _: str) -> Result:
        path, written = write_template(self.actions.environ)
        how = "written there, every key explained" if written else "there already"
        return Result("settings", (f"{path}: {how}; they count from the next start",))

    async def _time(self, line: str) -> Result | None:
        began_s = self.now()
        result = await self._commands.carry_out(line)
        took = f"{(self.now() - began_s) * 1000:.2f} ms"
        if result is None:
            return Result("time", (took,))
        return msgspec.structs.replace(result, lines=(*result.lines, f"took {took}"))

    async def _watch(self, line: str) -> Result | None:
        """Until Ctrl-C cancels it; a result takes the place of the one before, if it can.

        Where lines are printed for good, only a result that differs is. What is no command ends it
        at once; a command that fails is tried again.
        """
        model, since, said = self._model, 0, -1
        shown: tuple[str, ...] | None = None
        while True:
            result = await self._commands.carry_out(line)
            if result is None or result.exit_code is ExitCode.USAGE:
                return result
            if not model.printed or shown != result.lines:
                if said == model.output_seq:
                    model.take_back(since)
                since, shown = model.output_seq, result.lines
                self._commands.show(result)
                said = model.output_seq
            await asyncio.sleep(WATCH_S)

    async def _follow(self, name: str) -> Result | None:
        """Print the last reports and each one to come, until Ctrl-C cancels it."""
        model, name = self._model, name.rpartition("/")[2]
        coming: asyncio.Queue[Report] = asyncio.Queue(FOLLOWED_REPORTS)
        follower = partial(offer_report, coming)
        model.followers.append(follower)
        try:
            last = [report for report in self.api.reports() if concerns(report, name)]
            model.say(log_text(report) for report in last[-FOLLOWED_LAST:])
            while True:
                report = await coming.get()
                if concerns(report, name):
                    model.say([log_text(report)])
        finally:
            model.followers.remove(follower)

    async def source(self, name: str) -> Result | None:
        """Run the commands in a file; the first that fails ends it.

        Raises:
            CommandError: the file cannot be read, or scripts run each other without end.
        """
        path = expanded(name)
        data = await contents(path, SCRIPT_BYTES + 1)
        if len(data) > SCRIPT_BYTES or self._depth >= SOURCE_DEPTH:
            most = f"{SCRIPT_BYTES:,} bytes, and scripts run each other {SOURCE_DEPTH} deep"
            raise CommandError(f"{path} is not run: a script has at most {most}")
        self._depth += 1
        try:
            for line in lines_in(data.decode("utf-8", "surrogateescape")):
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                self._commands.echo(line)
                result = await self._commands.carry_out(line, script=True)
                if result is not None:
                    self._commands.show(result)
                    if result.error or result.ends:
                        return msgspec.structs.replace(result, lines=())
                await self._commands.room()
        finally:
            self._depth -= 1
        return None

    async def _edit(self, worker: str) -> Result | None:
        """Put a state in place of the worker's as the user's editor left it."""
        try:
            api = standing(self._commands.results.here(Command("set")), self.api)
            state = data_of(api, worker, api.get_state(worker))
        except SsmError as error:
            return refused(error)
        before = msgspec.json.format(msgspec.json.encode(state), indent=2).decode() + "\n"
        async with self.actions.lend():
            after = await edited(before, ".json", self.actions.environ)
        if after is None or after.strip() == before.strip():
            return Result("edit", ("nothing was changed",))
        return await aexecute(Command("set", {"worker": worker, "value": after}), api)

    def _clear(self) -> None:
        """Empty the output, and the terminal's where that has it."""
        self._model.clear()
        if self.actions.screen.inline and not self.only_lines:
            self.actions.app.renderer.clear()

    def _copy(self, text: str) -> None:
        """Have the terminal take a text into its clipboard (OSC 52).

        Raises:
            CommandError: it is too long for one, or there is none.
        """
        if self.only_lines:
            raise CommandError("this terminal can only print lines: it has no clipboard", column=6)
        data = self._commands.results.substitute(text).encode("utf-8", "surrogateescape")
        if len(data) > COPIED_BYTES:
            most = f"{COPIED_BYTES:,} bytes are taken; `> FILE` takes any"
            raise CommandError(f"{len(data):,} bytes are too many to copy; at most {most}")
        self.actions.scrolling.flush()  # what the face has to write comes before
        output = self.actions.app.output
        output.write_raw(f"\x1b]52;c;{b64encode(data).decode()}\x07")
        output.flush()
        self._model.notice(f"copied {len(data):,} bytes, where the terminal allows it", "")

    def _detail(self, name: str) -> None:
        """Choose a node and show what there is to know of it."""
        tree = self._model.tree
        known = name.rpartition("/")[2]
        if tree.source.glance(known) is None:
            near = nearest(known, self._commands.names.like(known))
            hint = f"did you mean `{near}`?" if near else "`tree` shows all"
            raise CommandError(f"there is no node `{name}`; {hint}", column=8)
        row = tree.index.row_of(known, 0, tree.index.count)
        if row is None:
            raise CommandError(f"{name} is not in view; `filter {name}` brings it there", column=8)
        tree.chosen = row
        self._model.detail = ()


def concerns(report: Report, name: str) -> bool:
    """Whether a report is about a node, or one below it; every report is about no name.

    >>> report = Report(1, 0.0, "started", "kv2", "root/storage/kv2", "worker")
    >>> concerns(report, "storage"), concerns(report, "kv1"), concerns(report, "")
    (True, False, True)
    """
    return not name or report.id == name or f"/{name}/" in f"/{report.path}/"


def offer_report(coming: asyncio.Queue[Report], report: Report) -> None:
    """Put a report into a queue; drop the oldest where there is no room."""
    if coming.full():
        coming.get_nowait()
    coming.put_nowait(report)
