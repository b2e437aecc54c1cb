"""Commands carried out on any `NodeApi`, near or far. Only `call` knows asyncio from not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.commands import records, text
from ssm_cli.commands.exit_codes import ExitCode, exit_code_of
from ssm_cli.commands.health import all_run
from ssm_cli.commands.parse import Command
from ssm_cli.commands.values import child_spec_of, state_of
from ssm_cli.commands.verbs import TABLE, find_verb, help_lines, nearest
from ssm_cli.errors import (
    CalleeCrashed,
    CallError,
    CommandError,
    DecodeError,
    SsmError,
    SupervisorError,
)
from ssm_cli.runtime.api import NodeApi

DEFAULT_TIMEOUT_S = 5.0
Clock = Callable[[], float]


class Result(msgspec.Struct, frozen=True):
    """What a command came to.

    Attributes:
        kind: the verb, or `error` for a line that is no command.
        lines: what a reader sees, in the form that the command's own `-o` asked for.
        records: JSON-ready values, one for each line of `-o json`.
        exit_code: what the process would exit with; not 0 is a failure.
        error: `lines` belong on standard error.
        value: the output of a call, the state of `state`, ...; None otherwise.
        output: what the command's own `-o` asked for, or None.
        ends: the session ends with this command.
    """

    kind: str
    lines: tuple[str, ...] = ()
    records: tuple[object, ...] = ()
    exit_code: ExitCode = ExitCode.DONE
    error: bool = False
    value: object = None
    output: str | None = None
    ends: bool = False


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
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    clock: Clock = time.perf_counter,
) -> Result:
    """Carry out a command and wait for it.

    Args:
        command: from `parse_line` or `parse_words`.
        api: the tree to ask.
        timeout_s: seconds that a call waits, unless the command says otherwise.
        clock: monotonic seconds, for the duration of a call.

    Returns:
        The result. Every `SsmError` becomes a result with `error` set; nothing else is caught.
    """
    if command.verb != "call":
        return _execute_at_once(command, api)
    worker, data, wait_s = _call_of(command, timeout_s)
    begun = clock()
    try:
        if isinstance(api, ValueCaller):
            output, value = api.call_value(worker, data, wait_s)
        else:
            output = value = api.call(worker, data, wait_s)
    except SsmError as error:
        return _failed(command, error, (clock() - begun) * 1000)
    return _replied(command, output, value, (clock() - begun) * 1000)


async def aexecute(
    command: Command,
    api: NodeApi,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    clock: Clock = time.perf_counter,
    show: Callable[[Result], None] | None = None,
) -> Result:
    """`execute` for asyncio: while a call waits, other tasks run. Cancelling it stops waiting.

    `show` is called once with the result, for a call at the very moment of its outcome: a crash
    is answered before the worker terminates and is restarted, and is shown in that order.
    """
    if command.verb != "call":
        result = _execute_at_once(command, api)
    else:
        worker, data, wait_s = _call_of(command, timeout_s)
        answer = _Answer(command, clock, show)
        try:
            if isinstance(api, ValueCaller):
                await api.acall_value(worker, data, wait_s, answer.take)
            else:
                output = await api.acall(worker, data, wait_s)
                answer.take((output, output))
        except SsmError as error:
            if answer.result is None:
                answer.take(error)
        assert answer.result is not None
        return answer.result
    if show is not None:
        show(result)
    return result


class _Answer:
    """Turns the outcome of a call into its result, and shows that, once."""

    def __init__(
        self, command: Command, clock: Clock, show: Callable[[Result], None] | None
    ) -> None:
        self.result: Result | None = None
        self._command = command
        self._clock = clock
        self._show = show
        self._begun = clock()

    def take(self, answer: tuple[bytes, object] | SsmError) -> None:
        """The outcome is there."""
        ms = (self._clock() - self._begun) * 1000
        if isinstance(answer, SsmError):
            self.result = _failed(self._command, answer, ms)
        else:
            self.result = _replied(self._command, *answer, ms)
        if self._show is not None:
            self._show(self.result)


def refused(error: SsmError, kind: str = "error", output: str | None = None) -> Result:
    """The result of a line that is no command, or of a command that failed.

    >>> refused(CommandError("`cal` is no command", column=1)).exit_code.name
    'USAGE'
    """
    record = records.error_record(error)
    line = text.one_line(records.message_of(error), 4000)
    if isinstance(error, CommandError):
        line = f"column {error.column}: {line}"
    return _result(kind, (line,), (record,), output, exit_code=exit_code_of(error), error=True)


def _execute_at_once(command: Command, api: NodeApi) -> Result:
    """Any verb but `call`: it does not wait for a step, so there is no async form of it."""
    try:
        return HANDLERS[command.verb](command, api)
    except SsmError as error:
        return refused(error, command.verb, command.output)


def _call_of(command: Command, timeout_s: float | None) -> tuple[str, bytes, float | None]:
    """Worker, input bytes and seconds to wait. Bytes that were no UTF-8 arrive as they came."""
    wait_s = timeout_s if command.timeout_s is None else command.timeout_s
    return command.arguments["worker"], _input_of(command), wait_s


def _input_of(command: Command) -> bytes:
    return command.arguments["input"].encode("utf-8", "surrogateescape")


def _replied(command: Command, output: bytes, value: object, ms: float) -> Result:
    shown = output.decode("utf-8", "backslashreplace")
    if value is output:
        value = shown
    worker, given = command.arguments["worker"], command.arguments["input"]
    record = records.reply_record(worker, given, shown, value, ms)
    return _result("call", text.output_lines(shown), (record,), command.output, value=value)


def _failed(command: Command, error: SsmError, ms: float) -> Result:
    """A call with another outcome than `replied`."""
    if not isinstance(error, CallError):
        return refused(error, "call", command.output)
    worker, given = command.arguments["worker"], command.arguments["input"]
    record = records.failed_reply_record(worker, given, error, ms)
    return _result(
        "call",
        (text.one_line(_failure_line(worker, given, error), 4000),),
        (record,),
        command.output,
        exit_code=exit_code_of(error),
        error=True,
    )


def _failure_line(worker: str, given: str, error: CallError) -> str:
    """What happened, to whom, and what next."""
    match error:
        case CalleeCrashed(error=BaseException() as cause):
            what = f"{type(cause).__name__}: {records.message_of(cause)}"
            return f"{worker} crashed on `{given}`: {what}; `log` shows what was restarted"
        case DecodeError():
            at = f" at column {error.column} of the input" if error.column else ""
            return f"{worker} was not touched{at}: {error}"
        case _:
            return str(error)


def _result(
    kind: str,
    lines: tuple[str, ...],
    made: Sequence[object],
    output: str | None,
    **more: Any,
) -> Result:
    """A result whose lines are in the form that the command asked for."""
    if output in ("json", "jsonl"):
        lines = tuple(records.json_line(record) for record in made)
    return Result(kind, lines, tuple(made), output=output, **more)


def _answer(command: Command, value: object, lines: tuple[str, ...]) -> Result:
    """A result of one JSON value."""
    return _result(command.verb, lines, (value,), command.output, value=value)


def _done(command: Command, line: str = "ok", **more: Any) -> Result:
    """A result of a command that has nothing to tell but that it is done."""
    record = records.done_record(command.verb, command.arguments)
    return _result(command.verb, (line,), (record,), command.output, **more)


def _cast(command: Command, api: NodeApi) -> Result:
    api.cast(command.arguments["worker"], _input_of(command))
    return _done(command)


def _state(command: Command, api: NodeApi) -> Result:
    worker = command.arguments["worker"]
    state = api.get_state(worker)
    shown = api.encode(worker, state).decode("utf-8", "backslashreplace")
    return _result(
        "state", text.output_lines(shown), (jsonable(state),), command.output, value=state
    )


def _set(command: Command, api: NodeApi) -> Result:
    worker = command.arguments["worker"]
    state = state_of(command.arguments["value"], api.get_state(worker))
    api.replace_state(worker, state)
    return _done(command)


def _trace(command: Command, api: NodeApi) -> Result:
    api.trace(command.arguments["worker"], command.arguments.get("switch", "on") == "on")
    return _done(command)


def _stats(command: Command, api: NodeApi) -> Result:
    value = msgspec.to_builtins(api.statistics(command.arguments["worker"]))
    return _answer(command, value, _pairs(value))


def _tree(command: Command, api: NodeApi) -> Result:
    view = api.tree()
    lines = text.dot_lines(view) if command.output == "dot" else text.tree_lines(view)
    code = ExitCode.DONE if all_run(view, api) else ExitCode.NOT_RUNNING
    made = (records.tree_record(view),)
    return _result("tree", lines, made, command.output, exit_code=code, value=view)


def _log(command: Command, api: NodeApi) -> Result:
    reports = api.reports(last=command.last)
    lines = tuple(text.report_line(report) for report in reports)
    return _result(
        "log", lines, [records.report_record(report) for report in reports], command.output
    )


def _start_child(command: Command, api: NodeApi) -> Result:
    spec = child_spec_of(command.arguments["spec"])
    name = api.start_child(command.arguments["sup"], spec)
    return _child(command, name)


def _terminate_child(command: Command, api: NodeApi) -> Result:
    """OTP wants the process of a dynamic child; people name it, and mean the one that runs."""
    sup, child = command.arguments["sup"], command.arguments["id"]
    try:
        api.terminate_child(sup, child)
    except SupervisorError as error:
        process = api.whereis(child) if error.term == "simple_one_for_one" else None
        if process is None:
            raise
        api.terminate_child(sup, process)
    return _done(command)


def _restart_child(command: Command, api: NodeApi) -> Result:
    name = api.restart_child(command.arguments["sup"], command.arguments["id"])
    return _child(command, name)


def _child(command: Command, name: str | None) -> Result:
    """The name of a started child; None where its init answered ignore."""
    record = records.done_record(command.verb, command.arguments) | {"child": name}
    line = "ignored" if name is None else name
    return _result(command.verb, (line,), (record,), command.output, value=name)


def _which_children(command: Command, api: NodeApi) -> Result:
    children = api.which_children(command.arguments["sup"])
    return _answer(command, msgspec.to_builtins(children), text.children_lines(children))


def _count_children(command: Command, api: NodeApi) -> Result:
    value = msgspec.to_builtins(api.count_children(command.arguments["sup"]))
    return _answer(command, value, _pairs(value))


def _get_childspec(command: Command, api: NodeApi) -> Result:
    view = api.get_childspec(command.arguments["sup"], command.arguments["id"])
    value = msgspec.to_builtins(view)
    return _answer(command, value, _pairs(value))


def _help(command: Command, _api: NodeApi) -> Result:
    word = command.arguments.get("verb")
    if word is not None and find_verb(word) is None:
        near = nearest(word, [verb.name for verb in TABLE])
        hint = f"did you mean `{near}`?" if near else "`help` lists the commands"
        raise CommandError(f"there is no command `{word}`; {hint}", column=6)
    verbs = [find_verb(word)] if word else list(TABLE)
    value = [{"verb": v.name, "usage": v.usage, "help": v.help} for v in verbs if v]
    return _answer(command, value, help_lines(word))


def _stop(command: Command, api: NodeApi) -> Result:
    api.stop()
    return _done(command, ends=True)


def _quit(command: Command, _api: NodeApi) -> Result:
    return Result(command.verb, ends=True)


def _pairs(value: dict[str, object]) -> tuple[str, ...]:
    """A flat mapping, one `key: value` a line, aligned."""
    width = max(len(key) for key in value) + 1
    shown = {key: f"{v:.3f}" if isinstance(v, float) else str(v) for key, v in value.items()}
    return tuple(f"{f'{key}:'.ljust(width)} {text.one_line(v)}" for key, v in shown.items())


def _by_name(
    ask: Callable[[NodeApi, dict[str, str]], None],
) -> Callable[[Command, NodeApi], Result]:
    """A handler for a request that answers nothing."""

    def handler(command: Command, api: NodeApi) -> Result:
        ask(api, command.arguments)
        return _done(command)

    return handler


HANDLERS: dict[str, Callable[[Command, NodeApi], Result]] = {
    "cast": _cast,
    "state": _state,
    "set": _set,
    "suspend": _by_name(lambda api, given: api.suspend(given["name"])),
    "resume": _by_name(lambda api, given: api.resume(given["name"])),
    "trace": _trace,
    "stats": _stats,
    "kill": _by_name(lambda api, given: api.kill(given["name"])),
    "tree": _tree,
    "log": _log,
    "stop": _stop,
    "start-child": _start_child,
    "terminate-child": _terminate_child,
    "restart-child": _restart_child,
    "delete-child": _by_name(lambda api, given: api.delete_child(given["sup"], given["id"])),
    "which-children": _which_children,
    "count-children": _count_children,
    "get-childspec": _get_childspec,
    "help": _help,
    "quit": _quit,
}
