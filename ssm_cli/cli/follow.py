"""`ssm log -f` and `ssm tree --watch`: reports and changes as they happen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ssm_cli.cli.environment import fileno_of
from ssm_cli.cli.printer import Printer
from ssm_cli.cli.where import say
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import Command
from ssm_cli.errors import NoTree
from ssm_cli.exit_codes import ExitCode
from ssm_cli.http.client.answers import report_of
from ssm_cli.http.client.node import HttpNode

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment

WATCH_S = 0.5
CLEAR = "\x1b[H\x1b[2J"  # cursor home, screen empty


def follow(env: Environment, node: HttpNode, last: int | None, output: str | None) -> int:
    """Print the last kept reports, then each new one, until the tree is down.

    Returns 7 if the root gave up. Raises `NoTree` if the tree went away without a last report.
    """
    printer = Printer(env, output or "text", asked=True)
    seq, ended = 0, None
    for report in node.reports(last=last):
        printer.report(report)
        seq = report.seq
    printer.check()
    if last == 0:
        seq = int(node.info()["seq"])
    while ended is None:
        dropped = False
        for record in node.follow(seq, fileno_of(env.stdout)):
            if record["type"] == "dropped":
                say(env, f"{record['missed']} reports were missed: they came faster than printed")
                seq, dropped = record["next"] - 1, True
                break
            report = report_of(record)
            printer.report(report)
            seq = report.seq
            printer.check()
            if report.event == "gave_up" and "/" not in report.path:
                ended = ExitCode.GAVE_UP
            elif report.event == "stopped" and ended is None:
                ended = ExitCode.DONE
        node.connection.close()
        if ended is None and not dropped:
            raise NoTree(f"{node.name} went away without a last report; `ssm ls` shows what runs")
    return ended


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
            printer.result(result)
            printer.check()
        time.sleep(WATCH_S)
