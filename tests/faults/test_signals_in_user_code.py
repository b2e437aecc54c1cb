"""A signal while user code runs: what its handler raises or asks for reaches who ran the loop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from ssm_cli import (
    CallError,
    CallTimeout,
    GenServer,
    ManualClock,
    Node,
    NoReply,
    Reply,
    StateMachine,
    Supervisor,
    Worker,
)
from tests.runtime.workers import get


def interrupt(*_: object) -> Any:
    signal.raise_signal(signal.SIGINT)
    return 0, "went on"


def terminated(*_: object) -> Any:
    signal.raise_signal(signal.SIGTERM)
    return 0, "went on"


def once(act: Callable[..., Any], otherwise: Any = (0, "went on")) -> Callable[..., Any]:
    """Do it the first time only."""
    left = [act]

    def first(*args: object) -> Any:
        return left.pop()(*args) if left else otherwise

    return first


@contextmanager
def on_sigterm(handler: Callable[..., Any]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def step(message: Any, state: Any) -> Any:
    return message(state) if callable(message) else (state, message)


def init(name: str, args: Any) -> Any:
    return args["init"]() if "init" in args else 5


pure = StateMachine(step=step, init=init)


class Server(GenServer):
    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        return Reply(message(state), state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return NoReply(message(state))

    handle_info = handle_cast


def node_of(*workers: Any, guard: bool = False) -> Node:
    children = workers or (Worker("a", pure), Worker("b", pure), Worker("s", Server))
    tree = Supervisor("root", children=children, intensity=100)
    return Node(tree, clock=ManualClock(), guard=guard)


def asked(node: Node, worker: str, message: Any) -> None:
    node.send_request(worker, message)
    node.run()


def cast(node: Node, worker: str, message: Any) -> None:
    node.cast(worker, message)
    node.run()


def info(node: Node, worker: str, message: Any) -> None:
    node.info(worker, message)
    node.run()


def clients(node: Node, worker: str, message: Any) -> None:
    def client() -> Any:
        yield worker, message

    node.run_clients(client())


def awaited(node: Node, worker: str, message: Any) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(node.acall(worker, message))
    finally:
        loop.close()


def call(node: Node, worker: str, message: Any) -> None:
    node.call(worker, message)


WAYS = [call, asked, cast, info, clients, awaited]


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("worker", ["a", "s"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ctrl_c_in_a_step_reaches_who_ran_the_loop(way: Any, worker: str, guard: bool) -> None:
    with node_of(guard=guard) as node:
        with pytest.raises(KeyboardInterrupt):
            way(node, worker, interrupt)
        assert [child.state for child in node.tree().children] == ["running"] * 3
        assert node.call("a", get) == 5  # as before, or started again
        assert node.call("s", lambda state: "on") == "on"


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_sys_exit_in_a_handler_is_not_taken_for_a_crash_of_the_step(way: Any, guard: bool) -> None:
    with on_sigterm(lambda *_: sys.exit(3)), node_of(guard=guard) as node:
        with pytest.raises(SystemExit) as caught:
            way(node, "a", terminated)
        assert caught.value.code == 3
        assert node.call("b", get) == 5
        assert node.call("a", get) == 5


def forgets(number: int, frame: object) -> None:
    del number, frame
    raise SystemExit(3)


def takes_itself_back(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(3)


def raises_ours(_number: int, _frame: object) -> None:
    raise CallTimeout("too long")


@pytest.mark.parametrize("handler", [forgets, takes_itself_back, raises_ours])
def test_whatever_a_handler_is_and_raises_it_is_no_crash_of_the_step(handler: Any) -> None:
    node = Node(Supervisor("root", children=[Worker("s", StateMachine(step=step))]))
    with on_sigterm(handler), node:
        with pytest.raises((SystemExit, CallTimeout), match=r"3|too long"):
            node.call("s", terminated)
        assert node.statistics("s").starts == 1
        assert node.call("s", "word") == "word"


@pytest.mark.parametrize("worker", ["a", "s"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_stop_in_a_handler_takes_effect_once_the_step_is_over(way: Any, worker: str) -> None:
    node = node_of().start()
    with on_sigterm(lambda *_: node.stop()):
        with suppress(CallError):  # the tree may be down before the answer is there
            way(node, worker, terminated)
        node.run()
    assert not node.running
    assert node.reports()[-1].event == "stopped"
    assert "crashed" not in [report.event for report in node.reports()]


def test_sys_exit_in_a_handler_during_init_comes_out_of_start_and_the_tree_is_down() -> None:
    node = node_of(Worker("b", pure), Worker("a", pure, args={"init": once(terminated)}))
    with on_sigterm(lambda *_: sys.exit(3)), pytest.raises(SystemExit):
        node.start()
    assert not node.running
    assert node.start().running
    node.stop()


def test_sys_exit_in_a_handler_during_terminate_comes_out_of_stop_and_all_have_ended() -> None:
    ended: list[str] = []

    def terminate(name: str, _state: Any, _reason: Any) -> None:
        ended.append(name)
        if name == "b":
            terminated()

    machine = StateMachine(step=step, terminate=terminate)
    node = node_of(*(Worker(name, machine) for name in "abc")).start()
    with on_sigterm(lambda *_: sys.exit(3)), pytest.raises(SystemExit):
        node.stop()
    assert (ended, node.running) == (["c", "b", "a"], False)


def redacting(node: Node) -> None:
    node.get_state("a")


def hooked(node: Node) -> None:
    node.install("b", once(interrupt))
    node.call("b", get)


def converted(node: Node) -> None:
    node.replace_state("b", interrupt)


def decoded(node: Node) -> None:
    node.call("a", b"in")


def encoded(node: Node) -> None:
    node.encode("a", 1)


def read(node: Node) -> None:
    node.subscribe(once(interrupt))
    node.kill("b")


def told(node: Node) -> None:
    node.send_request("b", get, interrupt)
    node.run()


@pytest.mark.parametrize(
    "do", [redacting, hooked, converted, decoded, encoded, read, told], ids=lambda do: do.__name__
)
def test_ctrl_c_in_code_that_is_no_callback_comes_out_and_the_tree_serves(do: Any) -> None:
    act = once(interrupt, b"went on")
    codec = SimpleNamespace(decode=act, encode=act)
    odd = StateMachine(step=step, init=init, redact=once(interrupt, 5), codec=codec)
    with node_of(Worker("a", odd), Worker("b", pure)) as node:
        with pytest.raises(KeyboardInterrupt):
            do(node)
        assert node.call("b", get) == 5
        assert node.call("a", get) == 5


def test_at_a_prompt_the_call_after_an_interruption_works_again_and_again() -> None:
    with node_of() as node:
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                node.call("a", interrupt)
            assert node.call("a", get) == 5


def test_a_handler_that_raises_while_nothing_runs_raises_where_python_would() -> None:
    with on_sigterm(lambda *_: sys.exit(3)), node_of() as node:
        node.call("a", get)
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)


def test_the_handlers_of_signals_are_the_callers_again_once_the_node_returns() -> None:
    wanted = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with node_of(guard=True) as node:
        node.call("a", get)
        assert {number: signal.getsignal(number) for number in wanted} == wanted
        with pytest.raises(KeyboardInterrupt):
            node.call("a", interrupt)
        assert {number: signal.getsignal(number) for number in wanted} == wanted
