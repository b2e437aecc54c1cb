"""What must hold of a tree after an interruption: it is whole, and so is what it has stored."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections import Counter
from contextlib import suppress
from typing import Any

from ssm_cli import ManualClock, Node, NodeView, SsmError
from ssm_cli.behaviour.partition import label_of
from ssm_cli.spec.model import Persist, WorkerSpec, walk
from tests.faults.stage import LATER_S, Own, Stage


class Wrong(Exception):
    """Something does not hold."""


def need(truth: object, otherwise: str) -> None:
    if not truth:
        raise Wrong(otherwise)


def let_go(stage: Stage) -> None:
    """Take away all breaks, and let those go on that are held by one."""
    for name, cell in [*stage.node._world.names.items()]:
        if cell.extra is not None and cell.extra.breaks is not None and stage.node.running:
            stage.node.set_breaks(name, ())
            if cell.suspended:
                stage.node.resume(name)


def examine(stage: Stage) -> list[str]:
    """What is wrong with a tree after an interruption; empty if it is whole."""
    let_go(stage)
    stage.trap, stage.store.failing, stage.store.late = ("", ""), None, False
    try:
        stage.store.land()
        need(gc.isenabled(), "the collector is off")
        need(stage.came_out or stage.interrupted, "swallowed: it came out of nothing")
        need(len(stage.came_out) <= 1, "it came out more than once")
        all_arrive(stage)
        look_at_life(stage)
        look_at_callers(stage)
        look_at_workers(stage)
        look_at_end(stage)
        look_at_reports(stage)
    except Wrong as wrong:
        return [str(wrong)]
    return []


def all_arrive(stage: Stage) -> None:
    """Children that take their time to start do so now, and later ones at once."""
    if stage.links is not None:
        stage.links.slow.clear()
        for child in [*stage.links.asked]:
            stage.links.arrive(child)
        stage.node.run()


def look_at_life(stage: Stage) -> None:
    """The tree runs, or what was interrupted was its start or its end."""
    node, scenario = stage.node, stage.scenario
    if node.running:
        return
    need(stage.may_end, "the tree is down")
    look_at_lives(stage)
    for tries_left in range(scenario.failing_inits, -1, -1):
        try:
            node.start()
            break
        except SsmError as error:
            need(tries_left or stage.may_end, f"it cannot be started again: {error}")


def workers_of(view: NodeView) -> dict[str, str]:
    """The state of each worker, in start order."""
    found: dict[str, str] = {view.id: view.state} if view.kind == "worker" else {}
    for child in view.children:
        found |= workers_of(child)
    return found


def suspended(view: NodeView) -> list[str]:
    """The workers and supervisors that are held."""
    below = [name for child in view.children for name in suspended(child)]
    return [view.id, *below] if view.state == "suspended" else below


def look_at_callers(stage: Stage) -> None:
    """Each caller has one outcome, once what waits was served and time has passed."""
    node = stage.node
    for name in suspended(node.tree()) if node.running else ():
        node.resume(name)
    for _ in range(3):
        with suppress(Own):  # a step that interrupts, or a listener, may still wait
            node.run(0)
    node.run(LATER_S if node.running and "clock" not in stage.scenario.options else 0)
    for number, times in stage.told.items():
        all_are_due = number in stage.asked and not stage.scenario.defers
        need(times == 1 if all_are_due else times <= 1, f"a caller got {times} outcomes")
    for client in stage.clients:
        state = inspect.getgeneratorstate(client)
        need(state in (inspect.GEN_CLOSED, inspect.GEN_CREATED), "a client waits for ever")
    if stage.tasks and stage.loop is not None:
        pending = set(stage.tasks)
        for timeout_s in (0.01, 0.1, 1):  # time passes by the manual clock, too
            if pending:
                waiting = asyncio.wait(pending, timeout=timeout_s)
                stage.loop.call_soon(stage.loop.stop)  # as asyncio may be about to do itself, for
                stage.loop.run_forever()  # a run that had ended as the exception came
                _, pending = stage.loop.run_until_complete(waiting)
                stage.clock.advance_s(LATER_S)
        for task in pending:
            task.cancel()
        need(not pending, f"{len(pending)} callers of acall wait for ever")


def look_at_workers(stage: Stage) -> None:
    """Each worker runs and answers, but for those that an act takes away."""
    node, loose = stage.node, stage.scenario.loose
    if not node.running:
        need(stage.may_end, "the tree went down")
        return
    for name, state in workers_of(node.tree()).items():
        need(state == "running" or name in loose, f"{name} is {state}")
        if state == "running":
            answer = node.call(name, "ping", timeout_s=None)
            need(answer in ("ping", "ok"), f"{name} answers {answer!r}")  # ok: an event manager


def look_at_end(stage: Stage) -> None:
    """The tree stops in order, and each worker that ran terminates once; then it starts again."""
    node = stage.node
    if not node.running:
        look_at_lives(stage)
        return
    known = workers_of(node.tree()).items()
    ran = [label_of(name) for name, state in known if state == "running"]
    before = len(stage.ends)
    states = durable_states(node)
    node.stop()
    need(not node.running, "stop left it running")
    look_at_store(stage, states)
    ended = [name for name, _ in stage.ends[before:]]
    if not stage.scenario.kills:
        need(ended == ran[::-1], f"ended {ended}, ran {ran}")
    look_at_lives(stage)
    kept = [number for number in stage.asked if stage.told[number] != 1]
    need(not kept, f"not told at the end of the tree: {kept}")


def durable_states(node: Node) -> dict[str, Any]:
    """The states that outlive the process, of the workers that run."""
    running = workers_of(node.tree())
    return {
        spec.id: node.get_state(spec.id)
        for _, spec in walk(node.spec)
        if isinstance(spec, WorkerSpec) and spec.options.persist is not Persist.NONE
        if running.get(spec.id) == "running"
    }


def look_at_store(stage: Stage, states: dict[str, Any]) -> None:
    """The next process begins with the states that this one has ended with."""
    if not states or stage.store.failing or stage.store.late:
        return
    other = Node(stage.node.spec, clock=ManualClock(), guard=False, store=stage.store)
    other.start()
    found = durable_states(other)
    states = {name: state for name, state in states.items() if name in found}
    found = {name: found[name] for name in states}
    other.stop()
    need(found == states, f"the next process has {found}, and this one had {states}")


def look_at_lives(stage: Stage) -> None:
    """No life ends twice, and each has ended; a saved state brings the number of a life back."""
    twice = [life for life, times in Counter(stage.ends).items() if times > 1]
    need(stage.scenario.durable or not twice, f"terminated twice: {twice}")
    if not stage.scenario.kills:
        left = sorted(set(stage.lives) - set(stage.ends))
        need(not left, f"not terminated: {left}")


def look_at_reports(stage: Stage) -> None:
    """The reports have no gap, and a reader has seen each."""
    kept = [report.seq for report in stage.node.reports()]
    first = kept[0] if kept and stage.scenario.forgets else 1
    need(kept == list(range(first, first + len(kept))), "the reports have a gap")
    need(not stage.scenario.watched or stage.seen == kept, "a reader of reports missed some")
