"""The order service, asked over HTTP by a client of FastAPI's own kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")

from ssm_cli import Failed, RunError  # noqa: E402 - behind what may be missing
from trees import shop  # noqa: E402 - as above

DEADLINE_S = 180.0  # a bound for a machine under load; nothing waits for it
Client = Any  # httpx.AsyncClient, where it is installed


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    transport = httpx.ASGITransport(shop.app)
    async with (
        asyncio.timeout(DEADLINE_S),
        shop.app.router.lifespan_context(shop.app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as asked,
    ):
        yield asked


def served(act: Callable[[Client], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the service, found by nobody else, while `act` asks it."""
    opened = shop.node.open
    monkeypatch.setattr(shop.node, "open", lambda: opened(socket=False))

    async def main() -> None:
        async with client() as asked:
            await act(asked)

    asyncio.run(main())
    assert not shop.node.running


def place(client: Client, order: str, count: Any, item: str = "tea") -> Any:
    return client.post("/orders", json={"order": order, "item": item, "count": count})


async def how(client: Client, order: str) -> Any:
    return (await client.get(f"/orders/{order}")).json()["how"]


def test_an_order_is_paid_declined_or_refused_and_the_same_again_is_one_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(client: Client) -> None:
        paid = await place(client, "o1", 3)
        assert paid.json() == {"order": "o1", "item": "tea", "count": 3, "how": "paid"}
        assert (await place(client, "o1", 3)).json() == paid.json()
        declined = await place(client, "o2", 90)
        assert declined.json()["how"] == "declined: 360 for o2 is more than 200"
        assert (await place(client, "o3", 98)).json()["how"] == "refused: 97 left"
        assert (await place(client, "o4", 1, "cake")).json()["how"] == "refused: 0 left"
        assert (await place(client, "", 1)).json()["how"].startswith("refused: an order has a name")
        assert (await place(client, "o5", "x")).status_code == 422
        assert (await client.get("/orders/o2")).json() == declined.json()
        assert (await client.get("/orders/o9")).json()["how"] == "unknown"
        assert (await client.get("/ssm/v1/tree")).json()["state"] == "running"

    served(act, monkeypatch)


def test_orders_that_come_side_by_side_sell_what_is_there_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(client: Client) -> None:
        answers = await asyncio.gather(*(place(client, f"o{number}", 5) for number in range(30)))
        found = [answer.json()["how"] for answer in answers]
        assert (found.count("paid"), found.count("refused: 0 left")) == (20, 10)

    served(act, monkeypatch)


def test_a_kill_while_an_order_is_paid_is_a_503_and_the_shop_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(client: Client) -> None:
        asked = asyncio.create_task(place(client, "o1", 1))
        while not shop.node.tree().children[0].runs:  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0)
        shop.node.kill("orders")
        answer = await asked
        assert (answer.status_code, "orders" in answer.json()["detail"]) == (503, True)
        assert (await client.get("/orders/o1")).json()["how"] == "unknown"

    served(act, monkeypatch)


def test_what_is_declined_goes_back_into_the_stock_and_a_full_shop_takes_no_more() -> None:
    before = shop.Shop({"tea": 5}, {})
    paying, answer, _ = shop.sell(shop.Place("o1", "tea", 5), before)
    assert (paying.stock, answer) == ({"tea": 0}, None)
    failed = Failed("o1", RunError("timeout", "", "it took too long"))
    after, _, _ = shop.sell(failed, paying)
    assert (after.stock, after.orders["o1"].how) == ({"tea": 5}, "declined: it took too long")
    full = shop.Shop({"tea": 5}, {str(one): shop.Order(str(one)) for one in range(10_000)})
    assert shop.sell(shop.Place("new", "tea", 1), full)[1] == shop.Order(
        "new", "tea", 1, "refused: 10,000 orders are kept already"
    )


def test_an_order_that_was_being_paid_in_a_crash_is_paid_in_the_next_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, may_pay = list[str](), asyncio.Event()

    async def pay(order: str, _amount: int) -> None:
        asked.append(order)
        await may_pay.wait()

    async def act(client: Client) -> None:
        monkeypatch.setattr(shop, "pay", pay)
        placed = asyncio.create_task(place(client, "o1", 2))
        while not asked:  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0)
        shop.node.cast("orders", object())
        assert (await placed).status_code == 503
        may_pay.set()
        while (found := await how(client, "o1")) == "paying":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert (found, asked) == ("paid", ["o1", "o1"])
        assert (await place(client, "o2", 99)).json()["how"] == "refused: 98 left"

    served(act, monkeypatch)
