"""Texts of a page: each stands in it once, and all of them have a bound in bytes."""

from __future__ import annotations

from msgspec import UNSET

from ssm_cli.history.page.escape import as_json

TEXT_CHARACTERS = 4_000
"""How much of one text is kept; how much was left out stands behind it."""


class Texts:
    """Texts by number, in the order in which they came; number 0 is the empty text.

    Attributes:
        kept: the texts, cut to `TEXT_CHARACTERS`.
        spent_bytes: what they take in the page, with all that was charged.
    """

    def __init__(self) -> None:
        self.kept = [""]
        self.spent_bytes = 0
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a text; a new one is kept and charged.

        >>> texts = Texts()
        >>> texts.number("Ok"), texts.number(""), texts.number("Ok"), texts.spent_bytes
        (1, 0, 1, 5)
        """
        cut = text if len(text) <= TEXT_CHARACTERS else cut_off(text)
        found = self._numbers.get(cut)
        if found is None:
            found = self._numbers[cut] = len(self.kept)
            self.kept.append(cut)
            self.spent_bytes += len(as_json(cut)) + 1
        return found

    def value(self, value: object) -> int:
        """Return the number of a value as JSON; 0 stands for no value."""
        return 0 if value is UNSET else self.number(as_text(value))

    def charge(self, spent_bytes: int) -> None:
        """Count bytes that something other than a text takes."""
        self.spent_bytes += spent_bytes


def cut_off(text: str) -> str:
    """Return the beginning of a long text, and say how much was left out."""
    return f"{text[:TEXT_CHARACTERS]}… ({len(text) - TEXT_CHARACTERS:,} more characters)"


def as_text(value: object) -> str:
    """Return a value as a person reads it: JSON, with letters of any alphabet as they are.

    >>> as_text({"a": [1, None]}), as_text("é"), as_text(-4.5)
    ('{"a": [1, null]}', '"é"', '-4.5')
    """
    return as_json(value, readable=True)
