"""Nodes and a load as processes, on the loopback interface or each in a network of its own."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ssm_cli.cluster.agent.directory import look
from ssm_cli.cluster.jetstream.cluster import open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from tests.architecture.source import ROOT

SOON_S = 180.0
SERVED_S = 180.0  # an election, a lease and a start, with room to spare


def spawn(command: list[str], *, inside: str = "", **more: Any) -> subprocess.Popen[str]:
    """A process of this checkout, in a network namespace if one is given."""
    prefix = ["ip", "netns", "exec", inside] if inside else []
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*prefix, *command], cwd=ROOT, env=environ, text=True, **more)


def start_node(
    url: str, name: str, log: Path, inside: str = "", folder: str = "."
) -> subprocess.Popen[str]:
    """`ssm node`, whose trees are in `folder`."""
    command = [sys.executable, "-m", "ssm_cli", "node", "--cluster", url, "--name", name]
    command += ["--dir", folder]
    with log.open("a") as out:
        return spawn(command, inside=inside, stdout=out, stderr=out)


class Load:
    """The load, from outside."""

    def __init__(self, url: str, lease_s: float, inside: str = "") -> None:
        command = [sys.executable, "-m", "tests.cluster.real.load", url, str(lease_s)]
        pipe = subprocess.PIPE
        self._process = spawn(command, inside=inside, stdin=pipe, stdout=pipe)

    def mark(self) -> None:
        """Something has gone wrong."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()

    def until_served(self) -> float:
        """Wait until a call sent since the mark is answered; how long that took, in seconds."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], SERVED_S)
        assert readable, f"nothing was served for {SERVED_S:g} s"
        line = self._process.stdout.readline()
        assert line.startswith("served"), "the load has ended; its traceback is above"
        return float(line.split()[-1])

    def verdict(self) -> dict[str, Any]:
        """End it; what it saw."""
        out, _ = self._process.communicate("stop\n", timeout=120)
        assert self._process.returncode == 0, "the load has failed; its traceback is above"
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.communicate()


def owner_of(nodes: dict[str, subprocess.Popen[str]]) -> tuple[str, int] | None:
    """Which node hosts the subtree, and the process that does, by the table of processes."""
    for name, node in nodes.items():
        for pid in children_of(node.pid):
            if "ssm_cli.cluster.owner.host" in command_of(pid):
                return name, pid
    return None


def until_owner(nodes: dict[str, subprocess.Popen[str]]) -> tuple[str, int]:
    """The same, once there is one."""
    end_s = time.monotonic() + SOON_S
    while time.monotonic() < end_s:
        found = owner_of(nodes)
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("no node hosts the subtree")


def children_of(pid: int) -> list[int]:
    """The processes below one, however deep."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    found = [int(word) for word in text.split()]
    return [*found, *(below for child in found for below in children_of(child))]


def command_of(pid: int) -> str:
    """How a process was started."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def until_nodes(url: str, count: int) -> None:
    """Wait until so many nodes answer."""

    async def ask() -> None:
        cluster = await open_cluster(Access(url), "test")
        try:
            for _ in range(int(SOON_S / 0.1)):
                try:
                    if sum(seen.answers for seen in await look(cluster)) >= count:
                        return
                except Exception:  # noqa: BLE001, S110 - the servers are still choosing a leader
                    pass
                await asyncio.sleep(0.1)
            raise AssertionError(f"{count} nodes do not come up")
        finally:
            await cluster.close()

    asyncio.run(ask())


def end(nodes: dict[str, subprocess.Popen[str]]) -> None:
    """End nodes, stopped ones too."""
    for node in nodes.values():
        for pid in [node.pid, *children_of(node.pid)]:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue
        node.kill()
        node.wait()
