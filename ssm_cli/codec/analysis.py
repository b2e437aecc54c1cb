"""What the prompt needs to know of an input line that is being typed, at every key.

Told apart are a line that is an input (`ok`), one that can become one if typed on (`partial`),
and one that cannot (`wrong`). Tokenizer, binding and messages are those of the text codec; only
descriptions of constructors are needed, so it works for a tree in another process as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import GenericAlias
from typing import Any, Literal, Union

import msgspec

from ssm_cli.codec.port import Constructor, Field
from ssm_cli.codec.schema import ANY, PLAIN_TYPES, Slot, word_type
from ssm_cli.codec.text import Argument, bind, find, still_required
from ssm_cli.codec.words import Word, WordType, choice_type, tokenize, union_of
from ssm_cli.errors import DecodeError

MAX_CACHED_CONSTRUCTORS = 1024
MAX_CANDIDATES = 100

Status = Literal["ok", "partial", "wrong"]
TokenKind = Literal["constructor", "keyword", "argument", "bad"]
Span = tuple[int, int]

_CONTAINERS: dict[str, type] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "tuple": tuple,
    "dict": dict,
}
_NAMED = {kind.words: annotation for annotation, kind in PLAIN_TYPES.items()}


class Token(msgspec.Struct, frozen=True):
    """A stretch of the line of one kind; offsets from 0, `end` is behind its last character."""

    start: int
    end: int
    kind: TokenKind


class Analysis(msgspec.Struct, frozen=True):
    """A line as far as it was typed.

    Attributes:
        status: `ok`, `partial` (can still become an input) or `wrong` (cannot).
        tokens: the stretches of the line, in order.
        constructor: the one that the line names, or None.
        field: the index of the field at the cursor, or of the next to be given; None: no more.
        message: what is wrong, as the codec would say it; empty otherwise.
        span: where it is wrong; None where nothing is.
        candidates: words that may stand at the cursor, at most `MAX_CANDIDATES`.
        replace: the stretch that a candidate takes the place of; it ends at the cursor.
    """

    status: Status
    tokens: tuple[Token, ...] = ()
    constructor: Constructor | None = None
    field: int | None = None
    message: str = ""
    span: Span | None = None
    candidates: tuple[str, ...] = ()
    replace: Span = (0, 0)


def analyse(text: str, constructors: Sequence[Constructor], cursor: int | None = None) -> Analysis:
    """A line judged as it stands, with what may be typed at the cursor.

    Args:
        text: the line, without the worker's name.
        constructors: of the worker's inputs; where there are none, every line is an input.
        cursor: an offset into the line; None is its end.

    >>> store = Constructor("Store", (Field("key", "str"), Field("value", "int")))
    >>> analyse("Sto", [store]).candidates, analyse("Store x", [store]).status
    (('Store',), 'partial')
    >>> analyse("Store x a", [store]).message
    'Store: value: expected an integer, got `a`'
    """
    at = len(text) if cursor is None else max(0, min(cursor, len(text)))
    if not constructors:
        tokens = tuple(Token(word.start, word.end, "argument") for word in tokenize(text))
        return Analysis("ok", tokens, replace=(at, at))
    whole = _judge(text, constructors)
    before = whole if at == len(text) else _judge(text[:at], constructors)
    candidates, start = _candidates(text[:at], before, constructors)
    return msgspec.structs.replace(
        whole,
        field=before.field,
        candidates=candidates[:MAX_CANDIDATES],
        replace=(start, at),
    )


# --- the judgement ----------------------------------------------------------------------------


def _judge(text: str, constructors: Sequence[Constructor]) -> Analysis:
    """The line without what depends on the cursor; `field` is that at its end."""
    words = tokenize(text)
    if not words:
        return Analysis("partial")
    named = {one.name: one for one in constructors}
    first = words[0]
    try:
        constructor = named[find(words, named)]
    except DecodeError as error:
        growing = first.end == len(text) and first.keyword is None and not first.quoted
        if growing and any(name.startswith(first.text) for name in named):
            return Analysis("partial", (Token(first.start, first.end, "constructor"),))
        return Analysis(
            "wrong",
            tuple(Token(w.start, w.end, "argument" if w is not first else "bad") for w in words),
            message=str(error),
            span=(first.start, first.end),
        )
    slots = slots_of(constructor)
    arguments = bind(constructor.name, slots, words[1:])
    return _judge_arguments(text, constructor, first, arguments)


def _judge_arguments(
    text: str, constructor: Constructor, first: Word, arguments: Sequence[Argument]
) -> Analysis:
    slots = slots_of(constructor)
    growing = [one for one in arguments if one.problem and _may_grow(text, slots, one)]
    wrong = [one for one in arguments if one.problem and one not in growing]
    tokens = [Token(first.start, first.end, "constructor")]
    for one in arguments:
        tokens += _tokens_of(one, bad=one in wrong)
    given = {one.field: one.value for one in arguments}
    unfinished = growing or still_required(slots, given)
    analysis = Analysis(
        "wrong" if wrong else "partial" if unfinished else "ok",
        tuple(tokens),
        constructor,
        _current_field(text, slots, arguments),
    )
    if not wrong:
        return analysis
    return msgspec.structs.replace(
        analysis, message=wrong[0].problem, span=(wrong[0].start, wrong[0].word.end)
    )


def _may_grow(text: str, slots: Sequence[Slot], argument: Argument) -> bool:
    """Whether a word that is no value yet becomes one if typed on: only the last one can."""
    word = argument.word
    if argument.misplaced or word.end != len(text):
        return False
    kind = slots[argument.field].type
    if word.quoted:
        return word.unfinished and kind.text is not None
    names = (slot.field.name for slot in slots)
    if word.keyword is None and any(name.startswith(word.text) for name in names):
        return True
    return word.unfinished or (not word.flaw and bool(kind.grows(word.text)))


def _tokens_of(argument: Argument, *, bad: bool) -> Iterator[Token]:
    word = argument.word
    if word.keyword is not None and not argument.misplaced:
        yield Token(word.start, word.value_start, "keyword")
    start = argument.start
    if start < word.end:
        yield Token(start, word.end, "bad" if bad else "argument")


def _current_field(text: str, slots: Sequence[Slot], arguments: Sequence[Argument]) -> int | None:
    """The field of the word that the line ends in, or else the first one not yet given."""
    if arguments and arguments[-1].word.end == len(text):
        return arguments[-1].field if arguments[-1].field >= 0 else None
    given = {argument.field for argument in arguments}
    return next((index for index in range(len(slots)) if index not in given), None)


# --- candidates -------------------------------------------------------------------------------


def _candidates(
    text: str, before: Analysis, constructors: Sequence[Constructor]
) -> tuple[tuple[str, ...], int]:
    """The words that may stand at the end of a line, and where they begin."""
    words = tokenize(text)
    last = words[-1] if words and words[-1].end == len(text) else Word("", len(text), 0, len(text))
    if last.quoted or last.flaw:
        return (), len(text)
    if not words or (len(words) == 1 and last.start < len(text)):
        names = (constructor.name for constructor in constructors)
        return tuple(name for name in names if name.startswith(last.text)), last.start
    if before.constructor is None or before.field is None:
        return (), len(text)
    typed = words[1:] if last.start == len(text) else words[1:-1]
    slots = slots_of(before.constructor)
    given = {argument.field for argument in bind(before.constructor.name, slots, typed)}
    choices = slots[before.field].field.choices
    fitting = tuple(choice for choice in choices if choice.startswith(last.text))
    if last.keyword is not None or not last.text:
        return fitting, last.value_start
    free = (slot.field.name for index, slot in enumerate(slots) if index not in given)
    return (*fitting, *(f"{name}=" for name in free if name.startswith(last.text))), last.start


# --- from descriptions back to types ----------------------------------------------------------


@lru_cache(maxsize=MAX_CACHED_CONSTRUCTORS)
def slots_of(constructor: Constructor) -> tuple[Slot, ...]:
    """The fields of a described constructor with the readers of their types.

    A type that its words do not tell (a class of the worker's own) admits any word; the codec
    has the last say.
    """
    return tuple(Slot(field, _type_of(field)) for field in constructor.fields)


def _type_of(field: Field) -> WordType:
    parts = _split(field.type, "|")
    unknown = [part for part in parts if not _is_known(part)]
    named = [word_type(_python_type(part)) for part in parts if part not in unknown]
    if not unknown:
        return union_of(named)
    at = parts.index(unknown[0])  # messages list the types in their order
    return union_of([*named[:at], *_types_of_unknown(field, unknown, named), *named[at:]])


def _types_of_unknown(
    field: Field, unknown: Sequence[str], named: Sequence[WordType]
) -> Iterator[WordType]:
    """The choices of a field as one type, and `ANY` for what is no choice."""
    taken = {word for kind in named for word in (*kind.choices, *kind.accepts)}
    choices = [word for word in field.choices if word not in taken]
    more = [word for word in field.accepts if word not in taken]
    classes = [part for part in unknown if part not in choices]
    if choices:
        options = dict.fromkeys(choices, "")
        yield choice_type("|".join(unknown), options, dict.fromkeys(more, ""))
    if len(classes) > (1 if choices else 0):
        yield ANY


def _is_known(words: str) -> bool:
    name = words.partition("[")[0]
    return name in _NAMED or name in _CONTAINERS


def _python_type(words: str) -> Any:
    """The type that `words` spell, as far as they do; `Any` for the rest."""
    parts = _split(words, "|")
    if len(parts) > 1:
        return Union[tuple(map(_python_type, parts))]  # noqa: UP007 - made of a tuple
    name, bracket, rest = words.partition("[")
    if name in _CONTAINERS and bracket:
        arguments = tuple(map(_python_type, _split(rest[:-1], ",")))
        return GenericAlias(_CONTAINERS[name], arguments)
    return ... if words == "..." else _CONTAINERS.get(name, _NAMED.get(name, Any))


def _split(words: str, separator: str) -> list[str]:
    """Words split where no bracket is open.

    >>> _split("dict[str,int|None]|None", "|")
    ['dict[str,int|None]', 'None']
    """
    parts, depth = [""], 0
    for character in words:
        depth += (character == "[") - (character == "]")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
