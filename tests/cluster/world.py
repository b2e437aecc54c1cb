"""A simulated cluster: agents, owners, parents and clients, with the code that real ones run.

Placing, watching, the agent, the lease, the journal and the saved states are those of the program,
on an event loop in virtual time. Only what is above them is simple: the subtree is a list for each
client, and the parent restarts what ends and counts what the program would count.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec

from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob, Ended, Linked, News
from ssm_cli.cluster.link.handing import hand_on
from ssm_cli.cluster.link.watching import Kin, Watching
from ssm_cli.cluster.owner.host import Job, Told, word_for
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.owner.store import ClusterStore, open_store
from ssm_cli.cluster.ports import Answer, CallLost, Conflict
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.lease import Takeover
from ssm_cli.cluster.protocol.messages import STOPPED, Lease, Move, Ping, Said, Stop, control
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.ports import SimCluster, Switchboard
from ssm_cli.cluster.simulated.servers import Servers
from ssm_cli.errors import SsmError, StorageDamaged
from ssm_cli.runtime.remote.life import reason_for
from ssm_cli.supervision.decisions import is_counted

TTL_S = 2.0
FAULTS_S = 12.0  # until then things go wrong
END_S = 32.0
ANSWER_S = 0.5
SAVE_EVERY = 15  # entries
TREE, WORKER = "shop", "ledger"
CHILDREN = ("billing", "stock")
HERE, CODE = str(Path(__file__).parent), "world.py"  # code that each node has; it is not loaded


@dataclass
class Rules:
    """What a mutant changes besides the code itself."""

    compares: bool = True
    stops_itself: bool = True
    replies_early: bool = False
    mutations: tuple[Callable[[], AbstractContextManager[object]], ...] = ()


class Watched(Servers):
    """Servers of which is known what leases have borne witness of."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.witnessed: dict[tuple[str, int], int] = {}  # the last sequence, by child and epoch

    def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict | None:
        done = super().cas(key, value, revision)
        bucket, _, child = key.partition("/")
        if bucket == names.leases(TREE) and value is not None and isinstance(done, int):
            lease = msgspec.json.decode(value, type=Lease)
            known = self.witnessed.get((child, lease.epoch), 0)
            self.witnessed[child, lease.epoch] = max(known, lease.journal)
        return done


class World:
    """Servers, network, and the record of what was done."""

    def __init__(self, seed: int, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.net = Network(seed, loss=0.01)
        self.random = self.net.random
        self.servers = Watched(self.random)
        self.servers.compares = self.rules.compares
        self.switchboard: Switchboard = {}
        self.takeover: Takeover = self.random.choice(("fence", "lease"))
        self.effects: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.acked: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.last_ack_s: dict[str, float] = dict.fromkeys(CHILDREN, 0.0)
        self.ttl_s = TTL_S
        self.damaged = ""
        self.at_the_end: list[str] = []  # the nodes that host something then
        self.end_s = END_S
        self.lost = ""  # what was taken from the stores, if anything
        self.lost_records: dict[int, bytes] = {}  # of the first child, by sequence
        self.deaths = 0
        self.lives = 0
        self.slow_s = 0.0  # how long user code takes in the next start
        self.nodes = {name: SimNode(self, name) for name in ("a", "b", "c")}
        self.parents = [Parent(self, "parent")]
        self.clients = [Client(self, *who) for who in zip(("c1", "c2"), CHILDREN, strict=True)]

    def process(self, name: str, like: Process | None = None) -> Process:
        """A process with clock and line of its own, or with those of the computer it runs on."""
        if like is not None:
            return Process(name, like.rate, like.offset_s, like.line)
        return Process(name, self.random.uniform(0.9, 1.1), self.random.uniform(0, 100))

    def cluster(self, process: Process) -> SimCluster:
        return SimCluster(self.net, process, self.servers, self.switchboard)

    def owners(self) -> list[Owner]:
        """Those that live."""
        return [o for node in self.nodes.values() for o in node.owners if not o.ended.done()]


class SimNode:
    """A computer: its agent, and the processes that it has started."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.process = world.process(name)
        self.owners: list[Owner] = []
        self.begin()

    def begin(self) -> None:
        """Start the agent."""
        self.process.alive = True
        cluster = self.world.cluster(self.process)
        self.agent = Agent(
            cluster, cluster, Access(""), name=self.name, labels={}, folder=HERE, host=self.host
        )
        self.leaving = asyncio.Event()
        self.world.net.begin(self.process, self.agent.run(self.leaving))

    def host(self, job: Job, page: LeasePage) -> Owner:
        owner = Owner(self.world, self, job, page)
        self.owners = [known for known in self.owners if not known.ended.done()] + [owner]
        return owner

    def processes(self) -> list[Process]:
        return [self.process, *(owner.process for owner in self.owners)]

    def crash(self) -> None:
        """Power is lost."""
        for process in self.processes():
            process.crash()
        self.owners = []


@dataclass(eq=False)
class Owner:
    """A process that owns the subtree, as its agent sees it, and what runs in it."""

    world: World
    node: SimNode
    job: Job
    page: LeasePage
    lists: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[str, tuple[int, int]] = field(default_factory=dict)
    pending: dict[tuple[str, int], list[Answer]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world, self.net, self.child = self.world, self.world.net, self.job.start.subtree
        self.started: asyncio.Future[Told] = self.net.loop.create_future()
        self.ended: asyncio.Future[Told] = self.net.loop.create_future()
        world.lives += 1
        self.pid = world.lives
        self.process = world.process(f"{self.node.name}.{self.pid}", self.node.process)
        self.serving = False
        self.saved = 0
        self.ending: asyncio.Future[str] = self.net.loop.create_future()
        self.net.begin(self.process, self.run())

    # -- as its agent sees it --------------------------------------------------------------------

    def stop(self) -> None:
        self.end(STOPPED)

    def hand_on(self) -> None:
        self.end("moved")

    def kill(self, word: str = "", detail: str = "") -> None:
        self.process.crash()
        self.over(Told("ended", word or "killed", detail))

    def is_hung(self) -> bool:
        return False

    def freeze(self) -> None:
        if self.world.rules.stops_itself:
            self.process.frozen = True

    def thaw(self) -> None:
        self.process.thaw()

    def over(self, told: Told) -> None:
        if not self.started.done():
            self.started.set_result(told)
        if not self.ended.done():
            self.ended.set_result(told)

    # -- what runs in it -------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        if not self.ending.done():
            self.ending.set_result(reason)

    async def run(self) -> None:
        try:
            told = await self.own(self.world.cluster(self.process))
        except SsmError as error:
            told = Told("ended", word_for(error), str(error))
            if told.reason == "journal_corrupt":
                self.world.damaged = told.detail
        self.process.alive = False
        self.over(told)

    async def own(self, cluster: SimCluster) -> Told:
        start = self.job.start
        slow_s, self.world.slow_s = self.world.slow_s, 0.0
        self.busy(slow_s)
        self.store = await open_store(cluster, start, f"{self.node.name}{self.pid}", self.page)
        self.rebuild(self.store)
        self.busy(slow_s)
        await cluster.calls.serve(names.controls(TREE, self.child), self.on_control)
        await cluster.calls.serve(names.calls(TREE, self.child, WORKER), self.on_call)
        self.serving = True
        self.net.after(self.process, 0.05, self.act)
        self.started.set_result(Told("started"))
        reason = await self.ending
        self.serving = False
        if self.store.fenced:
            return Told("ended", self.store.word, self.store.fenced)
        await cluster.close()
        await self.store.settled()
        return Told("ended", reason)

    def busy(self, seconds: float) -> None:
        """User code runs, and nothing else in its process."""
        self.process.paused_until_s = max(self.process.paused_until_s, self.net.true_s + seconds)

    def rebuild(self, store: ClusterStore) -> None:
        data = store.get("state")
        if data is not None:
            self.saved, lists, sessions = msgspec.json.decode(data)
            self.lists.update(lists)
            self.sessions.update({key: (n, place) for key, (n, place) in sessions.items()})
        if self.saved > store.last() or store.first() > self.saved + 1:
            why = f"saved is entry {self.saved}, kept are {store.first()} to {store.last()}"
            raise StorageDamaged(f"journal_corrupt: {why}")  # as a node does that is rebuilt
        for _, entry in store.read(self.saved):
            self.step(*msgspec.json.decode(entry))

    def step(self, client: str, n: int) -> int:
        self.lists[client].append(n)
        place = len(self.lists[client])
        self.sessions[client] = n, place
        return place

    def good(self) -> bool:
        good = self.net.now_s(self.process) < self.page.until_s
        return self.serving and (good or not self.world.rules.stops_itself)

    def act(self) -> None:
        """Do something that others see: only while the lease is good."""
        self.page.alive_s = self.net.now_s(self.process)
        if self.store.fenced:
            self.end(self.store.word)
        if self.good():
            self.world.effects[self.child].append((self.net.true_s, self.job.start.epoch))
        if not self.ended.done():
            self.net.after(self.process, 0.05, self.act)

    def on_control(self, _: str, data: bytes, answer: Answer | None) -> None:
        said = Said(ok=True, epoch=self.job.start.epoch)
        match control(data):
            case Stop(epoch=epoch, reason=reason) if epoch == said.epoch:
                self.end(reason)
            case Ping():
                pass
            case _:
                said = Said(ok=False, reason="fenced", epoch=said.epoch)
        if answer is not None and self.serving:
            answer(msgspec.json.encode(said))

    def on_call(self, _: str, data: bytes, answer: Answer | None) -> None:
        if answer is None or not self.good():
            return
        client, n = msgspec.json.decode(data)
        known, place = self.sessions.get(client, (0, 0))
        if n < known:
            return
        if n == known:
            waiting = self.pending.get((client, n))
            if waiting is None:
                answer(b"%d" % place)
            else:
                waiting.append(answer)
            return
        number = self.store.last() + 1
        place = self.step(client, n)
        self.pending[client, n] = [answer]
        if self.world.rules.replies_early:
            answer(b"%d" % place)

        def done(error: Exception | None) -> None:
            for waiting in self.pending.pop((client, n), ()):
                if error is None and self.good():
                    waiting(b"%d" % place)

        self.store.append(number, data, done)
        if number - self.saved >= SAVE_EVERY:
            self.save(number)

    def save(self, number: int) -> None:
        """Save the state once its last entry is durable, and trim the journal behind it."""
        self.saved = number
        state = msgspec.json.encode((number, self.lists, self.sessions))

        def durable(error: Exception | None) -> None:
            if error is None:
                self.store.put({"state": state}, saved)

        def saved(error: Exception | None) -> None:
            if error is None:
                self.store.trim(number)

        self.store._dones.append((number, durable))


class Parent:
    """A parent with remote children, restarted as they end, and counted as the program does."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.process = world.process(name)
        self.counted: list[str] = []
        self.unreachable = 0
        self.whys: set[str] = set()  # of children that are not reached, as was told
        self.begin()

    def begin(self) -> None:
        self.process.alive = True
        self.ended: dict[str, asyncio.Queue[Ended]] = {c: asyncio.Queue() for c in CHILDREN}
        self.watched: list[Watching] = []
        self.stopping = False
        shared = Kin()
        for child in CHILDREN:
            self.world.net.begin(self.process, self.run(child, shared))
        self.world.net.begin(self.process, self.listen(shared))

    async def listen(self, shared: Kin) -> None:
        """Take orders to move a child, as the link process does."""
        cluster = self.world.cluster(self.process)

        def on_move(_: str, data: bytes, answer: Answer | None) -> None:
            move = control(data)
            assert answer is not None
            assert isinstance(move, Move)
            child = next(one for one in self.watched if one.job.name == move.subtree)

            def told(said: Said) -> None:
                answer(msgspec.json.encode(said))

            moving = hand_on(cluster, child, shared.loads, move.node, told)
            self.world.net.begin(self.process, moving)

        await cluster.calls.serve(names.parent(TREE), on_move)

    def stop(self) -> None:
        """End its children in order, and itself."""
        self.stopping = True
        self.world.net.begin(self.process, self.stop_all())

    async def stop_all(self) -> None:
        for watching in reversed(self.watched):
            await watching.stop(0, 2.0)
        self.process.crash()

    def hear(self, news: News) -> None:
        if isinstance(news, Ended):
            self.ended[news.child].put_nowait(news)
        elif isinstance(news, Linked) and not news.reachable:
            self.unreachable += 1
            self.whys.add(news.why)

    def count(self, word: str, *, ended: bool) -> None:
        child: Any = SimpleNamespace(last_reason=reason_for(word))
        if is_counted(child, child.last_reason if ended else None):
            self.counted.append(word)

    async def run(self, child: str, shared: Kin) -> None:
        world, adopt, n = self.world, True, 0
        cluster = world.cluster(self.process)
        job = ChildJob(child, CODE, {}, world.ttl_s, world.takeover, "keep", 1)
        watching = Watching(cluster, TREE, job, self.hear, shared)
        self.watched.append(watching)
        while not self.stopping:
            n += 1
            done = await watching.start(n, adopt=adopt)
            if not done.ok:
                self.count(done.reason, ended=False)
                await cluster.time.sleep_s(0.5)
                continue
            adopt = False
            ended = await self.ended[child].get()
            self.count(ended.reason, ended=True)


class Client:
    """Calls with numbers, each again and again until it is answered."""

    def __init__(self, world: World, name: str, child: str) -> None:
        self.world = world
        self.name = name
        self.child = child
        self.process = world.process(name)
        world.net.begin(self.process, self.run(world.cluster(self.process)))

    async def run(self, cluster: SimCluster) -> None:
        world, n = self.world, 1
        while True:
            body = msgspec.json.encode((self.name, n))
            subject = names.calls(TREE, self.child, WORKER)
            answer = await cluster.calls.call(subject, body, ANSWER_S)
            if isinstance(answer, CallLost):
                await cluster.time.sleep_s(0.1)
                continue
            world.acked[self.name].append((n, int(answer)))
            world.last_ack_s[self.child] = world.net.true_s
            n += 1
            await cluster.time.sleep_s(world.random.uniform(0.02, 0.2))
