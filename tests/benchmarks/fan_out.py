"""Messages a second from one publisher to its subscribers, by a step, from outside, and by casts.

Run: python tests/benchmarks/fan_out.py. Processor time, the best of some rounds: other work on the
machine makes a round slower, and none quicker. The aim is 350,000 at 10 subscribers, and no fewer
at more of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ssm_cli import Cast, Join, Node, Ok, Publish, StateMachine, Supervisor, Worker

AIM = 350_000
ROUNDS = 9
MESSAGES = 50_000  # of a round
COUNTS = (10, 100, 1_000)


def count(message: int, state: int) -> tuple[int, None]:
    """Count what is published."""
    return state + message, None


def tell(message: Any, state: int) -> Any:
    """Answer with the effects that the message is."""
    return state, None, message


LISTENER: Any = StateMachine(step=count, init=lambda *_: Ok(0, effects=[Join("g")]))
TELLER = StateMachine(step=tell, init=lambda *_: 0)


def served(node: Node, names: list[str], act: Callable[[], object]) -> float:
    """Return how many messages a second reach the subscribers, of the best round."""
    rounds, best = MESSAGES // len(names), 0.0
    for number in range(1, ROUNDS + 1):
        begun = time.process_time()
        for _ in range(rounds):
            act()
            while node.queue:
                node.run()
        best = max(best, rounds * len(names) / (time.process_time() - begun))
        assert node.get_state(names[-1]) % rounds == 0, f"round {number} has lost a message"
    return best


def main() -> None:
    """Print the table."""
    print("subscribers   by a step   from outside   by as many casts   aim")
    for subscribers in COUNTS:
        names = [f"w{number}" for number in range(subscribers)]
        children = [Worker("teller", TELLER), *(Worker(name, LISTENER) for name in names)]
        with Node(Supervisor("root", children=children)) as node:
            publish, casts = [Publish("g", 1)], [Cast(name, 1) for name in names]
            figures = (
                served(node, names, lambda n=node, p=publish: n.call("teller", p)),  # type: ignore[misc]  # bound now
                served(node, names, lambda n=node: n.publish("g", 1)),  # type: ignore[misc]  # as above
                served(node, names, lambda n=node, c=casts: n.call("teller", c)),  # type: ignore[misc]  # as above
            )
        step, outside, each = (f"{figure:,.0f}" for figure in figures)
        print(f"{subscribers:<11,} {step:>11} {outside:>14} {each:>18} {AIM:>9,}")


if __name__ == "__main__":
    main()
