"""Damage of every file, at every place: it is refused, or it has done no harm. Never in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ssm_cli import FolderStore, Node, StorageDamaged, StorageError
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.storage.contents import contents, history
from ssm_cli.storage.verify import verify
from tests.faults.ledger import WORKERS, Append, tree
from tests.thorough import tries

SEED = int(os.environ.get("SSM_SEED", "7"))
INPUTS = 60
SPEC = tree(snapshot_every=9, keep_records=300)
FLIPS = tries(200, 1500)  # in one file, apart from its ends
TORN = tries(60, 300)
FILES = ["journal.db", "journal.db-wal", "witness", "lock"]
Known = dict[str, Any]


def fill(path: Path, first: int, last: int) -> Node:
    """A tree that has served these inputs in this folder, and runs."""
    node = Node(SPEC, store=FolderStore(path), guard=False).start()
    for n in range(first, last):
        node.call(WORKERS[n % 3], Append(n), request_id=f"r{n}" if n % 7 == 0 else "")
    return node


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `kill -9` leaves it: the files of a tree that was stopped, and ran again."""
    path = tmp_path_factory.mktemp("lost")
    fill(path / "data", 0, 5 * INPUTS).close()
    running = fill(path / "data", 5 * INPUTS, 6 * INPUTS)
    shutil.copytree(path / "data", path / "image")
    running.close()
    (path / "image" / "journal.db-shm").unlink()
    return path / "image"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an orderly stop leaves it."""
    path = tmp_path_factory.mktemp("stopped") / "data"
    fill(path, 0, 5 * INPUTS).close()
    return path


def known(path: Path) -> Known:
    """All that a tree would begin with; `StorageError` where it would not."""
    with FolderStore(path, writing=False) as store:
        recovered = Recovered(store, SPEC)
        assert not recovered.look()
        begun = recovered._lives.values()
        lives = {life.worker: (life.has, life.state, life.timers) for life in begun}
        answers = dict(recovered.sessions._answered)
        return {"lives": lives, "answers": answers, "seq": recovered.seq, "at": recovered.at_s}


def past(path: Path) -> list[Any]:
    """All records that are kept."""
    with FolderStore(path, writing=False) as store:
        contents(store)
        return list(history(store))


class Trials:
    """A folder whose files are damaged, one trial after the other.

    `matters` names the files without which something would be missing.
    """

    def __init__(self, image: Path, path: Path) -> None:
        sizes = {file.name: file.stat().st_size for file in image.iterdir()}
        self.matters = {name for name, size in sizes.items() if size and name != "lock"}
        shutil.copytree(image, path)
        self.path = path
        self.right, self.past = known(path), past(path)
        self.refused = self.harmless = 0

    def look(self, what: str) -> None:
        """Each of both ways of looking finds what is right, or refuses."""
        for read, right in ((known, self.right), (past, self.past)):
            (self.path / "journal.db-shm").unlink(missing_ok=True)
            try:
                found = read(self.path)
            except StorageError:
                self.refused += 1
                continue
            assert found == right, f"{what}: silently wrong"
            self.harmless += 1

    def with_file(self, name: str, data: bytes, what: str) -> None:
        whole = (self.path / name).read_bytes()
        (self.path / name).write_bytes(data)
        try:
            self.look(what)
        finally:
            (self.path / name).write_bytes(whole)


@pytest.fixture(params=["lost", "stopped"])
def trials(request: pytest.FixtureRequest, tmp_path: Path) -> Trials:
    return Trials(request.getfixturevalue(request.param), tmp_path / "data")


def places(size: int, most: int) -> Iterator[int]:
    """Places all over a file, at most so many, and all of its first and last bytes."""
    stride = max(1, size // most)
    yield from sorted({*range(min(size, 100)), *range(0, size, stride), *range(size)[-8:]})


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_refused_or_does_no_harm(trials: Trials, name: str) -> None:
    if not (trials.path / name).exists():
        assert name == "journal.db-wal", "an orderly stop leaves no log, and all else"
        return
    chance = Random(SEED)
    whole = (trials.path / name).read_bytes()
    for place in places(len(whole), FLIPS):
        flip = chance.choice([0xFF, 1 << chance.randrange(8)])
        data = bytearray(whole)
        data[place] ^= flip
        trials.with_file(name, bytes(data), f"{name}, byte {place} ^ {flip:#x} (seed {SEED})")
    assert trials.refused or name not in trials.matters


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_a_torn_file_is_refused_or_does_no_harm(trials: Trials, name: str) -> None:
    if not (trials.path / name).exists():
        return
    whole = (trials.path / name).read_bytes()
    for size in places(len(whole), TORN):
        trials.with_file(name, whole[:size], f"{name} of {size} bytes")
        trials.with_file(
            name, whole[:size] + bytes(len(whole) - size), f"{name} with zeros from {size}"
        )
    assert trials.refused or name not in trials.matters


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "witness"])
def test_a_file_that_is_gone_is_refused_or_does_no_harm(trials: Trials, name: str) -> None:
    (trials.path / name).unlink(missing_ok=True)
    trials.look(f"{name} is gone")


MATTER = ("journal.db", "journal.db-wal", "witness")


def files(path: Path) -> dict[str, bytes | None]:
    """What is in the files that matter; an empty log is as good as none."""
    there = {name: path / name for name in MATTER if (path / name).exists()}
    found = {name: file.read_bytes() for name, file in there.items()}
    return {**dict.fromkeys(MATTER), **found, "journal.db-wal": found.get("journal.db-wal") or None}


@pytest.mark.parametrize("name", MATTER)
def test_a_writer_that_refuses_what_is_damaged_has_changed_nothing(
    trials: Trials, name: str, tmp_path: Path
) -> None:
    image, refused = files(trials.path), 0
    whole = image[name]
    if not whole:
        return  # an orderly stop leaves no log
    broken: list[bytes | None] = [None, b"", whole[: len(whole) // 2]]
    broken += [
        whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        for place in range(0, len(whole), max(1, len(whole) // 40))
    ]
    for number, data in enumerate(broken):
        folder = tmp_path / str(number)
        folder.mkdir()
        left = {**image, name: data}
        for beside, content in left.items():
            if content is not None:
                (folder / beside).write_bytes(content)
        left = files(folder)
        try:
            FolderStore(folder).close()
        except StorageError:
            refused += 1
        else:
            continue
        assert files(folder) == left, number
    assert refused


def test_two_pages_that_have_changed_places_are_noticed(trials: Trials) -> None:
    whole = (trials.path / "journal.db").read_bytes()
    pages = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
    for one in range(1, len(pages)):
        for other in range(1, one):
            moved = list(pages)
            moved[one], moved[other] = moved[other], moved[one]
            trials.with_file("journal.db", b"".join(moved), f"pages {one} and {other}")
    assert trials.refused


def test_a_tree_does_not_start_on_damage_and_changes_nothing(stopped: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    shutil.copytree(stopped, path)
    data = bytearray((path / "journal.db").read_bytes())
    for at in range(4096 * 2, len(data), 97):
        data[at] ^= 0x55
    (path / "journal.db").write_bytes(data)
    before = {name: (path / name).read_bytes() for name in ("journal.db", "witness")}
    with pytest.raises(StorageDamaged):
        Node(SPEC, store=FolderStore(path), guard=False).start()
    assert {name: (path / name).read_bytes() for name in before} == before


def test_what_is_whole_has_no_problems(lost: Path, stopped: Path, tmp_path: Path) -> None:
    for number, image in enumerate((lost, stopped)):
        shutil.copytree(image, tmp_path / str(number))
        with FolderStore(tmp_path / str(number), writing=False) as store:
            verdict = verify(store, SPEC)
            assert verdict.problems == []
            assert verdict.records > INPUTS // 2
