"""PATH: which part of a value is meant, as `held.acc16`, `holds["1726"].count` or `items[3]`."""

from __future__ import annotations

import ast
from typing import Any

import msgspec

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.words import shorten, suggestion
from ssm_cli.errors import CommandError
from ssm_cli.history.grammar import (
    MOST_CHARACTERS,
    MOST_LEVELS,
    MOST_STEPS,
    BadExpr,
    Spelling,
    check_name,
    is_plain_name,
    key_of,
)
from ssm_cli.history.plain import (
    form_of,
    keyed,
    name_of_class,
    named,
    part_names,
    size,
    spelled,
)

ALLOWED = '`name.name`, `name["key"]` or `name[3]`, and `.` for the whole'
MOST_NAMED = 8  # parts that an error lists
SHORT = 200  # characters of a path that is read in any case, unless its keys hold others


class NoSuchPart(CommandError):
    """A value has no such part: a field, a key or an index that is not there."""


class Named(msgspec.Struct, frozen=True):
    """`.name`: a field, or else an entry whose key is that text."""

    name: str

    def of(self, value: Any) -> Any:
        """Return that part of a value, or `NOTHING`."""
        return named(value, self.name)

    def __str__(self) -> str:
        return f".{self.name}"


class Keyed(msgspec.Struct, frozen=True):
    """`[key]`: an entry, an element by its index, an element of a set, or a field by its name."""

    key: Any

    def of(self, value: Any) -> Any:
        """Return that part of a value, or `NOTHING`."""
        return keyed(value, self.key)

    def __str__(self) -> str:
        return f"[{spelled(self.key)}]"


Step = Named | Keyed


class Path(msgspec.Struct, frozen=True):
    """The way to a part of a value, step by step; none is the whole value.

    >>> str(parse_path(' holds["1726"].count ')), str(parse_path("."))
    ('holds["1726"].count', '.')
    """

    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        text = "".join(map(str, self.steps))
        return "." if not text else text.removeprefix(".")

    def __truediv__(self, step: Step) -> Path:
        return Path((*self.steps, step))

    def find(self, value: Any) -> Any:
        """Return the part of a value, or `NOTHING` where it has none such.

        >>> parse_path("a[1]").find({"a": [1, 2]}), parse_path("b").find({})
        (2, NOTHING)
        """
        for step in self.steps:
            value = step.of(value)
            if value is NOTHING:
                return NOTHING
        return value

    def of(self, value: Any) -> Any:
        """Return the part of a value.

        Raises:
            NoSuchPart: it has none such; names what there is, and what was probably meant.
        """
        for index, step in enumerate(self.steps):
            part = step.of(value)
            if part is NOTHING:
                raise NoSuchPart(no_part(str(Path(self.steps[:index])), str(step), value))
            value = part
        return value


def parse_path(text: str) -> Path:
    """Return the path that a text spells.

    Raises:
        BadExpr: it spells none, with the column and what was expected there.

    >>> parse_path("held.acc16").find({"held": {"acc16": 11300}})
    11300
    """
    text = text.strip()
    if text in {"", "."}:
        return Path()
    spelling = Spelling(text, "PATH", ALLOWED, "_" if text.startswith("[") else "_.")
    node: ast.expr = spelling.tree()
    steps: list[Step] = []
    while not isinstance(node, ast.Name):
        if len(steps) == MOST_LEVELS:
            raise spelling.wrong(f"expected at most {MOST_LEVELS} steps", node)
        match node:
            case ast.Attribute(value=inner, attr=name):
                steps.append(Named(check_name(spelling, name, node)))
            case ast.Subscript(value=inner, slice=key):
                steps.append(Keyed(key_of(spelling, key)))
            case _:
                raise spelling.refused(f"`{shorten(spelling.of(node))}`", node)
        node = inner
    return Path(tuple(reversed(steps)))


def is_readable(path: Path) -> bool:
    """Return whether a path is read back from what it is written as."""
    text = str(path)
    if len(text) < SHORT and len(path.steps) < MOST_STEPS and "(" not in text:
        return True
    if len(text) > MOST_CHARACTERS or len(path.steps) > MOST_STEPS:
        return False
    try:
        parse_path(text)
    except BadExpr:
        return False
    return True


def named_or_keyed(name: str) -> Step:
    """Return the step to a field, as it is written.

    >>> str(named_or_keyed("held")), str(named_or_keyed("from"))
    ('.held', '["from"]')
    """
    return Named(name) if is_plain_name(name) else Keyed(name)


def no_part(place: str, step: str, value: Any) -> str:
    """Return the complaint that a value, the part at `place` of another, has no part `step`.

    >>> no_part("holds", ".cout", {"count": 3})
    '`holds` has no .cout; it has count; did you mean `count`?'
    """
    wanted = step.strip('.[]"')
    there = part_names(value)
    where = "the value" if place == "." else f"`{shorten(place)}`"
    count = size(value)
    if there:
        known = ", ".join(shorten(name) for name in there[:MOST_NAMED])
        has = f"it has {known}{', …' if len(there) > MOST_NAMED else ''}"
    elif count >= 0 and form_of(value).sort != "atom":
        has = f"it has {count} elements"
    else:
        has = f"it is of type {shorten(name_of_class(type(value)))}"
    return f"{where} has no {shorten(step)}; {has}{suggestion(wanted, there)}"
