"""The queue of jobs: how fast, how often, and what a kill leaves of it."""

from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest

from ssm_cli import Done, ManualClock, MemoryStore, Node, load_tree
from tests.trees.shipped import TREES
from trees import jobs
from trees.jobs import (
    AT_ONCE,
    EVERY_MS,
    MOST_JOBS,
    TRIES,
    Job,
    Look,
    Queue,
    Submit,
    Told,
    Wait,
    post,
)

DEADLINE_S = 180.0  # a bound for a machine under load; nothing waits for it
URL = "http://here:1/"
begun: list[str] = []
others_end: list[bool] = []  # not empty: what never ended does now


async def fake(url: str, key: str, text: str) -> int:
    """Stand for `post`: the URL says what becomes of it."""
    begun.append(key)
    if "/never" in url and not others_end:
        await asyncio.Event().wait()
    if "/fail" in url:
        raise OSError("refused")
    return 200


@pytest.fixture(autouse=True)
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "post", fake)
    begun.clear()
    others_end.clear()


def node_of(store: MemoryStore | None = None) -> Node:
    tree = load_tree(TREES / "jobs.yaml")
    return Node(tree, clock=ManualClock(), store=store or MemoryStore())


def submit(node: Node, count: int, path: str = "") -> None:
    for number in range(count):
        assert node.call("jobs", Submit(f"j{number}", URL + path, "x")) == Told(
            f"j{number}", "open"
        )


def how(node: Node, job: str = "j0") -> str:
    return str(node.call("jobs", Look(job)).how)


def test_one_job_begins_each_fifth_of_a_second() -> None:
    with node_of() as node:
        submit(node, 4)
        node.run()
        assert begun == ["j0"]
        node.run(for_s=EVERY_MS / 1000)
        assert begun == ["j0", "j1"]
        node.run(for_s=2.5 * EVERY_MS / 1000)
        assert begun == ["j0", "j1", "j2", "j3"]
        assert how(node, "j3") == "done"
        node.run(for_s=1)
        assert node.get_state("jobs").ticks is False, "nothing is left to do"


def test_three_go_on_at_once_and_the_others_wait() -> None:
    with node_of() as node:
        submit(node, 5, "never")
        node.run(for_s=1)
        assert begun == ["j0", "j1", "j2"]
        assert len(begun) == AT_ONCE
        assert node.tree().children[0].runs == 5


def test_a_job_that_fails_is_tried_after_one_second_two_and_four_and_given_up() -> None:
    with node_of() as node:
        submit(node, 1, "fail")
        waits = node.send_request("jobs", Wait("j0"))
        tried = []
        for _ in range(9):
            node.run(for_s=1.0)
            tried.append(len(begun))
        assert [tried.index(number) for number in range(2, TRIES + 1)] == [1, 3, 7]
        assert node.wait(waits) == Told("j0", "failed: raised: OSError: refused")
        assert len(begun) == TRIES


def test_what_was_under_way_at_a_kill_is_done_again_under_its_name() -> None:
    store = MemoryStore()
    with node_of(store) as node:
        submit(node, 3, "never")
        node.run(for_s=EVERY_MS / 1000)
        assert begun == ["j0", "j1"]
        left = deepcopy(store)  # as a kill leaves it
    begun.clear()
    others_end.append(True)
    with node_of(left) as node:
        node.run(for_s=1)
        assert sorted(begun) == ["j0", "j1", "j2"]
        assert [how(node, job) for job in ("j0", "j1", "j2", "j3")] == [*["done"] * 3, "unknown"]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Submit("", URL, "x"), "a name has 1 to 100 printable characters"),
        (Submit("j\r\nX: y", URL, "x"), "a name has 1 to 100 printable characters"),
        (Submit("j", "file:///etc/passwd", "x"), "expected a URL http://HOST:PORT/PATH"),
    ],
)
def test_a_job_that_cannot_be_posted_is_refused(message: Submit, why: str) -> None:
    assert jobs.step(message, Queue({})) == (
        Queue({}),
        Told(message.job, f"refused: {why}"),
        [],
    )


def test_a_full_queue_forgets_what_has_ended_and_refuses_where_nothing_has() -> None:
    queue = Queue({f"j{number}": Job(URL, "x") for number in range(MOST_JOBS)}, ticks=True)
    new = Submit("new", URL, "x")
    assert jobs.step(new, queue)[1] == Told("new", "refused: 1,000 jobs are open")
    ended, _, _ = jobs.step(Done("j7", 200), queue)
    after, answer, _ = jobs.step(new, ended)
    assert answer == Told("new", "open")
    assert ("j7" in after.jobs, len(after.jobs)) == (False, MOST_JOBS)
    again, answer, effects = jobs.step(new, after)
    assert (again, answer, effects) == (after, Told("new", "open"), [])


def test_a_post_is_http_with_the_name_as_key_and_no_answer_of_success_is_a_failure() -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(head)
        length = int(head.split("Content-Length: ")[1].split()[0])
        assert (await reader.readexactly(length)).decode() == "pay 3 €"
        writer.write(b"HTTP/1.0 503 no\r\n\r\n" if len(seen) > 1 else b"HTTP/1.0 201 ok\r\n\r\n")
        writer.close()

    async def main() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            await asyncio.start_server(serve, "127.0.0.1", 0) as at,
        ):
            url = f"http://127.0.0.1:{at.sockets[0].getsockname()[1]}/hook"
            assert await post(url, "j1", "pay 3 €") == 201
            with pytest.raises(ConnectionError, match="503 no"):
                await post(url, "j1", "pay 3 €")

    asyncio.run(main())
    assert all("POST /hook" in head and "Idempotency-Key: j1\r\n" in head for head in seen)
