"""A node with three inputs behind it, that is asked for its past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, Supervisor, Worker
from ssm_cli.commands.records import instant
from ssm_cli.history.past import with_past
from tests.history.ledger import LEDGER, Hold


@pytest.fixture
def node() -> Iterator[Node]:
    tree = Supervisor("root", children=[Worker("ledger", LEDGER), Worker("other", LEDGER)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        for name, amount in (("a", 100), ("b", 50), ("c", 1)):
            node.call("ledger", Hold(name, amount))
        yield with_past(node, instant)


@pytest.fixture
def ask(node: Node) -> Callable[..., Any]:
    return node.perform
