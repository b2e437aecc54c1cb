"""`ssm open`: the past of a tree that does not run, from a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.faces import one_of
from ssm_cli.cli.run import OUTPUTS, Output, Script
from ssm_cli.cli.where import STDIN, KeepGoing, name_of, option, say
from ssm_cli.errors import CommandError, ReadOnly, counted, message_of, some_names

if TYPE_CHECKING:
    from ssm_cli.commands.parse import Command
    from ssm_cli.commands.results import Result
    from ssm_cli.history.saved.keeping import OpenedPast
    from ssm_cli.runtime.node import Node

NOBODY = "nobody runs here to adopt it; without --yes `adopt` shows what would change"
HERE = "the past is read only; `fork` goes on from here"
ALONE = (
    "the past is read only; leave out the verb, or give a --script, and `fork` goes on from here"
)
few = partial(some_names, most=5)  # of workers in a notice

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="a file that `save` or a tree that gave up has made, or a data folder"
    ),
]
Verb = Annotated[
    list[str] | None, typer.Argument(metavar="[-- VERB ...]", help="one command, in place of many")
]
Code = Annotated[str | None, option("FILE", "the tree, with the code that is here", "--tree")]


def open_(
    env: Environment,
    file: File,
    verb: Verb = None,
    *,
    tree: Code = None,
    script: Script = None,
    keep_going: KeepGoing = False,
    output: Output = "text",
) -> int:
    """Open the past of a tree that is not here: look at it, ask it, and fork it."""
    one_of("-o", output, OUTPUTS)
    if verb and script is not None:
        raise typer.BadParameter("give the commands by --script or behind --, not by both")
    from ssm_cli.cli import ask  # noqa: PLC0415 - not needed for help

    looking, node = Looking(file, alone=bool(verb)), opened(env, file, tree)
    is_typed = not verb and script is None and env.stdin_is_tty
    if verb:
        lines, called = iter([" ".join(verb)]), ""
    elif is_typed:
        lines, called = typed(env, node.name, looking), STDIN
    else:
        lines, called = iter(ask.lines_of(env, script or "-")), name_of(script or "-")
    return ask.run_script(
        env, node, called, lines, output, keep_going=keep_going, do=looking.look, typed=is_typed
    )


def opened(env: Environment, file: Path, tree: str | None) -> Node:
    """Return the past in a file or a data folder as a node that was never started.

    What it lacks is said on standard error.
    """
    from ssm_cli.commands.records import instant  # noqa: PLC0415 - as above
    from ssm_cli.history.saved.file import read_past  # noqa: PLC0415 - as above
    from ssm_cli.history.saved.keeping import past_in  # noqa: PLC0415 - as above
    from ssm_cli.simulation.asking import with_futures  # noqa: PLC0415 - as above
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - as above

    if file.is_dir():
        return with_futures(open_folder(env, file, tree), instant)
    past = past_in(read_past(file), str(file), None if tree is None else load_tree(tree))
    for line in notices(past, str(file), tree):
        say(env, line)
    return with_futures(past.node, instant)


def open_folder(env: Environment, folder: Path, tree: str | None) -> Node:
    """Return what the journal in a data folder holds, whether a tree runs with it or not."""
    from ssm_cli.history.journalled import MOST_RECORDS, journalled_node  # noqa: PLC0415 - as above
    from ssm_cli.runtime.engine.recorder import MOST_BYTES  # noqa: PLC0415 - as above
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - as above
    from ssm_cli.storage.contents import behind, contents  # noqa: PLC0415 - as above
    from ssm_cli.storage.folder import FolderStore, need_data  # noqa: PLC0415 - SQLite

    need_data(folder)
    if tree is None:
        raise CommandError(f"{folder} holds a journal: name the tree that steps it, by --tree FILE")
    with FolderStore(folder, writing=False) as store:
        left: list[int] = []
        node, troubles = journalled_node(store, load_tree(tree), Path(tree).stem, tell=left.append)
        trimmed, count = store.first() > 1, behind(contents(store), store)
    say(env, f"{folder}: {counted(count, 'record')} of its journal behind the saved states; no "
        f"outputs and reports, and of a tree its durable workers alone")  # fmt: skip
    if trimmed:
        say(env, "older records were forgotten with the states that were saved since")
    for number in left:
        most = f"{MOST_RECORDS:,} records, and about {MOST_BYTES >> 20} MiB of inputs and states"
        say(env, f"{counted(number, 'older record')} of these left out, as at most {most} are held "
            "here; `ssm data export` prints their inputs")  # fmt: skip
    for trouble in troubles:
        say(env, f"not all of {trouble.worker}: {message_of(trouble)}")
    unknown = tuple(name for name in node.names("worker") if node.whereis(name) is None)
    if unknown:
        say(
            env,
            f"nothing is known of {few(unknown)}: no journal holds a state of theirs",
        )
    return node


def notices(past: OpenedPast, where: str, tree: str | None) -> Iterator[str]:
    """Yield what somebody must know who opens a past: what it is, and what it lacks."""
    from ssm_cli.commands.records import instant  # noqa: PLC0415 - as above

    facts = past.facts
    yield (
        f"{where}: {facts.name} as it was at {instant(facts.at_s)}, "
        f"records {facts.first} to {facts.last}; values are redacted: a fork may step differently"
    )
    if facts.forgotten:
        yield f"{counted(facts.forgotten, 'older record')} found no room in it"
    if facts.texts:
        yield f"{counted(facts.texts, 'value')} without an exact form, shown as text"
    if past.missing:
        hint = "give it by --tree FILE" if tree is None else f"it is not in {tree}"
        yield f"the code of {few(past.missing)} is not here: look, but do not step; {hint}"
    if past.changed:
        yield f"the code of {few(past.changed)} is another here: a fork steps by that of here"
    if past.reloaded:
        yield f"{few(past.reloaded)} had other code before a reload: a fork steps by that of here"
    if past.inexact:
        yield f"the classes of {few(past.inexact)} are others here: some values are plain data"


class Looking:
    """Carries out commands that change nothing but forks.

    Args:
        alone: whether there is but one.
        file: of a saved past: what does not fit together in it, and is found only now, is damage.

    Attributes:
        place: where they have led: a record, or a fork; "" for the end.
    """

    def __init__(self, file: Path, *, alone: bool) -> None:
        self._alone, self.place = alone, ""
        self._file = None if file.is_dir() else file

    def look(self, command: Command, node: Node) -> Result:
        """Carry out one; refuse what would change the past."""
        from ssm_cli.commands.execute import execute  # noqa: PLC0415 - as above
        from ssm_cli.commands.results import refused  # noqa: PLC0415 - as above
        from ssm_cli.commands.verbs import VERBS  # noqa: PLC0415 - as above
        from ssm_cli.history.saved.keeping import FAULTS, does_not_fit  # noqa: PLC0415 - as above

        verb = VERBS[command.verb]
        if command.verb == "adopt" and command.arguments.get("sure"):
            return refused(CommandError(NOBODY), command)
        past = command.at in ("", "now")
        if past and verb.section != "history" and verb.route and verb.route.method != "GET":
            return refused(ReadOnly(ALONE if self._alone else HERE), command)
        try:
            result = execute(command, node, log="log")
        except FAULTS as error:
            if self._file is None:
                raise
            wrong = does_not_fit(str(self._file), error, ", unless ssm has a defect")
            return refused(wrong, command)
        if verb.section == "history" and isinstance(result.value, dict):
            self.place = result.value.get("place", self.place)
        return result


def typed(env: Environment, name: str, looking: Looking) -> Iterator[str]:
    """Yield the lines that a person types, behind a prompt that names the tree and the place."""
    while True:
        env.stderr.write(f"{name} {looking.place or 'past'}> ")
        env.stderr.flush()
        line = env.stdin.readline()
        if not line:
            env.stderr.write("\n")
            return
        yield line.rstrip("\n")
