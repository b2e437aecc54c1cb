"""The verbs: one table that the parser, the prompt's completion, help and the CLI all read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

import msgspec

ParameterKind = Literal[
    "worker", "supervisor", "child", "name", "input", "spec", "value", "number", "word"
]
Section = Literal["workers", "tree", "supervisors", "session"]

REST_KINDS = frozenset({"input", "spec", "value"})
"""The kinds that take the rest of the line as it stands; only a last parameter has one."""

MAX_NAMES_SEARCHED = 10_000  # names; comparing each with the mistyped word costs microseconds


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a verb. `choices` closes what a `word` may be; else anything goes."""

    name: str
    kind: ParameterKind
    required: bool = True
    choices: tuple[str, ...] = ()


class Option(msgspec.Struct, frozen=True):
    """An option with one value: `-o json`, `-n 5`. Several spellings, the first is shown."""

    name: str
    spellings: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    kind: Literal["word", "number", "seconds"] = "word"


OUTPUT = Option("output", ("-o", "--output"), "FORMAT", "text or json", ("text", "json", "jsonl"))
TREE_OUTPUT = Option(
    "output", ("-o", "--output"), "FORMAT", "text, json or dot", ("text", "json", "jsonl", "dot")
)
LAST = Option("last", ("-n", "--last"), "N", "only the last N", kind="number")
TIMEOUT = Option(
    "timeout_s", ("--timeout",), "SECONDS", "how long to wait for the output", kind="seconds"
)


class Verb(msgspec.Struct, frozen=True):
    """A verb: its parameters in order, its options, and one line of help."""

    name: str
    parameters: tuple[Parameter, ...]
    help: str
    section: Section
    aliases: tuple[str, ...] = ()
    options: tuple[Option, ...] = (OUTPUT,)

    @property
    def usage(self) -> str:
        """How to write it: `call WORKER INPUT`, with `[...]` around what may be left out."""
        words = [self.name]
        for parameter in self.parameters:
            shown = "|".join(parameter.choices) or parameter.name.upper()
            words.append(shown if parameter.required else f"[{shown}]")
        return " ".join(words)

    @property
    def takes_rest(self) -> bool:
        """Whether its last parameter is the rest of the line as it stands."""
        return bool(self.parameters) and self.parameters[-1].kind in REST_KINDS


_WORKER = Parameter("worker", "worker")
_NAME = Parameter("name", "name")
_SUPERVISOR = Parameter("sup", "supervisor")
_CHILD = Parameter("id", "child")

TABLE: tuple[Verb, ...] = (
    Verb(
        "call",
        (_WORKER, Parameter("input", "input")),
        "write an input to the queue and print the worker's output",
        "workers",
        options=(OUTPUT, TIMEOUT),
    ),
    Verb(
        "cast",
        (_WORKER, Parameter("input", "input")),
        "write an input to the queue without waiting for an output",
        "workers",
    ),
    Verb("state", (_WORKER,), "print the worker's state", "workers"),
    Verb(
        "set",
        (_WORKER, Parameter("value", "value")),
        "put another state in the worker's place, given as JSON",
        "workers",
    ),
    Verb("suspend", (_NAME,), "hold a worker or supervisor; its inputs queue up", "workers"),
    Verb("resume", (_NAME,), "let it go on", "workers"),
    Verb(
        "trace",
        (_WORKER, Parameter("switch", "word", required=False, choices=("on", "off"))),
        "report every input and output of the worker, or stop doing so",
        "workers",
    ),
    Verb("status", (_WORKER,), "print all there is to know of the worker", "workers"),
    Verb(
        "keep",
        (_WORKER, Parameter("events", "number")),
        "keep the worker's last EVENTS events, for `status` and `crash`; 0 keeps none",
        "workers",
    ),
    Verb(
        "change-code",
        (_WORKER, Parameter("old_version", "word"), Parameter("extra", "value", required=False)),
        "have the suspended worker turn its state into that of its present code",
        "workers",
    ),
    Verb(
        "crash",
        (Parameter("worker", "worker", required=False),),
        "print the last crash (of the worker): input, state, stack, what was restarted",
        "workers",
        options=(OUTPUT, LAST),
    ),
    Verb("stats", (_WORKER,), "print the worker's counts", "workers"),
    Verb("kill", (_NAME,), "kill a worker or supervisor; its terminate does not run", "workers"),
    Verb(
        "stop-process",
        (_NAME, Parameter("reason", "word", required=False)),
        "end one worker or supervisor in order; its supervisor then decides",
        "workers",
    ),
    Verb(
        "tree",
        (),
        "print the tree with state, restarts and budget left",
        "tree",
        options=(TREE_OUTPUT,),
    ),
    Verb("log", (), "print what happened, oldest first", "tree", options=(OUTPUT, LAST)),
    Verb("stop", (), "stop the whole tree, children in reverse start order", "tree"),
    Verb(
        "start-child",
        (_SUPERVISOR, Parameter("spec", "spec")),
        "start a child from a label, or from a mapping as in a tree file",
        "supervisors",
    ),
    Verb("terminate-child", (_SUPERVISOR, _CHILD), "stop a child and keep its spec", "supervisors"),
    Verb("restart-child", (_SUPERVISOR, _CHILD), "start a child that was stopped", "supervisors"),
    Verb("delete-child", (_SUPERVISOR, _CHILD), "forget a stopped child's spec", "supervisors"),
    Verb("which-children", (_SUPERVISOR,), "list the children, last started first", "supervisors"),
    Verb(
        "count-children", (_SUPERVISOR,), "count specs, active, supervisors, workers", "supervisors"
    ),
    Verb("get-childspec", (_SUPERVISOR, _CHILD), "print the spec of a child", "supervisors"),
    Verb(
        "help",
        (Parameter("verb", "word", required=False),),
        "list the commands, or explain one, or what a worker takes",
        "session",
        aliases=("?",),
    ),
    Verb(
        "quit",
        (),
        "leave; a tree that was started here is stopped",
        "session",
        aliases=("exit",),
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in TABLE}
"""The verbs by their names, in the order of the help page; aliases are not in it."""

_BY_WORD = VERBS | {alias: verb for verb in TABLE for alias in verb.aliases}


def find_verb(word: str) -> Verb | None:
    """The verb that a word names, also by an alias; None where there is none.

    >>> find_verb("exit").name
    'quit'
    """
    return _BY_WORD.get(word)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, whatever its case; None where none is near.

    At most `MAX_NAMES_SEARCHED` of the known words are looked at.

    >>> nearest("cal", VERBS), nearest("KV1", ["kv1"]), nearest("xyz", VERBS)
    ('call', 'kv1', None)
    """
    seen = {name.lower(): name for _, name in zip(range(MAX_NAMES_SEARCHED), known, strict=False)}
    found = get_close_matches(word.lower(), seen, n=1, cutoff=0.6)
    return seen[found[0]] if found else None


def help_lines(word: str | None = None) -> tuple[str, ...]:
    """The help page, or that of one verb. Raises nothing: an unknown word gets the page.

    >>> help_lines("quit")[0]
    'quit    leave; a tree that was started here is stopped'
    """
    verb = None if word is None else find_verb(word)
    if verb is not None:
        also = (f"also written: {', '.join(verb.aliases)}",) if verb.aliases else ()
        options = tuple(f"  {', '.join(o.spellings)} {o.metavar}    {o.help}" for o in verb.options)
        return (f"{verb.usage}    {verb.help}", *also, *options)
    width = max(len(verb.usage) for verb in TABLE)
    lines = ["WORKER INPUT".ljust(width) + "  short for `call WORKER INPUT`"]
    section = ""
    for verb in TABLE:
        if verb.section != section:
            section = verb.section
            lines.append(f"{section}:")
        lines.append(f"{verb.usage.ljust(width)}  {verb.help}")
    return tuple(lines)
