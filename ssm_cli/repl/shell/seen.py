"""Keys seen before: the words of inputs and replies that a later input may want again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ssm_cli.codec.port import Constructor
from ssm_cli.codec.words import tokenize

KEPT = 200  # words remembered of each worker; those not used for longest go
DEPTH = 3  # how far into a reply words are looked for
WORD_CHARACTERS = 60  # a longer one would not be chosen from a menu


class Seen:
    """The words of each worker, the last one used first."""

    def __init__(self) -> None:
        self._words: dict[str, dict[str, None]] = {}

    def note_input(self, worker: str, text: str, constructors: tuple[Constructor, ...]) -> None:
        """Remember the words that were given for fields of text."""
        words = tokenize(text)
        found = [one for one in constructors if words and one.name == words[0].text]
        for field, word in zip(found[0].fields if found else (), words[1:], strict=False):
            if field.type.startswith("str") and word.keyword is None:
                self._add(worker, word.text)

    def note_reply(self, worker: str, value: object) -> None:
        """Remember the texts in a reply: elements, keys of mappings, values of fields."""
        for word in _texts(value, DEPTH):
            self._add(worker, word)

    def words(self, worker: str, beginning: str) -> list[str]:
        """The words that begin so, the last one used first."""
        kept = reversed(self._words.get(worker, {}))
        return [word for word in kept if word.startswith(beginning)]

    def _add(self, worker: str, word: str) -> None:
        if not word.isidentifier() or len(word) > WORD_CHARACTERS:
            return
        words = self._words.setdefault(worker, {})
        words.pop(word, None)
        words[word] = None
        if len(words) > KEPT:
            del words[next(iter(words))]


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict):
        for key, part in list(value.items())[:KEPT]:
            if key != "type":
                yield from () if "type" in value else (str(key),)
                yield from _texts(part, depth - 1)
    elif depth and isinstance(value, list):
        for part in value[:KEPT]:
            yield from _texts(part, depth - 1)
