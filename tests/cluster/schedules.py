"""Schedules: what goes wrong when, from a seed, and what must be true at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import msgspec

from ssm_cli.cluster.link.handing import move_child
from ssm_cli.cluster.link.watching import Watching
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.records import chained, read_record
from ssm_cli.cluster.simulated.network import Process
from ssm_cli.errors import SsmError, StorageDamaged
from tests.cluster.world import (
    CHILDREN,
    FAULTS_S,
    TREE,
    TTL_S,
    Parent,
    Rules,
    SimNode,
    World,
)

SILENT_TTL_S = 8.0
SILENT_END_S = 36.0  # the second silence may last until 29 s


def plan(world: World) -> None:
    """Put four to nine faults into the schedule."""
    random = world.random
    for _ in range(random.randint(4, 9)):
        world.net.at(random.uniform(0.5, FAULTS_S), random.choice(FAULTS), world)


def anyone(world: World) -> list[Process]:
    """The processes of a computer: one that hosts the subtree mostly; else another; or a parent."""
    hosting = [owner.node for owner in world.owners()]
    some: list[SimNode | Parent] = [*hosting, *hosting, *world.nodes.values(), *world.parents]
    who = world.random.choice(some)
    return who.processes() if isinstance(who, SimNode) else [who.process]


def soon(world: World, low_s: float, high_s: float) -> float:
    return world.net.true_s + world.random.uniform(low_s, high_s)


# -- processes and computers -----------------------------------------------------------------------


def crash(world: World) -> None:
    """A computer loses its power, and comes back."""
    node = world.random.choice(list(world.nodes.values()))
    if node.process.alive:
        down(world, node)
        world.net.at(soon(world, 0.5, 3.0), node.begin)


def down(world: World, node: SimNode) -> None:
    if any(not owner.ended.done() for owner in node.owners):
        world.deaths += 1
    node.crash()


def kill(world: World) -> None:
    """The subtree's process dies, and its agent sees it."""
    for owner in world.owners()[:1]:
        world.deaths += 1
        owner.kill()


def drain(world: World) -> None:
    """A node is drained, and begins anew a while later, as another process."""
    node = world.random.choice(list(world.nodes.values()))
    node.leaving.set()
    world.net.at(soon(world, 3.0, 6.0), back, world, node)


def back(world: World, node: SimNode) -> None:
    if node.process.alive and node.leaving.is_set():
        down(world, node)
        node.begin()


def move(world: World) -> None:
    """Somebody moves a subtree."""
    parent = world.random.choice(world.parents)
    if parent.process.alive:
        watching = world.random.choice(parent.watched)
        where = world.random.choice(list(world.nodes))
        world.net.begin(parent.process, moved(watching, where))


async def moved(watching: Watching, node: str) -> None:
    await move_child(watching._cluster, watching, node)


def pause(world: World) -> None:
    until_s = soon(world, 0.2, 5.0)
    for process in anyone(world):
        process.paused_until_s = until_s


def busy(world: World) -> None:
    """A step of user code takes longer than the lease."""
    for owner in world.owners():
        owner.busy(world.random.uniform(0.5, 3 * TTL_S))


def slow_start(world: World) -> None:
    """The next init and rebuild take longer than the lease; so does the one under way."""
    world.slow_s = world.random.uniform(0.5, 1.5 * TTL_S)


def parent_gone(world: World) -> None:
    """A parent's process is killed, and another one begins."""
    parent = world.random.choice(world.parents)
    if parent.stopping or not parent.process.alive:
        return
    parent.process.crash()
    world.net.at(soon(world, 0.1, 2.0), parent.begin)


def second_parent(world: World) -> None:
    """Somebody starts the tree in a second terminal."""
    if len(world.parents) == 1:
        world.parents.append(Parent(world, "second"))


def rolling_update(world: World) -> None:
    """A new parent begins, and then the old one stops, with all its children."""
    if len(world.parents) == 1:
        world.parents.append(Parent(world, "next"))
        world.net.at(soon(world, 0.5, 4.0), world.parents[0].stop)


# -- the network -----------------------------------------------------------------------------------


def cut(world: World) -> None:
    who = anyone(world)
    sever(world, who)
    world.net.at(soon(world, 0.2, 5.0), heal, who)


def half_cut(world: World) -> None:
    """One direction only: what it sends arrives, and the answers do not, or the reverse."""
    who = anyone(world)
    deaf = world.random.random() < 0.7
    for process in who:
        process.line.cut(world.net.true_s, deaf=deaf, mute=not deaf)
    world.net.at(soon(world, 0.2, 5.0), heal, who)


def flap(world: World) -> None:
    """Answers do not arrive, then do for a moment, then nothing passes for longer."""
    who = anyone(world)
    back_s = soon(world, 0.5, 2.0)
    gone_s = back_s + world.random.uniform(0.05, 0.4)
    for process in who:
        process.line.cut(world.net.true_s, mute=False)
    world.net.at(back_s, heal, who)
    world.net.at(gone_s, sever, world, who)
    world.net.at(gone_s + world.random.uniform(1.5, 4.0), heal, who)


def sever(world: World, who: list[Process]) -> None:
    for process in who:
        process.line.cut(world.net.true_s)


def heal(who: list[Process]) -> None:
    for process in who:
        process.line.heal()


def lossy(world: World) -> None:
    """A third of all messages is lost for a while: appends and leases of unknown fate."""
    world.net.loss = 0.3
    world.net.at(soon(world, 0.5, 4.0), setattr, world.net, "loss", 0.01)


def late(world: World) -> None:
    """Every tenth message is late by up to twice a lease: it may arrive in another epoch."""
    world.net.late = 0.1
    world.net.at(soon(world, 0.5, 4.0), setattr, world.net, "late", 0.0)


# -- the servers -----------------------------------------------------------------------------------


def stale(world: World) -> None:
    """A leader that has lost its election answers reads from the past for a while."""
    world.servers.stale = world.random.randint(1, 3)
    world.net.at(soon(world, 0.5, 4.0), setattr, world.servers, "stale", 0)


def kill_and_stale(world: World) -> None:
    """An owner dies, and reads are stale once the next one is there."""
    kill(world)
    world.net.at(soon(world, 0.1, 0.6), stale, world)


def slow_replica(world: World) -> None:
    """One of three servers has a slow disk: what it reads is short."""
    world.servers.slow = world.random.randint(1, 6)
    world.net.at(soon(world, 3.0, 9.0), setattr, world.servers, "slow", 0)


def quorum_lost(world: World) -> None:
    world.servers.quorum = False
    world.net.at(soon(world, 0.5, 8.0), setattr, world.servers, "quorum", True)


def servers_away(world: World) -> None:
    world.servers.away = True
    world.net.at(soon(world, 0.5, 6.0), setattr, world.servers, "away", False)


FAULTS: tuple[Callable[[World], None], ...] = (
    crash, crash, kill, kill, drain, move, pause, busy, slow_start, parent_gone, second_parent,
    rolling_update, cut, half_cut, flap, lossy, late, late, stale, kill_and_stale, slow_replica,
    slow_replica, quorum_lost, servers_away,
)  # fmt: skip


# -- the disks -------------------------------------------------------------------------------------


def plan_loss(world: World) -> None:
    """Lose what was acknowledged, and have owners, nodes and servers come and go around it."""
    random = world.random
    world.net.at(random.uniform(3.0, 8.0), lose, world)
    for _ in range(random.randint(1, 4)):
        world.net.at(random.uniform(0.5, FAULTS_S), random.choice(PASSING), world)


def lose(world: World) -> None:
    """A store comes back empty or shorter, or somebody purges a stream; owners die then, or not."""
    journal = f"{TREE}/{CHILDREN[0]}"
    how = world.random.choice(("empty", "journal", "tail", "saved", "leases"))
    world.lost = how
    before = dict(world.servers.journals.get(journal, []))
    match how:
        case "empty":
            world.servers.wipe()
        case "journal":
            world.servers.purge(journal)
        case "tail":
            world.servers.lose_tail(journal)
        case "saved":
            world.servers.wipe_cells(names.saved(TREE))
        case "leases":
            world.servers.wipe_cells(names.leases(TREE))
    left = dict(world.servers.journals.get(journal, []))
    world.lost_records = {seq: data for seq, data in before.items() if seq not in left}
    if world.random.random() < 0.7:
        world.net.at(soon(world, 0.0, 2.0), kill_all, world)


def kill_all(world: World) -> None:
    for owner in world.owners():
        world.deaths += 1
        owner.kill()


PASSING = (crash, kill, pause, busy, cut, stale, slow_replica, quorum_lost, servers_away)


# -- a few kinds alone -----------------------------------------------------------------------------


def plan_node_death(world: World) -> None:
    """The only node dies with all children, and another one comes."""
    for name in ("b", "c"):
        world.nodes[name].crash()
        world.net.at(world.random.uniform(6.0, 9.0), world.nodes[name].begin)
    world.net.at(world.random.uniform(3.0, 5.0), crash_for_good, world)


def crash_for_good(world: World) -> None:
    world.deaths += 1
    world.nodes["a"].crash()


def plan_silence(world: World) -> None:
    """Twice a computer that hosts is cut off for longer than its leases are good.

    They are long, so that who acts too early or too late does so by more than a start takes.
    Clocks there are slow, and that of the parent is fast, as far as is promised.
    """
    world.ttl_s, world.takeover, world.end_s = SILENT_TTL_S, "fence", SILENT_END_S
    world.parents[0].process.rate = 1.1
    for node in world.nodes.values():
        node.process.rate = 0.9
    for first_s in (2.0, 15.0):
        world.net.at(first_s + world.random.uniform(0.0, 2.0), silence, world)


def silence(world: World) -> None:
    for node in {owner.node for owner in world.owners()[:1]}:
        sever(world, node.processes())
        world.net.at(soon(world, 11.0, 12.0), heal_all, node)


def heal_all(node: SimNode) -> None:
    heal(node.processes())


def plan_leases_lost(world: World) -> None:
    """The cells with the leases are lost, and computers are cut off for longer than those."""
    wipe = world.servers.wipe_cells
    world.net.at(world.random.uniform(2.0, 4.0), wipe, names.leases(TREE))
    for first_s in (4.0, 10.0):
        world.net.at(first_s + world.random.uniform(0.0, 2.0), cut_past_the_lease, world)


def cut_past_the_lease(world: World) -> None:
    for node in {owner.node for owner in world.owners()[:1]}:
        sever(world, node.processes())
        world.net.at(soon(world, 1.3 * TTL_S, 2.2 * TTL_S), heal_all, node)


def plan_rivals(world: World) -> None:
    """Two parents start the same children, while messages are late and owners die."""
    world.net.at(world.random.uniform(0.0, 1.5), second_parent, world)
    for _ in range(8):
        fault = world.random.choice((kill, late, quorum_lost, parent_gone))
        world.net.at(world.random.uniform(0.5, FAULTS_S), fault, world)


def plan_late(world: World) -> None:
    """Owners are cut off for about a lease, while answers are late."""
    for _ in range(6):
        world.net.at(world.random.uniform(2.0, FAULTS_S), world.random.choice((cut, late)), world)


def plan_twins(world: World) -> None:
    """Twice an agent stands still, as a paused machine does, and its name is given to another."""
    for first_s in (2.0, 14.0):
        world.net.at(first_s + world.random.uniform(0.0, 2.0), stand_still, world)


def stand_still(world: World) -> None:
    hosting = [owner.node for owner in world.owners()]
    node = world.random.choice(hosting or list(world.nodes.values()))
    many = world.random.random() < 0.5  # the whole computer, or its agent alone
    world.deaths += bool(hosting)
    for process in node.processes() if many else [node.process]:
        process.paused_until_s = soon(world, 4.0, 9.0)
    world.net.at(soon(world, 0.5, 3.0), begin_twin, world, node)


def begin_twin(world: World, node: SimNode) -> None:
    world.nodes[f"{node.name}, {len(world.nodes)}"] = SimNode(world, node.name)


# -- what must be true -----------------------------------------------------------------------------


def violations(
    seed: int,
    rules: Rules | None = None,
    planned: Callable[[World], None] = plan,
) -> list[str]:
    """Run the schedule of a seed; what was not as it must be."""
    rules = Rules() if rules is None else rules
    with ExitStack() as changed:
        for mutation in rules.mutations:
            changed.enter_context(mutation())
        world = World(seed, rules)
        planned(world)
        return judged(world)


def judged(world: World) -> list[str]:
    """Run what is planned to its end; what was not as it must be."""
    try:
        world.net.run(world.end_s)
        found = [*wrong_lists(world), *two_at_once(world)]  # while the owners are still there
        world.at_the_end = sorted({owner.node.name for owner in world.owners()})
    except (SsmError, AssertionError, RuntimeError) as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        world.net.close()
    if world.lost:  # what is lost is told, and nothing is served in its place
        return found
    found += [*stuck(world), *miscounted(world), *nameless(world)]
    return [*found, f"damaged: {world.damaged}"] if world.damaged else found


def unwitnessed(world: World) -> set[int]:
    """The numbers of calls of the first child that were lost, and that no lease bore witness of.

    What was acknowledged since the lease was last written, and is lost with who knew it, is not
    noticed as missing; that is documented, and nothing more is.
    """
    lost = {seq: read_record(data) for seq, data in world.lost_records.items()}
    latest = max((record.epoch for record in lost.values()), default=0)
    seen = world.servers.witnessed.items()
    known = max((seq for (c, e), seq in seen if c == CHILDREN[0] and e <= latest), default=0)
    entries = [entry for seq, one in lost.items() if seq > known for entry in one.entries]
    return {n for _, n in map(msgspec.json.decode, entries)}


def wrong_lists(world: World) -> list[str]:
    """Every acknowledged write there once, in order, and its answer right."""
    wrong, excused = [], unwitnessed(world)
    for client in world.clients:
        try:
            list(chained(world.servers.journals.get(f"{TREE}/{client.child}", [])))
        except StorageDamaged as error:
            wrong.append(str(error))
        acked = world.acked[client.name]
        there_not = excused & {n for n, place in acked if n == place}
        gone = sorted(there_not) if client.child == CHILDREN[0] else []
        expected = [(n, n) for n in range(1, len(acked) + 1)]
        if gone and acked != expected:
            later = range(gone[-1] + 1, len(acked) + 1)
            expected[gone[-1] :] = [(n, n - len(gone)) for n in later]
        if acked != expected:
            wrong.append(f"{client.name} was answered {acked[-3:]}, expected {expected[-3:]}")
        serving = [o for o in world.owners() if o.serving and o.child == client.child]
        for owner in sorted(serving, key=lambda owner: owner.job.start.epoch)[-1:]:
            there = owner.lists[client.name]
            whole = [list(range(1, n + 1)) for n in (len(acked), len(acked) + 1)]
            if there not in whole and there not in [[n for n in w if n not in gone] for w in whole]:
                wrong.append(f"{client.name} has {len(acked)} answers, and there is {there[-5:]}")
    return wrong


def two_at_once(world: World) -> list[str]:
    """No owner does anything that others see once a later one has."""
    wrong = []
    for child, effects in world.effects.items():
        latest = 0
        for true_s, epoch in effects:
            if epoch < latest:
                wrong.append(f"at {true_s:.2f} s epoch {epoch} of {child} acted after {latest}")
            latest = max(latest, epoch)
    return wrong[:3]


def stuck(world: World) -> list[str]:
    """Once nothing goes wrong any more, calls are answered again."""
    return [
        f"the last answer of {child} came at {last_s:.1f} s of {world.end_s:g} s"
        for child, last_s in world.last_ack_s.items()
        if last_s < world.end_s - 4
    ]


def miscounted(world: World) -> list[str]:
    """A parent counts deaths, and nothing else."""
    most = max(len(parent.counted) for parent in world.parents)
    if most <= world.deaths:
        return []
    counted = [parent.counted for parent in world.parents]
    return [f"{world.deaths} deaths, and counted were {counted}"]


def nameless(world: World) -> list[str]:
    """Of several nodes with one name all end but the last one."""
    found = []
    for name in ("a", "b", "c"):
        *earlier, last = [node for node in world.nodes.values() if node.name == name]
        found += [f"an earlier node {name} lives on" for node in earlier if not node.said]
        found += [f"{last.said}, as the last of its name"] if last.said else []
    return found
