"""A bank account as OTP callbacks. An overdraft crashes it: let it crash, and begin clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.results import Caller, NoReply, Ok, Reply, Stop


class Deposit(msgspec.Struct, frozen=True):
    """Pay in."""

    amount: int


class Withdraw(msgspec.Struct, frozen=True):
    """Take out; more than there is crashes the account."""

    amount: int


class Balance(msgspec.Struct, frozen=True):
    """Ask for the balance."""


class Close(msgspec.Struct, frozen=True):
    """Close the account: it answers with its last balance and ends normally."""


class Money(msgspec.Struct, frozen=True):
    """The balance after the request."""

    amount: int


class OverdraftError(Exception):
    """More was asked for than there is."""


class Bank(GenServer):
    """An account; its state is the balance, and `args["balance"]` is where it begins."""

    inputs: ClassVar[Any] = Deposit | Withdraw | Balance | Close
    outputs: ClassVar[Any] = Money

    def init(self, name: str, args: Mapping[str, Any]) -> Ok:
        """Open the account."""
        del name
        return Ok(int(args.get("balance", 0)))

    def handle_call(
        self, message: Deposit | Withdraw | Balance | Close, caller: Caller, state: int
    ) -> Reply | Stop:
        """Move money and answer with the new balance."""
        del caller
        match message:
            case Deposit(amount):
                balance = state + amount
            case Withdraw(amount):
                if amount > state:
                    raise OverdraftError(f"{amount} asked for, {state} there")
                balance = state - amount
            case Balance():
                balance = state
            case Close():
                return Stop("normal", state, reply=Money(state))
        return Reply(Money(balance), balance)

    def handle_cast(self, message: Deposit | Withdraw, state: int) -> NoReply:
        """The same without an answer."""
        match message:
            case Deposit(amount):
                return NoReply(state + amount)
            case Withdraw(amount) if amount <= state:
                return NoReply(state - amount)
        raise OverdraftError(f"{message.amount} asked for, {state} there")
