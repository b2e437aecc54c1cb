"""The verbs of the prompt itself: they move the view, or say what is done with a command.

They are not in the table of `commands`, since neither `ssm VERB` nor a tree knows them. A worker
of the same name goes before them, as a script means the worker.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from ssm_cli.commands.verb import Parameter, Verb
from ssm_cli.errors import CommandError
from ssm_cli.repl.shell.pipeline import MARKS

SORTS = {"start": "", "name": "NODE", "restarts": "RST", "queue": "QUEUE", "rate": "MSG/S",
         "uptime": "UP"}  # fmt: skip
FACES = ("full", "inline", "plain")

_COMMAND = Parameter("command", "value")
_TEXT = Parameter("text", "value")
_FOLLOW = re.compile(r"(\s*)log(\s+)(-f|--follow)(?=\s|$)")


def _verb(name: str, help_text: str, *parameters: Parameter) -> Verb:
    return Verb(name, parameters, help_text, "session", options=())


HERE: tuple[Verb, ...] = (
    _verb("time", "run COMMAND and say how long it took", _COMMAND),
    _verb("watch", "run COMMAND every second, until Ctrl-C", _COMMAND),
    _verb("source", "run the commands in FILE", Parameter("file", "value")),
    _verb("edit", "edit the worker's state in $EDITOR, as JSON", Parameter("worker", "worker")),
    _verb("filter", "show only the nodes whose name contains TEXT; without it all",
          Parameter("text", "word", required=False)),
    _verb("sort", "sort the children of every supervisor",
          Parameter("column", "word", choices=tuple(SORTS))),
    _verb("open", "show all children of a supervisor", Parameter("sup", "supervisor")),
    _verb("close", "show its children no longer", Parameter("sup", "supervisor")),
    _verb("detail", "show what there is to know of a node", Parameter("name", "name")),
    _verb("freeze", "let the view stand still, or go on"),
    _verb("ui", "change the face of the prompt", Parameter("face", "word", choices=FACES)),
    _verb("mouse", "let the mouse select text, or work in the view"),
    _verb("follow",
          "print each report (of a node and those below it) as it comes, until Ctrl-C; "
          "also `log -f`",
          Parameter("name", "name", required=False)),
    _verb("find", "go to the line of the output, upwards, that contains TEXT", _TEXT),
    _verb("find-log", "the same in the restart log, or in the detail in its place", _TEXT),
    _verb("filter-log",
          "show the restart log, only the reports of it that contain TEXT; without it all",
          Parameter("text", "value", required=False)),
    _verb("detach", "go on in the background; `fg` or `ssm attach` comes back"),
    _verb("clear", "empty the output"),
    _verb("copy", "copy TEXT, in which `$3` is a result, to the clipboard of the terminal", _TEXT),
    _verb("theme", "take the colours for a dark or a light background",
          Parameter("background", "word", choices=("dark", "light"))),
    _verb("settings", "say where the settings are, and write them there if there are none"),
)  # fmt: skip

_BY_NAME = {verb.name: verb for verb in HERE}


class Local(msgspec.Struct, frozen=True):
    """A command of the prompt itself: its verb, and its one argument or an empty text."""

    verb: str
    argument: str


def find_here(word: str, workers: Collection[str]) -> Verb | None:
    """The verb of the prompt that a word names, unless a worker has that name."""
    verb = _BY_NAME.get(word)
    return None if verb is None or word in workers else verb


def parse_here(line: str, workers: Collection[str]) -> Local | None:
    """The command of the prompt on a line; None if it is none of those.

    Raises:
        CommandError: a word is missing, too much, or none of those that may stand there.

    >>> parse_here("sort queue", ()), parse_here("kv2 Lookup x", ())
    (Local(verb='sort', argument='queue'), None)
    """
    typed, line = line, as_typed(line)
    words = [(m[0], m.start()) for m in re.finditer(r"\S+", line)]
    verb = find_here(words[0][0], workers) if words else None
    if verb is None or (verb.name == "edit" and len(words) > 2):
        return None  # `edit RECORD INPUT`, in a fork; `edit WORKER INPUT`, at a break
    given = words[1:]
    name = verb.name if typed == line else "log -f"
    usage = verb.usage.replace(verb.name, name, 1)
    mark = next((word for word in given if word[0] in MARKS), None)
    if mark and not verb.takes_rest:
        raise _wrong(f"`{name}` takes no `{mark[0]}`; write `{usage}`", mark[1])
    for parameter in verb.parameters:  # one at most
        if not given and parameter.required:
            raise _wrong(f"`{verb.name}` needs more; write `{verb.usage}`", len(line.rstrip()))
        if given and parameter.choices and given[0][0] not in parameter.choices:
            expected = ", ".join(parameter.choices)
            raise _wrong(f"expected one of {expected}, got `{given[0][0]}`", given[0][1])
    for word, at in () if verb.takes_rest else given[len(verb.parameters) :]:
        raise _wrong(f"`{name}` takes no `{word}`; write `{usage}`", at)
    return Local(verb.name, line[given[0][1] :].strip() if given else "")


def as_typed(line: str) -> str:
    """The line with `log -f` written as `follow`, and everything behind it in its place.

    >>> as_typed("log -f kv2")
    'follow kv2'
    """
    found = _FOLLOW.match(line)
    return line if found is None else f"{found[1]}follow".ljust(found.end()) + line[found.end() :]


def _wrong(message: str, offset: int) -> CommandError:
    return CommandError(message, column=offset + 1)


def help_here() -> tuple[str, ...]:
    """The verbs of the prompt, one a line."""
    width = max(len(verb.usage) for verb in HERE)
    return ("at the prompt:", *(f"{verb.usage.ljust(width)}  {verb.help}" for verb in HERE))
