"""Verbs sent to a running tree by blocking requests: an event loop would cost start-up time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from ssm_cli.cli.printer import Printer, consents
from ssm_cli.commands.execute import execute, standing
from ssm_cli.commands.handlers import child_result
from ssm_cli.commands.parse import Command, parse_words
from ssm_cli.commands.results import Result, refused
from ssm_cli.errors import CommandError, NoProc, SsmError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.repl.shell.interpret import NamesHere, Piped, names_to_call, read_command
from ssm_cli.repl.shell.pipeline import Pipeline
from ssm_cli.repl.shell.results import Results

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment
    from ssm_cli.http.client.node import HttpNode
    from ssm_cli.runtime.node import Node

LOG = "ssm log"
PATTERN = frozenset("*?[")
MAX_SCRIPT = 16 << 20  # bytes


def carry_out(command: Command, node: Any) -> Result:
    """Execute one command. A child spec is sent as text and parsed by the tree."""
    if command.verb != "start-child":
        return execute(command, node, log=LOG)
    given = command.arguments
    try:
        child = standing(command, node).start_child(given["sup"], given["spec"])
    except SsmError as error:
        return refused(error, command)
    return child_result(command, child)


def ask(
    env: Environment,
    node: HttpNode | Node | None,
    commands: Iterable[Command],
    do: Callable[[Command, Any], Result] = carry_out,
) -> int:
    """Execute commands until one fails, each by `do`; return the exit code."""
    printer = Printer(env)
    for command in commands:
        result = do(command, node)
        while result.question is not None and env.stdin_is_tty and result.output is None:
            if not consents(env, result.question.text, [*result.asking.lines]):
                return ExitCode.DENIED
            result = do(result.question.then, node)
        printer.answer(result)
        if result.exit_code:
            return result.exit_code
    return ExitCode.DONE


def is_pattern(worker: str) -> bool:
    """Return whether a worker name is a pattern.

    >>> is_pattern("kv*"), is_pattern("kv2")
    (True, False)
    """
    return not PATTERN.isdisjoint(worker)


def ask_many(
    env: Environment, node: HttpNode, head: list[str], pattern: str, inputs: list[str]
) -> int:
    """Ask all workers that match a pattern, print a table, return the first failure's code."""
    found = [name for name in node.names("worker") if fnmatchcase(name, pattern)]
    if not found:
        raise NoProc(f"no worker matches {pattern}; `ssm tree` shows them", worker=pattern)
    results = [
        (name, given, carry_out(parse_words([*head, name, given], ()), node))
        for name in found
        for given in inputs
    ]
    printer = Printer(env)
    width = max(len(name) for name in found)
    for name, _, result in results:
        if result.output is None:
            lines = tuple(f"{name.ljust(width)}  {line}" for line in result.lines)
            result = Result(result.kind, lines)  # noqa: PLW2901 - the row of the same result
        printer.answer(result)
    return next((int(r.exit_code) for _, _, r in results if r.exit_code), ExitCode.DONE)


def run_script(
    env: Environment,
    node: HttpNode | Node,
    source: str,
    lines: Iterable[str],
    output: str | None = None,
    *,
    keep_going: bool,
    do: Callable[[Command, Any], Result] = carry_out,
    typed: bool = False,
) -> int:
    """Execute the lines of a script; return the exit code of the first that failed.

    `source` is what complaints call the script, "" for one verb alone; `do` carries a command out;
    lines that are `typed` are of a person, who reads what has failed.
    """
    printer, results, first = Printer(env, output or "text"), Results(), 0
    for number, line in enumerate(lines, 1):
        place = f"{source}:{number}" if source else ""
        try:
            names = NamesHere(cache(partial(names_to_call, node)), node, results)
            command = read_command(line, names, results, typed=typed)
            if command is None:
                continue
            command = msgspec.structs.replace(command, place=place)
            result = here(command, results, do, node)
            results.arrive(result)
            if isinstance(command, Piped):
                result = _sent_on(command.pipeline, result)
        except CommandError as error:
            result = refused(error, place=place)
        printer.result(result)
        printer.failed(result, "" if typed else place, keep_going=keep_going)
        printer.check()
        first = first or int(result.exit_code)
        if result.ends or (first and not (keep_going or typed)):
            break
        if not typed:
            results.lose()
    return first


def here(
    command: Command, results: Results, do: Callable[[Command, Any], Result], node: Any
) -> Result:
    """Carry out a command where a session stands; refuse it where that is not known."""
    try:
        return do(results.here(command), node)
    except CommandError as error:
        return refused(error, command)


def _sent_on(pipeline: Pipeline, result: Result) -> Result:
    """Redirect the output of a result to a program or a file."""
    import asyncio  # noqa: PLC0415 - for pipes alone

    from ssm_cli.repl.shell.programs import redirected  # noqa: PLC0415 - as above

    return asyncio.run(redirected(pipeline, result))


def lines_of(env: Environment, path: str) -> list[str]:
    """Return the lines of a script; `-` is standard input."""
    if path == "-":
        return lines_in(env.stdin.read(MAX_SCRIPT + 1), "<stdin>")
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:  # noqa: PTH123 - a name of the user's
            return lines_in(file.read(MAX_SCRIPT + 1), path)
    except OSError as error:
        raise CommandError(f"cannot read the script {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise CommandError(f"cannot read the script {path!r}: no file has that name") from error


def lines_in(text: str, source: str) -> list[str]:
    """Return the lines of a script, which ends at line feeds alone; refuse one that is too long."""
    if len(text) > MAX_SCRIPT:
        raise CommandError(f"{source} is longer than {MAX_SCRIPT >> 20} MiB; pipe it in parts")
    text = text.removeprefix("\ufeff").removesuffix("\n")
    return text.split("\n") if text else []
