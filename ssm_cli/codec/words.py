"""A line of text as words, and what a word may stand for: the one grammar of prompt and codec.

A word is bare (`x`, `-1`, `it's`), quoted with `"` or `'`, or JSON in brackets (`[1, 2]`,
`{"a": 1}`); `name=` before it makes it a keyword. Quotes and brackets count at the beginning of
a word only, a backslash inside quotes only, so that paths and prose need no escapes.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ssm_cli.errors import message_of

MAX_SHOWN_CHARACTERS = 60  # of a word in an error message

_WORD_START = re.compile(r"\S")
_REST_OF_WORD = re.compile(r"\S*")
_KEYWORD = re.compile(r"([^\W\d]\w*)=")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|["\[\]{}]', re.DOTALL)
_QUOTED = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*", re.DOTALL) for quote in "\"'"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"'}


class RepeatedKey(ValueError):
    """JSON says something twice."""


def reading_once(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a reader of JSON (text, or bytes) that refuses an object with a key twice.

    The one way from JSON that somebody wrote to its value: what can be read in two ways is refused.
    A text with no more colons than the value has keys repeats none; any other is read once more.

    Raises:
        RepeatedKey: by what is returned; or what `decode` raises.

    >>> reading_once(msgspec.json.decode)('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ssm_cli.codec.words.RepeatedKey: the key `a` is there twice
    """

    def read(text: Any) -> Any:
        found = decode(text)
        colons = text.count(":" if type(text) is str else b":")
        if colons and (type(found) is not dict or colons > len(found)):
            json.loads(text, object_pairs_hook=_once, parse_int=str)
        return found

    return read


json_of = reading_once(msgspec.json.decode)


def _once(pairs: list[tuple[str, Any]]) -> None:
    keys = set()
    for key, _ in pairs:
        if key in keys:
            raise RepeatedKey(f"the key `{key[:40]}` is there twice")
        keys.add(key)


class Word(msgspec.Struct, frozen=True):
    """One word of a line.

    Attributes:
        text: what it says, without quotes, escapes and keyword.
        start: offset of its first character (that of the keyword, if there is one).
        end: offset behind its last character.
        value_start: offset at which its value begins, behind `name=`.
        keyword: the name before `=`, or None.
        quoted: it was in quotes, so it is text and nothing else.
        flaw: what is wrong with it; empty where nothing is.
        unfinished: the flaw goes away if the rest is typed (a quote, a bracket).
    """

    text: str
    start: int
    end: int
    value_start: int
    keyword: str | None = None
    quoted: bool = False
    flaw: str = ""
    unfinished: bool = False


class WordType(msgspec.Struct, frozen=True):
    """What a field admits, as functions of a word.

    Attributes:
        words: the type as signatures spell it, `int|None`.
        expected: the same for an error message, `an integer or None`.
        read: a bare word to its value; raises ValueError (or a kin that `REFUSALS` names).
        text: a quoted word to its value; None where the type admits no text.
        grows: whether a bare word that cannot be read may become readable if typed on.
        choices: the words to complete with.
        accepts: further words that `read` takes (the values of an enum).
        rank: in a union the lower rank is tried first; text (`TEXT_RANK`), which takes every
            word, comes late for bare words and first for quoted ones.
    """

    words: str
    expected: str
    read: Callable[[str], Any]
    text: Callable[[str], Any] | None = None
    grows: Callable[[str], object] = bool
    choices: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    rank: int = 5


TEXT_RANK = 7
REFUSALS = (ValueError, TypeError, OverflowError, RecursionError)


def tokenize(text: str, most: int | None = None) -> tuple[Word, ...]:
    r"""The words of a line, in order, or the first `most` of them.

    Never raises: what is wrong is the `flaw` of a word.

    >>> [word.text for word in tokenize('Store "a key" value=[1, 2]')]
    ['Store', 'a key', '[1, 2]']
    >>> tokenize("'a")[0].flaw
    "the quote is not closed: expected '"
    """
    words: list[Word] = []
    at = 0
    while (most is None or len(words) < most) and (match := _WORD_START.search(text, at)):
        words.append(_word_at(text, match.start()))
        at = words[-1].end
    return tuple(words)


def _word_at(text: str, start: int) -> Word:
    """The word that begins at `start`."""
    match = _KEYWORD.match(text, start)
    keyword, at = (match[1], match.end()) if match else (None, start)
    opener = text[at : at + 1]
    if opener and opener in "\"'":
        value, end, flaw, unfinished = _quoted_at(text, at)
    elif opener and opener in "[{":
        value, end, flaw, unfinished = _json_at(text, at)
    else:
        end = _end_of_word(text, at)
        value, flaw, unfinished = text[at:end], "", False
    if not flaw and (rest := _end_of_word(text, end)) > end:
        flaw = f"a space is missing after `{shorten(text[at:end])}`"
        end = rest
    return Word(value, start, end, at, keyword, opener in {'"', "'"}, flaw, unfinished)


def _end_of_word(text: str, at: int) -> int:
    """The offset of the next white space, or of the end."""
    match = _REST_OF_WORD.match(text, at)
    return match.end() if match else at


def _quoted_at(text: str, at: int) -> tuple[str, int, str, bool]:
    """Value, end, flaw and whether it is unfinished, of the quoted word at `at`."""
    quote = text[at]
    match = _QUOTED[quote].match(text, at + 1)
    end = match.end() if match else at + 1
    if end == len(text) or text[end] != quote:
        return text[at + 1 :], len(text), f"the quote is not closed: expected {quote}", True
    try:
        return unescape(text[at + 1 : end]), end + 1, "", False
    except ValueError as error:
        return text[at + 1 : end], end + 1, message_of(error), False


def _json_at(text: str, at: int) -> tuple[str, int, str, bool]:
    """The same for a word in brackets, which ends where its first bracket is closed."""
    depth = 0
    for match in _BRACKET.finditer(text, at):
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        elif match[0] == '"':
            break
        if depth == 0:
            return text[at : match.end()], match.end(), "", False
    closing = "]" if text[at] == "[" else "}"
    flaw = f"the bracket is not closed: expected {closing} (in quotes it would be text)"
    return text[at:], len(text), flaw, True


def unescape(text: str) -> str:
    r"""Text inside quotes with its escapes resolved: `\" \' \\ \n \t \r \0 \xNN \uNNNN \UNNNNNNNN`.

    Surrogate pairs become one character, as in JSON. Raises ValueError on an unknown escape and
    on half a pair, which no UTF-8 could carry further.

    >>> unescape(r"a\tb\x41\ud83d\ude00") == "a\tbA😀"
    True
    """
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_unescape_one, text)
    try:
        return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ValueError("half of a surrogate pair: expected \\uD8xx\\uDCxx together") from error


def _unescape_one(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        try:
            return chr(int(code[1:], 16))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"\\{code} is no character: expected at most \\U0010FFFF") from error
    if code not in _LETTERS:
        raise ValueError(
            f"unknown escape \\{code}: expected \\\" \\' \\\\ \\n \\t \\r \\0 \\xNN \\uNNNN; "
            f"double the backslash to mean it"
        )
    return _LETTERS[code]


def quote(text: str) -> str:
    r"""Text as a quoted word; what is not printable is escaped, so it is safe on a terminal.

    >>> print(quote('say "hi"\n'))
    "say \"hi\"\n"
    """
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escape_one, text)) + '"'


def _escape_one(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    return character if character.isprintable() else escape(character)


def escape(character: str) -> str:
    r"""One character as `\xNN`, `\uNNNN` or `\UNNNNNNNN`.

    >>> print(escape("\x1b"), escape("\u2028"))
    \x1b \u2028
    """
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_bare(text: str) -> bool:
    """Whether text can stand as a bare word: the tokenizer would give it back as it is.

    >>> [is_bare(text) for text in ("x", "it's", "a key", "", "[1", "a=b")]
    [True, True, False, False, False, False]
    """
    return (
        text.isprintable()
        and " " not in text
        and text[:1] not in {"", '"', "'", "[", "{"}
        and not _KEYWORD.match(text)
    )


def shorten(text: str, characters: int = MAX_SHOWN_CHARACTERS) -> str:
    """Text for a message: printable, at most so many characters.

    >>> shorten("abcdef", 4)
    'abc…'
    """
    short = text if len(text) <= characters else f"{text[: characters - 1]}…"
    return short if short.isprintable() else "".join(map(_escape_one, short))


def suggestion(word: str, options: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the option nearest to a word; "" if none is near.

    >>> suggestion("store", ["Lookup", "Store"])
    '; did you mean `Store`?'
    """
    known = {option.lower(): option for option in options}
    close = difflib.get_close_matches(word[:MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    return f"; did you mean `{known[close[0]]}`?" if close else ""


def starts(*options: str) -> Callable[[str], object]:
    """Whether a word is the beginning of one of the options, as a function of the word."""
    return lambda word: any(option.startswith(word) for option in options)


def union_of(parts: Sequence[WordType]) -> WordType:
    """What any of several types admits, tried by `rank`: the particular before the general.

    >>> text = WordType("str", "text", str, rank=7)
    >>> number = WordType("int", "an integer", int, rank=2)
    >>> union_of([text, number]).read("1"), union_of([text, number]).expected
    (1, 'text or an integer')
    """
    if len(parts) == 1:
        return parts[0]
    ranked = sorted(parts, key=lambda part: part.rank)
    quoted = sorted(ranked, key=lambda part: part.rank != TEXT_RANK)  # in quotes it is text
    texts = [part.text for part in quoted if part.text]
    most = [part.expected for part in parts[:-1]]
    return WordType(
        "|".join(part.words for part in parts),
        f"{', '.join(most)} or {parts[-1].expected}",
        partial(_first_of, tuple(part.read for part in ranked)),
        partial(_first_of, tuple(texts)) if texts else None,
        lambda word: any(part.grows(word) for part in parts),
        tuple(choice for part in parts for choice in part.choices),
        tuple(word for part in parts for word in part.accepts),
        ranked[-1].rank,
    )


def _first_of(readers: Sequence[Callable[[str], Any]], word: str) -> Any:
    for read in readers:
        try:
            return read(word)
        except REFUSALS:
            continue
    raise ValueError(word)


def choice_type(
    words: str, options: Mapping[str, Any], also: Mapping[str, Any] | None = None
) -> WordType:
    """One of several named values; `also` are words that are taken but not offered.

    >>> choice_type("fast|slow", {"fast": 1, "slow": 2}).read("slow")
    2
    """
    more = {word: value for word, value in (also or {}).items() if word not in options}
    table = {**more, **options}
    quoted = {w: v for w, v in table.items() if isinstance(getattr(v, "value", v), str)}
    return WordType(
        words,
        f"one of {', '.join(options)}" if len(options) != 1 else next(iter(options)),
        partial(_pick, table),
        partial(_pick, quoted) if quoted else None,
        starts(*table),
        tuple(options),
        tuple(more),
        rank=4,
    )


def _pick(table: Mapping[str, Any], word: str) -> Any:
    if word not in table:
        raise ValueError(word)
    return table[word]
