"""Selection of the tree that a verb asks: options, and completion of names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssm_cli.commands.verb import AT, INTO, MOST_NUMBER, OUTPUT, TREE_OUTPUT, Option
from ssm_cli.errors import CommandError, SsmError

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment
    from ssm_cli.http.client.node import HttpNode

Tree = Annotated[
    str | None, typer.Option("--tree", metavar="FILE", help="start this tree here, then stop it")
]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="the tree at http://HOST:PORT, unix:PATH")
]


Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="ask the journal there, or a saved past; no tree"),
]


def not_empty(given: str | None) -> str | None:
    """Return the name that an option gives; an empty one is wrong usage, and not no name."""
    if given == "":
        raise typer.BadParameter("takes a name, not nothing; leave it out for none")
    return given


def as_typer(option: Option) -> Any:
    """Return an option of the table of verbs as typer has it; another value is wrong usage."""

    def chosen(given: str | None) -> str | None:
        if given is not None and option.choices and given not in option.choices:
            raise typer.BadParameter(f"takes one of {', '.join(option.choices)}, not `{given}`")
        return given

    return typer.Option(
        *option.spellings, metavar=option.metavar, help=option.help, callback=chosen
    )


def seconds_option(help_text: str, *, endless: bool = False) -> Any:
    """Return an option for seconds, with the bounds that those of the table of verbs have.

    `endless` ones may be `inf`.
    """

    def checked(given: float) -> float:
        if not (0 <= given < MOST_NUMBER or (endless and given == math.inf)):
            bounds = f"a number from 0, below 1,000,000,000{', or `inf`' * endless}"
            raise typer.BadParameter(f"takes {bounds}, not `{given:g}`")
        return given

    return typer.Option(metavar="SECONDS", help=help_text, callback=checked)


KeepGoing = Annotated[bool, typer.Option("--keep-going", help="run on after a command that fails")]
Output = Annotated[str | None, as_typer(OUTPUT)]
At = Annotated[str | None, as_typer(AT)]
Into = Annotated[str | None, as_typer(INTO)]
TreeOutput = Annotated[str | None, as_typer(TREE_OUTPUT)]

STDIN = "<stdin>"  # what complaints call standard input


@dataclass(frozen=True)
class Where:
    """A tree: started here from a file, or running, by URL or by name."""

    tree: str | None = None
    url: str | None = None
    name: str | None = None

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
    typer.Option(
        "--name",
        metavar="NAME",
        help="the running tree NAME",
        autocompletion=trees,
        callback=not_empty,
    ),
]
Worker = Annotated[str, typer.Argument(metavar="WORKER", autocompletion=workers)]
Words = Annotated[list[str] | None, typer.Argument(metavar="...", autocompletion=workers)]
