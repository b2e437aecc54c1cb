"""An order service: FastAPI outside, a supervised worker inside, its payments as runs.

Run: uvicorn --app-dir trees shop:app; docs/tutorial/order-service.md tells it as a story.
"""  # noqa: INP001 - run by its path

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ssm_cli import (
    Answer,
    CallError,
    CallTimeout,
    Cast,
    Defer,
    Done,
    Effect,
    Failed,
    Node,
    Ok,
    OnCrash,
    Run,
    StateMachine,
    Supervisor,
    Worker,
    asgi_app,
)

PRICES = {"tea": 4, "kettle": 30}
OPENING = {"tea": 100, "kettle": 10}
CREDIT = 200
MOST_NAME, MOST_ORDERS = 100, 10_000  # characters; orders that are kept


@dataclass(frozen=True)
class Place:
    """Order so many of an item; the same order again gets the answer of the first."""

    order: str
    item: str
    count: int


@dataclass(frozen=True)
class Look:
    """Ask how an order is."""

    order: str


@dataclass(frozen=True)
class Opened:
    """Come back after a crash: its runs have ended with the life before, its orders have not."""


@dataclass(frozen=True)
class Order:
    """An order, and how it is: `paying`, `paid`, `declined: ...`, `refused: ...` or `unknown`."""

    order: str
    item: str = ""
    count: int = 0
    how: str = "unknown"


@dataclass(frozen=True)
class Shop:
    """What is left of each item, and all orders that were not refused."""

    stock: Mapping[str, int]
    orders: Mapping[str, Order]


Step = tuple[Shop, Order | None, list[Effect]]


async def pay(order: str, amount: int) -> None:
    """Stand for a payment service, which gets the order as its idempotency key."""
    await asyncio.sleep(0.005)
    if amount > CREDIT:
        raise ValueError(f"{amount} for {order} is more than {CREDIT}")


def sell(message: Place | Look | Opened | Done | Failed, shop: Shop) -> Step:
    """Take an order and have it paid; or tell how it is; or end it."""
    match message:
        case Look(order):
            return shop, shop.orders.get(order, Order(order)), []
        case Place():
            return place(message, shop)
        case Opened():
            open_ones = (one for one in shop.orders.values() if one.how == "paying")
            return shop, None, [payment(one) for one in open_ones]
        case Done(order, _):
            return settle(shop, replace(shop.orders[order], how="paid"), 0)
        case Failed(order, error):
            declined = replace(shop.orders[order], how=f"declined: {error.message}")
            return settle(shop, declined, declined.count)


def place(message: Place, shop: Shop) -> Step:
    """Take what is ordered from the stock, and answer once it is paid."""
    order, item, count = message.order, message.item, message.count
    if order in shop.orders:
        return shop, shop.orders[order], []
    if why := fault_of(message, shop):
        return shop, Order(order, item, count, f"refused: {why}"), []
    taken = Order(order, item, count, "paying")
    after = Shop({**shop.stock, item: shop.stock[item] - count}, {**shop.orders, order: taken})
    return after, None, [Defer(order), payment(taken)]


def payment(order: Order) -> Run:
    """Have an order paid; the service knows by its name whether it is already."""
    return Run(order.order, pay, order.order, PRICES[order.item] * order.count)


def fault_of(message: Place, shop: Shop) -> str:
    """Return why an order is refused; "" if it is not."""
    if not 0 < len(message.order) <= MOST_NAME:
        return f"an order has a name of 1 to {MOST_NAME} characters"
    if len(shop.orders) >= MOST_ORDERS:
        return f"{MOST_ORDERS:,} orders are kept already"
    left = shop.stock.get(message.item, 0)
    return "" if 0 < message.count <= left else f"{left} left"


def settle(shop: Shop, order: Order, back: int) -> Step:
    """Keep how an order has ended, put back what was not paid, and answer."""
    stock = {**shop.stock, order.item: shop.stock[order.item] + back}
    after = Shop(stock, {**shop.orders, order.order: order})
    return after, None, [Answer(order.order, order)]


def begin(_name: str, _args: Mapping[str, Any]) -> Ok[Shop]:
    """Open with a full stock; behind a crash with the state of before, and what was open in it."""
    return Ok(Shop(OPENING, {}), effects=[Cast(None, Opened())])


seller = StateMachine(step=sell, init=begin, inputs=Place | Look, outputs=Order)
tree = Supervisor("shop", children=[Worker("orders", seller, on_crash=OnCrash.LAST_GOOD)])
node = Node(tree, name="shop")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Run the tree as long as the application; `ssm attach shop` finds it."""
    async with node.open():
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/ssm", asgi_app(node))


async def ask(message: Place | Look) -> Order:
    """Ask the worker."""
    answer = await node.worker("orders", seller).acall(message)
    assert answer is not None  # None is of a step that answers later
    return answer


@app.post("/orders")
async def order(message: Place) -> Order:
    """Place an order; the answer comes once it is paid, or declined."""
    return await ask(message)


@app.get("/orders/{name}")
async def look(name: str) -> Order:
    """Tell how an order is."""
    return await ask(Look(name))


@app.exception_handler(CallError)
async def failed(_request: Request, error: CallError) -> JSONResponse:
    """Answer for a worker that crashed, is down, full or late."""
    status = 504 if isinstance(error, CallTimeout) else 503
    return JSONResponse({"detail": str(error)}, status)
