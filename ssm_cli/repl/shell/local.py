"""The commands of the prompt itself, carried out: those that look, and those that run others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

import msgspec

from ssm_cli.commands.execute import aexecute
from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.values import data_of
from ssm_cli.errors import CommandError, SsmError
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.shell.config import write_template
from ssm_cli.repl.shell.pipeline import lines_in
from ssm_cli.repl.shell.programs import contents, edited, expanded
from ssm_cli.repl.shell.verbs import SORTS, Local
from ssm_cli.runtime.api import NodeApi

WATCH_S = 1.0  # between two runs of a watched command
SCRIPT_BYTES = 64 * 1024 * 1024  # a larger file is no script for a prompt
SOURCE_DEPTH = 10  # scripts that run each other

Lend = Callable[[], AbstractAsyncContextManager[None]]


class Locals:
    """Carries out the commands of the prompt itself.

    Args:
        api: the tree.
        model: what is looked at.
        commands: runs the commands that others are about.
        environ: the environment variables.
        now: a monotonic clock, in seconds.
        lend: a block in which another program has the terminal.
        face: changes the face of the session.
        mouse: gives the mouse away, or takes it back.
    """

    def __init__(
        self,
        api: NodeApi,
        model: Model,
        commands: Commands,
        environ: Mapping[str, str],
        now: Callable[[], float],
        *,
        lend: Lend,
        face: Callable[[str], None],
        mouse: Callable[[], None],
    ) -> None:
        self._api = api
        self._model = model
        self._commands = commands
        self._environ = environ
        self._now = now
        self._lend = lend
        self._depth = 0
        tree = model.tree
        self._views: dict[str, Callable[[str], None]] = {
            "filter": tree.seek,
            "sort": lambda column: tree.sort_by(SORTS[column]),
            "open": lambda name: tree.open(name.rpartition("/")[2]),
            "close": lambda name: tree.close(name.rpartition("/")[2]),
            "detail": self._detail,
            "freeze": lambda _: model.freeze(),
            "ui": face,
            "mouse": lambda _: mouse(),
        }

    async def run(self, local: Local) -> Result | None:
        """Carry out a command.

        Raises:
            CommandError: it cannot be done; says why.
        """
        match local.verb:
            case "time":
                return await self._time(local.argument)
            case "watch":
                return await self._watch(local.argument)
            case "source":
                return await self.source(local.argument)
            case "edit":
                return await self._edit(local.argument)
            case "settings":
                path, written = write_template(self._environ)
                how = "written there, every key explained" if written else "there already"
                return Result("settings", (f"{path}: {how}; they count from the next start",))
            case _:
                self._views[local.verb](local.argument)
                self._model.touch()
                return None

    async def _time(self, line: str) -> Result | None:
        began_s = self._now()
        result = await self._commands.carry_out(line)
        took = f"{(self._now() - began_s) * 1000:.2f} ms"
        if result is None:
            return Result("time", (took,))
        return msgspec.structs.replace(result, lines=(*result.lines, f"took {took}"))

    async def _watch(self, line: str) -> Result | None:
        """Until Ctrl-C cancels it, the command fails, or it comes to nothing."""
        while True:
            result = await self._commands.carry_out(line)
            if result is None or result.error:
                return result
            self._commands.show(result)
            await asyncio.sleep(WATCH_S)

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
                if self._commands.room is not None:
                    await self._commands.room()
        finally:
            self._depth -= 1
        return None

    async def _edit(self, worker: str) -> Result | None:
        """Put a state in place of the worker's as the user's editor left it."""
        try:
            state = data_of(self._api, worker, self._api.get_state(worker))
        except SsmError as error:
            return refused(error)
        before = msgspec.json.format(msgspec.json.encode(state), indent=2).decode() + "\n"
        async with self._lend():
            after = await edited(before, ".json", self._environ)
        if after is None or after.strip() == before.strip():
            return Result("edit", ("nothing was changed",))
        return await aexecute(Command("set", {"worker": worker, "value": after}), self._api)

    def _detail(self, name: str) -> None:
        """Choose a node and show what there is to know of it."""
        tree = self._model.tree
        row = tree.index.row_of(name.rpartition("/")[2], 0, tree.index.count)
        if row is None:
            raise CommandError(f"{name} is not in view; `filter {name}` brings it there", column=8)
        tree.chosen = row
        self._model.detail = ()
