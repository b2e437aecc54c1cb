"""Values as short JSON-ready data and texts, of which no part is a user's doing."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from ssm_cli.behaviour.sizes import cut
from ssm_cli.codec.json import jsonable
from ssm_cli.codec.words import quote, shorten
from ssm_cli.history.plain import (
    atom,
    elements,
    entries,
    fields,
    form_of,
    label_of,
    name_of_class,
    opened,
    size,
    spelled,
)

MOST_PARTS = 1000  # of a value that is outlined
MOST_DEEP = 16  # levels of it
MOST_TEXT_CHARACTERS = 1000  # of a text in it
MOST_NUMBER_BITS = 64  # of a number that is written as one
MORE = "…"  # the key, or the element, that says how many parts are left out


def outline(value: Any, most_parts: int = MOST_PARTS) -> Any:
    """Return a value as JSON-ready data, in the form of `codec.json.jsonable`, but with bounds.

    At most `most_parts` parts, `MOST_DEEP` levels, `MOST_TEXT_CHARACTERS` of a text; what is left
    out is counted under `…`. What cannot be looked at is its type in angle brackets. No code of a
    user's runs.

    >>> outline({"a": (1, None), 2: b"x"}), outline([1, 2, 3], 3), outline(len)
    ({'a': [1, None], '2': 'x'}, [1, '… 2 more'], '<builtin_function_or_method>')
    """
    return _Outline(most_parts).of(value, 0)


class _Outline:
    def __init__(self, left: int) -> None:
        self._left = left

    def of(self, value: Any, depth: int) -> Any:
        """Return a value as data; counts it."""
        self._left -= 1
        value = opened(value)
        form = form_of(value)
        if form.sort in {"enum", "standard"} and (text := label_of(value)):
            return cut(text, MOST_TEXT_CHARACTERS)
        if form.sort == "atom":
            return _atom(atom(value))
        if form.sort in {"enum", "standard", "opaque"}:
            return _type_of(value)
        if depth == MOST_DEEP:
            return f"{_type_of(value)} {MORE}"
        if form.sort in {"sequence", "set"} and not form.places:
            ordered = form.sort == "sequence" or size(value) > MOST_PARTS
            return self._list(value if ordered else sorted(elements(value), key=spelled), depth)
        found: dict[str, Any] = {}
        if form.sort != "mapping":
            found["type"] = shorten(name_of_class(type(value)))
        named = fields(value, form)
        self._fill(found, named.items(), len(named), depth)
        if form.sort == "mapping":
            self._fill(found, entries(value), size(value), depth)
        return found

    def _list(self, value: Any, depth: int) -> list[Any]:
        count = size(value)
        found: list[Any] = []
        for one in islice(elements(value), count):
            if self._left <= 1 and count - len(found) > 1:
                return [*found, f"{MORE} {count - len(found)} more"]
            found.append(self.of(one, depth + 1))
        return found

    def _fill(self, found: dict[str, Any], pairs: Any, count: int, depth: int) -> None:
        """Add named parts, as many as there is room for."""
        for done, (key, held) in enumerate(pairs):
            if self._left <= 1 and count - done > 1:
                found[MORE] = f"{count - done} more"
                return
            found[_key(key)] = self.of(held, depth + 1)


def _atom(value: Any) -> Any:
    match value:
        case str() | bytes() if len(value) > MOST_TEXT_CHARACTERS:
            rest = len(value) - MOST_TEXT_CHARACTERS
            return f"{jsonable(value[:MOST_TEXT_CHARACTERS])}{MORE} {rest} more"
        case int() if value.bit_length() > MOST_NUMBER_BITS:
            return f"<int of {value.bit_length()} bits>"
        case _:
            return jsonable(value)


def _key(key: Any) -> str:
    plain = atom(key)
    if type(plain) is str:
        return cut(str(jsonable(plain)), MOST_TEXT_CHARACTERS)
    return label_of(key) or spelled(key) or _type_of(key)


def _type_of(value: Any) -> str:
    return f"<{shorten(name_of_class(type(value)))}>"


def glimpse(value: Any, characters: int = 60) -> str:
    r"""Return a value on one line, printable, of at most so many characters.

    >>> glimpse({"a": [1, None]}), glimpse("two\nlines"), glimpse("x" * 99, 5), glimpse(None)
    ('{"a": [1, null]}', '"two\\nlines"', '"xxx…', 'None')
    """
    if value is None or value is True or value is False:
        return str(value)
    data = outline(value, characters)
    if isinstance(data, str):
        is_text = form_of(value).base in (str, bytes)
        return cut(quote(data[: characters + 1]), characters) if is_text else cut(data, characters)
    text = msgspec.json.format(msgspec.json.encode(data), indent=0).decode()
    return shorten(text, characters)
