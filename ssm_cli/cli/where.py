"""Selection of the tree that a verb asks: options, and completion of names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ssm_cli.cli.environment import Environment
from ssm_cli.commands.verb import AT, INTO, MOST_NUMBER, OUTPUT, Option
from ssm_cli.commands.verbs import TREE_OUTPUT
from ssm_cli.errors import CommandError, SsmError

if TYPE_CHECKING:
    from ssm_cli.http.client.node import HttpNode


def option(metavar: str, help_text: str, *spellings: str, **more: Any) -> Any:
    """Return an option with a value, spelled as its parameter if nothing else is said."""
    return typer.Option(*spellings, metavar=metavar, help=help_text, **more)


def flag(help_text: str, *spellings: str) -> Any:
    """Return an option without a value."""
    return typer.Option(*spellings, help=help_text)


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command as typer takes it.

    A parameter that is the `Environment` becomes the context that has it, and one that is another
    dataclass its fields, which are options.
    """
    taken = inspect.signature(command, eval_str=True)
    kinds = {one.name: one.annotation for one in taken.parameters.values()}
    env = [name for name, kind in kinds.items() if kind is Environment]
    groups: dict[str, Any] = {
        name: kind for name, kind in kinds.items() if is_dataclass(kind) and name not in env
    }
    flat: list[inspect.Parameter] = []
    for one in taken.parameters.values():
        if one.name in env:
            flat.append(one.replace(annotation=typer.Context))
            continue
        kind = groups.get(one.name)
        hints = get_type_hints(kind, include_extras=True) if kind else {}
        flat += [
            one.replace(name=field.name, annotation=hints[field.name], default=field.default)
            for field in fields(kind)
        ] if kind else [one]  # fmt: skip

    @wraps(command)
    def made(**given: Any) -> int:
        of_groups = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        found = {name: given.pop(name).obj for name in env}
        return command(**found, **given, **of_groups)

    made.__annotations__ = {}  # they stand in the signature
    made.__signature__ = taken.replace(parameters=flat)  # type: ignore[attr-defined]  # what typer reads
    return made


Tree = Annotated[str | None, option("FILE", "start this tree here, then stop it", "--tree")]
Url = Annotated[str | None, option("URL", "the tree at http://HOST:PORT, unix:PATH", "--url")]
Data = Annotated[
    Path | None, option("DIR", "ask the journal there, or a saved past; no tree", "--data")
]


def not_empty(given: str | None) -> str | None:
    """Return the name that an option gives; an empty one is wrong usage, and not no name."""
    if given == "":
        raise typer.BadParameter("takes a name, not nothing; leave it out for none")
    return given


def as_typer(row: Option) -> Any:
    """Return an option of the table of verbs as typer has it; another value is wrong usage."""

    def chosen(given: str | None) -> str | None:
        if given is not None and row.choices and given not in row.choices:
            raise typer.BadParameter(f"takes one of {', '.join(row.choices)}, not `{given}`")
        return given

    return option(row.metavar, row.help, *row.spellings, callback=chosen)


def seconds_option(help_text: str, *, endless: bool = False) -> Any:
    """Return an option for seconds, with the bounds that those of the table of verbs have.

    `endless` ones may be `inf`.
    """

    def checked(given: float) -> float:
        if not (0 <= given < MOST_NUMBER or (endless and given == math.inf)):
            bounds = f"a number from 0, below 1,000,000,000{', or `inf`' * endless}"
            raise typer.BadParameter(f"takes {bounds}, not `{given:g}`")
        return given

    return option("SECONDS", help_text, callback=checked)


KeepGoing = Annotated[bool, flag("run on after a command that fails", "--keep-going")]
Output = Annotated[str | None, as_typer(OUTPUT)]
At = Annotated[str | None, as_typer(AT)]
Into = Annotated[str | None, as_typer(INTO)]
TreeOutput = Annotated[str | None, as_typer(TREE_OUTPUT)]

STDIN = "<stdin>"  # what complaints call standard input
CLEAR = "\x1b[H\x1b[2J"  # cursor home, screen empty


def name_of(script: str) -> str:
    """Return what complaints call a script: `-` is standard input.

    >>> name_of("kv.ssm"), name_of("-")
    ('kv.ssm', '<stdin>')
    """
    return STDIN if script == "-" else script


def say(env: Environment, line: str) -> None:
    """Print a diagnostic line."""
    env.stderr.write(f"ssm: {line}\n")
    env.stderr.flush()  # what comes next may take long, and a pipe holds it back till the end


def trees(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names of running trees."""
    from ssm_cli.http import places  # noqa: PLC0415 - only to complete

    return [name for name in places.names(_environ(ctx)) if name.startswith(incomplete)]


def workers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names of the running tree's workers and supervisors."""
    from ssm_cli.http.client.find import find  # noqa: PLC0415 - only to complete

    options = ctx.params
    try:
        node = find(_environ(ctx), options.get("url"), options.get("name"))
        names = node.names()
    except SsmError:
        return []  # completion is silent: there is nothing to complete with
    return [name for name in names if name.startswith(incomplete)]


def _environ(ctx: typer.Context) -> dict[str, str]:
    import os  # noqa: PLC0415 - the shell starts us to complete, without an Environment

    environ = getattr(ctx.find_root().obj, "environ", None)
    return dict(os.environ if environ is None else environ)


Name = Annotated[
    str | None,
    option("NAME", "the running tree NAME", "--name", autocompletion=trees, callback=not_empty),
]
Worker = Annotated[str, typer.Argument(metavar="WORKER", autocompletion=workers)]
Words = Annotated[list[str] | None, typer.Argument(metavar="...", autocompletion=workers)]


@dataclass(frozen=True)
class Where:
    """The options that say which tree: started here from a file, or running, by URL or by name."""

    tree: Tree = None
    url: Url = None
    name: Name = None

    def __post_init__(self) -> None:
        if self.tree is not None and (self.url is not None or self.name is not None):
            raise CommandError("--tree starts a tree here; leave out --url and --name")

    def connect(self, env: Environment) -> HttpNode:
        """Connect to the selected running tree. Raises `NoTree`."""
        from ssm_cli.http.client.find import find  # noqa: PLC0415 - not needed for help

        node = find(env.environ, self.url, self.name, lambda line: say(env, line))
        node.connection.notice = partial(say, env)
        env.at_end.callback(node.connection.close)
        return node
