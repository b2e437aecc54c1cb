"""User code that has no frame of its own: written in C, or called with what it does not take."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import (
    CalleeCrashed,
    Caller,
    CallError,
    Cast,
    GenServer,
    ManualClock,
    Node,
    NoReply,
    Reply,
    StartFailed,
    StateMachine,
    Stop,
    Supervisor,
    SupervisorError,
    Worker,
)

without_frames = pytest.mark.parametrize(
    "bad", [operator.truediv, operator.neg], ids=["in C", "no such arguments"]
)


def echo(message: Any, state: Any) -> tuple[Any, Any]:
    return state, message


def node_of(*children: Any, **options: Any) -> Node:
    tree = Supervisor("root", children=[*children, Worker("other", StateMachine(step=echo))])
    return Node(tree, clock=ManualClock(), **options)


@without_frames
def test_a_step_crashes_and_is_restarted(bad: Callable[..., Any]) -> None:
    with Node(
        Supervisor("root", children=[Worker("bad", StateMachine(step=bad))], intensity=9)
    ) as n:
        with pytest.raises(CalleeCrashed):
            n.call("bad", 1)
        n.cast("bad", 1)
        n.run()
        assert n.statistics("bad").starts == 3
        assert len(n.crash_reports("bad")) == 2


@without_frames
def test_the_call_of_another_worker_does_not_raise_it(bad: Callable[..., Any]) -> None:
    with node_of(Worker("bad", StateMachine(step=bad))) as node:
        node.cast("bad", 1)
        assert node.call("other", "word") == "word"


@without_frames
def test_a_first_init_is_a_start_that_failed(bad: Callable[..., Any]) -> None:
    machine = StateMachine(step=echo, init=bad)
    with pytest.raises(StartFailed):
        node_of(Worker("bad", machine)).start()
    with node_of() as node, pytest.raises(SupervisorError):
        node.start_child("root", Worker("bad", machine))


def test_an_init_that_fails_so_in_restarts_gives_up_and_the_siblings_terminate() -> None:
    ended = []

    class Changed(GenServer):
        def handle_call(self, message: Any, caller: Caller, state: Any) -> Any:
            Changed.init = lambda self: 1  # type: ignore[method-assign,assignment,misc]  # reloaded
            raise ValueError

    other = StateMachine(step=echo, terminate=lambda name, state, reason: ended.append(name))
    tree = Supervisor(
        "root", children=[Worker("changed", Changed), Worker("a", other)], intensity=2
    )
    node = Node(tree, clock=ManualClock()).start()
    with pytest.raises(CallError):
        node.call("changed", 1)
    node.run()
    assert (node.running, node.gave_up, ended) == (False, True, ["a"])


@pytest.mark.parametrize("reader", [lambda: None, [].pop, operator.neg])
def test_a_reader_is_let_go_and_hurts_nobody(
    reader: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with node_of(Worker("bad", StateMachine(step=operator.truediv))) as node:
        node.subscribe(reader)
        with pytest.raises(CalleeCrashed):
            node.call("bad", 1)
        assert node.call("other", "word") == "word"
    assert not node.running
    assert "TypeError" in capsys.readouterr().err


def test_a_listener_of_a_request_is_told_of_and_hurts_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with node_of() as node:
        node.send_request("other", "word", lambda: None)  # type: ignore[misc,arg-type]  # wrongly
        node.run()
        assert node.call("other", "word") == "word"
    assert "TypeError" in capsys.readouterr().err


# -- replies from elsewhere ------------------------------------------------------------------------


class Hands(GenServer):
    """It hands its caller on to the worker `pure`."""

    def handle_call(self, message: Any, caller: Caller, state: Any) -> Any:
        if message == "stop":
            return Stop("normal", state, "bye")
        return NoReply(state, effects=[Cast("pure", caller)])


def reply(message: Any, state: Any) -> Any:
    message.reply("from elsewhere")
    return state, None


def test_a_pure_step_may_answer_the_caller_of_another_worker() -> None:
    pure = Worker("pure", StateMachine(step=reply))
    with node_of(Worker("hands", Hands), pure) as node:
        assert node.call("hands", "x") == "from elsewhere"


def test_a_reply_between_two_inputs_arrives() -> None:
    kept: list[Any] = []
    heard: list[Any] = []

    def keep(message: Any, state: Any) -> Any:
        kept.append(message)
        return state, None

    with node_of(Worker("hands", Hands), Worker("pure", StateMachine(step=keep))) as node:
        node.send_request("hands", "x", heard.append)
        node.run()
        kept[0].reply("late")
        node.run()
        assert [pending.value for pending in heard] == ["late"]


def test_no_caller_is_remembered_once_it_is_answered_or_its_worker_has_ended() -> None:
    pool = Supervisor("pool", "simple_one_for_one", [Worker("one", Hands, restart="temporary")])
    with node_of(pool) as node:
        for number in range(20):
            node.call(str(node.start_child("pool", f"c{number}")), "stop")
        assert not node._world.callers


def test_a_reply_in_a_terminate_that_is_interrupted_arrives() -> None:
    class Last(GenServer):
        def handle_call(self, message: Any, caller: Caller, state: Any) -> Any:
            return NoReply(caller) if message == "wait" else Reply("odd", state)

        def handle_cast(self, message: Any, state: Any) -> Any:
            return Stop("normal", state)

        def terminate(self, reason: Any, state: Any) -> None:
            state.reply("last words")
            raise KeyboardInterrupt

    heard: list[Any] = []
    with node_of(Worker("last", Last, restart="temporary")) as node:
        node.send_request("last", "wait", heard.append)
        node.run()
        node.cast("last", "die")
        with pytest.raises(KeyboardInterrupt):
            node.run()
        assert [pending.value for pending in heard] == ["last words"]
