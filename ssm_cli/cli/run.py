"""`ssm run`: a tree from start to stop, with the prompt, a script, or nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.environment import Environment

if TYPE_CHECKING:
    from ssm_cli.runtime.node import Node

UI = ("full", "plain")
OUTPUTS = ("text", "json", "jsonl")


TreeFile = Annotated[str, typer.Argument(metavar="TREE", help="a tree file, .yaml or .py")]
Script = Annotated[
    str | None, typer.Option(metavar="FILE", help="run its commands, then stop; - is stdin")
]
Commands = Annotated[
    list[str] | None, typer.Option("-c", metavar="CMD", help="run a command; repeatable")
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="run on after a command that fails")]
Headless = Annotated[
    bool, typer.Option("--headless", help="no prompt: run until a signal, or the root ends")
]
Plain = Annotated[
    bool, typer.Option("--plain", help="a scrolling prompt in place of the full screen")
]
Ui = Annotated[str, typer.Option(metavar="UI", help="full or plain")]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="the tree's name; default: the file's stem")
]
Output = Annotated[str, typer.Option("-o", "--output", metavar="FORMAT", help="text or json")]


def run(
    ctx: typer.Context,
    tree: TreeFile,
    *,
    script: Script = None,
    command: Commands = None,
    keep_going: KeepGoing = False,
    headless: Headless = False,
    plain: Plain = False,
    ui: Ui = "full",
    name: Name = None,
    output: Output = "text",
) -> int:
    """Start the tree of a file; on a terminal open the prompt, else read commands from stdin.

    Stops the tree in order at the end, at Ctrl-C, and at SIGTERM.
    """
    env: Environment = ctx.obj
    one_of("--ui", ui, UI)
    one_of("-o", output, OUTPUTS)
    if headless and (script is not None or command):
        raise typer.BadParameter("--headless runs no commands; leave out --script and -c")
    if script is not None and command:
        raise typer.BadParameter("give the commands by --script or by -c, not by both")
    node = node_of(tree, name)
    screen = not (headless or script or command or env.dumb or output != "text")
    if screen and not (plain or ui == "plain"):
        from ssm_cli.repl.session import run_session  # noqa: PLC0415 - 120 ms that scripts save

        return run_session(node, env, title=Path(tree).name)
    return _play(node, env, output, None if headless else (command, script), keep_going)


def node_of(tree: str, name: str | None = None) -> Node:
    """A node for a tree file, not started. Raises `TreeFileError` with every complaint."""
    from ssm_cli.runtime.node import Node  # noqa: PLC0415 - not needed for help or usage errors
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - as above

    return Node(load_tree(tree), name=name or Path(tree).stem)


def one_of(option: str, word: str, words: tuple[str, ...]) -> None:
    """Refuse a word that an option does not take."""
    if word not in words:
        raise typer.BadParameter(f"{option} takes one of {', '.join(words)}, not `{word}`")


def _play(
    node: Node,
    env: Environment,
    output: str,
    source: tuple[list[str] | None, str | None] | None,
    keep_going: bool,
) -> int:
    """Run the tree without a screen; `source` is `-c` and `--script`, None is headless."""
    from ssm_cli.cli import lines  # noqa: PLC0415 - asyncio is for those who run a tree
    from ssm_cli.cli.printer import Printer  # noqa: PLC0415 - as above
    from ssm_cli.cli.session import Session, WorkerNames  # noqa: PLC0415 - as above

    printer = Printer(env, output)
    typing = source == (None, None) and env.stdin_is_tty
    session = Session(node, printer, keep_going=keep_going, interactive=typing)
    if source is None:
        return session.run(None)
    commands, script = source
    if commands:
        given = lines.fixed(commands)
    elif script not in (None, "-"):
        given = lines.of_file(str(script))
    else:
        given = lines.of_stdin(env, (lambda: printer.prompt("ssm> ")) if typing else None)
    return session.run(lines.parsed(given, WorkerNames(node)))
