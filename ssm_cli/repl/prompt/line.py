"""What a line says so far: its words by kind, what is wrong with it, and how it may go on.

One reading serves the colours, the hint below the prompt and the completion, so that they never
disagree. The grammar itself is `commands.parse`; the input of a worker is read by its codec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from ssm_cli.codec.analysis import Analysis, analyse
from ssm_cli.codec.port import Constructor, Field
from ssm_cli.commands.parse import known_as, parse_line, verb_of
from ssm_cli.commands.verb import PHRASE_KINDS, Option, Parameter, Verb
from ssm_cli.commands.verbs import TABLE, VERBS, find_verb, nearest
from ssm_cli.errors import CommandError
from ssm_cli.repl.shell.names import Names, Workers
from ssm_cli.repl.shell.verbs import HERE, find_here, parse_here
from ssm_cli.runtime.views import Kind

TokenKind = Literal["verb", "name", "option", "constructor", "field", "value", "text", "comment"]
READ_CHARACTERS = 10_000  # of a longer line no more is read while it is typed


class Token(msgspec.Struct, frozen=True):
    """A stretch of the line, from `start` to `end`, and what it is."""

    start: int
    end: int
    kind: TokenKind


class Problem(msgspec.Struct, frozen=True):
    """What keeps the line from being a command.

    Attributes:
        message: what was expected.
        start: where, from 0; `end` is where the word that is wrong ends.
        wrong: more typing will not help; else the line is only not finished.
    """

    message: str
    start: int
    end: int
    wrong: bool


class Candidate(msgspec.Struct, frozen=True):
    """How the word being typed may go on, and what is said beside it."""

    text: str
    meta: str = ""


class Line(msgspec.Struct, frozen=True):
    """A reading of a line.

    Attributes:
        tokens: its known words, in order.
        signature: how to write it, in parts; the one being typed is marked.
        problem: what is wrong or missing; None if the line can be sent.
        start: where the word being typed begins.
        candidates: how that word may go on.
    """

    tokens: tuple[Token, ...] = ()
    signature: tuple[tuple[str, bool], ...] = ()
    problem: Problem | None = None
    start: int = 0
    candidates: tuple[Candidate, ...] = ()


class _Word(msgspec.Struct, frozen=True):
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


KINDS: dict[str, Kind | None] = {"worker": "worker", "supervisor": "supervisor", "name": None}
"""The kinds of parameters that name a node, and the kind of node."""

INPUT_KINDS: dict[str, TokenKind] = {
    "constructor": "constructor",
    "keyword": "field",
    "argument": "value",
}
"""The kinds of stretches of an input that are coloured; a bad one is marked by its problem."""

Slot = Parameter | Option | Literal["option", "separator"] | None
"""What a word of a command is: a parameter, the value of an option, an option; None: too much."""


def read_line(text: str, names: Names, *, anywhere: bool = False) -> Line:
    """Read a line up to its end, where the cursor is thought to be.

    Args:
        text: the line.
        names: the names of the tree.
        anywhere: offer names that contain the word too; slower, for when it was asked for.
    """
    text = text[:READ_CHARACTERS]
    words = [_Word(m[0], m.start()) for m in re.finditer(r"\S+", text)]
    if words and words[0].text.startswith("#"):
        return Line(tokens=(Token(words[0].start, len(text), "comment"),))
    if not words or text[-1:].isspace():
        words.append(_Word("", len(text)))
    if len(words) == 1:
        return _first_word(text, words[0], names, anywhere)
    first, workers = words[0], Workers(names, words[0].text)
    verb = verb_of(first.text, workers) or find_here(first.text, workers)
    if verb is not None:
        tokens = [Token(first.start, first.end, "verb")]
        return _Reading(text, verb, words[1:], names, anywhere).line(tokens)
    if not names.has("worker", first.text):
        return Line(problem=_problem(text, names, typing=None))
    return _Reading(text, VERBS["call"], words, names, anywhere).line([])


def _first_word(text: str, word: _Word, names: Names, anywhere: bool) -> Line:
    """A verb, or the name of a worker."""
    table = (*TABLE, *HERE)
    verbs = [Candidate(v.name, v.help) for v in table if v.name.startswith(word.text)]
    workers = names.matching("worker", word.text, anywhere=anywhere)
    verb = find_verb(word.text) or find_here(word.text, Workers(names, word.text))
    known: TokenKind | None = "verb" if verb else None
    if verb is None and word.text and names.has("worker", word.text):
        known = "name"
    candidates = (*verbs, *(Candidate(name, "worker") for name in workers))
    return Line(
        tokens=(Token(word.start, word.end, known),) if known else (),
        signature=_usage(verb, None) if verb else (),
        problem=_problem(text, names, typing=word if candidates else None) if word.text else None,
        start=word.start,
        candidates=candidates,
    )


def _problem(text: str, names: Names, typing: _Word | None) -> Problem | None:
    """What the grammar says against the line; not yet wrong where `typing` may go on."""
    try:
        workers = Workers(names, text.lstrip())
        if parse_here(text, workers) is None:
            parse_line(text, workers)
    except CommandError as error:
        start = max(error.column - 1, 0)
        found = re.match(r"\S+", text[start:])
        end = start + len(found[0]) if found else start
        missing = start >= len(text.rstrip())
        unfinished = typing is not None and start >= typing.start
        return Problem(str(error), start, end, wrong=not (missing or unfinished))
    return None


def assign(verb: Verb, words: list[str]) -> list[Slot]:
    """What each word behind a verb is; where the rest begins, the list ends with its parameter.

    >>> [getattr(slot, "name", slot) for slot in assign(find_verb("log"), ["-n", "5", "x"])]
    ['option', 'last', None]
    """
    waiting = list(verb.parameters)
    slots: list[Slot] = []
    value_of: Option | None = None
    literal = False
    for word in words:
        if value_of is not None:
            slots.append(value_of)
            value_of = None
        elif waiting and (waiting[0].kind in PHRASE_KINDS or (verb.takes_rest and not waiting[1:])):
            return [*slots, waiting[0]]
        elif word == "--" and not literal:
            literal = True
            slots.append("separator")
        elif word.startswith("-") and word != "-" and not literal:
            value_of = next((o for o in verb.options if word in o.spellings), None)
            slots.append("option")
        else:
            slots.append(waiting.pop(0) if waiting else None)
    return slots


class _Reading:
    """The reading of a line whose verb is known. `given` are the words behind the verb."""

    def __init__(
        self, text: str, verb: Verb, given: list[_Word], names: Names, anywhere: bool
    ) -> None:
        self._text = text
        self._verb = verb
        self._names = names
        self._anywhere = anywhere
        slots = assign(verb, [word.text for word in given])
        self._pairs = list(zip(given, slots, strict=False))  # the last slot may be the rest
        self._last, self._slot = self._pairs[-1]
        self._arguments = {
            slot.name: word.text for word, slot in self._pairs if isinstance(slot, Parameter)
        }

    def line(self, tokens: list[Token]) -> Line:
        """The whole reading; `tokens` are those before the words behind the verb."""
        tokens = [*tokens, *self._tokens()]
        unknown = self._unknown()
        is_input = isinstance(self._slot, Parameter) and self._slot.kind == "input"
        if is_input and "worker" in self._arguments and not unknown:
            return self._input(tokens)
        candidates = self._candidates()
        typing = self._last if candidates else None
        return Line(
            tokens=tuple(tokens),
            signature=_usage(self._verb, self._slot),
            problem=unknown or _problem(self._text, self._names, typing),
            start=self._last.start,
            candidates=candidates,
        )

    def _tokens(self) -> list[Token]:
        """The words that are known: names that exist, options, values."""
        words = ((word, self._kind_of(word.text, slot)) for word, slot in self._pairs if word.text)
        return [Token(word.start, word.end, kind) for word, kind in words if kind is not None]

    def _kind_of(self, word: str, slot: Slot) -> TokenKind | None:
        match slot:
            case "option":
                return "option"
            case Option() | Parameter(choices=(_, *_)):
                return "value"
            case Parameter(kind=kind) if kind in KINDS:
                return "name" if self._names.has(KINDS[kind], word) else None
            case Parameter(kind="child") if word in self._children():
                return "name"
            case _:
                return None

    def _children(self) -> list[str]:
        return self._names.children(self._arguments.get("sup", ""))

    def _unknown(self) -> Problem | None:
        """The first name that is none in this tree."""
        for word, slot in self._pairs:
            if not (isinstance(slot, Parameter) and slot.kind in KINDS and word.text):
                continue
            kind = KINDS[slot.kind]
            if self._names.has(kind, word.text):
                continue
            like = self._names.matching(kind, word.text, anywhere=self._anywhere)
            near = nearest(word.text, self._names.matching(kind, word.text[:1], anywhere=False))
            what = kind or "worker or supervisor"
            hint = f"; did you mean `{near}`?" if near else ""
            typing = word is self._last and bool(like)
            return Problem(f"no {what} `{word.text}`{hint}", word.start, word.end, not typing)
        return None

    def _known(self, kind: str, word: str) -> list[str]:
        """The names of a kind, or the parts of the worker's state, that a word may become."""
        if kind == "path":
            return self._names.parts(known_as(self._arguments["worker"]), word)
        return self._names.matching(KINDS[kind], word, anywhere=self._anywhere)

    def _candidates(self) -> tuple[Candidate, ...]:
        word, slot = self._last.text, self._slot
        if word in {"-", "--"} and not (
            self._verb.takes_rest and slot is self._verb.parameters[-1]
        ):
            slot = "option"  # it may become one
        options = self._verb.options
        match slot:
            case Parameter(kind=kind) if kind in KINDS or kind == "path":
                return tuple(map(Candidate, self._known(kind, word)))
            case Parameter(kind="child"):
                return _beginning(word, self._children())
            case Parameter(name="verb"):
                names = self._names.matching("worker", word, anywhere=self._anywhere)
                return _beginning(word, [*(verb.name for verb in TABLE), *names])
            case Parameter(choices=choices) | Option(choices=choices):
                return _beginning(word, choices)
            case "option":
                spelled = ((o, [s for s in o.spellings if s.startswith(word)]) for o in options)
                return tuple(Candidate(found[0], o.help) for o, found in spelled if found)
            case _:
                return ()

    def _input(self, tokens: list[Token]) -> Line:
        """The input of a worker, as its codec reads it."""
        start = self._last.start
        constructors = self._names.constructors(known_as(self._arguments["worker"]))
        read = analyse(self._text[start:], constructors)
        for token in read.tokens:
            kind = INPUT_KINDS.get(token.kind)
            if kind is not None:
                tokens.append(Token(start + token.start, start + token.end, kind))
        problem = None
        if read.status == "wrong" and read.span is not None:
            problem = Problem(read.message, start + read.span[0], start + read.span[1], wrong=True)
        elif read.status == "partial" or not self._last.text:
            expected = ", ".join(one.name for one in constructors) or "an input"
            problem = Problem(f"expected {expected}", start, len(self._text), wrong=False)
        by_name = {one.name: _signature(one) for one in constructors}
        candidates = [Candidate(name, by_name.get(name, "")) for name in read.candidates]
        begins = read.replace[0]
        if not candidates:
            candidates, begins = self._seen(read, self._text[start:])
        return Line(
            tokens=tuple(tokens),
            signature=_input_signature(read, constructors) or _usage(self._verb, self._slot),
            problem=problem,
            start=start + begins,
            candidates=tuple(candidates),
        )

    def _seen(self, read: Analysis, given: str) -> tuple[list[Candidate], int]:
        """The keys seen before that a text being typed may become, and where it begins."""
        typed = re.search(r"[^\s=\"]*$", given)
        assert typed is not None, "it matches nothing at the least"
        constructor, field = read.constructor, read.field
        if constructor is None or field is None or typed.start() == 0:
            return [], len(given)
        if not constructor.fields[field].type.startswith("str"):
            return [], len(given)
        worker = known_as(self._arguments["worker"])
        words = self._names.seen.words(worker, typed[0])
        return [Candidate(word, "seen before") for word in words], typed.start()


def _signature(constructor: Constructor) -> str:
    """The fields of a constructor, as shown beside it in the menu.

    >>> _signature(Constructor("Store", (Field("key", "str"), Field("value", "int", False))))
    '(key: str, value?: int)'
    """
    return f"({', '.join(map(_field, constructor.fields))})"


def _field(field: Field) -> str:
    return f"{field.name}{'' if field.required else '?'}: {field.type}"


def _input_signature(
    read: Analysis, constructors: Iterable[Constructor]
) -> tuple[tuple[str, bool], ...]:
    """The constructor with the field being typed marked; before that, all that may be typed."""
    if read.constructor is None:
        return tuple((one.name, False) for one in constructors)
    fields = enumerate(read.constructor.fields)
    return (
        (read.constructor.name, False),
        *((f" {_field(field)}", index == read.field) for index, field in fields),
    )


def _beginning(word: str, known: Iterable[str]) -> tuple[Candidate, ...]:
    return tuple(Candidate(name) for name in known if name.startswith(word))


def _usage(verb: Verb, slot: Slot) -> tuple[tuple[str, bool], ...]:
    """How a verb is written, in parts; the parameter `slot` is marked."""
    parts = [(one.usage, one is slot) for one in verb.parameters]
    return ((verb.name, False), *parts, (f"  {verb.help}", False))
