"""A line from its text to its result: the same at a prompt, in a script, in a pipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import chain

import msgspec

from ssm_cli.behaviour.partition import JOINT
from ssm_cli.commands.execute import DEFAULT_TIMEOUT_S, LOG, aexecute
from ssm_cli.commands.parse import Command, is_worker, parse_line, refuse_bytes
from ssm_cli.commands.results import Result, refused
from ssm_cli.commands.verbs import find_verb
from ssm_cli.errors import CommandError, SsmError
from ssm_cli.repl.shell.pipeline import Pipeline, split
from ssm_cli.repl.shell.results import Results
from ssm_cli.repl.shell.verbs import HERE
from ssm_cli.runtime.api import NodeApi

SHELL = frozenset(("cat", "cd", "exit", "less", "ls", "man", "ps", "pwd", "rm", "vi"))
"""Commands of every shell, some of which no file has."""
OUTSIDE = frozenset(
    ("attach", "check", "data", "login", "move", "new", "node", "nodes", "run", "schema", "script")
)
"""Commands of `ssm` that are about files or several trees; `ssm` is written before them."""


THERE = "what there is here"


class Piped(Command, frozen=True):
    """A command whose output is redirected to a program or a file."""

    pipeline: Pipeline = Pipeline("")


def names_to_call(api: NodeApi) -> list[str]:
    """Return the words with which a call may begin: workers and remote children.

    The child of a pool is there by its label as well; `POOL:` stands for all keys of a supervisor.
    """
    workers = api.names("worker")
    labels = [name.rpartition(JOINT)[2] for name in workers if JOINT in name]
    pools = [f"{name}{JOINT}" for name in api.names("supervisor")]
    return [*workers, *api.names("remote"), *labels, *pools]


class NamesHere(Collection[str]):
    """The words with which a call may begin where a session stands: those of now, and of there.

    They are looked up when they are needed: most commands need none.

    Args:
        now: asked for those of now.
        api: the tree of now.
        results: of the session, which know its place.
    """

    def __init__(self, now: Callable[[], Collection[str]], api: NodeApi, results: Results) -> None:
        self._now, self._api, self._results = now, api, results

    def _both(self) -> Iterator[Collection[str]]:
        yield self._now()
        if self._results.place:
            with suppress(SsmError):  # it is forgotten, as the command will say
                there = self._api.perform("standing", self._results.place, reading=True)
                yield names_to_call(there)

    def __contains__(self, name: object) -> bool:
        return any(name in names for names in self._both())

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._both())

    def __len__(self) -> int:
        return sum(map(len, self._both()))


def read_command(
    line: str, names: Collection[str], results: Results, *, typed: bool = True
) -> Command | None:
    """Return the command of a line; None for a blank line or a comment.

    Args:
        line: as it was typed or written.
        names: those of the workers.
        results: those of the lines before, which the line may name by number.
        typed: whether a person types it, at a prompt.

    Raises:
        CommandError: it is none, with the column; a command of another shell is told apart.
    """
    results.missed, text = "", line
    try:
        pipeline = split(refuse_bytes(line))
        text = results.substitute(pipeline.command)
        command = parse_line(text, names)
    except CommandError as error:
        results.miss(line)
        belongs = elsewhere(text, names, typed=typed)
        if belongs is None:
            raise
        raise CommandError(belongs, column=error.column) from error
    if command is None or not (pipeline.program or pipeline.file):
        return command
    return Piped(**msgspec.structs.asdict(command), pipeline=pipeline)


def elsewhere(line: str, names: Collection[str], *, typed: bool = True) -> str | None:
    """Return where a line belongs that is no command here; None if it belongs nowhere.

    >>> elsewhere("ssm call kv2 Lookup x", ["kv2"])
    '`ssm` is running already: write `call kv2 Lookup x` here, without `ssm`'
    >>> elsewhere("run trees/kv.yaml", [])
    '`run` belongs in the shell, as `ssm run trees/kv.yaml`; Ctrl-D leaves this prompt'
    >>> elsewhere("source more.ssm", [], typed=False)
    '`source` is a verb of the prompt, and none of scripts; `help` lists what there is here'
    """
    word, _, rest = line.strip().partition(" ")
    if not word or find_verb(word) is not None or is_worker(word, names):
        return None
    if word == "ssm" and find_verb(rest.partition(" ")[0]) is not None:
        return f"`ssm` is running already: write `{rest}` here, without `ssm`"
    if not typed and any(verb.name == word for verb in HERE):
        return f"`{word}` is a verb of the prompt, and none of scripts; `help` lists {THERE}"
    if word in OUTSIDE or word == "ssm":
        whole = line.strip().removeprefix("ssm ")
        source = f", or here as `source {rest}`" if typed and word == "script" else ""
        leave = "; Ctrl-D leaves this prompt" if typed else ""
        return f"`{word}` belongs in the shell, as `ssm {whole}`{source}{leave}"
    if word in SHELL or shutil.which(word) is not None:
        return (
            f"`{word}` belongs in the shell: run it in a terminal beside this; an answer goes to a "
            f"program by `tree | less`; `help` lists {THERE}"
        )
    return None


async def perform(
    command: Command,
    api: NodeApi,
    results: Results,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    *,
    show: Callable[[Result], None] | None = None,
    log: str = LOG,
    helped: Callable[[Command], Result | None] = lambda _: None,
    note: Callable[[str], None] | None = None,
) -> tuple[Result, Result]:
    """Execute a command and send its output on; the result, and what is shown of it.

    Args:
        command: what to do.
        api: the tree.
        results: gets the result, unless it is a failure.
        timeout_s: seconds that a call waits unless it says otherwise.
        show: called once with what is shown; see `aexecute`.
        log: likewise.
        helped: answers a command in place of the tree, or None.
        note: likewise.
    """
    at_once = None if isinstance(command, Piped) else show
    try:
        command = results.here(command)
        result = helped(command) or await aexecute(
            command, api, timeout_s, show=at_once, log=log, note=note
        )
    except CommandError as error:
        result = refused(error, command)
        if at_once is not None:
            at_once(result)
    results.arrive(result)
    if not isinstance(command, Piped):
        return result, result
    shown = await piped_on(command, result)
    if show is not None:
        show(shown)
    return result, shown


async def piped_on(command: Piped, result: Result) -> Result:
    """Send a result on to the program or the file of its command; return what is shown of that."""
    from ssm_cli.repl.shell.programs import redirected  # noqa: PLC0415 - rare, and slow

    try:
        return await redirected(command.pipeline, result)
    except CommandError as error:
        return refused(error, place=command.place)
