"""How the answers of `reload`, `rollback`, `shadow` and `promote` are shown, and what they ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.commands.parse import Command
from ssm_cli.commands.past import Data, Shown, ask_past, change_text, record_line
from ssm_cli.commands.records import VERSION
from ssm_cli.commands.results import Question, Result
from ssm_cli.commands.text import brief
from ssm_cli.commands.verb import at_least_one
from ssm_cli.errors import CommandError, counted
from ssm_cli.runtime.api import NodeApi

KINDS = {
    "same": "the same", "output": "another output", "state": "another state",
    "effects": "other effects", "crashes": "crash", "mended": "no longer crash",
}  # fmt: skip
ONE = {**KINDS, "crashes": "crashes", "mended": "no longer crashes"}
many = partial(counted, noun="input")
UNTRIED = "not tried, as no input of it is remembered"
SLOWER = 1.5  # times as slow, from which on it is said
RELOADING = ("reload", "rollback", "promote")
DID = {"reload": "reloaded", "rollback": "rolled back", "promote": "promoted"}


def compared_lines(found: Data) -> list[str]:
    """Return how remembered inputs came out on other code: counts, and the first of each kind."""
    counts = [
        f"{found[kind]:,} {ONE[kind] if found[kind] == 1 else word}"
        for kind, word in KINDS.items()
        if found[kind] or kind == "same"
    ]
    slower = f"; {found['slower']:g} times as slow" if found["slower"] >= SLOWER else ""
    lines = [f"{many(found['total'])}: {', '.join(counts)}{slower}"]
    if found["unknown"]:
        lines.append(f"{found['unknown']:,} more were not stepped: {not_stepped(found)}")
    if found.get("earlier"):
        lines.append(f"{found['earlier']:,} of them had other code than the worker has now")
    if others := found.get("others"):
        lines.append(f"not stepped, as there is no code for them: {brief(', '.join(others), 200)}")
    for first in found["firsts"]:
        lines += [f"first with {ONE[first['kind']]}: {record_line(first['record']).strip()}"]
        lines += [f"  {change_text(change)}" for change in first.get("changes", ())]
        if "error" in first:
            lines.append(f"  now {first['error']['type']}: {brief(first['error']['message'], 200)}")
        if "output" in first:
            lines.append(f"  now -> {brief(first['output'], 200)}")
    return lines


def not_stepped(found: Data) -> str:
    """Return why inputs were not stepped."""
    return brief(found.get("cause", ""), 200) or "they are kept as text alone"


def worker_lines(told: Data, verb: str = "reload") -> list[str]:
    """Return what was found of one worker."""
    name = brief(told["worker"], 40)
    tried, left = told["total"], told["left"] or told["unknown"]
    if tried:
        lines = compared_lines(told)
        lines[0] = f"{name}: {lines[0]}"
    else:
        since = "has served nothing since" if verb == "rollback" else UNTRIED
        why = "it took too long" if told["left"] else not_stepped(told)
        lines = [
            f"{name}: none of {many(left)} was rehearsed: {why}" if left else f"{name}: {since}"
        ]
    if told["left"] and tried:
        lines.append(f"  {many(told['left'])} before these were left out: it took too long")
    if told["unfit"]:
        lines.append(f"  {many(told['unfit'])} of {told['waiting']:,} that wait do not fit it")
    return lines


def found_lines(verb: str, found: Data) -> list[str]:
    """Return what a rehearsal has found: files, workers, how their inputs came out."""
    lines = [
        f"{brief(Path(one['file']).name, 40)}: {one['was'] or 'new'} -> {one['code']}"
        for one in found["modules"]
    ]
    if "shadow" in found:
        return lines + shadow_lines(found["shadow"])
    lines += [line for told in found["workers"] for line in worker_lines(told, verb)]
    if staying := found.get("staying"):
        names = brief(", ".join(staying), 200)
        lines.append(f"began since, and cannot go back, as they have no state of before: {names}")
    return lines


def _changed(verb: str, found: Data) -> Shown:
    lines = ["this is another plan than the one that was agreed to:"] if found["stale"] else []
    if not (found["done"] and found["agreed"]):  # else it was shown, to be agreed to
        lines += found_lines(verb, found)
    names = named_workers(found)
    if not found["workers"] and not found["modules"]:
        lines.append("no file of the code that runs has changed")
    elif found["done"]:
        back = "" if verb == "rollback" else "; `rollback` goes back"
        lines.append(f"{DID[verb]}: {names or 'no worker'} (record {found['number']}){back}")
    else:
        lines.append(f"nothing is changed; the same with `--yes` does it: {names}")
    return lines, [{"v": VERSION, "type": verb, **found}]


def shadow_lines(found: Data) -> list[str]:
    """Return how far a shadow is, and how it has come out."""
    lines = compared_lines(found)
    lines[0] = f"{brief(found['worker'], 40)}: {lines[0]}, of {found['wanted']:,} wanted"
    if found["missed"]:
        lines.append(f"  {many(found['missed'])} were forgotten before they were compared")
    if found["left"]:
        lines.append(f"  {many(found['left'])} wait to be compared: it takes a tenth of the time")
    if found["why"]:
        lines.append(f"  it is over: {found['why']}")
    return lines


def _shadow(found: Data) -> Shown:
    lines = shadow_lines(found)
    if found["clean"]:
        lines.append(f"it is clean: `promote {found['worker']}` goes on with it")
    return lines, [{"v": VERSION, "type": "shadow", **found}]


def _of(verb: str) -> Callable[[Data], Shown]:
    return lambda found: _changed(verb, found)


RELOAD_SHOWN: dict[str, Callable[[Data], Shown]] = {
    **{verb: _of(verb) for verb in RELOADING}, "shadow": _shadow
}  # fmt: skip


def named_workers(found: Data) -> str:
    """Return the workers that something was found of."""
    return ", ".join(brief(told["worker"], 40) for told in found["workers"])


def handle_reload(command: Command, api: NodeApi) -> Result:
    """Carry out a verb that changes code, or that compares other code; ask where that differs."""
    given: dict[str, Any] = {**command.arguments}
    if "no" in given and "sure" in given:
        raise CommandError("`--yes` and `--no` contradict each other; give one of them")
    if given.pop("no", None):
        given["sure"] = "no"
    if "count" in given:
        given["count"] = at_least_one("--for", "inputs", given["count"])
    result = ask_past(msgspec.structs.replace(command, arguments=given), api, RELOAD_SHOWN)
    return msgspec.structs.replace(result, question=_question(command, result.value))


def _question(command: Command, found: Any) -> Question | None:
    """Return what is to be asked about what was found."""
    if command.verb not in RELOADING or not isinstance(found, dict) or "no" in command.arguments:
        return None
    if found["done"] or not (found["differs"] or found["stale"]):
        return None
    return question_of(command, f"{command.verb} {named_workers(found)} all the same", found)


def question_of(command: Command, text: str, found: Data) -> Question:
    """Return the question whether to go on with the plan that was found, and the command for it."""
    agreed = {**command.arguments, "sure": "yes", "plan": found["plan"]}
    return Question(text, msgspec.structs.replace(command, arguments=agreed))
