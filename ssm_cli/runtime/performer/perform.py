"""The performer of entries: what waits in the lane or among the timers, as data, is done here."""

from __future__ import annotations

from ssm_cli.runtime.durable.lives import save_unserved
from ssm_cli.runtime.engine.commit import on_timeout, on_timer
from ssm_cli.runtime.engine.entries import (
    Asked,
    ChildEnded,
    EndWorker,
    Entry,
    Restart,
    SaveDue,
    StartAgain,
    StopTree,
    Timed,
    TimeoutDue,
    TimerDue,
    TryAgain,
)
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.failing import end_own
from ssm_cli.runtime.performer.requests import answer_request
from ssm_cli.runtime.performer.stopping import stop_tree
from ssm_cli.runtime.performer.supervise import on_exit, on_restart, on_start_again, on_try_again


def perform(world: World, entry: Entry | Timed) -> None:  # noqa: C901 - a case for each entry
    """Do what an entry says; each looks first whether it has become void."""
    match entry:
        case EndWorker():
            end_own(world, entry)
        case ChildEnded():
            on_exit(world, entry)
        case TimerDue():
            on_timer(world, entry)
        case TimeoutDue():
            on_timeout(world, entry)
        case TryAgain():
            on_try_again(world, entry)
        case Restart():
            on_restart(world, entry)
        case Asked():
            answer_request(world, entry)
        case SaveDue():
            save_unserved(world.outside.keeper, entry)
        case StartAgain():
            on_start_again(world, entry)
        case StopTree():
            stop_tree(world, entry.reason)


def drain(world: World) -> None:
    """Empty the lane: perform the system messages, and those that they post."""
    lane = world.lane
    while lane:
        world.performing = lane.popleft()
        perform(world, world.performing)
        world.performing = None


def fire_timers(world: World, now_s: float) -> None:
    """Perform what is due at `now_s`; what that starts is due later, or in the next round."""
    timers = world.timers
    if timers.next_s() <= now_s:
        newest = timers.number
        while (entry := timers.pop(now_s, newest)) is not None:
            perform(world, entry)


def try_restart(world: World, now_s: float) -> bool:
    """Try one restart again that failed, if its time has come; return whether it had."""
    if now_s < world.retry_at_s:
        return False
    perform(world, world.retries.popleft())
    drain(world)
    world.try_s = world.clock.now_s() - now_s
    return True
