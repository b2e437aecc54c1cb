"""The keys of a tree file, in one table: the validator, the schema and the messages read it.

A `Key` says what it is called, where it may stand, what it takes, what it is when left out, and
what it means. `CONTRACT` section 1 is this table in prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import Enum
from math import inf
from typing import Any, Literal

import msgspec

from ssm_cli.spec import model

Place = Literal["root", "supervisor", "worker", "remote", "backoff"]
Kind = Literal[
    "name", "start", "text", "boolean", "integer", "number", "word", "args", "labels", "tree",
    "backoff", "children",
]  # fmt: skip

MAX_NAME = 200  # characters of a name, and of a label
MAX_SHOWN = 60  # characters of a wrong value that a message repeats
LARGEST = 1e18  # of any number in a tree file; NaN and the infinities are out, too
NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
NAME = re.compile(
    rf"(?!\.\.?$)[A-Za-z0-9_.\-]{{1,{MAX_NAME}}}"
)  # `.` and `..` are no step of a URL

WORKERS: tuple[Place, ...] = ("worker",)
SUPERVISORS: tuple[Place, ...] = ("root", "supervisor")
REMOTES: tuple[Place, ...] = ("remote",)
CHILD: tuple[Place, ...] = ("worker", "supervisor", "remote")
DELAY: tuple[Place, ...] = ("backoff",)


class Key(msgspec.Struct, frozen=True):
    """One key of a tree file.

    Attributes:
        name: as it is written.
        on: where it may stand.
        kind: the type of its value; `words` come on top of it.
        doc: one sentence for editors and help.
        default: its value when left out; None where that means "not set".
        field: the field of the built spec that holds the value; "" where it is the name.
        required: it cannot be left out.
        words: the words it takes.
        enum: what the words become.
        low: the least number it takes; `above` is the same without the bound itself.
        high: the greatest number it takes.
    """

    name: str
    on: tuple[Place, ...]
    kind: Kind
    doc: str
    default: Any = None
    field: str = ""
    required: bool = False
    words: tuple[str, ...] = ()
    enum: type[Enum] | None = None
    low: float | None = None
    above: float | None = None
    high: float | None = None

    @property
    def attribute(self) -> str:
        """The field of the built spec that holds the value."""
        return self.field or self.name


def _word(name: str, on: tuple[Place, ...], default: Enum, doc: str) -> Key:
    words = tuple(str(member.value) for member in type(default))
    return Key(name, on, "word", doc, default.value, words=words, enum=type(default))


def _limit(name: str, default: float, doc: str) -> Key:
    words = ("infinity",)
    return Key(name, WORKERS, "number", doc, default, f"{name}_ms", words=words, above=0)


def _shutdown(on: tuple[Place, ...], default: model.ShutdownTime) -> Key:
    doc = (
        "How long terminating it may take, in milliseconds, before it is killed; `brutal_kill` "
        "kills it at once, `infinity` waits."
    )
    words = ("brutal_kill", "infinity")
    return Key("shutdown", on, "integer", doc, default, "shutdown_ms", words=words, low=0)


def _name(name: str, on: tuple[Place, ...]) -> Key:
    doc = f"The name of this {name}, unique in the tree."
    return Key(name, on, "name", doc, field="id", required=True)


_START = (
    "Its code, a StateMachine, or a class of callbacks (GenServer, Statem, Event): "
    "`package.module:attribute`, or `./file.py:attribute` relative to the tree file."
)
_STRATEGY = (
    "What is restarted when a child ends; `simple_one_for_one` starts copies of one template."
)
_INTENSITY = "More restarts than this within `period` seconds, and the supervisor gives up."
_PERIOD = "The window in which restarts are counted, in seconds."
_AUTO_SHUTDOWN = "Whether the end of any or of all significant children ends the supervisor."
_PARTITIONS = "Makes so many of its one child, `ID-1` and so on; `NAME:KEY` is the one of a key."
_SHARDS = "Makes so many of it over the nodes that fit; `NAME:KEY` is in the shard of the key."
_MAX_CHILDREN = "How many children a `simple_one_for_one` supervisor may have; no bound without it."
_QUEUE = "How many inputs may wait in the queue of the whole tree."
_RESTART = "Whether it is restarted: always, after a crash only, or never."
_SIGNIFICANT = "Whether its own end counts for the auto_shutdown of its supervisor."
_BACKOFF = "Wait between restarts, longer each time; without it a restart is immediate."
_PERSIST = "What of its state outlives the process."
_ON_CRASH = "The state it begins with after a crash: of init, the saved or the last good one."
_SAVE_INPUTS = "With `persist: snapshot`, save its state after so many inputs, too."
_SAVE_SECONDS = (
    "With `persist: snapshot`, save its state so many seconds after it was saved last, too."
)
_QUARANTINE = (
    "An input that has crashed it so often is refused from then on, where its state persists; "
    "`never` takes it again and again."
)
_SNAPSHOT_EVERY = "After how many records of the journal the states are saved beside it."
_KEEP_RECORDS = "How many records older than the saved states are kept, for history."
_JOURNAL_MB = "How large the journal may become, in megabytes; the oldest history goes first."
_ON_STORAGE_ERROR = (
    "What happens when the journal cannot be written: stop the tree, or refuse the inputs of "
    "durable workers until it can."
)
_ON_REPLAY_DIFFERENCE = (
    "What happens when the stored inputs of a worker cannot be stepped again as they were: that "
    "worker is down, or the tree does not start."
)
_ON_UNRECOVERABLE = (
    "What it does when it cannot go on with its state: it is down until it is repaired, or its "
    "state is set aside and it begins by init."
)
_CODEC = "How its inputs and outputs are written; the worker's own choice without it."
_STEP_TIMEOUT = "How long one step may take, in milliseconds; `infinity` sets no limit."
_INIT_TIMEOUT = "How long its init may take, in milliseconds; `infinity` sets no limit."
_JITTER = "The share of a delay that chance adds or takes away."
_FACTOR = "What a delay is multiplied with to give the next."
_CHILDREN = "In start order: each a mapping with `worker`, `supervisor` or `remote`."
_TREE = "The tree to host, as the node finds it: a tree file, or `package.module:attribute`."
_PLACE = "The labels that the node must have; `node` stands for its name."
_LEASE = "How long a silent owner may act, in seconds; 2, or 10 on three servers, without it."
_TAKEOVER = (
    "When it is started elsewhere: `fence` once nobody answers, since its journal refuses a "
    "survivor; `lease` only once its lease is over."
)
_ORPHAN = "What it does once its parent is gone."
_CODECS = ("text", "json", "msgpack")

KEYS: tuple[Key, ...] = (
    _name("supervisor", SUPERVISORS),
    _name("worker", WORKERS),
    _name("remote", REMOTES),
    Key("tree", REMOTES, "tree", _TREE, required=True),
    Key("place", REMOTES, "labels", _PLACE, {}),
    Key("lease", REMOTES, "number", _LEASE, field="lease_s", low=0.5, high=600),
    _word("takeover", REMOTES, model.Takeover.FENCE, _TAKEOVER),
    _word("orphan", REMOTES, model.Orphan.KEEP, _ORPHAN),
    Key("shards", REMOTES, "integer", _SHARDS, low=2, high=model.MAX_PARTITIONS),
    Key("start", WORKERS, "start", _START, required=True),
    Key("args", WORKERS, "args", "Handed to its init.", {}),
    _word("strategy", SUPERVISORS, model.Strategy.ONE_FOR_ONE, _STRATEGY),
    Key("intensity", SUPERVISORS, "integer", _INTENSITY, model.DEFAULT_INTENSITY, low=0),
    Key("period", SUPERVISORS, "number", _PERIOD, model.DEFAULT_PERIOD_S, "period_s", above=0),
    _word("auto_shutdown", SUPERVISORS, model.AutoShutdown.NEVER, _AUTO_SHUTDOWN),
    Key("max_children", SUPERVISORS, "integer", _MAX_CHILDREN, low=1),
    Key("partitions", SUPERVISORS, "integer", _PARTITIONS, low=2, high=model.MAX_PARTITIONS),
    Key("queue", ("root",), "integer", _QUEUE, model.DEFAULT_QUEUE, low=1),
    Key(
        "snapshot_every",
        ("root",),
        "integer",
        _SNAPSHOT_EVERY,
        model.DEFAULT_SNAPSHOT_EVERY,
        low=1,
    ),
    Key("keep_records", ("root",), "integer", _KEEP_RECORDS, model.DEFAULT_KEEP_RECORDS, low=0),
    Key("journal_mb", ("root",), "number", _JOURNAL_MB, model.DEFAULT_JOURNAL_MB, above=0),
    _word("on_storage_error", ("root",), model.OnStorageError.STOP, _ON_STORAGE_ERROR),
    _word("on_replay_difference", ("root",), model.OnReplayDifference.DOWN, _ON_REPLAY_DIFFERENCE),
    _word("restart", CHILD, model.Restart.PERMANENT, _RESTART),
    _shutdown(WORKERS, model.DEFAULT_SHUTDOWN_MS),
    _shutdown(("supervisor",), "infinity"),
    _shutdown(REMOTES, model.DEFAULT_REMOTE_SHUTDOWN_MS),
    Key("significant", CHILD, "boolean", _SIGNIFICANT, default=False),
    Key("backoff", CHILD, "backoff", _BACKOFF),
    _limit("step_timeout", model.DEFAULT_STEP_TIMEOUT_MS, _STEP_TIMEOUT),
    _limit("init_timeout", model.DEFAULT_INIT_TIMEOUT_MS, _INIT_TIMEOUT),
    _word("persist", WORKERS, model.Persist.NONE, _PERSIST),
    _word("on_crash", WORKERS, model.OnCrash.INIT, _ON_CRASH),
    Key("save_inputs", WORKERS, "integer", _SAVE_INPUTS, low=1),
    Key("save_seconds", WORKERS, "number", _SAVE_SECONDS, low=0),
    Key(
        "quarantine",
        WORKERS,
        "integer",
        _QUARANTINE,
        model.DEFAULT_QUARANTINE,
        words=("never",),
        low=1,
    ),
    _word("on_unrecoverable", WORKERS, model.OnUnrecoverable.DOWN, _ON_UNRECOVERABLE),
    Key("codec", WORKERS, "word", _CODEC, words=_CODECS),
    Key("label", WORKERS, "text", "Shown beside the name.", ""),
    Key(
        "initial", DELAY, "number", "The first delay, in milliseconds.", 100, "initial_ms", above=0
    ),
    Key("factor", DELAY, "number", _FACTOR, 2, low=1),
    Key("max", DELAY, "number", "The longest delay, in milliseconds.", 30_000, "max_ms", above=0),
    Key("jitter", DELAY, "number", _JITTER, 0, low=0, high=1),
    Key("children", SUPERVISORS, "children", _CHILDREN, []),
)


def keys_on(place: Place) -> dict[str, Key]:
    """The keys that may stand at `place`, by name, in the order of the table.

    >>> list(keys_on("backoff"))
    ['initial', 'factor', 'max', 'jitter']
    """
    return {key.name: key for key in KEYS if place in key.on}


ROOT = keys_on("root")
SUPERVISOR = keys_on("supervisor")
WORKER = keys_on("worker")
REMOTE = keys_on("remote")
BACKOFF = keys_on("backoff")


def _in_range(key: Key, number: float) -> bool:
    # An int may be too large to become a float; compare before anything converts it.
    return (
        -LARGEST < number < LARGEST
        and (key.low is None or number >= key.low)
        and (key.above is None or number > key.above)
        and (key.high is None or number <= key.high)
    )


def accepts(key: Key, value: object) -> bool:  # noqa: PLR0911 - one case a kind
    """Whether `value`, as plain data, is one that `key` takes. Words stand for enum members.

    >>> accepts(ROOT["intensity"], 0), accepts(ROOT["intensity"], True)
    (True, False)
    """
    match key.kind, value:
        case _, str() if value in key.words:
            return True
        case "name", str():
            return NAME.fullmatch(value) is not None
        case (("start" | "tree"), str()):
            return bool(value)
        case "text", str():
            return len(value) <= MAX_NAME
        case "boolean", bool():
            return True
        case "integer" | "number", int() | float():
            fits = isinstance(value, int) or key.kind == "number"
            return fits and not isinstance(value, bool) and _in_range(key, value)
        case "labels", Mapping():
            return all(isinstance(item, str) for pair in value.items() for item in pair)
        case (("args" | "backoff"), Mapping()):
            return True
        case "children", list() | tuple():
            return True
    return False


_NOUNS: dict[Kind, str] = {
    "name": (
        f"1 to {MAX_NAME} letters, digits, underscores, dots and hyphens, not `.` or `..`, "
        "all ASCII"
    ),
    "start": "package.module:attribute or ./file.py:attribute",
    "text": f"text of at most {MAX_NAME} characters",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "args": "a mapping of argument names to values",
    "tree": "a tree file, or package.module:attribute",
    "labels": "a mapping of labels to texts, such as {zone: b}",
    "backoff": "a mapping such as {initial: 100, factor: 2, max: 30000, jitter: 0.1}",
    "children": "a list of children, each a mapping with `worker`, `supervisor` or `remote`",
}


def expected(key: Key, value: object = None) -> str:
    """What `key` takes, in words; of `value`, which it does not take, what bounds all numbers.

    >>> expected(WORKER["shutdown"])
    'a whole number of at least 0, brutal_kill or infinity'
    """
    choices = list(key.words)
    if key.kind != "word":
        noun = _NOUNS[key.kind]
        if key.kind in {"integer", "number"}:
            noun += "" if key.above is None else f" greater than {key.above:g}"
            noun += "" if key.low is None else f" of at least {key.low:g}"
            noun += "" if key.high is None else f" and at most {key.high:g}"
            noun += " and below 1e18" if is_beyond(value) else ""
        choices = [noun, *choices]
    return either(choices)


def is_beyond(value: object) -> bool:
    """Return whether a value is a number that is too large for any key."""
    return isinstance(value, int | float) and LARGEST <= abs(value) < inf


def either(choices: Iterable[str]) -> str:
    """The choices as a phrase.

    >>> either(["a", "b", "c"])
    'a, b or c'
    """
    *head, last = choices
    return f"{', '.join(head)} or {last}" if head else last


def nearest(word: object, choices: Iterable[str]) -> str:
    """The choice that `word` was probably meant to be, or "": one like it, or that it begins.

    >>> nearest("permanant", ("permanent", "transient"))
    'permanent'
    """
    if not isinstance(word, str) or not 0 < len(word) <= MAX_NAME:
        return ""
    by_lower = {choice.lower(): choice for choice in choices}
    plain = word.lower().replace("-", "_").replace(" ", "_")
    begun = [choice for choice in by_lower if choice.startswith(plain)]
    found = get_close_matches(plain, by_lower, n=1) or (begun if len(begun) == 1 else [])
    return by_lower[found[0]] if found else ""


def sentence(wrong: str, expected: str = "", meant: str = "") -> str:
    """What is wrong, what was expected, what was probably meant.

    >>> sentence("is 0", "a number greater than 0")
    'is 0; expected a number greater than 0'
    """
    parts = [wrong]
    if expected:
        parts.append(f"expected {expected}")
    if meant:
        parts.append(f"did you mean {meant}?")
    return "; ".join(parts)


def printable(text: str) -> str:
    r"""The beginning of a text; control characters are spelled out, so that no terminal obeys.

    >>> print(printable("a\x1b"))
    a\x1b
    """
    short = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


def shown(value: object) -> str:  # noqa: PLR0911 - one case a type
    """A wrong value as a message names it.

    >>> shown("x"), shown(None), shown(True), shown([1])
    ('the text "x"', 'nothing', 'true', 'a list')
    >>> print(shown('"z z"'))
    the text '"z z"'
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            quote = "'" if '"' in value else '"'
            return f"the text {quote}{printable(value)}{quote}"
        case int() if abs(value) >= 10**MAX_SHOWN:
            return f"a whole number of more than {MAX_SHOWN} digits"
        case int() | float() | Enum():
            return str(value)
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case type():
            return f"the class {value.__name__}"
        case _ if callable(value) and hasattr(value, "__name__"):
            return f"the function {value.__name__}"
        case _:
            name = type(value).__name__
            return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def fault(key: Key, value: object) -> str | None:
    """What is wrong with `value` for `key`, as a sentence; None if nothing is.

    >>> fault(WORKER["restart"], "permanant")
    'is the text "permanant"; expected permanent, transient or temporary; did you mean permanent?'
    """
    if accepts(key, value):
        return None
    return sentence(f"is {shown(value)}", expected(key, value), nearest(value, key.words))
