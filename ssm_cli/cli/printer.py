"""Printing of results and reports to the two streams, as text or as JSON lines."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, TextIO, cast

from ssm_cli.cli.environment import Environment, fileno_of
from ssm_cli.commands import records
from ssm_cli.commands.results import REDIRECTED, Result, made_result
from ssm_cli.commands.text import visible
from ssm_cli.commands.verbs import VERBS
from ssm_cli.commands.voice import report_line
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.render.outlet import Outlet, offer
from ssm_cli.runtime.views import CrashReport, Report

SAYS_NO = (ExitCode.NOT_RUNNING, ExitCode.CRASHED)


class Printer:
    """Prints results, reports and notices in order.

    As text, results go to standard output, failures to standard error, and so do reports, unless
    they are what was asked for (`asked`). As JSON all of them go to standard output, one value a
    line, in UTF-8.

    It is called from inside the node as a reader of reports and must not raise: the error of a
    stream that cannot be written is stored in `broken`, and later output is dropped.
    """

    def __init__(self, env: Environment, output: str = "text", *, asked: bool = False) -> None:
        self.broken: OSError | None = None
        self._env = env
        self._json = output in ("json", "jsonl")
        self._reports = env.stdout if self._json or asked else env.stderr
        if self._json and isinstance(env.stdout, io.TextIOWrapper | Outlet):
            env.stdout.reconfigure(encoding="utf-8")
        if self._json and isinstance(env.stdout, Outlet):
            env.stdout.say_dropped = dropped_line

    def result(self, result: Result) -> None:
        """Print a result in the format of its command, else in that of the session."""
        if self._json and result.output in (None, "json", "jsonl"):
            for record in result.records:
                self._write(self._env.stdout, records.json_line(record))
            return
        if self._json and result.output == REDIRECTED:
            record = {"v": 1, "type": REDIRECTED, "verb": result.kind, "lines": result.lines}
            self._write(self._env.stdout, records.json_line(record))
            return
        as_json = result.output in ("json", "jsonl")
        stream = self._env.stderr if result.error and not as_json else self._env.stdout
        for line in result.lines if as_json else self._lines(result):
            self._write(stream, line)

    def answer(self, result: Result) -> None:
        """Print a result; raise the error of a stream that cannot be written."""
        self.result(result)
        self.check()

    def _lines(self, result: Result) -> Sequence[str]:
        """Return the lines of a result; a crash is a panel on a terminal.

        Words that are refused, and stand in no line with a column or a place, begin as all that
        the program refuses.
        """
        if result.exit_code == ExitCode.USAGE and result.lines and not _has_place(result):
            return (f"ssm: {result.lines[0]}", *result.lines[1:])
        if result.kind != "crash" or not result.value or not self._env.stdout_is_tty:
            return result.lines
        from rich.console import Console  # noqa: PLC0415 - for a person at a terminal only

        from ssm_cli.render.crash import crash_panel  # noqa: PLC0415 - as above
        from ssm_cli.render.theme import theme_of  # noqa: PLC0415 - as above

        plain = self._env.dumb or "NO_COLOR" in self._env.environ
        console = Console(
            file=io.StringIO(), width=self._env.width, force_terminal=not plain, no_color=plain
        )
        with console.capture() as captured:
            for report in cast("list[CrashReport]", result.value):
                console.print(crash_panel(report, theme_of(self._env.environ)))
        return captured.get().splitlines()

    def report(self, report: Report) -> None:
        """Print a report."""
        record = records.report_record
        line = records.json_line(record(report)) if self._json else report_line(report)
        self._write(self._reports, line, asked=False)

    def failed(self, result: Result, place: str, *, keep_going: bool) -> None:
        """Say of a command with which a script ends where it was written, and why it has failed.

        An error says so itself, and nothing is said where a person types (`place` is "").
        """
        known = result.error and any(line.startswith(f"{place}: ") for line in result.lines)
        if keep_going or not place or result.exit_code == ExitCode.DONE or known:
            return
        verb = VERBS.get(result.kind) if result.exit_code in SAYS_NO else None
        why = "" if verb is None else verb.finds
        said = f"`{result.kind}` has failed ({int(result.exit_code)}){f': {why}' if why else ''}"
        ends = "the script ends here, and goes on with --keep-going"
        self._write(self._env.stderr, f"{place}: {said}; {ends}")

    def check(self) -> None:
        """Raise the error of a stream that cannot be written, if there was one."""
        if self.broken is not None:
            raise self.broken

    def notice(self, line: str) -> None:
        """Print a diagnostic line to standard error."""
        self._write(self._env.stderr, f"ssm: {line}")

    async def drained(self) -> None:
        """Wait until the results so far are read, or most of them; the tree is served meanwhile."""
        for stream in (self._env.stdout, self._env.stderr):
            if isinstance(stream, Outlet):
                try:
                    await stream.drained()
                except OSError as error:
                    self._lose(stream, error)

    def _write(self, stream: TextIO, line: str, *, asked: bool = True) -> None:
        try:
            if asked:
                stream.write(line + "\n")
            else:
                offer(stream, line + "\n")
            stream.flush()
        except OSError as error:
            self._lose(stream, error)

    def _lose(self, stream: TextIO, error: OSError) -> None:
        self.broken = self.broken or error
        silence(stream)


def dropped_line(missed: int) -> str:
    """Return the record of lines that were dropped as nobody read them."""
    return records.json_line({"v": 1, "type": "dropped", "missed": missed})


def answer(env: Environment, output: str | None, lines: Sequence[str], made: list[Any]) -> None:
    """Print the one answer of a command: its lines, or its records with `-o json`.

    What does not print in a line is escaped: it may be of a worker, or of a file.

    Raises:
        OSError: standard output cannot be written.
    """
    printer = Printer(env)
    printer.answer(made_result("answer", tuple(map(visible, lines)), made, output))


def did(
    env: Environment, output: str | None, verb: str, lines: Sequence[str], **facts: object
) -> ExitCode:
    """Print that a command has done what it is for: lines, or its one record; return 0."""
    answer(env, output, lines, [{"v": records.VERSION, "type": "done", "verb": verb} | facts])
    return ExitCode.DONE


def consents(env: Environment, what: str, lines: list[str]) -> bool:
    """Show what would change, and ask whether to go on; a `CommandError` if nobody can answer.

    Ctrl-C leaves, and changes nothing; so says it.
    """
    env.stdout.write("".join(f"{visible(line)}\n" for line in lines))
    if not env.stdin_is_tty:
        raise CommandError(f"nothing was changed: to {what} without being asked, say --yes")
    env.stdout.write(f"{what}? [y/N] ")
    env.stdout.flush()
    said = ""
    try:
        said = env.stdin.readline()
    finally:
        agreed = said.strip().lower() in ("y", "yes")
        if not agreed:
            ends = "" if said.endswith("\n") else "\n"  # the line of the question
            env.stdout.write(f"{ends}nothing was changed\n")
    return agreed


def silence(stream: TextIO) -> None:
    """Redirect a broken stream to the null device, so that its last flush does not fail."""
    fileno = fileno_of(stream)
    if fileno is None:
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, fileno)
    os.close(nothing)


def _has_place(result: Result) -> bool:
    return any(
        isinstance(record, dict) and ("place" in record or "column" in record.get("error", ()))
        for record in result.records
    )
