"""The verbs that ask a tree: the same commands as at the prompt, as `ssm VERB`.

`call`, `cast` and `log` have options or repetitions of their own; the others are made from the
table of verbs. With `--tree FILE` the tree is started here, asked, and stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated

import typer

from ssm_cli.cli.environment import Environment
from ssm_cli.commands.parse import Command, parse_words
from ssm_cli.commands.verbs import TABLE, Verb
from ssm_cli.errors import CommandError, NoTree

Words = Annotated[list[str] | None, typer.Argument(metavar="...")]
Tree = Annotated[
    str | None, typer.Option("--tree", metavar="FILE", help="start this tree here, then stop it")
]
Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="FORMAT", help="text or json; tree also dot")
]

SETTINGS = {"ignore_unknown_options": True}  # `ssm set kv1 -1`: a value may begin with a dash


def call(
    ctx: typer.Context,
    worker: Annotated[str, typer.Argument(metavar="WORKER")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="- reads them from stdin")
    ],
    *,
    tree: Tree = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="how long to wait for each output")
    ] = None,
    output: Output = None,
) -> int:
    """Write each INPUT to the queue and print its output, one a line; stop at a failure."""
    options = _options("--timeout", timeout) + _options("-o", output)
    return _inputs(ctx.obj, tree, ["call", *options, worker], inputs)


def cast(
    ctx: typer.Context,
    worker: Annotated[str, typer.Argument(metavar="WORKER")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="- reads them from stdin")
    ],
    tree: Tree = None,
    output: Output = None,
) -> int:
    """Write each INPUT to the queue without waiting for an output."""
    return _inputs(ctx.obj, tree, ["cast", *_options("-o", output), worker], inputs)


def log(
    ctx: typer.Context,
    tree: Tree = None,
    last: Annotated[
        str | None, typer.Option("-n", "--last", metavar="N", help="only the last N reports")
    ] = None,
    output: Output = None,
) -> int:
    """Print what happened, oldest first."""
    command = parse_words(["log", *_options("-n", last), *_options("-o", output)], ())
    return _ask(ctx.obj, tree, _once(command))


OWN: dict[str, Callable[..., int]] = {"call": call, "cast": cast, "log": log}


def register(app: typer.Typer) -> None:
    """Add every verb of the table that asks a tree to the app."""
    for verb in TABLE:
        if verb.section == "session":
            continue
        own = OWN.get(verb.name)
        help_text = None if own else _sentence(verb)  # None: its own docstring
        app.command(verb.name, help=help_text, context_settings=SETTINGS)(own or _asks(verb))


def _asks(verb: Verb) -> Callable[..., int]:
    """The function of a verb that the table describes completely."""

    def ask(
        ctx: typer.Context, words: Words = None, tree: Tree = None, output: Output = None
    ) -> int:
        command = parse_words([verb.name, *_options("-o", output), *(words or ())], ())
        return _ask(ctx.obj, tree, _once(command))

    return ask


def _sentence(verb: Verb) -> str:
    arguments = verb.usage.partition(" ")[2]
    return f"{verb.help[0].upper()}{verb.help[1:]}." + (f" Takes {arguments}." if arguments else "")


def _options(spelling: str, value: str | None) -> list[str]:
    return [] if value is None else [spelling, value]


async def _once(command: Command) -> AsyncIterator[Command | CommandError]:
    yield command


def _inputs(env: Environment, tree: str | None, head: list[str], inputs: list[str]) -> int:
    """One command for each input; `-` stands for the lines of standard input."""
    parse_words([*head, ""], ())  # a wrong option is refused before anything starts

    async def commands() -> AsyncIterator[Command | CommandError]:
        from ssm_cli.cli.lines import of_stdin  # noqa: PLC0415 - asyncio only with a tree

        for given in inputs:
            if given == "-":
                async for line in of_stdin(env):
                    yield parse_words([*head, line.rstrip("\n")], ())
            else:
                yield parse_words([*head, given], ())

    return _ask(env, tree, commands())


def _ask(
    env: Environment, tree: str | None, commands: AsyncIterator[Command | CommandError]
) -> int:
    """Start the tree, run the commands, stop it; reports stay unseen. Returns the exit code."""
    if tree is None:
        raise NoTree(
            "no running tree found; start one with `ssm run TREE`, "
            "or name a tree file to start here with `--tree FILE`"
        )
    from ssm_cli.cli.printer import Printer  # noqa: PLC0415 - only with a tree
    from ssm_cli.cli.run import node_of  # noqa: PLC0415 - as above
    from ssm_cli.cli.session import Session  # noqa: PLC0415 - as above

    return Session(node_of(tree), Printer(env), reports=False).run(commands)
