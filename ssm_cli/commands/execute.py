"""Commands carried out on any `NodeApi`, near or far. Only `call` knows asyncio from not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import msgspec

from ssm_cli.commands import records, text
from ssm_cli.commands.future_verbs import FUTURES
from ssm_cli.commands.handlers import handle
from ssm_cli.commands.later import (
    SettledThere,
    afork_settled,
    fork_settled,
    is_in_fork,
    noted,
    takes_long,
)
from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Result, made_result, refused
from ssm_cli.commands.routes import HERE_ONLY
from ssm_cli.commands.values import data_of
from ssm_cli.commands.verbs import VERBS
from ssm_cli.errors import CalleeCrashed, CallError, CallTimeout, DecodeError, SsmError
from ssm_cli.exit_codes import exit_code_of
from ssm_cli.runtime.api import NodeApi

DEFAULT_TIMEOUT_S = 5.0
NAMES = frozenset({"worker", "name", "supervisor"})  # the kinds of parameters that name nodes
LOG = "log"  # at a prompt and in a script
Clock = Callable[[], float]


@runtime_checkable
class ValueCaller(Protocol):
    """A `NodeApi` that also hands over the output object that its codec encoded."""

    def call_value(
        self, worker: str, message: bytes, timeout_s: float | None
    ) -> tuple[bytes, object]:
        """The encoded output, and the output."""
        ...

    async def acall_value(
        self,
        worker: str,
        message: bytes,
        timeout_s: float | None,
        answered: Callable[[tuple[bytes, object] | SsmError], None] | None = None,
    ) -> tuple[bytes, object]:
        """`call_value` for asyncio; `answered` hears of the outcome at its very moment."""
        ...


def execute(
    command: Command,
    api: NodeApi,
    clock: Clock = time.perf_counter,
    log: str = LOG,
) -> Result:
    """Carry out a command and wait for it.

    Args:
        command: from `parse_line` or `parse_words`.
        api: the tree to ask.
        clock: monotonic seconds, for the duration of a call.
        log: how reports are asked for at the door where the result is read; "" if they cannot be.

    Returns:
        The result. Every `SsmError` becomes a result with `error` set; nothing else is caught.
    """
    if command.verb != "call":
        result, api, there = _begun(command, api)
        return result if there is api else noted(result, fork_settled(command, api, there))
    worker, data, wait_s = _call_of(command, DEFAULT_TIMEOUT_S)
    begun, there = clock(), api
    try:
        there = standing(command, api)
        if isinstance(there, ValueCaller):
            output, value = there.call_value(worker, data, wait_s)
        else:
            output = value = there.call(worker, data, wait_s)
    except SsmError as error:
        if there is api and command.at:
            return _failed(command, error, 0.0, log, 0)
        number = answered_by(there, command) if isinstance(error, CallError) else 0
        failed = _failed(command, error, (clock() - begun) * 1000, log, number)
        return noted(failed, fork_settled(command, api, there))
    result = _replied(command, there, output, value, (clock() - begun) * 1000)
    return noted(result, fork_settled(command, api, there))


async def aexecute(
    command: Command,
    api: NodeApi,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    clock: Clock = time.perf_counter,
    *,
    show: Callable[[Result], None] | None = None,
    log: str = LOG,
    note: Callable[[str], None] | None = None,
) -> Result:
    """`execute` for asyncio: while a call waits, other tasks run. Cancelling it stops waiting.

    So it is with whatever takes long, and with forks; `note` is told how far some are. `show`
    is called once with the result, for a call at the very moment of its outcome: a crash
    is answered before the worker terminates and is restarted, and is shown in that order.
    """
    if command.verb == "call":
        return await _call_later(command, timeout_s, _Answer(command, api, clock, show, log))
    if takes_long(command, api):
        result = await _execute_later(command, api, note)
    else:
        result, reached, there = _begun(command, api)
        if there is not reached:
            result = noted(result, await afork_settled(command, reached, there))
    if show is not None:
        show(result)
    return result


async def _call_later(command: Command, timeout_s: float | None, answer: _Answer) -> Result:
    """Call a worker, and wait for the outcome while other tasks run."""
    worker, data, wait_s = _call_of(command, timeout_s)
    try:
        live, api = answer.api, standing(command, answer.api)
        answer.api = api
        if is_in_fork(command) and not isinstance(api, SettledThere):
            await _call_in_fork(command, live, answer, wait_s)
        elif isinstance(api, ValueCaller):
            await api.acall_value(worker, data, wait_s, answer.take)
        else:
            output = await api.acall(worker, data, wait_s)
            answer.take((output, output))
    except SsmError as error:
        if answer.result is None:
            answer.take(error, arrived=False)
    finally:
        answer.forget()
    assert answer.result is not None
    return answer.result


async def result_of(command: Command, asked: Awaitable[bytes], log: str) -> Result:
    """Wait for the output of a call that no tree carries here; return its result.

    Every `SsmError` becomes a result with `error` set; nothing else is caught.
    """
    begun = time.perf_counter()
    try:
        output = await asked
    except SsmError as error:
        return _failed(command, error, (time.perf_counter() - begun) * 1000, log, 0)
    shown = _shown(output)
    return _reply(command, shown, shown, shown, (time.perf_counter() - begun) * 1000)


async def _call_in_fork(
    command: Command, live: NodeApi, answer: _Answer, wait_s: float | None
) -> None:
    """Call a worker of a fork, which is served in turns until nothing waits in it.

    Raises:
        CallError: the call did not get to its worker.
    """
    fork: Any = answer.api
    worker, data, _ = _call_of(command, None)
    pending = fork.send_request(worker, data)
    answer.note = await afork_settled(command, live, fork)
    fork.recorder().answered = pending.record
    if not pending.done:
        within = "" if wait_s is None else f" within {wait_s:g} s"
        text = f"{worker} did not answer{within}; `advance 90s` lets its time pass"
        pending.fail(CallTimeout(text, worker=worker, reason="timeout"))
    try:
        output = pending.result()
        answer.take((fork.encode(worker, output), output))
    except SsmError as error:
        answer.take(error)


class _Answer:
    """Turns the outcome of a call into its result, and shows that, once.

    Attributes:
        api: the tree that is asked: another one, where the call is about another place in time.
        note: why the fork that is asked was stopped, "" where it was not.
    """

    def __init__(
        self,
        command: Command,
        api: NodeApi,
        clock: Clock,
        show: Callable[[Result], None] | None,
        log: str,
    ) -> None:
        self.result: Result | None = None
        self._command = command
        self.api = api
        self._clock = clock
        self._show = show
        self._log = log
        self.note = ""
        self._begun = clock()

    def forget(self) -> None:
        """Show nothing that comes from now on: nobody waits any more."""
        self._show = None

    def take(self, answer: tuple[bytes, object] | SsmError, *, arrived: bool = True) -> None:
        """The outcome is there; or none, as the call did not arrive, or nobody waits any more."""
        ms = (self._clock() - self._begun) * 1000
        if isinstance(answer, SsmError):
            number = answered_by(self.api, self._command) if arrived else 0
            self.result = _failed(self._command, answer, ms, self._log, number)
        else:
            self.result = _replied(self._command, self.api, *answer, ms)
        if arrived and is_in_fork(self._command) and isinstance(self.api, SettledThere):
            self.note = self.api.stopped()
        self.result = noted(self.result, self.note)
        if self._show is not None:
            self._show(self.result)


def _begun(command: Command, api: NodeApi) -> tuple[Result, NodeApi, NodeApi]:
    """Carry out any verb but `call`: it does not wait for a step.

    Returns:
        What it came to, the tree that was reached, and that of the place in time: a fork may have
        something to serve then.
    """
    there = api
    try:
        command, api = reaching(command, api)
        there = api
        there = standing(command, api)
        with asking(there, command.place or "prompt"):
            return handle(command, there), api, there
    except SsmError as error:
        return refused(error, command), api, there


async def _execute_later(
    command: Command, api: NodeApi, note: Callable[[str], None] | None
) -> Result:
    """A verb that may take some seconds, in a process of its own or in turns."""
    from ssm_cli.commands.futures import ask_beside  # noqa: PLC0415 - much, for few verbs
    from ssm_cli.commands.scratch import ahandle_past  # noqa: PLC0415 - as above

    try:
        ask = ask_beside if command.verb in FUTURES else ahandle_past
        return await ask(*reaching(command, api), note)
    except SsmError as error:
        return refused(error, command)


def asking(api: NodeApi, who: str) -> AbstractContextManager[None]:
    """A block in which changes by hand are asked for by `who`, where the tree remembers."""
    return api.asked_by(who) if isinstance(api, Rememberer) else nullcontext()


def reaching(command: Command, api: NodeApi) -> tuple[Command, NodeApi]:
    """Return the command as the remote child is asked that it is about, and that child.

    It is named by `--in`, or in front of a worker's name: `billing.invoice`. `call`, `cast` and
    `publish` go their own way, and a tree of another process finds such names itself.

    Raises:
        CallError: there is no such remote child, or it cannot be reached.
    """
    verb, into, arguments = VERBS[command.verb], command.into, command.arguments
    if not verb.asks or (verb.route is not None and verb.route.effect in HERE_ONLY):
        return command, api
    for parameter in verb.parameters:
        far = api.far(arguments.get(parameter.name, "")) if parameter.kind in NAMES else None
        if far is not None and into in ("", far[0]):
            into, arguments = far[0], arguments | {parameter.name: far[1]}
    if not into:
        return command, api
    found: NodeApi = api.perform("reach", into)
    return msgspec.structs.replace(command, arguments=arguments, into=""), found


def standing(command: Command, api: NodeApi) -> NodeApi:
    """Return the tree that a command is about: that of its place in time.

    A verb of the past asks the tree of now, and tells it the place.

    Raises:
        ReadOnly: it is in the past, and the command does not only read.
        Forgotten: it is not remembered.
    """
    verb = VERBS[command.verb]
    if not command.at or verb.route is None or verb.section == "history":
        return api
    found: NodeApi = api.perform("standing", command.at, reading=verb.route.method == "GET")
    return found


def _call_of(command: Command, timeout_s: float | None) -> tuple[str, bytes, float | None]:
    """Worker, input bytes and seconds to wait. Bytes that were no UTF-8 arrive as they came."""
    wait_s = timeout_s if command.timeout_s is None else command.timeout_s
    worker, given = _asked(command)
    return worker, given.encode("utf-8", "surrogateescape"), wait_s


def _replied(command: Command, api: NodeApi, output: bytes, value: object, ms: float) -> Result:
    shown = _shown(output)
    if value is output:
        value = shown
    data = data_of(api, command.arguments["worker"], value)
    return _reply(command, shown, value, data, ms, number=answered_by(api, command))


def _shown(output: bytes) -> str:
    return output.decode("utf-8", "backslashreplace")


def _reply(
    command: Command, shown: str, value: object, data: object, ms: float, *, number: int = 0
) -> Result:
    record = records.reply_record(*_asked(command), shown, data, ms, number=number)
    return made_result("call", text.output_lines(shown), (record,), command.output, value=value)


def _failed(command: Command, error: SsmError, ms: float, log: str, number: int) -> Result:
    """A call with another outcome than `replied`."""
    if not isinstance(error, CallError):
        return refused(error, command)
    worker, given, place = *_asked(command), command.place
    record = records.failed_reply_record(worker, given, error, ms, place, number=number)
    line = text.brief(_failure_line(worker, given, error, log), 4000)
    return made_result(
        "call",
        (f"{place}: {line}" if place else line,),
        (record,),
        command.output,
        exit_code=exit_code_of(error),
        error=True,
    )


def answered_by(api: NodeApi, command: Command) -> int:
    """Return the record of the call that was answered last, 0 for none; note who has asked."""
    number = api.answered()
    if number and isinstance(api, Rememberer):
        api.note_asker(number, command.place or "prompt")
    return number


@runtime_checkable
class Rememberer(Protocol):
    """A node of this process, which remembers who has asked."""

    def asked_by(self, who: str) -> AbstractContextManager[None]:
        """A block in which `who` asks for changes by hand: records of them say so."""
        ...

    def note_asker(self, record: int, who: str) -> None:
        """Remember who has asked for what a record came from."""
        ...


def _asked(command: Command) -> tuple[str, str]:
    return command.arguments["worker"], command.arguments["input"]


def _failure_line(worker: str, given: str, error: CallError, log: str) -> str:
    """What happened, to whom, and what next at the door where it is read."""
    match error:
        case CalleeCrashed(error=BaseException() as cause):
            what = f"{type(cause).__name__}: {records.crash_said(error)}"
            where = f" --in {error.child}" if error.child else ""
            next_ = f"; `{log}{where}` shows what its supervisor did" if log else ""
            return f"{worker} crashed on `{given}`: {what}{next_}"
        case DecodeError():
            at = f" at column {error.column} of the input" if error.column else ""
            wrong = str(error).removeprefix(f"{worker}: ")
            return f"{worker} was not touched{at}: {wrong}"
        case _:
            return str(error)
