"""Mutants of the cluster's code: each breaks one rule, and the simulation must notice it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec

from ssm_cli.cluster.agent.beating import Beating
from ssm_cli.cluster.agent.ends import Ends
from ssm_cli.cluster.agent.holding import Holding
from ssm_cli.cluster.link import watching
from ssm_cli.cluster.link.placing import Placing
from ssm_cli.cluster.link.pulses import Pulses, Sight
from ssm_cli.cluster.link.watching import Kin
from ssm_cli.cluster.owner import asking
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Journal, Time, Unknown
from ssm_cli.cluster.protocol import lease, monitor, pulse, writer
from ssm_cli.cluster.protocol.messages import Lease, Revoked, advertised
from tests.cluster.schedules import (
    SILENT_TTL_S,
    plan,
    plan_late,
    plan_leases_lost,
    plan_loss,
    plan_node_death,
    plan_rivals,
    plan_silence,
)
from tests.cluster.world import Rules, World

Mutation = Callable[[], AbstractContextManager[object]]


async def beats_by_looking(
    beating: Beating, revision: int, sent_s: float, write: Any = Beating._write
) -> None:
    """A node whose leases are over reads its advert, and they are good again if it is its own."""
    held = [holding for holding in beating._held.values() if holding._held is not None]
    lapsed = any(not holding._holder.proven for holding in held)
    found = await beating._cells.get(beating.advert.node) if lapsed else Unknown()
    known = None if isinstance(found, Unknown) or found[1] is None else advertised(found[1])
    if isinstance(found, Unknown) or known is None or known.boot != beating.advert.boot:
        await write(beating, revision, sent_s)
        return
    now_s = beating._time.now_s()
    beating._on(pulse.BeatWritten(found[0], now_s))
    for holding in beating._held.values():
        holding.renewed(now_s)


async def reads_once(journal: Journal, upto: int, _: Time) -> list[tuple[int, bytes]]:
    return [place async for place in journal.read(0, upto)]


def takes_for_landed(
    state: writer.Writer, event: writer.Event, step: Any = writer.step_writer
) -> writer.Step:
    """An append whose answer is lost has been carried out."""
    if isinstance(event, writer.AppendUnclear) and state.flight is not None:
        event = writer.Acked(state.flight.prev + 1)
    found: writer.Step = step(state, event)
    return found


def has_no_witness(
    state: writer.Writer, event: writer.Event, step: Any = writer.step_writer
) -> writer.Step:
    """What the lease says of the journal's end is ignored."""
    if isinstance(event, writer.Begin):
        state = writer.Writer(state.epoch, state.owner)
    found: writer.Step = step(state, event)
    return found


def believes_stale_leases(
    state: monitor.Monitor, event: monitor.Event, step: Any = monitor.step_monitor
) -> tuple[monitor.Monitor, tuple[monitor.Command, ...]]:
    """An older revision that names no owner, or another one, is proof of a death."""
    if isinstance(event, monitor.PulseRead) and event.beat < state.lease.beat and not state.over:
        event = monitor.EpochEnded(state.epoch, "noproc")
    found: tuple[monitor.Monitor, tuple[monitor.Command, ...]] = step(state, event)
    return found


def believes_nobody(
    state: monitor.Monitor, event: monitor.Event, step: Any = monitor.step_monitor
) -> tuple[monitor.Monitor, tuple[monitor.Command, ...]]:
    """One answer that nobody is there is a death."""
    if isinstance(event, monitor.Pinged) and event.answer == "absent":
        event = monitor.EpochEnded(state.epoch, "noconnection")
    found: tuple[monitor.Monitor, tuple[monitor.Command, ...]] = step(state, event)
    return found


async def does_not_revoke(pulses: Pulses, node: str, _: Revoked) -> int | Unknown:
    """The agent is not told of a takeover."""
    found = await pulses.read(node)
    if isinstance(found, Unknown):
        return found
    return 0 if found[1] is None else found[1].beat


async def begins_unwritten(holding: Holding, write: Any = Holding._write) -> bool | None:
    """A lease that the parent has written is taken without writing it."""
    done: bool | None = True if holding._held is None else await write(holding)
    return done


async def proves_by_the_beat(holding: Holding) -> None:
    """A beat that is accepted is proof that nobody has taken a lease that was over."""
    holding._is_proven()


async def frees_by_the_lease(placing: Placing) -> tuple[int, Lease | None] | Unknown:
    """Where the lease is gone nobody has it, whoever was seen to."""
    found = await placing.lease()
    if isinstance(found, Unknown) or found[1] is None:
        return found
    return await placing._ended(found[1]) or found


async def proves_unread(holding: Holding) -> None:
    """The lease is written without reading it: those that were made anew count anew, too."""
    done = await holding._write()
    if done is not None:
        holding._is_proven() if done else holding.taken("fenced")


def beats_for_any(
    sight: Sight, boot: str, beat: int, pulse_of: Any = watching.pulse_of
) -> monitor.Event:
    """Whichever agent of that name beats, its beats make the lease good."""
    boot = sight.pulse[0] if isinstance(sight.pulse, tuple) else boot
    event: monitor.Event = pulse_of(sight, boot, beat)
    return event


async def asks_once(*_: object) -> None:
    """Nobody asks an agent again how a life has ended."""


def lets_go_is_death(
    state: monitor.Monitor, event: monitor.Event, step: Any = monitor.step_monitor
) -> tuple[monitor.Monitor, tuple[monitor.Command, ...]]:
    """Who is absent has died, however long its node has not beaten."""
    state = msgspec.structs.replace(state, lease=msgspec.structs.replace(state.lease, beaten_s=1e9))
    found: tuple[monitor.Monitor, tuple[monitor.Command, ...]] = step(state, event)
    return found


def set_longer(page: LeasePage, until_s: float) -> None:
    page._times[0] = until_s + SILENT_TTL_S  # as long again


def replaced(owner: Any, name: str, value: object) -> Mutation:
    return partial(patch.object, owner, name, value)


def set_a_quarter_longer(page: LeasePage, until_s: float) -> None:
    page._times[0] = until_s + SILENT_TTL_S / 4


def over_a_quarter_later(holder: lease.Holder, now_s: float) -> bool:
    return now_s - holder.good_from_s >= 1.25 * holder.ttl_s


def over_later(holder: lease.Holder, now_s: float) -> bool:
    return now_s - holder.good_from_s >= 2 * holder.ttl_s


def mutant(*mutations: Mutation) -> Rules:
    return Rules(mutations=mutations)


LONGER = property(lambda page: page._times[0], set_longer)
TOO_SOON = partial(patch.dict, lease.TAKEOVER, {"fence": 0.6, "lease": 0.6})
EACH = replaced(Kin, "is_new_cause", lambda *_: True)
GOOD = replaced(lease.Holder, "is_over", over_later)
PAGE = replaced(LeasePage, "until_s", LONGER)
RESUMES = replaced(Beating, "_write", beats_by_looking)
LANDED = replaced(writer, "step_writer", takes_for_landed)
BLIND = replaced(writer, "step_writer", has_no_witness)
NOBODY = replaced(monitor, "step_monitor", believes_nobody)
STALE = replaced(monitor, "step_monitor", believes_stale_leases)
ONCE = replaced(asking, "read_to", reads_once)
QUARTER_PAGE = property(lambda page: page._times[0], set_a_quarter_longer)
QUARTER = (
    replaced(lease.Holder, "is_over", over_a_quarter_later),
    replaced(LeasePage, "until_s", QUARTER_PAGE),
)
AFTER_ONE = partial(patch.dict, lease.TAKEOVER, {"fence": 1.0, "lease": 1.0})
DEAF = replaced(Beating, "take", lambda *_: None)
UNTOLD = replaced(Pulses, "revoke", does_not_revoke)
UNWRITTEN = replaced(Holding, "_write", begins_unwritten)
BY_LEASE = replaced(Placing, "_free", frees_by_the_lease)
BY_BEAT = replaced(Holding, "_prove", proves_by_the_beat)
UNREAD = replaced(Holding, "_prove", proves_unread)
LET_GO = replaced(monitor, "step_monitor", lets_go_is_death)
ANY_BOOT = replaced(watching, "pulse_of", beats_for_any)
FORGOTTEN = replaced(Ends, "stopped", lambda *_: None)
ASKED_ONCE = replaced(watching, "ask_again", asks_once)
MUTANTS: tuple[tuple[str, Rules, Callable[[World], None]], ...] = (
    ("appends are not compared", Rules(compares=False), plan),
    ("an owner does not stop itself", Rules(stops_itself=False), plan),
    ("a reply leaves before the append is acknowledged", Rules(replies_early=True), plan),
    ("a lease is resumed without writing it", mutant(RESUMES), plan_late),
    ("a short read is taken for the whole", mutant(ONCE), plan),
    ("an append of unknown fate is taken as landed", mutant(LANDED), plan),
    ("a lease counts too long", mutant(PAGE, GOOD), plan_silence),
    ("a lease is taken over before it is over", mutant(TOO_SOON), plan),
    ("one answer `nobody` is a death", mutant(NOBODY), plan),
    ("a stale lease is proof", mutant(STALE), plan),
    ("a death is counted for each child", mutant(EACH), plan_node_death),
    ("there is no witness", mutant(BLIND), plan_loss),
    ("a lease counts a quarter too long", mutant(*QUARTER), plan_silence),
    ("a lease is taken over after it was good once", mutant(AFTER_ONE), plan_silence),
    ("a beat covers a subtree that is placed elsewhere since", mutant(DEAF, BY_BEAT), plan),
    ("an agent is not told of a takeover", mutant(UNTOLD, BY_BEAT), plan),
    ("a lease is taken without writing it", mutant(UNWRITTEN, FORGOTTEN), plan_rivals),
    ("a beat proves that a lease was not taken", mutant(BY_BEAT, BY_LEASE), plan_leases_lost),
    ("a lease is written anew without reading it", mutant(UNREAD, BY_LEASE), plan_leases_lost),
    ("whoever is cut off has died", mutant(LET_GO), plan_silence),
    ("a new agent's beats make old leases good", mutant(ANY_BOOT), plan),
    ("an end is told only once", mutant(ASKED_ONCE), plan_leases_lost),
)
