"""What a call, a cast, a restart and a publish cost as the work grows.

Run: python tests/benchmarks/scale.py [LARGEST_TREE]. Prints medians; flat columns are the point.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from ssm_cli import (
    CalleeCrashed,
    Join,
    Leave,
    Node,
    Publish,
    StateMachine,
    Supervisor,
    Worker,
)

ROUNDS = 7


def step(message: Any, state: int) -> tuple[int, Any]:
    """Answer with the message; None is a crash."""
    if message is None:
        raise ValueError("as asked")
    return state, message


def chat(message: Any, state: int) -> Any:
    """Join, leave, publish, or count what was published."""
    match message:
        case "join":
            return state, None, [Join("g")]
        case "leave":
            return state, None, [Leave("g")]
        case "publish":
            return state, None, [Publish("g", 1)]
    return state + 1, None


MEMBER = StateMachine(step=chat, init=lambda name, args: 0)
ECHO = StateMachine(step=step, init=lambda name, args: 0)


def tree_of(count: int, queue: int = 128) -> Node:
    """A flat tree of `count` workers."""
    workers = [Worker(f"w{n}", ECHO) for n in range(count)]
    return Node(Supervisor("root", children=workers, intensity=10**9, queue=queue)).start()


def cost_us(act: Callable[[], object], times: int) -> float:
    """The median cost of `act` in microseconds."""
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(times):
            act()
        found.append((time.perf_counter() - begun) / times * 1e6)
    return statistics.median(found)


def crash(node: Node, worker: str) -> None:
    """Crash a worker; its supervisor starts it again."""
    with contextlib.suppress(CalleeCrashed):
        node.call(worker, None)


def flood(node: Node, worker: str, count: int) -> None:
    """Cast `count` inputs, and have them served."""
    for _ in range(count):
        node.cast(worker, 1)
    node.run()


def publish(node: Node, times: int) -> None:
    """Publish, and have each member served."""
    for _ in range(times):
        node.call("a", "publish")
        while node.queue:
            node.run()


def print_groups(largest: int) -> None:
    """Print what a publish costs for each member, and what it costs to join and to leave."""
    print("\nmembers      messages a second   join and leave us")
    count = 10
    while count <= largest:
        workers = [Worker(f"w{n}", MEMBER) for n in range(count)]
        tree = Supervisor("root", children=[Worker("a", MEMBER), *workers], intensity=10**9)
        with Node(tree) as node:
            for worker in workers:
                node.call(worker.id, "join")
            times = max(1, 20_000 // count)
            each = cost_us(lambda n=node, t=times: publish(n, t), 1) / times / count  # type: ignore[misc]  # bound now
            both = cost_us(lambda n=node: (n.call("a", "join"), n.call("a", "leave")), 500)  # type: ignore[misc]  # as above
            print(f"{count:<12,} {1e6 / each:17,.0f}   {both:17.2f}")
        count *= 10


def main(largest: int) -> None:
    """Print the tables."""
    print("workers      call us   cast us   restart us")
    count = 10
    while count <= largest:
        node = tree_of(count)
        last = f"w{count - 1}"
        call = cost_us(lambda n=node, w=last: n.call(w, 1), 5000)  # type: ignore[misc]  # bound now
        cast = cost_us(lambda n=node, w=last: flood(n, w, 100), 50) / 100  # type: ignore[misc]  # as above
        restart = cost_us(lambda n=node, w=last: crash(n, w), 500)  # type: ignore[misc]  # as above
        print(f"{count:<12,} {call:7.2f}   {cast:7.2f}   {restart:10.2f}")
        node.stop()
        count *= 10
    print("\nqueue depth  cast us")
    for depth in (1, 16, 128, 1024, 16_384):
        node = tree_of(10, queue=depth)
        cast = cost_us(lambda n=node, d=depth: flood(n, "w0", d), max(1, 20_000 // depth)) / depth  # type: ignore[misc]  # as above
        print(f"{depth:<12,} {cast:7.2f}")
        node.stop()
    print("\nbytes        call us (in and out, without a codec)")
    node = tree_of(10)
    for size in (10, 1_000, 100_000, 10_000_000):
        message = "x" * size
        print(f"{size:<12,} {cost_us(lambda m=message: node.call('w0', m), 2000):7.2f}")  # type: ignore[misc]  # as above
    node.stop()
    print_groups(largest)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
