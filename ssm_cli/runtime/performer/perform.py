"""The performer of entries: what waits in the lane or among the timers, as data, is done here."""

from __future__ import annotations

from ssm_cli.runtime.durable.lives import save_unserved
from ssm_cli.runtime.engine.commit import on_timeout, on_timer
from ssm_cli.runtime.engine.entries import (
    Arrived,
    Asked,
    ChildEnded,
    EndWorker,
    Entry,
    LinkBroken,
    Restart,
    RunDue,
    SaveDue,
    StartAgain,
    StopTree,
    Timed,
    TimeoutDue,
    TimerDue,
    TryAgain,
)
from ssm_cli.runtime.engine.recorder import Fired, Tried
from ssm_cli.runtime.engine.runs import run_over
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.arriving import look_at_starts, on_arrived
from ssm_cli.runtime.performer.failing import end_own
from ssm_cli.runtime.performer.requests import answer_request
from ssm_cli.runtime.performer.stopping import stop_tree
from ssm_cli.runtime.performer.supervise import on_exit, on_restart, on_start_again, on_try_again
from ssm_cli.runtime.performer.system import link_broken

MOST_RUNS_ENDED = 64  # as their time is over, between two batches of inputs


def perform(world: World, entry: Entry | Timed) -> None:  # noqa: C901, PLR0912 - all entries
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
        case RunDue():
            run_over(world, entry)
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
        case LinkBroken():
            link_broken(world, entry)
        case StopTree():
            stop_tree(world, entry.reason)
        case Arrived():
            on_arrived(world, entry)
    if world.outside.coming and type(entry) is not Arrived:
        look_at_starts(world)


def drain(world: World) -> None:
    """Empty the lane: perform the system messages, and those that they post."""
    lane = world.lane
    while lane:
        world.performing = lane.popleft()
        perform(world, world.performing)
        world.performing = None


def fire_timers(world: World, now_s: float) -> None:
    """Perform what is due at `now_s`; what that starts is due later, or in the next round.

    Of runs whose time is over so many end in a round, as each is to be cancelled.
    """
    timers, left = world.timers, MOST_RUNS_ENDED
    if timers.next_s() <= now_s:
        newest = timers.number
        if world.history is not None:
            world.history.add(None, Fired(now_s))
        while left and (entry := timers.pop(now_s, newest)) is not None:
            perform(world, entry)
            left -= type(entry) is RunDue


def try_restart(world: World, now_s: float) -> bool:
    """Try one restart again that failed, if its time has come; return whether it had."""
    if now_s < world.retry_at_s:
        return False
    if world.history is not None:
        world.history.add(None, Tried(now_s))
    perform(world, world.retries.popleft())
    drain(world)
    world.try_s = world.clock.now_s() - now_s
    return True
