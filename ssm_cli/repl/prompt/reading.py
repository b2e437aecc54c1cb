"""A reading of all that a prompt takes: what surrounds a command is taken off, and put back on.

Around a command there may be an alias for its beginning, `time` or `watch`, a pipe or a file, and
in it results by number; `line` reads the command that is left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from ssm_cli.repl.prompt.line import Candidate, Line, Problem, Token, read_line
from ssm_cli.repl.shell.config import expand
from ssm_cli.repl.shell.names import Names, Workers
from ssm_cli.repl.shell.pipeline import find_mark
from ssm_cli.repl.shell.results import REFERENCE
from ssm_cli.repl.shell.verbs import as_typed, find_here

AROUND = ("time", "watch")
DEPTH = 5  # of commands around commands that are read


def read(
    text: str, names: Names, aliases: Mapping[str, str], *, anywhere: bool = False, depth: int = 0
) -> Line:
    """Read a line up to its end, where the cursor is thought to be.

    Args:
        text: the line.
        names: the names of the tree.
        aliases: words for the beginning of a command.
        anywhere: offer names that contain the word too; slower, for when it was asked for.
        depth: how many commands are around this one.
    """
    text = as_typed(text)
    mark = find_mark(text)
    if mark is not None:
        return _piped(read(text[:mark].rstrip(), names, aliases, depth=depth), text, mark)
    first = re.match(r"\s*(\S+)\s+", text)
    if first is None or depth >= DEPTH:
        return _with_aliases(read_line(text, names, anywhere=anywhere), text, aliases)
    word = first[1]
    if word in AROUND and find_here(word, Workers(names, word)) is not None:
        inner = read(text[first.end() :], names, aliases, anywhere=anywhere, depth=depth + 1)
        return _behind(first, inner, first.end())
    if word in aliases:
        longer = expand(text, aliases)
        inner = read_line(longer, names, anywhere=anywhere)
        by = len(text.lstrip()) - len(longer) + first.start(1)
        return _behind(first, inner, by)
    return _with_references(read_line(text, names, anywhere=anywhere), text)


def _with_aliases(line: Line, text: str, aliases: Mapping[str, str]) -> Line:
    """The first word may be an alias, too."""
    word = text.strip()
    offered = [Candidate(a, aliases[a]) for a in aliases if a.startswith(word)]
    if not offered:
        return line
    problem = None if word in aliases or line.problem is None else line.problem
    if problem is not None and problem.wrong:
        problem = replace(problem, wrong=False)
    candidates = (*line.candidates, *offered)
    return replace(line, candidates=candidates, problem=problem)


def _with_references(line: Line, text: str) -> Line:
    """What a result stands for is not known to the codec: nothing is wrong with it."""
    problem = line.problem
    if problem is None or not REFERENCE.search(f" {text[problem.start : problem.end]}"):
        return line
    return replace(line, problem=None)


def _piped(line: Line, text: str, mark: int) -> Line:
    """A command whose output goes on: what is behind the mark is not ours to read."""
    problem = line.problem
    if problem is not None:
        problem = replace(problem, wrong=True)
    elif not text[mark:].lstrip("|>").strip():
        what = "a program" if text[mark] == "|" else "a file"
        problem = Problem(f"expected {what}", mark, len(text), wrong=False)
    tokens = (*line.tokens, Token(mark, len(text), "text"))
    return replace(line, tokens=tokens, problem=problem, candidates=(), start=len(text))


def _behind(first: re.Match[str], line: Line, by: int) -> Line:
    """A reading of what is behind a first word, `by` further right; no part of it stands before."""
    least, problem = first.end(1), line.problem
    moved = ((max(t.start + by, least), t.end + by, t.kind) for t in line.tokens)
    tokens = (Token(start, end, kind) for start, end, kind in moved if end > least)
    verb = Token(first.start(1), least, "verb")
    if problem is not None:
        start, end = max(problem.start + by, 0), max(problem.end + by, 0)
        problem = replace(problem, start=start, end=end)
    return replace(line, tokens=(verb, *tokens), problem=problem, start=line.start + by)
