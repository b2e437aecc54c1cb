"""What `ssm new` writes: a small tree that runs, crashes, heals and is tested."""

from __future__ import annotations

TREE = """\
# Run it with: ssm run tree.yaml
supervisor: root
strategy: one_for_one
intensity: 3            # more than 3 restarts ...
period: 5               # ... within 5 seconds, and the supervisor gives up
children:
  - worker: counter1
    start: ./worker.py:counter
  - worker: counter2
    start: ./worker.py:counter
    args: {start: 100}
"""

WORKER = '''\
"""A counter: a worker as a pure step from an input and a state to a state and an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssm_cli.behaviour.machine import StateMachine


@dataclass(frozen=True)
class Add:
    """Add `amount`."""

    amount: int = 1


@dataclass(frozen=True)
class Divide:
    """Divide by `by`; 0 crashes the worker, and its supervisor starts it again."""

    by: int


@dataclass(frozen=True)
class Count:
    """The output: the count so far."""

    value: int


def init(name: str, args: Mapping[str, Any]) -> int:
    """The first state, from the `args` of the tree file."""
    return int(args.get("start", 0))


def step(message: Add | Divide, state: int) -> tuple[int, Count]:
    """The next state and the output."""
    match message:
        case Add(amount):
            count = state + amount
        case Divide(by):
            count = state // by
    return count, Count(count)


counter = StateMachine(step=step, init=init, inputs=Add | Divide, outputs=Count)
'''

TEST = '''\
"""The worker alone, then the worker in its tree. Run it with: python -m pytest"""

from __future__ import annotations

from pathlib import Path

import pytest
from worker import Add, Count, Divide, init, step

from ssm_cli.errors import CalleeCrashed
from ssm_cli.runtime.node import Node
from ssm_cli.spec.load import load_tree


def test_a_step_counts() -> None:
    assert step(Add(2), init("counter1", {"start": 40})) == (42, Count(42))


def test_a_crash_is_healed() -> None:
    with Node(load_tree(Path(__file__).with_name("tree.yaml"))) as node:
        assert node.call("counter1", b"Add 5") == b"Count 5"
        with pytest.raises(CalleeCrashed):
            node.call("counter1", Divide(0))
        assert node.call("counter1", b"Add") == b"Count 1"
        assert node.call("counter2", b"Add") == b"Count 101"
'''

README = """\
# A tree of supervised state machines

| file | what it is |
|---|---|
| `tree.yaml` | the tree: who supervises whom, and what is restarted when one ends |
| `worker.py` | the worker: a pure step, its inputs and its outputs |
| `test_worker.py` | its test: `python -m pytest` |

Run it, break it, watch it heal:

    ssm run tree.yaml
    counter1 Add 5
    counter1 Divide 0
    counter1 Add
    tree

Check the tree file with `ssm check tree.yaml`. Ask it from a script:

    ssm call --tree tree.yaml counter1 "Add 5" "Add 7"
"""

FILES = {"tree.yaml": TREE, "worker.py": WORKER, "test_worker.py": TEST, "README.md": README}
"""The files by their names, in the order in which they are written."""
