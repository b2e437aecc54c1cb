"""Starting and ending a remote child, in the place of `init` and `terminate`."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    ExitReason,
    Lost,
)
from ssm_cli.errors import NoConnection, SsmError
from ssm_cli.runtime.engine.bonds import tell_far
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
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
    cell.reachable = True
    cell.status = CellStatus.RUNNING
    cell.since_s = cell.heard_s = world.clock.now_s()
    cell.age_s = 0.0


def end_remote(world: World, cell: RemoteCell, reason: ExitReason) -> None:
    """Have it stopped within its shutdown time; what does not answer is killed, or fenced.

    Where the tree leaves its remote children to another parent, it lives on.
    """
    limit = cell.spec.shutdown_ms
    if reason is not KILLED:
        world.report("terminating", cell, ending(reason))
    within_s = LONGEST_STOP_S if limit == "infinity" else 0.0
    if isinstance(limit, int) and reason is not KILLED:
        within_s = min(limit / 1000, LONGEST_STOP_S)
    links, keeps = world.outside.links, world.outside.keeps
    stopped = keeps or (links is not None and links.stop(cell.spec.id, within_s))
    cell.status = CellStatus.ENDING  # a call that waits for it fails
    release_calls(world, cell)
    cell.last_reason = reason if stopped else KILLED
    killed = cell.last_reason is KILLED
    world.report("killed" if killed else "terminated", cell, ending(cell.last_reason))
