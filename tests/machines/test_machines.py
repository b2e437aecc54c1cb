"""The workers that ship, as they are in a tree."""

from __future__ import annotations

import pytest

from ssm_cli import CalleeCrashed, StartFailed, StateMachine, Worker
from ssm_cli.machines.bank import Bank, Deposit, Money
from ssm_cli.machines.counter import Add, Count, Finish, Value, counter
from ssm_cli.machines.kv import Lookup, Ok, Result, Store, kv_store
from ssm_cli.machines.ticker import Pause, Start, Tick, Ticks, ticker
from tests.runtime.workers import running


def test_the_store_keeps_the_last_value_under_a_key() -> None:
    with running(Worker("kv", kv_store)) as node:
        assert node.call("kv", b'Store "a key" 1') == b"Ok"
        assert node.call("kv", Store("a key", 2)) == Ok()
        assert node.call("kv", b'Lookup "a key"') == b"Result 2"
        assert node.call("kv", Lookup("other")) == Result(None)


def test_the_store_never_changes_its_state_in_place() -> None:
    before = {"x": 1}
    assert kv_store.step(Store("y", 2), before) == ({"x": 1, "y": 2}, Ok())
    assert before == {"x": 1}


def test_the_store_loses_everything_with_the_demos_crash() -> None:
    with running(Worker("kv", kv_store)) as node:
        node.call("kv", b"Store x 1")
        with pytest.raises(CalleeCrashed, match="ZeroDivisionError"):
            node.call("kv", b"Lookup crash")
        assert node.call("kv", b"Lookup x") == b"Result None"


def test_the_counter_begins_at_its_argument_and_may_be_done() -> None:
    with running(Worker("c", counter, args={"start": 5}, restart="transient")) as node:
        assert node.call("c", Add(2)) == Count(7)
        assert node.call("c", Add()) == Count(8)
        assert node.call("c", Value()) == Count(8)
        assert node.call("c", Finish()) == Count(8)
        assert node.tree().children[0].state == "stopped"


def test_a_counter_with_a_bad_argument_does_not_start() -> None:
    with pytest.raises(StartFailed), running(Worker("c", counter, args={"start": "five"})):
        pass


def test_the_bank_moves_money_and_an_overdraft_crashes_it() -> None:
    with running(Worker("bank", Bank, args={"balance": 10}, restart="transient")) as node:
        assert node.call("bank", Deposit(5)) == Money(15)
        assert node.call("bank", b"Withdraw 4") == b"Money 11"
        with pytest.raises(CalleeCrashed, match="OverdraftError: 99 asked for, 11 there"):
            node.call("bank", b"Withdraw 99")
        assert node.call("bank", b"Balance") == b"Money 10"
        node.cast("bank", b"Deposit 1")
        node.cast("bank", b"Withdraw 3")
        assert node.call("bank", b"Balance") == b"Money 8"
        node.cast("bank", b"Withdraw 9")
        assert node.call("bank", b"Close") == b"Money 10"
        assert node.tree().children[0].state == "stopped"


def test_the_ticker_tells_its_target_with_every_tick() -> None:
    children = [Worker("c", counter), Worker("t", ticker, args={"target": "c"})]
    with running(*children) as node:
        assert node.call("t", Start(every_ms=500)) == Ticks(0)
        node.run(2.1)
        assert node.call("c", Value()) == Count(4)
        assert node.call("t", Pause()) == Ticks(4)
        node.run(5)
        assert node.call("c", Value()) == Count(4)


def test_the_ticker_goes_on_while_its_target_is_restarted() -> None:
    children = [Worker("c", counter), Worker("t", ticker, args={"target": "c"})]
    with running(*children) as node:
        node.call("t", Start(every_ms=500))
        node.run(1.1)
        node.kill("c")
        node.run(1)
        assert node.call("c", Value()) == Count(2)
        node.terminate_child("root", "c")
        node.run(1)
        assert node.call("t", Pause()) == Ticks(6)


def test_a_ticker_without_a_target_counts_for_itself_and_refuses_no_time() -> None:
    with running(Worker("t", ticker)) as node:
        with pytest.raises(CalleeCrashed, match="every_ms must be at least 1, got 0"):
            node.call("t", Start(every_ms=0))
        assert node.call("t", Tick()) == Ticks(1)
        node.call("t", b"Start 100")
        node.run(0.35)
        assert node.call("t", b"Pause") == b"Ticks 4"


def test_every_machine_says_what_it_takes_and_gives() -> None:
    machines: list[StateMachine | type[Bank]] = [kv_store, counter, ticker, Bank]
    assert all(machine.inputs is not None for machine in machines)
    assert all(machine.outputs is not None for machine in machines)
