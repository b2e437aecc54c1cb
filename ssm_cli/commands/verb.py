"""A verb as a row: its parameters, its options, its route, and one line of help."""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.commands.routes import Route
from ssm_cli.errors import CommandError, is_number, whole_number

ParameterKind = Literal[
    "worker", "supervisor", "child", "name", "input", "spec", "value", "number", "switch", "word",
    "expr", "path", "text", "group",
]  # fmt: skip
Section = Literal["workers", "tree", "supervisors", "history", "session"]

REST_KINDS = frozenset({"input", "spec", "value"})
"""The kinds that take the rest of the line as it stands; only a last parameter has one."""

QUOTED_KINDS = frozenset({"group"})
"""The kinds that take one word, or words in quotes, which are left out."""

MOST_NUMBER = 10**9  # which options that take one are below
PHRASE_KINDS = frozenset({"expr", "path", "text"})
"""The kinds that take the words up to the next option; quotes around them all are left out."""


def at_least_one(taker: str, what: str, word: str) -> int:
    """Return how many of something a person wants: a whole number from 1, below `MOST_NUMBER`.

    Raises:
        CommandError: it is none; `taker` is who takes it, and `what` it counts, for the message.
    """
    number = whole_number(word, 1, MOST_NUMBER - 1)
    if number is None:
        bound = f"below {MOST_NUMBER:,}" if is_number(word) and word.strip("0") else "from 1"
        raise CommandError(f"`{taker}` takes a number of {what} {bound}, not `{word[:40]}`")
    return number


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a verb. `choices` closes what a `word` may be; else anything goes.

    Usage lines show `shown`, or else the choices, or else the name.
    """

    name: str
    kind: ParameterKind
    required: bool = True
    choices: tuple[str, ...] = ()
    shown: str = ""

    @property
    def usage(self) -> str:
        """How a usage line shows it, with `[...]` around it where it may be left out."""
        shown = self.shown or "|".join(self.choices) or self.name.upper()
        return shown if self.required else f"[{shown}]"


class Option(msgspec.Struct, frozen=True):
    """An option with one value: `-o json`, `-n 5`. Several spellings, the first is shown.

    A `flag` has no value; it says `yes`. The values of a `list` that is given several times are
    joined by commas.
    """

    name: str
    spellings: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    kind: Literal["word", "number", "seconds", "expr", "path", "text", "flag", "list"] = "word"


OUTPUT = Option("output", ("-o", "--output"), "FORMAT", "text or json", ("text", "json", "jsonl"))
ONLY_LAST = Option("last", ("-n", "--last"), "N", "only the last N", kind="number")
AT = Option("at", ("--at",), "PLACE", "look there: a record, `crash`, a time, a fork")
INTO = Option("into", ("--in",), "SUBTREE", "ask this remote child, on whatever computer it is")
LOOKING = (OUTPUT, AT, INTO)
"""The options of what only looks: in which form, when, and where."""


class Verb(msgspec.Struct, frozen=True):
    """A verb: its parameters in order, its options, and one line of help.

    `route` says how a tree of another process is asked, who may do so, and what it answers; None
    for a verb of the session, which asks no tree. `ends` names the argument with the node that the
    verb ends with all below it; empty: the root; None: it ends none. `composed`: it asks by the
    routes of others. `of_file` names the argument that is a tree file, if the verb is asked about
    one: then it asks no tree that runs. `finds`: what it has found where it answers, and its
    exit code is that of a failure.
    """

    name: str
    parameters: tuple[Parameter, ...]
    help: str
    section: Section
    route: Route | None = None
    options: tuple[Option, ...] = (OUTPUT,)
    aliases: tuple[str, ...] = ()
    ends: str | None = None
    composed: bool = False
    of_file: str = ""
    finds: str = ""

    @property
    def asks(self) -> bool:
        """Whether it asks a tree, by its route or by those of others: a command of `ssm`."""
        return self.route is not None or self.composed

    @property
    def usage(self) -> str:
        """How to write it: `call WORKER INPUT`, with `[...]` around what may be left out."""
        return " ".join([self.name, *(parameter.usage for parameter in self.parameters)])

    @property
    def takes_rest(self) -> bool:
        """Whether its last parameter is the rest of the line as it stands."""
        return bool(self.parameters) and self.parameters[-1].kind in REST_KINDS
