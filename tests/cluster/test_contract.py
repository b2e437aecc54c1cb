"""The contract of the ports, over the simulated cluster and NATS: one suite."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ssm_cli.cluster.ports import Answer, CallLost, Cluster, Conflict, Journal
from tests.cluster.conftest import Play


def fresh() -> str:
    return f"t{uuid4().hex[:8]}"


async def all_of(journal: Journal, after: int = 0, upto: int = 10**9) -> list[bytes]:
    return [data async for _, data in journal.read(after, upto)]


def test_an_append_behind_the_expected_sequence_is_there(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        tree = fresh()
        journal = await one.journal(tree, "s.1", 1)
        first = await journal.append(b"a", 0)
        assert isinstance(first, int)
        second = await journal.append(b"b", first)
        assert isinstance(second, int)
        assert second > first
        seen = await two.journal(tree, "s.1", 1)
        assert await seen.tail() == (second, b"b")
        assert await all_of(seen) == [b"a", b"b"]
        assert await all_of(seen, first) == [b"b"]
        assert await all_of(seen, 0, first) == [b"a"]

    play(body)


def test_an_append_behind_another_sequence_is_refused_and_changes_nothing(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        journal = await one.journal(fresh(), "s1", 1)
        first = await journal.append(b"a", 0)
        assert isinstance(first, int)
        assert isinstance(await journal.append(b"b", 0), Conflict)
        assert isinstance(await journal.append(b"b", first + 1), Conflict)
        assert await all_of(journal) == [b"a"]

    play(body)


def test_journals_of_one_tree_are_chains_of_their_own(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        tree = fresh()
        left, right = await one.journal(tree, "l", 1), await two.journal(tree, "r", 1)
        first = await left.append(b"l1", 0)
        assert isinstance(first, int)
        assert isinstance(await right.append(b"r1", 0), int)
        assert isinstance(await left.append(b"l2", first), int)
        assert await all_of(left) == [b"l1", b"l2"]
        assert await all_of(right) == [b"r1"]

    play(body)


def test_an_empty_journal_has_no_tail(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        journal = await one.journal(fresh(), "s1", 1)
        assert await journal.tail() == (0, None)
        assert await all_of(journal) == []

    play(body)


def test_a_trimmed_journal_keeps_its_last_record_and_its_sequence(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        journal = await one.journal(fresh(), "s1", 1)
        last = 0
        for n in range(5):
            sequence = await journal.append(b"%d" % n, last)
            assert isinstance(sequence, int)
            last = sequence
        await journal.trim(last)
        assert await all_of(journal) == [b"4"]
        assert isinstance(await journal.append(b"5", 0), Conflict)
        assert isinstance(await journal.append(b"5", last), int)

    play(body)


def test_many_records_are_read_in_order(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        journal = await one.journal(fresh(), "s1", 1)
        last = 0
        for n in range(1200):
            sequence = await journal.append(b"%d" % n, last)
            assert isinstance(sequence, int)
            last = sequence
        assert await all_of(journal, 0, last) == [b"%d" % n for n in range(1200)]

    play(body)


def test_a_cell_changes_only_from_the_revision_that_is_known(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        bucket = fresh()
        cells, others = await one.cells(bucket, 1), await two.cells(bucket, 1)
        assert await cells.get("a.b/c") == (0, None)
        first = await cells.cas("a.b/c", b"x", 0)
        assert isinstance(first, int)
        assert isinstance(await others.cas("a.b/c", b"y", 0), Conflict)
        assert await others.get("a.b/c") == (first, b"x")
        second = await others.cas("a.b/c", b"y", first)
        assert isinstance(second, int)
        assert second > first
        assert await cells.entries() == {"a.b/c": b"y"}
        assert isinstance(await cells.cas("z", b"9", 0), int)
        assert await others.entries() == {"a.b/c": b"y", "z": b"9"}
        assert await others.entries("z") == {"z": b"9"}

    play(body)


def test_cells_are_all_read_however_many_there_are(play: Play) -> None:
    """Servers answer no more than 1,024 at once; one that is written over, or removed, moves."""

    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(fresh(), 1)
        written = await asyncio.gather(*(cells.cas(f"k{n}", b"%d" % n, 0) for n in range(1100)))
        first, second, *_ = written
        assert isinstance(first, int)
        assert isinstance(second, int)
        assert isinstance(await cells.cas("k0", b"again", first), int)
        assert isinstance(await cells.cas("k1", None, second), int)
        expected = {f"k{n}": b"%d" % n for n in range(2, 1100)} | {"k0": b"again"}
        assert await cells.entries() == dict(sorted(expected.items()))

    play(body)


def test_a_removed_cell_has_a_revision_and_no_value(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(fresh(), 1)
        first = await cells.cas("k", b"x", 0)
        assert isinstance(first, int)
        gone = await cells.cas("k", None, first)
        assert isinstance(gone, int)
        assert await cells.get("k") == (gone, None)
        assert await cells.entries() == {}
        assert isinstance(await cells.cas("k", b"z", 0), Conflict)
        assert isinstance(await cells.cas("k", b"z", gone), int)
        await cells.drop("k")
        assert await cells.get("k") == (0, None)

    play(body)


def test_a_call_has_the_answer_of_who_serves_it(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        def on_message(subject: str, data: bytes, answer: Answer | None) -> None:
            assert answer is not None
            answer(subject.encode() + b":" + data)

        name = fresh()
        handle = await two.calls.serve(f"ssm.{name}.call.*", on_message)
        asked = await one.calls.call(f"ssm.{name}.call.w", b"hi", 60.0)
        assert asked == f"ssm.{name}.call.w:hi".encode()
        await handle.close()
        gone = await one.calls.call(f"ssm.{name}.call.w", b"hi", 2.0)
        assert isinstance(gone, CallLost)
        assert gone.why == "noproc"

    play(body)


def test_a_call_that_nobody_answers_in_time_is_a_timeout(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        name = fresh()
        await two.calls.serve(f"ssm.{name}.x", lambda *_: None)
        silent = await one.calls.call(f"ssm.{name}.x", b"", 0.2)
        assert isinstance(silent, CallLost)
        assert silent.why == "timeout"

    play(body)


def test_a_message_that_is_sent_arrives_without_a_place_for_an_answer(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        name, heard = fresh(), list[tuple[bytes, bool]]()
        await two.calls.serve(f"ssm.{name}.x", lambda _, d, a: heard.append((d, a is None)))
        await one.calls.send(f"ssm.{name}.x", b"news")
        for _ in range(3000):
            if not heard:
                await one.time.sleep_s(0.02)
        assert heard == [(b"news", True)]

    play(body)
