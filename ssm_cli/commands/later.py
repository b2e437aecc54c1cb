"""What may take long, and is carried out while the tree goes on; and what a fork was stopped in."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec

from ssm_cli.commands.future_verbs import FUTURES
from ssm_cli.commands.parse import Command
from ssm_cli.commands.records import json_line
from ssm_cli.commands.results import Result
from ssm_cli.commands.verbs import VERBS
from ssm_cli.runtime.api import NodeApi

BESIDE = frozenset({"replay", "report", "save", "shrink"})
"""Verbs of the past that change nothing: they are carried out in a process of their own."""
READING = frozenset({"back", "blame", "next", "when"})
"""Verbs that look through records: they are as well, where the answer is not there soon."""
STEPPING = frozenset({"advance", "edit", "without"})
"""Verbs that step a fork: it is given turns, as the live tree is."""
LOOKING = frozenset({"at", "diff", "fork", "history"})
"""Verbs that make a tree of the past, or tell much of it: they are done in turns likewise."""


@runtime_checkable
class AsksLater(Protocol):
    """A tree of another process."""

    async def aperform(self, effect: str, **given: Any) -> Any:
        """Carry out an effect by its route, while other tasks go on."""
        ...


@runtime_checkable
class SettledThere(Protocol):
    """A fork of another process, which settles it before it answers."""

    def stopped(self) -> str:
        """Return why it was stopped with the last command, "" if it was not."""
        ...


def is_in_fork(command: Command) -> bool:
    """Return whether a command is written at a fork."""
    return command.at.startswith("fork")


def takes_long(command: Command, api: NodeApi) -> bool:
    """Return whether a command is carried out while the tree goes on, if this one does."""
    verb = command.verb
    effects = getattr(api, "effects", ())
    if verb in READING or verb in LOOKING:
        return ("soon" if verb in READING else "in_turns") in effects
    if verb == "report":  # elsewhere its page is made here
        return "beside" in effects
    return verb in FUTURES or verb in BESIDE or (verb in STEPPING and is_in_fork(command))


def fork_settled(command: Command, api: NodeApi, there: NodeApi) -> str:
    """Have a fork serve what a command has set off in it; return why it was stopped, or "".

    One that only reads sets off nothing. `api` is the live tree, `there` the fork.
    """
    route = VERBS[command.verb].route
    if not is_in_fork(command) or (route is not None and route.method == "GET"):
        return ""
    if isinstance(there, SettledThere):
        return there.stopped()
    said: str = api.perform("settle", at=command.at)
    return said


async def afork_settled(command: Command, api: NodeApi, there: NodeApi) -> str:
    """`fork_settled` for asyncio: the live tree goes on meanwhile."""
    if not is_in_fork(command) or isinstance(there, SettledThere):
        return fork_settled(command, api, there)
    said: str = await api.perform("in_turns", "settle", at=command.at)
    return said


def noted(result: Result, said: str) -> Result:
    """Return a result that says as well why the fork was stopped."""
    if not said:
        return result
    more = {"stopped": said}
    made = tuple(one | more if isinstance(one, dict) else one for one in result.records)
    lines = (*result.lines, said)
    if result.output in ("json", "jsonl"):
        lines = tuple(map(json_line, made))
    return msgspec.structs.replace(result, lines=lines, records=made)
