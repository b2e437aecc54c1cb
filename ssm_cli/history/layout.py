"""Python source laid out as a formatter would: on one line where it fits, else one item a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, Union

COLUMNS = 100
INDENT = 4


class Group(NamedTuple):
    """Items in brackets, each behind a text of its own: `name=`, `"key": `, nothing.

    `alone` stands behind a single item on one line: the comma of a tuple of one.
    """

    begin: str
    items: Sequence[tuple[str, Source]]
    end: str
    alone: str = ""


class Pieces(NamedTuple):
    """A literal of a text or bytes, and the shorter ones that make it up where it is too long."""

    whole: str
    parts: Sequence[str]


Source: TypeAlias = Union[str, Group, Pieces]  # noqa: UP007 - the names stand for classes below


def flat(source: Source) -> str:
    """Return source on one line.

    >>> flat(Group("f(", [("", "1"), ("b=", Group("(", [("", "2")], ")", ","))], ")"))
    'f(1, b=(2,))'
    """
    if isinstance(source, str):
        return source
    if isinstance(source, Pieces):
        return source.whole
    inside = ", ".join(f"{label}{flat(item)}" for label, item in source.items)
    alone = source.alone if len(source.items) == 1 else ""
    return f"{source.begin}{inside}{alone}{source.end}"


def laid_out(source: Source, *, indent: int, before: str = "", after: str = "") -> str:
    """Return source between two texts, of lines of `COLUMNS` where brackets can be broken.

    Args:
        source: what is laid out.
        indent: columns before the first text.
        before: what stands before it on its first line.
        after: what stands behind it on its last line.
    """
    line = f"{' ' * indent}{before}{flat(source)}{after}"
    if len(line) <= COLUMNS or isinstance(source, str):
        return line
    inner = indent + INDENT
    if isinstance(source, Pieces):
        lines = [f"{' ' * inner}{part}" for part in source.parts]
        return "\n".join([f"{' ' * indent}{before}(", *lines, f"{' ' * indent}){after}"])
    if not source.items:
        return line
    items = [laid_out(item, indent=inner, before=label, after=",") for label, item in source.items]
    begin = f"{' ' * indent}{before}{source.begin}"
    return "\n".join([begin, *items, f"{' ' * indent}{source.end}{after}"])
