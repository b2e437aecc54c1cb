"""`ssm log -f` and `ssm tree --watch`: reports and changes as they happen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ssm_cli.cli.environment import fileno_of
from ssm_cli.cli.printer import Printer
from ssm_cli.cli.where import CLEAR, say
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import Command
from ssm_cli.errors import NoTree
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http.client.answers import report_of
from ssm_cli.http.client.node import HttpNode

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment

WATCH_S = 0.5


def follow(env: Environment, node: HttpNode, last: int | None, output: str | None) -> int:
    """Print the last kept reports, then each new one, until the tree is down.

    A stream that ends while the tree goes on, as that waits for no reader, is resumed.

    Returns 7 if the root gave up. Raises `NoTree` if the tree went away without a last report.
    """
    printer = Printer(env, output or "text", asked=True)
    seq, ended = 0, ExitCode.DONE
    for report in node.reports(last=last):
        printer.report(report)
        seq = report.seq
    printer.check()
    if last == 0:
        seq = int(node.info()["seq"])
    for record in reported(node, seq, fileno_of(env.stdout)):
        if record["type"] == "dropped":
            say(env, f"{record['missed']} reports were missed: they came faster than printed")
            continue
        report = report_of(record)
        printer.report(report)
        printer.check()
        if is_end(record) and report.event == "gave_up":
            ended = ExitCode.GAVE_UP
    return ended


def reported(node: HttpNode, seq: int, reader: int | None) -> Iterator[dict[str, Any]]:
    """Yield the records of reports behind number `seq`, until the tree is down.

    Raises:
        NoTree: it went away without a last report, or what answers is no tree.
    """
    instance, is_over = node.info()["instance"], False
    while not is_over:
        begun = seq
        lost = NoTree(f"{node.name} went away without a last report; `ssm ls` shows what runs")
        try:
            for record in node.follow(seq, reader):
                yield record
                seq = record["next"] - 1 if record["type"] == "dropped" else record["seq"]
                is_over = is_over or is_end(record)
        except NoTree as error:
            if not isinstance(error.__cause__, OSError):
                raise
            lost = error
        node.connection.close()
        if not (is_over or runs_on(node, instance)):
            raise lost
        if seq == begun:
            time.sleep(WATCH_S)


def is_end(record: dict[str, Any]) -> bool:
    """Return whether a record is the last report of a tree."""
    event = record.get("event")
    return event == "stopped" or (event == "gave_up" and "/" not in record["path"])


def runs_on(node: HttpNode, instance: object) -> bool:
    """Return whether the same run of a tree still answers."""
    try:
        return bool(node.info()["instance"] == instance)
    except NoTree:
        return False


def watch(env: Environment, node: HttpNode, command: Command) -> int:
    """Print the tree whenever it has changed, until it is down."""
    printer = Printer(env)
    seen: tuple[str, ...] = ()
    while True:
        result = execute(command, node, log="ssm log")
        if isinstance(result.exit_code, ExitCode) and result.exit_code is ExitCode.NO_TREE:
            return ExitCode.DONE if seen else ExitCode.NO_TREE
        if result.lines != seen:
            seen = result.lines
            if env.stdout_is_tty:
                env.stdout.write(CLEAR)
            printer.answer(result)
        time.sleep(WATCH_S)
