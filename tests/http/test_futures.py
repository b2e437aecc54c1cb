"""Searches of possible futures over HTTP: the tree goes on, and they end with their client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ssm_cli.errors import CommandError
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.node import HttpNode
from ssm_cli.http.client.wire import request_bytes
from tests.http.serving import DEADLINE_S, Served, serve

ENDLESS = "/v1/futures/chaos?steps=1000000&slow=1%25"


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110 - another process tells of nothing
            await asyncio.sleep(0.001)


def under_way(served: Served) -> list[object]:
    found: list[object] = served.node.perform("futures")["under_way"]
    return found


def test_calls_are_served_meanwhile_and_the_search_ends_as_its_client_leaves() -> None:
    async def main() -> None:
        async with serve(history=100) as served:
            _, writer = await served.connect()
            writer.write(request_bytes("POST", ENDLESS, "127.0.0.1", b"", {}))
            await until(lambda: under_way(served))
            assert (await served.call("kv1", "Store x 1"))[0] == 200
            status, answer, _ = await served.ask("GET", "/v1/futures")
            assert (status, answer["under_way"][0]["what"]) == (200, "chaos")
            writer.close()
            await until(lambda: not under_way(served))

    asyncio.run(main())


@pytest.mark.parametrize(
    "target",
    [
        "chaos?seed=x",
        "fuzz?worker=nobody",
        "check-policy?faults=9",
        "chaos?at=99",
        "chaos?at=fork7",
    ],
)
def test_what_cannot_be_asked_is_a_failure_of_the_client(target: str) -> None:
    async def main() -> None:
        async with serve(history=100) as served:
            status, answer, _ = await served.ask("POST", f"/v1/futures/{target}")
            assert (status, answer["type"]) in ((400, "error"), (404, "error"))
            assert answer["error"]["message"]

    asyncio.run(main())


def test_an_attached_prompt_asks_without_standing_still() -> None:
    async def main() -> None:
        async with serve(history=100) as served:
            near = HttpNode(Address(host="127.0.0.1", port=served.port))
            told = await near.aperform("chaos", steps="50", seed="3", at="")
            assert told["digest"] == served.node.perform("chaos", steps="50", seed="3")["digest"]
            with pytest.raises(CommandError, match="--steps takes a whole number"):
                await near.aperform("chaos", steps="0")
            task = asyncio.create_task(near.aperform("chaos", steps="1000000", slow="1%"))
            await until(lambda: under_way(served))
            task.cancel()
            await until(lambda: not under_way(served))

    asyncio.run(main())
