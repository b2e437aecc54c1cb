"""Lines and argument words to commands. Both end in `_build`, so that they mean the same.

A line is words between blanks. Names and verbs need no quotes, so the grammar has none: what a
quote means inside an input is the business of the worker's codec, which gets the rest of the
line as it stands. Options come before such a rest; everywhere else they may stand anywhere.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress

import msgspec

from ssm_cli.behaviour.partition import JOINT, splits
from ssm_cli.commands.verb import MOST_NUMBER, PHRASE_KINDS, QUOTED_KINDS, Option, Parameter, Verb
from ssm_cli.commands.verbs import VERBS, find_verb, nearest
from ssm_cli.errors import CommandError, a_or_an

MAX_LINE = 2 * 1024 * 1024  # characters; the codecs bound an input more tightly
_WORD = re.compile(r"\S+")


class Command(msgspec.Struct, frozen=True):
    """A command that can be executed: its verb, and its arguments and options by name.

    `arguments` holds texts by parameter name. `output` is what `-o` asked for, or None;
    `last` belongs to `log`, `timeout_s` (seconds) to `call`; what else an option says is an
    argument. `place` is where the command was written, `kv.ssm:3` or `<stdin>:3`; "" where a person
    has just typed it. `at` is the place in time that it is about; "" for now. `into` is the remote
    child that is asked; "" for this tree. `door` is what names the tree behind an `ssm VERB` of a
    shell, `--name kv`; "" at a prompt of the tree.
    """

    verb: str
    arguments: dict[str, str] = {}
    output: str | None = None
    last: int | None = None
    timeout_s: float | None = None
    place: str = ""
    at: str = ""
    into: str = ""
    door: str = ""


class _Word(msgspec.Struct, frozen=True):
    """A word and its column, from 1. `rest` is what a parameter gets that takes the rest."""

    text: str
    column: int
    rest: str


def refuse_bytes(line: str) -> str:
    r"""Return a line, unless bytes of it are no UTF-8: they came as surrogates.

    Of a locale without UTF-8 all bytes do, those of UTF-8 too; these are read.

    Raises:
        CommandError: they are; it names the first.

    >>> refuse_bytes("\udcc3\udca9")
    'é'
    """
    if not line.isascii():
        with suppress(UnicodeEncodeError):  # half of a pair that was written as such
            line = line.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        for column, character in enumerate(line, 1):
            if "\udc80" <= character <= "\udcff":
                byte = f"the byte 0x{ord(character) - 0xDC00:02x}"
                wrong = (
                    f"is not UTF-8: {byte} does not belong here; commands are UTF-8, typed or saved"
                )
                raise CommandError(wrong, column=column)
    return line


def parse_line(line: str, names: Collection[str]) -> Command | None:
    """The command on a line of the prompt or of a script; None for a blank line or a comment.

    Args:
        line: the line, with or without its end.
        names: the names of the workers; a line that begins with one is a call to it. A path
            (`root/storage/kv2`) counts by its last part, a worker of a remote child
            (`billing.invoice`) by that child; `POOL:` stands for all of a pool's. A verb wins
            over a worker.

    Raises:
        CommandError: with the column of the word that is wrong, from 1.

    >>> parse_line("kv2 Store x 1", ["kv2"])
    Command(verb='call', arguments={'worker': 'kv2', 'input': 'Store x 1'}, output=None, \
last=None, timeout_s=None, place='', at='', into='', door='')
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
    verb = verb_of(first.text, names)
    if verb is not None:
        return _build(verb, words[1:], end)
    if is_worker(first.text, names):
        return _build(VERBS["call"], words, end)
    near = nearest(first.text, [*VERBS, *names])
    hint = f"did you mean `{near}`?" if near else "`help` lists the commands, `tree` the workers"
    raise CommandError(
        f"`{first.text}` is neither a command nor a worker; {hint}", column=first.column
    )


def verb_of(word: str, names: Collection[str]) -> Verb | None:
    """Return the verb that a word names in a tree with these workers, or None.

    A verb wins over a worker, but for those of the past: trees were there before them.
    """
    verb = find_verb(word)
    return None if verb is not None and verb.section == "history" and word in names else verb


def is_worker(word: str, names: Collection[str]) -> bool:
    """Whether a word names a worker: by its name, by its path, or below a remote child.

    `POOL:KEY` is one where `POOL:` is among the names, and `POOL.WORKER:KEY`, of a shard.

    >>> is_worker("root/kv2", ["kv2"]), is_worker("billing.invoice", ["billing"])
    (True, True)
    >>> is_worker("root/carts:ann", ["carts:"]), is_worker("kv2:ann", ["kv2"])
    (True, False)
    >>> is_worker("carts.log:ann", ["carts:"])
    True
    """
    known = word in names or word.rpartition("/")[2] in names or word.partition(".")[0] in names
    pools = [pool.rpartition("/")[2] for pool, _ in splits(word)]
    return known or any(
        f"{name}{JOINT}" in names for pool in pools for name in (pool, pool.partition(".")[0])
    )


def known_as(word: str) -> str:
    """Return the name that a word stands for: of a path its last part; `POOL:KEY` as it is.

    >>> known_as("root/kv2"), known_as("carts:a/b")
    ('kv2', 'carts:a/b')
    """
    return word if JOINT in word else word.rpartition("/")[2]


def _build(verb: Verb, words: list[_Word], end: int) -> Command:
    """Give each word to an option or to the next parameter; `end` is the column after all."""
    arguments: dict[str, object] = {}
    options: dict[str, object] = {}
    waiting = deque(verb.parameters)
    coming = deque(words)
    literal = False
    while coming:
        takes_rest = verb.takes_rest and len(waiting) == 1 and not _goes_first(verb, coming[0])
        option = None if literal or takes_rest else _option(verb, coming[0])
        word = coming.popleft()
        if option is not None:
            takes = coming and option.kind != "flag"
            value = _phrase(option.kind, coming, verb) if takes else None
            given = options if option.name in Command.__struct_fields__ else arguments
            before = (
                f"{given[option.name]}," if option.kind == "list" and option.name in given else ""
            )
            said = _option_value(option, value, end)
            given[option.name] = f"{before}{said}" if before else said
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
            coming.appendleft(word)
            word = _phrase(parameter.kind, coming, verb)
            arguments[parameter.name] = _argument(parameter, word)
    missing = next(((p.shown or p.name.upper()).rstrip(".") for p in waiting if p.required), "")
    if missing:
        raise CommandError(
            f"`{verb.name}` needs {a_or_an(missing)}; write `{verb.usage}`", column=end
        )
    return msgspec.convert({"verb": verb.name, "arguments": arguments, **options}, Command)


def _goes_first(verb: Verb, word: _Word) -> bool:
    """Whether a word is an option before the only parameter of a verb, which is the rest."""
    return len(verb.parameters) == 1 and any(word.text in o.spellings for o in verb.options)


def _phrase(kind: str, coming: deque[_Word], verb: Verb) -> _Word:
    """Take the next word; of a phrase all up to the next option, without quotes around it."""
    first = last = coming.popleft()
    if kind not in PHRASE_KINDS | QUOTED_KINDS:
        return first
    spellings = {spelling for option in verb.options for spelling in option.spellings}
    quote = first.text[0] if first.text[:1] in ("'", '"') else ""
    open_ended = kind in PHRASE_KINDS and (kind != "text" or not quote)
    while coming and (
        _is_open(quote, first, last) or (open_ended and coming[0].text not in spellings)
    ):
        last = coming.popleft()
    text, column = _until(first, last), first.column
    if quote and len(text) > 1 and text[-1] == quote and quote not in text[1:-1]:
        text, column = text[1:-1], column + 1
    if kind in ("expr", "path"):
        check_phrase(kind, text, column)
    return _Word(text, column, "")


def _until(first: _Word, last: _Word) -> str:
    return first.rest[: last.column - first.column + len(last.text)]


def _is_open(quote: str, first: _Word, last: _Word) -> bool:
    return bool(quote) and _until(first, last).count(quote) % 2 == 1


def check_phrase(kind: str, text: str, column: int) -> None:
    """Raise `CommandError`, with the column in the line, for a text that is no EXPR or no PATH."""
    from ssm_cli.history.expr import parse_expr  # noqa: PLC0415 - for the verbs of the past alone
    from ssm_cli.history.grammar import BadExpr  # noqa: PLC0415 - as above
    from ssm_cli.history.paths import parse_path  # noqa: PLC0415 - as above

    try:
        parse_expr(text) if kind == "expr" else parse_path(text)
    except BadExpr as error:
        wrong = CommandError(str(error), column=(error.column or 1) + column - 1)
        wrong.excerpt = error.place_lines()
        raise wrong from error


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
        said = no_option(verb, word.text, [one.spellings[0] for one in verb.options])
        raise CommandError(said, column=word.column)
    return None


def is_option(word: str) -> bool:
    """Return whether a word can be nothing but an option.

    >>> is_option("--tiemout"), is_option("--at=5"), is_option("-1"), is_option("-x is text")
    (True, True, False, False)
    """
    return bool(re.fullmatch(r"--?[A-Za-z][\w-]*(=.*)?", word, re.DOTALL))


def no_option(verb: Verb, word: str, known: Sequence[str]) -> str:
    """Return what is said of a word that is none of the known options of a verb; the nearest."""
    near = nearest(word.partition("=")[0], known)
    hint = f"did you mean `{near}`?" if near else f"it has {', '.join(known)}"
    return f"`{verb.name}` has no option `{word}`; {hint}"


def _option_value(option: Option, word: _Word | None, end: int) -> object:
    if option.kind == "flag":
        return "yes"
    if word is None:
        raise CommandError(f"`{option.spellings[0]}` needs {option.metavar}", column=end)
    text, column = word.text, word.column
    if option.choices and text not in option.choices:
        expected = ", ".join(option.choices)
        raise CommandError(
            f"`{option.spellings[0]}` takes one of {expected}, not `{text}`", column=column
        )
    if option.kind not in ("number", "seconds"):
        return text
    try:
        number = int(text) if option.kind == "number" else float(text)
    except ValueError:
        number = -1
    if not 0 <= number < MOST_NUMBER:
        bound = "from 0" if not number > 0 else "below 1,000,000,000"
        raise CommandError(
            f"`{option.spellings[0]}` takes a number {bound}, not `{text}`", column=column
        )
    return number
