"""How the answers of scratch verbs are shown: forks, breaks, replays, shrinking; pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ssm_cli.commands.parse import Command
from ssm_cli.commands.past import (
    SHOWN,
    Data,
    Shown,
    ask_later,
    ask_past,
    record_line,
    show_in_turns,
)
from ssm_cli.commands.records import VERSION, report_record, tree_record
from ssm_cli.commands.reload import compared_lines, handle_reload, question_of
from ssm_cli.commands.results import Result, done
from ssm_cli.commands.text import brief
from ssm_cli.commands.writing import made_page, made_ready, write_file
from ssm_cli.errors import counted, is_number
from ssm_cli.history.changes import recorded, shown
from ssm_cli.history.page import numbered_reports
from ssm_cli.history.turns import in_turns
from ssm_cli.runtime.api import NodeApi

MOST_RECORDS = 100_000  # in the page of a history
MOST_REPORTS = 10_000


def times(count: int) -> str:
    """Return how often in words.

    >>> times(1), times(2)
    ('once', '2 times')
    """
    return "once" if count == 1 else f"{count:,} times"


def inputs(count: int) -> str:
    """Return how many inputs wait, in words.

    >>> inputs(1), inputs(2)
    ('1 input waits', '2 inputs wait')
    """
    return "1 input waits" if count == 1 else f"{count:,} inputs wait"


def _break(found: Data) -> Shown:
    who = brief(found["worker"], 40)
    line = f"break {found['break']}: {who} is held before a state with {brief(found['when'], 200)}"
    return [line], [{"v": VERSION, "type": "break", **found}]


def _breaks(found: Data) -> Shown:
    lines = []
    for one in found["breaks"]:
        hits = f"   held {times(one['hits'])}" if one["hits"] else ""
        lines.append(f"{one['break']:>4}  {brief(one['worker'], 40)}  {brief(one['when'])}{hits}")
        lines += [f"      {brief(why, 400)}" for why in (one.get("trouble"), *one["never"]) if why]
    for one in found["held"]:
        waits = f", {inputs(one['waiting'])} behind it" if one["waiting"] else ""
        what = f"{brief(one['input'], 200)}  {brief(one['changed'], 200)}".rstrip()
        lines.append(f"held  {brief(one['worker'], 40)}  {what}")
        lines.append(f"      at break {one['break']} for {one['held_s']:.1f} s{waits}")
    return lines or ["no breaks"], [{"v": VERSION, "type": "breaks", **found}]


def _unbreak(found: Data) -> Shown:
    gone = ", ".join(map(str, found["gone"]))
    lines = [f"taken away: {gone}" if gone else "there was none"]
    return lines, [{"v": VERSION, "type": "unbreak", **found}]


def _continue(found: Data) -> Shown:
    return [f"{brief(found['worker'], 40)} goes on"], [{"v": VERSION, "type": "continue", **found}]


def left(found: Data, verb: str) -> Shown:
    """Return how an input that was held is told to be dropped, or to be another one."""
    who, what = brief(found["worker"], 40), brief(found["input"], 200)
    line = f"{who} goes on without {what}" if verb == "drop" else f"{who} goes on with {what}"
    return [line], [{"v": VERSION, "type": verb, **found}]


def _fork(found: Data) -> Shown:
    by = f", stepped by {brief(found['code'], 200)}" if "code" in found else ""
    made = f"{found['place']}: forked behind record {found['number']}{by}"
    line = f"{made}; `drop` leaves it, `adopt` takes a state from it"
    waits = found.get("waiting", 0)
    more = [f"  {inputs(waits)} in it; `advance 1s` serves them"] if waits else []
    held = (brief(name, 40) for name in found.get("held", ()))
    more += [f"  {name} is held in it; `resume {name}` lets it go on" for name in held]
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
    if found["place"] and not is_number(found["place"]):
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
    if found["more"]:
        lines.append(f"and {counted(found['more'], 'more record')}; `history` shows the last ones")
    if reports:
        lines.append(f"{reports} reports; `log -n {reports}` shows them")
    if found["stopped"]:
        lines.append(found["stopped"])
    return lines or ["nothing happened"], [{"v": VERSION, "type": "advance", **found}]


def _adopt(found: Data) -> Shown:
    lines = ["this is another change than the one that was agreed to:"] if found["stale"] else []
    lines += _changes(found) or ["  no difference"]
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
        unless = ", unless a reload has mended that" if found.get("reloaded") else ""
        lines[0] += f"; {found['file']} fails as record {found['record']} did{unless}"
    else:
        lines += found["test"].rstrip().split("\n")
    if "unwritten" in found:
        lines.append(found["unwritten"])
    return lines, [{"v": VERSION, "type": "shrink", **found}]


SCRATCH_SHOWN: dict[str, Callable[[Data], Shown]] = {
    "fork": _fork, "forks": _forks, "drop": _drop, "without": _again, "edit": _again,
    "advance": _advance, "adopt": _adopt, "replay": _replay, "shrink": _shrink,
    "break": _break, "breaks": _breaks, "unbreak": _unbreak, "continue": _continue,
}  # fmt: skip


def written_report(command: Command, made: tuple[str, int]) -> Result:
    """Write a page to the file of the command; say of how many records it is."""
    name = command.arguments["file"]
    write_file(name, made[0])
    return done(command, f"{counted(made[1], 'record')} in {name}")


def made_report(command: Command, api: NodeApi) -> tuple[str, int]:
    """Return the page of what a tree remembers, and of how many records it is."""
    at: dict[str, Any] = {"at": command.at} if command.at else {}
    found = api.perform("history", last=MOST_RECORDS, **at)
    records = [record for record in found["records"] if record["how"] not in ("start", "exit")]
    made = made_page(
        api.name, tree=tree_record(api.tree()), records=records,
        reports=numbered_reports(map(report_record, api.reports(0, MOST_REPORTS))),
        trimmed=max(0, records[0]["record"] - 1) if records else 0,
    )  # fmt: skip
    return made, len(records)


SHOWN_BY = SHOWN | SCRATCH_SHOWN


def handle_past(command: Command, api: NodeApi) -> Result:
    """Carry out a verb of the past."""
    command = made_ready(command)
    match command.verb:
        case "reload" | "rollback" | "shadow" | "promote":
            return handle_reload(command, api)
        case "adopt":
            return ask_to_adopt(command, api)
        case "report":
            return written_report(command, made_report(command, api))
        case _:
            return ask_past(command, api, SHOWN_BY)


async def ahandle_past(
    command: Command, api: NodeApi, note: Callable[[str], None] | None = None
) -> Result:
    """`handle_past` for asyncio, of what may take long; as `ask_later`."""
    command = made_ready(command)
    if command.verb == "report":
        work = partial(made_report, command, api)
        return written_report(command, await api.perform("beside", "report", note=note, work=work))
    found = await ask_later(command, api, note)
    result: Result = await in_turns(show_in_turns(command, found, SHOWN_BY))
    return result


def ask_to_adopt(command: Command, api: NodeApi) -> Result:
    """Show what a state of a fork would change in the live worker, and ask; or put it there."""
    result = ask_past(command, api, SHOWN_BY)
    found: Any = result.value
    if found["adopted"] or not found["changes"]:
        return result
    question = question_of(command, f"adopt {found['worker']}", found)
    return msgspec.structs.replace(result, question=question)
