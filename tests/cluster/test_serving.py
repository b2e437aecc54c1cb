"""What a subtree answers by itself: more calls than may wait, and outputs that do not cross."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ssm_cli import Node, Supervisor, Worker
from ssm_cli.cluster.owner import serving as module
from ssm_cli.cluster.owner.serving import Serving
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import CallRequest, Reply
from ssm_cli.machines.kv import kv_store

MAY_WAIT = 2
SOON_S = 60.0


class Subtree:
    """A subtree in which so many calls may wait."""

    def __init__(self, node: Node) -> None:
        self.node = node
        store: Any = SimpleNamespace(fenced="")
        self.serving = Serving(node, lambda: True, store, 1, lambda _: None)

    def ask(self, data: bytes) -> list[Reply]:
        """Have it hear a call; what it answers, now or later."""
        heard: list[Reply] = []

        def answer(told: bytes) -> None:
            heard.append(msgspec.json.decode(told, type=Reply))

        call = msgspec.json.encode(CallRequest(data))
        self.serving.on_call(names.calls("t", "s", "kv"), call, answer)
        return heard

    def cast(self, data: bytes, *, is_value: bool = False) -> None:
        """Have it hear a cast, whose sender does not wait."""
        cast = msgspec.json.encode(CallRequest(data, is_value=is_value))
        self.serving.on_call(names.casts("t", "s", "kv"), cast, None)

    def dropped(self) -> list[str]:
        """Why casts have reached nobody."""
        told = [report for report in self.node.reports() if report.event == "dropped"]
        return [str(report.detail["why"]) for report in told]

    async def answer(self, data: bytes) -> Reply:
        """The answer to a call, once all are answered."""
        heard = self.ask(data)
        await self.serving.drained(SOON_S)
        return heard[0]


def with_subtree(claim: Callable[[Subtree], Coroutine[Any, Any, None]]) -> None:
    tree = Supervisor("s", children=[Worker("kv", kv_store)], queue=MAY_WAIT)

    async def main() -> None:
        with Node(tree) as node:
            await claim(Subtree(node))

    asyncio.run(main())


def test_more_calls_than_may_wait_are_busy_at_once_and_not_stepped() -> None:
    async def claim(subtree: Subtree) -> None:
        waiting = [subtree.ask(b"Store x %d" % n) for n in range(MAY_WAIT)]
        (more,) = subtree.ask(b"Store x 7")
        assert (more.outcome, waiting) == ("busy", [[]] * MAY_WAIT)
        await subtree.serving.drained(SOON_S)
        assert waiting == [[Reply("replied", b"Ok")]] * MAY_WAIT
        assert await subtree.answer(b"Lookup x") == Reply("replied", b"Result %d" % (MAY_WAIT - 1))

    with_subtree(claim)


def test_an_output_that_is_larger_than_crosses_is_no_answer_and_was_stepped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def claim(subtree: Subtree) -> None:
        monkeypatch.setattr(module, "MAX_INPUT_BYTES", 1)
        told = await subtree.answer(b"Store x 1")
        monkeypatch.undo()
        assert (told.outcome, told.output) == ("noconnection", b"")
        assert "kv was stepped; its output of 2 bytes is more than the 1 that cross" in told.error
        assert await subtree.answer(b"Lookup x") == Reply("replied", b"Result 1")

    with_subtree(claim)


def test_a_cast_that_finds_the_queue_full_is_dropped_and_told() -> None:
    async def claim(subtree: Subtree) -> None:
        for n in range(MAY_WAIT + 1):
            subtree.cast(b"Store x %d" % n)
        (why,) = subtree.dropped()
        assert "the queue is full" in why
        assert await subtree.answer(b"Lookup x") == Reply("replied", b"Result %d" % (MAY_WAIT - 1))

    with_subtree(claim)


def test_a_cast_goes_on_to_the_queue_however_many_calls_are_under_way() -> None:
    async def claim(subtree: Subtree) -> None:
        waiting = [subtree.ask(b"Lookup x") for _ in range(MAY_WAIT)]
        subtree.cast(b"Store x 1")
        await subtree.serving.drained(SOON_S)
        assert all(waiting)
        assert subtree.dropped() == []
        assert await subtree.answer(b"Lookup x") == Reply("replied", b"Result 1")

    with_subtree(claim)


def test_a_cast_of_a_value_that_is_no_input_is_dropped_and_told() -> None:
    async def claim(subtree: Subtree) -> None:
        subtree.cast(b'{"type": "Stroe"}', is_value=True)
        (why,) = subtree.dropped()
        assert "Stroe" in why

    with_subtree(claim)
