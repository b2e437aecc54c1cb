"""`kill -9` at any moment: what was acknowledged is there once and in order, and nothing is half.

Eight clients write numbers of their own into three ledgers and note what is acknowledged. The
process is killed, started again in the same folder, and killed again; after each start the clients
send again, under the same request id, what they had no answer to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.faults.ledger import WORKERS, states
from tests.program import ROOT, Run

CLIENTS = 8
ROUNDS = 50
AHEAD = 4  # requests of one client that are under way at once
DEADLINE_S = 120.0
SERVE = "from tests.faults.ledger import main; main()"


class Client:
    """Writes numbers that nobody else writes; sends again what it had no answer to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.next = 0
        self.sent: dict[int, str] = {}  # without an answer yet, by number: the ledger
        self.acknowledged: list[tuple[str, int, int]] = []  # ledger, number, its place there

    def request(self, n: int, worker: str) -> bytes:
        return f"{worker} c{self.number}-{n} {n}\n".encode()

    def more(self, chance: Random) -> bytes:
        n = self.next * CLIENTS + self.number
        self.next += 1
        self.sent[n] = chance.choice(WORKERS)
        return self.request(n, self.sent[n])

    async def run(self, socket: str, chance: Random) -> None:
        """Until the process is gone."""
        try:
            reader, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            return
        try:
            for n, worker in self.sent.items():
                writer.write(self.request(n, worker))
            while True:
                while len(self.sent) < AHEAD:
                    writer.write(self.more(chance))
                line = await reader.readline()
                if not line.endswith(b"\n"):
                    return
                self.heard(line.decode())
        except OSError:
            return
        finally:
            writer.close()

    def heard(self, line: str) -> None:
        word, worker, n, count = line.split()
        assert word == "ok", line
        assert self.sent.pop(int(n)) == worker
        self.acknowledged.append((worker, int(n), int(count)))


class Rounds:
    """A folder, a process that is killed in it again and again, and its clients."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = Random(seed)
        self.clients = [Client(number) for number in range(CLIENTS)]
        self.socket = str(folder / "s")

    def acknowledged(self) -> int:
        return sum(len(client.acknowledged) for client in self.clients)

    def once(self, *kill_point: str) -> bool:
        """Start, write, kill; whether it came up at all."""
        Path(self.socket).unlink(missing_ok=True)
        return asyncio.run(self._once(kill_point))

    async def _once(self, kill_point: tuple[str, ...]) -> bool:
        words = ["-c", SERVE, str(self.folder / "data"), self.socket, *kill_point]
        run = Run(words, ROOT, os.environ)
        run.end.setblocking(False)
        loop = asyncio.get_running_loop()
        with os.fdopen(run.out, "rb") as out, run.end:
            ended = asyncio.ensure_future(loop.sock_recv(run.end, 32))
            async with asyncio.timeout(DEADLINE_S):
                up = await asyncio.to_thread(out.readline) == b"ready\n"
                clients = [client.run(self.socket, self.chance) for client in self.clients if up]
                running = asyncio.gather(*clients)
                with contextlib.suppress(TimeoutError):  # it may never come to the place
                    most_s = 1.0 if kill_point else self.chance.random() / 4
                    await asyncio.wait_for(asyncio.shield(ended), most_s)
                if not ended.done():
                    os.kill(run.pid, signal.SIGKILL)
                assert await ended == b"-9", "it ended by itself"
                await running
        return up

    def look(self) -> None:
        """What was acknowledged is there once and in order; what is there was sent."""
        found = states(self.folder / "data")
        for numbers in found.values():
            assert len(set(numbers)) == len(numbers), "something is there twice"
        sent = {n for client in self.clients for n in client.sent}
        acknowledged = {n for client in self.clients for _, n, _ in client.acknowledged}
        there = {n for numbers in found.values() for n in numbers}
        assert acknowledged <= there
        assert there <= acknowledged | sent
        for client in self.clients:
            for worker, n, count in client.acknowledged:
                assert found[worker][count - 1] == n, "it is not where it was when it was answered"


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    seed = int(os.environ.get("SSM_SEED", SystemRandom().randrange(2**32)))
    print(f"SSM_SEED={seed}")
    with tempfile.TemporaryDirectory(prefix="ssm-") as folder:  # short, for the socket's sake
        yield Rounds(Path(folder), seed)


def test_fifty_kills_with_eight_clients_lose_nothing_and_repeat_nothing(rounds: Rounds) -> None:
    for number in range(ROUNDS):
        assert rounds.once()
        if number % 10 == 9:
            rounds.look()
    print(f"{rounds.acknowledged()} writes acknowledged")
    assert rounds.acknowledged() > ROUNDS


PLACES = ["entry", "release", "snapshot", "checkpoint", "compaction"]


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_in_the_middle_of_writing_loses_nothing(rounds: Rounds, place: str) -> None:
    for after in (1, 2, 3, 5, 8):
        rounds.once(place, str(after))
        rounds.look()
    assert rounds.acknowledged()


def test_a_kill_in_the_middle_of_recovery_loses_nothing(rounds: Rounds) -> None:
    for after in (1, 2, 1, 3):
        assert rounds.once()
        rounds.once("recovery", str(after))
        rounds.look()
