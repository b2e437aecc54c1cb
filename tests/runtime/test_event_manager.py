"""What an `Event` manager does where a handler goes wrong, and who is told."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ssm_cli import (
    AddHandler,
    CallHandler,
    Cast,
    DeleteHandler,
    Error,
    Event,
    EventHandler,
    GenEventExit,
    GenServer,
    Join,
    Link,
    MemoryStore,
    Node,
    NoReply,
    Ok,
    PureHandler,
    Raised,
    Reply,
    StartFailed,
    StateMachine,
    Supervisor,
    SwapHandler,
    SysError,
    WhichHandlers,
    Worker,
)
from ssm_cli.runtime.engine.world import MOST_EFFECTS
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


class Floods(EventHandler):
    """Asks for more effects than can be carried out, which ends its manager."""

    def handle_event(self, event: Any, state: Any) -> Any:
        return Ok(state, effects=[Cast("owner", event)] * (MOST_EFFECTS + 1) * (event == "flood"))


class Flooded(Bus):
    handlers: ClassVar[Any] = {**Bus.handlers, "floods": Floods}


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


def test_a_handler_goes_with_who_supervises_it_by_whatever_name_that_was_called() -> None:
    pool = Supervisor("pool", "simple_one_for_one", [Worker("w", OWNER.start)], intensity=9)
    parts = Supervisor("parts", children=[Worker("p", OWNER.start)], partitions=2, intensity=9)
    with running(bus(), pool, parts, Worker("alone", OWNER.start)) as node:
        node.start_child("pool", "x")
        for own, (name, ended) in enumerate([
            ("root/alone", "alone"), ("alone", "alone"), ("pool:x", "pool:x"),
            ("parts:key", "parts:key"),
        ]):  # fmt: skip
            assert node.call("bus", AddHandler(("odd", own), 0, supervisor=name)) == "ok"
            node.call("bus", AddHandler(("count", own), 0, supervisor=name))
            node.kill(ended)
            node.run()
            assert node.call("bus", WhichHandlers()) == []


def test_a_worker_is_told_once_that_a_link_is_broken_and_by_which_names_it_was_linked() -> None:
    class Linked(GenServer):
        trap_exit = True

        def init(self, name: str, args: Any) -> Any:
            return Ok([], effects=[Link("root/owner"), Link("owner"), Link("root/owner")])

        def handle_info(self, message: Any, state: Any) -> Any:
            return NoReply([*state, message])

    with running(OWNER, Worker("linked", Linked)) as node:
        node.kill("owner")
        node.run()
        (told,) = node.get_state("linked")
        assert (told.sender, told.names) == ("owner", ("root/owner",))


class Handed(Event):
    """Its `init` answers what it is given."""

    handlers = Bus.handlers

    def init(self, name: str, args: Any) -> Any:
        return args["answer"]


@pytest.mark.parametrize(
    "answer",
    [["count", "odd"], ("count", "odd"), {"count": None, "odd": None},
     Ok(["count", "odd"], effects=[Cast("owner", "begun")])],
    ids=["list", "tuple", "dict", "ok"],
)  # fmt: skip
def test_what_names_handlers_is_an_answer_of_the_init_of_a_manager(answer: Any) -> None:
    with running(OWNER, Worker("bus", Handed, args={"answer": answer})) as node:
        assert node.call("bus", WhichHandlers()) == ["odd", "count"]
        node.run()
        assert node.get_state("owner") == (("begun",) if isinstance(answer, Ok) else ())


@pytest.mark.parametrize("effects", [None, 5, "x", [5]])
def test_effects_that_are_none_are_a_bad_answer_of_the_init_of_a_manager(effects: Any) -> None:
    answer = Ok(["count"], effects=effects)
    with (
        pytest.raises(StartFailed, match="effect"),
        running(Worker("bus", Handed, args={"answer": answer})),
    ):
        pass


@pytest.mark.parametrize("answer", ["count", 5, None, Ok(5), NoReply(())])
def test_what_names_no_handlers_is_a_bad_answer_of_the_init_of_a_manager(answer: Any) -> None:
    with (
        pytest.raises(StartFailed, match=r"init answered .*; expected a list of handlers"),
        running(Worker("bus", Handed, args={"answer": answer})),
    ):
        pass


@pytest.mark.parametrize("supervisor", ["nobody", "bus", "root"])
def test_a_supervisor_that_is_no_other_worker_that_runs(supervisor: str) -> None:
    with running(bus()) as node:
        assert node.call("bus", AddHandler("odd", 0, supervisor=supervisor)) == "ok"
        node.run()
        left = node.call("bus", WhichHandlers())
        assert left == (["odd"] if supervisor == "bus" else []), "as if it had just ended"
        told = [one.detail["why"] for one in node.reports() if one.event == "handler_removed"]
        gone = f"'parent_terminated {supervisor}: noproc'"
        assert told == ([] if supervisor == "bus" else [gone])


@pytest.mark.parametrize("supervisor", [5, None, ["owner"]])
def test_a_supervisor_that_is_no_name_is_refused_and_no_handler_is_lost(supervisor: Any) -> None:
    with running(bus(**BOTH), OWNER) as node:
        assert node.call("bus", AddHandler(("odd", 2), 0, supervisor=supervisor)) == Error("badarg")
        swap = SwapHandler("odd", None, "count", None, supervisor=supervisor)
        assert node.call("bus", swap) == Error(Error("badarg"))
        assert node.call("bus", WhichHandlers()) == ["count", "odd"]


def test_ids_of_handlers_are_told_apart_as_otp_does() -> None:
    ids = [1, 1.0, True, (1, "a"), (1.0, "a"), (True, "a"), {"n": [1]}, {"n": [True]}]
    with running(bus()) as node:
        for number, one in enumerate(ids):
            node.call("bus", AddHandler(("count", one), number))
        for number, one in enumerate(ids, 1):
            node.call("bus", DeleteHandler(("count", one)))
            left = [own for _, own in node.call("bus", WhichHandlers())]
            assert list(map(repr, left)) == list(map(repr, ids[: number - 1 : -1]))


@pytest.mark.parametrize("persist", ["snapshot", "journal", "none"])
def test_a_handler_that_is_supervised_goes_with_the_life_that_it_was_added_in(
    persist: Any,
) -> None:
    options = {"persist": persist} if persist != "none" else {"on_crash": "last_good"}
    child = Worker("bus", Flooded, args={"handlers": {"count": 0}}, **options)
    tree, store = Supervisor("root", children=[OWNER, child]), MemoryStore()

    def begins(node: Node) -> None:
        node.run()
        assert node.call("bus", WhichHandlers()) == ["count"]
        (report,) = [one for one in node.reports() if one.event == "handler_removed"]
        assert report.detail["why"] == "'parent_terminated owner: noproc'"
        node.call("bus", "b")
        assert node.get_state("bus") == [("count", 2)]

    with Node(tree, store=store) as node:
        node.call("bus", AddHandler("floods", 0, supervisor="owner"))
        node.call("bus", "a")
        if persist == "none":
            node.cast("bus", "flood")
            begins(node)
    if persist != "none":
        with Node(tree, store=store) as node:
            begins(node)


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


@pytest.mark.parametrize("effects", ["bad", 5, [Join("")], ["x"], [Link(5)], {1: 2}])  # type: ignore[arg-type]  # nonsense
@pytest.mark.parametrize("where", ["init", "event", "call", "terminate"])
def test_effects_that_are_none_end_the_handler_and_no_other(effects: Any, where: str) -> None:
    class Nonsense(EventHandler):
        def init(self, args: Any, previous: Any) -> Any:
            return Ok(args, effects=effects if where == "init" else ())

        def handle_event(self, event: Any, state: Any) -> Any:
            return Ok(state, effects=effects if where == "event" else ())

        def handle_call(self, asked: Any, state: Any) -> Any:
            return Reply(1, state, effects=effects)

        def terminate(self, arg: Any, state: Any) -> Any:
            return Ok("gone", effects=effects if where == "terminate" else ())

    with running(bus(**BOTH), OWNER) as node:
        added = node.call("bus", AddHandler(Nonsense, 0))
        if where == "event":
            node.cast("bus", Ok)
        elif where == "call":
            assert isinstance(node.call("bus", CallHandler(Nonsense, 1)), Error)
        elif where == "terminate":
            added = node.call("bus", DeleteHandler(Nonsense))
        assert node.call("bus", WhichHandlers()) == ["count", "odd"]
        if where in ("init", "terminate"):
            assert (type(added), added.error) == (Raised, "BadReturnError")
        assert "crashed bus" not in events(node)


def test_what_a_manager_hides_is_hidden_of_each_of_its_handlers() -> None:
    class Hiding(Bus):
        def format_status(self, value: Any) -> Any:
            return "***" if isinstance(value, int) else value

    with running(Worker("bus", Hiding, args=BOTH)) as node:
        assert node.get_state("bus") == [("count", "***"), ("odd", "***")]
        assert "0" not in str(node.get_status("bus").state)
