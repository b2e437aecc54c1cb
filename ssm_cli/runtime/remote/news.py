"""News of remote children: taken when the node gets to it, like any system message."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import Lost
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
from ssm_cli.runtime.engine.entries import Arrived, ChildEnded
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.life import reason_for
from ssm_cli.runtime.remote.ports import Ended, Launched, Linked, NodeSeen
from ssm_cli.runtime.reports import ending


def take_news(world: World) -> bool:
    """Take what the links have heard: ends go to the supervisor, the rest is remembered.

    Return whether there is more of it: what has become of a start is looked at first.
    """
    waiting = world.outside.news
    waiting.extend(world.outside.links.poll())
    asked = False
    while waiting and not asked:
        news = waiting[0]
        cell = None if isinstance(news, NodeSeen) else world.names.get(news.child)
        if isinstance(news, NodeSeen):
            seen = {"node": news.node, "host": news.host}
            world.report("node_up" if news.up else "node_down", world.root, seen)
        elif isinstance(cell, RemoteCell) and isinstance(news, Launched):
            if cell.status is CellStatus.STARTING:
                asked, why = True, None if news.ok else Lost(news.reason, news.detail)
                world.post(Arrived(cell, cell.starts, why, news.node, news.epoch))
        elif isinstance(cell, RemoteCell) and cell.status is CellStatus.RUNNING:
            if isinstance(news, Ended):
                take_end(world, cell, news)
            else:
                take_link(world, cell, news)
        waiting.popleft()  # last: what is interrupted is done again
    return asked


def take_end(world: World, cell: RemoteCell, news: Ended) -> None:
    """A child has ended: its supervisor decides. An earlier life of it counts no more."""
    if news.epoch != cell.epoch:
        return
    cell.last_reason = reason_for(news.reason)
    world.report("terminated", cell, ending(cell.last_reason))
    cell.status = CellStatus.DEAD
    world.post(ChildEnded(cell, cell.starts, cell.last_reason))


def take_link(world: World, cell: RemoteCell, news: Linked) -> None:
    """The link has changed, or has been looked at."""
    cell.age_s, cell.heard_s = news.age_s, world.clock.now_s()
    moved = news.node != cell.node
    cell.node, cell.epoch = news.node, news.epoch
    if news.reachable != cell.reachable:
        cell.reachable = news.reachable
        world.report("reachable" if news.reachable else "unreachable", cell, {"node": cell.node})
    elif moved:
        world.report("moved", cell, {"node": cell.node})
