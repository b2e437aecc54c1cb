"""An order book: matches orders by price, then by age, and publishes trades and quotes.

market.yaml runs it with those who listen; docs/tutorial/order-book.md tells it as a story.
"""  # noqa: INP001 - run by its path

from bisect import bisect
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ssm_cli import Join, Ok, Publish, StateMachine

TRADES, QUOTES = "trades", "quotes"  # groups
MOST_ORDERS = 1_000  # that rest on one side
MOST_HEARD = 100  # that a listener keeps


class Buy(Struct, frozen=True):
    """Buy so many at this price or a lower one; what is left rests in the book."""

    order: str
    quantity: int
    price: int


class Sell(Struct, frozen=True):
    """Sell so many at this price or a higher one; what is left rests in the book."""

    order: str
    quantity: int
    price: int


class Cancel(Struct, frozen=True):
    """Take an order that rests out of the book."""

    order: str


class Accepted(Struct, frozen=True):
    """So many were traded at once, and so many rest."""

    traded: int
    resting: int


class Cancelled(Struct, frozen=True):
    """So many no longer rest."""

    quantity: int


class Refused(Struct, frozen=True):
    """Nothing has happened, for this reason."""

    why: str


class Trade(Struct, frozen=True):
    """So many have changed hands at the price of the order that rested."""

    quantity: int
    price: int
    buy: str
    sell: str


class Quote(Struct, frozen=True):
    """The best prices on both sides; None where nobody buys or sells."""

    bid: int | None
    ask: int | None


Order = Buy | Sell
Answers = Accepted | Cancelled | Refused


class Book(Struct, frozen=True):
    """The orders that rest, the best first; among those of one price the oldest."""

    buys: tuple[Order, ...] = ()
    sells: tuple[Order, ...] = ()

    def quote(self) -> Quote:
        """Return the best prices."""
        bid, ask = (side[0].price if side else None for side in (self.buys, self.sells))
        return Quote(bid, ask)


def trade(message: Order | Cancel, book: Book) -> tuple[Book, Answers, list[Publish]]:
    """Match an order or take one out; publish what was traded, and the quote if it is another.

    >>> book, _, _ = trade(Sell("s1", 5, 101), Book())
    >>> trade(Buy("b1", 3, 102), book)[1:] == (
    ...     Accepted(3, 0), [Publish("trades", Trade(3, 101, "b1", "s1"))])
    True
    """
    if why := fault_of(message, book):
        return book, Refused(why), []
    answered = cancel(message, book) if isinstance(message, Cancel) else match(message, book)
    after, answer, trades = answered
    published: list[Publish] = [Publish(TRADES, one) for one in trades]
    if after.quote() != book.quote():
        published.append(Publish(QUOTES, after.quote()))
    return after, answer, published


def match(order: Order, book: Book) -> tuple[Book, Accepted, list[Trade]]:
    """Trade with the best on the other side as long as prices meet; let the rest of it rest."""
    buys = isinstance(order, Buy)
    others = list(book.sells if buys else book.buys)
    left, trades = order.quantity, []
    while left and others and meets(order, others[0]):
        best = others[0]
        quantity = min(left, best.quantity)
        left -= quantity
        names = (order.order, best.order) if buys else (best.order, order.order)
        trades.append(Trade(quantity, best.price, *names))
        others[0] = replace(best, quantity=best.quantity - quantity)
        if not others[0].quantity:
            del others[0]
    own = book.buys if buys else book.sells
    if left:
        place = bisect(own, rank(order), key=rank)
        own = (*own[:place], replace(order, quantity=left), *own[place:])
    after = Book(own, tuple(others)) if buys else Book(tuple(others), own)
    return after, Accepted(order.quantity - left, left), trades


def meets(order: Order, best: Order) -> bool:
    """Whether an order takes the price of the best on the other side."""
    return rank(order) <= -rank(best)


def rank(order: Order) -> int:
    """Return the price so that the better one is smaller."""
    return -order.price if isinstance(order, Buy) else order.price


def cancel(message: Cancel, book: Book) -> tuple[Book, Cancelled, list[Trade]]:
    """Take an order out of the book."""
    quantity = sum(one.quantity for one in resting(book) if one.order == message.order)
    buys, sells = (
        tuple(one for one in side if one.order != message.order) for side in (book.buys, book.sells)
    )
    return Book(buys, sells), Cancelled(quantity), []


def resting(book: Book) -> tuple[Order, ...]:
    """Return all orders that rest."""
    return book.buys + book.sells


def fault_of(message: Order | Cancel, book: Book) -> str:
    """Return why a message is refused; "" if it is not."""
    rests = any(one.order == message.order for one in resting(book))
    if isinstance(message, Cancel):
        return "" if rests else f"no order {message.order} rests"
    if rests:
        return f"an order {message.order} rests already"
    if message.quantity < 1 or message.price < 1:
        return f"quantity and price are 1 at least, not {message.quantity} and {message.price}"
    own = book.buys if isinstance(message, Buy) else book.sells
    return f"{MOST_ORDERS:,} orders rest on that side already" * (len(own) >= MOST_ORDERS)


def begin(_name: str, _args: Mapping[str, Any]) -> Book:
    """Begin without orders."""
    return Book()


book = StateMachine(
    step=trade, init=begin, inputs=Buy | Sell | Cancel, outputs=Accepted | Cancelled | Refused
)


class Last(Struct, frozen=True):
    """Ask a listener for what it has heard."""


class Heard(Struct, frozen=True):
    """How many messages came, and the last of them, the newest at the end."""

    count: int = 0
    last: tuple[Trade | Quote, ...] = ()


def listen(message: Trade | Quote | Last, heard: Heard) -> tuple[Heard, Heard | None]:
    """Keep what comes, or tell."""
    if isinstance(message, Last):
        return heard, heard
    return Heard(heard.count + 1, (*heard.last, message)[-MOST_HEARD:]), None


def join(_name: str, args: Mapping[str, Any]) -> Ok[Heard]:
    """Be a member of a group in each life."""
    return Ok(Heard(), effects=[Join(args["group"])])


listener = StateMachine(step=listen, init=join, inputs=Trade | Quote | Last, outputs=Heard)
