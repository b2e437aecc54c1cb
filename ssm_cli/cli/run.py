"""`ssm run`: a tree from start to stop, with the prompt, a script, or nothing beside it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.data.place import Kept
from ssm_cli.cli.doors import Doors
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.faces import Face, one_of
from ssm_cli.cli.printer import Printer
from ssm_cli.cli.where import KeepGoing, flag, name_of, not_empty, option

if TYPE_CHECKING:
    from ssm_cli.http.served import ServedNode

OUTPUTS = ("text", "json", "jsonl")
FOREGROUND = ("detach", "name", "quiet", "output")  # a tree in the background has its own


TreeFile = Annotated[str, typer.Argument(metavar="TREE", help="a tree file, .yaml or .py")]
Script = Annotated[str | None, option("FILE", "run its commands, then stop; - is stdin")]
Commands = Annotated[list[str] | None, option("CMD", "run a command; repeatable", "-c")]
Headless = Annotated[bool, flag("no prompt: run until a signal, or the root ends", "--headless")]
Name = Annotated[
    str | None, option("NAME", "the tree's name; default: the file's stem", callback=not_empty)
]
Detach = Annotated[bool, flag("with --headless: go on in the background", "--detach")]
Output = Annotated[str, option("FORMAT", "text or json", "-o", "--output")]


def run(
    ctx: typer.Context,
    tree: TreeFile,
    *,
    script: Script = None,
    command: Commands = None,
    keep_going: KeepGoing = False,
    headless: Headless = False,
    face: Face,
    name: Name = None,
    kept: Kept,
    how: Doors,
    detach: Detach = False,
    output: Output = "text",
) -> int:
    """Start the tree of a file; on a terminal open the prompt, else read commands from stdin."""
    env: Environment = ctx.obj
    kept = replace(kept, history=kept.remembered(headless=headless))
    source = _check(headless, detach, how.no_socket, (script, command), output)
    if detach:
        return _detached(ctx, name or Path(tree).stem, output)
    with _served(tree, name, env, how, eager=headless, kept=kept) as (own, served, renew):
        if headless or script or command or not (env.is_terminal and output == "text"):
            return _play(served, own, source, (output, keep_going, face.quiet), renew)
        from ssm_cli.repl.session import run_session  # noqa: PLC0415 - 120 ms scripts save

        title = Path(tree).name
        return run_session(served.node, own, title=title, **face.shown, serve=served.serve)


@contextmanager
def _served(
    tree: str, name: str | None, env: Environment, how: Doors, *, eager: bool, kept: Kept
) -> Iterator[tuple[Environment, ServedNode, Callable[[], None] | None]]:
    """Open a tree for a block, with streams that it never waits for, and close it at its end.

    The past of one that gave up is saved then.
    """
    from ssm_cli.cli.opening import served_node  # noqa: PLC0415 - not needed for help

    with env.never_waiting(results=not eager) as own:
        served, renew = served_node(tree, name, own, how, eager=eager, kept=kept)
        with closing(served):
            yield own, served, renew
        if served.node.gave_up and not kept.no_post_mortem:
            from ssm_cli.cli.post_mortem import save_post_mortem  # noqa: PLC0415 - rare

            save_post_mortem(own, served.node)


def unreadable(path: str) -> str:
    """Return why a script cannot be read; "" if it can be."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - a name of the user's
    except OSError as error:
        return str(error.strerror)
    except ValueError:  # a NUL
        return "no file has that name"
    if is_folder:
        return os.strerror(errno.EISDIR)
    return "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)


def _check(
    headless: bool,
    detach: bool,
    no_socket: bool,
    given: tuple[str | None, list[str] | None],
    output: str,
) -> tuple[list[str] | None, str | None] | None:
    """Return where commands come from, `-c` and `--script`; None for a headless tree.

    Raises a usage error for contradicting options, and for a bad value of `-o`.
    """
    one_of("-o", output, OUTPUTS)
    script, command = given
    if headless and (script is not None or command):
        raise typer.BadParameter("--headless runs no commands; leave out --script and -c")
    if script is not None and command:
        raise typer.BadParameter("give the commands by --script or by -c, not by both")
    if script not in (None, "-") and (why := unreadable(script)):
        raise typer.BadParameter(f"cannot read the script {script}: {why}; nothing was started")
    if detach and not headless:
        raise typer.BadParameter("--detach needs --headless: nobody would see a prompt")
    if detach and no_socket:
        raise typer.BadParameter("--detach needs the socket: how else would you stop the tree?")
    return None if headless else (command, script)


def _detached(ctx: typer.Context, name: str, output: str) -> int:
    """Run `ssm run` again, in the background, with the options that were given."""
    from ssm_cli.cli.opening import detach  # noqa: PLC0415 - rare

    words = ["--quiet", "--name", name]
    for one in ctx.command.params:
        given = ctx.params.get(str(one.name))
        if one.name in FOREGROUND or one.param_type_name != "option":
            continue
        for value in given if isinstance(given, list | tuple) else [given]:
            if value is not None and value is not False:
                words += [one.opts[0], *([] if value is True else [str(value)])]
    return detach(ctx.obj, name, [*words, "--", ctx.params["tree"]], output)


def _play(
    served: ServedNode,
    env: Environment,
    source: tuple[list[str] | None, str | None] | None,
    how_to: tuple[str, bool, bool],
    renew: Callable[[], None] | None,
) -> int:
    """Run the tree without a screen; `source` is `-c` and `--script`, None is headless.

    `how_to` is `-o`, `--keep-going` and `--quiet`; `renew` is called at SIGHUP if it is headless.
    """
    output, keep_going, quiet = how_to
    from ssm_cli.cli import lines  # noqa: PLC0415 - asyncio is for those who run a tree
    from ssm_cli.cli.session import Session  # noqa: PLC0415 - as above
    from ssm_cli.repl.shell.interpret import NamesHere, names_to_call  # noqa: PLC0415 - as above

    printer = Printer(env, output)
    typing = source == (None, None) and env.stdin_is_tty
    session = Session(
        served.node, printer, keep_going=keep_going or typing, reports=not quiet,
        serve=served.serve,
    )  # fmt: skip
    if source is None:
        return session.run(None, renew)
    commands, script = source
    if commands:
        given = lines.fixed(commands)
    elif script not in (None, "-"):
        given = lines.of_file(str(script))
    else:
        given = lines.of_stdin(env)
    source_name = "" if typing else "-c" if commands else name_of(script or "-")
    names = NamesHere(partial(names_to_call, served.node), served.node, session.results)
    return session.run(lines.parsed(given, names, session.results, source_name))
