"""What the verbs of possible futures ask, and how their answers are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from shlex import quote

from ssm_cli.commands.parse import Command
from ssm_cli.commands.past import Data, ask_later, asked_past
from ssm_cli.commands.records import VERSION, instant
from ssm_cli.commands.results import Result, made_result
from ssm_cli.commands.text import brief, brief_table
from ssm_cli.commands.writing import made_page, made_ready, target_of, write_test
from ssm_cli.errors import CommandError, counted, some_names
from ssm_cli.exit_codes import ExitCode
from ssm_cli.runtime.api import NodeApi
from ssm_cli.simulation.asking import chaos_in, check_policy_in
from ssm_cli.simulation.beside import Tell, WorkBeside, untold
from ssm_cli.simulation.starting import tree_name
from ssm_cli.spec.load import load_tree

MOST_IN_SQUARE = 20  # workers whose matrix is shown as one
MOST_ROWS = 100  # of a table
NAME_COLUMNS = 30


def ask_future(command: Command, api: NodeApi | None) -> Result:
    """Carry out `chaos`, `check-policy` or `fuzz`; `api` is None where TREE is asked for."""
    command = made_ready(command)
    if "tree" in command.arguments:
        return shown_as(command, of_file(command))
    assert api is not None, "a tree is asked where no file is named"
    effect, given = asked_past(command)
    return shown_as(command, api.perform(effect, **given))


async def ask_beside(
    command: Command, api: NodeApi, note: Callable[[str], None] | None = None
) -> Result:
    """`ask_future` for asyncio, as `ask_later`; of a file it is made beside this process, too."""
    command = made_ready(command)
    if "tree" in command.arguments:
        found = await WorkBeside().do(command.verb, partial(of_file, command), note)
    else:
        found = await ask_later(command, api, note)
    return shown_as(command, found)


def shown_as(command: Command, found: Data) -> Result:
    """Return what was found as it is shown; of a tree that runs elsewhere with the door to it."""
    if command.door and "tree" not in command.arguments:
        found = {**found, "replay": f"ssm {found['replay']} {command.door}"}
    return SHOWN_AS[command.verb](command, found)


def of_file(command: Command, tell: Tell = untold) -> Data:
    """Ask about the tree of a file, in this process.

    Raises:
        CommandError: a place in time is named, too.
        TreeFileError: it is none; with every complaint.
    """
    given: Data = {**command.arguments}
    file = given.pop("tree")
    if command.at:
        raise CommandError(f"`{file}` has no past; leave out --at, or ask a tree that runs")
    spec, name = load_tree(file), tree_name(file)
    if command.verb == "chaos":
        found = chaos_in(spec, name, given, instant, tell=tell)
    else:
        found = check_policy_in(spec, name, given.get("faults"), tell=tell)
    return found | {"replay": f"ssm {command.verb} {quote(file)} {found['replay']}"}


def _chaos(command: Command, found: Data) -> Result:
    pictured = found.pop("page", None)
    if pictured is not None:
        lines = made_page(f"{found['tree']}: {found['replay']}", **pictured).split("\n")
    else:
        lines = _chaos_lines(found)
    down = ExitCode.NOT_RUNNING if found["said"] else ExitCode.USAGE
    code = ExitCode.DONE if found["survived"] else down
    made_of = [{"v": VERSION, "type": "chaos", **found}]
    return made_result("chaos", tuple(lines), made_of, command.output, exit_code=code, value=found)


def _chaos_lines(found: Data) -> list[str]:
    faults = ", ".join(f"{count:,} {kind}" for kind, count in found["faults"].items())
    counts = (
        f"{counted(found['inputs'], 'input')}, {counted(sum(found['faults'].values()), 'fault')}"
    )
    what = "went down after" if found["said"] else "has no worker to try, in"
    what = "survived" if found["survived"] else what
    went = f"{counted(found['taken'], 'step')} in {time_text(found['passed_s'])}"
    lines = [f"{found['tree']} {what} {went}: {counts}{f' ({faults})' if faults else ''}"]
    if found["stopped"]:
        lines.append(f"stopped after {found['stopped']}, with {found['steps']:,} steps wanted")
    head = ("supervisor", "restarts", "gave up", "closest call")
    rows = [_closest(row) for row in found["supervisors"][:MOST_ROWS]]
    lines += brief_table([head, *rows], NAME_COLUMNS)
    lines += _calls(found)
    lines += pool_lines(found["pools"])
    if found["timeline"]:
        lines += [found["said"], *timeline_lines(found["timeline"])]
    elif found["said"]:
        lines.append(found["said"])
    return [*lines, f"the same again: {found['replay']}"]


def _closest(row: Data) -> tuple[str, ...]:
    limit = f"{row['most']} of {row['intensity']} in {row['period']:g} s"
    left = "gave up" if row["gave_up"] or row["left"] < 0 else f"{row['left']} left, {limit}"
    return row["id"], f"{row['restarts']:,}", f"{row['gave_up']:,}", left


def _calls(found: Data) -> list[str]:
    failed = ", ".join(f"{count:,} {outcome}" for outcome, count in found["failed"].items())
    said = f"{counted(found['calls'], 'call')}, {f'but {failed}' if failed else 'all replied'}"
    if found["refused"]:
        said += f"; {counted(found['refused'], 'time')} the queue was full"
    lines = [said]
    if (away := found["away"]) is not None and away["seconds"]:
        since = time_text(away["since_s"])
        who = brief(away["worker"], NAME_COLUMNS)
        lines.append(f"longest away: {who}, {time_text(away['seconds'])}, at {since}")
    if found["cut"]:
        cut = counted(found["cut"], "step")
        lines.append(f"{cut} really hung, and were cut by the time of this machine")
    if found["flooding"]:
        names, times = brief(some_names([*found["flooding"]])), max(found["flooding"].values())
        lines.append(
            f"inputs without end for {names}, behind {counted(times, 'step')}: the next step came "
            f"after 64,000 of them"
        )
    if found["unfed"]:
        names = brief(some_names(found["unfed"]))
        lines.append(f"no inputs for {names}: their types are not known")
    return lines


def _policy(command: Command, found: Data) -> Result:
    lines = [_verdict(found)]
    if found["way"]:
        lines += timeline_lines(found["way"])
    head = ("supervisor", "limit", "most", "left", "unnoticed")
    rows = [_margin(row) for row in found["supervisors"][:MOST_ROWS]]
    lines += brief_table([head, *rows], NAME_COLUMNS)
    lines += matrix_lines(found["matrix"])
    lines += pool_lines(found["pools"])
    code = ExitCode.DONE if found["survived"] else ExitCode.NOT_RUNNING
    code = code if found["placements"] else ExitCode.USAGE
    made = [{"v": VERSION, "type": "policy", **found}]
    return made_result(
        "check-policy", tuple(lines), made, command.output, exit_code=code, value=found
    )


def _verdict(found: Data) -> str:
    tried = (
        f"{counted(found['placements'], 'placement')} of up to {counted(found['faults'], 'fault')}"
    )
    states = f"({counted(found['states'], 'state')})"
    stopped = f"stopped after {found['stopped']}, not all were tried; fewer `--faults` may do"
    if not found["placements"]:
        why = stopped if found["stopped"] else "nothing was tried: no worker to put a fault into"
        return f"{found['tree']}: {why}"
    if found["survived"] and found["stopped"]:
        return f"{found['tree']} survives {tried} {states}; {stopped}"
    if found["survived"]:
        return f"{found['tree']} survives all {tried} {states}"
    more = f"; {stopped}" if found["stopped"] else ""
    return (
        f"{found['tree']} goes down in {found['down']:,} of {tried} {states}{more}; the shortest:"
    )


def _margin(row: Data) -> tuple[str, ...]:
    limit = f"{row['intensity']} in {row['period']:g} s"
    left = "gave up" if row["gave_up"] else str(row["left"])
    slow = "-" if row["slowest_s"] is None else f"one crash each {row['slowest_s']:.10g} s"
    return row["id"], limit, str(row["most"]), left, slow


def pool_lines(pools: Sequence[str]) -> list[str]:
    """Return which pools were not tried, as they have no children; none where all were.

    >>> pool_lines(["tills"])
    ['not tried: tills, a pool without children; ask a tree that runs and has some']
    """
    if not pools:
        return []
    what = "a pool" if len(pools) == 1 else "pools"
    names = brief(some_names(pools))
    return [f"not tried: {names}, {what} without children; ask a tree that runs and has some"]


def matrix_lines(matrix: dict[str, list[str]] | None) -> list[str]:
    """Return who goes down with whom: as a square, or of many workers only those that do.

    >>> matrix_lines({"a": ["b"], "b": []})
    ['crash of     1 2', '  1 a        x x', '  2 b        . x']
    """
    if matrix is None:
        return ["too many workers for a matrix"]
    names = list(matrix)
    if len(names) > MOST_IN_SQUARE:
        rows = [(name, some_names(gone)) for name, gone in matrix.items() if gone][:MOST_ROWS]
        lines = brief_table([("crash of", "takes down"), *rows], NAME_COLUMNS)
        return [*lines, "all others go alone"]
    wide = max([8, *(len(brief(name, NAME_COLUMNS)) for name in names)])
    columns = [str(number) for number in range(1, len(names) + 1)]
    lines = [f"{'crash of'.ljust(wide + 4)} {' '.join(columns)}"] if names else []
    for number, name in enumerate(names, 1):
        marks = (
            ("x" if other in (name, *matrix[name]) else ".").rjust(len(column))
            for other, column in zip(names, columns, strict=True)
        )
        label = brief(name, NAME_COLUMNS).ljust(wide)
        lines.append(f"{number:>3} {label} {' '.join(marks)}")
    return lines


def _fuzz(command: Command, found: Data) -> Result:
    tried = f"{counted(found['steps'], 'input')} in {counted(found['sessions'], 'session')}"
    nothing = f"nothing found{', but the rule was not known' if found['never'] else ''}"
    if found["found"] and not found["test"]:  # it says after how many inputs of one session
        lines = [f"{found['worker']}: {found['said']}", f"tried: {tried}"]
    else:
        lines = [f"{found['worker']}: {found['said'] or nothing}, after {tried}"]
    if found["stopped"]:
        lines.append(f"stopped after {found['stopped']}")
    lines += [f"  {brief(line, 400)}" for line in found["never"]]
    file = target_of(command)
    if found["test"] and file:
        found = write_test(file, found)
    if "file" in found:
        lines[0] += f"; {file} fails likewise"
    elif found["test"]:
        lines += found["test"].rstrip().split("\n")
    lines.append(f"the same again: {found['replay']}")
    unknown = ExitCode.USAGE if found["never"] else ExitCode.DONE
    code = ExitCode.NOT_RUNNING if found["found"] else unknown
    if "unwritten" in found:
        code = ExitCode.IO_ERROR
        lines.append(found["unwritten"])
    made = [{"v": VERSION, "type": "fuzz", **found}]
    return made_result("fuzz", tuple(lines), made, command.output, exit_code=code, value=found)


SHOWN_AS = {"chaos": _chaos, "check-policy": _policy, "fuzz": _fuzz}


# --- a timeline, tables and words -------------------------------------------------------------


def timeline_lines(rows: Sequence[Data]) -> list[str]:
    """Return a timeline: when what was done, and below it what supervisors did."""
    lines = []
    for row in rows:
        what = f"{row['fault']} {row['worker']}".strip()
        if row.get("input"):
            what = f"{row['worker']} {brief(row['input'], 60)}"
        if row.get("seconds"):
            what += f" {time_text(row['seconds'])}"
        lines.append(f"  {time_text(row['at_s']):>10}  {brief(what)}")
        lines += [f"  {'':>10}    {brief(decision_text(one))}" for one in row["then"]]
    return lines


def decision_text(one: Data) -> str:
    """Return what a supervisor did, in words.

    >>> decision_text({"event": "start_failed", "child": "kv1"})
    'kv1 does not start'
    """
    if one["event"] == "start_failed":
        return f"{one['child']} does not start"
    limit = f"{one['restarts']} of {one['intensity']} in {one['period']:g} s"
    match one["event"]:
        case "restarting":
            more = one["count"] - len(one["children"])
            rest = f" and {more} more" if more else ""
            return f"{one['supervisor']} restarts {', '.join(one['children'])}{rest} ({limit})"
        case "delayed":
            delay = time_text(one["delay_ms"] / 1000)
            return f"{one['supervisor']} restarts {one['child']} in {delay} ({limit})"
        case _:
            return f"{one['supervisor']} gives up ({limit})"


def time_text(seconds: float) -> str:
    """Return a time in words.

    >>> time_text(0.25), time_text(90), time_text(-7200)
    ('0.25 s', '1 min 30 s', '-2 h')
    """
    if abs(seconds) < 60:
        return f"{seconds:.6g} s"
    sign, left = "-" if seconds < 0 else "", round(abs(seconds))
    words = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        words += [f"{number} {unit}"] if number else []
    return sign + " ".join(words[:2])
