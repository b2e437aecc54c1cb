"""Starting and ending a remote child, in the place of `init` and `terminate`."""

from __future__ import annotations

from collections.abc import Iterable

from ssm_cli.behaviour.reasons import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    ExitReason,
    Lost,
)
from ssm_cli.errors import NoConnection, SsmError
from ssm_cli.runtime.engine.bonds import tell_far
from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.far import release_calls
from ssm_cli.runtime.remote.ports import Links
from ssm_cli.runtime.reports import ending

LONGEST_STOP_S = 60.0  # where `shutdown` is infinity: the node's thread waits meanwhile
NO_LINKS = (
    "no cluster: give `ssm run` one with --cluster URL, or start `ssm node` here; "
    "in Python, Node(tree, links=...)"
)
WORDS: dict[str, ExitReason] = {"normal": NORMAL, "shutdown": SHUTDOWN, "killed": KILLED}


def reason_for(word: str, detail: str = "") -> ExitReason:
    """The exit reason that a word of the link stands for."""
    return WORDS.get(word) or Lost(word, detail)


def ask_for(world: World, cell: RemoteCell) -> ExitReason | None:
    """Ask for its start on a node that fits; None, or why that cannot be asked.

    At its first start one that lives on is taken over: its parent was another process.
    """
    try:
        links = linked(world)
    except SsmError as error:
        return Lost("noconnection", str(error))
    cell.status = CellStatus.STARTING  # first: one that is interrupted is asked for again
    links.start(cell.spec, adopt=cell.starts == 1)
    return None


def linked(world: World) -> Links:
    """Return the links of a node; made now, where its tree had no remote child until now.

    Raises:
        NoConnection: nothing makes them; or what is raised by what does.
    """
    outside = world.outside
    if outside.links is None:
        if outside.linking is None:
            raise NoConnection(NO_LINKS)
        links: Links = outside.linking()
        outside.link(links)
        tell_far(world, world.groups.groups)
    found: Links = outside.links
    return found


def take_up(world: World, cell: RemoteCell, node: str, epoch: int) -> None:
    """Take note that it serves."""
    cell.node, cell.epoch = node, epoch
    cell.reachable, cell.why = True, ""
    cell.status = CellStatus.RUNNING
    cell.since_s = cell.heard_s = world.clock.now_s()
    cell.age_s = 0.0


def time_to_end(cell: RemoteCell, reason: ExitReason) -> float:
    """Return how long a child may take to end, for a reason."""
    limit = cell.spec.shutdown_ms
    if limit == "infinity":
        return LONGEST_STOP_S
    kill = reason is KILLED or not isinstance(limit, int)
    return 0.0 if kill else min(limit / 1000, LONGEST_STOP_S)


def ask_ends(world: World, cells: Iterable[Cell]) -> None:
    """Ask remote children to end side by side; each is ended in its turn, which then is short."""
    links = world.outside.links
    for cell in cells:
        runs = cell.status in (CellStatus.RUNNING, CellStatus.STARTING)
        if runs and isinstance(cell, RemoteCell) and links is not None and not world.outside.keeps:
            links.stop_soon(cell.spec.id, time_to_end(cell, SHUTDOWN))


def end_remote(world: World, cell: RemoteCell, reason: ExitReason) -> None:
    """Have it stopped within its shutdown time; what does not answer is killed, or fenced.

    Where the tree leaves its remote children to another parent, it lives on; where it waits for
    another parent, it was never its own.
    """
    links, keeps = world.outside.links, world.outside.keeps
    lives_on = keeps and cell.status is CellStatus.RUNNING
    ours = not (world.outside.waits_for and cell.status is CellStatus.STARTING)
    if lives_on:
        world.report("left", cell, {"node": cell.node, "epoch": cell.epoch})
    elif ours and reason is not KILLED and cell.status is not CellStatus.ENDING:
        world.report("terminating", cell, ending(reason))
    within_s = time_to_end(cell, reason)
    stopped = keeps or (links is not None and links.stop(cell.spec.id, within_s))
    cell.status = CellStatus.ENDING  # a call that waits for it fails
    release_calls(world, cell)
    left(world, cell, reason if stopped else KILLED, told=lives_on or not ours)


def end_soon(world: World, cell: RemoteCell) -> None:
    """Ask for its end, and go on; whoever needs it gone before that waits by `end_remote`."""
    world.report("terminating", cell, ending(SHUTDOWN))
    cell.status = CellStatus.ENDING  # first: one that is interrupted is ended all the same
    world.outside.links.stop_soon(cell.spec.id, time_to_end(cell, SHUTDOWN))
    release_calls(world, cell)


def left(world: World, cell: RemoteCell, reason: ExitReason, *, told: bool = False) -> None:
    """Take note that it is gone; a request that has waited for that is performed again."""
    cell.last_reason = reason
    if not told:
        world.report("killed" if reason is KILLED else "terminated", cell, ending(reason))
    asked = world.outside.leaving.get(cell)
    if asked is not None:
        world.post(asked)
    cell.status = CellStatus.UNDEFINED  # last: one that is interrupted is done again


def forget_left(world: World, asked: Asked) -> bool:
    """Return whether a request has waited for the end of a child, and forget that."""
    for cell, waits in world.outside.leaving.items():
        if waits is asked:
            del world.outside.leaving[cell]
            return True
    return False
