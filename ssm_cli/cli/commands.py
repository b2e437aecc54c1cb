"""All commands of the program: the verbs, and those that are no verbs."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ssm_cli.cli import files, listing
from ssm_cli.cli.cluster.asking import move, nodes
from ssm_cli.cli.cluster.node import node
from ssm_cli.cli.data.commands import COMMANDS as DATA
from ssm_cli.cli.help import Sections, help_
from ssm_cli.cli.login import login
from ssm_cli.cli.past import open_
from ssm_cli.cli.run import run
from ssm_cli.cli.verbs import ASKING, add_verb, script
from ssm_cli.cli.where import grouped

COMMANDS: dict[str, Callable[..., int]] = {
    "run": run, "script": script, "open": open_, "attach": listing.attach, "ls": listing.ls,
    "wait": listing.wait, "new": files.new, "check": files.check, "schema": files.schema,
    "login": login, "node": node, "nodes": nodes, "move": move, "help": help_,
}  # fmt: skip
"""The commands that are no verbs, and no group of others."""


def add_commands(app: typer.Typer, words: tuple[str, ...]) -> None:
    """Add the commands that the words name to the app; all where they name none but `help`."""
    known = dict.fromkeys(("run", *ASKING, *COMMANDS, "data"))
    named = [word for word in words if word in known]
    for name in named if {*named} - {"help"} else known:
        if name in ASKING:
            add_verb(app, name)
        elif name == "data":
            about = "What is kept of trees: list, verify, export, copy, compact it."
            kept = typer.Typer(help=about, cls=Sections)
            for kept_name, about_data in DATA.items():
                kept.command(kept_name)(grouped(about_data))
            app.add_typer(kept, name=name)
        else:
            app.command(name, hidden=name == "help")(grouped(COMMANDS[name]))
