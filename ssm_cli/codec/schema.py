"""Inputs as compiled shapes: from classes and annotations to constructors, fields and readers.

Python types become `WordType`s (how a word is read), classes become `Shape`s (how a constructor
is built). All of it happens once for each type; the codecs only look things up.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import msgspec

from ssm_cli.codec.port import Constructor, Field
from ssm_cli.codec.whole import making_whole
from ssm_cli.codec.words import (
    REFUSALS,
    TEXT_RANK,
    RepeatedKey,
    WordType,
    choice_type,
    json_of,
    reading_once,
    starts,
    union_of,
)
from ssm_cli.errors import message_of

MAX_CACHED_CLASSES = 1024
_CONTAINERS = (list, tuple, set, frozenset, dict)
_PYTHON_WORDS = {"None": None, "True": True, "False": False}


class Slot(msgspec.Struct, frozen=True):
    """One field of a shape: its description, how a word is read, and its Python type."""

    field: Field
    type: WordType
    annotation: Any = None


class Shape(msgspec.Struct, frozen=True):
    """A constructor compiled; `make` builds its value.

    `readers` are the fields' readers in order; at least `fewest` words must be given where words
    are given in order. `by_keyword`: the class takes its fields by keyword only.
    """

    constructor: Constructor
    slots: tuple[Slot, ...]
    make: Callable[..., Any]
    readers: tuple[Callable[[str], Any], ...] = ()
    fewest: int = 0
    by_keyword: bool = False

    def build(self, values: Iterable[Any]) -> Any:
        """The value with its first fields given in order; raises whatever the class raises."""
        if self.by_keyword:
            names = (slot.field.name for slot in self.slots)
            return self.make(**dict(zip(names, values, strict=False)))
        return self.make(*values)


# --- types: how a word is read ----------------------------------------------------------------


def _truth(word: str) -> bool:
    if word not in {"true", "True", "false", "False"}:
        raise ValueError(word)
    return word in {"true", "True"}


def _none(word: str) -> None:
    if word != "None":
        raise ValueError(word)


def _octets(word: str) -> bytes:
    return word.encode("latin-1")  # a character is a byte: `\xNN` in quotes says any of them


def _anything(word: str) -> Any:
    if word in _PYTHON_WORDS:
        return _PYTHON_WORDS[word]
    try:
        return json_of(word)
    except RepeatedKey:
        raise
    except REFUSALS:
        return word


def _never(word: str) -> bool:
    return not word


_FLOAT_BEGUN = re.compile(r"[+-]?(\d*\.?(\d+(e[+-]?)?)?|in?|infi(n(it?)?)?|na?)", re.IGNORECASE)

NONE = WordType("None", "None", _none, grows=starts("None"), choices=("None",), rank=0)
BOOL = WordType(
    "bool",
    "true or false",
    _truth,
    grows=starts("true", "false", "True", "False"),
    choices=("true", "false"),
    accepts=("True", "False"),
    rank=1,
)
INT = WordType("int", "an integer", int, grows=re.compile(r"[+-]?(\d+_)?").fullmatch, rank=2)
FLOAT = WordType("float", "a number", float, grows=_FLOAT_BEGUN.fullmatch, rank=3)
BYTES = WordType("bytes", "bytes (characters up to \\xff)", _octets, _octets, rank=8)
TEXT = WordType("str", "text", str, str, rank=TEXT_RANK)
ANY = WordType("any", "a value", _anything, str, rank=9)

PLAIN_TYPES: Mapping[Any, WordType] = {
    None: NONE,
    type(None): NONE,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    bytes: BYTES,
    str: TEXT,
    Any: ANY,
    object: ANY,
}


def word_type(annotation: Any) -> WordType:
    """How words are read for a Python type; anything msgspec knows is admitted.

    A type that no word can stand for (a function, a class of the user's own) gets a reader that
    refuses every word, so that a worker may have inputs which only Python can send.

    >>> word_type(int | None).read("1"), word_type(int | None).expected
    (1, 'an integer or None')
    """
    base = _unwrapped(annotation)
    if get_origin(base) is Annotated:  # first: what it carries need not be hashable
        return _constrained(word_type(get_args(base)[0]), base)
    if base in PLAIN_TYPES:
        return PLAIN_TYPES[base]
    if get_origin(base) is Literal:
        values = {_word_of(value): value for value in get_args(base)}
        return choice_type("|".join(values), values)
    if isinstance(base, type) and issubclass(base, Enum):
        by_value = {_word_of(member.value): member for member in base}
        return choice_type(base.__name__, dict(base.__members__), by_value)
    parts = members(base)
    return union_of(list(map(word_type, parts))) if len(parts) > 1 else _json_type(base)


def _unwrapped(annotation: Any) -> Any:
    """The type behind a name that was given to it."""
    if isinstance(annotation, TypeVar):
        return _unwrapped(annotation.__bound__ or Any)
    if isinstance(annotation, NewType):
        return _unwrapped(annotation.__supertype__)
    if isinstance(annotation, dataclasses.InitVar):
        return _unwrapped(annotation.type)
    if type(annotation).__name__ == "TypeAliasType":  # `type Inputs = ...`, Python 3.12
        return _unwrapped(annotation.__value__)
    return annotation


def _word_of(value: object) -> str:
    """The word that a choice is written as."""
    if isinstance(value, Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value)


def _constrained(base: WordType, annotation: Any) -> WordType:
    """A type with msgspec's constraints (`Annotated[int, Meta(ge=0)]`)."""

    def checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda word: msgspec.convert(read(word), annotation)

    text = checked(base.text) if base.text else None
    return msgspec.structs.replace(base, read=checked(base.read), text=text)


def _json_type(annotation: Any) -> WordType:
    """What msgspec reads: containers and records as JSON, others (dates, ids) from their text."""
    words = _words_of(annotation)
    nested = get_origin(annotation) is not None or annotation in _CONTAINERS
    nested = nested or is_record(annotation) or typing.is_typeddict(annotation)
    decoder = _json_decoder(annotation)
    if decoder is None:
        return WordType(words, f"{words}, which only Python can send", _refuse, grows=_never)

    once = reading_once(decoder.decode)

    def read(word: str) -> Any:
        if nested:
            return once(word)
        return msgspec.convert(word, annotation, strict=False)

    if nested:
        return WordType(words, f"{words} as JSON", making_whole(annotation, read), grows=_never)
    return WordType(words, words, read, read)


def _json_decoder(annotation: Any) -> msgspec.json.Decoder[Any] | None:
    """The reader that msgspec has for a type; None where it has none."""
    try:
        custom = isinstance(msgspec.inspect.type_info(annotation), msgspec.inspect.CustomType)
        return None if custom else msgspec.json.Decoder(annotation)
    except TypeError:
        return None


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _words_of(annotation: Any) -> str:
    """A type as signatures spell it: `dict[str,int|None]`."""
    if get_origin(annotation) is Annotated:
        return _words_of(get_args(annotation)[0])
    if annotation in PLAIN_TYPES:
        return PLAIN_TYPES[annotation].words
    if annotation is Ellipsis:
        return "..."
    parts = members(annotation)
    if len(parts) > 1:
        return "|".join(map(_words_of, parts))
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(map(_word_of, args))
    name: str = getattr(origin or annotation, "__name__", str(annotation))
    return f"{name}[{','.join(map(_words_of, args))}]" if origin and args else name


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, in order and flat; another type is its own only member.

    >>> members(int | None)
    (<class 'int'>, <class 'NoneType'>)
    """
    base = _unwrapped(annotation)
    if get_origin(base) in {Union, types.UnionType}:
        return tuple(part for arg in get_args(base) for part in members(arg))
    return (base,)


# --- classes: how a constructor is built ------------------------------------------------------


def compile_inputs(inputs: Any) -> dict[str, Shape]:
    """The shapes of a union of constructors by name, in order; empty where inputs are free.

    A member is a dataclass, NamedTuple or Struct; an Enum or a Literal of texts (each member a
    constructor without fields); or None. `None`, `Any` and `str` alone leave the inputs free.

    Raises:
        TypeError: a member is none of these, or the type of a field cannot be resolved.
        ValueError: two members share a name.
    """
    if inputs in (None, Any, object, str):
        return {}
    shapes: dict[str, Shape] = {}
    for member in members(inputs):
        for shape in _shapes_of(member):
            name = shape.constructor.name
            if name in shapes:
                raise ValueError(f"inputs: two constructors are called `{name}`: rename one")
            shapes[name] = shape
    return shapes


def _shapes_of(member: Any) -> list[Shape]:
    if is_record(get_origin(member) or member):
        return [shape_of(member)]
    if isinstance(member, type) and issubclass(member, Enum):
        return [_constant(name, value) for name, value in member.__members__.items()]
    if get_origin(member) is Literal and all(isinstance(v, str) for v in get_args(member)):
        return [_constant(value, value) for value in get_args(member)]
    if member is type(None):
        return [_constant("None", None)]
    raise TypeError(
        f"inputs: {_words_of(member)} is no constructor: expected dataclasses, NamedTuples, "
        f"msgspec.Structs, Enums or a Literal of texts (`Store | Lookup`)"
    )


def _constant(name: str, value: object) -> Shape:
    """A constructor without fields that stands for one value."""
    return Shape(Constructor(name), (), lambda: value)


def is_record(annotation: Any) -> bool:
    """Whether it is a class with named fields: a Struct, a dataclass or a NamedTuple."""
    return isinstance(annotation, type) and (
        issubclass(annotation, msgspec.Struct)
        or dataclasses.is_dataclass(annotation)
        or (issubclass(annotation, tuple) and hasattr(annotation, "_fields"))
    )


@lru_cache(maxsize=MAX_CACHED_CLASSES)
def shape_of(record: Any, *, lenient: bool = False) -> Shape:
    """The shape of a class with named fields, or of a generic one with its arguments.

    `lenient` takes a field whose type cannot be resolved for one that admits anything: outputs
    are only shown. Otherwise that is a TypeError.
    """
    origin = get_origin(record) or record
    hints = _hints_of(origin, lenient=lenient)
    bound = dict(zip(getattr(origin, "__parameters__", ()), get_args(record), strict=False))
    parameters = inspect.signature(origin).parameters.values()
    slots = tuple(_slot(p, hints.get(p.name, Any), bound) for p in parameters)
    required = [index for index, slot in enumerate(slots) if slot.field.required]
    return Shape(
        Constructor(origin.__name__, tuple(slot.field for slot in slots), _doc_of(origin)),
        slots,
        origin,
        tuple(slot.type.read for slot in slots),
        required[-1] + 1 if required else 0,
        any(p.kind is p.KEYWORD_ONLY for p in parameters),
    )


def _slot(parameter: inspect.Parameter, hint: Any, bound: Mapping[Any, Any]) -> Slot:
    annotation = bound.get(hint, hint) if isinstance(hint, TypeVar) else hint
    kind = word_type(annotation)
    field = Field(
        parameter.name,
        kind.words,
        parameter.default is parameter.empty,
        kind.choices,
        kind.accepts,
        default_of(parameter.default),
    )
    return Slot(field, kind, annotation)


def default_of(value: object) -> str | None:
    """Return a default as a word; None for what is no plain value: only those are shown safely.

    >>> default_of(1.5), default_of("a b"), default_of(None), default_of([])
    ('1.5', '"a b"', 'None', None)
    """
    if type(value) is str:
        return json.dumps(value, ensure_ascii=False) if not value or " " in value else value
    plain = type(value) in (bool, int, float, types.NoneType) or isinstance(value, Enum)
    return _word_of(value) if plain else None


def _hints_of(record: type, *, lenient: bool) -> dict[str, Any]:
    try:
        return typing.get_type_hints(record, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        if lenient:
            return {}
        raise TypeError(
            f"{record.__name__}: the type of a field cannot be resolved: "
            f"{message_of(error)}; "
            f"define it at the top of the module in which {record.__name__} is"
        ) from error


def _doc_of(record: type) -> str:
    """The first line of its docstring, unless that was generated."""
    doc = inspect.cleandoc(record.__doc__ or "")
    return "" if doc.startswith(f"{record.__name__}(") else doc.partition("\n")[0]
