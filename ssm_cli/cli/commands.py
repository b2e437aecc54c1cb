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


def add_commands(app: typer.Typer, word: str) -> None:
    """Add the command that `word` names to the app; all of them where it names none."""
    known = dict.fromkeys(("run", *ASKING, *COMMANDS))
    for name in [word] if word in known else [] if word == "data" else known:
        if name in ASKING:
            add_verb(app, name)
        else:
            app.command(name, hidden=name == "help")(grouped(COMMANDS[name]))
    if word not in known:
        about = "What is kept of trees: list, verify, export, copy, compact it."
        kept = typer.Typer(help=about, cls=Sections)
        for name, about_data in DATA.items():
            kept.command(name)(grouped(about_data))
        app.add_typer(kept, name="data")
