"""All commands of the program: the verbs, and those that are no verbs."""

from __future__ import annotations

from collections.abc import Callable

import typer
from typer.models import CommandInfo

from ssm_cli.cli import files, listing
from ssm_cli.cli.cluster.asking import move, nodes
from ssm_cli.cli.cluster.node import node
from ssm_cli.cli.data.commands import COMMANDS as DATA
from ssm_cli.cli.help import Sections, help_
from ssm_cli.cli.login import login
from ssm_cli.cli.past import open_
from ssm_cli.cli.run import run
from ssm_cli.cli.verbs import ASKING, add_verb, script

COMMANDS: tuple[Callable[..., int], ...] = (
    listing.attach, listing.ls, listing.wait, files.new, files.check, files.schema, login, node,
    nodes, move,
)  # fmt: skip


def add_commands(app: typer.Typer, words: tuple[str, ...]) -> None:
    """Add the commands that the words name to the app; all where they name none but `help`."""
    app.command()(run)
    for name in ASKING:
        add_verb(app, name)
    app.command()(script)
    app.command("open")(open_)
    about = "What is kept of trees: list, verify, export, copy, compact it."
    kept = typer.Typer(help=about, cls=Sections)
    for name, about_data in DATA.items():
        kept.command(name)(about_data)
    app.add_typer(kept, name="data")
    for command in COMMANDS:
        app.command()(command)
    app.command("help", hidden=True)(help_)
    commands = [info for info in app.registered_commands if _name(info) in words]
    groups = [info for info in app.registered_groups if info.name in words]
    if groups or {*map(_name, commands)} - {"help"}:
        app.registered_commands, app.registered_groups = commands, groups


def _name(info: CommandInfo) -> str:
    return str(info.name or getattr(info.callback, "__name__", ""))
