"""What a node shows of itself: views of the tree as it stands, and codecs to write values with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour, behaviour_of
from ssm_cli.behaviour.foreign import foreign
from ssm_cli.behaviour.reasons import Lost
from ssm_cli.behaviour.state_loop import InState
from ssm_cli.behaviour.visible import redacted_by
from ssm_cli.codec.build import codec_for
from ssm_cli.codec.json import unshowable
from ssm_cli.codec.port import Codec
from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.contained import contained, named
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.views import NodeView, State


def behaviour_in(cell: WorkerCell) -> Behaviour:
    """The code of a worker, whether it has started or not."""
    return behaviour_of(cell.spec.start) if cell.behaviour is None else cell.behaviour


def codec_of(cell: WorkerCell) -> Codec:
    """The codec of a worker, compiled at its first use."""
    if cell.codec is None:
        behaviour = behaviour_in(cell)
        wanted = cell.spec.options.codec
        cell.codec = codec_for(
            behaviour.codec if wanted is None else wanted, behaviour.inputs, behaviour.outputs
        )
    return cell.codec  # type: ignore[no-any-return]  # a slot typed Any for the loop's sake


def redacted(world: World, cell: WorkerCell, value: Any) -> Any:
    """A state or an input without what must not leave the process.

    Where its redaction fails, or is cut at its limit, a text that says so stands for the value.
    """
    return contained(world, cell, partial(unshowable, value), redact, cell, value)


def shown(world: World, cell: WorkerCell, value: Any) -> str:
    """A value of a worker as its codec writes it, redacted, at most 1,000 characters."""
    text: str = contained(world, cell, partial(unshowable, value), write_redacted, cell, value)
    return text


def redact(cell: WorkerCell, value: Any) -> Any:
    """A value without what its worker hides. User code: see `redacted`."""
    return redacted_by(behaviour_in(cell), value)


def write_redacted(cell: WorkerCell, value: Any) -> str:
    """A redacted value as its codec writes it. User code: see `shown`."""
    visible = redact(cell, value)
    data = visible if type(visible) is bytes else foreign(codec_of(cell).encode, visible)
    return str(data, "utf-8", "replace")[:1000]


def walk(cell: Cell) -> Iterator[Cell]:
    """A cell and all below it, depth-first in start order."""
    yield cell
    if isinstance(cell, SupervisorCell):
        for child in cell.children.values():
            yield from walk(child)


def view_tree(world: World) -> NodeView:
    """The whole tree, as it stands."""
    waiting = Counter(id(entry[0]) for entry in world.queue)
    return view(world, world.root, "", waiting)


def view(world: World, cell: Cell, above: str, waiting: Counter[int]) -> NodeView:
    """One node and all below it; `above` is the path of its supervisor."""
    spec = cell.spec
    path = f"{above}/{spec.id}" if above else spec.id
    now_s = world.clock.now_s()
    uptime_s = now_s - cell.since_s if cell.status is CellStatus.RUNNING else 0.0
    restarts = max(0, cell.starts - 1)
    if not isinstance(cell, SupervisorCell):
        if isinstance(cell, RemoteCell):
            return view_remote(world, cell, path)
        assert isinstance(cell, WorkerCell)
        held = len(cell.extra.backlog) if cell.extra is not None else 0
        return NodeView(
            spec.id, path, "worker", state_of(world, cell), restarts, uptime_s,
            queue=waiting[id(cell)] + held, steps=cell.steps, busy_s=cell.busy_s(),
            label=cell.spec.options.label, delay_ms=delay_of(cell, now_s),
            runs=len(cell.extra.runs) if cell.extra is not None else 0,
            at=named(world, cell, cell.state.state) if type(cell.state) is InState else "",
        )  # fmt: skip
    used = cell.window.count(now_s)
    return NodeView(
        spec.id, path, "supervisor", state_of(world, cell), restarts, uptime_s,
        strategy=cell.spec.strategy.value, intensity=cell.spec.intensity,
        period=cell.spec.period_s, budget_left=max(0, cell.spec.intensity - used),
        children=tuple(view(world, child, path, waiting) for child in cell.children.values()),
        delay_ms=delay_of(cell, now_s),
    )  # fmt: skip


def delay_of(cell: Cell, now_s: float) -> float | None:
    """The milliseconds until a node is tried again that its back-off holds back; else None."""
    until_s = cell.extra.delay_until_s if cell.extra is not None else None
    return None if until_s is None else max(0.0, (until_s - now_s) * 1000)


def view_remote(world: World, cell: RemoteCell, path: str) -> NodeView:
    """A remote child, as its parent knows it."""
    now_s = world.clock.now_s()
    running = cell.status is CellStatus.RUNNING
    return NodeView(
        cell.spec.id, path, "remote", state_of(world, cell), max(0, cell.starts - 1),
        now_s - cell.since_s if running else 0.0, node=cell.node, epoch=cell.epoch,
        age_s=cell.age_s + now_s - cell.heard_s if running else None,
        delay_ms=delay_of(cell, now_s), why=why_away(cell),
    )  # fmt: skip


def why_away(cell: RemoteCell) -> str:
    """Return why a remote child is not reached, or was not to be had when it was tried last."""
    if cell.status is CellStatus.RUNNING:
        return "" if cell.reachable else cell.why
    refused = cell.last_reason if cell.status is CellStatus.RESTARTING else None
    return cell.why or (refused.detail if isinstance(refused, Lost) else "")


def state_of(world: World, cell: Cell) -> State:
    """A node's state in one word, as people see it."""
    unseen = cell.status is CellStatus.WAITING and not cell.starts
    if unseen or cell in world.outside.coming:
        return "starting"
    match cell.status:
        case CellStatus.RUNNING | CellStatus.ENDING:
            if isinstance(cell, RemoteCell) and not cell.reachable:
                return "unreachable"
            return "suspended" if cell.suspended else "running"
        case CellStatus.UNDEFINED:
            return "stopped"
        case _:
            return "restarting"
