"""Nodes for tests: a tree on a manual clock, so that hours pass in no time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssm_cli.errors import CommandError, a_or_an
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.node import Node
from ssm_cli.simulation.starting import unkept
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec

REMEMBERED = 1_000  # records


class Timed:
    """A tree that runs, and its clock, which moves only when it is told to.

    Attributes:
        node: the tree.
        clock: its clock.
    """

    def __init__(self, node: Node, clock: ManualClock) -> None:
        self.node, self.clock = node, clock

    def advance(self, seconds: float) -> None:
        """Let time pass: timers, time-outs and back-offs come as they are due."""
        self.node.run(seconds)


@contextmanager
def timed(tree: SupervisorSpec | str | Path, history: int = REMEMBERED) -> Iterator[Timed]:
    """Start a tree on a manual clock for a block, and stop it at its end.

    Nothing is kept: durable workers begin by their `init`, and remote children are stand-ins.

    Args:
        tree: a spec, or a tree file.
        history: how many records it remembers; 0 for none.

    Raises:
        TreeFileError, SpecError: the tree does not validate.
        StartFailed: it does not start.
    """
    clock = ManualClock()
    with Node(unkept(spec_of_tree(tree)), clock=clock, history=history) as node:
        yield Timed(node, clock)


def spec_of_tree(tree: SupervisorSpec | str | Path) -> SupervisorSpec:
    """Return a tree as a spec.

    Raises:
        TreeFileError: the file is none.
        CommandError: it is neither a spec nor the path of a file.
    """
    if isinstance(tree, SupervisorSpec):
        return tree
    if isinstance(tree, str | Path):
        return load_tree(tree)
    raise CommandError(
        f"a tree is a Supervisor, or the path of a tree file, not {a_or_an(type(tree).__name__)}"
    )
