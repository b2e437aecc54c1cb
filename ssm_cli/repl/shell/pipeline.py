"""A line taken apart: the command, and where its output goes: `| PROGRAM`, `> FILE`, `>> FILE`.

The marks count between blanks and outside double quotes, so that an input may contain them.
"""

from __future__ import annotations

import re

import msgspec

from ssm_cli.errors import CommandError


class Pipeline(msgspec.Struct, frozen=True):
    """A command and what becomes of its output.

    Attributes:
        command: the command.
        program: what the shell gets to run on the output; empty: nothing.
        file: where the output is written; empty: nowhere but on the screen.
        append: to the end of that file.
    """

    command: str
    program: str = ""
    file: str = ""
    append: bool = False


def lines_in(text: str) -> list[str]:
    r"""The lines of a text, which end at line feeds and carriage returns alone.

    >>> lines_in("one\r\ntwo\rthree\u2028\n")
    ['one', 'two', 'three\u2028']
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


MARKS = ("|", ">", ">>")
EXPR = re.compile(r"\s*(when|break)\s|\s*(blame|back|next|shrink)\s(.*\s)?--when\s")


def find_mark(line: str) -> int | None:
    """Where the first mark of a line is; None where there is none.

    >>> find_mark('kv2 Store "a | b" 1 > out'), find_mark("kv2 Lookup x")
    (20, None)
    >>> find_mark("when kv2 state.x > 1"), find_mark("when kv2 state.x > 1 | less")
    (None, 21)
    """
    if not ("|" in line or ">" in line) or line.lstrip().startswith("#"):
        return None
    quoted, escaped, start = False, False, 0
    for at, character in enumerate(f"{line} "):
        if character.isspace() and not quoted:
            if line[start:at] in MARKS and start > 0 and not _compares(line, start):
                return start
            start = at + 1
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and not escaped
    return None


def _compares(line: str, at: int) -> bool:
    """Whether a `>` stands in an EXPR, and compares: what asks the past goes to no file."""
    return line[at] == ">" and EXPR.match(line[:at]) is not None


def split(line: str) -> Pipeline:
    """A line as command, program and file.

    Raises:
        CommandError: a mark with nothing behind it.

    >>> split("kv2 Lookup x | grep 1")
    Pipeline(command='kv2 Lookup x', program='grep 1', file='', append=False)
    >>> split("tree >> trees.txt").append
    True
    """
    at = find_mark(line)
    if at is None:
        return Pipeline(line)
    mark, _, behind = line[at:].partition(" ")
    behind = behind.strip()
    if not behind:
        what = "a program to pipe to" if mark == "|" else "a file to write to"
        raise CommandError(f"`{mark}` needs {what} behind it", column=at + 2)
    command = line[:at].rstrip()
    if mark == "|":
        return Pipeline(command, program=behind)
    return Pipeline(command, file=behind, append=mark == ">>")
