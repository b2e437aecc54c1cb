"""Numbered results: `$3` in a command stands for what the third one came to.

`$3.value` is a field of it, `$3.children.0` the first of a list in it. What was answered in the
syntax of the text codec is put back in that syntax.
"""

from __future__ import annotations

import re
from collections import deque
from functools import partial
from typing import Any

import msgspec

from ssm_cli.commands.results import Result
from ssm_cli.errors import CommandError

KEPT = 1_000  # results that can still be named; older ones go
REFERENCE = re.compile(r"(?<![^\s=\[,(])\$(\d+)((?:\.\w+)*)(?=$|[\s,\])])")
_BARE = re.compile(r"[A-Za-z_][\w./-]*")


class Results:
    """The results of a session, numbered from 1."""

    def __init__(self) -> None:
        self.last = 0
        self._kept: deque[Result] = deque(maxlen=KEPT)

    def add(self, result: Result) -> int:
        """Keep a result; its number."""
        self._kept.append(result)
        self.last += 1
        return self.last

    def substitute(self, line: str) -> str:
        """The line with each `$N` outside double quotes replaced by what it stands for.

        Raises:
            CommandError: no such result, or no such field in it.
        """
        if "$" not in line:
            return line
        parts = re.split(r'("(?:[^"\\]|\\.)*"?)', line)
        column = 1
        for at, part in enumerate(parts):
            if at % 2 == 0:
                start = column
                parts[at] = REFERENCE.sub(partial(self._text, start), part)
            column += len(part)
        return "".join(parts)

    def _text(self, start: int, found: re.Match[str]) -> str:
        number, column = int(found[1]), start + found.start()
        oldest = self.last - len(self._kept) + 1
        if not oldest <= number <= self.last:
            kept = f"${oldest} to ${self.last}" if self._kept else "none yet"
            raise CommandError(f"there is no result ${number}; there is {kept}", column=column)
        result = self._kept[number - oldest]
        value = _value(result)
        if not found[2]:
            return _written(value) if isinstance(value, str) else _output(result, value)
        for name in found[2][1:].split("."):
            value = _field(value, name, found[0], column)
        return _written(value)


def _value(result: Result) -> Any:
    """The JSON-ready value of a result."""
    record: Any = result.records[0] if len(result.records) == 1 else list(result.records)
    if result.kind == "call" and isinstance(record, dict) and "value" in record:
        return record["value"]
    return record


def _output(result: Result, value: Any) -> str:
    record = result.records[0] if result.records else None
    if result.kind == "call" and isinstance(record, dict) and "output" in record:
        return str(record["output"])
    return _written(value)


def _field(value: Any, name: str, whole: str, column: int) -> Any:
    if isinstance(value, dict) and name in value:
        return value[name]
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    if isinstance(value, dict):
        known = ", ".join(str(key) for key in value if key != "type") or "nothing"
    else:
        known = f"{len(value)} elements" if isinstance(value, list) else "no fields"
    raise CommandError(f"there is no `{name}` in {whole}; it has {known}", column=column)


def _written(value: Any) -> str:
    """A JSON-ready value as the text codec reads it."""
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return msgspec.json.encode(value).decode()
