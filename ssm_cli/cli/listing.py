"""`ssm ls`, `ssm attach`, `ssm stop`, `ssm wait`: commands about running trees."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Annotated, Any, get_args

import typer

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.faces import Face
from ssm_cli.cli.printer import answer, did
from ssm_cli.cli.where import (
    Name,
    Output,
    Url,
    Where,
    Worker,
    flag,
    option,
    say,
    seconds_option,
    trees,
)
from ssm_cli.commands.parse import Command
from ssm_cli.commands.records import each_node, tree_record
from ssm_cli.commands.text import brief, duration, table
from ssm_cli.errors import CallTimeout, CommandError, NoProc
from ssm_cli.exit_codes import ExitCode
from ssm_cli.runtime.views import NodeView, State

LOOK_S = 0.05  # between two looks at a node that is waited for
HEAD = ("NAME", "FILE", "PID", "UPTIME", "WORKERS", "RESTARTS", "DROPPED")
TreeName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", autocompletion=trees, help="the tree's name")
]
_CONDITION = re.compile(r"\s*(\w+)\s*(==|!=|>=|<=|=|>|<)\s*(\S+)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": eq, "==": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt,
}  # fmt: skip
STATES = get_args(State)
NUMBERS = ("restarts", "queue", "steps", "uptime_s", "budget_left")


def ls(env: Environment, output: Output = None) -> int:
    """List the running trees."""
    from ssm_cli.http.client.find import running_trees  # noqa: PLC0415 - not needed for help

    found = running_trees(env.environ, lambda line: say(env, line))
    answer(env, output, table([HEAD, *map(_row, found)]), found)
    return ExitCode.DONE


def attach(
    env: Environment,
    tree: TreeName = None,
    *,
    name: Name = None,
    url: Url = None,
    face: Face,
) -> int:
    """Open the prompt and the living view over a running tree; leaving it leaves the tree."""
    if not env.is_terminal:
        raise CommandError("attach needs a terminal; use `ssm script` or `ssm call` without one")
    from ssm_cli.cli.attach import session  # noqa: PLC0415 - asyncio, for those who attach

    return session(env, Where(None, url, _once(tree, name)).connect(env), face)


def stop(
    env: Environment,
    tree: TreeName = None,
    *,
    keep_remote: Annotated[
        bool, flag("remote children run on, for the next parent", "--keep-remote")
    ] = False,
    name: Name = None,
    url: Url = None,
    output: Output = None,
) -> int:
    """Stop a running tree, children in reverse start order."""
    from ssm_cli.cli.ask import ask  # noqa: PLC0415 - not needed for help

    command = Command("stop", {"keep_remote": "yes"} if keep_remote else {}, output)
    return ask(env, Where(None, url, _once(tree, name)).connect(env), [command])


def _once(argument: str | None, option: str | None) -> str | None:
    """Return the name of a tree, which may be an argument or an option."""
    if argument is not None and option is not None:
        raise typer.BadParameter("give the name of the tree once")
    return argument or option


def wait(
    env: Environment,
    worker: Worker,
    *,
    condition: Annotated[str, option("WHAT", "a state, or as `steps>=10`", "--for")] = "running",
    timeout: Annotated[float, seconds_option("how long to wait")] = 30.0,
    name: Name = None,
    url: Url = None,
    output: Output = None,
) -> int:
    """Wait until a worker or supervisor is in a state, or one of its numbers is right."""
    holds = condition_of(condition)
    node = Where(None, url, name).connect(env)
    end_s = time.monotonic() + timeout
    while True:
        view = next((v for v in each_node(node.tree()) if worker in (v.id, v.path)), None)
        if view is not None and holds(view):
            facts = {"worker": worker, "for": condition, "node": tree_record(view)}
            return did(env, output, "wait", (), **facts)
        if time.monotonic() >= end_s:
            break
        time.sleep(LOOK_S)
    if view is None:
        raise NoProc(f"no worker {worker}; `ssm tree` shows them", worker=worker, reason="noproc")
    raise CallTimeout(
        f"{worker} is {view.state} (restarts {view.restarts}, queue {view.queue}, "
        f"steps {view.steps}), not {condition}, after {timeout:g} s",
        worker=worker,
    )


def condition_of(text: str) -> Callable[[NodeView], bool]:
    """Parse the condition of `--for`: a state, or a field, a comparison and a value.

    >>> condition_of("steps>=1")(NodeView("kv1", "kv1", "worker", "running", steps=1))
    True
    """
    if text in STATES:
        return lambda view: view.state == text
    match = _CONDITION.fullmatch(text)
    if match is not None:
        field, compare, value = match[1], _COMPARE[match[2]], match[3]
        if field == "state" and match[2] in ("=", "==", "!=") and value in STATES:
            return lambda view: compare(view.state, value)
        if field in NUMBERS and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            number = float(value)
            return lambda view: compare(getattr(view, field) or 0, number)
    raise CommandError(
        f"--for takes a state ({', '.join(STATES)}), or a comparison as `steps>=10` of "
        f"{', '.join(NUMBERS)} or state; not `{text}`"
    )


def _row(info: dict[str, Any]) -> tuple[str, ...]:
    if "pid" not in info:
        return str(info["name"]), "-", "-", str(info["state"]), "-", "-", "-"
    file, uptime_s = brief(str(info["file"]) or "-"), float(info["uptime_s"])
    counts = (str(info.get(key, "-")) for key in ("workers", "restarts", "dropped"))
    return (str(info["name"]), file, str(info["pid"]), duration(uptime_s), *counts)
