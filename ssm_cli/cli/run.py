"""`ssm run`: a tree from start to stop, with the prompt, a script, or nothing beside it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ssm_cli.cli import doors, faces
from ssm_cli.cli.cluster.access import Cluster, Takeover
from ssm_cli.cli.data.place import Data, Kept
from ssm_cli.cli.doors import Doors
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.printer import Printer
from ssm_cli.cli.where import KeepGoing, name_of, not_empty

if TYPE_CHECKING:
    from ssm_cli.http.served import ServedNode
    from ssm_cli.runtime.node import Node

OUTPUTS = ("text", "json", "jsonl")
REMEMBERED, REMEMBERED_HEADLESS = 10_000, 1_000  # records, unless `--history` says otherwise


TreeFile = Annotated[str, typer.Argument(metavar="TREE", help="a tree file, .yaml or .py")]
Script = Annotated[
    str | None, typer.Option(metavar="FILE", help="run its commands, then stop; - is stdin")
]
Commands = Annotated[
    list[str] | None, typer.Option("-c", metavar="CMD", help="run a command; repeatable")
]
Headless = Annotated[
    bool, typer.Option("--headless", help="no prompt: run until a signal, or the root ends")
]
Pure = Annotated[
    bool, typer.Option("--verify-pure", help="step twice, and report workers that differ; slow")
]
History = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="remember the last N records, 0 none; default: 10000, headless 1000"
    ),
]
NoPostMortem = Annotated[
    bool, typer.Option("--no-post-mortem", help="save no past where the root gives up")
]
Reload = Annotated[
    bool, typer.Option("--reload", help="take code that has changed, unless it differs")
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="the tree's name; default: the file's stem", callback=not_empty
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="with --headless: go on in the background")]
Output = Annotated[str, typer.Option("-o", "--output", metavar="FORMAT", help="text or json")]


def run(
    ctx: typer.Context,
    tree: TreeFile,
    *,
    script: Script = None,
    command: Commands = None,
    keep_going: KeepGoing = False,
    headless: Headless = False,
    plain: faces.Plain = False,
    ui: faces.Ui = None,
    ascii_only: faces.Ascii = False,
    name: Name = None,
    data: Data = None,
    verify_pure: Pure = False,
    history: History = None,
    no_post_mortem: NoPostMortem = False,
    reload: Reload = False,
    no_socket: doors.NoSocket = False,
    http: doors.Http = None,
    tls_cert: doors.TlsCert = None, tls_key: doors.TlsKey = None, secret: doors.TlsPassword = None,
    allow_host: doors.AllowHost = None,
    insecure: doors.Insecure = False,
    cluster: Cluster = None,
    takeover: Takeover = False,
    detach: Detach = False,
    quiet: faces.Quiet = False,
    output: Output = "text",
) -> int:  # fmt: skip
    """Start the tree of a file; on a terminal open the prompt, else read commands from stdin."""
    env, ui = cast("Environment", ctx.obj), faces.ui_of(ui, plain=plain)
    kept = Kept(data, verify_pure, remembered(history, headless), not no_post_mortem, reload)
    how = Doors(no_socket, http, tls_cert, tls_key, secret, allow_host, insecure, cluster, takeover)
    source = _check(headless, detach, no_socket, (script, command), output)
    if detach:
        return _detached(env, tree, name, [*how.arguments(), *kept.arguments()], output)
    with _served(tree, name, env, how, eager=headless, kept=kept) as (own, served, renew):
        if headless or script or command or not (env.is_terminal and output == "text"):
            return _play(served, own, source, (output, keep_going, quiet), renew)
        return _show(served, own, Path(tree).name, faces.Face(ui, ascii_only, quiet))


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
        if served.node.gave_up and kept.post_mortem:
            from ssm_cli.cli.post_mortem import save_post_mortem  # noqa: PLC0415 - rare

            save_post_mortem(own, served.node)


def node_of(tree: str, env: Environment, name: str | None = None, history: int = 0) -> Node:
    """Return a node for a tree file, not started; it remembers the last `history` records.

    Raises `TreeFileError` with all complaints.
    """
    from ssm_cli.cli.cluster.access import links_for  # noqa: PLC0415 - as above
    from ssm_cli.cli.data.place import store_for  # noqa: PLC0415 - with a tree alone
    from ssm_cli.cli.opening import with_reach  # noqa: PLC0415 - as above
    from ssm_cli.commands.records import instant  # noqa: PLC0415 - as above
    from ssm_cli.runtime.node import Node  # noqa: PLC0415 - not needed for help or usage errors
    from ssm_cli.simulation.asking import with_futures  # noqa: PLC0415 - as above
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - as above

    spec, called = load_tree(tree), name or Path(tree).stem
    links = links_for(spec, env, None, called)
    store = store_for(spec, env.environ, called, Path(tree))
    node = Node(spec, name=called, store=store, links=links, history=history)
    node.file = str(Path(tree).absolute())
    return with_futures(with_reach(node), instant)


def remembered(history: int | None, headless: bool) -> int:
    """Return how many records a tree remembers; raise a usage error for what is no such number."""
    from ssm_cli.runtime.engine.recorder import LEAST, MOST  # noqa: PLC0415 - not for help

    if history is None:
        return REMEMBERED_HEADLESS if headless else REMEMBERED
    if history != 0 and not LEAST <= history <= MOST:
        expected = f"0, or {LEAST} to {MOST:,} records"
        raise typer.BadParameter(f"--history takes {expected}, not {history}")
    return history


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
    faces.one_of("-o", output, OUTPUTS)
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


def _detached(env: Environment, tree: str, name: str | None, more: list[str], output: str) -> int:
    from ssm_cli.cli.opening import detach  # noqa: PLC0415 - rare

    called = name or Path(tree).stem
    words = ["--headless", "--quiet", "--name", called, *more, "--", tree]
    return detach(env, called, words, output)


def _show(served: ServedNode, env: Environment, title: str, face: faces.Face) -> int:
    from ssm_cli.repl.session import run_session  # noqa: PLC0415 - 120 ms scripts save

    return run_session(
        served.node, env, title=title, **face._asdict(),
        serve=served.serve,
    )  # fmt: skip


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
    from ssm_cli.repl.shell.interpret import NamesHere, WorkerNames  # noqa: PLC0415 - as above

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
    names = NamesHere(WorkerNames(served.node), served.node, session.results)
    return session.run(lines.parsed(given, names, session.results, source_name))
