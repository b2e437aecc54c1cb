"""A simulated cluster with a parent, two nodes and clients, and what must hold in it.

The pure parts of the protocol run here unchanged, on virtual time. `Rules` holds what a mutant
changes; a run with a mutant must be found wanting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ssm_cli.cluster.ports import CallLost, Conflict, Unknown
from ssm_cli.cluster.protocol import lease, monitor, records, writer
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.servers import Servers

TTL_S = 2.0
FAULTS_S = 12.0  # until then things go wrong
END_S = 22.0
ANSWER_S = 0.5
JOURNAL, LEASE = "shop/billing", "leases/billing"


@dataclass
class Rules:
    """The protocol; a mutant replaces one of these."""

    writer: Callable[[writer.Writer, writer.Event], writer.Step] = writer.step_writer
    holder: Callable[[lease.Holder, lease.Event], lease.Step] = lease.step_holder
    compares: bool = True
    stops_itself: bool = True
    replies_early: bool = False


class World:
    """Servers, network, and the record of what was done."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.rules = rules
        self.net = Network(seed, loss=0.01)
        self.random = self.net.random
        self.servers = Servers()
        self.servers.compares = rules.compares
        self.takeover: lease.Takeover = self.random.choice(("fence", "lease"))
        self.effects: list[tuple[float, int]] = []
        self.acked: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.last_ack_s = 0.0
        self.wrong: list[str] = []
        self.lives = 0
        self.owners: dict[str, Owner] = {}
        self.nodes = {name: self._process(name) for name in ("a", "b")}
        self.parent = Parent(self, self._process("parent"))
        self.clients = [Client(self, self._process(name)) for name in ("c1", "c2")]

    def _process(self, name: str) -> Process:
        return Process(name, self.random.uniform(0.9, 1.1), self.random.uniform(0, 100))

    def route(self, subject: str, body: Any, back: Callable[[Any], None]) -> None:
        """At the servers: to the owner that is subscribed last, or nobody."""
        kind, _, name = subject.partition(".")
        if kind == "agent":
            node = self.nodes[name]
            if not node.alive:
                back(CallLost("noproc"))
            else:
                self.net.carry(node, self._start, node, body, back, out=False)
            return
        serving = [o for o in self.owners.values() if o.subscribed and o.node.alive]
        if not serving:
            back(CallLost("noproc"))
        for owner in serving:  # plain subscriptions: each gets it, the first answer counts
            handler = owner.on_request if kind == "call" else owner.on_ping
            self.net.carry(owner.node, handler, body, back, out=False)

    def _start(self, node: Process, body: tuple[int, int], back: Callable[[Any], None]) -> None:
        before = self.owners.get(node.name)
        if before is not None and before.epoch >= body[0] and not before.ended:
            before.answer(back)  # asked again, since the answer was lost
            return
        if before is not None:
            before.end()
        self.lives += 1
        self.owners[node.name] = Owner(self, node, *body, back)

    def call(
        self, who: Process, subject: str, body: Any, heard: Callable[[Any], None], timeout_s: float
    ) -> None:
        """A request through the servers; `heard` is called once."""
        open_ = [True]

        def once(answer: Any) -> None:
            if open_:
                open_.clear()
                heard(answer)

        def back(answer: Any) -> None:
            self.net.carry(who, once, answer, out=False)

        self.net.after(who, timeout_s, once, CallLost("timeout"))
        self.net.carry(who, self.route, subject, body, back, out=True)


@dataclass
class Owner:
    """A process that owns the subtree: each client's list, and a table of sessions."""

    world: World
    node: Process
    epoch: int
    revision: int
    started: Callable[[Any], None]
    subscribed: bool = False
    ended: bool = False
    durable: int = 0
    lists: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    replies: list[tuple[int, int, Callable[[Any], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.net = self.world.net
        owner = f"{self.node.name}{self.world.lives}"
        self.writer = writer.Writer(self.epoch, owner)
        self.holder = lease.fresh(TTL_S, self.revision, self.now_s())
        self.renewed = False
        self.on_writer(writer.Begin())
        self.tick()

    def now_s(self) -> float:
        return self.net.now_s(self.node)

    def end(self) -> None:
        self.ended, self.subscribed = True, False

    def send(self, back: Callable[[Any], None], answer: Any) -> None:
        self.net.carry(self.node, back, answer, out=True)

    # -- the lease ---------------------------------------------------------------------------

    def tick(self) -> None:
        if not self.ended:
            self.on_holder(lease.Tick(self.now_s()))
            self.act()
            self.net.after(self.node, 0.05, self.tick)

    def on_holder(self, event: lease.Event) -> None:
        if self.ended:
            return
        self.renewed = self.renewed or isinstance(event, lease.Renewed)
        self.holder, commands = self.world.rules.holder(self.holder, event)
        for command in commands:
            match command:
                case lease.Fence():
                    if self.world.rules.stops_itself:
                        self.end()
                        self.world.parent.hear_exit(self.node, self.epoch, "fenced")
                case lease.Renew(revision, sent_s):
                    self.renew(revision, sent_s)
                case lease.Read():
                    question = lambda: self.world.servers.get(LEASE)  # noqa: E731 - one question
                    self.net.ask(self.node, question, self.on_lease, ANSWER_S)
        self.serve()

    def renew(self, revision: int, sent_s: float) -> None:
        value = msgspec.json.encode((self.epoch, self.node.name, sent_s))

        def heard(answer: Any) -> None:
            if isinstance(answer, int):
                self.on_holder(lease.Renewed(answer, sent_s))
            elif isinstance(answer, Conflict):
                self.on_holder(lease.LeaseRefused(self.now_s()))
            else:
                self.on_holder(lease.LeaseUnclear(self.now_s()))

        servers = self.world.servers
        self.net.ask(self.node, lambda: servers.cas(LEASE, value, revision), heard, ANSWER_S)

    def on_lease(self, answer: Any) -> None:
        if isinstance(answer, Unknown):
            self.on_holder(lease.LeaseUnclear(self.now_s()))
            return
        revision, value = answer
        epoch = msgspec.json.decode(value)[0]
        self.on_holder(lease.Found(revision, epoch == self.epoch, self.now_s()))

    def act(self) -> None:
        """Do something that others see: only while the lease is good."""
        good = self.holder.is_good(self.now_s()) or not self.world.rules.stops_itself
        if self.subscribed and not self.ended and good:
            self.world.effects.append((self.net.true_s, self.epoch))

    # -- the journal -------------------------------------------------------------------------

    def on_writer(self, event: writer.Event) -> None:
        if self.ended:
            return
        self.writer, commands = self.world.rules.writer(self.writer, event)
        for command in commands:
            match command:
                case writer.Append(record):
                    self.append(record)
                case writer.ReadTail(again):
                    self.net.after(self.node, 0.1 if again else 0.0, self.read_tail)
                case writer.Claimed(sequence):
                    self.replay(sequence)
                case writer.Written(upto):
                    self.on_written(upto)
                case writer.GiveUp():
                    self.end()
                    self.world.parent.hear_exit(self.node, self.epoch, "fenced")

    def append(self, record: records.Record) -> None:
        def heard(answer: Any) -> None:
            if self.writer.flight is not record:
                return
            if isinstance(answer, int):
                self.on_writer(writer.Acked(answer))
            else:
                lost = isinstance(answer, Unknown)
                self.on_writer(writer.AppendUnclear() if lost else writer.AppendRefused())

        servers, data = self.world.servers, records.written(record)
        question = lambda: servers.append(JOURNAL, data, record.prev)  # noqa: E731 - one question
        self.net.ask(self.node, question, heard, ANSWER_S)

    def read_tail(self) -> None:
        def heard(answer: Any) -> None:
            if isinstance(answer, Unknown):
                self.read_tail()
            else:
                sequence, data = answer
                record = None if data is None else records.read_record(data)
                self.on_writer(writer.TailIs(sequence, record))

        servers = self.world.servers
        self.net.ask(self.node, lambda: servers.tail(JOURNAL), heard, ANSWER_S)

    def replay(self, upto: int) -> None:
        def heard(answer: Any) -> None:
            if isinstance(answer, Unknown):
                self.replay(upto)
                return
            for _, record in records.chained(answer):
                for number, entry in enumerate(record.entries, record.first):
                    self.step(number, *msgspec.json.decode(entry))
            self.durable = self.writer.next - 1
            self.ready = True
            self.serve()

        servers = self.world.servers
        self.net.ask(self.node, lambda: servers.read(JOURNAL, 0, upto), heard, ANSWER_S)

    ready = False

    def serve(self) -> None:
        """Subscribe, once the state is there and the lease was renewed by us."""
        if self.ready and self.renewed and not self.subscribed and not self.ended:
            self.subscribed = True
            self.answer(self.started)

    def answer(self, back: Callable[[Any], None]) -> None:
        """Say that it is started, now or once it is."""
        self.started = back
        if self.subscribed:
            self.send(back, self.epoch)

    # -- requests ----------------------------------------------------------------------------

    def step(self, number: int, client: str, n: int) -> int:
        self.lists[client].append(n)
        answer = len(self.lists[client])
        self.sessions[client] = n, answer, number
        return answer

    def on_ping(self, _: Any, back: Callable[[Any], None]) -> None:
        if self.subscribed:
            self.send(back, self.epoch)

    def on_request(self, body: tuple[str, int], back: Callable[[Any], None]) -> None:
        self.on_holder(lease.Tick(self.now_s()))
        if not self.subscribed:
            return
        client, n = body
        known = self.sessions.get(client, (0, 0, 0))
        if n <= known[0]:
            if n == known[0]:
                self.reply(known[2], known[1], back)
            return
        waiting = len(self.writer.waiting)
        flight = len(self.writer.flight.entries) if self.writer.flight else 0
        number = self.writer.next + flight + waiting
        answer = self.step(number, client, n)
        self.replies.append((number, answer, back))
        if self.world.rules.replies_early:
            self.send(back, answer)
        self.on_writer(writer.Write(number, msgspec.json.encode(body)))

    def reply(self, number: int, answer: int, back: Callable[[Any], None]) -> None:
        if number <= self.durable:
            self.send(back, answer)
        else:
            self.replies.append((number, answer, back))

    def on_written(self, upto: int) -> None:
        self.durable = upto
        due = [reply for reply in self.replies if reply[0] <= upto]
        self.replies = [reply for reply in self.replies if reply[0] > upto]
        for _, answer, back in due:
            self.send(back, answer)


class Parent:
    """The parent: one remote child, monitored, and started anew when it has ended."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.net = world.net
        self.process = process
        self.monitor: monitor.Monitor | None = None
        self.turn = 0
        self.place()
        self.look()

    def now_s(self) -> float:
        return self.net.now_s(self.process)

    def place(self, wait_s: float = 0.0) -> None:
        """Write the lease with the next epoch, then start it on the next node."""
        self.monitor = None

        def read(answer: Any) -> None:
            if isinstance(answer, Unknown):
                self.place(wait_s)
                return
            revision, value = answer
            epoch = 1 + (0 if value is None else msgspec.json.decode(value)[0])
            node = ("a", "b")[self.turn % 2]
            self.turn += 1
            data = msgspec.json.encode((epoch, node, 0))
            cas = lambda: servers.cas(LEASE, data, revision)  # noqa: E731 - one question
            self.net.ask(self.process, cas, lambda a: written(a, epoch, node), ANSWER_S)

        def written(answer: Any, epoch: int, node: str) -> None:
            if not isinstance(answer, int):
                self.place(wait_s)
                return
            self.net.after(self.process, wait_s, start, answer, epoch, node)

        def start(revision: int, epoch: int, node: str, tries: int = 4) -> None:
            def heard(answer: Any) -> None:
                late = isinstance(answer, CallLost) and answer.why == "timeout"
                if late and tries:
                    start(revision, epoch, node, tries - 1)
                elif isinstance(answer, int) and answer != epoch:
                    self.place()
                else:
                    self.on_started(answer, epoch, revision)

            self.world.call(self.process, f"agent.{node}", (epoch, revision), heard, ANSWER_S)

        servers = self.world.servers
        self.net.ask(self.process, lambda: servers.get(LEASE), read, ANSWER_S)

    def on_started(self, answer: Any, epoch: int, revision: int) -> None:
        if isinstance(answer, CallLost):
            gone = answer.why == "noproc"
            self.place(0.0 if gone else TTL_S * lease.TAKEOVER[self.world.takeover])
            return
        seen = lease.Observed(revision, self.now_s())
        self.monitor = monitor.Monitor(epoch, TTL_S, self.world.takeover, seen)

    def look(self) -> None:
        """Read the lease, ping the owner; again and again."""
        self.net.after(self.process, 0.05 if self.absent() else TTL_S / 4, self.look)
        if self.monitor is None:
            return
        asked_s, servers = self.now_s(), self.world.servers

        def read(answer: Any) -> None:
            if isinstance(answer, Unknown) or answer[1] is None:
                self.on_event(monitor.LeaseUnread(asked_s))
                return
            epoch = msgspec.json.decode(answer[1])[0]
            self.on_event(monitor.LeaseRead(answer[0], epoch, asked_s, self.now_s()))

        def pinged(answer: Any) -> None:
            said: monitor.Answer = "alive"
            if isinstance(answer, CallLost):
                said = "absent" if answer.why == "noproc" else "silent"
            self.on_event(monitor.Pinged(said, self.now_s()))

        self.net.ask(self.process, lambda: servers.get(LEASE), read, ANSWER_S)
        self.world.call(self.process, "ping.", None, pinged, ANSWER_S)

    def absent(self) -> bool:
        return self.monitor is not None and self.monitor.absent > 0

    def hear_exit(self, node: Process, epoch: int, reason: str) -> None:
        """An agent says that an epoch has ended."""

        def there() -> None:
            event = monitor.EpochEnded(epoch, reason)
            self.net.carry(self.process, self.on_event, event, out=False)

        self.net.carry(node, there, out=True)

    def on_event(self, event: monitor.Event) -> None:
        if self.monitor is None:
            return
        self.monitor, commands = monitor.step_monitor(self.monitor, event)
        for command in commands:
            if isinstance(command, monitor.Exit):
                self.place()
                return


class Client:
    """Calls with numbers, each again and again until it is answered."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        self.n = 1
        self.go()

    def go(self) -> None:
        body = (self.process.name, self.n)
        self.world.call(self.process, "call.", body, self.heard, ANSWER_S)

    def heard(self, answer: Any) -> None:
        world = self.world
        if isinstance(answer, CallLost):
            world.net.after(self.process, 0.1, self.go)
            return
        world.acked[self.process.name].append((self.n, answer))
        world.last_ack_s = world.net.true_s
        self.n += 1
        world.net.after(self.process, world.random.uniform(0.02, 0.2), self.go)
