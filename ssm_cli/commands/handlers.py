"""What each verb asks of the tree. `call` is apart, in `execute.py`, since it waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.commands import records, text
from ssm_cli.commands.future_verbs import FUTURES
from ssm_cli.commands.inputs import input_lines, input_records
from ssm_cli.commands.parse import Command, known_as
from ssm_cli.commands.results import Result, answered, done, made_result
from ssm_cli.commands.routes import MOST_INTEGER
from ssm_cli.commands.values import child_spec_of, data_of, set_state, state_of
from ssm_cli.commands.verb import Parameter
from ssm_cli.commands.verbs import TABLE, VERBS, find_verb, help_lines, nearest
from ssm_cli.commands.voice import report_line
from ssm_cli.errors import CommandError, NoProc, SsmError, SupervisorError, whole_number
from ssm_cli.exit_codes import ExitCode
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import NodeView


def _state(command: Command, api: NodeApi) -> Result:
    worker = command.arguments["worker"]
    state = api.get_state(worker)
    shown = api.shown(worker, state)
    return made_result(
        "state",
        text.output_lines(shown),
        (data_of(api, worker, state),),
        command.output,
        value=state,
    )


def _set(command: Command, api: NodeApi) -> Result:
    set_state(api, command.arguments["worker"], command.arguments["value"])
    return done(command)


def _tree(command: Command, api: NodeApi) -> Result:
    view = api.tree()
    lines = text.dot_lines(view) if command.output == "dot" else text.tree_lines(view)
    code = ExitCode.DONE if all_run(view, api) else ExitCode.NOT_RUNNING
    made = (records.tree_record(view),)
    return made_result("tree", lines, made, command.output, exit_code=code, value=view)


def _log(command: Command, api: NodeApi) -> Result:
    reports = api.reports(last=command.last)
    told = [(report_line(one), f"  (record {one.record})" * bool(one.record)) for one in reports]
    made = [records.report_record(report) for report in reports]
    return made_result("log", tuple(map("".join, told)), made, command.output)


def _crash(command: Command, api: NodeApi) -> Result:
    last = 1 if command.last is None else command.last
    reports = api.crash_reports(command.arguments.get("worker"), last)
    blocks = [text.crash_lines(report) for report in reports]
    lines = [line for block in blocks for line in (*block, "")][:-1]
    made = [records.crash_record(report) for report in reports]
    return made_result("crash", tuple(lines) or ("no crash",), made, command.output, value=reports)


def _status(command: Command, api: NodeApi) -> Result:
    worker = command.arguments["worker"]
    status = api.get_status(worker)
    state = api.shown(worker, status.state)
    value: dict[str, object] = {
        "id": status.id,
        "path": status.path,
        "status": status.status,
        "parent": status.parent,
        "state": data_of(api, worker, status.state),
        "log": [{"kind": e.kind, "value": data_of(api, worker, e.value)} for e in status.log],
    }
    lines = pairs({**value, "state": state, "log": len(status.log)})
    if status.record:
        value["record"] = status.record
    for waits in ("postponed", "timeouts"):
        both = getattr(status, waits)
        if both:
            value[waits] = [[kind, data_of(api, worker, said)] for kind, said in both]
            said = [f"{text.event_type(kind)} {api.shown(worker, said)}" for kind, said in both]
            lines = (*lines, *(text.brief(f"{waits}: {one}") for one in said))
    events = tuple(f"  {e.kind} {text.brief(api.shown(worker, e.value))}" for e in status.log)
    return answered(command, value, (*lines, *events))


def child_result(command: Command, name: str | None) -> Result:
    """Return the name of a started child; None where its init answered ignore."""
    record = records.done_record(command.verb, command.arguments) | {"child": name}
    line = "ignored" if name is None else name
    return made_result(command.verb, (line,), (record,), command.output, value=name)


def _which_children(command: Command, api: NodeApi) -> Result:
    children = api.which_children(command.arguments["sup"])
    return answered(command, msgspec.to_builtins(children), text.children_lines(children))


def _groups(command: Command, api: NodeApi) -> Result:
    assert command.verb in ("groups", "members")
    found: list[Any] = api.perform(command.verb, *command.arguments.values())
    lines = text.brief_table(map(str, msgspec.structs.astuple(one)) for one in found)
    return answered(command, msgspec.to_builtins(found), tuple(lines) or (f"no {command.verb}",))


def _lookup(command: Command, api: NodeApi) -> Result:
    found: list[Any] = api.perform("member_values", command.arguments["group"])
    lines = text.brief_table((one.worker, msgspec.json.encode(one.value).decode()) for one in found)
    return answered(command, msgspec.to_builtins(found), tuple(lines) or ("no members",))


def _help(command: Command, api: NodeApi) -> Result:
    word = command.arguments.get("verb")
    if word is not None and find_verb(word) is None:
        return _help_of_worker(command, api, known_as(word))
    verbs = [find_verb(word)] if word else list(TABLE)
    value = [{"verb": v.name, "usage": v.usage, "help": v.help} for v in verbs if v]
    return answered(command, value, help_lines(word))


def _help_of_worker(command: Command, api: NodeApi, worker: str) -> Result:
    """Return what a worker takes; raises `CommandError` if there is none of this name."""
    try:
        constructors = api.constructors(worker)
    except SsmError as error:
        near = nearest(worker, [*(verb.name for verb in TABLE), *api.names("worker")])
        hint = (
            f"did you mean `{near}`?" if near else "`help` lists the commands, `tree` the workers"
        )
        message = f"there is no command or worker `{worker}`; {hint}"
        raise CommandError(message, column=6) from error
    lines, value = input_lines(worker, constructors), input_records(worker, constructors)
    return answered(command, value, lines)


def _apply(command: Command, api: NodeApi) -> Result:
    from ssm_cli.commands.applying import apply_tree_file  # noqa: PLC0415 - much, for one verb

    return apply_tree_file(command, api)


def _stop(command: Command, api: NodeApi) -> Result:
    api.stop(keep_remote="keep_remote" in command.arguments)
    return done(command, ends=True)


def _quit(command: Command, _api: NodeApi) -> Result:
    return Result(command.verb, ends=True)


def pairs(value: dict[str, object]) -> tuple[str, ...]:
    """A flat mapping, one `key: value` a line, aligned."""
    width = max(len(key) for key in value) + 1
    shown = {key: f"{v:.3f}" if isinstance(v, float) else str(v) for key, v in value.items()}
    return tuple(f"{f'{key}:'.ljust(width)} {text.brief(v)}" for key, v in shown.items())


HANDLERS: dict[str, Callable[[Command, NodeApi], Result]] = {
    "state": _state,
    "set": _set,
    "status": _status,
    "crash": _crash,
    "tree": _tree,
    "log": _log,
    "apply": _apply,
    "stop": _stop,
    "which-children": _which_children,
    "groups": _groups,
    "members": _groups,
    "lookup": _lookup,
    "help": _help,
    "quit": _quit,
}
"""What is shown, or asked, in a way of its own. All other verbs are carried out by their rows."""


def handle(command: Command, api: NodeApi) -> Result:
    """Carry out a command other than `call`, by its handler or by its row."""
    if command.verb in FUTURES:
        from ssm_cli.commands.futures import ask_future  # noqa: PLC0415 - as below

        return ask_future(command, api)
    if VERBS[command.verb].section == "history":
        from ssm_cli.commands.scratch import handle_past  # noqa: PLC0415 - much, for few verbs

        return handle_past(command, api)
    handler = HANDLERS.get(command.verb, _by_row)
    return handler(command, api)


def _by_row(command: Command, api: NodeApi) -> Result:
    """Ask for the effect in the verb's row, and show what the row says it answers."""
    verb, given = VERBS[command.verb], command.arguments
    assert verb.route is not None
    words = [value_of(p, given[p.name]) for p in verb.parameters if p.name in given]
    value = api.perform(verb.route.effect, *words)
    match verb.route.answer:
        case "Done":
            return done(command)
        case "Child":
            return child_result(command, value)
        case _:
            data = msgspec.to_builtins(value)
            return answered(command, data, pairs(data))


def value_of(parameter: Parameter, word: str) -> object:
    """Return what an argument stands for; bytes of an input that were no UTF-8 are as they came.

    >>> value_of(Parameter("events", "number"), "5"), value_of(Parameter("input", "input"), "x")
    (5, b'x')
    """
    match parameter.kind:
        case "input":
            return word.encode("utf-8", "surrogateescape")
        case "switch":
            return word == "on"
        case "number":
            number = whole_number(word, most=MOST_INTEGER)
            if number is None:
                wanted = f"{parameter.name.upper()} must be a whole number"
                raise CommandError(f"{wanted} from 0 to {MOST_INTEGER:,}, got `{word[:40]}`")
            return number
        case "spec":
            return child_spec_of(word)
        case "value":
            return state_of(word, None)
        case _:
            return word


def all_run(root: NodeView, api: NodeApi) -> bool:
    """Whether every node that should run does.

    A node that is suspended is held on purpose. One that is stopped should run if it is the root
    or permanent: a transient child that is stopped has ended as it may, and a temporary one
    leaves the tree when it ends. What starts, waits for a restart or cannot be reached should run.
    """
    return root.state in ("running", "suspended") and _children_run(root, api)


def _children_run(view: NodeView, api: NodeApi) -> bool:
    for child in view.children:
        match child.state:
            case "starting" | "restarting" | "unreachable":
                return False
            case "stopped":
                if _permanent(api, view.path, child.id):
                    return False
            case _:
                if not _children_run(child, api):
                    return False
    return True


def _permanent(api: NodeApi, supervisor: str, child: str) -> bool:
    """Whether the spec of a stopped child wants it to run always; one without a spec does not."""
    try:
        return api.get_childspec(supervisor, child).restart == "permanent"
    except (SupervisorError, NoProc):
        return False  # the spec was deleted since the tree was asked: nothing wants it to run
