"""Exit reasons: why a worker or a supervisor ended (OTP's exit reasons as a closed union)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.behaviour.sizes import cut, size_of
from ssm_cli.errors import writable


class Normal(msgspec.Struct, frozen=True):
    """The worker was done. A transient child is not restarted for it."""

    def __str__(self) -> str:
        return "normal"


class Shutdown(msgspec.Struct, frozen=True):
    """Ended in an orderly way, by its supervisor or of its own accord; `detail` may say why.

    `said` is the text of a detail of the user's own, made once, under the guard.
    """

    detail: object = None
    said: str = ""

    def __str__(self) -> str:
        return "shutdown" if self.detail is None else f"shutdown:{self.said or plain(self.detail)}"


class Killed(msgspec.Struct, frozen=True):
    """Killed: no callback of its own ran, or its shutdown time was over."""

    def __str__(self) -> str:
        return "killed"


class NoProcess(msgspec.Struct, frozen=True):
    """There was no process to begin with."""

    def __str__(self) -> str:
        return "noproc"


class Crash(msgspec.Struct, frozen=True):
    """A callback raised `error`, answered nonsense, or overran its limit.

    `kind` is `crash`, `step_timeout`, `bad_return_value`, or one of gen_statem's words for an
    answer that is none of the allowed ones; `said` as for `Shutdown`.
    """

    error: BaseException
    kind: str = "crash"
    said: str = ""

    def __str__(self) -> str:
        return self.kind


class BadReturnError(Exception):
    """A callback answered something that it must not answer; `kind` is the reason in OTP's word."""

    def __init__(self, said: str = "", kind: str = "bad_return_value") -> None:
        super().__init__(cut(said))
        self.kind = kind


class Lost(msgspec.Struct, frozen=True):
    """A remote child is gone, or was not to be had: `noconnection`, `no_node`, `fenced`, ...

    `detail` says more, for people.
    """

    word: str
    detail: str = ""

    def __str__(self) -> str:
        return self.word


class Other(msgspec.Struct, frozen=True):
    """Any other reason, chosen by the worker: `Stop("out_of_paper", state)`.

    `said` as for `Shutdown`.
    """

    term: object
    said: str = ""

    def __str__(self) -> str:
        return f"stop:{self.said or plain(self.term)}"


class FailedToStart(msgspec.Struct, frozen=True):
    """The detail of a supervisor's `Shutdown` whose child `child` did not start."""

    child: str
    reason: ExitReason

    def __str__(self) -> str:
        return f"failed_to_start_child {self.child}: {self.reason}"


MOST_PARTS = 6  # of a value whose parts are named by type
MORE = ", ..."
MOST_TERM_BYTES = 4096  # of a term that an error hands on as it is
ExitReason = Normal | Shutdown | Killed | NoProcess | Crash | Lost | Other

NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
NOPROC = NoProcess()
REASONS = frozenset({Normal, Shutdown, Killed, NoProcess, Crash, Lost, Other})
WORDS: dict[str, ExitReason] = {"normal": NORMAL, "shutdown": SHUTDOWN}


def reason_of(value: object) -> ExitReason:
    """The exit reason that a plain value stands for.

    Words stand for OTP's atoms, `{"shutdown": X}` and `("shutdown", X)` for the pair; an
    exception is a crash; any other value is `Other`. Looks at types alone, since `==` and
    `__class__` of a user's value may run anything.

    >>> [str(reason_of(v)) for v in ("normal", "shutdown", {"shutdown": "x"}, "oops")]
    ['normal', 'shutdown', 'shutdown:x', 'stop:oops']
    """
    term: Any = value
    kind = type(term)
    if kind in REASONS:
        return term  # type: ignore[no-any-return]  # by its type
    if term is None:
        return NORMAL
    if issubclass(kind, str):
        return WORDS.get(str.__str__(term)) or Other(term)
    if kind is dict and "shutdown" in term:
        return Shutdown(term["shutdown"])
    if kind in {tuple, list} and len(term) == 2 and type(term[0]) is str and term[0] == "shutdown":
        return Shutdown(term[1])
    return Crash(term) if issubclass(kind, BaseException) else Other(term)


def is_abnormal(reason: ExitReason) -> bool:
    """Whether a transient child is restarted: neither `normal` nor `shutdown` in either form.

    Source: OTP `supervisor`, restart type `transient`.

    >>> is_abnormal(NORMAL), is_abnormal(Shutdown("x")), is_abnormal(KILLED)
    (False, False, True)
    """
    return not isinstance(reason, Normal | Shutdown)


def term_of(reason: ExitReason) -> object:
    """The reason as a plain value, as OTP's error terms have it: `crash`, a word, `{tag: term}`.

    >>> term_of(Shutdown(FailedToStart("kv2", Other("init_failed"))))
    {'shutdown': {'failed_to_start_child': ['kv2', 'init_failed']}}
    """
    match reason:
        case Shutdown(FailedToStart(child, inner)):
            return {"shutdown": {"failed_to_start_child": [child, term_of(inner)]}}
        case Shutdown(detail) if detail is not None:
            return {"shutdown": bounded(detail, reason.said)}
        case Other(term):
            return bounded(term, reason.said)
        case _:
            return str(reason)


def bounded(term: object, said: str) -> object:
    """Return a term, or its text where it takes more than `MOST_TERM_BYTES`; a str `writable`."""
    if type(term) is str:
        term = writable(term)
    return term if size_of(term) <= MOST_TERM_BYTES else said or plain(term)


def plain(value: object, write: Callable[[object], str] = str) -> str:
    """A term in one line of text, at most 200 characters; never raises an `Exception`.

    Of a user's term only under the guard: see `runtime/engine/contained.py`.

    >>> plain("x" * 300)[-3:]
    'xx…'
    """
    try:
        text = writable(write(value))
    except Exception as failure:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<{type(value).__name__} that cannot be shown: {type(failure).__name__}>"
    return text if len(text) <= 200 else f"{text[:199]}…"


def shape(value: object) -> str:
    """Return the type of a value, and of each part of a tuple, a list or a struct, in one line.

    What a user's value says may be secret, and a text of ours passes by every redaction.

    >>> shape((1, "Ok", [])), shape(None), shape(Shutdown(5))
    ('tuple[int, str, list]', 'None', 'Shutdown(detail=int, said=str)')
    """
    kind = type(value).__name__
    if isinstance(value, msgspec.Struct):
        fields = [(name, getattr(value, name)) for name in value.__struct_fields__]
        parts = [f"{name}={type(part).__name__}" for name, part in fields[:MOST_PARTS]]
        return cut(f"{kind}({', '.join(parts)}{MORE * (len(fields) > MOST_PARTS)})")
    if type(value) not in (tuple, list):
        return "None" if value is None else cut(kind)
    assert isinstance(value, tuple | list)
    parts = [type(part).__name__ for part in value[:MOST_PARTS]]
    return cut(f"{kind}[{', '.join(parts)}{MORE * (len(value) > MOST_PARTS)}]")
