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

from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Result
from ssm_cli.commands.verbs import VERBS, nearest
from ssm_cli.errors import CommandError, is_number, whole_number

KEPT = 1_000  # results that can still be named; older ones go
REFERENCE = re.compile(r"(?<![^\s=\[,(])\$([0-9]+)((?:\.\w+)*)(?=$|[\s,\])])")
LEADING = frozenset({"at", "back", "fork", "next"})
"""The verbs that lead to another place, to which the lines behind them are meant."""
_BARE = re.compile(r"[A-Za-z_][\w./-]*")


class Results:
    """The results of a session, numbered from 1, and where in time it has got to by them.

    Attributes:
        last: the number of the last result.
        missed: what the last line should have led to another place by, and has not; "" for nothing.
        place: what the commands of the session are about: a record, or a fork; "" for now.
    """

    def __init__(self) -> None:
        self.last = 0
        self.missed = ""
        self.place = ""
        self._lost: list[str] = []
        self._number = 0
        self._kept: deque[Result] = deque(maxlen=KEPT)

    def add(self, result: Result) -> int:
        """Keep a result; its number."""
        self._kept.append(result)
        self.last += 1
        return self.last

    def here(self, command: Command) -> Command:
        """Return a command that is about the place of the session, unless it names its own.

        Raises:
            CommandError: the place of the session is not known (`lose`).
        """
        if self._lost and VERBS[command.verb].asks and not command.at and command.verb != "at":
            raise CommandError(
                f"not carried out: `{self._lost[0]}` has failed before it, and this may be meant "
                "for where that leads; `now` or `at RECORD` says where to go on"
            )
        if not self.place or command.at:
            return command
        return msgspec.structs.replace(command, at=self.place)

    def lose(self) -> None:
        """Know the place no more, where the last line should have led to another one.

        For whoever goes on behind a line that failed, with lines that were written before that:
        they are refused until one says where to go on, or leaves the fork that was not made.
        """
        if self.missed:
            self._lost.append(self.missed)

    def miss(self, line: str) -> None:
        """Note that a line is no command; it may be one that should have led to another place."""
        word = line.split(maxsplit=1)[:1]
        near = nearest(word[0], VERBS) if word else None
        self.missed = near if near in LEADING else ""

    def arrive(self, result: Result) -> None:
        """Keep a result that is no failure, and go where a verb of the past has led."""
        if result.records and not result.error:
            self.add(result)
        self.missed = result.kind if result.error and result.kind in LEADING else ""
        if result.error and result.kind == "drop" and "fork" in self._lost:
            while self._lost.pop() != "fork":
                pass
        if result.kind in VERBS and VERBS[result.kind].section == "history" and not result.error:
            found = result.value
            if isinstance(found, dict) and "place" in found:
                self.go(found)
        elif self.place and not result.error:
            self._number = reply_of(result).get("record", self._number)

    def go(self, found: dict[str, Any]) -> None:
        """Go to a place, as the tree has told it."""
        self.place, self._number = found["place"], found.get("number", self._number)
        self._lost.clear()

    @property
    def where(self) -> str:
        """What a prompt begins with: `ssm`, `ssm 2013` in the past, `fork1 2012` in a fork.

        `nowhere` where a line that should have led to another place has not.
        """
        if self._lost:
            return "nowhere"
        if not self.place:
            return "ssm"
        return f"ssm {self.place}" if is_number(self.place) else f"{self.place} {self._number}"

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
        number, column = whole_number(found[1]), start + found.start()
        oldest = self.last - len(self._kept) + 1
        if number is None or not oldest <= number <= self.last:
            kept = f"${oldest} to ${self.last}" if self._kept else "none yet"
            raise CommandError(
                f"there is no result ${found[1][:40]}; there is {kept}", column=column
            )
        result = self._kept[number - oldest]
        value: Any = result.records[0] if len(result.records) == 1 else list(result.records)
        reply = reply_of(result)
        value = reply.get("value", value)
        if not found[2]:
            is_text = isinstance(value, str) or "output" not in reply
            return _written(value) if is_text else str(reply["output"])
        for name in found[2][1:].split("."):
            value = _field(value, name, found[0], column)
        return _written(value)


def reply_of(result: Result) -> dict[str, Any]:
    """Return the record of a call's reply; an empty one of what is no call."""
    record = result.records[0] if result.kind == "call" and result.records else None
    return record if isinstance(record, dict) else {}


def _field(value: Any, name: str, whole: str, column: int) -> Any:
    if isinstance(value, dict) and name in value:
        return value[name]
    if isinstance(value, list) and (index := whole_number(name, most=len(value) - 1)) is not None:
        return value[index]
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
