"""A node inside asyncio, and one that is called with and without it by turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ssm_cli import (
    Answer,
    CalleeCrashed,
    CalleeStopped,
    CallTimeout,
    Cast,
    DecodeError,
    Defer,
    ManualClock,
    Node,
    NoProc,
    StartTimer,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import CallError
from ssm_cli.machines.kv import Lookup, Result, kv_store
from ssm_cli.runtime.driver import attach
from ssm_cli.runtime.performer.loop import TURN_S
from tests.runtime.workers import actor, add, fail, get, worker


def tree(*, queue: int = 128) -> Any:
    return Supervisor(
        "root",
        children=[Worker("kv", kv_store), Worker("a", actor), worker("b")],
        intensity=100,
        queue=queue,
    )


def defer(state: Any) -> Any:
    return state, None, [Defer("later")]


def test_every_outcome_of_a_call_arrives() -> None:
    async def main() -> None:
        with Node(tree()) as node:
            assert await node.acall("kv", b"Store x 1") == b"Ok"
            assert await node.acall("kv", Lookup("x")) == Result(1)
            with pytest.raises(CalleeCrashed):
                await node.acall("kv", b"Lookup crash")
            with pytest.raises(NoProc, match="did you mean kv"):
                await node.acall("kv1", b"Lookup x")
            with pytest.raises(DecodeError):
                await node.acall("kv", b"Lookap x")
            with pytest.raises(CallTimeout, match=r"a did not answer within 0\.01 s"):
                await node.acall("a", defer, timeout_s=0.01)
        with pytest.raises(CalleeStopped):
            await node.acall("a", get)

    asyncio.run(main())


def test_many_callers_are_served_through_a_small_queue() -> None:
    async def main() -> None:
        with Node(tree(queue=4)) as node:
            answers = await asyncio.gather(*(node.acall("a", add(1)) for _ in range(200)))
            assert sorted(answers) == list(range(1, 201))

    asyncio.run(main())


def test_an_answer_that_took_longer_than_the_caller_waits_counts_as_timeout() -> None:
    async def main() -> None:
        clock = ManualClock()
        with Node(tree(), clock=clock) as node:

            def slow(state: int) -> tuple[int, str]:
                clock.advance_s(0.5)
                return state + 1, "late"

            with pytest.raises(CallTimeout):
                await node.acall("a", slow, timeout_s=0.2)
            assert await node.acall("a", get) == 1

    asyncio.run(main())


def test_a_cancelled_caller_stops_waiting_and_the_answer_is_dropped() -> None:
    async def main() -> None:
        with Node(tree()) as node:
            task = asyncio.create_task(node.acall("a", defer))
            await node.acall("a", get)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            answer = [Answer("later", "too late")]
            assert await node.acall("a", lambda state: (state, "given", answer)) == "given"

    asyncio.run(main())


def test_timers_fire_while_the_loop_runs() -> None:
    def later(state: Any) -> Any:
        timer = StartTimer("t", 5, lambda s: (s, None, [Answer("later", "at last")]))
        return state, None, [Defer("later"), timer]

    async def main() -> None:
        with Node(tree()) as node:
            assert await node.acall("a", later) == "at last"

    asyncio.run(main())


def test_serve_runs_until_the_tree_is_down_however_that_comes() -> None:
    async def main() -> None:
        for end in ("stop", "stop_in_reader", "give_up", "give_up_in_a_plain_call"):
            root = Supervisor("root", children=[worker("a")], intensity=0)
            node = Node(root).start()
            serving = asyncio.create_task(node.serve())
            await node.acall("a", get)
            if end == "stop":
                node.stop()
            elif end == "stop_in_reader":
                node.subscribe(lambda _, node=node: node.stop())  # type: ignore[misc]  # bound now
                node.cast("a", fail)
            elif end == "give_up":
                node.cast("a", fail)
            else:
                with pytest.raises(CallError):
                    node.call("a", fail)
            await asyncio.wait_for(serving, 60)
            assert not node.running

    asyncio.run(main())


def test_plain_and_awaited_calls_may_alternate() -> None:
    async def main() -> None:
        with Node(tree()) as node:
            for number in range(0, 10, 2):
                assert node.call("a", add(1)) == number + 1
                assert await node.acall("a", add(1)) == number + 2
            waiting = asyncio.create_task(node.acall("a", add(1)))
            await asyncio.sleep(0)
            assert node.call("a", add(1)) == 12
            assert await waiting == 11

    asyncio.run(main())


def test_a_node_outlives_the_loop_that_served_it() -> None:
    node = Node(tree())

    async def awaited() -> Any:
        return await node.acall("a", add(1))

    with node:
        assert asyncio.run(awaited()) == 1
        assert node.call("a", add(1)) == 2
        node.kill("b")
        assert asyncio.run(awaited()) == 3
        node.cast("a", add(1))
        assert node.call("a", get) == 4


def test_two_nodes_share_one_loop() -> None:
    async def main() -> None:
        with Node(tree()) as one, Node(tree()) as other:
            answers = await asyncio.gather(one.acall("a", add(1)), other.acall("a", add(2)))
            assert list(answers) == [1, 2]
            with pytest.raises(CalleeCrashed):
                await one.acall("a", fail)
            assert await other.acall("a", get) == 2

    asyncio.run(main())


def test_calls_that_wait_for_room_are_told_when_the_tree_stops() -> None:
    async def main() -> None:
        with Node(tree(queue=1)) as node:
            tasks = [asyncio.create_task(node.acall("a", add(1))) for _ in range(5)]
            await asyncio.sleep(0)
            node.stop(drain=False)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(result) for result in results} == {CalleeStopped}

    asyncio.run(main())


def test_a_crash_is_told_to_readers_of_answers_before_the_worker_terminates() -> None:
    order: list[str] = []

    async def main() -> None:
        with Node(tree()) as node:
            node.subscribe(lambda report: order.append(report.event))
            with pytest.raises(CalleeCrashed):
                await node.acall_value(
                    "kv", b"Lookup crash", answered=lambda a: order.append(type(a).__name__)
                )

    asyncio.run(main())
    assert order[:3] == ["crashed", "CalleeCrashed", "terminating"]


def test_what_a_resume_puts_into_a_full_queue_is_served_by_the_loop() -> None:
    async def main() -> int:
        with Node(Supervisor("root", children=[worker("a")], queue=1)) as node:
            serving = asyncio.create_task(node.serve())
            node.suspend("a")
            node.cast("a", add(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            node.resume("a")
            total: int = await node.acall("a", get, timeout_s=5.0)
            node.stop()
            await serving
            return total

    assert asyncio.run(main()) == 1


def test_a_resume_alone_has_the_loop_serve_what_was_held_back() -> None:
    async def main() -> int:
        with Node(Supervisor("root", children=[worker("a")], queue=1)) as node:
            serving = asyncio.create_task(node.serve())
            node.suspend("a")
            node.cast("a", add(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            node.resume("a")
            for _ in range(10):
                await asyncio.sleep(0)
            waiting = node.statistics("a").queue
            node.stop()
            await serving
            return waiting

    assert asyncio.run(main()) == 0


# -- served on the spot: every call but the first, which finds no driver yet ---------------------


def test_a_call_served_on_the_spot_lets_others_run_before_it_returns() -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def client(name: str) -> None:
            for _ in range(3):
                await node.acall("a", add(1))
                order.append(name)

        with Node(tree()) as node:
            await node.acall("a", get)
            await asyncio.gather(client("x"), client("y"))
        return order

    assert asyncio.run(main()) == ["x", "y"] * 3


def test_calls_on_the_spot_leave_the_rest_to_the_turn_once_their_time_is_over() -> None:
    async def main() -> tuple[int, list[int]]:
        clock = ManualClock()

        def slow(state: int) -> tuple[int, int]:
            clock.advance_s(TURN_S)
            return state + 1, state + 1

        with Node(tree(), clock=clock) as node:
            await node.acall("a", get)
            tasks = [asyncio.create_task(node.acall("a", slow)) for _ in range(10)]
            await asyncio.sleep(0)  # each task has begun
            on_the_spot = node.statistics("a").steps - 1
            return on_the_spot, list(await asyncio.gather(*tasks))

    on_the_spot, answers = asyncio.run(main())
    assert on_the_spot == 2
    assert answers == list(range(1, 11))


def test_every_outcome_on_the_spot_arrives() -> None:
    def late(state: Any) -> Any:
        clock.advance_s(0.5)
        return state, "late"

    async def main() -> None:
        with Node(tree(), clock=clock) as node:
            await node.acall("a", get)
            assert await node.acall("kv", b"Store x 1") == b"Ok"
            with pytest.raises(CalleeCrashed, match="a crashed"):
                await node.acall("a", fail)
            assert await node.acall("a", get) == 0
            with pytest.raises(DecodeError):
                await node.acall("kv", b"Lookap x")
            with pytest.raises(CallTimeout, match=r"a did not answer within 0\.2 s"):
                await node.acall("a", late, timeout_s=0.2)
            waiting = asyncio.create_task(node.acall("a", defer))
            await asyncio.sleep(0)
            assert not waiting.done()
            await node.acall("a", lambda state: (state, "given", [Answer("later", "answer")]))
            assert await waiting == "answer"
        with pytest.raises(CalleeStopped):
            await node.acall("a", get)

    clock = ManualClock()
    asyncio.run(main())


def test_what_a_call_on_the_spot_sets_off_is_served_without_another() -> None:
    def both(state: Any) -> Any:
        timer = StartTimer("t", 5, lambda s: (s, None, [Answer("later", "at last")]))
        return state, None, [Cast("b", add(7)), timer]

    async def main() -> None:
        with Node(tree()) as node:
            await node.acall("a", get)
            waiting = asyncio.create_task(node.acall("a", defer))
            await node.acall("a", both)
            assert await waiting == "at last"
            assert node.get_state("b") == 7

    asyncio.run(main())


def test_a_time_out_on_the_spot_comes_while_nothing_else_happens() -> None:
    async def main() -> None:
        with Node(tree()) as node:
            await node.acall("a", get)
            with pytest.raises(CallTimeout):
                await node.acall("a", defer, timeout_s=0.01)

    asyncio.run(main())


def test_a_call_in_another_loop_finds_its_own_driver() -> None:
    with Node(tree()) as node:
        for number in range(3):
            assert asyncio.run(node.acall("a", add(1))) == number + 1


def test_who_was_let_in_waits_on_where_others_have_filled_the_queue_meanwhile() -> None:
    """As ends of runs may, between the moment when there was room and the caller's turn."""

    async def main() -> None:
        with Node(tree(queue=1)) as node:
            world: Any = node._world
            driver = attach(world)
            filler = (world.names["a"], Kind.CAST, lambda state: (state, None), None)
            coming = driver.room(60)
            for _ in range(2):  # it waits as there is no room, and again as there is none any more
                world.queue.append(filler)
                coming.send(None)
                world.queue.clear()
                driver._let_in()
            with pytest.raises(StopIteration):
                coming.send(None)

    asyncio.run(main())
