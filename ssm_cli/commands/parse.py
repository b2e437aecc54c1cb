"""Lines and argument words to commands. Both end in `_build`, so that they mean the same.

A line is words between blanks. Names and verbs need no quotes, so the grammar has none: what a
quote means inside an input is the business of the worker's codec, which gets the rest of the
line as it stands. Options come before such a rest; everywhere else they may stand anywhere.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Sequence

import msgspec

from ssm_cli.commands.verbs import VERBS, Option, Parameter, Verb, find_verb, nearest
from ssm_cli.errors import CommandError

MAX_LINE = 2 * 1024 * 1024  # characters; the codecs bound an input more tightly
_WORD = re.compile(r"\S+")


class Command(msgspec.Struct, frozen=True):
    """A command that can be executed: its verb, and its arguments and options by name.

    `arguments` holds texts by parameter name. `output` is what `-o` asked for, or None;
    `last` belongs to `log`, `timeout_s` (seconds) to `call`. `place` is where the command was
    written, `kv.ssm:3` or `<stdin>:3`; "" where a person has just typed it.
    """

    verb: str
    arguments: dict[str, str] = {}
    output: str | None = None
    last: int | None = None
    timeout_s: float | None = None
    place: str = ""


class _Word(msgspec.Struct, frozen=True):
    """A word and its column, from 1. `rest` is what a parameter gets that takes the rest."""

    text: str
    column: int
    rest: str


def refuse_bytes(line: str) -> str:
    """Return a line of a script, unless bytes of it are no UTF-8: they came as surrogates.

    Raises:
        CommandError: they are; it names the first.
    """
    if not line.isascii():
        for column, character in enumerate(line, 1):
            if "\udc80" <= character <= "\udcff":
                byte = f"the byte 0x{ord(character) - 0xDC00:02x}"
                wrong = f"is not UTF-8: {byte} does not belong here; save the script as UTF-8"
                raise CommandError(wrong, column=column)
    return line


def parse_line(line: str, names: Collection[str]) -> Command | None:
    """The command on a line of the prompt or of a script; None for a blank line or a comment.

    Args:
        line: the line, with or without its end.
        names: the names of the workers; a line that begins with one is a call to it. A path
            (`root/storage/kv2`) counts by its last part, a worker of a remote child
            (`billing.invoice`) by that child. A verb wins over a worker.

    Raises:
        CommandError: with the column of the word that is wrong, from 1.

    >>> parse_line("kv2 Store x 1", ["kv2"])
    Command(verb='call', arguments={'worker': 'kv2', 'input': 'Store x 1'}, output=None, \
last=None, timeout_s=None, place='')
    >>> parse_line("  # a comment", []) is None
    True
    """
    text = line.rstrip("\r\n")
    if len(text) > MAX_LINE:
        raise CommandError(
            f"the line has {len(text)} characters; at most {MAX_LINE} are taken", column=MAX_LINE
        )
    words = [_Word(m[0], m.start() + 1, text[m.start() :]) for m in _WORD.finditer(text)]
    if not words or words[0].text.startswith("#"):
        return None
    return _command(words, names, len(text.rstrip()) + 1)


def parse_words(words: Sequence[str], names: Collection[str]) -> Command:
    """The command that argument words stand for, as the shell has split them.

    A word may hold blanks and may be empty. Words that belong to an input are joined by one
    blank. Columns count in all words joined by one blank.

    Raises:
        CommandError: as `parse_line`; also when there is no word at all.

    >>> parse_words(["cast", "kv2", "Store x 1"], []).arguments
    {'worker': 'kv2', 'input': 'Store x 1'}
    """
    if not words:
        raise CommandError("no command given; `help` lists them")
    placed = []
    column = 1
    for index, word in enumerate(words):
        placed.append(_Word(word, column, " ".join(words[index:])))
        column += len(word) + 1
    return _command(placed, names, column)


def _command(words: list[_Word], names: Collection[str], end: int) -> Command:
    """Find the verb of the first word, or the worker it names."""
    first = words[0]
    verb = find_verb(first.text)
    if verb is not None:
        return _build(verb, words[1:], end)
    if is_worker(first.text, names):
        return _build(VERBS["call"], words, end)
    near = nearest(first.text, [*VERBS, *names])
    hint = f"did you mean `{near}`?" if near else "`help` lists the commands, `tree` the workers"
    raise CommandError(
        f"`{first.text}` is neither a command nor a worker; {hint}", column=first.column
    )


def is_worker(word: str, names: Collection[str]) -> bool:
    """Whether a word names a worker: by its name, by its path, or below a remote child.

    >>> is_worker("root/kv2", ["kv2"]), is_worker("billing.invoice", ["billing"])
    (True, True)
    """
    return word in names or word.rpartition("/")[2] in names or word.partition(".")[0] in names


def _build(verb: Verb, words: list[_Word], end: int) -> Command:
    """Give each word to an option or to the next parameter; `end` is the column after all."""
    arguments: dict[str, str] = {}
    options: dict[str, object] = {}
    waiting = deque(verb.parameters)
    coming = deque(words)
    literal = False
    while coming:
        takes_rest = verb.takes_rest and len(waiting) == 1
        option = None if literal or takes_rest else _option(verb, coming[0])
        word = coming.popleft()
        if option is not None:
            options[option.name] = _option_value(option, coming.popleft() if coming else None, end)
        elif word.text == "--" and not literal and not takes_rest:
            literal = True
        elif not waiting:
            raise CommandError(
                f"`{verb.name}` takes no `{word.text}`; write `{verb.usage}`", column=word.column
            )
        elif takes_rest:
            arguments[waiting.popleft().name] = word.rest
            coming.clear()
        else:
            parameter = waiting.popleft()
            arguments[parameter.name] = _argument(parameter, word)
    missing = next((p.name.upper() for p in waiting if p.required), None)
    if missing:
        raise CommandError(
            f"`{verb.name}` needs {_article(missing)} {missing}; write `{verb.usage}`", column=end
        )
    return msgspec.convert({"verb": verb.name, "arguments": arguments, **options}, Command)


def _argument(parameter: Parameter, word: _Word) -> str:
    """The word, if the parameter may be that."""
    if parameter.choices and word.text not in parameter.choices:
        expected = " or ".join(f"`{choice}`" for choice in parameter.choices)
        raise CommandError(f"expected {expected}, got `{word.text}`", column=word.column)
    return word.text


def _option(verb: Verb, word: _Word) -> Option | None:
    """The option a word spells; None for any other word (`-` and `-5` are words)."""
    for option in verb.options:
        if word.text in option.spellings:
            return option
    if re.match(r"--?[A-Za-z]", word.text):
        known = ", ".join(option.spellings[0] for option in verb.options)
        raise CommandError(
            f"`{verb.name}` has no option `{word.text}`; it has {known}", column=word.column
        )
    return None


def _option_value(option: Option, word: _Word | None, end: int) -> object:
    """What an option says, as its kind wants it."""
    if word is None:
        raise CommandError(f"`{option.spellings[0]}` needs {option.metavar}", column=end)
    text, column = word.text, word.column
    if option.choices and text not in option.choices:
        expected = ", ".join(option.choices)
        raise CommandError(
            f"`{option.spellings[0]}` takes one of {expected}, not `{text}`", column=column
        )
    if option.kind == "word":
        return text
    try:
        number = int(text) if option.kind == "number" else float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 10**9:
        raise CommandError(
            f"`{option.spellings[0]}` takes a number from 0, not `{text}`", column=column
        )
    return number


def _article(word: str) -> str:
    return "an" if word[0] in "AEIOU" else "a"
