"""`apply`: the plan is shown, somebody agrees to it, and it is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.commands import records, text
from ssm_cli.commands.parse import Command
from ssm_cli.commands.results import Question, Result, made_result
from ssm_cli.errors import CommandError, SpecError, SsmError, SupervisorError, counted, message_of
from ssm_cli.exit_codes import ExitCode, exit_code_of
from ssm_cli.runtime.api import NodeApi
from ssm_cli.supervision.planning import Applied, PlanStep, TreePlan

WIDTH = len("nothing")
MOST_LINES = 200  # of a plan
UNASKED = "nothing was changed: say `--yes` to apply that, or `--no`"
ANSWERS = ("dry_run", "sure", "refused")
SPELLED = {"dry_run": "--dry-run", "sure": "--yes", "refused": "--no"}


def apply_tree_file(command: Command, api: NodeApi) -> Result:
    """Plan, ask unless that is answered already, and apply."""
    given = command.arguments
    answers = [SPELLED[word] for word in ANSWERS if word in given]
    if len(answers) > 1:
        raise CommandError(f"`apply` takes one of {' and '.join(answers)}, not both")
    file = given.get("tree")
    asked: dict[str, Any] = {
        "tree": None if file is None else str(Path(file).expanduser().resolve()),
        "specs_only": "specs_only" in given,
    }
    try:
        if "plan" in given:
            return _agreed(command, api, asked, given["plan"])
        return _planned(command, api, asked)
    except (SpecError, SupervisorError) as error:
        return _refused(command, error)


def _planned(command: Command, api: NodeApi, asked: dict[str, Any], why: str = "") -> Result:
    plan: TreePlan = api.perform("plan", **asked)
    given = command.arguments
    lines, record = (*([why] if why else []), *plan_lines(plan)), plan_record(plan)
    if plan.refused:
        told = (*lines, "this cannot be applied:", *(f"  {text.brief(c)}" for c in plan.refused))
        return _result(command, told, record, ExitCode.REFUSED, error=True)
    if "dry_run" in given or not plan.todo:
        down = ExitCode.NOT_RUNNING if plan.held and "dry_run" not in given else ExitCode.DONE
        return _result(command, lines, record, down)
    if "refused" in given:
        return _result(command, (*lines, "nothing was changed"), record, ExitCode.DENIED)
    if "sure" in given:
        return _carried_out(command, api.perform("apply", **asked, plan=plan.digest))
    kept = {key: word for key, word in given.items() if key not in ANSWERS}
    then = msgspec.structs.replace(command, arguments={**kept, "plan": plan.digest})
    question = Question(f"apply {counted(len(plan.todo), 'step')}", then)
    return _result(command, (*lines, UNASKED), record, ExitCode.USAGE, question=question)


def _agreed(command: Command, api: NodeApi, asked: dict[str, Any], digest: str) -> Result:
    """Carry out the plan that somebody agreed to; if it is stale, show the one of now, and ask."""
    try:
        return _carried_out(command, api.perform("apply", **asked, plan=digest))
    except SupervisorError as error:
        if error.term != "stale":
            raise
        kept = {key: word for key, word in command.arguments.items() if key != "plan"}
        again = msgspec.structs.replace(command, arguments=kept)
        return _planned(again, api, asked, "the plan has become another one meanwhile:")


def _carried_out(command: Command, done: Applied) -> Result:
    lines = [f"{step_line(step)}" for step in shortened(done.done)]
    count = len(done.done)
    code = ExitCode.DONE
    if done.failed is None:
        lines.append(f"{counted(count, 'step')} done; nothing else was touched")
    else:
        code = ExitCode.REFUSED
        failed = f"{done.failed.act} {text.brief(done.failed.path)}: {text.brief(done.reason)}"
        begun = (
            f"{counted(count, 'step')} done, {len(done.left)} not begun{':' if done.left else ''}"
        )
        lines += [f"not done: {failed}", begun]
        lines += [f"  {step_line(step)}" for step in shortened(done.left)]
        stands = f"{text.brief(done.failed.path)} is {done.state}"
        lines.append(f"{stands}, and the rest goes on; `apply` again goes on from here")
    if done.held:
        code = code or ExitCode.NOT_RUNNING
        lines += [f"down: {text.brief(one.path)}: {text.brief(one.why, 400)}" for one in done.held]
    lines += [f"coming: {text.brief(one.path)}: {one.why}" for one in done.coming]
    half = done.failed is not None
    return _result(command, tuple(lines), applied_record(done), code, error=half)


def _refused(command: Command, error: SsmError) -> Result:
    """Show every complaint on a line of its own."""
    lines = tuple(text.brief(line, 1000) for line in message_of(error).split("\n"))
    record = records.error_record(error, command.place)
    return _result(command, lines, record, exit_code_of(error), error=True)


def _result(
    command: Command, lines: tuple[str, ...], record: object, code: int = 0, **more: Any
) -> Result:
    exit_code = ExitCode(code)
    return made_result("apply", lines, (record,), command.output, exit_code=exit_code, **more)


def plan_lines(plan: TreePlan) -> tuple[str, ...]:
    """Return a plan as lines: one a step, and how many nodes nothing is done to."""
    lines = [step_line(step) for step in shortened(plan.steps)]
    stay = f"{plan.same} node{' stays' if plan.same == 1 else 's stay'} as "
    if not plan.todo and not plan.refused:
        return (*lines, f"nothing to do: {stay}{'it is' if plan.same == 1 else 'they are'}")
    return (*lines, f"{stay}{'it is' if plan.same == 1 else 'they are'}   plan {plan.digest}")


def shortened(steps: tuple[PlanStep, ...]) -> tuple[PlanStep, ...]:
    """Return steps that are shown; of very many the first, and a line about the others."""
    more = len(steps) - MOST_LINES
    if more <= 0:
        return steps
    last = PlanStep("nothing", "", "...", "", f"and {more:,} more steps; `-o json` has them all")
    return (*steps[:MOST_LINES], last)


def step_line(step: PlanStep) -> str:
    """Return a step on one line.

    >>> step_line(PlanStep("stop", "kv1", "root/kv1", "root", "gone from the file"))
    'stop     root/kv1   gone from the file'
    """
    return f"{step.act.ljust(WIDTH)}  {text.brief(step.path)}   {text.brief(step.why, 400)}"


def plan_record(plan: TreePlan) -> dict[str, Any]:
    """Return the record of a plan."""
    return {"v": records.VERSION, "type": "plan", **msgspec.to_builtins(plan)}


def applied_record(done: Applied) -> dict[str, Any]:
    """Return the record of what came of a plan."""
    return {"v": records.VERSION, "type": "applied", **msgspec.to_builtins(done)}
