"""A disk that is full, a folder that may not be written, a file of a newer format, two processes.

The tmpfs of these tests needs the rights of root and a kernel that lets them mount; without, they
are skipped. The limit on the size of files needs neither.
"""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import (
    CalleeStopped,
    FolderStore,
    Node,
    StorageError,
    StorageInUse,
)
from ssm_cli.runtime.durable import records
from ssm_cli.spec.model import SupervisorSpec
from tests.faults.ledger import Append, states, tree
from tests.program import python

ROOT = Path(__file__).parents[2]

PROGRAM = """
import resource, sys
from pathlib import Path
from ssm_cli import FolderStore, Node, SsmError
from tests.faults.ledger import Append, tree

folder, how = Path(sys.argv[1]), sys.argv[2]
node = Node(tree(on_storage_error=how), store=FolderStore(folder), guard=False).start()
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))
told = []
for n in range(20_000):
    try:
        node.call("l0", Append(n))
    except SsmError as error:
        print(type(error).__name__, error)
        break
    told.append(n)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
print(node.running)
if node.running:
    node.call("l0", Append(-1))
    told.append(-1)
    node.stop()
print(told == node._world.outside.keeper.kept["l0"].last, len(told))
"""


@pytest.mark.parametrize("how", ["stop", "refuse"])
def test_a_file_that_may_not_grow_loses_nothing_that_was_acknowledged(
    tmp_path: Path, how: str
) -> None:
    done = python(PROGRAM, str(tmp_path), how)
    assert done.stderr == ""
    failure, running, same = done.stdout.splitlines()
    assert failure.startswith("CalleeStopped the input could not be written")
    assert running == str(how == "refuse")
    assert same.startswith("True ")
    count = int(same.split()[1])
    assert count > 10
    found = states(tmp_path)["l0"]
    assert found == [*range(count - 1), -1] if how == "refuse" else found == [*range(count)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def read_only(disk: Path, read_only: bool = True) -> None:
    option = "remount,ro" if read_only else "remount,rw"
    subprocess.run(["mount", "-o", option, str(disk)], check=True)


def spec(how: str) -> SupervisorSpec:
    return tree(on_storage_error=how)


def fill_up(disk: Path) -> Path:
    """Leave no room; the file that takes it."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 - how a full disk says so
                    break
    return path


def test_a_full_disk_is_said_and_survived(disk: Path) -> None:
    with FolderStore(disk / "data") as store:
        node = Node(spec("refuse"), store=store, guard=False).start()
        for n in range(5):
            node.call("l0", Append(n))
        ballast = fill_up(disk)
        told = 5
        with pytest.raises(CalleeStopped, match="could not be written"):  # noqa: PT012 - some fit
            for _ in range(1000):  # what room the log has is used first
                node.call("l0", Append(told))
                told += 1
        assert "make room: what was acknowledged is safe" in str(node.storage_error)
        assert node.get_state("l0") == [*range(told)]
        ballast.unlink()
        node.call("l0", Append(told))
        assert node.storage_error is None
        node.stop()
    assert states(disk / "data")["l0"] == [*range(told + 1)]


def test_a_full_disk_stops_a_tree_by_default_and_what_was_acknowledged_can_be_read(
    disk: Path,
) -> None:
    store = FolderStore(disk / "data")
    node = Node(spec("stop"), store=store, guard=False).start()
    node.call("l0", Append(0))
    ballast, told = fill_up(disk), 1
    with pytest.raises(CalleeStopped):  # noqa: PT012 - some fit
        for _ in range(1000):
            node.call("l0", Append(told))
            told += 1
    assert not node.running
    store.close()
    ballast.unlink()
    assert states(disk / "data")["l0"] == [*range(told)]


def test_a_folder_cannot_be_made_where_nothing_may_be_written(disk: Path) -> None:
    read_only(disk)
    with pytest.raises(StorageError, match="name another folder by --data"):
        FolderStore(disk / "data")


def test_a_folder_that_may_not_be_written_is_refused_by_name_and_can_be_read(disk: Path) -> None:
    with FolderStore(disk / "data") as store:
        node = Node(spec("stop"), store=store, guard=False).start()
        node.call("l0", Append(0))
        node.stop()
    read_only(disk)
    with pytest.raises(StorageError, match="cannot write in"):
        FolderStore(disk / "data")
    with FolderStore(disk / "data", writing=False) as reader:
        assert reader.last() > 0
        assert list(reader.keys("state/")) == ["state/l0", "state/l1", "state/l2"]


def test_a_folder_that_may_not_be_written_any_more_stops_the_tree(disk: Path) -> None:
    store = FolderStore(disk / "data")
    node = Node(spec("stop"), store=store, guard=False).start()
    node.call("l0", Append(0))
    done = subprocess.run(
        ["mount", "-o", "remount,ro", str(disk)], capture_output=True, text=True, check=False
    )
    store.close()
    if done.returncode == 0:
        with pytest.raises(StorageError):
            FolderStore(disk / "data")
        read_only(disk, read_only=False)
    assert states(disk / "data")["l0"] == [0]


def test_a_journal_of_a_newer_format_is_refused_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer_format = records.FORMAT + 1
    with FolderStore(tmp_path) as store:
        node = Node(spec("stop"), store=store, guard=False).start()
        node.stop()
        with monkeypatch.context() as patch:
            patch.setattr(records, "FORMAT", newer_format)
            newer = records.encode_entry(
                node._world.outside.keeper.chain, node._world.outside.keeper.seq + 1, []
            )
        store.append(store.last() + 1, newer, lambda error: None)
        last = store.last()
        for _ in range(2):
            with pytest.raises(
                StorageError, match=f"has format {newer_format}, and this ssm reads"
            ):
                Node(spec("stop"), store=store, guard=False).start()
        assert store.last() == last


def test_two_processes_on_one_folder_are_told_apart(tmp_path: Path) -> None:
    program = PROGRAM.replace("told = []", "print('up', flush=True); sys.stdin.readline(); told=[]")
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), "stop"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "up\n"
        with pytest.raises(StorageInUse, match=f"in use by process {other.pid}"):
            FolderStore(tmp_path)
        other.kill()
        other.wait()
    assert states(tmp_path)["l0"] == []
