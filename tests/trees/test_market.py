"""The order book: what is matched, what is published, and what always holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli import DecodeError, ManualClock, Node, Publish, load_tree
from tests.trees.shipped import TREES
from trees.market import (
    MOST_HEARD,
    MOST_ORDERS,
    QUOTES,
    TRADES,
    Accepted,
    Book,
    Buy,
    Cancel,
    Cancelled,
    Heard,
    Last,
    Quote,
    Refused,
    Sell,
    Trade,
    rank,
    trade,
)

ASKED = Book(sells=(Sell("s1", 5, 100), Sell("s2", 5, 100), Sell("s3", 5, 101)))


@pytest.mark.parametrize(
    ("message", "answer", "trades", "book"),
    [
        (Buy("b", 3, 99), Accepted(0, 3), [], Book((Buy("b", 3, 99),), ASKED.sells)),
        (
            Buy("b", 7, 100),
            Accepted(7, 0),
            [Trade(5, 100, "b", "s1"), Trade(2, 100, "b", "s2")],
            Book(sells=(Sell("s2", 3, 100), ASKED.sells[2])),
        ),
        (
            Buy("b", 11, 100),
            Accepted(10, 1),
            [Trade(5, 100, "b", "s1"), Trade(5, 100, "b", "s2")],
            Book((Buy("b", 1, 100),), ASKED.sells[2:]),
        ),
        (Cancel("s2"), Cancelled(5), [], Book(sells=(ASKED.sells[0], ASKED.sells[2]))),
        (Cancel("b"), Refused("no order b rests"), [], ASKED),
        (Buy("s1", 1, 1), Refused("an order s1 rests already"), [], ASKED),
        (Buy("b", 0, 1), Refused("quantity and price are 1 at least, not 0 and 1"), [], ASKED),
    ],
)
def test_orders_meet_by_price_and_then_by_age(
    message: Any, answer: Any, trades: list[Trade], book: Book
) -> None:
    found = trade(message, ASKED)
    assert found[:2] == (book, answer)
    assert [one for one in found[2] if one.group == TRADES] == [
        Publish(TRADES, one) for one in trades
    ]


def test_a_quote_is_published_when_it_is_another_and_no_more() -> None:
    assert trade(Buy("b", 1, 100), ASKED)[2] == [Publish(TRADES, Trade(1, 100, "b", "s1"))]
    assert trade(Buy("b", 1, 99), ASKED)[2] == [Publish(QUOTES, Quote(99, 100))]
    assert trade(Cancel("s3"), ASKED)[2] == []


def test_a_side_that_is_full_takes_no_more_and_the_other_one_does() -> None:
    book = Book(buys=tuple(Buy(f"b{number}", 1, 9) for number in range(MOST_ORDERS)))
    assert trade(Buy("b", 1, 9), book)[1] == Refused("1,000 orders rest on that side already")
    assert trade(Sell("s", 2, 9), book)[1] == Accepted(2, 0)


orders = st.builds(
    lambda kind, quantity, price: (kind, quantity, price),
    st.sampled_from([Buy, Sell]),
    st.integers(1, 9),
    st.integers(1, 9),
)


@given(st.lists(orders, max_size=40))
def test_whatever_is_ordered_the_book_is_sorted_never_crossed_and_nothing_is_lost(
    given_orders: list[Any],
) -> None:
    book, ordered, traded = Book(), 0, 0
    for number, (kind, quantity, price) in enumerate(given_orders):
        book, answer, published = trade(kind(str(number), quantity, price), book)
        ordered += quantity
        trades = [one.message.quantity for one in published if isinstance(one.message, Trade)]
        assert answer == Accepted(sum(trades), quantity - sum(trades))
        traded += 2 * sum(trades)
    for side in (book.buys, book.sells):
        ranks = [(rank(one), int(one.order)) for one in side]
        assert all(one < other for one, other in pairwise(ranks)), "by price, then by age"
    bid, ask = book.quote().bid, book.quote().ask
    assert bid is None or ask is None or bid < ask
    assert ordered == traded + sum(one.quantity for one in book.buys + book.sells)


@contextmanager
def market() -> Iterator[Node]:
    with Node(load_tree(TREES / "market.yaml"), clock=ManualClock()) as node:
        yield node


def test_who_listens_hears_trades_and_quotes_in_order_also_in_the_next_life() -> None:
    with market() as node:
        node.start_child("listeners", "ann")
        node.call("book", b"Sell s1 5 100")
        assert node.call("book", b"Buy b1 2 100") == b"Accepted 2 0"
        assert node.call("book", b"Buy b2 9 100") == b"Accepted 3 6"
        heard = (Trade(2, 100, "b1", "s1"), Trade(3, 100, "b2", "s1"))
        assert node.call("tape", Last()) == node.call("ann", Last()) == Heard(2, heard)
        assert node.call("screen", Last()).last == (Quote(None, 100), Quote(100, None))
        node.kill("tape")
        node.call("book", b"Sell s2 1 100")
        assert node.call("tape", Last()) == Heard(1, (Trade(1, 100, "b2", "s2"),))
        assert node.call("ann", Last()).count == 3


def test_a_listener_keeps_the_last_hundred_and_the_count_of_all() -> None:
    with market() as node:
        for number in range(MOST_HEARD + 5):
            node.call("book", Buy(f"b{number}", 1, 1 + number))
        heard = node.call("screen", Last())
        assert (heard.count, len(heard.last)) == (MOST_HEARD + 5, MOST_HEARD)
        assert heard.last[-1] == Quote(MOST_HEARD + 5, None)


def test_what_crashes_the_book_leaves_its_orders() -> None:
    with market() as node:
        node.call("book", Buy("b1", 1, 9))
        node.cast("book", Buy("b2", None, 9))  # type: ignore[arg-type]  # past the codec: a crash
        node.run()
        assert node.crash_reports("book")[-1].error_type == "TypeError"
        assert node.call("book", b"Sell s1 1 9") == b"Accepted 1 0"


def test_an_order_without_a_price_does_not_reach_the_book() -> None:
    with market() as node, pytest.raises(DecodeError, match="price is missing"):
        node.call("book", b"Buy b1 5")
