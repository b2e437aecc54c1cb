"""Every error that `ssm` raises, under one root.

    SsmError
    ├── CallError             a call ended in an outcome other than `replied`
    │   ├── CalleeCrashed     the step raised or overran; carries the reason
    │   ├── CalleeStopped     the worker or the tree ended before it answered
    │   │   └── GaveUp        the root reached its restart intensity, and the tree is down
    │   ├── NoProc            no such worker, or it is not running
    │   ├── CallTimeout       the caller stopped waiting; a late reply is dropped
    │   ├── DecodeError       the bytes are no input; the worker was not touched
    │   ├── QueueFull         the bounded queue took no more
    │   │   └── Busy          the queue of a remote subtree took no more
    │   ├── NoConnection      a remote subtree cannot be reached; it may live on
    │   └── Denied            the caller may not do this
    ├── SupervisorError       a supervisor refused (`not_found`, `running`, ...)
    ├── SysError              a system message was refused (`callback_failed`, ...)
    ├── StartFailed           the tree did not come up; what had started was stopped
    ├── SpecError             a spec does not validate; carries every complaint
    │   └── TreeFileError     ... and came from a tree file
    ├── CommandError          a line at the prompt, in a script or in argv is no command
    ├── CalledFromStep        a step called its own node; return an effect instead
    ├── StorageError          what must outlive the process cannot be written or read
    │   ├── StorageDamaged    what is stored is not what was written
    │   ├── Unrecovered       a worker cannot go on with what is stored of it; the others can
    │   ├── StorageInUse      another process is its writer
    │   └── Fenced            another owner has gone on with it; this one must end
    ├── CodeRefused           other code cannot be taken; the old code runs on
    ├── Forgotten             a record is not remembered, or not there yet
    ├── TakenOver             another process has taken the remote children of the tree over
    ├── ReadOnly              the past can be looked at, and no more
    └── NoTree                no running tree was found, or it cannot be reached

Each class knows its `outcome` (`CONTRACT` section 4); `exit_codes.py` maps outcomes and
classes to exit codes in one table. `StepTimeout` stands apart: it is a `BaseException`, raised
into a runaway step by the guard so that `except Exception` cannot swallow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar


class SsmError(Exception):
    """The root of all errors that `ssm` raises on purpose. Catch this to catch them all.

    `excerpt` are lines that go with the message: the place in a text with a caret below it, or
    more of the same.
    """

    excerpt: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it again in another process: what was given to make it is not kept."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class CallError(SsmError):
    """A call that ended in an outcome other than `replied`.

    Attributes:
        outcome: one word of the contract's closed list.
        worker: the name that was called.
        reason: the exit reason as the contract spells it (`crash`, `step_timeout`, ...).
        stepped: whether the input may have changed the worker; False if it only waited.
        child: the remote child in which that happened; "" if it is the tree that was called.
    """

    outcome: ClassVar[str] = "crashed"
    stepped: bool = False
    child: str = ""

    def __init__(self, message: str, *, worker: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.worker = worker
        self.reason = reason

    def __str__(self) -> str:
        """Return the text; it begins with the name of the worker if that is not in it already.

        In the text of another computer a worker has its name there, without that of the subtree.
        """
        text = super().__str__()
        there = re.escape(self.worker.rpartition(".")[2])
        named = re.search(rf"(?<![\w-]){there}(?![\w-])", text)
        return text if named or not self.worker else f"{self.worker}: {text}"


class CalleeCrashed(CallError):
    """The step raised or overran its limit. Raised to the caller whose input did it.

    `error` is the exception of the step; for an overrun it is the `StepTimeout`. `said` is its
    text, made under the limit of the step: to show it runs no code of the worker any more.
    """

    outcome = "crashed"
    stepped = True

    def __init__(
        self,
        message: str,
        worker: str = "",  # positions, as keywords take longer: each crash with a caller makes one
        reason: str = "crash",
        error: BaseException | None = None,
        said: str | None = None,
    ) -> None:
        self.args = (message,)  # and not three constructors, for the same reason
        self.worker = worker
        self.reason = reason
        self.error = error
        self.said = said


class CalleeStopped(CallError):
    """The worker ended (or the whole tree stopped) before it answered."""

    outcome = "stopped"
    stepped = True


class GaveUp(CalleeStopped):
    """The root reached its restart intensity, and the tree is down. Raised to later calls."""


class NoProc(CallError):
    """No such worker, or it is not running: stopped, or between restart attempts."""

    outcome = "noproc"


class CallTimeout(CallError):
    """The caller stopped waiting. The input may still be stepped; its reply is dropped."""

    outcome = "timeout"


class DecodeError(CallError):
    """The bytes are no input of this worker, which was not touched.

    Attributes:
        expected: the constructors or fields that would have been right.
        column: where in the input it goes wrong, from 1; 0 where no place can be named.
    """

    outcome = "undecodable"

    def __init__(
        self,
        message: str,
        *,
        worker: str = "",
        expected: tuple[str, ...] = (),
        column: int = 0,
    ) -> None:
        super().__init__(message, worker=worker)
        self.expected = expected
        self.column = column


class QueueFull(CallError):
    """The node's bounded queue took no more. Raised by the `nowait` calls only."""

    outcome = "queue_full"


class Busy(QueueFull):
    """A remote subtree has as many calls under way as it takes. The input was not stepped."""

    outcome = "busy"


class NoConnection(CallError):
    """A remote subtree cannot be reached. Whether the input was stepped is not known."""

    outcome = "noconnection"


class Denied(CallError):
    """The caller may not do this."""

    outcome = "denied"


class RemoteError(Exception):
    """An exception of a step in another process, whose class has the original's name."""


def remote_error(kind: str, message: str) -> RemoteError:
    """Return an exception whose class is called `kind`.

    >>> type(remote_error("KeyError", "'x'")).__name__
    'KeyError'
    """
    name = kind if kind.isidentifier() else "Exception"
    made: type[RemoteError] = type(name, (RemoteError,), {})
    return made(message)


def failed_call(
    outcome: str,
    message: str,
    worker: str,
    reason: str = "",
    crash: tuple[str, str] = ("", ""),
) -> CallError:
    """The error that an outcome other than `replied` stands for; an unknown one is a `CallError`.

    Of a crash, `crash` is the type and the text of the exception; empty where they are not known.

    >>> failed_call("busy", "billing is busy", "billing.invoice")
    Busy('billing is busy')
    """
    kind = next((c for c in OUTCOMES if c.outcome == outcome), CallError)
    if kind is CalleeCrashed and crash[0]:
        return CalleeCrashed(message, worker, reason, remote_error(*crash), crash[1])
    error = kind(message, worker=worker)
    error.reason = reason
    return error


OUTCOMES: tuple[type[CallError], ...] = (
    CalleeCrashed, CalleeStopped, NoProc, CallTimeout, DecodeError, QueueFull, Busy, NoConnection,
    Denied,
)  # fmt: skip
"""The classes of calls that failed, each with an outcome of its own."""


class SupervisorError(SsmError):
    """A supervisor refused a request, in OTP's words.

    Attributes:
        term: the error term: a word (`"not_found"`), or `{tag: term}`.
        complaints: everything that is wrong with the spec it refused, if that is the reason.
    """

    def __init__(self, message: str, *, term: object, complaints: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.term = term
        self.complaints = complaints


class SysError(SsmError):
    """A system message (`sys`) was refused or failed, in OTP's words.

    Attributes:
        term: `"callback_failed"`, `"unknown_system_msg"`, or the reason a callback gave.
    """

    def __init__(self, message: str, *, term: object) -> None:
        super().__init__(message)
        self.term = term


class StartFailed(SsmError):
    """The tree did not come up. Children that had started were stopped in reverse order.

    Attributes:
        term: OTP's error term, `{"shutdown": {"failed_to_start_child": [id, term]}}`.
        ignored: the root's init answered ignore.
        complaints: everything that is wrong with the tree, if that is the reason.
    """

    def __init__(
        self,
        message: str,
        *,
        term: object,
        ignored: bool = False,
        complaints: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.term = term
        self.ignored = ignored
        self.complaints = complaints


class SpecError(SsmError, TypeError):
    """A spec does not validate, and nothing was started. `complaints` holds every complaint.

    Raised by `Node(...)`; `load_tree` raises the subclass, and `start_child` a `SupervisorError`
    with the same complaints. Each is `PATH: what is wrong; expected ...; did you mean ...?`.
    """

    def __init__(self, message: str, *, complaints: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.complaints = complaints


class TreeFileError(SpecError):
    """A tree file does not validate. Its complaints are in file order, with line and column."""


class CommandError(SsmError):
    """A line is no command; `place` is its file and line.

    `column` is where it goes wrong, from 1; 0 where no place can be named.
    """

    def __init__(self, message: str, *, column: int = 0) -> None:
        super().__init__(message)
        self.column = column
        self.place = ""


class CalledFromStep(SsmError):
    """A step called its own node, which is busy with that step. Return an effect instead."""


class CodeRefused(SsmError):
    """Other code for workers that run cannot be taken; says why. Nothing is changed."""


class Forgotten(SsmError):
    """A record is not remembered any more, or is not there yet; says which ones are."""


class TakenOver(SsmError):
    """Another process has taken the remote children of a tree over; this one has ended in order."""


class ReadOnly(SsmError):
    """What was asked for would change the past; a fork of it can be changed."""


class NoTree(SsmError):
    """No running tree was found, or it cannot be reached."""


class StorageError(SsmError):
    """What must outlive the process cannot be written or read: a full disk, a read-only folder.

    Attributes:
        unsure: whether what was to be written may be there at the next start all the same.
    """

    unsure: bool = False


class StorageDamaged(StorageError):
    """What is stored is not what was written. Nothing was changed; the message names the place."""


class Unrecovered(StorageError):
    """A durable worker cannot go on with what is stored of it, all of which is still there.

    Attributes:
        worker: its id.
        reason: a word: `differs`, `raises`, `undecodable`, `migrate`, `moved`, `restore`,
            `renamed`.
        record: the number of the record that says so; 0 where it is the saved state.
    """

    def __init__(
        self, message: str, *, worker: str = "", reason: str = "differs", record: int = 0
    ) -> None:
        super().__init__(message)
        self.worker = worker
        self.reason = reason
        self.record = record


class StorageInUse(StorageError):
    """Another process is the writer of this store."""


class Fenced(StorageError):
    """Another owner has gone on with this store; what this one has not written is void."""


class StepTimeout(BaseException):
    """Raised into a step, init or terminate that overran its limit. Do not catch it.

    Attributes:
        owner: the guard whose callback overran, as a number. A step may call another node: what is
            meant for the step passes through the callbacks of that node.
    """

    owner: int = 0


def is_interruption(error: BaseException) -> bool:
    """Return whether an exception out of user code is meant for whoever runs that code.

    It is Ctrl-C, or the limit of a step that runs the code. Whatever else code raises is its own:
    `SystemExit`, `GeneratorExit` and classes of its own, too.

    >>> is_interruption(KeyboardInterrupt()), is_interruption(SystemExit(9))
    (True, False)
    """
    kind = type(error)
    return kind is KeyboardInterrupt or (kind is StepTimeout and bool(vars(error).get("owner")))


def writable(text: str) -> str:
    r"""Return a text that any record, file, or peer takes: lone surrogates are written as escapes.

    >>> writable("caf\udce9") == r"caf\udce9"
    True
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def a_or_an(name: str) -> str:
    """Return a name of a type or a thing with its indefinite article, by its first letters.

    >>> a_or_an("int"), a_or_an("str"), a_or_an("User"), a_or_an("Update")
    ('an int', 'a str', 'a User', 'an Update')
    """
    vowel = re.match(r"_*([aeio]|u(?!ni|s|t|u))", name, re.IGNORECASE)
    return f"{'an' if vowel else 'a'} {name}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one.

    >>> counted(2217, "input"), counted(1, "run")
    ('2,217 inputs', '1 run')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some_names(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of some, and how many more there are.

    >>> some_names(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    first, more = ", ".join(names[:most]), len(names) - most
    return f"{first} and {more} more" if more > 0 else first


MOST_PLACES = 40  # of a whole number that somebody writes


def is_number(word: str) -> bool:
    """Return whether a word is digits from 0 to 9, one at least, and nothing else.

    >>> is_number("012"), is_number("-1"), is_number("1_0"), is_number("\u0663"), is_number("")
    (True, False, False, False, False)
    """
    return word.isascii() and word.isdecimal()


def whole_number(word: str, least: int = 0, most: int = 10**MOST_PLACES - 1) -> int | None:
    """Return the number from `least` to `most` that a word of decimal digits is; None: it is none.

    The one way from what a person wrote to such a number: `int` fails at 4,300 digits.

    >>> whole_number("012"), whole_number("9" * 5_000), whole_number("-1"), whole_number("9", 1, 8)
    (12, None, None, None)
    """
    if not is_number(word) or len(word.lstrip("0")) > MOST_PLACES:
        return None
    number = int(word.lstrip("0") or 0)
    return number if least <= number <= most else None


def message_of(
    error: BaseException, passes: Callable[[BaseException], bool] = is_interruption
) -> str:
    """Return what an exception says, `writable`; one that cannot is shown by its class alone.

    The one way from an exception of the user's to text. `__str__` is code of the user's, and may
    take any time: for the error of a step see `CalleeCrashed.said`. What it raises goes on where
    `passes` says so.

    >>> message_of(ValueError("no"))
    'no'
    """
    try:
        return writable(str.__str__(str(error)))
    except BaseException as failed:
        if passes(failed):
            raise
        kind, why = type(error).__name__, type(failed).__name__
        return f"<{kind} that cannot be shown: {why}>"
