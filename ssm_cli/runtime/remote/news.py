"""News of remote children: taken when the node gets to it, like any system message."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import KILLED, SHUTDOWN, Lost, Shutdown
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
from ssm_cli.runtime.engine.entries import Arrived, ChildEnded, StopTree, TryAgain
from ssm_cli.runtime.engine.recorder import FarNews
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.hearing import publish_heard
from ssm_cli.runtime.remote.life import left, reason_for
from ssm_cli.runtime.remote.ports import (
    Ended,
    Heard,
    Launched,
    Linked,
    LinkSeen,
    News,
    NodeSeen,
    ParentWaits,
    Stopped,
    Superseded,
    Unheard,
)
from ssm_cli.runtime.reports import ending
from ssm_cli.supervision.decisions import is_cut_off


def take_news(world: World) -> bool:
    """Take what the links have heard: ends go to the supervisor, the rest is remembered.

    Return whether there is more of it: what a supervisor is to look at is looked at first.
    """
    waiting = world.outside.news
    waiting.extend(world.outside.links.poll())
    asked = False
    while waiting and not asked:
        news = waiting[0]
        match news:
            case Heard(group, carried):
                waiting.popleft()  # first: it comes once or not at all, as all that is sent
                publish_heard(world, group, carried)
                continue
            case Unheard(to, why, how):
                world.drop(world.root, to, how, why)
            case Superseded(by):
                world.outside.keeps, world.outside.taken_by = True, by
                world.post(StopTree(Shutdown("taken_over")))
            case _ if changes(world, news):
                if world.history is not None:
                    world.history.add(None, FarNews(news, world.clock.now_s()))
                asked = take(world, news)
        waiting.popleft()  # last: what is interrupted is done again
    return asked


OF_STATUS: dict[type[News], CellStatus] = {
    Launched: CellStatus.STARTING, Ended: CellStatus.RUNNING, Linked: CellStatus.RUNNING,
    Stopped: CellStatus.ENDING,
}  # fmt: skip
"""How a child stands that news are about; of another one they say nothing."""


def changes(world: World, news: News) -> bool:
    """Return whether news change anything but how old the last sign of life is, which is noted.

    What is of an earlier life does not, nor does what a child is not asked for any more.
    """
    if not isinstance(news, Launched | Ended | Linked | Stopped):
        return True
    cell = world.names.get(news.child)
    if not isinstance(cell, RemoteCell):
        return False
    if cell.status is not OF_STATUS[type(news)]:
        return False
    if not isinstance(news, Linked):
        return not isinstance(news, Ended) or news.epoch == cell.epoch
    cell.age_s, cell.heard_s = news.age_s, world.clock.now_s()
    known = cell.node, cell.epoch, cell.reachable
    return (news.node, news.epoch, news.reachable) != known or news.why not in {"", cell.why}


def take(world: World, news: News) -> bool:
    """Take news that change something; return whether a supervisor is to look at it."""
    match news:
        case NodeSeen(node, up, host):
            seen = {"node": node, "host": host}
            world.report("node_up" if up else "node_down", world.root, seen)
            return up and try_soon(world)
        case LinkSeen(up, detail):
            world.report("link_up" if up else "link_down", world.root, {"why": detail})
            for cell in world.names.values():
                if isinstance(cell, RemoteCell):
                    cell.why = detail
            return up and try_soon(world)
        case ParentWaits(by):
            world.outside.waits_for = by
            world.report("waiting", world.root, {"parent": by})
        case Launched() | Ended() | Linked() | Stopped():
            cell = world.names[news.child]
            assert isinstance(cell, RemoteCell)
            return take_of_child(world, cell, news)
    return False


def try_soon(world: World) -> bool:
    """Have children asked for again at once that were not to be had; return whether there are any.

    One that is just asked for has its next try soon.
    """
    waits = False
    for cell in world.names.values():
        down = cell.status in (CellStatus.RESTARTING, CellStatus.STARTING)
        if isinstance(cell, RemoteCell) and down and is_cut_off(cell.last_reason):
            extra = cell.ensure_extra()
            extra.attempt = min(extra.attempt, 1)
            if cell.status is CellStatus.RESTARTING:
                extra.delay_until_s, waits = world.clock.now_s(), True
                world.post(TryAgain(cell, cell.starts))
    return waits


def take_of_child(
    world: World, cell: RemoteCell, news: Launched | Ended | Linked | Stopped
) -> bool:
    """Take news of a child; return as `take`."""
    match news:
        case Launched():
            world.outside.waits_for = ""
            why = None if news.ok else Lost(news.reason, news.detail)
            world.post(Arrived(cell, cell.starts, why, news.node, news.epoch))
        case Ended():
            take_end(world, cell, news)
        case Linked():
            take_link(world, cell, news)
        case Stopped(ok=ok):
            left(world, cell, SHUTDOWN if ok else KILLED)
    return not isinstance(news, Linked)


def take_end(world: World, cell: RemoteCell, news: Ended) -> None:
    """A child has ended: its supervisor decides."""
    cell.last_reason = reason_for(news.reason)
    world.report("terminated", cell, ending(cell.last_reason))
    cell.status = CellStatus.DEAD
    world.post(ChildEnded(cell, cell.starts, cell.last_reason))


def take_link(world: World, cell: RemoteCell, news: Linked) -> None:
    """The link has changed, or where the child runs."""
    cell.age_s, cell.heard_s = news.age_s, world.clock.now_s()
    moved = news.node != cell.node
    cell.node, cell.epoch = news.node, news.epoch
    why = "" if news.reachable else news.why or cell.why
    if news.reachable != cell.reachable or why != cell.why:
        cell.reachable, cell.why = news.reachable, why
        known = {"node": cell.node} | ({"why": why} if why else {})
        world.report("reachable" if news.reachable else "unreachable", cell, known)
    if moved:
        world.report("moved", cell, {"node": cell.node})
