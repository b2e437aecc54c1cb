"""The cost of the past: what remembering adds to a call, and how long questions to it take.

    python -m tests.benchmarks.history

Calls and casts are measured with history off and on in turn, in one process, medians of many
rounds by processor time. Questions are asked of 100,000 records.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from ssm_cli import ManualClock, Node, Supervisor, Worker, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.history import timeline
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import Lookup, Store, kv_store

ROUNDS = 21
CALLS = 20_000
RECORDS = 100_000
WORKERS = 100_000


def calls_us(node: Node) -> float:
    """Microseconds of processor time a call."""
    call, message = node.call, Lookup("x")
    begun_s = time.process_time()
    for _ in range(CALLS):
        call("kv2", message)
    return (time.process_time() - begun_s) / CALLS * 1e6


def casts_us(node: Node) -> float:
    """Microseconds of processor time a cast that is served in a batch."""
    message = Lookup("x")
    begun_s = time.process_time()
    for _ in range(CALLS // 1000):
        for _ in range(1000):
            node.cast("kv2", message)
        node.run()
    return (time.process_time() - begun_s) / CALLS * 1e6


def took_ms(question: Callable[[], object], times: int = 7) -> float:
    """The median processor time of a question in milliseconds."""
    spent = []
    for _ in range(times):
        begun_s = time.process_time()
        question()
        spent.append((time.process_time() - begun_s) * 1000)
    return statistics.median(spent)


def recording() -> None:
    """Print what remembering adds to calls and casts."""
    nodes = {name: Node(load_tree("trees/kv.yaml"), history=most).start()
             for name, most in (("off", 0), ("on", 10_000))}  # fmt: skip
    for node in nodes.values():
        node.call("kv2", Store("x", 1))
    for what, measure in (("call", calls_us), ("cast", casts_us)):
        spent: dict[str, list[float]] = {name: [] for name in nodes}
        for _ in range(ROUNDS):
            for name, node in nodes.items():
                spent[name].append(measure(node))
        off, on = (statistics.median(spent[name]) for name in ("off", "on"))
        pairs = statistics.median(b / a for a, b in zip(spent["off"], spent["on"], strict=True))
        print(f"{what:>30}  off {off:6.2f} us  on {on:6.2f} us  ratio {pairs:5.2f}")
    for node in nodes.values():
        node.stop()


def questions() -> None:
    """Print how long questions to 100,000 records take."""
    timeline.MOST_S = 60.0  # the machine may have other work
    node = Node(load_tree("trees/kv.yaml"), history=2 * RECORDS).start()
    recorder = node.recorder()
    assert recorder is not None
    recorder.most_bytes = 1 << 30
    for number in range(RECORDS):
        node.call("kv2", Store(f"k{number % 20}", number))
    past = with_past(node, instant)
    middle = str(RECORDS // 2)
    asked: dict[str, Callable[[], object]] = {
        "at": lambda: past.perform("go", where=middle),
        "back": lambda: past.perform("step_back", at=middle),
        "diff": lambda: past.perform("diff", at=middle),
        "blame": lambda: past.perform("blame", worker="kv2", path="k7"),
        "when": lambda: past.perform("when", worker="kv2", expr="state.k7 > 99980"),
        "why": lambda: past.perform("why", record=middle),
        "history": lambda: past.perform("history"),
    }
    for name, question in asked.items():
        print(f"{name:>30}  {took_ms(question):8.1f} ms")
    node.stop()


def forks() -> None:
    """Print how long a fork of 100,000 workers takes."""
    children = [Worker(f"w{number}", kv_store) for number in range(WORKERS)]
    node = Node(Supervisor("root", children=children), clock=ManualClock(), history=1000).start()
    print(f"{'fork of 100,000 workers':>30}  {took_ms(node.fork, 3):8.1f} ms")
    node.stop()


if __name__ == "__main__":
    recording()
    questions()
    forks()
