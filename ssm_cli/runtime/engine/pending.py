"""`Pending`: a call on its way. It ends in exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from ssm_cli.behaviour.sizes import cut
from ssm_cli.errors import CallTimeout, DecodeError, SsmError
from ssm_cli.runtime.clock import is_number_of_seconds
from ssm_cli.runtime.outside import forgive
from ssm_cli.runtime.traces import calls_user

MAX_REQUEST_CHARACTERS = 200
FAILED = "a listener for the outcome of a call failed"


class Waiter(Protocol):
    """Who waits in the queue for an outcome: a `Pending`, or a client of many calls in turn."""

    def resolve(self, value: Any) -> None:
        """The outcome is `replied` with `value`. To be called once, or `fail` once."""
        ...

    def fail(self, error: SsmError) -> None:
        """The outcome is that of `error`."""
        ...

    def single(self) -> Pending | None:
        """The call alone, for all ways on which it may be kept, or be told an outcome twice.

        None where nobody waits for the outcome.
        """
        ...

    def cut(self, error: SsmError) -> None:
        """An exception from outside came in between: fail with `error` if there is no outcome."""
        ...


class SentInput:
    """An input that an effect has sent, in a node that remembers what causes what: nobody waits.

    Attributes:
        cause: the record whose effect it is.
        history: the `Recorder`, which learns the cause with the outcome.
    """

    __slots__ = ("cause", "history")

    def __init__(self, history: Any, cause: int) -> None:
        self.history = history
        self.cause = cause

    def resolve(self, value: Any) -> None:
        """It was just served, and recorded."""
        del value
        self.history.causes[self.history.last()] = self.cause

    def fail(self, error: SsmError) -> None:
        """Nobody waits."""

    def single(self) -> None:
        """What is recorded next has this cause."""
        self.history.sender = self

    def cut(self, error: SsmError) -> None:
        """Nobody waits."""


class Pending(msgspec.Struct, eq=False):
    """A call on its way. A struct, since each call makes one.

    Attributes:
        done: whether the outcome is there; whatever comes later is dropped.
        value: the output, where the outcome is `replied`.
        error: the error of any other outcome.
        notify: called once with this object at the very moment of the outcome.
        future, heard: a driver's own: what the outcome completes, and who hears of it besides.
        request: the id that makes a retry safe; "" without one.
        told: whether `notify` was called.
        record: the number of the record of the input, in a node that remembers; else 0.
        number: that of its `Caller`, where a `GenServer` has got one; 0 without.
    """

    done: bool = False
    value: Any = None
    error: SsmError | None = None
    notify: Callable[[Pending], None] | None = None
    future: Any = None
    request: str = ""
    heard: Callable[[Pending], None] | None = None
    number: int = 0
    told: bool = False
    record: int = 0
    _late: Callable[[], CallTimeout | None] | None = None

    def limit(self, worker: str, now_s: Callable[[], float], timeout_s: float) -> None:
        """Let an answer that comes more than `timeout_s` from now count as `timeout`."""
        end_s = now_s() + timeout_s
        self._late = lambda: None if now_s() <= end_s else late(worker, timeout_s)

    def single(self) -> Pending:
        """It stands for one call alone."""
        return self

    def cut(self, error: SsmError) -> None:
        """Fail with `error`, unless there is an outcome; hand on one that was not heard yet."""
        if not self.done:
            self.fail(error)
        elif self.notify is not None:
            self.tell()

    def resolve(self, value: Any) -> None:
        """Set the outcome `replied` with `value`."""
        if not self.done:
            self.value = value
            if self._late is not None:
                self.error = self._late()
            self.done = True
        if self.notify is not None:
            self.tell()  # once: it does nothing if it was heard

    def fail(self, error: SsmError) -> None:
        """Set the outcome that `error` stands for."""
        if not self.done:
            self.error = error
            self.done = True
        if self.notify is not None:
            self.tell()  # once: it does nothing if it was heard

    @calls_user
    def tell(self) -> None:
        """Call `notify`, once."""
        notify = self.notify
        assert notify is not None
        try:
            self.told = self.told or notify(self) is None or True
        except BaseException as error:  # noqa: BLE001 - it may raise anything
            forgive(FAILED, error)
            self.told = True

    def result(self) -> Any:
        """The output; raises the error of any other outcome. Only once `done`."""
        error = self.error
        if error is None:
            return self.value
        try:
            raise error
        finally:
            del self, error  # else the error would hold this frame, and this frame the error


class Numbered(Pending):
    """A call in a node that remembers: it has the number of the record that has answered it."""

    history: Any = None

    def resolve(self, value: Any) -> None:
        """Set the outcome `replied` with `value`."""
        self.record = self.record or self.history.last()
        Pending.resolve(self, value)


def checked_seconds(seconds: Any, name: str = "timeout_s", *, endless: bool = True) -> None:
    """Look at seconds that a caller has given; less than 0 is over at once.

    None is no limit, where there may be none (`endless`).

    Raises:
        ValueError: they are no number that can be waited for.

    >>> checked_seconds(float("nan"))
    Traceback (most recent call last):
        ...
    ValueError: timeout_s=nan is no time: expected a number of seconds, or None
    """
    if type(seconds) is float and seconds >= 0:  # the plain case, and no nan
        return
    if not (is_number_of_seconds(seconds) or (endless and seconds is None)):
        wanted = f"expected a number of seconds{', or None' * endless}"
        raise ValueError(f"{name}={cut(ascii(seconds))} is no time: {wanted}")


def checked_request_id(request_id: str, worker: str) -> str:
    """Return a request id, if it is one; "" stands for none.

    Raises:
        DecodeError: it is no text of at most `MAX_REQUEST_CHARACTERS` printable characters, or has
            a blank at an end, which no header carries. Nothing was stepped.
    """
    if type(request_id) is not str:
        wrong = f"it is of type {type(request_id).__name__}"
    elif len(request_id) > MAX_REQUEST_CHARACTERS:
        wrong = f"it has {len(request_id)} characters"
    elif not request_id.isprintable():
        wrong = "it holds characters that are not printable"
    elif request_id.isspace():
        wrong = "it is blank"
    elif request_id != request_id.strip():
        wrong = "it has a blank at an end"
    else:
        return request_id
    expected = f"text of at most {MAX_REQUEST_CHARACTERS} printable characters"
    raise DecodeError(f"the request id is refused: {wrong}; expected {expected}", worker=worker)


def late(worker: str, timeout_s: float) -> CallTimeout:
    """The error of a call whose time was over before its answer came."""
    return CallTimeout(
        f"{worker} did not answer within {timeout_s:g} s", worker=worker, reason="timeout"
    )
