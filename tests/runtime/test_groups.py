"""Groups: who is a member and for how long; a publish reaches each member, and holds up nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ssm_cli import (
    CalledFromStep,
    CalleeCrashed,
    CalleeStopped,
    Cast,
    Continue,
    GenServer,
    Join,
    Leave,
    Node,
    NoProc,
    NoReply,
    Ok,
    Publish,
    QueueFull,
    Reply,
    SsmError,
    StartFailed,
    Supervisor,
    SysError,
    Worker,
)
from ssm_cli.runtime.engine import groups, publishing
from ssm_cli.spec.model import ChildSpec
from tests.runtime.test_effects import asks
from tests.runtime.workers import Server, actor, add, fail, get, running, worker

ONE, MANY = 64, 2
"""How many members get a message at once: all of these groups, or a few."""


@pytest.fixture(params=[ONE, MANY], ids=["at once", "in parts"], autouse=True)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(publishing, "CHUNK", request.param)
    count: int = request.param
    return count


def member(name: str, group: str = "g", value: object = None, **options: Any) -> ChildSpec:
    """A worker that is in a group from its start on, and adds up what it gets."""

    def joins(_: object) -> Ok[list[object]]:
        return Ok([], effects=[Join(group, value)])

    return worker(name, args={"init": joins}, **options)


def put(word: object) -> Any:
    """A message that is put down in a list."""
    return lambda state: ([*state, word], None)


@contextlib.contextmanager
def a_group(count: int, *others: ChildSpec, **flags: Any) -> Iterator[Node]:
    """A node with `m0` and so on in the group `g`, and `a` beside them."""
    members = [member(f"m{n}") for n in range(count)]
    with running(worker("a"), *members, *others, **flags) as node:
        yield node


def states(node: Node, count: int) -> list[Any]:
    return [node.call(f"m{n}", get) for n in range(count)]


# -- members -----------------------------------------------------------------------------------


def test_members_stand_in_the_order_in_which_they_joined_with_their_values() -> None:
    with running(*(worker(name) for name in "abc")) as node:
        for name in "cab":
            node.call(name, asks(Join("g", name.upper())))
        assert node.get_members("g") == ["c", "a", "b"]
        assert node.lookup("g") == {"c": "C", "a": "A", "b": "B"}
        assert (node.which_groups(), node.joined("a"), node.joined("root")) == (["g"], ["g"], [])


def test_to_join_again_changes_the_value_and_keeps_the_place() -> None:
    with running(worker("a"), worker("b")) as node:
        node.call("a", asks(Join("g", 1)))
        node.call("b", asks(Join("g", 1)))
        node.call("a", asks(Join("g", 2)))
        assert [*node.lookup("g").items()] == [("a", 2), ("b", 1)]
        node.call("a", asks(Publish("g", add(1))))
        assert node.call("a", get) == 1


def test_who_leaves_is_a_member_no_more_and_a_group_without_members_is_gone() -> None:
    with running(worker("a")) as node:
        node.call("a", asks(Join("g"), Join("h"), Leave("g"), Leave("nowhere")))
        assert (node.get_members("g"), node.which_groups(), node.joined("a")) == ([], ["h"], ["h"])


ENDS: dict[str, Callable[[Node], object]] = {
    "crash": lambda node: node.call("m0", fail),
    "kill": lambda node: node.kill("m0"),
    "stop": lambda node: node.stop_process("m0"),
    "restart": lambda node: node.perform("restart", "m0"),
    "supervisor": lambda node: node.kill("below"),
    "sibling": lambda node: node.call("sibling", fail),
    "terminate": lambda node: node.terminate_child("below", "m0"),
}


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("start", [actor, Server], ids=["pure", "server"])
def test_a_member_leaves_with_the_end_of_its_life_however_it_ends(way: str, start: Any) -> None:
    below = Supervisor(
        "below", "one_for_all", [Worker("m0", start), Worker("sibling", actor)], intensity=9
    )
    with running(below, worker("a")) as node:
        node.call("a", asks(Join("g")))
        join = Ok(0) if start is actor else Reply(None, 0, effects=[Join("g")])
        node.call("m0", asks(Join("g")) if start is actor else lambda *_: join)
        assert node.get_members("g") == ["a", "m0"]
        with contextlib.suppress(SsmError):
            ENDS[way](node)
        node.run()
        assert node.get_members("g") == ["a"]
        assert node.joined("m0") == []


def test_a_worker_that_joins_as_it_starts_is_a_member_in_each_life() -> None:
    with a_group(2) as node, contextlib.suppress(CalleeCrashed):
        node.call("m0", fail)
    with a_group(2) as node:
        with pytest.raises(CalleeCrashed):
            node.call("m0", fail)
        assert node.get_members("g") == ["m1", "m0"]


def test_a_start_that_fails_is_no_member_and_leaves_nothing_behind() -> None:
    joins = worker("m0", args={"init": lambda _: Ok(0, effects=[Join("g")])})
    broken = worker("b", args={"init": lambda _: 1 / 0})
    node = Node(Supervisor("root", children=[joins, broken]))
    with pytest.raises(StartFailed):
        node.start()
    assert node.which_groups() == []


def test_nobody_is_in_a_group_of_a_tree_that_is_down() -> None:
    with a_group(3) as node:
        node.publish("g", put(1))
    assert (node.which_groups(), node._world.groups.under_way) == ([], 0)
    with pytest.raises(CalleeStopped, match="not running"):
        node.publish("g", 1)


def test_a_worker_that_joins_too_many_groups_crashes_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "MOST_JOINED", 3)
    with running(worker("a"), worker("b")) as node:
        node.call("a", asks(Join("1"), Join("2"), Join("3"), Join("3")))
        with pytest.raises(CalleeCrashed, match=r"a joins more than .* groups; leave some first"):
            node.call("a", asks(Join("3"), Join("4")))


# -- what a publish brings ---------------------------------------------------------------------


def test_a_publish_reaches_each_member_once_the_sender_too() -> None:
    with a_group(5) as node:
        node.call("m1", asks(Publish("g", put("x"))))
        node.run()
        assert states(node, 5) == [["x"]] * 5
        assert node.call("a", get) == 0


def test_a_gen_server_gets_it_as_a_cast() -> None:
    class Hears(GenServer):
        def init(self, name: str, args: Any) -> Ok:
            return Ok([], effects=[Join("g")])

        def handle_cast(self, message: Any, state: Any) -> NoReply:
            return NoReply([*state, message])

    with running(worker("a"), *(Worker(f"m{n}", Hears) for n in range(3))) as node:
        node.call("a", asks(Publish("g", "x")))
        node.run()
        assert [node.get_state(f"m{n}") for n in range(3)] == [["x"]] * 3


def test_a_publish_to_nobody_is_counted_and_reported() -> None:
    with running(worker("a")) as node:
        node.call("a", asks(Publish("rom", 1)))
        assert node.publish("rom", 1).members == 0
        told = [report.detail for report in node.reports() if report.event == "dropped"]
        assert told == [{"to": "rom", "how": "publish", "why": "no members"}] * 2
        assert node.dropped == 2


def test_who_joins_after_a_publish_does_not_get_it_and_who_leaves_does() -> None:
    with a_group(6) as node:
        leave = Cast("m5", lambda state: (state, None, [Leave("g")]))
        join = Cast("a", lambda _: ([], None, [Join("g")]))
        node.call("a", lambda state: (state, None, [Publish("g", put("x")), leave, join]))
        node.run()
        assert states(node, 6) == [["x"]] * 6
        assert node.call("a", get) == []
        assert node.get_members("g") == [*(f"m{n}" for n in range(5)), "a"]


def test_a_member_that_ends_before_its_turn_gets_it_in_its_next_life() -> None:
    with a_group(6) as node:
        node.send_request("m5", fail)
        node.publish("g", put("x"))
        node.run()
        assert states(node, 6) == [["x"]] * 6


def test_for_a_member_that_is_gone_before_its_turn_it_is_reported_as_dropped() -> None:
    gone = Supervisor("pool", "simple_one_for_one", [member("template")])
    with a_group(5, gone) as node:
        node.start_child("pool", "m5")
        node.publish("g", put("x"))
        process = node.whereis("m5")
        assert process is not None
        node.terminate_child("pool", process)
        node.run()
        assert states(node, 5) == [["x"]] * 5
        (told,) = [report.detail for report in node.reports() if report.event == "dropped"]
        assert told["to"] == "m5"


def test_an_input_that_crashes_each_member_crashes_each_once() -> None:
    with a_group(5) as node:
        node.publish("g", fail)
        node.run()
        assert [node.statistics(f"m{n}").crashes for n in range(5)] == [1] * 5


# -- the order ---------------------------------------------------------------------------------


def test_what_a_worker_sends_behind_a_publish_comes_behind_it() -> None:
    with a_group(9) as node:
        for n in reversed(range(9)):
            to = f"m{n}"
            node.call("a", asks(Publish("g", put(n)), Cast(to, put("own")), Publish("g", put("y"))))
        node.run()
        for n in range(9):
            got = node.call(f"m{n}", get)
            assert [word for word in got if word not in ("own", "y")] == [*reversed(range(9))]
            assert got.index("own") == got.index(n) + 1


def test_a_call_from_outside_finds_what_was_published_before() -> None:
    with a_group(200) as node:
        node.publish("g", put("x"))
        assert node.call("m199", get) == ["x"]
        node.cast("m198", put("y"))
        node.run()
        assert node.call("m198", get) == ["x", "y"]


def test_a_continue_comes_ahead_of_a_publish_under_way() -> None:
    class Goes(GenServer):
        def init(self, name: str, args: Any) -> Ok:
            return Ok([], effects=[Join("g")])

        def handle_call(self, message: Any, caller: Any, state: Any) -> Reply:
            return Reply(state, state, then=Continue(message))

        def handle_cast(self, message: Any, state: Any) -> NoReply:
            return NoReply([*state, "cast"])

        def handle_continue(self, message: Any, state: Any) -> NoReply:
            then = Continue(message - 1) if message else None
            return NoReply([*state, message], then=then)

    with a_group(8, Worker("goes", Goes)) as node:
        pending = node.send_request("goes", 3)
        node.cast("goes", None)
        node.publish("g", lambda state: (state, None))
        node.run()
        assert pending.done
        assert node.get_state("goes") == [3, 2, 1, 0, "cast", "cast"]


# -- nobody is held up -------------------------------------------------------------------------


def test_calls_and_small_publishes_get_between_the_parts_of_a_large_one() -> None:
    order: list[str] = []

    def hears(word: str) -> Any:
        return lambda state: (order.append(word) or state, None)  # type: ignore[func-returns-value]  # the point

    with a_group(300, member("s", "small")) as node:
        node.publish("g", hears("large"))
        node.publish("small", hears("small"))
        node.send_request("a", hears("call"))
        node.run()
        assert order.count("large") == 300
        assert order.index("small") < 200
        assert order.index("call") < 200


def test_a_large_publish_takes_one_place_in_the_queue_of_a_small_bound() -> None:
    with a_group(300, queue=8) as node:
        node.publish("g", put(1))
        assert node.queue == 1
        node.cast_nowait("a", add(1))
        assert node.call("a", get) == 1
        node.run()
        assert states(node, 300) == [[1]] * 300


@pytest.mark.parametrize("queue", [1, 8, 128])
def test_publishes_to_a_large_group_in_a_loop_are_served_first_while_the_queue_is_full(
    queue: int,
) -> None:
    with a_group(200, queue=queue) as node:
        for number in range(queue + 10):
            assert node.publish("g", put(number)).members == 200
            assert node.queue <= queue
        node.run()
        assert states(node, 200) == [[*range(queue + 10)]] * 200


def test_publishes_whose_members_send_on_are_served_first_too() -> None:
    def sends_on(state: list[int]) -> Any:
        return [*state, 1], None, [Cast("a", add(1))]

    with a_group(200, queue=8) as node:
        for _ in range(20):
            node.publish("g", sends_on)
        node.run()
        assert node.call("a", get) == 20 * 200


def test_the_groups_of_a_worker_that_is_none_are_refused_as_its_state_is() -> None:
    with a_group(1) as node:
        assert node.joined("m0") == ["g"]
        with pytest.raises(NoProc, match="no worker zed"):
            node.joined("zed")


def test_a_publish_into_a_queue_that_is_kept_full_without_end_is_refused() -> None:
    def echoes(state: list[int]) -> Any:
        return state, None, [Cast("m0", echoes)]

    with a_group(70, queue=8) as node:
        for _ in range(8):
            node.publish("g", echoes)
        with pytest.raises(QueueFull, match="the queue is full"):
            node.publish("g", echoes)


def test_a_publish_that_publishes_again_without_end_lets_others_in() -> None:
    def again(state: list[int]) -> Any:
        return [*state, 1], None, [Publish("g", again)]

    with a_group(1) as node:
        node.publish("g", again)
        assert node.call("a", add(1)) == 1
        assert node.call("a", add(1)) == 2


def test_too_much_under_way_is_a_crash_with_the_state_unchanged_or_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MOST_UNDER_WAY", 70)
    with a_group(66) as node:
        with pytest.raises(CalleeCrashed, match="QueueFull: the effects of a do not fit"):
            node.call("a", lambda _: (7, None, [Publish("g", put(1))] * 2))
        assert node.call("a", get) == 0
        node.publish("g", put(1))
        with pytest.raises(QueueFull, match="g: too much is being published"):
            node.publish("g", put(1))
        node.run()
        assert states(node, 66) == [[1]] * 66


# -- from outside ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", 7, "x" * 201, "\ud800"])
def test_what_is_no_name_of_a_group_is_refused(name: Any) -> None:
    with a_group(1) as node, pytest.raises(SysError, match="is no name of a group: expected text"):
        node.publish(name, 1)


def test_a_step_publishes_by_an_effect_and_not_by_its_node() -> None:
    with a_group(1) as node:
        with pytest.raises(CalleeCrashed) as caught:
            node.call("a", lambda _: node.publish("g", 1))
        assert isinstance(caught.value.error, CalledFromStep)


def test_bytes_are_decoded_by_the_codec_of_each_member() -> None:
    with running(Worker("t", actor, codec="text"), Worker("j", actor, codec="json")) as node:
        for name in "tj":
            node.call(name, asks(Join("g")))
        assert node.publish("g", b"[1]").members == 2
        node.run()
        assert node.dropped == 0


def test_members_are_shown_with_values_as_their_states_are() -> None:
    hides = actor.__class__(
        step=actor.step,
        init=lambda *_: Ok(0, effects=[Join("g", "secret"), Join("h")]),
        redact=lambda value: "***" if value == "secret" else value,
    )
    with running(Worker("m", hides), worker("a")) as node:
        (shown,) = node.members("g")
        assert (shown.worker, "secret" in shown.value) == ("m", False)
        assert [one.value for one in node.members("h")] == [""]
        assert [(one.group, one.members) for one in node.groups()] == [("g", 1), ("h", 1)]


# -- forks -------------------------------------------------------------------------------------


def test_a_fork_in_the_middle_of_a_publish_goes_on_with_it_by_itself(chunk: int) -> None:
    with a_group(100) as node:
        node.publish("g", put("x"))
        assert node.call("m99", get) == ["x"]
        fork = node.fork()
        assert fork.digest() == node.digest()
        fork.call("m0", asks(Leave("g")))
        fork.run()
        assert states(fork, 100) == [["x"]] * 100
        assert node._world.groups.under_way or chunk == ONE
        node.run()
        assert states(node, 100) == [["x"]] * 100
        assert (len(node.get_members("g")), len(fork.get_members("g"))) == (100, 99)
        assert fork.digest() != node.digest()


def test_a_deep_fork_has_values_of_its_own() -> None:
    value: list[int] = []
    with running(worker("a")) as node:
        node.call("a", asks(Join("g", value)))
        node.fork(copy="deep").lookup("g")["a"].append(1)
        assert value == []
        node.fork().lookup("g")["a"].append(1)
        assert value == [1]


@pytest.mark.parametrize("publishes", [1, 2, 50])
def test_however_many_publishes_are_under_way_others_get_in_between(publishes: int) -> None:
    with a_group(1000, worker("other")) as node:
        for _ in range(publishes):
            node.publish("g", put("x"))
        node.call("other", get)
        cells: Any = node._world.names
        got = sum(len(cells[f"m{n}"].state) for n in range(1000))
        assert got <= 4 * 64
        node.run()
        assert states(node, 1000) == [["x"] * publishes] * 1000
