"""Trying: what is remembered, stepped on other code, and shrunk to the fewest inputs that fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome, callback_of
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.behaviour.sizes import AsText
from ssm_cli.errors import CommandError, Forgotten, SsmError, message_of
from ssm_cli.history.changes import same
from ssm_cli.history.comparing import KINDS, Comparison, kind_of, slowness
from ssm_cli.history.expr import STATE, Asking, parse_expr
from ssm_cli.history.lifetimes import life_of
from ssm_cli.history.other_code import Clock, Code, code_in, code_of, other_code
from ssm_cli.history.places import of_its_own, unless_there
from ssm_cli.history.pytest_file import pytest_file
from ssm_cli.history.records import Served, latest_of, served_in
from ssm_cli.history.scratch import need_code, need_code_of, scratch_of
from ssm_cli.history.shrink import Shrunk, Unshrunk, shrink
from ssm_cli.history.shrink_tree import GIVEN_UP, TreeInput, crash_of, give_input, shrink_tree
from ssm_cli.history.telling import MOST_TEXT, Data, Teller
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.trials import Bounds, Broken, Goal, Run, Trial, crash_goal, uncrashed
from ssm_cli.history.turns import all_turns
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.code import lasting_name
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.recorder import AskedFor, Came, Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.recoding import bare_cell

OF_CHILDREN = frozenset({"start_child", "terminate_child", "restart_child", "delete_child"})


class Trying:
    """What can be tried with the inputs that a node remembers; the node is not touched."""

    def __init__(self, timeline: Timeline, clock: Clock = time.perf_counter) -> None:
        self._timeline = timeline
        self._clock = clock

    def replay(self, worker: str, code: str | None = None, place: str = "") -> Data:
        """Step the remembered inputs of a worker (or of `all`) on other code, and compare.

        Each is stepped from the state that it had then, so that a difference is told once.

        Args:
            worker: its id, or `all`.
            code: the file with the other code; without it, the code that runs.
            place: where one stands.

        Returns:
            By kind (`same`, `output`, `state`, `effects`, `crashes`, `mended`) how many there are,
            the first record of each with what it changed then and would change now, and the time
            it took as a multiple of that of the present code. `unknown` are not among them: a saved
            past has their input or state as text alone, or it cannot be copied (`cause`). `earlier`
            of them were served by code that the worker does not have now: of before a `reload`, or
            of another worker of its name.
            `others` are workers, of `all`, that the file has nothing for.
        """
        _, recorder, here = self._timeline.places.remembered(place)
        module = None if code is None else other_code(code, recorder.world, worker)
        known, earlier, others = self._compared(recorder, here, worker, module)
        if not known and others:
            raise next(iter(others.values()))
        if not known:
            what = "no input" if worker == "all" else f"no input of {worker}"
            nobody = "" if worker == "all" else unless_there(recorder.world, worker)
            raise Forgotten(f"{what} is remembered here{of_its_own(place)}{nobody}")
        return {"worker": worker, **told_together(known), "earlier": earlier, "others": [*others]}

    def _compared(
        self, recorder: Recorder, here: int, worker: str, module: Any
    ) -> tuple[list[Comparison], int, dict[str, CommandError]]:
        """Step the records of a worker, or of `all`; return what `replay` tells of them."""
        teller, known, earlier = Teller(recorder), dict[int, Comparison](), 0
        others: dict[str, CommandError] = {}
        before: dict[int, bool] = {}
        for one in served_in(recorder, 0, here, None if worker == "all" else worker):
            if not one.is_input or type(one.cell) is not WorkerCell or one.worker in others:
                continue
            if id(one.cell) not in known:
                try:
                    known[id(one.cell)] = self._comparison(teller, one.cell, module)
                except CommandError as error:
                    if worker != "all":
                        raise
                    others[one.worker] = error
                    continue
                before[id(one.cell)] = is_earlier(recorder, one)
            known[id(one.cell)].add(one)
            earlier += before[id(one.cell)]
        return [*known.values()], earlier, others

    def _comparison(self, teller: Teller, cell: WorkerCell, module: Any) -> Comparison:
        """Return what steps the records of a worker on a module, or on its own code."""
        need_code_of(cell.spec)
        own, instant = code_of(cell), self._timeline.instant
        if module is None:
            return Comparison(teller, instant, Code(own, self._clock))
        code = code_in(module, own, self._clock)
        spec = msgspec.structs.replace(cell.spec, start=code.behaviour)
        there = bare_cell(spec, code.behaviour)
        return Comparison(teller, instant, code, there, self._clock)

    def shrink(
        self, record: str | None = None, when: str | None = None, beside: str | None = None,
        every: str = "", place: str = "",
    ) -> Data:  # fmt: skip
        """Find the fewest, simplest inputs that end as a record did, and write a test of them.

        Args:
            record: a crash; the last one by default. With `when`, a record of the worker.
                `gave_up` stands for the end of the root: the fewest inputs are told that take it
                down, and no test is written.
            when: an EXPR that must not hold: the first record after which it does.
            beside: the folder that the test is for, so that its paths are relative.
            every: `yes`: the fewest inputs of all workers from outside, since a fault may lie in
                what one gets from another; they are told, and no test is written.
            place: where one stands.

        Raises:
            Forgotten: there is no such record, or it is no crash.
            CommandError: it cannot be shrunk, or not written down; says why.
        """
        _, recorder, here = self._timeline.places.remembered(place)
        if record == "gave_up":
            return self._shrink_tree(recorder)
        one = self._failed(recorder, record, when, here, place)
        if every == "yes" and when is not None:
            raise CommandError("`--every` is about a crash; it does not go with --when")
        if every == "yes":
            return self._shrink_tree(recorder, one)
        need_code_of(one.cell.spec)
        code, goal = code_of(one.cell), goal_of(recorder, one, when)
        trial = life_of(recorder, one.worker, one.record).trial(code, goal)
        begun_s, live = self._clock(), self._timeline.places.node._world  # noqa: SLF001 - its own room
        found, text = tested(
            one.worker, trial, guarded_run(one.cell), Bounds(now_s=self._clock),
            told=partial(Teller(recorder).state, one.cell), beside=beside, live=live,
        )  # fmt: skip
        reloaded = {"reloaded": True} if found.behaviour is not trial.behaviour else {}
        return {"record": one.record, "worker": one.worker, **reloaded,
                "said": found.said(self._clock() - begun_s), "test": text,
                "inputs": len(found.inputs), "given": found.given}  # fmt: skip

    def _failed(
        self, recorder: Recorder, record: str | None, when: str | None, here: int, place: str
    ) -> Served:
        """Return the record to shrink."""
        if when is not None:
            asking, teller = Asking(parse_expr(when)), Teller(recorder)
            worker = None if record is None else self._one(recorder, record, place).worker
            for one in served_in(recorder, 0, here, worker):
                if one.is_input and asking.holds(teller.names(one)):
                    return one
            raise Forgotten(" ".join([f"`{when}` holds after no record", *asking.never()]))
        one = self._one(recorder, record or "crash", place)
        if one.outcome != "crashed" or not one.is_input:
            raise Forgotten(f"record {one.record} is no crash; name one, or `--when EXPR`")
        return one

    def _one(self, recorder: Recorder, record: str, place: str) -> Served:
        number = self._timeline.places.record_at(record, place)
        one = latest_of(recorder, number)
        if one is None:
            raise Forgotten(f"record {number} is not remembered here{of_its_own(place)}")
        return one

    def _shrink_tree(self, recorder: Recorder, crash: Served | None = None) -> Data:
        """Find the fewest inputs of any workers that take the root down, or lead to a crash."""
        node = self._timeline.places.node
        first, teller = node.first_record(), Teller(recorder)
        start = all_turns(scratch_of(node.at(first), first))
        need_code(start)
        inputs = inputs_since(recorder, first, crash)
        goal = GIVEN_UP
        if crash is not None and crash.failure is not None:
            goal = crash_of(start, crash.worker, crash.failure.type, crash.failure.stack)
        begun_s = self._clock()
        bounds = Bounds(now_s=self._clock)
        found = shrink_tree(lambda: start, inputs, bounds, give, can_be_simpler, goal=goal)
        if isinstance(found, Unshrunk):
            raise CommandError(f"{node.name}: {found.why}")
        cells, texts = {e[1].spec.id: e[1] for e in recorder.ring if e[1] is not None}, []
        for one in found.inputs:
            if one.after_s:
                texts.append(f"advance {one.after_s:g}s")
            if type(one.message) is AskedFor:
                words = (str(getattr(word, "id", word)) for word in one.message.args)
                verb = one.message.verb.replace("_", "-")
                texts.append(" ".join([verb, one.worker, *words])[:MOST_TEXT])
            elif one.worker:
                texts.append(f"{one.worker} {teller.written(cells.get(one.worker), one.message)}")
        record = recorder.last() if crash is None else crash.record
        return {"record": record, "worker": node.name if crash is None else crash.worker,
                "inputs": len(found.inputs), "given": found.given,
                "said": found.said(self._clock() - begun_s), "test": "\n".join(texts)}  # fmt: skip


def is_earlier(recorder: Recorder, one: Served) -> bool:
    """Return whether a record was served by other code than its worker has now."""
    cell = recorder.world.names.get(one.worker)
    return type(cell) is WorkerCell and callback_of(code_of(cell)) is not callback_of(
        code_of(one.cell)
    )


def told_together(comparisons: Sequence[Comparison]) -> Data:
    """Return what several comparisons have found: how many of each kind, and the first of each."""
    found = dict.fromkeys((*KINDS, "unknown"), 0)
    firsts: dict[str, Data] = {}
    for told in (comparison.told() for comparison in comparisons):
        for kind in found:
            found[kind] += told[kind]
        for first in told["firsts"]:
            before = firsts.get(first["kind"], first)
            if first["record"]["record"] <= before["record"]["record"]:
                firsts[first["kind"]] = first
    return {"total": sum(found[kind] for kind in KINDS), **found,
            "cause": next((one.cause for one in comparisons if one.cause), ""),
            "firsts": sorted(firsts.values(), key=lambda first: first["record"]["record"]),
            "slower": slowness(comparisons)}  # fmt: skip


def tested(
    worker: str,
    trial: Trial,
    run: Run,
    bounds: Bounds,
    *,
    told: Callable[[Any], Any],
    beside: str | None,
    live: World,
) -> tuple[Shrunk, str]:
    """Return the fewest, simplest inputs of a trial, and the text of a test of them.

    Args:
        worker: its name.
        trial: what it was given, and what came of it.
        run: steps one input, and cuts what runs away.
        bounds: when to end, with what is found by then.
        told: returns a value of the worker without what must not leave the process.
        beside: the folder that the test is for, so that its paths are relative.
        live: where the worker lives: after a reload the test is of the code of now.

    Raises:
        CommandError: it cannot be shrunk, or not written down; says why.
    """
    found = shrink(trial, run, bounds=bounds)
    if isinstance(found, Unshrunk):
        raise CommandError(f"{worker}: {found.why}")
    for value in (found.state, *(message for _, message in found.inputs)):
        if not same(told(value), value):
            raise CommandError(
                f"{worker} hides parts of its inputs or state (`redact`), and the test "
                f"would hold them; shrink it where the worker has no `redact`"
            )
    found = as_now(live, worker, found)
    text = pytest_file(found, worker, None if beside is None else Path(beside))
    if isinstance(text, Unshrunk):
        raise CommandError(text.why)
    return found, text


def as_now(live: World, worker: str, found: Shrunk) -> Shrunk:
    """Return what was shrunk with the code that a reload has put in the place of its own.

    A test can import what its file has by now alone.

    Raises:
        CommandError: a value has no place in the classes of that code.
    """
    carry, cell = live.outside.carry, live.names.get(worker)
    if carry is None or type(cell) is not WorkerCell:
        return found
    behaviour = code_of(cell)
    then, now = callback_of(found.behaviour), callback_of(behaviour)
    if then is now or lasting_name(then) != lasting_name(now):
        return found
    try:
        inputs = tuple((kind, carry(cell, message)) for kind, message in found.inputs)
        state, after = carry(cell, found.state), carry(cell, found.after)
    except Exception as error:
        why = "what it was given is of before a `reload`, and the code of now has no place for it"
        raise CommandError(f"{worker}: {why}: {message_of(error)}; shrink before it") from error
    return msgspec.structs.replace(
        found, behaviour=behaviour, state=state, inputs=inputs, after=after
    )


def inputs_since(recorder: Recorder, first: int, crash: Served | None) -> list[TreeInput]:
    """Return what workers got from outside behind a record, up to a crash, with the time between.

    What supervisors were asked about their children is among it: a worker may be one of those.
    Where the crash came later than the last of it, time alone passes at the end.
    """
    inputs, now_s = [], recorder.instants.of(first)[0]
    end = None if crash is None else crash.record
    for one in served_in(recorder, first + 1, end):
        asked = AskedFor(one.how, one.input) if one.how in OF_CHILDREN else None
        if asked is not None or (one.is_input and is_given(one)):
            at_s = recorder.instants.of(one.record)[0]
            reply = NOTHING if type(one.output) is AsText or asked is not None else one.output
            wait_s = max(0.0, at_s - now_s)
            message = asked or one.input
            inputs.append(TreeInput(one.worker, kind_of(one), message, wait_s, reply))
            now_s = max(now_s, at_s)
    if crash is not None and (left_s := recorder.instants.of(crash.record)[0] - now_s) > 0:
        inputs.append(TreeInput("", Kind.INFO, NOTHING, left_s))
    return inputs


def give(node: Node, one: TreeInput) -> Any:
    """Give a tree one input, or ask a supervisor about a child; return the reply."""
    if type(one.message) is not AskedFor:
        return give_input(node, one)
    node.run(one.after_s)
    with suppress(SsmError):  # without the inputs that were left out it may be refused
        node.perform(one.message.verb, one.worker, *one.message.args)
    node.run()
    return NOTHING


def can_be_simpler(old: Any, _new: Any) -> bool:
    """Return whether a simpler message may stand in the place of another one."""
    return type(old) is not AskedFor


def is_given(one: Served) -> bool:
    """Return whether an input came from outside."""
    return one.cause is None and one.how in ("call", "cast", "info")


def goal_of(recorder: Recorder, one: Served, when: str | None) -> Goal:
    """Return what the inputs have to lead to."""
    if when is not None:
        asking, teller = Asking(parse_expr(when, STATE)), Teller(recorder)
        return Broken(lambda state: asking.holds({"state": teller.state(one.cell, state)}), when)
    for entry in reversed(recorder.ring):
        what = entry[5]
        if entry[0] == one.record and type(what) is Came and type(what.reason) is Crash:
            return crash_goal(what.reason.error)
    raise Forgotten(f"record {one.record} is not remembered")


def guarded_run(cell: WorkerCell, again: Again | None = None) -> Run:
    """Return what steps one input, cut at the limit of a step; `again` runs it, if given."""
    runs, code = again or Again(cell.spec), Code(code_of(cell))

    def run(state: Any, kind: Kind, message: Any) -> Outcome:
        return uncrashed(runs.step(code.step, kind, message, state))

    return run
