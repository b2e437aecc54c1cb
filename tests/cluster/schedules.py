"""Schedules: what goes wrong when, from a seed, and what must be true at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import msgspec

from ssm_cli.cluster.protocol.records import chained
from ssm_cli.cluster.simulated.network import Process
from ssm_cli.errors import StorageDamaged
from tests.cluster.world import END_S, FAULTS_S, JOURNAL, Rules, World


def plan(world: World) -> None:
    """Put four to nine faults into the schedule."""
    random = world.random
    faults: tuple[Callable[[World], None], ...]
    faults = (crash, crash, kill, pause, cut, half_cut, flap, stale)
    for _ in range(random.randint(4, 9)):
        world.net.at(random.uniform(0.5, FAULTS_S), random.choice(faults), world)


def anyone(world: World) -> Process:
    """A node mostly: one that hosts the subtree if one does; else the parent."""
    hosting = [owner.node for owner in world.owners.values() if owner.subscribed]
    return world.random.choice([*hosting, *hosting, *world.nodes.values(), world.parent.process])


def crash(world: World) -> None:
    node = world.random.choice(list(world.nodes.values()))
    node.crash()
    owner = world.owners.pop(node.name, None)
    if owner is not None:
        owner.end()
    world.net.at(world.net.true_s + world.random.uniform(0.5, 3.0), revive, node)


def revive(node: Process) -> None:
    node.alive = True


def kill(world: World) -> None:
    """The subtree's process dies, and its agent says so."""
    for name, owner in list(world.owners.items()):
        if not owner.ended and owner.node.alive:
            owner.end()
            del world.owners[name]
            world.parent.hear_exit(owner.node, owner.epoch, "killed")


def pause(world: World) -> None:
    who = anyone(world)
    who.paused_until_s = world.net.true_s + world.random.uniform(0.2, 5.0)


def cut(world: World) -> None:
    who = anyone(world)
    who.deaf = who.mute = True
    world.net.at(world.net.true_s + world.random.uniform(0.2, 5.0), heal, who)


def half_cut(world: World) -> None:
    """One direction only: what it sends arrives, and the answers do not, or the reverse."""
    who = anyone(world)
    if world.random.random() < 0.7:
        who.deaf = True
    else:
        who.mute = True
    world.net.at(world.net.true_s + world.random.uniform(0.2, 5.0), heal, who)


def flap(world: World) -> None:
    """Answers do not arrive, then do for a moment, then nothing passes for longer."""
    who = anyone(world)
    now_s = world.net.true_s
    back_s = now_s + world.random.uniform(0.5, 2.0)
    gone_s = back_s + world.random.uniform(0.05, 0.4)
    who.deaf = True
    world.net.at(back_s, heal, who)
    world.net.at(gone_s, sever, who)
    world.net.at(gone_s + world.random.uniform(1.5, 4.0), heal, who)


def sever(who: Process) -> None:
    who.deaf = who.mute = True


def heal(who: Process) -> None:
    who.deaf = who.mute = False


def stale(world: World) -> None:
    """Reads of the journal's tail are answered from the past for a while."""
    world.servers.stale = world.random.randint(1, 3)
    until_s = world.net.true_s + world.random.uniform(0.5, 4.0)
    world.net.at(until_s, setattr, world.servers, "stale", 0)


def violations(seed: int, rules: Rules | None = None) -> list[str]:
    """Run the schedule of a seed; what was not as it must be."""
    world = World(seed, Rules() if rules is None else rules)
    plan(world)
    try:
        world.net.run(END_S)
    except (StorageDamaged, AssertionError) as error:
        return [f"{type(error).__name__}: {error}"]
    return [*wrong_lists(world), *two_at_once(world), *stuck(world)]


def wrong_lists(world: World) -> list[str]:
    """Every acknowledged write there once, in order, and its answer right."""
    lists: dict[str, list[int]] = defaultdict(list)
    try:
        for _, record in chained(world.servers.journals.get(JOURNAL, [])):
            for entry in record.entries:
                client, n = msgspec.json.decode(entry)
                lists[client].append(n)
    except StorageDamaged as error:
        return [str(error)]
    wrong = []
    for client, acked in world.acked.items():
        expected = [(n, n) for n in range(1, len(acked) + 1)]
        if acked != expected:
            wrong.append(f"{client} was answered {acked[-3:]}, expected {expected[-3:]}")
        there = lists[client]
        if there not in (list(range(1, n + 1)) for n in (len(acked), len(acked) + 1)):
            wrong.append(f"{client} has {len(acked)} answers, and the journal {there[-5:]}")
    return wrong


def two_at_once(world: World) -> list[str]:
    """No owner does anything that others see once a later one has."""
    latest, wrong = 0, []
    for true_s, epoch in world.effects:
        if epoch < latest:
            wrong.append(f"at {true_s:.2f} s epoch {epoch} acted after epoch {latest}")
        latest = max(latest, epoch)
    return wrong[:3]


def stuck(world: World) -> list[str]:
    """Once nothing goes wrong any more, calls are answered again."""
    if world.last_ack_s > END_S - 2:
        return []
    return [f"the last answer came at {world.last_ack_s:.1f} s of {END_S:g} s"]
