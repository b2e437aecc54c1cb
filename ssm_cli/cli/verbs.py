"""The verbs that ask a tree: the commands of the prompt as `ssm VERB`.

`call`, `cast`, `log`, `tree` and `script` have options of their own; the others are generated from
the table of verbs. They connect to a running tree; with `--tree FILE` the tree is started in this
process, asked, and stopped.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ssm_cli.cli import listing
from ssm_cli.cli.cluster.access import CallCluster, Whole
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.help import Asks
from ssm_cli.cli.where import (
    STDIN,
    At,
    Data,
    Into,
    KeepGoing,
    Output,
    TreeOutput,
    Where,
    Words,
    Worker,
    as_typer,
    flag,
    grouped,
    name_of,
    option,
)
from ssm_cli.commands.parse import Command, parse_words
from ssm_cli.commands.verb import AT, OUTPUT, Verb
from ssm_cli.commands.verbs import TABLE, VERBS
from ssm_cli.errors import CommandError

if TYPE_CHECKING:
    from ssm_cli.cli.pipeline import Lines
    from ssm_cli.cli.session import Session

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="- reads them from stdin")]
RequestId = Annotated[
    str | None, option("ID", "with the same ID a call is stepped once", "--request-id")
]

SETTINGS = {"ignore_unknown_options": True}  # `ssm set kv1 -1`: `Asks` refuses what is none


def call(
    env: Environment,
    worker: Worker,
    inputs: Inputs,
    *,
    where: Where,
    timeout: Annotated[str | None, option("SECONDS", "how long to wait for each output")] = None,
    request_id: RequestId = None,
    cluster: CallCluster = None,
    output: Output = None,
) -> int:
    """Write each INPUT to the queue and print its output, one a line; stop at a failure."""
    head = ["call", *_options("--timeout", timeout), *_options("-o", output)]
    if cluster is not None:
        from ssm_cli.cli.cluster.asking import call_by_name  # noqa: PLC0415 - for clusters alone

        _whole_cluster("--name", tree=where.tree, url=where.url)
        parse_words([*head, worker, ""], ())  # a wrong option is refused before anything starts
        commands = _given(env, [*head, worker], inputs)
        called = where.name or ""
        return call_by_name(env, cluster, commands, tree=called, request_id=request_id)
    return _inputs(env, where, head, worker, inputs, request_id=request_id)


def cast(
    env: Environment,
    worker: Worker,
    inputs: Inputs,
    *,
    where: Where,
    output: Output = None,
) -> int:
    """Write each INPUT to the queue without waiting for an output."""
    head = ["cast", *_options("-o", output)]
    return _inputs(env, where, head, worker, inputs)


def log(
    env: Environment,
    *,
    where: Where,
    last: Annotated[str | None, option("N", "only the last N reports", "-n", "--last")] = None,
    follow: Annotated[bool, flag("go on as things happen", "-f", "--follow")] = False,
    at: At = None,
    into: Into = None,
    data: Data = None,
    cluster: Whole = None,
    output: Output = None,
) -> int:
    """Print what happened, oldest first."""
    options = [*_options("-n", last), *_options("--at", at), *_options("-o", output)]
    command = parse_words(["log", *options, *_options("--in", into)], ())
    if cluster is not None:
        from ssm_cli.cli.cluster.window import cluster_log  # noqa: PLC0415 - for clusters alone

        _whole_cluster(**asdict(where), data=data, at=at, into=into)
        return cluster_log(env, cluster, command.last, output, follow=follow)
    if data is not None or not follow:
        return _ask(env, where, command, data)
    if where.tree is not None:
        raise typer.BadParameter("-f follows a running tree; leave out --tree")
    if into is not None:
        raise typer.BadParameter("-f follows a whole tree; leave out --in, or give --cluster")
    from ssm_cli.cli import follow as following  # noqa: PLC0415 - for followers

    return following.follow(env, where.connect(env), command.last, output)


def tree_(
    env: Environment,
    *,
    where: Where,
    watch: Annotated[bool, flag("print it again when it changes", "--watch")] = False,
    at: At = None,
    into: Into = None,
    data: Data = None,
    cluster: Whole = None,
    output: TreeOutput = None,
) -> int:
    """Print the tree with state, restarts and budget left."""
    command = Command("tree", output=output, at=at or "", into=into or "")
    if cluster is not None:
        from ssm_cli.cli.cluster.window import cluster_tree  # noqa: PLC0415 - for clusters alone

        _whole_cluster(**asdict(where), data=data, at=at, into=into)
        return cluster_tree(env, cluster, output, watch=watch)
    if data is not None or not watch:
        return _ask(env, where, command, data)
    if where.tree is not None:
        raise typer.BadParameter("--watch watches a running tree; leave out --tree")
    from ssm_cli.cli import follow as following  # noqa: PLC0415 - for watchers

    return following.watch(env, where.connect(env), command)


def script(
    env: Environment,
    file: Annotated[str, typer.Argument(metavar="FILE", help="its commands; - is stdin")],
    *,
    where: Where,
    keep_going: KeepGoing = False,
    output: Output = None,
) -> int:
    """Run the commands of a file against a running tree."""
    if where.tree is None:
        from ssm_cli.cli import ask  # noqa: PLC0415 - not needed for help

        lines = ask.lines_of(env, file)
        source = name_of(file)
        connected = where.connect(env)
        return ask.run_script(env, connected, source, lines, output, keep_going=keep_going)
    from ssm_cli.cli.lines import of_file, of_stdin, parsed  # noqa: PLC0415 - asyncio with a tree
    from ssm_cli.repl.shell.interpret import NamesHere, names_to_call  # noqa: PLC0415 - as above

    session = _session(env, where.tree, output, remember=True, keep_going=keep_going)
    given = of_stdin(env) if file == "-" else of_file(file)
    names = NamesHere(partial(names_to_call, session.node), session.node, session.results)
    return session.run(parsed(given, names, session.results, name_of(file)))


OWN: dict[str, Callable[..., int]] = {
    "call": call,
    "cast": cast,
    "log": log,
    "tree": tree_,
    "stop": listing.stop,
}
ASKING = {verb.name: verb for verb in TABLE if verb.asks}
"""The verbs that ask a tree; those of a session are no commands of the program."""


def add_verb(app: typer.Typer, name: str) -> None:
    """Add a verb to the app: with its own function, else as its row describes it."""
    verb, own = ASKING[name], OWN.get(name)
    help_text = None if own else _sentence(verb)  # None: its own docstring
    made = app.command(name, cls=Asks, help=help_text, context_settings=SETTINGS)
    made(grouped(own) if own else _asks(verb))


def _asks(verb: Verb) -> Callable[..., int]:
    """Return the command function of a verb that the table describes completely."""

    def function(
        env: Environment,
        words: Words = None,
        *,
        where: Where,
        data: Data = None,
        output: Output = None,
    ) -> int:
        command = parse_words([verb.name, *_options("-o", output), *(words or ())], ())
        return _ask(env, where, command, data)

    spelled = next((option for option in verb.options if option.name == "output"), OUTPUT)
    function.__annotations__["output"] = Annotated[str | None, as_typer(spelled)]
    made = grouped(function)
    if AT not in verb.options:  # it is always about now
        taken = inspect.signature(made)
        kept = [one for one in taken.parameters.values() if one.name != "data"]
        made.__signature__ = taken.replace(parameters=kept)  # type: ignore[attr-defined]  # what typer reads
    return made


def _sentence(verb: Verb) -> str:
    arguments = verb.usage.partition(" ")[2]
    own = [option for option in verb.options if option.name != "output"]
    options = ", ".join(f"{one.spellings[0]} {one.metavar}".strip() for one in own)
    said = [f"{verb.help[0].upper()}{verb.help[1:]}."]
    said += [f"Takes {arguments}."] if arguments else []
    said += [f"Options: {options}."] if options else []
    return " ".join(said)


def _options(spelling: str, value: str | None) -> list[str]:
    return [] if value is None else [spelling, value]


def _look(env: Environment, data: Path, where: Where, command: Command) -> int:
    """Look at a past that is not that of a running tree; `--tree` has the code for it."""
    if (where.url or where.name) is not None:
        raise CommandError("--data asks no running tree; leave out --url and --name")
    if command.arguments.get(VERBS[command.verb].of_file):
        raise CommandError("--data asks a past; leave out the folder, or the tree file")
    from ssm_cli.cli import ask, past  # noqa: PLC0415 - not needed for help

    door = shlex.join(["--data", str(data), *_options("--tree", where.tree)])
    command, looking = msgspec.structs.replace(command, door=door), past.Looking(data, alone=True)
    return ask.ask(env, past.opened(env, data, where.tree), [command], looking.look)


def _ask(env: Environment, where: Where, command: Command, data: Path | None) -> int:
    """Ask the selected tree, or the past in `data`."""
    if data is not None:
        return _look(env, data, where, command)
    if command.arguments.get(VERBS[command.verb].of_file):
        if where != Where():
            raise CommandError("the tree is named by its file; leave out --tree, --url and --name")
        from ssm_cli.cli import ask  # noqa: PLC0415 - not needed for help
        from ssm_cli.commands.futures import ask_future  # noqa: PLC0415 - much, for few verbs

        return ask.ask(env, None, [command], ask_future)
    if where.tree is not None:
        command = msgspec.structs.replace(command, door=shlex.join(["--tree", where.tree]))
        return _session(env, where.tree).run(_once(command))
    from ssm_cli.cli import ask  # noqa: PLC0415 - not needed for help

    node = where.connect(env)
    at = ["--url", where.url] if where.url is not None else ["--name", where.name or node.name]
    return ask.ask(env, node, [msgspec.structs.replace(command, door=shlex.join(at))])


def _inputs(
    env: Environment,
    where: Where,
    head: list[str],
    worker: str,
    inputs: list[str],
    *,
    request_id: str | None = None,
) -> int:
    """Yield one command for each input; `-` stands for the lines of standard input."""
    parse_words([*head, worker, ""], ())  # a wrong option is refused before anything starts
    if where.tree is not None:
        return _session(env, where.tree).run(_given(env, [*head, worker], inputs))
    from ssm_cli.cli import ask, pipeline  # noqa: PLC0415 - not needed for help

    node = where.connect(env)
    if ask.is_pattern(worker):
        return ask.ask_many(env, node, head, worker, inputs)
    if inputs == ["-"] and head[0] == "call" and request_id is None:
        return pipeline.Pipelined(env, node, [*head, worker]).run()
    node.calls.use_keys(request_id)
    lines = pipeline.Lines(env) if "-" in inputs else None
    return ask.ask(env, node, _each([*head, worker], inputs, lines))


def _each(head: list[str], inputs: list[str], lines: Lines | None) -> Iterator[Command]:
    for given in inputs:
        if given == "-" and lines is not None:
            yield from (lines.command(head, line) for line in lines)
        else:
            yield parse_words([*head, given], ())


def _whole_cluster(*but: str, **others: object) -> None:
    """Refuse options that say which tree is asked beside a cluster."""
    given = [
        "--in" if name == "into" else f"--{name}"
        for name, value in others.items()
        if value is not None
    ]
    if given:
        kept = f"; {but[0]} says which tree of it" if but else ""
        raise CommandError(f"--cluster asks a cluster; leave out {', '.join(given)}{kept}")


async def _once(command: Command) -> AsyncIterator[Command | CommandError]:
    yield command


async def _given(
    env: Environment, head: list[str], inputs: list[str]
) -> AsyncIterator[Command | CommandError]:
    from ssm_cli.cli.lines import of_stdin  # noqa: PLC0415 - asyncio only with a tree

    for given in inputs:
        if given == "-":
            number = 0
            async for line in of_stdin(env):
                number += 1
                command = parse_words([*head, line.rstrip("\n")], ())
                yield msgspec.structs.replace(command, place=f"{STDIN}:{number}")
        else:
            yield parse_words([*head, given], ())


def _session(
    env: Environment,
    tree: str,
    output: str | None = None,
    *,
    remember: bool = False,
    keep_going: bool = False,
) -> Session:
    """Return a session that starts a tree, runs commands and stops it, without reports."""
    from ssm_cli.cli.data.place import REMEMBERED  # noqa: PLC0415 - as above
    from ssm_cli.cli.opening import node_of  # noqa: PLC0415 - only with a tree
    from ssm_cli.cli.printer import Printer  # noqa: PLC0415 - as above
    from ssm_cli.cli.session import Session  # noqa: PLC0415 - as above

    node, printer = node_of(tree, env, REMEMBERED * remember), Printer(env, output or "text")
    return Session(node, printer, reports=False, keep_going=keep_going, log="")
