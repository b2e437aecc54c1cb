"""News of remote children: taken when the node gets to it, like any system message."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import Lost, Shutdown
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
from ssm_cli.runtime.engine.entries import Arrived, ChildEnded, StopTree
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.hearing import publish_heard
from ssm_cli.runtime.remote.life import reason_for
from ssm_cli.runtime.remote.ports import (
    Ended,
    Heard,
    Launched,
    Linked,
    LinkSeen,
    NodeSeen,
    ParentWaits,
    Superseded,
    Unheard,
)
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
        match news:
            case NodeSeen(node, up, host):
                seen = {"node": node, "host": host}
                world.report("node_up" if up else "node_down", world.root, seen)
            case LinkSeen(up, detail):
                world.report("link_up" if up else "link_down", world.root, {"why": detail})
            case Heard(group, carried):
                waiting.popleft()  # first: it comes once or not at all, as all that is sent
                publish_heard(world, group, carried)
                continue
            case Unheard(to, why, how):
                world.drop(world.root, to, how, why)
            case ParentWaits(by):
                world.report("waiting", world.root, {"parent": by})
            case Superseded(by):
                world.outside.keeps, world.outside.taken_by = True, by
                world.post(StopTree(Shutdown("taken_over")))
            case Launched():
                asked = take_start(world, news)
            case Ended() | Linked():
                take_of_child(world, news)
        waiting.popleft()  # last: what is interrupted is done again
    return asked


def take_start(world: World, news: Launched) -> bool:
    """Have the supervisor go on with a child that was asked for; return whether it still is."""
    cell = world.names.get(news.child)
    if not isinstance(cell, RemoteCell) or cell.status is not CellStatus.STARTING:
        return False
    why = None if news.ok else Lost(news.reason, news.detail)
    world.post(Arrived(cell, cell.starts, why, news.node, news.epoch))
    return True


def take_of_child(world: World, news: Ended | Linked) -> None:
    """Take news of a child, unless it does not run any more."""
    cell = world.names.get(news.child)
    if not isinstance(cell, RemoteCell) or cell.status is not CellStatus.RUNNING:
        return
    if isinstance(news, Ended):
        take_end(world, cell, news)
    else:
        take_link(world, cell, news)


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
