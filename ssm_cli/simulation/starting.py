"""Where simulations begin: a fork of a tree that runs, or a tree of a file, started for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.errors import CommandError
from ssm_cli.history.scratch import copied
from ssm_cli.history.turns import all_turns
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.intake import hint_for
from ssm_cli.simulation.patience import patient
from ssm_cli.simulation.simulated import Common, LeapingClock, Simulated
from ssm_cli.simulation.stand_ins import bring_near, stood_in, world_of
from ssm_cli.spec.model import ChildSpec, OnCrash, Persist, RemoteSpec, SupervisorSpec

WALL_S = 1_767_225_600.0  # which a tree of a file begins with, so that each run is the same


def simulated(node: Node, skip: Collection[str]) -> Simulated:
    """Return a simulation of a fork of a node, whose states are its own.

    Raises:
        CommandError: a worker to skip is none, or states cannot be copied.
    """
    check_skipped(node, skip)
    world = world_of(node)
    fork = all_turns(copied(node))
    moved = fork.fork(clock=LeapingClock(world.clock.wall_s(), world.clock.now_s()), guard=False)
    bring_near(world_of(moved))
    cells = world_of(moved).names
    states = {name: getattr(cells[name], "state", None) for name in skip}
    return Simulated(moved, Common(patient(world.guard), states))


@contextmanager
def simulated_tree(spec: SupervisorSpec, name: str, skip: Collection[str]) -> Iterator[Simulated]:
    """Start a tree for a simulation, and end it without any `terminate`.

    Nothing is kept: durable workers begin by their `init`. A remote child is a stand-in.

    Raises:
        StartFailed: it does not start.
        CommandError: a worker to skip is none.
    """
    node = Node(unkept(spec), name=name, clock=LeapingClock(WALL_S), guard=True)
    world = world_of(node)
    guard = world.guard = patient(world.guard)
    try:
        node.start()
        yield simulated(node, skip)
    finally:
        close(guard)


def close(guard: Guard) -> None:
    """Let go of the alarm of the process."""
    guard.close()


def check_skipped(node: Node, skip: Collection[str]) -> None:
    """Raise `CommandError` for a name that is none of a worker."""
    names = node.names("worker")
    wrong = next((name for name in skip if name not in names), None)
    if wrong is not None:
        hint = hint_for(world_of(node), wrong) or "; `tree` shows them"
        raise CommandError(f"--skip: there is no worker `{wrong[:60]}`{hint}")


def unkept(spec: ChildSpec) -> Any:
    """Return a spec whose workers keep nothing beyond the process, and run in it."""
    if isinstance(spec, SupervisorSpec):
        children = tuple(map(unkept, spec.children))
        return msgspec.structs.replace(spec, children=children, partitions=None)
    if isinstance(spec, RemoteSpec):
        return stood_in(spec)
    on_crash = spec.options.on_crash
    on_crash = OnCrash.INIT if on_crash is OnCrash.SAVED else on_crash
    fresh = {"save_inputs": None, "save_seconds": None, "persist": Persist.NONE}
    options = msgspec.structs.replace(spec.options, on_crash=on_crash, **fresh)
    return msgspec.structs.replace(spec, options=options)


def tree_name(file: str) -> str:
    """Return what a tree of a file is called."""
    return Path(file).stem
