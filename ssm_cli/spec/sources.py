"""Lines of source: of the text that code was compiled from, whatever its file has by now.

Code does not know its text. It is looked for when a line is asked for: of the texts that were run
of a file, and the one that is there now, it is one that compiles to the same code. Where none does,
there is no line, rather than that of another text.
"""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import decode_source
from types import CodeType

import msgspec

from ssm_cli.spec.importing import texts_run

MOST_FILES = 64  # whose text of now is kept compiled


class Text(msgspec.Struct, frozen=True, eq=False):
    """The lines of a text, as they are in `linecache`, and all code that it compiles to."""

    lines: Sequence[str]
    codes: frozenset[CodeType]


_now: dict[str, Text] = {}


def line_at(code: CodeType, number: int) -> str:
    """Return a line of the text of some code, without the space around it; "" for an unknown one.

    >>> line_at(line_at.__code__, line_at.__code__.co_firstlineno)
    'def line_at(code: CodeType, number: int) -> str:'
    """
    file = code.co_filename
    if file.startswith("<"):  # typed, or a doctest: nobody edits it
        return linecache.getline(file, number).strip()
    for text in texts_of(file):
        if code in text.codes:
            return text.lines[number - 1].strip() if 0 < number <= len(text.lines) else ""
    return ""


def texts_of(file: str) -> Iterator[Text]:
    """Yield the text that a file has now, and those that were run of it, newest first."""
    linecache.checkcache(file)
    lines, known = linecache.getlines(file), _now.get(file)
    if known is None or known.lines is not lines:
        while len(_now) >= MOST_FILES:
            del _now[next(iter(_now))]
        known = _now[file] = Text(lines, codes_of("".join(lines), file))
    yield known
    for data in reversed(texts_run(file)):
        yield text_run(data, file)


@lru_cache(MOST_FILES)
def text_run(data: bytes, file: str) -> Text:
    """Return a text that was run of a file."""
    return Text(decode_source(data).splitlines(), codes_of(data, file))


def codes_of(text: str | bytes, file: str) -> frozenset[CodeType]:
    """Return all code in a text, by value; none if it is no Python (any more)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = [compile(text, file, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    for code in made:  # it grows
        made += [inner for inner in code.co_consts if type(inner) is CodeType]
    return frozenset(made)
