"""The texts of PATH and EXPR as syntax trees of Python's, which are looked at and never run.

Python's own parser reads them, so that quotes, numbers and precedence are as everybody knows them.
What of its syntax is meant is up to `paths` and `expr`; all else is refused with its column.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import unicodedata
import warnings
from typing import Any

from ssm_cli.codec.words import shorten
from ssm_cli.errors import CommandError
from ssm_cli.history.plain import MOST_KEY_BITS, MOST_KEY_CHARACTERS, MOST_KEY_DEPTH, EnumName

MOST_CHARACTERS = 4000  # of a text
MOST_LEVELS = 50  # that a text is nested, a chain of dots and brackets included
MOST_STEPS = 40  # of a path that is told; what stands in the last brackets is nested, too
AROUND = 60  # characters that are shown of a text around the place where it is wrong
LITERALS = {"true": True, "false": False, "null": None}
"""As JSON spells them, and as values are shown."""

_REST = re.compile(r"[\s),]*")
_WORD = re.compile(r"\w+")
_ESCAPED = re.compile(r"(?<=['\"])\\.(?=['\"])")


class BadExpr(CommandError):
    """A text that is no EXPR, or no PATH. `text` is all of it, `column` the place, from 1."""

    def __init__(self, message: str, *, text: str, column: int) -> None:
        super().__init__(message, column=column)
        self.text = text

    def place_lines(self) -> tuple[str, str]:
        """Return the text around the place, printable, and a line with a caret below the place."""
        first = max(0, self.column - 1 - AROUND // 2)
        before = shorten(self.text[first : self.column - 1], AROUND)
        after = shorten(self.text[self.column - 1 :], AROUND)
        dots = "…" if first else ""
        return f"{dots}{before}{after}", " " * len(f"{dots}{before}") + "^"


class Spelling:
    """A text that is read as one expression: `what` says which kind, for errors.

    `before` is put in front of it for the parser, and counts in no column.
    """

    def __init__(self, text: str, what: str, allowed: str, before: str = "") -> None:
        self.text = text
        self._what = what
        self._allowed = allowed
        self._read = before + text
        self._shift = len(before)

    def wrong(self, message: str, at: ast.AST | int = 0) -> BadExpr:
        """Return the error that something is wrong at a node, or at an offset in the text."""
        offset = at if isinstance(at, int) else self.offset_of(at)
        offset = min(max(offset, 0), len(self.text))
        whole = f"{self._what}, column {offset + 1}: {message}"
        return BadExpr(whole, text=self.text, column=offset + 1)

    def refused(self, found: str, at: ast.AST | int) -> BadExpr:
        """Return the error that something is not allowed there, with what is."""
        return self.wrong(f"{found} is not allowed: expected {self._allowed}", at)

    def offset_of(self, node: ast.AST) -> int:
        """Return the offset of a node in the text, in characters."""
        octets = self._read.encode()[: getattr(node, "col_offset", 0)]
        return len(octets.decode("utf-8", "ignore")) - self._shift

    def of(self, node: ast.AST) -> str:
        """Return the part of the text that a node is."""
        octets = self._read.encode()
        part = octets[getattr(node, "col_offset", 0) : getattr(node, "end_col_offset", 0)]
        text = part.decode("utf-8", "ignore")
        return text if getattr(node, "col_offset", 0) else text[self._shift :]

    def tree(self) -> Any:
        """Return the syntax tree of the text.

        Raises:
            BadExpr: it is none, or too long, too deep, or not printable.
        """
        if len(self.text) > MOST_CHARACTERS:
            most = f"expected at most {MOST_CHARACTERS} characters, got {len(self.text)}"
            raise self.wrong(most, MOST_CHARACTERS)
        for offset, character in enumerate(self.text):
            if not character.isprintable():
                code = shorten(character)
                unseen = f"a character that is not printable: write {code} in quotes instead"
                raise self.wrong(unseen, offset)
        node = self._parsed().body
        self._bound(node)
        self._nothing_behind(node)
        return node

    def _parsed(self) -> ast.Expression:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # `"\d"`: Python would take it, and warn
                return ast.parse(self._read, mode="eval")
        except SyntaxError as error:
            raise self._syntax(error) from error
        except (RecursionError, MemoryError) as error:
            raise self._too_deep(0) from error
        except ValueError as error:  # whatever else a version of the parser cannot take
            raise self.refused("this", 0) from error

    def _syntax(self, error: SyntaxError) -> BadExpr:
        offset = self._offset_of(error)
        word = _WORD.match(self.text, max(offset, 0))
        if not self.text.strip():
            return self.wrong(f"it is empty: expected {self._allowed}")
        if word and keyword.iskeyword(word[0]):
            hint = f'a part with the name of one of Python\'s words is written ["{word[0]}"]'
            return self.wrong(f"`{word[0]}` cannot stand here; {hint}", offset)
        said = shorten(str(error.msg), 100)
        return self.wrong(f"{said}: expected {self._allowed}", offset)

    def _offset_of(self, error: SyntaxError) -> int:
        """Return where the parser found a text to be wrong; behind its end if it wants more."""
        if escaped := _ESCAPED.search(str(error.msg)):
            return self.text.find(escaped[0])
        if not error.offset or error.lineno != 1:
            return len(self.text)
        return error.offset - 1 - self._shift

    def _too_deep(self, at: ast.AST | int) -> BadExpr:
        return self.wrong(f"it is nested too deeply: expected at most {MOST_LEVELS} levels", at)

    def _bound(self, node: ast.AST) -> None:
        waiting: list[tuple[ast.AST, int]] = [(node, 1)]
        while waiting:
            one, level = waiting.pop()
            if level > MOST_LEVELS:
                raise self._too_deep(one)
            waiting += [(child, level + 1) for child in ast.iter_child_nodes(one)]

    def _nothing_behind(self, node: Any) -> None:
        """Refuse a comment: half of an expression must not go unread."""
        end = len(self._read.encode()[: node.end_col_offset].decode("utf-8", "ignore"))
        rest = _REST.match(self._read, end)
        if rest and rest.end() < len(self._read):
            raise self.refused("`#`", rest.end() - self._shift)


def check_name(spelling: Spelling, name: str, node: ast.AST) -> str:
    """Return a name of a part; refuse those that are Python's own, `__class__` and its like."""
    if name.startswith("__") and name.endswith("__"):
        raise spelling.refused(f"`{shorten(name)}`", node)
    return name


def is_plain_name(name: str) -> bool:
    """Whether a name reads back as it is where it stands behind a dot.

    >>> is_plain_name("held"), is_plain_name("from"), is_plain_name("a b")
    (True, False, False)
    """
    return (
        name.isidentifier()
        and len(name) <= MOST_KEY_CHARACTERS
        and not keyword.iskeyword(name)
        and not (name.startswith("__") and name.endswith("__"))
        and unicodedata.normalize("NFKC", name) == name
    )


def key_of(spelling: Spelling, node: ast.expr, depth: int = 0) -> Any:
    """Return the key in brackets that a node spells; a bare name is a member of an enum.

    Raises:
        BadExpr: it spells none.
    """
    match node:
        case ast.Constant(value=str() | bytes() | int() | float() | None):
            return check_constant(spelling, node)
        case ast.Name(id=name):
            return LITERALS.get(name, EnumName(name))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return -check_constant(spelling, node.operand)
        case ast.Tuple(elts=parts) if depth < MOST_KEY_DEPTH:
            return tuple(key_of(spelling, part, depth + 1) for part in parts)
        case _:
            raise spelling.wrong(
                'expected a key: "text", a number, True, None, a member of an enum, or (key, key)',
                node,
            )


def check_constant(spelling: Spelling, node: Any) -> Any:
    """Return the value of a constant; refuse numbers of too many digits."""
    value = node.value
    if type(value) is int and value.bit_length() > MOST_KEY_BITS:
        raise spelling.wrong(
            f"the number is too large: expected at most {MOST_KEY_BITS} bits", node
        )
    if type(value) is float and not math.isfinite(value):
        raise spelling.wrong("the number is too large: expected one below 1e308", node)
    return value
