"""Exit reasons: why a worker or a supervisor ended (OTP's exit reasons as a closed union)."""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.behaviour.sizes import size_of


class Normal(msgspec.Struct, frozen=True):
    """The worker was done. A transient child is not restarted for it."""

    def __str__(self) -> str:
        return "normal"


class Shutdown(msgspec.Struct, frozen=True):
    """Ended in an orderly way, by its supervisor or of its own accord; `detail` may say why."""

    detail: object = None

    def __str__(self) -> str:
        return "shutdown" if self.detail is None else f"shutdown:{plain(self.detail)}"


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

    `kind` is `crash`, `step_timeout` or `bad_return_value`.
    """

    error: BaseException
    kind: Literal["crash", "step_timeout", "bad_return_value"] = "crash"

    def __str__(self) -> str:
        return self.kind


class Lost(msgspec.Struct, frozen=True):
    """A remote child is gone, or was not to be had: `noconnection`, `no_node`, `fenced`, ...

    `detail` says more, for people.
    """

    word: str
    detail: str = ""

    def __str__(self) -> str:
        return self.word


class Other(msgspec.Struct, frozen=True):
    """Any other reason, chosen by the worker: `Stop("out_of_paper", state)`."""

    term: object

    def __str__(self) -> str:
        return f"stop:{plain(self.term)}"


class FailedToStart(msgspec.Struct, frozen=True):
    """The detail of a supervisor's `Shutdown` whose child `child` did not start."""

    child: str
    reason: ExitReason

    def __str__(self) -> str:
        return f"failed_to_start_child {self.child}: {self.reason}"


MOST_TERM_BYTES = 4096  # of a term that an error hands on as it is
ExitReason = Normal | Shutdown | Killed | NoProcess | Crash | Lost | Other

NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
NOPROC = NoProcess()


def reason_of(value: object) -> ExitReason:
    """The exit reason that a plain value stands for.

    Words stand for OTP's atoms, `{"shutdown": X}` and `("shutdown", X)` for the pair; an
    exception is a crash; any other value is `Other`.

    >>> [str(reason_of(v)) for v in ("normal", "shutdown", {"shutdown": "x"}, "oops")]
    ['normal', 'shutdown', 'shutdown:x', 'stop:oops']
    """
    match value:
        case Normal() | Shutdown() | Killed() | NoProcess() | Crash() | Lost() | Other():
            return value
        case "normal" | None:
            return NORMAL
        case "shutdown":
            return SHUTDOWN
        case {"shutdown": detail} | ("shutdown", detail):
            return Shutdown(detail)
        case BaseException():
            return Crash(value)
        case _:
            return Other(value)


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
            return {"shutdown": bounded(detail)}
        case Other(term):
            return bounded(term)
        case _:
            return str(reason)


def bounded(term: object) -> object:
    """Return a term, or its text where it takes more than `MOST_TERM_BYTES`."""
    return term if size_of(term) <= MOST_TERM_BYTES else plain(term)


def plain(value: object) -> str:
    """A term in one line of text, at most 200 characters; a term of the user's may not hurt.

    >>> plain("x" * 300)[-3:]
    'xx…'
    """
    try:
        text = str(value)
    except Exception as failure:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<{type(value).__name__} that cannot be shown: {type(failure).__name__}>"
    return text if len(text) <= 200 else f"{text[:199]}…"
