"""What the verbs of the past ask, and how their answers are shown."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ssm_cli.commands.future_verbs import FUTURES
from ssm_cli.commands.later import BESIDE, READING, AsksLater
from ssm_cli.commands.parse import Command
from ssm_cli.commands.records import VERSION, json_line
from ssm_cli.commands.results import Result
from ssm_cli.commands.text import brief
from ssm_cli.commands.timeline import timeline_row
from ssm_cli.commands.verb import at_least_one
from ssm_cli.commands.verbs import VERB_OF, VERBS
from ssm_cli.commands.writing import target_of, write_test
from ssm_cli.errors import counted
from ssm_cli.exit_codes import ExitCode
from ssm_cli.history.changes import VALUE_COLUMNS, recorded, shown, shown_values
from ssm_cli.history.saved.file import write_past
from ssm_cli.history.turns import Turns, all_turns
from ssm_cli.runtime.api import NodeApi

INPUT_CHARACTERS = 60
VALUE_CHARACTERS = 40
CHANGES_ON_A_LINE = 2
ROW_COLUMNS = 79  # of a timeline that is printed

Data = dict[str, Any]
Shown = tuple[list[str], list[Data]]
Show = Mapping[str, Callable[[Data], Shown | Turns[Shown]]]
LINES_A_TURN = 64


def ask_past(command: Command, api: NodeApi, shown_by: Show) -> Result:
    """Ask the past, and show what it answers by the verb's row in `shown_by`."""
    effect, given = asked_past(command)
    return show_past(command, api.perform(effect, **given), shown_by)


def asked_past(command: Command) -> tuple[str, Data]:
    """Return the effect that a verb of the past or of futures asks for, and what it is given."""
    verb = VERBS[command.verb]
    if verb.route is None:
        return "go", {"where": "now"}
    given: Data = {"last": command.last, **command.arguments}
    if "code" in given:  # a file of where one stands, not of where the tree runs
        given["code"] = str(Path(given["code"]).resolve())
    if "by" in given:
        given["by"] = at_least_one(verb.name, "records", given["by"])
    names = [query.name for query in verb.route.query]
    asked = {name: given[name] for name in names if given.get(name) is not None}
    return verb.route.effect, {"at": command.at, **asked}


async def ask_later(command: Command, api: NodeApi, note: Callable[[str], None] | None) -> Data:
    """Ask the past, or possible futures, for what may take long; cancelling it ends that.

    The tree and all other tasks go on. `note` is told how far some is.
    """
    effect, given = asked_past(command)
    found: Data
    if isinstance(api, AsksLater):
        found = await api.aperform(effect, **given)
    elif command.verb in BESIDE or command.verb in FUTURES:
        found = await api.perform("beside", effect, note=note, **given)
    else:
        way = "soon" if command.verb in READING else "in_turns"
        found = await api.perform(way, effect, **given)
    return found


def show_past(command: Command, found: Data, shown_by: Show) -> Result:
    """Show what the past has answered by the verb's row in `shown_by`."""
    result: Result = all_turns(show_in_turns(command, found, shown_by))
    return result


def show_in_turns(command: Command, found: Data, shown_by: Show) -> Turns[Result]:
    """`show_past`, in turns where much is shown."""
    verb = VERBS[command.verb]
    if "data" in found:
        found = _kept(found, command.arguments["file"])
    file = target_of(command) if verb.name == "shrink" else ""
    if file:
        found = write_test(file, found)
    told = shown_by[verb.name](found)
    lines, made = (yield from told) if isinstance(told, Generator) else told
    if verb.name == "history" and command.last == 0:
        lines = []  # as of `log -n 0`
    none = verb.name == "when" and found["record"] is None
    code = ExitCode.CRASHED if none else ExitCode.DONE
    if differs(verb.name, found):
        code = ExitCode.NOT_RUNNING  # the contract's code for a difference
    if verb.name == "replay" and not found["total"]:
        code = ExitCode.USAGE  # nothing was stepped
    if "unwritten" in found:
        code = ExitCode.IO_ERROR
    if command.output in ("json", "jsonl"):
        lines = yield from each_line(made, json_line)
    return Result(
        verb.name, tuple(lines), tuple(made), output=command.output, exit_code=code, value=found
    )


def each_line(records: Iterable[Data], written: Callable[[Data], str]) -> Turns[list[str]]:
    """Return the line of each record, some of them a turn."""
    lines: list[str] = []
    for number, record in enumerate(records, 1):
        lines.append(written(record))
        if not number % LINES_A_TURN:
            yield
    return lines


def differs(verb: str, found: Data) -> bool:
    """Return whether other code comes out differently, and nothing was done about it."""
    if verb == "replay":
        return bool(found["same"] != found["total"])
    done = found.get("done") or found.get("adopted")
    return bool(found.get("differs") or found.get("stale")) and not done


def _kept(found: Data, file: str) -> Data:
    """Write what the tree remembers to a file of this side, wherever the tree runs."""
    data = found.pop("data")
    path = Path(file).expanduser()
    write_past(path, data if isinstance(data, bytes) else b64decode(data))
    return {"file": str(path), **found}


# --- records ----------------------------------------------------------------------------------


def record_line(record: Data) -> str:
    """Return a record on one line: number, time, worker, input, outcome, what it changed."""
    at = datetime.fromisoformat(record["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    head = f"{record['record']:>6}  {at}  {brief(record['worker'], 40)}  {what(record)}"
    changed = changes_text(record["changed"])
    return f"{head}  {changed}" if changed else head


def what(record: Data) -> str:
    """Return what came, and what came of it: `Store x 1 -> Ok`.

    >>> what({"how": "call", "input": "Store x 1", "outcome": "replied", "output": "Ok"})
    'Store x 1 -> Ok'
    >>> what({"how": "timer", "input": "tick", "outcome": "silent", "output": ""})
    'timer tick'
    >>> what({"how": "start_child", "input": "ann", "outcome": "replied", "output": ""})
    'start-child ann'
    """
    how = "" if record["how"] == "call" else VERB_OF.get(record["how"], record["how"])
    words = [word for word in (how, brief(record["input"], INPUT_CHARACTERS)) if word]
    match record["outcome"]:
        case "replied" if record["output"]:
            words.append(f"-> {brief(record['output'], VALUE_CHARACTERS)}")
        case "crashed" | "stopped" | "refused" as outcome:
            error = record.get("error")
            why = f"{error['type']}: {error['message']}" if error else record.get("reason", "")
            words.append(f"{outcome} {brief(why, INPUT_CHARACTERS)}".rstrip())
    if record.get("impure"):
        words.append("(changes its state in place: no states)")
    return " ".join(words)


def changes_text(changes: Iterable[Data]) -> str:
    """Return changes on one line; of many the first two, and how many more there are."""
    found = list(changes)
    told = [change_text(one) for one in found[:CHANGES_ON_A_LINE]]
    more = len(found) - CHANGES_ON_A_LINE
    return ", ".join([*told, *([f"{more} more"] if more > 0 else [])])


def change_text(change: Data) -> str:
    """Return a change on one line: its path, what was there, and what is there now."""
    return f"{brief(change['path'], INPUT_CHARACTERS) or 'state'} {_values(change)}"


def _values(change: Data, columns: int = 0) -> str:
    return shown_values(recorded(change), VALUE_CHARACTERS, columns)


def _history(found: Data) -> Turns[Shown]:
    records = found["records"]
    none = "nothing is remembered" if not found["last"] else "no record here yet"
    lines = yield from each_line(records, record_line)
    forked = [number for number, record in enumerate(records) if "fork" in record]
    if forked and forked[0]:
        lines.insert(forked[0], f"{records[-1]['fork']} from here on:")
    return lines or [none], records


def _place(found: Data) -> Shown:
    record = found["record"]
    line = f"record {found['number']}" if record is None else record_line(record).strip()
    if not found["place"]:
        line = f"now, behind {line}"
    return [line], [{"v": VERSION, "type": "place", **found}]


def _diff(found: Data) -> Shown:
    changes = found["changes"]
    several = len({change["worker"] for change in changes}) > 1 or "record" not in found
    lines = []
    for change in changes:
        who = f"{brief(change['worker'], 40)}  " if several else ""
        lines.append(f"  {who}{shown(recorded(change))}")
    return lines or ["nothing is different"], [{"v": VERSION, "type": "diff", **found}]


def _blame(found: Data) -> Shown:
    lines = []
    for record in found["records"]:
        marks = []
        if record["record"] == found["first"]:
            marks.append("first for which it holds")
        if record["record"] == found["largest"] and found["count"] > 1:
            marks.append(f"largest change of {found['count']}")
        change = _values(record["changed"][0], VALUE_COLUMNS) if record["changed"] else ""
        line = f"{record['record']:>6}  {what(record):<28} {change}"
        lines.append("   ".join([line, *marks]))
    if found["impure"]:
        lines.append(f"{found['worker']} changes its state in place: what wrote it is not known")
    if not lines:
        lines.append(f"no record that is remembered wrote {found['path']}")
    return [*lines, *_unseen(found), *_never(found)], found["records"]


def _timeline(found: Data) -> Shown:
    row = "".join(piece.text for piece in timeline_row(found, ROW_COLUMNS))
    return [row], [{"v": VERSION, "type": "timeline", **found}]


def _unseen(found: Data) -> list[str]:
    """Return what `blame` knows of records that it does not show."""
    shown = [record["record"] for record in found["records"]]
    first, earlier = found["first"], found["count"] - len(shown)
    lines = [f"{earlier} earlier; `-n {found['count']}` shows them"] if earlier else []
    if first is not None and first not in shown:
        lines.append(f"first for which it holds: record {first}")
    return lines


def _when(found: Data) -> Shown:
    record = found["record"]
    made = [{"v": VERSION, "type": "when", "record": None, "never": found["never"]}]
    if record is not None:
        return [record_line(record).strip()], [record]
    return ["it holds after no record that is remembered", *_never(found)], made


def _never(found: Data) -> list[str]:
    return [f"  {brief(line, 400)}" for line in found["never"]]


def _why(found: Data) -> Shown:
    lines = []
    for record in found["records"]:
        by = f"  by {brief(record['by'], 60)}" if record["by"] else ""
        lines.append(f"{record_line(record).strip()}{by}")
    if found["forgotten"] is not None:
        lines.append(f"{found['forgotten']} is not remembered")
    return lines, found["records"]


def _save(found: Data) -> Shown:
    records = f"records {found['first']} to {found['last']}, {found['bytes']:,} bytes, redacted"
    lines = [f"{found['file']}: {records}; `ssm open {found['file']}` opens it"]
    if found["forgotten"]:
        lines.append(f"  {found['forgotten']:,} older records found no room")
    if found["texts"]:
        lines.append(f"  {counted(found['texts'], 'value')} without an exact form, kept as text")
    return lines, [{"v": VERSION, "type": "saved", **found}]


SHOWN: dict[str, Callable[[Data], Shown | Turns[Shown]]] = {
    "history": _history,
    "at": _place,
    "now": _place,
    "back": _place,
    "next": _place,
    "diff": _diff,
    "blame": _blame,
    "when": _when,
    "why": _why,
    "timeline": _timeline,
    "save": _save,
}
"""How the answer of each verb is shown: its lines, and its records."""
