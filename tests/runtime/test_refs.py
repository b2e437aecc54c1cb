"""A ref is a worker by its name: typed for checkers, and the same calls underneath."""

from __future__ import annotations

import asyncio

import pytest

from ssm_cli import CalleeCrashed, GenServer, Node, NoProc, Reply, Supervisor, Worker
from ssm_cli.machines.bank import Bank
from ssm_cli.machines.kv import Lookup, Ok, Result, Store, kv_store


def shop() -> Node:
    desk = Supervisor("desk", children=[Worker("bank", Bank)])
    return Node(Supervisor("root", children=[Worker("kv", kv_store), desk], intensity=9))


def test_calls_and_casts_of_a_ref_are_those_of_its_worker() -> None:
    with shop() as node:
        kv = node.worker("kv", kv_store)
        assert kv.call(Store("x", 1)) == Ok()
        kv.cast(Store("x", 2))
        node.run()
        assert kv.call(Lookup("x"), timeout_s=None) == Result(2)
        with pytest.raises(CalleeCrashed):
            kv.call(Lookup("crash"))
        assert kv.call(Lookup("x")) == Result(None), "the ref is the name, not a life of it"
        assert repr(kv) == "Ref(kv)"


def test_a_ref_is_awaited_inside_asyncio() -> None:
    async def main() -> object:
        with shop() as node:
            return await node.worker("kv", kv_store).acall(Store("x", 1))

    assert asyncio.run(main()) == Ok()


def test_a_ref_of_a_name_that_is_no_worker_is_refused() -> None:
    with shop() as node:
        for name, said in (("kw", "kw"), ("desk", "desk is a supervisor, not a worker")):
            with pytest.raises(NoProc, match=said):
                node.worker(name)
        assert node.worker("root/desk/bank", Bank).name == "root/desk/bank"


def test_a_ref_may_be_made_before_the_tree_starts() -> None:
    node = shop()
    kv, bank = node.worker("kv", kv_store), node.worker("root/desk/bank", Bank)
    for wrong in ("kw", "desk"):
        with pytest.raises(NoProc, match=f"^no worker {wrong}$"):
            node.worker(wrong)
    with pytest.raises(TypeError, match=r"^kv runs ssm_cli"):
        node.worker("kv", Bank)
    with pytest.raises(NoProc, match="not running"):
        kv.call(Lookup("x"))
    with node:
        assert kv.call(Lookup("x")) == Result(None)
        assert bank.name == "root/desk/bank"


class Other(GenServer):
    def handle_call(self, message: object, caller: object, state: object) -> Reply:
        return Reply(message, state)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("kv", Bank, r"^kv runs ssm_cli\.machines\.kv:step, not ssm_cli\.machines\.bank:Bank; exp"),
        (
            "bank",
            Other,
            r"^bank runs ssm_cli\.machines\.bank:Bank, not tests\.\S+test_refs:Other; ",
        ),
        ("bank", kv_store, r"not ssm_cli\.machines\.kv:step; expected the code that its child sp"),
        ("bank", Bank(), r"not a Bank; "),
        ("bank", "Bank", r'not the text "Bank"; '),
    ],
)
def test_a_ref_by_other_code_is_refused(name: str, code: object, said: str) -> None:
    with shop() as node, pytest.raises(TypeError, match=said):
        node.worker(name, code)  # type: ignore[call-overload]  # that is what is wrong
