"""Limits that cannot work: intensities, periods and times of a tree that contradict each other.

Each complaint is arithmetic over the specs alone; nothing is started for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from ssm_cli.errors import some_names
from ssm_cli.runtime.engine.cell import seconds
from ssm_cli.spec.model import (
    ChildSpec,
    RemoteSpec,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
    walk,
)

GRACE_S = 90.0  # until systemd kills a service that it stops (`TimeoutStopSec`)
MANY_RESTARTS = 100  # of one worker, before the root gives up

Above = tuple[SupervisorSpec, ...]


class Complaint(msgspec.Struct, frozen=True):
    """A limit that cannot work: where, what about it, with its numbers, and what to do."""

    path: str
    rule: str
    text: str


def limit_complaints(tree: SupervisorSpec) -> list[Complaint]:
    """Return all that cannot work of the limits of a tree, in the order of the tree.

    >>> limit_complaints(SupervisorSpec("root"))
    []
    """
    found: list[Complaint] = []
    for path, above in supervisors_of(tree):
        found += init_complaints(path, above[-1])
        found += backoff_complaints(path, above[-1])
        found += nesting_complaints(path, above)
    found += product_complaints(tree)
    found += shutdown_complaints(tree)
    return found


def supervisors_of(tree: SupervisorSpec) -> Iterator[tuple[str, Above]]:
    """Yield each supervisor with its path, as the last of those from the root down to it."""
    waiting: list[tuple[str, Above]] = [(tree.id, (tree,))]
    while waiting:
        path, above = waiting.pop(0)
        yield path, above
        below = (child for child in above[-1].children if isinstance(child, SupervisorSpec))
        waiting += [(f"{path}/{child.id}", (*above, child)) for child in below]


def restarted(sup: SupervisorSpec) -> list[WorkerSpec]:
    """Return the workers right below a supervisor that it restarts."""
    children = (child for child in sup.children if isinstance(child, WorkerSpec))
    return [child for child in children if child.restart is not Restart.TEMPORARY]


def does_restart(sup: SupervisorSpec) -> bool:
    """Return whether a supervisor restarts any of its children."""
    return any(child.restart is not Restart.TEMPORARY for child in sup.children)


def never_counts(sup: SupervisorSpec, each_s: float) -> bool:
    """Return whether restarts so many seconds apart never are more than the intensity."""
    return sup.intensity > 0 and sup.period_s <= sup.intensity * each_s < math.inf


def init_complaints(path: str, sup: SupervisorSpec) -> Iterator[Complaint]:
    """Yield workers whose `init`, cut at its limit, is tried again without end."""
    found: dict[float, list[str]] = {}
    for worker in restarted(sup):
        limit_s = seconds(worker.options.init_timeout_ms)
        if never_counts(sup, limit_s):
            found.setdefault(limit_s, []).append(worker.id)
    for limit_s, names in found.items():
        most = math.floor(sup.period_s / limit_s) + (sup.period_s % limit_s > 0)
        yield Complaint(
            path,
            "init",
            f"an init that hangs is tried again without end: {some_names(names)} may init for "
            f"{limit_s:g} s, at most {most} of that in the period of {sup.period_s:g} s, which is "
            f"not more than intensity {sup.intensity}; let the period be longer than "
            f"{sup.intensity * limit_s:g} s, or `init_timeout` shorter",
        )


def backoff_complaints(path: str, sup: SupervisorSpec) -> Iterator[Complaint]:
    """Yield children whose back-off grows so long that their crashes are never too many."""
    for child in sup.children:
        backoff = child.backoff
        if backoff is None or not never_counts(sup, backoff.max_ms / 1000):
            continue
        crashes = crashes_until_slow(child, sup)
        if crashes <= sup.intensity:
            yield Complaint(
                path,
                "backoff",
                f"the back-off of {child.id} grows to {backoff.max_ms / 1000:g} s, slower than "
                f"{sup.intensity} in {sup.period_s:g} s after {crashes} restarts: one that "
                f"always crashes is restarted without end; let `max` be less than "
                f"{1000 * sup.period_s / sup.intensity:g} ms, or the intensity smaller",
            )


def crashes_until_slow(child: ChildSpec, sup: SupervisorSpec) -> int:
    """Return how many restarts of a child that always crashes lie in the period at most."""
    backoff, at_s, times = child.backoff, 0.0, [0.0]
    assert backoff is not None, "it has a back-off"
    for attempt in range(sup.intensity + 1):
        at_s += min(backoff.initial_ms * backoff.factor ** min(attempt, 64), backoff.max_ms) / 1000
        times.append(at_s)
    return max(sum(1 for t in times if now - sup.period_s <= t <= now) for now in times)


def nesting_complaints(path: str, above: Above) -> Iterator[Complaint]:
    """Yield supervisors that give up more slowly than the one above them counts."""
    if len(above) < 2 or not above[-1].intensity or not does_restart(above[-1]):
        return
    upper, lower = above[-2:]
    each_s = lower.period_s / lower.intensity  # between two crashes that it just gives up on
    slowest_s = each_s * (lower.intensity + 1)
    if upper.intensity and upper.intensity * slowest_s > upper.period_s:
        yield Complaint(
            path,
            "nesting",
            f"a child that crashes once every {each_s:g} s is restarted without end: {lower.id} "
            f"then gives up every {slowest_s:g} s, which is not more than {upper.intensity} in "
            f"{upper.period_s:g} s, the limit of {upper.id} above it; let the period of {upper.id} "
            f"be {upper.intensity * slowest_s:g} s at least",
        )


def product_complaints(tree: SupervisorSpec) -> Iterator[Complaint]:
    """Yield the deepest place where a worker is restarted very often before the root gives up."""
    worst = 0
    where: tuple[str, Above] = tree.id, (tree,)
    for path, above in supervisors_of(tree):
        many = math.prod(sup.intensity + 1 for sup in above)
        if len(above) > 1 and restarted(above[-1]) and many > worst:
            worst, where = many, (path, above)
    if worst > MANY_RESTARTS:
        path, above = where
        factors = " x ".join(str(sup.intensity + 1) for sup in above)
        yield Complaint(
            path,
            "product",
            f"a worker that always crashes does so {worst:,} times before the root gives up: "
            f"{factors} over {len(above)} supervisors; let the intensities be smaller",
        )


def shutdown_complaints(tree: SupervisorSpec) -> Iterator[Complaint]:
    """Yield children, or the tree, that may take longer to stop than a service manager waits."""
    single = False
    for path, spec in walk(tree):
        if isinstance(spec, WorkerSpec | RemoteSpec) and stop_s(spec) > GRACE_S:
            single = True
            yield Complaint(
                path,
                "shutdown",
                f"`shutdown` is {shown_s(stop_s(spec))}, and systemd kills a service {GRACE_S:g} s "
                f"after it was told to stop; let it be shorter, or TimeoutStopSec longer",
            )
    total_s = stop_s(tree)
    if total_s > GRACE_S and not single:
        count = sum(isinstance(spec, WorkerSpec) for _, spec in walk(tree))
        yield Complaint(
            tree.id,
            "shutdown",
            f"children stop one after the other: {count} workers may take {shown_s(total_s)} "
            f"together, and systemd kills a service after {GRACE_S:g} s; let `shutdown` be "
            f"shorter, or TimeoutStopSec longer",
        )


def stop_s(spec: ChildSpec) -> float:
    """Return how many seconds a child may take to stop, with all below it, one after the other."""
    own_s = 0.0 if spec.shutdown_ms == "brutal_kill" else seconds(spec.shutdown_ms)
    if not isinstance(spec, SupervisorSpec):
        return own_s
    pool = spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE  # whose children stop together
    below = [stop_s(child) for child in spec.children]
    return min(own_s, max(below, default=0.0) if pool else sum(below))


def shown_s(number: float) -> str:
    """Return a time in words.

    >>> shown_s(95.0), shown_s(math.inf)
    ('95 s', 'infinity')
    """
    return f"{number:g} s" if number < math.inf else "infinity"
