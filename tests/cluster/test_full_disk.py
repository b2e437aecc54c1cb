"""A server whose disk is full: nothing is acknowledged that is not kept, and nothing is counted.

A server of NATS that could not write to a stream does so again once it is started anew.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssm_cli import ClusterLinks, Remote
from ssm_cli.runtime.remote.ports import Call, Ended, Launched, News, Outcome
from tests.cluster.real.scene import end, start_node, until_nodes
from tests.cluster.servers import Servers, until_listening

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

SOON_S = 180.0
TREE = """\
supervisor: root
children:
  - {worker: kv, start: "ssm_cli.machines.kv:kv_store", persist: journal}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system in memory, where the server keeps its store."""
    place = tmp_path / "s0"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip("a file system of its own takes root, and the right to mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class Scene:
    """A server with that disk, a node, and a parent with one remote child."""

    def __init__(self, folder: Path) -> None:
        (folder / "billing.yaml").write_text(TREE)
        self.servers = Servers(folder).start_all()
        self.nodes = {"n1": start_node(self.servers.url, "n1", folder / "log", folder=str(folder))}
        until_nodes(self.servers.url, 1)
        self.links = ClusterLinks(self.servers.url, "shop")
        self.news: list[News] = []
        self.links.start(Remote("billing", "billing.yaml"), adopt=False)
        self.until(lambda: any(isinstance(news, Launched) for news in self.news))

    def until(self, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + SOON_S
        while not holds():
            assert time.monotonic() < end_s, self.news[-5:]
            self.links.wait(0.05)
            self.news += self.links.poll()

    def ask(self, data: bytes, timeout_s: float = 1.0) -> Outcome:
        heard: list[Outcome] = []
        self.links.call(Call("billing", "kv", data, timeout_s), heard.append)
        self.until(lambda: bool(heard))
        return heard[0]

    def close(self) -> None:
        self.links.close()
        end(self.nodes)
        self.servers.stop()


@pytest.fixture
def scene(tmp_path: Path, disk: Path) -> Iterator[Scene]:
    assert disk.is_mount()
    made = Scene(tmp_path)
    yield made
    made.close()


def fill(file: Path) -> None:
    """Take what is left of a disk."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 12, 1 << 8, 1):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                continue


def test_what_a_full_disk_does_not_keep_is_not_acknowledged_and_the_rest_is_there(
    scene: Scene, disk: Path
) -> None:
    assert scene.ask(b"Store a 1").output == b"Ok"
    fill(disk / "fill")
    acked, outcome = 1, Outcome("replied", b"Ok")
    while outcome.outcome == "replied":
        acked += 1
        outcome = scene.ask(b"Store a %d" % acked)
    assert outcome.outcome in ("timeout", "noconnection"), outcome
    (disk / "fill").unlink()
    scene.servers.kill(0)
    scene.servers.start(0)
    until_listening(scene.servers.ports[0])
    found: list[Outcome] = []

    def served() -> bool:
        found.append(scene.ask(b"Lookup a"))
        return found[-1].outcome == "replied"

    scene.until(served)
    assert found[-1].output in (b"Result %d" % (acked - 1), b"Result %d" % acked)
    assert not [news for news in scene.news if isinstance(news, Ended)]
