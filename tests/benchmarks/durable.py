"""What durability costs: `python tests/benchmarks/durable.py`; ratios of one interleaved run.

Calls a second of a journalled worker, with 1 and with 64 clients, against bare `sqlite3` that
writes as many rows in the same transactions with the same syncs; and the recovery of a journal,
and its past without a running tree, against reading its rows and stepping their inputs in memory.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from ssm_cli import FolderStore, Node, Supervisor, Worker
from ssm_cli.codec.build import codec_for
from ssm_cli.history.journalled import journalled_node
from ssm_cli.machines.kv import Lookup, Store, kv_store, step
from ssm_cli.runtime.durable.records import CHAIN_BYTES, Batch

SCHEMA = """CREATE TABLE record (seq INTEGER PRIMARY KEY, at REAL, worker TEXT, input BLOB,
outcome TEXT, output_hash BLOB, state_hash BLOB)"""


def tree(**options: Any) -> Any:
    workers = [Worker("kv", kv_store, persist="journal", **options)]
    return Supervisor("root", children=workers, snapshot_every=10**9)


def ours(folder: Path, clients: int, calls: int) -> float:
    """Calls a second, bytes in and out, each on disk before it is answered."""
    written = codec_for("text", Store | Lookup, None).encode
    with FolderStore(folder) as store, Node(tree(), store=store) as node:
        node.call("kv", b"Store x 0")
        begun = time.perf_counter()
        for _ in range(calls // clients):
            waiting = [node.send_request("kv", b"Store x %d" % i) for i in range(clients)]
            while not waiting[-1].done:  # on a busy machine `run` may leave at it
                node.run()
            assert all(written(pending.value) == b"Ok" for pending in waiting)
        return calls / (time.perf_counter() - begun)


def bare(folder: Path, clients: int, calls: int) -> float:
    """Rows a second that `sqlite3` writes, `clients` in each transaction."""
    folder.mkdir()
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(SCHEMA)
    statement = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)"
    begun = time.perf_counter()
    for batch in range(calls // clients):
        db.execute("BEGIN IMMEDIATE")
        for i in range(clients):
            seq = batch * clients + i + 1
            row = (seq, 0.5, "kv", b"Store x %d" % i, "replied", b"12345678", b"12345678")
            db.execute(statement, row)
        db.execute("COMMIT")
    seconds = time.perf_counter() - begun
    db.close()
    return calls / seconds


def fill(folder: Path, records: int) -> None:
    """A journal of that many inputs over 64 keys, as a process that was killed leaves it."""
    store = FolderStore(folder)
    node = Node(tree(), store=store).start()
    for i in range(records):
        node.cast("kv", b"Store k%d %d" % (i & 63, i))
    node.run()
    store.close()


def recovery(folder: Path) -> float:
    """Seconds until a node of that journal is up."""
    gc.collect()
    begun = time.perf_counter()
    with FolderStore(folder) as store:
        node = Node(tree(), store=store).start()
        seconds = time.perf_counter() - begun
        assert len(node.get_state("kv")) == 64
    return seconds


def offline(folder: Path) -> float:
    """Seconds until the past of that journal can be asked."""
    gc.collect()
    begun = time.perf_counter()
    with FolderStore(folder, writing=False) as store:
        node, troubles = journalled_node(store, tree(), "root")
        seconds = time.perf_counter() - begun
        assert not troubles
        assert len(node.at(node.record).get_state("kv")) == 64
    return seconds


def by_hand(folder: Path) -> float:
    """Seconds to read the same rows, decode their inputs, and step them in memory."""
    gc.collect()
    codec = codec_for("text", Store | Lookup, None)
    state: dict[str, int] = {}
    decode = msgspec.msgpack.Decoder(Batch).decode
    begun = time.perf_counter()
    with FolderStore(folder) as store:
        for _, entry in store.read(0):
            for record in decode(entry[CHAIN_BYTES:]).records:
                data = getattr(record, "data", None)
                if data is not None:
                    state, _ = step(codec.decode(data), state)
    seconds = time.perf_counter() - begun
    assert len(state) == 64
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    given = parser.parse_args()
    lab = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        for clients, calls in ((1, 2_000), (64, 64_000)):
            pairs = []
            for rep in range(given.reps):
                one = ours(lab / f"ours{clients}-{rep}", clients, calls)
                pairs.append((one, bare(lab / f"bare{clients}-{rep}", clients, calls)))
            ratio = median(a / b for a, b in pairs)
            left, right = median(a for a, _ in pairs), median(b for _, b in pairs)
            print(f"{clients:2} clients: {left:,.0f} calls/s, bare {right:,.0f}, ratio {ratio:.2f}")
        fill(lab / "journal", given.records)
        ways = (recovery, offline, by_hand)
        times = [[way(lab / "journal") for way in ways] for _ in range(given.reps)]
        recovered, told, hand = (median(column) for column in zip(*times, strict=True))
        for what, took, column in (("recovery", recovered, 0), ("past", told, 1)):
            ratio = median(row[2] / row[column] for row in times)
            print(
                f"{what} of {given.records:,} records: {took:.2f} s, by hand {hand:.2f} s, "
                f"ratio {ratio:.2f}"
            )
    finally:
        shutil.rmtree(lab)
    os.sync()


if __name__ == "__main__":
    main()
