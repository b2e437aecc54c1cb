"""The gateway: one device as a table, and 500 against a field on a socket of this machine."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from ssm_cli import (
    Answer,
    DecodeError,
    Done,
    Failed,
    ManualClock,
    Next,
    Node,
    Postpone,
    Run,
    RunError,
    StateEvent,
    load_tree,
)
from ssm_cli.behaviour.state_loop import listed
from tests.ports import free_ports
from tests.trees.shipped import TREES
from trees.device import Data, Read, Silent, Switch, Value, ask, rest_ms, step
from trees.field import Field

DEADLINE_S = 180.0  # a bound for a machine under load; nothing waits for it
DATA = Data("boiler", "here", 1, Value(20))
REFUSED = RunError("raised", "OSError", "refused")
CALLER: Any = "the caller"


def silent(times: int) -> Data:
    return replace(DATA, said=Silent(times, "refused"))


# -- one device, as a table ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "event", "data", "after"),
    [
        ("asking", StateEvent("info", Done("ask", 21)), DATA, ("online", Value(21))),
        ("asking", StateEvent("info", Failed("ask", REFUSED)), DATA, ("silent", 1)),
        ("asking", StateEvent("info", Failed("ask", REFUSED)), silent(7), ("silent", 8)),
        ("asking", StateEvent("call", Read(), CALLER), DATA, ("asking", Postpone)),
        ("online", StateEvent("call", Read(), CALLER), DATA, ("online", Answer)),
        ("online", StateEvent("cast", Read()), DATA, ("online", Value(20))),
        ("silent", StateEvent("state_timeout"), silent(2), ("asking", 2)),
        ("silent", StateEvent("call", Switch(1), CALLER), silent(2), ("silent", Answer)),
    ],
)
def test_a_device_goes_from_state_to_state(
    state: Any, event: StateEvent, data: Data, after: tuple[str, Any]
) -> None:
    found = step(event, state, data)
    said = found.data.said
    seen = [said, getattr(said, "times", None), *(type(action) for action in listed(found.actions))]
    assert found.state == after[0]
    assert after[1] in seen


def test_who_switches_waits_for_the_answer_to_that_line_and_gets_it() -> None:
    asking = step(StateEvent("call", Switch(30), CALLER), "online", DATA)
    assert asking == Next("asking", replace(DATA, line="switch 30", caller=CALLER))
    begun = step(StateEvent("enter"), "asking", asking.data)
    assert begun.actions == [Run("ask", ask, "here", 1, "boiler switch 30")]
    done = step(StateEvent("info", Done("ask", 30)), "asking", asking.data)
    told = [Answer(CALLER, Value(30))]
    assert done == Next("online", replace(DATA, said=Value(30)), told)


def test_a_silent_device_rests_twice_as_long_each_time_about_a_minute_at_most() -> None:
    rests = [rest_ms(silent(times)) / rest_ms(silent(1)) for times in (*range(1, 10), 10**9)]
    assert rests == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64]


def test_devices_are_spread_by_their_names_a_tenth_to_both_sides() -> None:
    rests = {rest_ms(replace(DATA, name=f"d{number}")) for number in range(500)}
    assert len(rests) > 100
    assert 9_000 <= min(rests) <= max(rests) <= 11_000


def test_the_device_has_less_than_sixty_lines_of_code_besides_its_imports() -> None:
    text = (TREES / "device.py").read_text(encoding="utf-8")
    empty = [n for n, line in enumerate(text.splitlines(), 1) if line.strip()[:1] in {"", "#"}]
    others = set(empty)
    for node in ast.walk(ast.parse(text)):
        doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and (doc or isinstance(node, ast.Import | ast.ImportFrom)):
            others.update(range(node.lineno, (node.end_lineno or 0) + 1))
    assert len(text.splitlines()) - len(others) < 60


# -- many, against a field -------------------------------------------------------------------------


@asynccontextmanager
async def gateway(port: int, *names: str) -> AsyncIterator[tuple[Node, ManualClock]]:
    """The tree that ships, with devices of a port of this machine."""
    clock = ManualClock()
    async with asyncio.timeout(DEADLINE_S):
        with Node(load_tree(TREES / "gateway.yaml"), clock=clock) as node:
            for name in names:
                node.start_child("devices", name, {"port": port})
            yield node, clock


async def said(node: Node, *names: str) -> list[Any]:
    return await asyncio.gather(*(node.acall(name, Read(), timeout_s=None) for name in names))


def numbers(found: list[Any]) -> set[Any]:
    return {getattr(one, "value", None) or one.times for one in found}


def test_five_hundred_devices_come_with_their_field_and_fall_silent_with_it() -> None:
    names = [f"d{number}" for number in range(500)]
    (port,) = free_ports(1)

    async def main() -> None:
        async with gateway(port, *names) as (node, clock):
            assert numbers(await said(node, *names)) == {1}, "nobody listens yet"
            async with await Field().listen(port):
                clock.advance_s(1.2)
                assert numbers(await said(node, *names)) == {20}
            clock.advance_s(8)
            assert numbers(await said(node, *names)) == {20}, "what they said last is known"
            clock.advance_s(4)
            assert numbers(await said(node, *names)) == {1}

    asyncio.run(main())


def test_a_switch_reaches_its_device_and_calls_that_come_meanwhile_wait_for_it() -> None:
    async def main() -> None:
        field = Field()
        async with await field.listen(0) as server:
            port = server.sockets[0].getsockname()[1]
            async with gateway(port, "boiler", "pump") as (node, _):
                assert await said(node, "boiler", "pump") == [Value(20), Value(20)]
                switched = asyncio.create_task(node.acall("boiler", b"Switch 30"))
                await asyncio.sleep(0)
                assert await said(node, "boiler", "pump") == [Value(30), Value(20)]
                assert await switched == b"Value 30"
        assert field.numbers == {"boiler": 30, "pump": 20}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "why"),
    [("", "ValueError"), ("7" * 70_000, "ValueError"), (None, "timeout")],
)
def test_a_device_that_answers_nonsense_or_nothing_is_silent_and_says_why(
    answer: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        field = Field()
        if answer is None:
            monkeypatch.setattr(field, "answer", hang)
        else:
            field.nonsense["boiler"] = answer
        async with await field.listen(0) as server:
            port = server.sockets[0].getsockname()[1]
            async with gateway(port, "boiler") as (node, clock):
                told = asyncio.create_task(node.acall("boiler", Read(), timeout_s=None))
                for _ in range(2):
                    await asyncio.sleep(0)
                (view,) = node.tree().children[0].children
                assert view.runs == 1
                clock.advance_s(5 if answer is None else 0)
                found = await told
                assert (found.times, why in found.why) == (1, True)

    asyncio.run(main())


def test_a_device_that_is_killed_asks_anew() -> None:
    async def main() -> None:
        async with await Field().listen(0) as server:
            port = server.sockets[0].getsockname()[1]
            async with gateway(port, "boiler") as (node, _):
                node.kill("boiler")
                assert await said(node, "boiler") == [Value(20)]

    asyncio.run(main())


def test_a_line_that_is_none_does_not_reach_the_device() -> None:
    async def main() -> None:
        async with gateway(1, "boiler") as (node, _):
            with pytest.raises(DecodeError, match="did you mean `Switch`"):
                await node.acall("boiler", b"Swich 3")

    asyncio.run(main())


def test_a_line_of_nobody_is_answered_with_no_number() -> None:
    async def main() -> None:
        async with await Field().listen(0) as server:
            port = server.sockets[0].getsockname()[1]
            assert await ask("127.0.0.1", port, "boiler dance") == 20

    asyncio.run(main())
