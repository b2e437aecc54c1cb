"""A queue of jobs for a service that takes five a second: each is posted, again if that fails.

jobs.yaml keeps it on disk; docs/tutorial/job-queue.md tells it as a story.
"""  # noqa: INP001 - run by its path

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from ssm_cli import Answer, Defer, Done, Effect, Failed, Run, StartTimer, StateMachine

EVERY_MS, AT_ONCE = 200, 3
TRIES, FIRST_MS, LONGEST_MS = 4, 1_000, 60_000  # the last with the time that it is held back
MOST_JOBS, MOST_NAME, MOST_WAITERS = 1_000, 100, 100  # ended ones too; characters; of a job


class Submit(Struct, frozen=True):
    """Post a text to a URL; the same job again changes nothing."""

    job: str
    url: str
    text: str


class Look(Struct, frozen=True):
    """Ask how a job is."""

    job: str


class Wait(Struct, frozen=True):
    """Wait until a job has ended."""

    job: str


class Tick(Struct, frozen=True):
    """The next job may begin."""


class Again(Struct, frozen=True):
    """A job that has failed has waited long enough."""

    job: str


class Job(Struct, frozen=True):
    """What to post and where, how often it has failed, how it has ended, and how many wait."""

    url: str
    text: str
    failed: int = 0
    end: str = ""
    waiters: int = 0


class Told(Struct, frozen=True):
    """How a job is: `open`, `done`, `failed: ...`, `unknown` or `refused: ...`."""

    job: str
    how: str


class Queue(Struct, frozen=True):
    """The jobs by name, the oldest first; those that may begin; whether a tick is on its way."""

    jobs: Mapping[str, Job]
    ready: tuple[str, ...] = ()
    ticks: bool = False


Inputs = Submit | Look | Wait
Step = tuple[Queue, Told | None, list[Effect]]


def step(message: Inputs | Tick | Again | Done | Failed, queue: Queue) -> Step:  # noqa: PLR0911 - a table
    """Take a job, begin one, try one again, or end it."""
    match message:
        case Submit():
            return submit(message, queue)
        case Look(job):
            return queue, told(job, queue), []
        case Wait(job):
            return wait(job, queue)
        case Tick():
            return begin(queue)
        case Again(job):
            return enqueue(job, queue, None)
        case Done(job, _):
            return end(job, "done", queue)
        case Failed(job, error):
            return fail(job, str(error), queue)


def submit(message: Submit, queue: Queue) -> Step:
    """Take a new job, in the place of the oldest that has ended if there are too many."""
    name, jobs = message.job, dict(queue.jobs)
    if why := fault_of(message):
        return queue, Told(name, f"refused: {why}"), []
    if name in jobs:
        return queue, told(name, queue), []
    if len(jobs) >= MOST_JOBS:
        ended = next((name for name, job in jobs.items() if job.end), None)
        if ended is None:
            return queue, Told(name, f"refused: {MOST_JOBS:,} jobs are open"), []
        del jobs[ended]
    jobs[name] = Job(message.url, message.text)
    return enqueue(name, replace(queue, jobs=jobs), Told(name, "open"))


def fault_of(message: Submit) -> str:
    """Return why a job cannot be posted; "" if it can."""
    if not (message.job.isprintable() and 0 < len(message.job) <= MOST_NAME):
        return f"a name has 1 to {MOST_NAME} printable characters"
    to = urlsplit(message.url)
    return "" if to.scheme == "http" and to.hostname else "expected a URL http://HOST:PORT/PATH"


def enqueue(name: str, queue: Queue, answer: Told | None) -> Step:
    """Let a job begin when its turn comes: at once, if the last one has begun long ago."""
    effects: list[Effect] = [] if queue.ticks else [StartTimer("tick", 0, Tick())]
    return replace(queue, ready=(*queue.ready, name), ticks=True), answer, effects


def begin(queue: Queue) -> Step:
    """Begin the first that may, and no other before the next tick."""
    if not queue.ready:
        return replace(queue, ticks=False), None, []
    name, *ready = queue.ready
    job = queue.jobs[name]
    run = Run(name, post, job.url, name, job.text, timeout_ms=LONGEST_MS, limit=AT_ONCE)
    return replace(queue, ready=tuple(ready)), None, [run, StartTimer("tick", EVERY_MS, Tick())]


def fail(name: str, why: str, queue: Queue) -> Step:
    """Try a job again after one second, two, four; or give it up."""
    job = queue.jobs[name]
    failed = job.failed + 1
    if failed == TRIES:
        return end(name, f"failed: {why}", queue)
    again = StartTimer(f"again {name}", FIRST_MS << job.failed, Again(name))
    return put(name, replace(job, failed=failed), queue), None, [again]


def end(name: str, how: str, queue: Queue) -> Step:
    """Keep how a job has ended, and tell those who wait for it."""
    job = queue.jobs[name]
    after = put(name, replace(job, end=how, waiters=0), queue)
    return after, None, [Answer(f"{name} {one}", Told(name, how)) for one in range(job.waiters)]


def wait(name: str, queue: Queue) -> Step:
    """Answer once a job has ended."""
    job = queue.jobs.get(name)
    if job is None or job.end or job.waiters == MOST_WAITERS:
        return queue, told(name, queue), []
    after = put(name, replace(job, waiters=job.waiters + 1), queue)
    return after, None, [Defer(f"{name} {job.waiters}")]


def put(name: str, job: Job, queue: Queue) -> Queue:
    """Return the queue with a job as it is now."""
    return replace(queue, jobs={**queue.jobs, name: job})


def told(name: str, queue: Queue) -> Told:
    """Return how a job is."""
    job = queue.jobs.get(name)
    return Told(name, "unknown" if job is None else job.end or "open")


async def post(url: str, key: str, text: str) -> int:
    """Post a text; the key tells the other side that it has had it already. Returns the status."""
    to, body = urlsplit(url), text.encode()
    reader, writer = await asyncio.open_connection(to.hostname, to.port or 80)
    try:
        head = f"POST {to.path or '/'} HTTP/1.0\r\nHost: {to.netloc}\r\nIdempotency-Key: {key}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = (await reader.readline()).decode()
        if " 2" not in status[:11]:
            raise ConnectionError(f"answered {status.strip()!r}")
        return int(status.split()[1])
    finally:
        writer.close()


def empty(_name: str, _args: Mapping[str, Any]) -> Queue:
    """Begin without jobs."""
    return Queue({})


jobs = StateMachine(step=step, init=empty, inputs=Inputs, outputs=Told)
