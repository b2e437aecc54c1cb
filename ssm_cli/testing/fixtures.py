"""The fixture for pytest, which this file alone needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.testing.nodes import REMEMBERED, Timed, timed

Starting = Callable[..., Timed]


@pytest.fixture
def start_tree() -> Iterator[Starting]:
    """Start trees on manual clocks: `start_tree("tree.yaml")`; all are stopped behind the test."""
    with ExitStack() as stack:

        def start(tree: SupervisorSpec | str | Path, history: int = REMEMBERED) -> Timed:
            return stack.enter_context(timed(tree, history))

        yield start
