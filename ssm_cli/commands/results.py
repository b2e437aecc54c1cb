"""What commands come to: results, made in the form that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ssm_cli.commands import records, text
from ssm_cli.commands.parse import Command
from ssm_cli.errors import CommandError, SsmError, message_of
from ssm_cli.exit_codes import ExitCode, exit_code_of

REDIRECTED = "redirected"  # `output` of a result that went to a program or a file


class Question(msgspec.Struct, frozen=True):
    """What is asked before a command does something: the text, and the command if it is agreed."""

    text: str
    then: Command


class Result(msgspec.Struct, frozen=True):
    """What a command came to.

    Attributes:
        kind: the verb, or `error` for a line that is no command.
        lines: what a reader sees, in the form that the command's own `-o` asked for.
        records: JSON-ready values, one for each line of `-o json`.
        exit_code: what the process would exit with; not 0 is a failure.
        error: `lines` belong on standard error.
        value: the output of a call, the state of `state`, ...; None otherwise.
        output: what the command's own `-o` asked for, or None.
        ends: the session ends with this command.
        question: what can be asked; the last line says what happens where it cannot be.
    """

    kind: str
    lines: tuple[str, ...] = ()
    records: tuple[object, ...] = ()
    exit_code: ExitCode = ExitCode.DONE
    error: bool = False
    value: object = None
    output: str | None = None
    ends: bool = False
    question: Question | None = None

    @property
    def asking(self) -> Result:
        """What is shown before the question."""
        lines = self.lines if self.output in ("json", "jsonl") else self.lines[:-1]
        return msgspec.structs.replace(self, lines=lines, exit_code=ExitCode.DONE, question=None)


def refused(error: SsmError, command: Command | None = None, place: str = "") -> Result:
    """The result of a command that failed, or of a line that is none, at a `place`.

    >>> refused(CommandError("`cal` is no command", column=1)).exit_code.name
    'USAGE'
    """
    if command is None:
        command = Command("error", place=place)
    record, place = records.error_record(error, command.place), command.place
    line = text.brief(message_of(error), 4000)
    if isinstance(error, CommandError):
        place = place or error.place
        line = f"column {error.column}: {line}" if error.column else line
    line = f"{place}: {line}" if place else line
    lines = (line, *(f"  {shown}" for shown in error.excerpt))
    return made_result(
        command.verb, lines, (record,), command.output, exit_code=exit_code_of(error), error=True
    )


def made_result(
    kind: str, lines: tuple[str, ...], made: Sequence[object], output: str | None, **more: Any
) -> Result:
    """A result whose lines are in the form that the command asked for."""
    if output in ("json", "jsonl"):
        lines = tuple(records.json_line(record) for record in made)
    return Result(kind, lines, tuple(made), output=output, **more)


def answered(command: Command, value: object, lines: tuple[str, ...]) -> Result:
    """A result of one JSON value."""
    return made_result(command.verb, lines, (value,), command.output, value=value)


def done(command: Command, line: str = "ok", **more: Any) -> Result:
    """A result of a command that has nothing to tell but that it is done."""
    record = records.done_record(command.verb, command.arguments)
    return made_result(command.verb, (line,), (record,), command.output, **more)
