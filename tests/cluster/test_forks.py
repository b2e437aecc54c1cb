"""The fork server of a node: what it forks is as if it had been executed, and is the agent's."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.cluster.agent import forks as module
from ssm_cli.cluster.agent.child import Begin, Child, HostProcess, execute_host
from ssm_cli.cluster.agent.forks import PR_SET_CHILD_SUBREAPER, Forks
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.host import DETAIL_CHARACTERS, LINE_BYTES, Host, Job, Told
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.protocol.messages import FENCED, MOVED, STOPPED, Start
from tests.cluster.real.scene import children_of, command_of
from tests.cluster.servers import Servers
from tests.cluster.test_standing_still import Scene

pytest.importorskip("nats", reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

SOON_S = 180.0
FACTS = """\
import ctypes, json, os, re, resource, signal, sys, threading
from pathlib import Path
from ssm_cli import StateMachine, Supervisor, Worker

HERE = Path(__file__).parent

def kind(number):
    where = os.readlink(f"/proc/self/fd/{number}")
    return re.sub(r"#[0-9]+|\\[.*", "", where), number > 2 and os.get_inheritable(number)

def open_ones():
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            found.append(kind(number))
        except OSError:
            pass  # that of the listing itself
    return sorted(found)

def handler(number):
    found = signal.getsignal(number)
    return getattr(found, "__qualname__", str(found))

def facts():
    umask = os.umask(0)
    os.umask(umask)
    dies = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(dies))
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    line = Path("/proc/self/cmdline").read_bytes().rstrip(b"\\0").decode().split("\\0")
    return {
        "open": open_ones(),
        "handlers": {int(one): handler(one) for one in signal.valid_signals()},
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "umask": umask,
        "dies with its parent by": dies.value,
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "relations": [os.getppid(), os.getpgrp(), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0)],
        "arguments": [sys.argv[0], all(map(str.isdigit, sys.argv[1:])), len(sys.argv)],
        "shown as": [line[:3], all(map(str.isdigit, line[3:])), len(line)],
        "path": sys.path,
        "flags": list(sys.flags),
        "threads": threading.active_count(),
        "code of trees": [name for name in sys.modules if name.startswith("ssm_cli.machines")],
    }

def init(name, args):
    (HERE / f"facts-{os.getpid()}").write_text(json.dumps(facts()))
    return 0

def step(message: bytes, state: int) -> tuple[int, bytes]:
    return state, b""

tree = Supervisor("root", children=[Worker("facts", StateMachine(step=step, init=init))])
"""
Claim = Callable[[Forks], Awaitable[None]]


def with_forks(claim: Claim, others: Callable[[], tuple[int, ...]] = tuple) -> None:
    """Run a claim beside an open fork server."""

    async def run() -> None:
        forks = Forks(others)
        forks.open()
        try:
            await claim(forks)
        finally:
            forks.close()

    try:
        asyncio.run(run())
    finally:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)


class Idle:
    """The process of a subtree that is given no job, and our end of its socket."""

    def __init__(self) -> None:
        self.page = LeasePage()
        self.ours, self._theirs = socket.socketpair()

    async def begun(self, begin: Begin) -> HostProcess:
        with self._theirs:
            return await begin([self._theirs.fileno(), self.page.fileno()])


async def until(holds: Callable[[], object]) -> None:
    end_s = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < end_s, f"it does not hold after {SOON_S:g} s"
        await asyncio.sleep(0.01)


async def ended(*processes: HostProcess) -> list[int | None]:
    """The exit codes of processes, once all have ended."""
    await until(lambda: all(process.poll() is not None for process in processes))
    return [process.poll() for process in processes]


def fork_servers(pid: int, *hosts: int) -> list[int]:
    """The fork servers below a process; a host is shown as one at first."""
    below = set(children_of(pid)) - set(hosts)
    return [one for one in below if "owner.forking" in command_of(one)]


def state_of(pid: int) -> str:
    """The state of a process, as the system calls it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def exists(pid: int) -> bool:
    """Whether a process is there, and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"


@pytest.fixture
def idle() -> Iterator[Callable[[], Idle]]:
    made: list[Idle] = []

    def make() -> Idle:
        made.append(Idle())
        return made[-1]

    yield make
    for one in made:
        one.ours.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path).start_all()
    yield made
    made.stop()


def test_a_forked_process_is_as_one_that_was_executed(servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "facts.py").write_text(FACTS)

    async def facts_of(begin: Begin, subtree: str) -> dict[str, Any]:
        page = LeasePage()
        page.until_s = time.monotonic() + 600
        start = Start("t", subtree, "facts.py", 1, 1, 600.0)
        child = Child(Job(start, Access(servers.url), "n1", str(tmp_path)), page, begin)
        told = await asyncio.wait_for(child.started, SOON_S)
        assert told.event == "started", told
        found: dict[str, Any] = json.loads((tmp_path / f"facts-{child.pid}").read_text())
        child.stop()
        assert (await child.ended).reason == STOPPED
        return found

    async def claim(forks: Forks) -> None:
        executed = await facts_of(execute_host, "a")
        assert await facts_of(forks.begin, "b") == executed
        assert executed["dies with its parent by"] == signal.SIGKILL

    with_forks(claim)


def test_exit_codes_and_signals_reach_the_agent(idle: Callable[[], Idle]) -> None:
    async def claim(forks: Forks) -> None:
        quiet, killed, asked = idle(), idle(), idle()
        found = [await one.begun(forks.begin) for one in (quiet, killed, asked)]
        quiet.ours.close()
        os.kill(found[1].pid, signal.SIGKILL)
        os.kill(found[2].pid, signal.SIGTERM)
        assert await ended(*found) == [0, -signal.SIGKILL, -signal.SIGTERM]

    with_forks(claim)


def test_a_killed_fork_server_harms_nobody_and_the_next_one_forks(idle: Callable[[], Idle]) -> None:
    async def claim(forks: Forks) -> None:
        first, second = idle(), idle()
        process = await first.begun(forks.begin)
        (server,) = fork_servers(os.getpid(), process.pid)
        os.kill(server, signal.SIGKILL)
        await until(lambda: not exists(server))
        later = await second.begun(forks.begin)
        (another,) = fork_servers(os.getpid(), process.pid, later.pid)
        assert another != server
        assert process.poll() is None
        assert {process.pid, later.pid} <= set(children_of(os.getpid()))
        for one in (first, second):
            one.ours.close()
        assert await ended(process, later) == [0, 0]

    with_forks(claim)


def test_a_fork_server_that_hangs_keeps_no_subtree_from_being_started(
    monkeypatch: pytest.MonkeyPatch, idle: Callable[[], Idle]
) -> None:
    async def claim(forks: Forks) -> None:
        made = [idle(), idle(), idle()]
        forked = await made[0].begun(forks.begin)  # it is up
        (server,) = fork_servers(os.getpid(), forked.pid)
        os.kill(server, signal.SIGSTOP)
        monkeypatch.setattr(module, "ANSWER_S", 0.1)
        process = await made[1].begun(forks.begin)
        monkeypatch.undo()
        assert not exists(server)
        later = await made[2].begun(forks.begin)
        assert [one.poll() for one in (forked, process, later)] == [None, None, None]
        assert len(fork_servers(os.getpid(), forked.pid, later.pid)) == 1
        for one in made:
            one.ours.close()
        assert await ended(forked, process, later) == [0, 0, 0]

    with_forks(claim)


def test_what_a_subtree_leaves_behind_is_seen_to_end_and_nobody_elses_exit_code_is_taken() -> None:
    theirs = subprocess.Popen(["sh", "-c", "read line; exit 3"], stdin=subprocess.PIPE)

    async def claim(_: Forks) -> None:
        made = subprocess.run(  # noqa: ASYNC221 - the loop would see its end first
            ["sh", "-c", "sleep 0 & echo $!"], stdout=subprocess.PIPE, check=True
        )
        orphan = int(made.stdout)
        await until(lambda: not Path(f"/proc/{orphan}").exists())
        theirs.communicate(b"\n")
        assert theirs.returncode == 3

    with_forks(claim, lambda: (theirs.pid,))


def test_a_subtree_for_which_there_can_be_no_process_goes_to_another_node() -> None:
    async def refuses(_: list[int]) -> HostProcess:
        raise OSError(11, "Resource temporarily unavailable")

    async def main() -> None:
        child = Child(
            Job(Start("t", "s", "x.yaml", 1, 1, 2.0), Access(""), "n", "."), LeasePage(), refuses
        )
        told = Told("ended", "no_node", "no process can be made: Resource temporarily unavailable")
        assert (await child.started, await child.ended) == (told, told)

    asyncio.run(main())


async def later(numbers: list[int], may: asyncio.Event) -> HostProcess:
    await may.wait()
    return await execute_host(numbers)


def test_a_subtree_whose_lease_is_over_while_it_is_forked_stands_still_until_it_is_good() -> None:
    async def main() -> None:
        may = asyncio.Event()
        job = Job(Start("t", "s", "x.yaml", 1, 1, 2.0), Access(""), "n", ".")
        child = Child(job, LeasePage(), partial(later, may=may))
        assert (child.pid, child.is_hung()) == (0, False)
        await asyncio.sleep(0)
        child.freeze()
        may.set()
        await until(lambda: child.pid != 0)
        await until(lambda: state_of(child.pid) == "T")
        assert not child.is_hung()
        child.thaw()
        await until(lambda: state_of(child.pid) != "T")
        child.kill(STOPPED, "it has gone on")
        assert await child.ended == Told("ended", STOPPED, "it has gone on")

    asyncio.run(main())


def test_a_subtree_whose_lease_is_lost_while_it_is_forked_is_ended() -> None:
    async def main() -> None:
        may = asyncio.Event()
        job = Job(Start("t", "s", "x.yaml", 1, 1, 2.0), Access(""), "n", ".")
        child = Child(job, LeasePage(), partial(later, may=may))
        await asyncio.sleep(0)
        child.freeze()
        child.kill(FENCED, "another owner has the lease")
        may.set()
        assert (await child.ended).reason == FENCED

    asyncio.run(main())


@pytest.mark.parametrize("word", [STOPPED, MOVED])
def test_a_process_that_is_told_to_end_before_it_listens_to_signals_ends_for_that(
    word: str,
) -> None:
    async def deaf(_: list[int]) -> HostProcess:
        return subprocess.Popen(["/bin/sleep", "60"])  # noqa: ASYNC220 - it starts and is not waited for

    async def main() -> None:
        job = Job(Start("t", "s", "x.yaml", 1, 1, 2.0), Access(""), "n", ".")
        child = Child(job, LeasePage(), deaf)
        while not child.pid:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        (child.stop if word == STOPPED else child.hand_on)()
        assert await child.ended == Told("ended", word, "it had not begun to serve")

    asyncio.run(main())


@pytest.mark.parametrize("size", [100, 70_000, 900_000, 3_000_000])
def test_a_process_that_says_much_or_without_end_ends_all_the_same(size: int) -> None:
    """The subtree was hosted for ever, without a process, where a module raised a long text."""

    async def talker(numbers: list[int]) -> HostProcess:
        code = (
            f"import socket; ours = socket.socket(fileno={numbers[0]}); detail = 'x' * {size};"
            """told = '{"event": "ended", "reason": "undef", "detail": "%s"}' % detail;"""
            "ours.sendall(told.encode() + bytes([10]))"
        )
        return subprocess.Popen([sys.executable, "-c", code], pass_fds=numbers[:1])  # noqa: ASYNC220 - as above

    async def main() -> None:
        job = Job(Start("t", "s", "x.yaml", 1, 1, 2.0), Access(""), "n", ".")
        child = Child(job, LeasePage(), talker)
        told = await asyncio.wait_for(child.started, 60)
        assert told == await child.ended
        assert told.reason == ("undef" if size < LINE_BYTES else "crash")

    asyncio.run(main())


def test_a_long_text_of_user_code_is_told_in_part() -> None:
    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        reader, other = await asyncio.open_connection(sock=ours)
        _, writer = await asyncio.open_connection(sock=theirs)
        job = Job(Start("t", "s", "x.yaml", 1, 1, 2.0), Access(""), "n", ".")
        Host(job, writer, LeasePage()).tell(Told("ended", "undef", "x" * 200_000))
        line = await reader.readline()
        for one in (other, writer):
            one.close()
        return line

    assert len(asyncio.run(main())) < DETAIL_CHARACTERS + 100


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_leaves_neither_fork_server_nor_subtree_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "billing.yaml").write_text(
        'supervisor: root\nchildren: [{worker: kv, start: "ssm_cli.machines.kv:kv_store"}]\n'
    )
    scene = Scene(tmp_path)
    try:
        assert scene.start("billing.yaml").ok
        pid, node = scene.owner(), scene.nodes["n1"]
        below = children_of(node.pid)
        assert {pid, *fork_servers(node.pid)} == set(below)
        assert "owner.host" in command_of(pid)
        if number == signal.SIGKILL:
            os.kill(pid, signal.SIGSTOP)  # nothing that it does itself can end it
        node.send_signal(number)
        end_s = time.monotonic() + SOON_S
        while any(map(exists, below)):
            assert time.monotonic() < end_s, f"{below} are there after {SOON_S:g} s"
            scene.hear()
    finally:
        scene.close()
