"""The JSON codec, and values as JSON-ready data: `{"type": "Store", "key": "x", "value": 1}`.

The field `type` names the constructor; a field of that very name is spelled `type_`. A
constructor without fields may be given as a string, `"Ok"`. msgspec reads and writes the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Union

import msgspec

from ssm_cli.codec.schema import Shape, Slot, compile_inputs, is_record, members, shape_of
from ssm_cli.codec.whole import making_whole
from ssm_cli.codec.words import REFUSALS, reading_once, shorten, suggestion
from ssm_cli.errors import DecodeError, a_or_an, message_of

MAX_INPUT_BYTES = 1 << 20
MAX_REPR_CHARACTERS = 10_000
PLAIN = frozenset({str, int, bool, type(None)})
MOST_BITS = 14_280  # of a whole number that Python writes: 4,300 digits
MAX_DEPTH = 64  # levels of a value that `jsonable` goes down; below, it shows the repr
LEAVES = (str, int, float, bytes, bytearray, Enum, type(None))  # a union is made anew at each use

Decoder = Callable[[bytes], Any]
Encoder = Callable[[Any], bytes]
Reader = Callable[[Any], Any]


class DataCodec:
    """Inputs and outputs as tagged data in a format of msgspec's (JSON, MessagePack).

    With `inputs` None the data is the input. `decode` raises `DecodeError` only; `encode` does
    not raise: what cannot be encoded is encoded as `jsonable` shows it.
    """

    def __init__(self, inputs: Any, name: str, decode: Decoder, encode: Encoder) -> None:
        self._name = name
        self._decode = decode
        self._encode = encode
        self._shapes = {
            name: (shape, {spelling(s.field.name): _Read.of(s) for s in shape.slots})
            for name, shape in compile_inputs(inputs).items()
        }

    def decode(self, data: bytes) -> Any:
        """The input that `data` stands for; at most `MAX_INPUT_BYTES`."""
        check_size(data)
        try:
            decoded = self._decode(data)
        except REFUSALS as error:
            raise DecodeError(f"the input is not {self._name}: {message_of(error)}") from error
        return self._input(decoded) if self._shapes else decoded

    def encode(self, value: Any) -> bytes:
        """An output or a state: a constructor with its `type`, anything else as it is."""
        try:
            return self._encode(_tagged(value))
        except Exception:  # noqa: BLE001 - the user's value; shown in the next best way
            return self._encode_shown(value)

    def _encode_shown(self, value: Any) -> bytes:
        try:
            return self._encode(jsonable(value))
        except Exception as error:  # noqa: BLE001 - the same: an answer must not fail to be shown
            return self._encode(unshowable(value, error))

    def _input(self, decoded: Any) -> Any:
        given = {"type": decoded} if isinstance(decoded, str) else decoded
        name = given.get("type") if isinstance(given, dict) else None
        signatures = tuple(shape.constructor.signature for shape, _ in self._shapes.values())
        if not isinstance(given, dict) or not isinstance(name, str):
            raise DecodeError(
                'the input has no constructor: expected an object with a field "type", one of '
                f"{', '.join(self._shapes)}",
                expected=signatures,
            )
        if name not in self._shapes:
            raise DecodeError(
                f"no input `{shorten(name)}`: expected {', '.join(signatures)}"
                f"{suggestion(name, self._shapes)}",
                expected=signatures,
            )
        shape, readers = self._shapes[name]
        return _build(shape, readers, given)


class _Read(msgspec.Struct, frozen=True):
    """How one field is read from decoded data."""

    slot: Slot
    read: Reader

    @classmethod
    def of(cls, slot: Slot) -> _Read:
        return cls(slot, data_reader(slot.annotation))


def _build(shape: Shape, readers: Mapping[str, _Read], given: Mapping[Any, Any]) -> Any:
    """The constructor's value from the fields of an object."""
    name = shape.constructor.name
    signature = shape.constructor.signature
    values: dict[str, Any] = {}
    for key, data in given.items():
        if key == "type":
            continue
        if key not in readers:
            raise DecodeError(
                f"{name}: no field `{shorten(str(key))}`: expected {signature}"
                f"{suggestion(str(key), readers)}",
                expected=tuple(one.slot.field.signature for one in readers.values()),
            )
        one = readers[key]
        values[one.slot.field.name] = _value(name, key, one, data)
    for key, one in readers.items():
        if key not in given and one.slot.field.required:
            raise DecodeError(
                f"{name}: {key} is missing: expected {signature}",
                expected=(one.slot.field.signature,),
            )
    try:
        return shape.make(**values)
    except Exception as error:
        problem = f"{name}: refused: {shorten(message_of(error), 200)}"
        raise DecodeError(problem, expected=(signature,)) from error


def _value(constructor: str, key: str, one: _Read, data: Any) -> Any:
    try:
        return one.read(data)
    except REFUSALS as error:
        why = f": {message_of(error)}" if isinstance(error, msgspec.MsgspecError) else ""
        raise DecodeError(
            f"{constructor}: {key}: expected {one.slot.type.expected}, "
            f"got `{shorten(safe_repr(data))}`{why}",
            expected=(one.slot.field.signature,),
        ) from error


class JsonCodec(DataCodec):
    """Inputs and outputs as JSON."""

    def __init__(self, inputs: Any) -> None:
        encode = msgspec.json.Encoder(enc_hook=safe_repr).encode
        super().__init__(inputs, "JSON", reading_once(msgspec.json.Decoder().decode), encode)


_plainly = msgspec.json.Encoder().encode


def plainly_written(value: Any) -> bytes:
    """Return a value as JSON from which a worker's codec reads it again; nothing is left out.

    Raises:
        DecodeError: part of it has no form in JSON; says which type.

    >>> plainly_written({"a": (1, None)})
    b'{"a":[1,null]}'
    """
    try:
        return _plainly(_tagged(value))
    except Exception as error:
        raise DecodeError(
            f"{a_or_an(type(value).__name__)} is no JSON: {message_of(error)}"
        ) from error


def data_reader(annotation: Any) -> Callable[[Any], Any]:
    """How decoded JSON or MessagePack data becomes a value of a type; msgspec does the work.

    Enum members are taken by name as well as by value, at this level of the type.
    """
    enums = [p for p in members(annotation) if isinstance(p, type) and issubclass(p, Enum)]
    others = tuple(part for part in members(annotation) if part not in enums)
    if annotation in (Any, object):
        return lambda value: value
    if annotation in (str, int, bool):
        return partial(_plain, annotation)
    if not enums:
        return making_whole(annotation, partial(msgspec.convert, type=annotation, str_keys=True))
    table = {member.value: member for enum in reversed(enums) for member in enum}
    table |= {name: m for enum in reversed(enums) for name, m in enum.__members__.items()}

    def read(value: Any) -> Any:
        if isinstance(value, str | int | float) and value in table:
            return table[value]
        if others:
            return msgspec.convert(value, Union[others], str_keys=True)  # noqa: UP007 - a tuple
        raise ValueError(value)

    return making_whole(annotation, read)


def _plain(kind: type, value: Any) -> Any:
    """A value that mostly has its type already."""
    return value if type(value) is kind else msgspec.convert(value, kind)


def spelling(field: str) -> str:
    """How a field is spelled in data, where `type` names the constructor.

    >>> spelling("key"), spelling("type")
    ('key', 'type_')
    """
    return "type_" if field == "type" else field


def check_size(data: bytes) -> None:
    """Refuse an input that is longer than `MAX_INPUT_BYTES` with a `DecodeError`."""
    if len(data) > MAX_INPUT_BYTES:
        raise DecodeError(
            f"the input has {len(data)} bytes: expected at most {MAX_INPUT_BYTES} bytes (1 MiB); "
            f"split it, or send a reference to it"
        )


def _tagged(value: Any) -> Any:
    """A constructor as data with its `type`, one level deep; msgspec knows the rest."""
    if isinstance(value, Enum):
        return value.name
    return dict(_fields(value)) if is_record(type(value)) else value


def _fields(record: Any) -> Iterable[tuple[str, Any]]:
    kind: Any = type(record)
    constructor = shape_of(kind, lenient=True).constructor
    yield "type", constructor.name
    for field in constructor.fields:
        yield spelling(field.name), getattr(record, field.name)


def jsonable(value: object, *, tagged: bool = True) -> object:
    """A value as JSON-ready data, for records; never raises.

    Constructors become objects, where `tagged` with their `type`, enum members their name, sets
    sorted lists, keys text (`shown_keys`); what JSON does not have (and what is nested deeper than
    `MAX_DEPTH`) becomes its repr, at most `MAX_REPR_CHARACTERS`.

    >>> jsonable({"a": (1, None), 2: b"x"})
    {'a': [1, None], '2': 'x'}
    """
    try:
        return _jsonable(value, MAX_DEPTH, tagged)
    except Exception as error:  # noqa: BLE001 - the user's value; a record must not fail on it
        return unshowable(value, error)


def _jsonable(value: Any, depth: int, tagged: bool) -> object:
    if isinstance(value, LEAVES):
        return _leaf(value)
    if depth == 0:
        return safe_repr(value)
    if is_record(type(value)) and (tagged or not isinstance(value, tuple)):
        fields = [*_fields(value)][not tagged :]
        return {key: _jsonable(item, depth - 1, tagged) for key, item in fields}
    if isinstance(value, Mapping):
        items = [_jsonable(item, depth - 1, tagged) for item in value.values()]
        return dict(zip(shown_keys(value), items, strict=True))
    if isinstance(value, set | frozenset):  # without order; a record is the same in every run
        value = sorted(value, key=safe_repr)
    if isinstance(value, list | tuple):
        return [_jsonable(item, depth - 1, tagged) for item in value]
    return _scalar(value)


def is_plain(value: Any) -> bool:
    """Return whether msgspec writes each part of a value as `jsonable` shows it.

    It does not for NaN, bytes, members of enums, sets, and keys that are no text.

    >>> is_plain({"a": [1, None]}), is_plain({1: "a"}), is_plain([float("nan")])
    (True, False, False)
    """
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is float:
        return math.isfinite(value)
    if kind is list or kind is tuple:
        return {*map(type, value)} <= PLAIN or all(map(is_plain, value))
    if kind is dict:
        return {*map(type, value)} <= {str} and is_plain([*value.values()])
    return is_record(kind) and all(is_plain(item) for _, item in _fields(value))


def _leaf(value: Any) -> object:
    match value:
        case Enum():
            return value.name or safe_repr(value)
        case str():
            return _clean(value)
        case float():
            return float(value) if math.isfinite(value) else str(value)
        case bytes() | bytearray():
            return value.decode("utf-8", "backslashreplace")
        case bool() | None:
            return value
        case _:
            return int(value) if value.bit_length() < MOST_BITS else safe_repr(value)


def _scalar(value: object) -> object:
    """Dates, ids and decimals as msgspec writes them; any other object as its repr."""
    try:
        data = msgspec.to_builtins(value)
    except REFUSALS:
        return safe_repr(value)
    return data if isinstance(data, str | int | float) else safe_repr(value)


def shown_keys(mapping: Mapping[Any, Any]) -> list[str]:
    """Return the text of each key; of keys that look alike, the later ones have their repr.

    >>> shown_keys({1: "a", "1": "b", "x": "c"})
    ['1', "'1'", 'x']
    """
    keys = [_key(key) for key in mapping]
    if len({*keys}) == len(keys):
        return keys
    taken = set()
    for index, key in enumerate(mapping):
        if keys[index] in taken:
            keys[index] = safe_repr(key)
        while keys[index] in taken:
            keys[index] += "'"
        taken.add(keys[index])
    return keys


def _key(key: object) -> str:
    return str(_leaf(key)) if isinstance(key, LEAVES) else safe_repr(key)


def _clean(text: str) -> str:
    """Text that UTF-8 can carry: half a surrogate pair is shown as its escape."""
    return str(text.encode("utf-8", "backslashreplace"), "utf-8")


def safe_repr(value: object) -> str:
    """The repr, at most `MAX_REPR_CHARACTERS`; never raises.

    >>> safe_repr([1]), len(safe_repr("x" * 20_000))
    ('[1]', 10000)
    """
    try:
        text = _clean(repr(value))
    except Exception as error:  # noqa: BLE001 - the user's repr; shown as what it is
        return unshowable(value, error)
    if len(text) <= MAX_REPR_CHARACTERS:
        return text
    return text[: MAX_REPR_CHARACTERS - 1] + "…"


def unshowable(value: object, error: BaseException) -> str:
    """What stands for a value that cannot be shown.

    >>> unshowable(1, KeyError("x"))
    '<int that cannot be shown: KeyError>'
    """
    return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
