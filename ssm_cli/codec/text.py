"""The text codec: `Store "a key" 1`, `Store key=x value=1`; outputs print in the same syntax.

Decoding has two paths. A line of bare words goes through one split and the readers of its
constructor, which is all that most inputs need. Whatever that refuses goes through the tokenizer
and `bind`, which know how to say what is wrong; the analysis of a half-typed line uses them too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from operator import call
from typing import Any

import msgspec

from ssm_cli.codec.json import (
    MAX_INPUT_BYTES,
    check_size,
    is_plain,
    jsonable,
    safe_repr,
    unshowable,
)
from ssm_cli.codec.port import Constructor
from ssm_cli.codec.schema import (
    ANY,
    BYTES,
    MAX_CACHED_CLASSES,
    TEXT,
    Shape,
    Slot,
    compile_inputs,
    is_record,
    shape_of,
)
from ssm_cli.codec.words import (
    REFUSALS,
    Word,
    WordType,
    is_bare,
    quote,
    shorten,
    suggestion,
    tokenize,
)
from ssm_cli.errors import DecodeError, message_of

OCTETS = (bytes, bytearray)
_SPECIAL = re.compile(r"[\"'\\\[{=]").search


class Argument(msgspec.Struct, frozen=True):
    """One word behind a constructor: its field (-1: none), and its value or what is wrong.

    `expected` are signatures of fields; `misplaced` says that the whole word is wrong, not only
    the value behind its keyword.
    """

    word: Word
    field: int
    value: Any = None
    problem: str = ""
    expected: tuple[str, ...] = ()
    misplaced: bool = False

    @property
    def start(self) -> int:
        """The offset at which a problem is shown."""
        return self.word.start if self.misplaced else self.word.value_start


class TextCodec:
    """Inputs and outputs as lines of text, in UTF-8.

    With `inputs` None an input is the text itself. `decode` raises `DecodeError` only, with the
    column and what was expected there; `encode` does not raise.
    """

    def __init__(self, inputs: Any) -> None:
        self._shapes = compile_inputs(inputs)
        self._constructors = {name: shape.constructor for name, shape in self._shapes.items()}
        longest = max((len(shape.slots) for shape in self._shapes.values()), default=0)
        self._most_words = longest + 2  # the constructor, and one more than there are fields

    def decode(self, data: bytes) -> Any:
        """The input that a line stands for; at most `MAX_INPUT_BYTES`."""
        if len(data) > MAX_INPUT_BYTES:
            check_size(data)
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(data, error) from error
        if not self._shapes:
            return text
        if not _SPECIAL(text):
            name, *words = text.split() or ("",)
            shape = self._shapes.get(name)
            if shape and shape.fewest <= len(words) <= len(shape.readers):
                try:
                    return shape.build(map(call, shape.readers, words))
                except Exception:  # noqa: BLE001, S110 - the slow path says what is wrong
                    pass
        return self._decode_line(text)

    def encode(self, value: Any) -> bytes:
        """An output or a state as text; bytes as they are.

        `decode` reads every input back from it, but for what JSON in a field cannot say
        (infinities, texts with half a surrogate pair).
        """
        if isinstance(value, OCTETS):
            return bytes(value)
        return show(value).encode("utf-8", "backslashreplace")

    def _decode_line(self, text: str) -> Any:
        words = tokenize(text, self._most_words)
        shape = self._shapes[find(words, self._constructors)]
        name = shape.constructor.name
        arguments = bind(name, shape.slots, words[1:])
        for argument in arguments:
            if argument.problem:
                raise DecodeError(
                    argument.problem,
                    expected=argument.expected,
                    column=argument.start + 1,
                )
        given = {a.field: a.value for a in arguments}
        if missing := still_required(shape.slots, given):
            raise DecodeError(
                f"{name}: {missing[0].field.name} is missing: "
                f"expected {shape.constructor.signature}",
                expected=tuple(slot.field.signature for slot in missing),
                column=len(text) + 1,
            )
        try:
            return shape.make(**{shape.slots[i].field.name: v for i, v in given.items()})
        except Exception as error:
            problem = f"{name}: refused: {shorten(message_of(error), 200)}"
            raise DecodeError(problem, expected=(shape.constructor.signature,), column=1) from error


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> DecodeError:
    column = len(data[: error.start].decode("utf-8")) + 1
    return DecodeError(
        f"byte {data[error.start]:#04x} at column {column} is no UTF-8: expected text in UTF-8",
        expected=("text in UTF-8",),
        column=column,
    )


# --- binding: which word goes into which field ------------------------------------------------


def find(words: Sequence[Word], constructors: Mapping[str, Constructor]) -> str:
    """The constructor that the first word names; raises `DecodeError` where it names none."""
    first = words[0] if words else Word("", 0, 0, 0)
    bare = not first.quoted and first.keyword is None
    if bare and first.text in constructors:
        return first.text
    signatures = tuple(one.signature for one in constructors.values())
    if not words:
        problem = "the input is empty"
    elif first.quoted:
        problem = f"{quote(shorten(first.text))} is text, not an input"
    else:
        problem = f"no input `{shorten(first.text if bare else f'{first.keyword}=')}`"
    hint = suggestion(first.text, constructors) if bare else ""
    raise DecodeError(
        f"{problem}: expected {', '.join(signatures)}{hint}",
        expected=signatures,
        column=first.start + 1,
    )


def bind(name: str, slots: Sequence[Slot], words: Sequence[Word]) -> list[Argument]:
    """Each word with its field: `field=` names it, other words fill what is free, in order.

    Args:
        name: of the constructor, for messages.
        slots: its fields.
        words: those behind the constructor.

    Returns:
        One argument a word, in order. Never raises; a problem stays in its argument.
    """
    arguments: list[Argument] = []
    taken: set[int] = set()
    for word in words:
        index, problem, expected = _field_of(name, slots, word, taken)
        if problem:
            arguments.append(Argument(word, index, None, problem, expected, misplaced=True))
        else:
            arguments.append(_argument(name, index, slots[index], word))
        taken.add(index)
    return arguments


def _field_of(
    name: str, slots: Sequence[Slot], word: Word, taken: set[int]
) -> tuple[int, str, tuple[str, ...]]:
    """The index of the field a word is for, or -1 with the problem and what was expected."""
    free = [index for index in range(len(slots)) if index not in taken]
    if word.keyword is None:
        if free:
            return free[0], "", ()
        signature = " ".join((name, *(slot.field.signature for slot in slots)))
        return -1, f"{name}: `{shorten(word.text)}` is one too many: expected {signature}", ()
    names = [slot.field.name for slot in slots]
    if word.keyword not in names:
        known = ", ".join(names) or "no fields"
        problem = (
            f"{name}: no field `{shorten(word.keyword)}`: expected {known}"
            f"{suggestion(word.keyword, names)} (in quotes it would be text)"
        )
        return -1, problem, tuple(slots[index].field.signature for index in free)
    index = names.index(word.keyword)
    if index in taken:
        left = tuple(slots[i].field.signature for i in free)
        problem = f"{name}: {word.keyword} is given twice: expected {', '.join(left) or 'no more'}"
        return index, problem, left
    return index, "", ()


def _argument(name: str, index: int, slot: Slot, word: Word) -> Argument:
    """A word read as its field's type says."""
    expected = (slot.field.signature,)
    where = f"{name}: {slot.field.name}"
    read = slot.type.text if word.quoted else slot.type.read
    got = f"the text {quote(shorten(word.text))}" if word.quoted else f"`{shorten(word.text)}`"
    problem = f"{where}: expected {slot.type.expected}, got {got}"
    if read is None:
        return Argument(word, index, None, f"{problem} (leave the quotes out)", expected)
    if word.flaw:
        return Argument(word, index, None, f"{where}: {word.flaw}", expected)
    try:
        return Argument(word, index, read(word.text))
    except REFUSALS as error:
        why = f": {message_of(error)}" if isinstance(error, msgspec.MsgspecError) else ""
        hint = suggestion(word.text, (*slot.type.choices, *slot.type.accepts))
        return Argument(word, index, None, f"{problem}{why}{hint}", expected)


def still_required(slots: Sequence[Slot], given: Mapping[int, object]) -> list[Slot]:
    """The fields that must still be given, in order."""
    return [s for index, s in enumerate(slots) if s.field.required and index not in given]


# --- showing ----------------------------------------------------------------------------------


def show(value: object, *, state: bool = False) -> str:
    """A value in the syntax of the codec: `Ok`, `Result 1`, `{"a": 1}`; text as it is.

    A `state` is not read back from it: its parts are as `jsonable` has them, but for `type`.
    Never raises: a value that cannot be shown is `<Type that cannot be shown: Error>`.

    >>> show({"a": [1, None]}), show("a text"), show(None)
    ('{"a": [1, null]}', 'a text', 'None')
    """
    try:
        kind: Any = type(value)
        if shape := _shape_shown(kind):
            if not shape.slots:
                return shape.constructor.name
            fields = ((getattr(value, s.field.name), s.type) for s in shape.slots)
            words = [word_for(field, kind, state=state) for field, kind in fields]
            return " ".join((shape.constructor.name, *words))
        if isinstance(value, str) and not isinstance(value, Enum):
            return value
        if isinstance(value, Enum) or kind in _WRITERS:
            return word_for(value, ANY)
        return _json_text(value, state=state)[0]
    except Exception as error:  # noqa: BLE001 - the user's value; an answer must not fail on it
        return unshowable(value, error)


@lru_cache(maxsize=MAX_CACHED_CLASSES)
def _shape_shown(kind: Any) -> Shape | None:
    return shape_of(kind, lenient=True) if is_record(kind) else None


def word_for(value: object, kind: WordType, *, state: bool = False) -> str:
    """A value as one word that a field of this type reads back.

    >>> word_for("x", TEXT), word_for("1", ANY), word_for(1, ANY)
    ('x', '"1"', '1')
    """
    if writer := _WRITERS.get(type(value)):
        return writer(value, kind)
    if isinstance(value, Enum):
        return value.name or quote(safe_repr(value))
    text, is_json = _json_text(value, state=state)
    return text if is_json or is_bare(text) else quote(text)


def _json_text(value: object, *, state: bool) -> tuple[str, bool]:
    """A value as printable JSON (true), or as text where JSON knows no better (false)."""
    try:
        plainly = not state or is_plain(value)
        shown = value if plainly else jsonable(value, tagged=False)
        data = msgspec.json.encode(shown, enc_hook=safe_repr)
    except Exception:  # noqa: BLE001 - keys or texts that JSON does not have
        data = msgspec.json.encode(jsonable(value, tagged=not state))
    if data.startswith(b'"'):
        return msgspec.json.decode(data, type=str), False
    text = str(msgspec.json.format(data, indent=0), "utf-8")
    return text if text.isprintable() else "".join(map(_escape_json, text)), True


def _escape_json(character: str) -> str:
    if character.isprintable():
        return character
    octets = character.encode("utf-16-be")
    return "".join(f"\\u{octets[i : i + 2].hex()}" for i in range(0, len(octets), 2))


def _text_word(value: Any, kind: WordType) -> str:
    if not is_bare(value):
        return quote(value)
    if kind is TEXT:
        return str(value)
    try:
        same = kind.read(value)
    except REFUSALS:
        return quote(value)
    return str(value) if type(same) is str and same == value else quote(value)


def _bytes_word(value: Any, kind: WordType) -> str:
    if kind is ANY:
        return _text_word(value.decode("utf-8", "backslashreplace"), ANY)
    text = value.decode("latin-1")  # as `BYTES` reads it
    return text if kind is BYTES and is_bare(text) else quote(text)


_WRITERS: Mapping[type, Callable[[Any, WordType], str]] = {
    str: _text_word,
    int: lambda value, _: str(value),
    float: lambda value, _: repr(value),
    bool: lambda value, _: "true" if value else "false",
    type(None): lambda _, __: "None",
    bytes: _bytes_word,
}
