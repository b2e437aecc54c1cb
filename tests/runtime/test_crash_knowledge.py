"""What is known of a crash afterwards: where it was, what it left, and who was told."""

from __future__ import annotations

import ast
import contextlib
import inspect
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import ssm_cli
from ssm_cli import (
    Backoff,
    CalleeCrashed,
    CalleeStopped,
    CallError,
    CallTimeout,
    Cast,
    Defer,
    Exit,
    Exited,
    GenServer,
    ManualClock,
    Node,
    NoProc,
    SsmError,
    StateMachine,
    Stop,
    Supervisor,
    Worker,
)
from tests.runtime.workers import actor, add, events, fail, get, running, worker

PACKAGE = Path(ssm_cli.__file__).parent


class EndError(Exception):
    pass


def ends_badly(_name: str, _state: Any, _reason: Any) -> None:
    raise EndError("in terminate")


bad_end = StateMachine(step=actor.step, init=actor.init, terminate=ends_badly)


class BadEnd(GenServer):
    trap_exit = True  # else its `terminate` does not run for an exit signal, as in OTP

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        return message(state)

    def terminate(self, reason: Any, state: Any) -> None:
        raise EndError("in terminate")


def ended_by(reason: object) -> Any:
    return lambda state: (state, "ends", [Exit(reason)])


# -- terminate -------------------------------------------------------------------------------------


def told_of_end(node: Node) -> None:
    """The exception is in the reports and in a crash report."""
    texts = [repr(report.detail) for report in node.reports() if report.id == "a"]
    assert any("EndError" in text for text in texts), texts
    assert [report.error_type for report in node.crash_reports("a")][-1:] == ["EndError"]
    assert "ends_badly" in node.crash_reports("a")[-1].stack[-1] or (
        "terminate" in node.crash_reports("a")[-1].stack[-1]
    )


@pytest.mark.parametrize("start", [bad_end, BadEnd], ids=["machine", "server"])
@pytest.mark.parametrize(
    "end",
    [
        lambda node: node.terminate_child("root", "a"),
        lambda node: node.stop_process("a"),
        lambda node: node.exit("a", "shutdown", "parent"),
        lambda node: node.stop(),
    ],
    ids=["terminate_child", "stop_process", "exit", "stop"],
)
def test_an_exception_in_terminate_is_told(end: Any, start: Any) -> None:
    node = Node(Supervisor("root", children=[Worker("a", start), worker("b")]))
    node.start()
    with contextlib.suppress(SsmError):
        end(node)
    told_of_end(node)
    node.stop()


def test_an_exception_in_terminate_behind_a_crash_hides_neither() -> None:
    with running(Worker("a", bad_end)) as node:
        with pytest.raises(CalleeCrashed, match="as asked"):
            node.call("a", fail)
        assert {"ValueError", "EndError"} <= {r.error_type for r in node.crash_reports("a")}


def test_an_exception_in_terminate_of_a_sibling_that_is_restarted_is_told() -> None:
    with running(Worker("a", bad_end), worker("b"), strategy="one_for_all") as node:
        with pytest.raises(CalleeCrashed):
            node.call("b", fail)
        told_of_end(node)
        assert node.call("a", get) == 0


def test_the_error_of_stop_process_says_what_terminate_raised() -> None:
    with running(worker("b"), Worker("a", bad_end)) as node:
        with pytest.raises(CalleeCrashed, match="in terminate") as caught:
            node.stop_process("a")
        assert isinstance(caught.value.error, EndError)
        assert node.call("a", get) == 0


# -- crash reports ---------------------------------------------------------------------------------


@pytest.mark.parametrize("child", ["temporary", "deleted", "dynamic"])
def test_the_crash_reports_of_a_worker_that_is_gone_are_still_there(child: str) -> None:
    pool = Supervisor("pool", "simple_one_for_one", [worker("gone", restart="temporary")])
    with running(worker("b"), pool) as node:
        name = "gone"
        if child == "dynamic":
            name = str(node.start_child("pool", "one"))
        else:
            restart = "temporary" if child == "temporary" else "permanent"
            node.start_child("root", worker(name, restart=restart))
        with pytest.raises(CalleeCrashed):
            node.call(name, fail)
        if child == "deleted":
            node.terminate_child("root", name)
            node.delete_child("root", name)
        assert [report.worker for report in node.crash_reports(name)] == [name]
        assert node.crash_reports(name, last=1)[0].error_type == "ValueError"


def test_crash_reports_of_a_name_that_never_was_are_an_error() -> None:
    with running(worker("a")) as node, pytest.raises(NoProc):
        node.crash_reports("nobody")


def test_the_crash_reports_of_a_tree_that_is_down_are_still_there() -> None:
    with running(worker("a"), intensity=0) as node:
        with contextlib.suppress(CallError):
            node.call("a", fail)
        assert not node.running
        assert [report.decision for report in node.crash_reports("a")] == ["give_up"]


class Ends(GenServer):
    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        if isinstance(message, Exited):
            raise message
        return message


ABNORMAL = ["odd", {"odd": 1}, ("odd", 2), "killed"]


@pytest.mark.parametrize("reason", ABNORMAL, ids=repr)
@pytest.mark.parametrize("way", ["stop", "exited", "effect"])
def test_an_abnormal_end_leaves_a_crash_report(way: str, reason: object) -> None:
    messages = {"stop": Stop(reason, 0, reply="bye"), "exited": Exited(reason)}
    with running(Worker("a", Ends) if way in messages else worker("a"), worker("b")) as node:
        with contextlib.suppress(CallError):
            node.call("a", messages.get(way, ended_by(reason)))
        node.run()
        (report,) = node.crash_reports("a")
        assert report.decision == "restart"
        assert report.reason != "crash"
        assert report.input != ""


@pytest.mark.parametrize("reason", ["normal", "shutdown", {"shutdown": "why"}], ids=repr)
@pytest.mark.parametrize("way", ["stop", "exited", "effect"])
def test_a_normal_end_leaves_no_crash_report(way: str, reason: object) -> None:
    messages = {"stop": Stop(reason, 0, reply="bye"), "exited": Exited(reason)}
    with running(Worker("a", Ends) if way in messages else worker("a"), worker("b")) as node:
        with contextlib.suppress(CallError):
            node.call("a", messages.get(way, ended_by(reason)))
        node.run()
        assert node.crash_reports("a") == []


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_an_init_that_fails_in_a_restart_is_told_beside_the_crash(strategy: str) -> None:
    lives: list[int] = []

    def init(_name: str) -> int:
        lives.append(1)
        if len(lives) == 2:
            raise EndError("in init")
        return 0

    with running(worker("a", args={"init": init}), worker("b"), strategy=strategy) as node:
        with pytest.raises(CalleeCrashed):
            node.call("a", fail)
        node.run()
        told = [r.detail["error"]["type"] for r in node.reports() if r.event == "start_failed"]
        assert told == ["EndError"]
        assert node.crash_reports("a")[0].error_type == "ValueError"


# -- where it was ----------------------------------------------------------------------------------


def deep(_state: Any) -> Any:
    return deeper()


def deeper() -> Any:
    raise ValueError("deep down")


def called(node: Node) -> None:
    node.call("a", deep)


def waited(node: Node) -> None:
    node.wait(node.send_request("a", deep))


def of_a_client(node: Node) -> None:
    def client() -> Any:
        yield "a", deep

    node.run_clients(client())


def of_a_server(node: Node) -> None:
    node.call("s", deep)


@pytest.mark.parametrize(
    "ask", [called, waited, of_a_client, of_a_server], ids=lambda ask: ask.__name__
)
def test_the_cause_of_a_crash_shows_the_place_in_the_worker_and_no_frame_of_ours(ask: Any) -> None:
    children = (worker("a"), Worker("s", BadEnd))
    with running(*children) as node, pytest.raises(CalleeCrashed) as caught:
        ask(node)
    cause = caught.value.__cause__
    assert cause is caught.value.error
    frames = traceback.extract_tb(cause.__traceback__ if cause else None)
    assert [frame.name for frame in frames][-2:] == ["deep", "deeper"]
    assert not [frame for frame in frames if str(PACKAGE) in frame.filename]


def test_the_cause_of_a_bad_return_or_a_cut_is_there() -> None:
    clock = ManualClock()
    tree = Supervisor("root", children=[worker("a", step_timeout=500)], intensity=9)

    def sleeps(state: Any) -> Any:
        clock.sleep_s(9)
        return state, 1

    with Node(tree, clock=clock) as node:
        for message in (lambda _state: 7, sleeps):
            with pytest.raises(CalleeCrashed) as caught:
                node.call("a", message, timeout_s=None)
            assert caught.value.__cause__ is caught.value.error
            assert caught.value.error is not None


def test_two_callers_of_one_crash_do_not_share_what_each_adds_to_the_error() -> None:
    with running(worker("a")) as node:
        asked = [node.send_request("a", later), node.send_request("a", other)]
        node.run()
        with contextlib.suppress(CallError):
            node.call("a", fail)
        errors = []
        for pending in asked:
            with pytest.raises(CallError) as caught:
                node.wait(pending)
            errors.append(caught.value)
    assert errors[0] is not errors[1]


def other(state: Any) -> Any:
    return state, None, [Defer("other")]


# -- names that are raised -------------------------------------------------------------------------


def public_errors() -> list[str]:
    found = [(name, getattr(ssm_cli, name)) for name in ssm_cli.__all__]
    return [name for name, kind in found if inspect.isclass(kind) and issubclass(kind, SsmError)]


@cache
def made() -> frozenset[str]:
    """The names of all that is called or raised anywhere in the package."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            raised = node.exc if isinstance(node, ast.Raise) else None
            called = node.func if isinstance(node, ast.Call) else None
            found |= {name.id for name in (raised, called) if isinstance(name, ast.Name)}
    return frozenset(found)


@pytest.mark.parametrize("name", public_errors())
def test_a_public_error_is_raised_somewhere(name: str) -> None:
    kind = getattr(ssm_cli, name)
    below = {name, *(each.__name__ for each in kind.__subclasses__())}
    outcomes = {"NoConnection", "Denied", "Busy"}  # made from the word by `failed_call`
    assert below & (made() | outcomes), f"{name} is exported, and nothing raises it"


@pytest.mark.parametrize("verb", ["call", "cast", "run", "get_state", "which_children", "wait"])
def test_a_tree_whose_root_gave_up_answers_by_a_documented_error(verb: str) -> None:
    with running(worker("a"), intensity=0) as node:
        pending = node.send_request("a", fail)
        node.run()
        assert not node.running
        assert node.gave_up
        names = {"which_children": ("root",), "wait": (pending,), "run": ()}
        arguments = names.get(verb, ("a", get) if verb in ("call", "cast") else ("a",))
        with contextlib.suppress(CalleeStopped, CalleeCrashed, NoProc):
            getattr(node, verb)(*arguments)


# -- back-off of siblings --------------------------------------------------------------------------

DELAYED = {"one_for_all": ["a", "b", "c"], "rest_for_one": ["b", "c"]}


def delayed(strategy: str, **options: Any) -> Any:
    children = [worker("a"), worker("b", backoff=Backoff(1000), **options), worker("c")]
    return running(*children, strategy=strategy)


def states(node: Node) -> dict[str, str]:
    return {child.id: child.state for child in node.tree().children}


@pytest.mark.parametrize("strategy", DELAYED)
def test_siblings_are_down_while_a_restart_is_held_back_and_start_with_it(strategy: str) -> None:
    with delayed(strategy) as node:
        before = len(node.reports())
        with pytest.raises(CalleeCrashed):
            node.call("b", fail)
        group = DELAYED[strategy]
        down = [name for name, state in states(node).items() if state != "running"]
        assert down == group
        node.run(0.9)
        assert [n for n, state in states(node).items() if state != "running"] == group
        node.run(0.2)
        assert set(states(node).values()) == {"running"}
        happened = events(node, before)
        ends = [e.split()[1] for e in happened if e.startswith("terminated")]
        starts = [e.split()[1] for e in happened if e.startswith("started")]
        assert ends == ["b", *(name for name in reversed(group) if name != "b")]
        assert starts == group


@pytest.mark.parametrize("strategy", DELAYED)
def test_a_call_to_a_sibling_during_a_back_off_is_served_by_its_next_life(strategy: str) -> None:
    with delayed(strategy) as node:
        node.call("c", add(3))
        with pytest.raises(CalleeCrashed):
            node.call("b", fail)
        answers: list[Any] = []
        with contextlib.suppress(NoProc):  # one that comes once it is down may be refused
            node.send_request("c", get, lambda pending: answers.append(pending.value))
        node.run(2)
        assert answers in ([], [0])
        assert node.call("c", get) == 0


@pytest.mark.parametrize("strategy", DELAYED)
def test_a_sibling_that_crashed_first_does_not_start_alone_in_a_back_off(strategy: str) -> None:
    with delayed(strategy) as node:
        with pytest.raises(CalleeCrashed):
            node.call("b", fail)
        before = len(node.reports())
        node.run(0.5)
        assert [e for e in events(node, before) if e.startswith("start")] == []


@pytest.mark.parametrize("strategy", DELAYED)
def test_a_tree_that_stops_in_a_back_off_ends_what_runs_and_what_is_held_back(
    strategy: str,
) -> None:
    with delayed(strategy) as node:
        with pytest.raises(CalleeCrashed):
            node.call("b", fail)
        before = len(node.reports())
        node.stop()
        ended = [e for e in events(node, before) if e.startswith("terminated")]
        first = ["terminated a"] if strategy == "rest_for_one" else []
        assert ended == ["terminated b", *first]


# -- waiting again ---------------------------------------------------------------------------------


def later(state: Any) -> Any:
    return state, None, [Defer("later")]


def answer(state: Any) -> Any:
    return state, "answered", [ssm_cli.Answer("later", "late")]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("timeout_s", [0, 0.01])
def test_a_time_out_of_wait_does_not_end_the_request(timeout_s: float, times: int) -> None:
    with running(worker("a")) as node:
        pending = node.send_request("a", later)
        for _ in range(times):
            with pytest.raises(CallTimeout):
                node.wait(pending, timeout_s)
        node.call("a", answer)
        assert node.wait(pending) == "late"


def test_a_request_that_still_waits_in_the_queue_can_be_waited_for_with_no_time_at_all() -> None:
    with running(worker("a"), worker("b")) as node:
        for _ in range(100):
            node.cast("b", add(1))
        pending = node.send_request("a", get)
        for _ in range(200):
            with contextlib.suppress(CallTimeout):
                assert node.wait(pending, 0) == 0
                break
        assert node.wait(pending, 1) == 0


def test_an_answer_is_told_once_whoever_waited_in_vain_before() -> None:
    told: list[Any] = []
    with running(worker("a")) as node:
        pending = node.send_request("a", later, lambda pending: told.append(pending.value))
        with pytest.raises(CallTimeout):
            node.wait(pending, 0)
        assert told == []
        node.call("a", answer)
        node.run()
        assert told == ["late"]


def test_a_crash_after_a_time_out_of_wait_is_the_outcome() -> None:
    with running(worker("a")) as node:
        pending = node.send_request("a", later)
        with pytest.raises(CallTimeout):
            node.wait(pending, 0)
        with contextlib.suppress(CallError):
            node.call("a", fail)
        with pytest.raises((CalleeCrashed, CalleeStopped)):
            node.wait(pending)


def test_a_limit_of_the_request_itself_ends_it_for_good() -> None:
    with running(worker("a"), worker("b")) as node:
        pending = node.send_request("a", later, timeout_s=0.5)
        node.run(1)
        node.call("b", lambda state: (state, 0, [Cast("a", answer)]))
        with pytest.raises(CallTimeout):
            node.wait(pending)
        with pytest.raises(CallTimeout):
            node.wait(pending)
