"""A fork that runs away: the live tree is served meanwhile, and it is said that it was stopped."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    Cast,
    ManualClock,
    Node,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.commands import past as past_verbs
from ssm_cli.commands.execute import aexecute, execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.commands.results import Result
from ssm_cli.errors import CommandError
from ssm_cli.history import past, scratch, timeline, turns
from ssm_cli.history.scratch import MOST_TOLD, Scratch
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.turns import GO_ON_S, Quota, Turns, all_turns
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.performer.loop import BATCH
from ssm_cli.simulation.asking import with_futures
from ssm_cli.spec.model import SupervisorSpec


def runs(message: str, state: int) -> Any:
    """Run away by itself, by timers, or in a circle once 5 has been added; else add."""
    match message:
        case "go":
            return state + 1, "Ok", [Cast(None, "go")]
        case "tick":
            return state + 1, "Ok", [StartTimer("t", 1, "tick")]
        case "if":
            return state, "Ok", [Cast(None, "go")] if state == 5 else []
    return state + int(message), str(state)


def tree() -> SupervisorSpec:
    machine = StateMachine(step=runs, init=lambda *_: 0)
    return Supervisor("root", children=[Worker("runner", machine), Worker("kv", kv_store)])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time, of the processor alone: that others have it is no turn of ours."""
    monkeypatch.setattr(turns, "SHARE", 0.0)
    monkeypatch.setattr(scratch, "GO_ON_S", 0.02)
    monkeypatch.setattr(scratch, "AGAIN_S", 0.02)


def command_of(line: str, node: Any, at: str = "") -> Any:
    command = parse_line(line, ("runner", "kv"))
    assert command is not None
    return msgspec.structs.replace(command, at=at or command.at)


RUNS_AWAY = {
    "a call": ("runner 1", ["cast runner go"]),
    "a cast": ("cast runner go", []),
    "time": ("advance 1h", ["runner tick"]),
    "a resume": ("resume runner", ["suspend runner", "cast runner go"]),
    "without": ("without 1", ["runner 5", "runner if"]),
    "edit": ("edit 1 5", ["runner if"]),
}


async def served_beside(node: Any, command: Any) -> tuple[int, Result]:
    """Carry out a command; how many calls of others were answered meanwhile, and its result."""
    served = 0

    async def calls() -> None:
        nonlocal served
        while True:
            await node.acall("kv", b"Lookup a")
            served += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(calls())
    await asyncio.sleep(0)
    begun = served
    result = await aexecute(command, node)
    others.cancel()
    return served - begun, result


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("way", RUNS_AWAY)
def test_the_live_tree_is_served_while_a_fork_runs_away(way: str) -> None:
    line, before = RUNS_AWAY[way]

    async def main() -> tuple[int, Result]:
        with with_futures(Node(tree(), history=1000), instant) as node:
            await node.acall("runner", "1" if way == "without" else "0")
            node.perform("fork")
            for first in before:
                await aexecute(command_of(first, node, "fork1"), node)
            return await served_beside(node, command_of(line, node, "fork1"))

    served, result = asyncio.run(main())
    stays = way in ("without", "edit")
    assert served > 2, "between two turns of the fork"
    assert "too much happens in a fork" in result.lines[-1]
    assert result.error == stays
    if stays:
        assert "fork1 stays as it is" in result.lines[-1]


LOOKS = [
    "at 90", "history -n 1000", "history -o json", "diff 2 90", "fork", "fork 2",
    "fork --code {code}",
]  # fmt: skip


@pytest.mark.parametrize("line", LOOKS)
def test_a_call_is_answered_between_two_turns_of_what_looks_at_the_past(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)  # each of what may be a turn is one
    monkeypatch.setattr(past_verbs, "LINES_A_TURN", 1)
    code = tmp_path / "kv.py"
    code.write_text(Path(kv_store.step.__code__.co_filename).read_text())

    async def main() -> tuple[int, Result]:
        with with_futures(Node(tree(), history=1000), instant) as node:
            node.replace_state("kv", {str(key): [[key]] * 20 for key in range(500)})
            for _ in range(100):
                await node.acall("runner", "1")
            return await served_beside(node, command_of(line.format(code=code), node))

    served, result = asyncio.run(main())
    assert not result.error, result.lines
    assert served > 2


def test_a_page_is_made_beside_the_tree(tmp_path: Path) -> None:
    name = str(tmp_path / "page.html")

    async def main() -> tuple[list[str], Result]:
        with with_futures(Node(tree(), history=1000), instant) as node:
            await node.acall("runner", "1")
            asked = aexecute(command_of(f"report {name}", node), node)
            making = asyncio.create_task(asked)
            names: list[str] = []
            while not making.done():
                names += [one["what"] for one in node.perform("futures")["under_way"]]
                await node.acall("kv", b"Lookup a")
                await asyncio.sleep(0)
            return names, making.result()

    names, result = asyncio.run(main())
    assert "report" in names
    assert f"in {name}" in result.lines[0]
    assert "runner" in Path(name).read_text()


def test_what_looks_at_the_past_for_too_long_is_told_to_ask_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeline, "LOOK_S", -1.0)
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    with with_futures(Node(tree(), history=1000), instant) as node:
        for _ in range(10):
            node.call("runner", "1")
        with pytest.raises(CommandError, match="ask for less"):
            node.perform("history")


def test_a_fork_is_of_the_tree_as_it_was_whatever_happens_while_its_states_are_copied() -> None:
    with Node(tree(), history=1000) as node:
        node.replace_state("runner", 7)
        node.replace_state("kv", {str(key): [[key]] * 20 for key in range(500)})
        record, digest = node.record, node.fork().digest()
        tried = Scratch(Timeline(node, instant), clock=count(0, 0.01).__next__)
        making = tried.fork()
        made = 0
        with suppress(StopIteration):
            while True:
                next(making)
                node.call("runner", "1")
                node.call("kv", b"Store 1 2")
                made += 1
        fork = tried._places.forks["fork1"]
        assert made > 2
        assert (fork.record, fork.node.digest()) == (record, digest)


@pytest.mark.parametrize(
    "line",
    ["count-children root", "terminate-child root kv", "restart kv", "which-children root",
     "delete-child root kv", "start-child root {worker: x, start: ssm_cli.machines.kv:kv_store}"],
)  # fmt: skip
def test_a_request_to_a_suspended_supervisor_of_a_fork_that_runs_away_has_one_outcome(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with with_futures(Node(tree(), history=1000), instant) as node:
        fork = node.perform("standing", node.perform("fork")["place"], reading=False)
        fork.suspend("root")
        fork.cast_nowait("runner", "go")
        monkeypatch.setattr(scratch, "GO_ON_S", -1.0)  # one turn behind it
        monkeypatch.setattr(turns, "TURN_S", 0.0)
        result = asyncio.run(aexecute(command_of(line, node, "fork1"), node))
        assert result.error
        assert "root is suspended in this fork, and does not answer" in result.lines[0]
        assert fork.record <= 2 * BATCH, "it was not waited for in one piece"
        children = fork.names("worker")
        fork.resume("root")
        assert fork.names("worker") == children == ["runner", "kv"], "it is not done later"
        assert fork.whereis("kv") == node.whereis("kv")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("line", ["runner 1", "cast runner go", "advance 1h"])
def test_that_a_fork_was_stopped_is_said_once_and_in_json_too(line: str) -> None:
    with with_futures(Node(tree(), clock=ManualClock(), history=1000), instant) as node:
        node.perform("fork")
        execute(command_of("cast runner go", node, "fork1"), node)
        for result in (
            execute(
                command_of(f"{line} -o json" if line[:4] != "runn" else line, node, "fork1"), node
            ),
            asyncio.run(aexecute(command_of(line, node, "fork1"), node)),
        ):
            record: Any = result.records[-1]
            assert "too much happens" in record["stopped"]
            assert sum("too much happens" in text for text in result.lines) == 1


def test_a_fork_that_comes_to_rest_is_not_stopped() -> None:
    with with_futures(Node(tree(), clock=ManualClock(), history=1000), instant) as node:
        node.perform("fork")
        for line, said in (("runner 1", "0"), ("cast runner 1", "ok"), ("advance 1h", "nothing")):
            result = asyncio.run(aexecute(command_of(line, node, "fork1"), node))
            record: Any = result.records[-1]
            assert not record.get("stopped")
            assert len(result.lines) == 1
            assert result.lines[0].startswith(said)


def test_a_call_that_a_fork_cannot_answer_is_over_at_once() -> None:
    with with_futures(Node(tree(), clock=ManualClock(), history=1000), instant) as node:
        node.perform("fork")
        execute(command_of("suspend runner", node, "fork1"), node)
        result = asyncio.run(aexecute(command_of("runner 1", node, "fork1"), node))
        assert "did not answer" in result.lines[0]
        assert node.get_state("runner") == 0


def test_of_many_records_the_first_are_told_and_how_many_more_there_are() -> None:
    with with_futures(Node(tree(), clock=ManualClock(), history=1000), instant) as node:
        fork = node.perform("standing", node.perform("fork")["place"], reading=False)
        fork.call("runner", "tick")
        for ticks, more in ((MOST_TOLD + 0.5, 0), (2 * MOST_TOLD, MOST_TOLD)):
            found = node.perform("advance", span=f"{ticks / 1000}s", at="fork1")
            assert (len(found["records"]), found["more"]) == (MOST_TOLD, more)
            assert not found["stopped"]
        result = execute(command_of("advance 0.2s", node, "fork1"), node)
        assert f"and {MOST_TOLD} more records; `history` shows the last ones" in result.lines


def test_a_turn_of_a_fork_is_one_batch() -> None:
    with Node(tree(), clock=ManualClock(), history=1000) as node:
        fork = node.fork()
        fork.remember(1000, 0)
        fork.cast("runner", "go")
        stepping, before = fork.turns(), 0
        for _ in range(20):
            next(stepping)
            assert 0 < fork.record - before <= BATCH
            before = fork.record


def test_who_waits_for_a_step_has_used_time_as_well() -> None:
    ticks = iter(range(1000))

    def endless() -> Turns[None]:
        while True:
            yield

    quota = Quota(lambda: float(next(ticks)), lambda: 0.0, GO_ON_S, lambda: True)
    pieces = list(quota.cut(endless()))
    assert quota.is_over
    assert len(pieces) < 10


def test_a_fork_that_is_stepped_is_not_stepped_by_somebody_else_and_can_be_dropped() -> None:
    async def main() -> None:
        with with_futures(Node(tree(), history=1000), instant) as node:
            node.perform("fork")
            going = asyncio.create_task(aexecute(command_of("cast runner go", node, "fork1"), node))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for line in ("runner 1", "advance 1s", "without 1"):
                refused = await aexecute(command_of(line, node, "fork1"), node)
                assert "fork1 is being stepped" in refused.lines[0], line
            assert node.perform("history", at="fork1")["records"], "looking at it goes"
            node.perform("drop", worker="fork1")
            assert "stopped" in (await going).lines[-1]
            node.perform("fork")
            ended = asyncio.create_task(aexecute(command_of("cast runner go", node, "fork2"), node))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ended.cancel()
            await asyncio.wait({ended})
            node.perform("standing", "fork2", reading=False)  # nobody waits: it is free again

    asyncio.run(main())


def test_records_that_the_live_tree_forgets_meanwhile_are_stepped_again_all_the_same() -> None:
    def step(message: str, state: int) -> Any:
        if message == "wait":
            return state, "Ok", [StartTimer("t", 50, "5")]
        return state + int(message), str(state)

    one = Supervisor("root", children=[Worker("w", StateMachine(step=step, init=lambda *_: 0))])
    told = []
    for busy in (0, 40):
        with Node(one, clock=ManualClock(), history=64) as node:
            node.call("w", "wait")
            for _ in range(8):
                node.run(0.02)
                node.call("w", "1")
            tried = Scratch(Timeline(node, instant), clock=count(0, 0.01).__next__)
            all_turns(tried.fork())
            stepping = tried.without("2", place="fork1")
            with suppress(StopIteration):
                while True:
                    next(stepping)
                    for _ in range(busy):
                        node.run(0.001)
                        node.call("w", "1")
            known = all_turns(tried._timeline.history(place="fork1"))["records"]
            told.append([record for record in known if "fork" in record])
            assert (node.first_record() > told[-1][-1]["record"]) == bool(busy), "it is forgotten"
    assert told[0] == told[1]


def where(message: str, state: str) -> tuple[str, int]:
    """Answer the process that steps it."""
    return str(os.getpid()), 1 // (message != "crash")


@pytest.mark.parametrize("verb", ["replay w", "shrink", "save"])
def test_what_changes_nothing_is_done_in_a_process_beside_the_tree(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    machine = StateMachine(step=where, init=lambda *_: "")

    async def main() -> Result:
        node = Node(Supervisor("root", children=[Worker("w", machine)]), history=100)
        with with_futures(node, instant) as node:
            for line in ("x", "crash"):
                with suppress(CalleeCrashed):
                    node.call("w", line)
            beside = node.effects["beside"]

            async def noted(effect: str, **given: Any) -> Any:
                asked.append(effect)
                return await beside(effect, **given)

            monkeypatch.setitem(node.effects, "beside", noted)
            line = f"save {tmp_path / 'x.past'}" if verb == "save" else verb
            return await aexecute(command_of(line, node), node)

    result = asyncio.run(main())
    assert asked == [verb.split(maxsplit=1)[0]]
    match verb:
        case "save":
            assert (tmp_path / "x.past").stat().st_size > 50
        case "shrink":
            assert "1 input" in result.lines[0], result.lines
        case _:
            assert "1 another state" in result.lines[0], "its step says which process it is in"


@pytest.mark.parametrize(
    "line", ["next --when 'state > 5'", "back --when 'state < 5' --at 9", "blame runner ''",
             "when runner 'state > 5'"],
)  # fmt: skip
def test_a_question_that_takes_long_is_answered_beside_the_tree(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def main() -> None:
        with with_futures(Node(tree(), history=100), instant) as node:
            for _ in range(10):
                node.call("runner", "1")
            beside = node.effects["beside"]
            command = command_of(line, node)
            if line.startswith("next"):
                command = msgspec.structs.replace(command, at="1")
            soon = await aexecute(command, node)
            monkeypatch.setattr(past, "AT_ONCE_S", -1.0)
            works = getattr(node.effects["soon"], "__self__")  # noqa: B009 - of whom it is a method

            async def noted(effect: str, **given: Any) -> Any:
                asked.append(effect)
                return await beside(effect, **given)

            monkeypatch.setattr(works, "_do_beside", noted)
            assert await aexecute(command, node) == soon
            assert len(asked) == 1
            assert soon.lines
            with pytest.raises(CommandError):
                node.perform("blame", worker="runner", path="[")

    asyncio.run(main())
