"""What a terminal sends, cut into whole keys, however a slow link has cut it.

Theory of operation. A terminal sends a key as a sequence of bytes that begins with Esc, and a link
may deliver its parts seconds apart. A sequence that has begun is therefore held until it is whole;
one that nobody knows is dropped, so that no part of it is ever typed. Esc alone is a key as well: a
pause lets it through, and what looks like the rest of a sequence directly after it is taken for
that. A paste is one key, from its start to its end, with the answers of the terminal taken out that
came in the middle of it.
"""

from __future__ import annotations

import re

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES

PASTE_CHARACTERS = 16 * 1024 * 1024  # of a paste; what is more is cut off, and so it is refused
SPLIT_S = 1.0  # after Esc alone, the rest of a sequence may still come for so long
HELD_CHARACTERS = 4096  # of a sequence; a longer one is none

START, END = "\x1b[200~", "\x1b[201~"
_SEQUENCE = re.compile(
    r"\x1b\x1b?(?:\[M...|\[\[.|\[[0-?]*[ -/]*[@-~]|O.|[\]PX^_][^\x00-\x1f]*(?:\x07|\x1b\\))",
    re.DOTALL,
)
_BEGUN = re.compile(
    r"\x1b\x1b?(?:\[(?:M.{0,2}|\[|[0-?]*[ -/]*)?|O|[\]PX^_][^\x00-\x1f]*\x1b?)?\Z", re.DOTALL
)
_FUNCTION = "ABCDFHPQRS"  # the last letters of keys that terminals send as Esc O and a letter
_REST = re.compile(rf"\[|O(?:[{_FUNCTION}]|\Z)")  # what may follow an Esc that was let through
_ANSWER = re.compile(r"\x1b\[(?:\d+;\d+R|<\d+;\d+;\d+[Mm])")
_KNOWN = re.compile(r"\x1b\[(?:\d+;\d+R|<?\d+;\d+;\d+[Mm]|M...)", re.DOTALL)


class Sequences:
    r"""The state between two reads.

    >>> keys = Sequences()
    >>> keys.feed("a\x1b[", 0.0), keys.feed("Ab", 0.3), keys.feed("\x1b[9;9Zc", 0.4)
    ([('keys', 'a')], [('keys', '\x1b[A'), ('keys', 'b')], [('keys', 'c')])
    >>> keys.feed("\x1b[200~one\ntwo\x1b[20", 0.5), keys.feed("1~", 0.9)
    ([], [('paste', 'one\ntwo')])
    """

    def __init__(self) -> None:
        self._held = ""
        self._escaped_s = float("-inf")
        self._is_late = False  # what is held began with an Esc that was let through
        self._pasted: list[str] | None = None
        self._pasted_characters = 0

    def feed(self, text: str, now_s: float) -> list[tuple[str, str]]:
        """Return the whole keys: `keys` for what is typed or one sequence, and `paste`."""
        if self._is_late and self._held == "\x1bO" and text and text[0] not in _FUNCTION:
            self._held = "O"  # a letter after all
        if now_s - self._escaped_s < SPLIT_S and _REST.match(text):
            self._held, self._is_late = "\x1b", True
        elif text:
            self._is_late = False
        if text:
            self._escaped_s = float("-inf")
        text, self._held = self._held + text, ""
        found: list[tuple[str, str]] = []
        while text:
            text = self._paste(text, found) if self._pasted is not None else self._key(text, found)
        return found

    def pause(self, now_s: float) -> list[tuple[str, str]]:
        """Return the key that a pause ends: Esc alone. What else has begun is held on."""
        if self._held.strip("\x1b") or not self._held:
            return []
        keys, self._held, self._escaped_s = self._held, "", now_s
        return [("keys", keys)]

    def _key(self, text: str, found: list[tuple[str, str]]) -> str:
        """Take one sequence, or what is before the next; return what is left."""
        at = text.find("\x1b")
        if at:
            found.append(("keys", text if at < 0 else text[:at]))
            return "" if at < 0 else text[at:]
        whole = _SEQUENCE.match(text)
        if whole is None and _BEGUN.match(text) and len(text) < HELD_CHARACTERS:
            self._held = text
            return ""
        if whole is None:  # Esc and a character: Alt and that one
            end = 1 if text[1:2] == "\x1b" else 2
            found.append(("keys", text[:end]))
            return text[end:]
        if whole[0] == START:
            self._pasted, self._pasted_characters = [], 0
        elif whole[0] in ANSI_SEQUENCES or _KNOWN.fullmatch(whole[0]):
            found.append(("keys", whole[0]))
        return text[whole.end() :]

    def _paste(self, text: str, found: list[tuple[str, str]]) -> str:
        """Take what is pasted, up to the end if it is there; return what is behind that."""
        assert self._pasted is not None, "a paste has begun"
        before, end, behind = text.partition(END)
        if text == "\x03":  # Ctrl-C: the end was lost
            self._pasted = None
            return ""
        if not end:
            before, self._held = _without_tail(before)
        if self._pasted_characters <= PASTE_CHARACTERS:
            self._pasted.append(before)
            self._pasted_characters += len(before)
        if end:
            found.append(("paste", _ANSWER.sub("", "".join(self._pasted))))
            self._pasted = None
        return behind


def _without_tail(text: str) -> tuple[str, str]:
    """A text, and what at its end may be the beginning of the end of a paste."""
    at = text.rfind("\x1b", -len(END) + 1)
    return (text[:at], text[at:]) if at >= 0 and END.startswith(text[at:]) else (text, "")
