"""What an `Event` manager does where a handler goes wrong, and who is told."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ssm_cli import (
    AddHandler,
    CallHandler,
    DeleteHandler,
    Error,
    Event,
    EventHandler,
    GenEventExit,
    MemoryStore,
    Node,
    Ok,
    PureHandler,
    Raised,
    StartFailed,
    StateMachine,
    Supervisor,
    SysError,
    WhichHandlers,
    Worker,
)
from ssm_cli.spec.code import start_fault
from tests.runtime.workers import events, running


class Odd(EventHandler):
    """Each event is a function of the state."""

    def handle_event(self, event: Any, state: Any) -> Any:
        return event(state)


class Hostile(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


NO_TEXT = "<Hostile that cannot be shown: ValueError>"


class Bus(Event):
    handlers: ClassVar[Any] = {"odd": Odd, "count": PureHandler(lambda _event, n: n + 1)}


def keep(message: Any, state: Any) -> Any:
    return (*state, message), "ok"


OWNER = Worker("owner", StateMachine(step=keep, init=lambda _name, _args: ()))
BOTH = {"handlers": {"odd": 0, "count": 0}}


def bus(**args: Any) -> Any:
    return Worker("bus", Bus, args=args)


def raises(error: BaseException) -> Any:
    def event(_state: Any) -> Any:
        raise error

    return event


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (raises(KeyError("x")), {"type": "KeyError", "message": "'x'"}),
        (raises(SystemExit(3)), {"type": "SystemExit", "message": "3"}),
        (
            raises(Hostile()),
            {"type": "Hostile", "message": "<Hostile that cannot be shown: ValueError>"},
        ),
        (raises(RecursionError()), {"type": "RecursionError", "message": ""}),
        (lambda _state: "nonsense", None),
    ],
    ids=["raises", "exits", "no text", "empty", "nonsense"],
)
def test_a_handler_that_fails_is_removed_and_reported_and_the_others_live(
    event: Any, error: Any
) -> None:
    with running(bus(**BOTH)) as node:
        assert node.call("bus", event) == "ok"
        assert node.call("bus", WhichHandlers()) == ["count"]
        (report,) = [one for one in node.reports() if one.event == "handler_removed"]
        assert report.detail["handler"] == "odd"
        assert report.detail.get("error") == error
        assert "restarting root" not in events(node)


def test_who_supervises_a_handler_is_told_and_its_end_takes_the_handler_along() -> None:
    with running(bus(), OWNER) as node:
        for name in ("a", "b"):
            node.call("bus", AddHandler(("odd", name), 0, supervisor="owner"))
        node.call("bus", DeleteHandler(("odd", "a")))
        node.run()
        assert node.get_state("owner") == (GenEventExit(("odd", "a"), "normal"),)
        node.kill("owner")
        node.run()
        assert node.call("bus", WhichHandlers()) == []
        assert node.get_state("owner") == (), "its next life hears nothing of it"


@pytest.mark.parametrize("supervisor", ["nobody", "bus", "root"])
def test_a_supervisor_that_is_no_other_worker_that_runs(supervisor: str) -> None:
    with running(bus()) as node:
        assert node.call("bus", AddHandler("odd", 0, supervisor=supervisor)) == "ok"
        node.run()
        left = node.call("bus", WhichHandlers())
        assert left == (["odd"] if supervisor == "bus" else []), "as if it had just ended"


def test_a_manager_that_is_killed_ends_who_is_linked_and_traps_nothing() -> None:
    class Linked(Bus):
        trap_exit = False

    with running(bus(), Worker("other", Linked, restart="temporary")) as node:
        node.call("bus", AddHandler("odd", 0, supervisor="other"))
        node.kill("bus")
        node.run()
        assert node.whereis("other") is None


@pytest.mark.parametrize(
    ("handler", "said"),
    [("odt", "'odt' is no handler; there is count, odd"), (5, "5 is no handler"), (dict, "dict")],
)
def test_a_handler_that_there_is_not_is_named_in_the_answer(handler: Any, said: str) -> None:
    with running(bus()) as node:
        answer = node.call("bus", AddHandler(handler))
        assert isinstance(answer, Raised)
        assert said in answer.message
        assert node.call("bus", CallHandler(handler)) == Error("bad_module")


def test_a_handler_of_the_arguments_that_fails_is_a_failed_start() -> None:
    tree = Supervisor("root", children=[bus(handlers=["odd", "odt"])])
    with pytest.raises(StartFailed, match="odt"):
        Node(tree).start()


def test_states_of_handlers_are_replaced_one_by_one_and_stay_where_that_fails() -> None:
    with running(bus(**BOTH)) as node:
        assert node.get_state("bus") == [("count", 0), ("odd", 0)]
        found = node.replace_state("bus", lambda pair: (pair[0], 1 / (pair[0] == "odd")))
        assert found == [("count", 0), ("odd", 1.0)]
        with pytest.raises(SysError, match=r"expected 2 pairs \(handler, state\)"):
            node.replace_state("bus", [("odd", 1)])


def test_what_is_wrong_with_its_handlers_is_told_before_it_starts() -> None:
    class Misspelt(EventHandler):
        def handel_event(self, event: Any, state: Any) -> Any:
            return Ok(state)

    class Wrong(Event):
        handlers: ClassVar[Any] = {"a": 5, "b": Misspelt}

    said = str(start_fault(Wrong))
    assert "has the handler a, which is 5; expected a subclass of EventHandler" in said
    assert "did you mean handle_event?" in said


@pytest.mark.parametrize("persist", ["snapshot", "journal"])
def test_the_handlers_of_a_durable_manager_are_there_again_with_their_states(persist: Any) -> None:
    child = Worker("bus", Bus, args={"handlers": {"count": 0}}, persist=persist)
    tree, store = Supervisor("root", children=[child]), MemoryStore()
    with Node(tree, store=store) as node:
        node.call("bus", "a")
        node.call("bus", AddHandler(("count", 2), 5))
        node.call("bus", "b")
    with Node(tree, store=store) as node:
        assert node.get_state("bus") == [(("count", 2), 6), ("count", 2)]
