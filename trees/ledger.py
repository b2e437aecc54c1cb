"""A ledger that holds money for orders. It has a fault.

bank.yaml runs it, bank.ssm breaks it, docs/tutorial/hunt-a-crash.md mends it.
"""  # noqa: INP001 - run by its path

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ssm_cli import StateMachine

ACCOUNTS = tuple(f"acc{number:02}" for number in range(1, 13))
OPENING = 10_000


@dataclass(frozen=True)
class Hold:
    """Hold money of an account for an order; the same order again is a repeated message."""

    order: str
    account: str
    amount: int


@dataclass(frozen=True)
class Release:
    """Let go of what is held for an order; unknown orders are ignored."""

    order: str


@dataclass(frozen=True)
class Audit:
    """Check the books: no account can have less than nothing held."""


@dataclass(frozen=True)
class Free:
    """Ask what an account may spend."""

    account: str


@dataclass(frozen=True)
class Held:
    """What is held for one order, and how often its message has come."""

    account: str
    amount: int
    count: int


@dataclass(frozen=True)
class Book:
    """What each account has, what is held of it, and for which orders."""

    balance: Mapping[str, int]
    held: Mapping[str, int]
    holds: Mapping[str, Held]


@dataclass(frozen=True)
class Money:
    """An amount."""

    amount: int


def open_book(name: str, args: Mapping[str, Any]) -> Book:
    """Open all accounts."""
    del name, args
    return Book(dict.fromkeys(ACCOUNTS, OPENING), dict.fromkeys(ACCOUNTS, 0), {})


def keep_book(message: Hold | Release | Audit | Free, book: Book) -> tuple[Book, Money]:
    """Hold, release, check or tell.

    >>> book = open_book("ledger", {})
    >>> book, _ = keep_book(Hold("1", "acc01", 300), book)
    >>> keep_book(Free("acc01"), book)[1]
    Money(amount=9700)
    """
    match message:
        case Hold(order, account, amount):
            if order in book.holds:  # its message has come already: the money is held
                again = book.holds[order]
                noted = replace(again, count=again.count + 1)
                return replace(book, holds={**book.holds, order: noted}), Money(again.amount)
            return place(book, order, Held(account, amount, 1)), Money(amount)
        case Release(order):
            return release(book, order)
        case Audit():
            return audit(book)
        case Free(account):
            return book, Money(book.balance[account] - book.held[account])


def place(book: Book, order: str, hold: Held) -> Book:
    """Hold money for a new order."""
    held = {**book.held, hold.account: book.held[hold.account] + hold.amount}
    return replace(book, held=held, holds={**book.holds, order: hold})


def release(book: Book, order: str) -> tuple[Book, Money]:
    """Let go of the money of an order, and of the order with its last message."""
    hold = book.holds.get(order)
    if hold is None:
        return book, Money(0)
    held = {**book.held, hold.account: book.held[hold.account] - hold.amount}
    holds = {other: kept for other, kept in book.holds.items() if other != order}
    if hold.count > 1:
        holds[order] = replace(hold, count=hold.count - 1)
    return replace(book, held=held, holds=holds), Money(hold.amount)


def audit(book: Book) -> tuple[Book, Money]:
    """Check that no account has less than nothing held; answer with all that is."""
    for account, held in book.held.items():
        if held < 0:
            raise ArithmeticError(f"{account}: {held} held of {book.balance[account]}")
    return book, Money(sum(book.held.values()))


ledger = StateMachine(
    step=keep_book, init=open_book, inputs=Hold | Release | Audit | Free, outputs=Money
)
