"""How the answers of scratch verbs are shown: forks, replays, shrinking; the page of a history."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.commands.breaks import BREAKS_SHOWN, inputs, left
from ssm_cli.commands.parse import Command
from ssm_cli.commands.past import SHOWN, Data, Shown, ask_past, record_line
from ssm_cli.commands.records import VERSION, instant, report_record, tree_record
from ssm_cli.commands.reload import compared_lines, handle_reload
from ssm_cli.commands.results import Question, Result, done
from ssm_cli.commands.text import brief
from ssm_cli.commands.writing import PAGE, TEST, need_room, target_of, write_file
from ssm_cli.errors import CommandError, counted
from ssm_cli.history.changes import recorded, shown
from ssm_cli.history.page import PageData, page
from ssm_cli.history.saved.keeping import installed
from ssm_cli.runtime.api import NodeApi

MOST_RECORDS = 100_000  # in the page of a history
MOST_REPORTS = 10_000


def _fork(found: Data) -> Shown:
    by = f", stepped by {brief(found['code'], 200)}" if "code" in found else ""
    made = f"{found['place']}: forked behind record {found['number']}{by}"
    line = f"{made}; `drop` leaves it, `adopt` takes a state from it"
    waits = found.get("waiting", 0)
    more = [f"  {inputs(waits)} in it; `advance 1s` serves them"] if waits else []
    if runs := found.get("runs"):
        word = "run is" if runs == 1 else "runs are"
        more.append(f"  {runs:,} {word} under way: shown in it, and not done; its time-out comes")
    return [line, *more], [{"v": VERSION, "type": "fork", **found}]


def _forks(found: Data) -> Shown:
    lines = []
    for one in found["forks"]:
        here = "*" if one["fork"] == found["here"] else " "
        waits = f", {inputs(one['waiting'])}" if one["waiting"] else ""
        left = f", without or with another {', '.join(map(str, one['instead']))}"
        lines.append(
            f"{here} {one['fork']:<8} behind record {one['record']}, now at {one['number']}{waits}"
            f"{left if one['instead'] else ''}"
        )
    return lines or ["no forks"], [{"v": VERSION, "type": "forks", **found}]


def _drop(found: Data) -> Shown:
    if "gone" in found:
        return [f"{found['gone']} is forgotten"], [{"v": VERSION, "type": "drop", **found}]
    if "break" in found:
        return left(found, "drop")
    where = f"record {found['number']}" if found["place"] else "now"
    if found["place"] and not found["place"].isdecimal():
        where = found["place"]
    return [f"back at {where}"], [{"v": VERSION, "type": "place", **found}]


def _changes(found: Data) -> list[str]:
    return [f"  {brief(who(change), 40)}  {shown(recorded(change))}" for change in found["changes"]]


def who(change: Data) -> str:
    """Return whose change it is: a worker's state, or what is under way for it.

    >>> who({"worker": "a"}), who({"worker": "a", "of": "runs"})
    ('a', 'a runs')
    """
    return " ".join(filter(None, (change["worker"], change.get("of"))))


def _again(found: Data) -> Shown:
    if "break" in found:
        return left(found, "edit")
    lines = _changes(found) or ["nothing is different now"]
    return lines, [{"v": VERSION, "type": "diff", **found}]


def _advance(found: Data) -> Shown:
    reports = len(found["reports"])
    lines = [record_line(record) for record in found["records"]]
    if reports:
        lines.append(f"{reports} reports; `log -n {reports}` shows them")
    if found["passed"] < found["wanted"]:
        lines.append(f"stopped after {found['passed']:g} s of it: too much happens in a fork")
    return lines or ["nothing happened"], [{"v": VERSION, "type": "advance", **found}]


def _adopt(found: Data) -> Shown:
    lines = _changes(found) or ["  no difference"]
    if found["adopted"]:
        lines.append(f"record {found['number']}: adopted")
    else:
        lines.append("nothing is adopted yet; the same with `--yes` does it")
    return lines, [{"v": VERSION, "type": "adopt", **found}]


def _replay(found: Data) -> Shown:
    return compared_lines(found), [{"v": VERSION, "type": "replay", **found}]


def _shrink(found: Data) -> Shown:
    lines = [found["said"]]
    if found.get("file"):
        lines[0] += f"; {found['file']} fails as record {found['record']} did"
    else:
        lines += found["test"].rstrip().split("\n")
    return lines, [{"v": VERSION, "type": "shrink", **found}]


SCRATCH_SHOWN: dict[str, Callable[[Data], Shown]] = {
    "fork": _fork, "forks": _forks, "drop": _drop, "without": _again, "edit": _again,
    "advance": _advance, "adopt": _adopt, "replay": _replay, "shrink": _shrink,
}  # fmt: skip


def write_report(command: Command, api: NodeApi) -> Result:
    """Write the page of what a tree remembers to a file."""
    name = target_of(command, "file")
    need_room(command, name, PAGE)
    at: dict[str, Any] = {"at": command.at} if command.at else {}
    found = api.perform("history", last=MOST_RECORDS, **at)
    records = [record for record in found["records"] if record["how"] not in ("start", "exit")]
    data = PageData(
        name=api.name, at=instant(time.time()), ssm=installed(),
        python=platform.python_version(), tree=tree_record(api.tree()), records=records,
        reports=[{"record": 0, **report_record(r)} for r in api.reports(0, MOST_REPORTS)],
        trimmed=max(0, records[0]["record"] - 1) if records else 0,
    )  # fmt: skip
    write_file(name, page(data))
    return done(command, f"{counted(len(records), 'record')} in {name}")


SHOWN_BY = SHOWN | SCRATCH_SHOWN | BREAKS_SHOWN


def handle_past(command: Command, api: NodeApi) -> Result:
    """Carry out a verb of the past."""
    match command.verb:
        case "reload" | "rollback" | "shadow" | "promote":
            return handle_reload(command, api)
        case "adopt":
            return ask_to_adopt(command, api)
        case "shrink":
            return write_test(command, api)
        case "report":
            return write_report(command, api)
        case _:
            return ask_past(command, api, SHOWN_BY)


def ask_to_adopt(command: Command, api: NodeApi) -> Result:
    """Show what a state of a fork would change in the live worker, and ask; or put it there."""
    result = ask_past(command, api, SHOWN_BY)
    found: Any = result.value
    if found["adopted"] or not found["changes"]:
        return result
    then = msgspec.structs.replace(command, arguments={**command.arguments, "sure": "yes"})
    return msgspec.structs.replace(result, question=Question(f"adopt {found['worker']}", then))


def write_test(command: Command, api: NodeApi) -> Result:
    """Shrink a crash, and write the test of it where that is asked for."""
    file = target_of(command)
    if not file:
        return ask_past(command, api, SHOWN_BY)
    told_only = "--every" if command.arguments.get("every") else "gave_up"
    if told_only in ("--every", command.arguments.get("record")):
        raise CommandError(
            f"`shrink {told_only}` writes no test: its inputs are those of many workers; leave out "
            f"`-o {file}`, or redirect what it prints: `> FILE`"
        )
    need_room(command, file, TEST)
    given = {**command.arguments, "beside": str(Path(file).expanduser().resolve().parent)}
    asked = msgspec.structs.replace(command, arguments=given)

    def written(found: Data) -> Shown:
        write_file(file, found["test"])
        return SHOWN_BY["shrink"]({**found, "file": file})

    return ask_past(asked, api, {"shrink": written})
