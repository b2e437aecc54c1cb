"""Histories made up from a seed: what a page is tried with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from ssm_cli.history.page import PageData

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
STRATEGIES = ("one_for_one", "rest_for_one", "one_for_all")
NAMES = (
    "ledger",
    "accounts",
    "audit",
    "rates",
    "gateway",
    "http",
    "codec",
    "auth",
    "mail",
    "cards",
)
Json = dict[str, Any]


class Demo:
    """A tree of supervisors with workers, that is called, and crashes now and then."""

    def __init__(self, seed: int, records: int, groups: int, workers: int, crash: float) -> None:
        self.random = Random(seed)
        self.records: list[Json] = []
        self.reports: list[Json] = []
        self.at = BEGIN
        self.held: dict[str, int] = {}
        self.groups = [self.group(n, workers) for n in range(groups)]
        self.tree = {
            "id": "bank", "path": "bank", "kind": "supervisor", "strategy": "one_for_one",
            "children": self.groups,
        }  # fmt: skip
        for group in self.groups:
            for worker in group["children"]:
                self.report("starting", worker, n=1)
                self.report("started", worker)
        pairs = [(group, worker) for group in self.groups for worker in group["children"]]
        weights = [1 / (1 + n % 7) for n in range(len(pairs))]
        for group, worker in self.random.choices(pairs, weights, k=records):
            self.at += timedelta(milliseconds=self.random.expovariate(1 / 110))
            if self.random.random() < crash:
                self.crash(group, worker)
            else:
                self.step(worker)

    def group(self, number: int, workers: int) -> Json:
        name = f"{('core', 'edge', 'pool', 'jobs')[number % 4]}{number // 4 or ''}"
        children = [
            {"id": one, "path": f"bank/{name}/{one}", "kind": "worker"}
            for n in range(workers)
            for one in [self.worker_name(number * workers + n)]
        ]
        return {
            "id": name, "path": f"bank/{name}", "kind": "supervisor",
            "strategy": STRATEGIES[(number + 1) % 3], "children": children,
        }  # fmt: skip

    def worker_name(self, number: int) -> str:
        return f"{NAMES[number % len(NAMES)]}{number // len(NAMES) or ''}"

    def stamp(self) -> str:
        self.at += timedelta(microseconds=self.random.randint(20, 900))
        return self.at.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def report(self, event: str, node: Json, **fields: object) -> None:
        head = {"v": 1, "type": "report", "seq": len(self.reports) + 1, "at": self.stamp()}
        place = {key: node[key] for key in ("id", "path", "kind")}
        record = {"record": len(self.records)}
        self.reports.append({**head, "event": event, **place, **record, **fields})

    def record(self, worker: Json, **fields: object) -> Json:
        made: Json = {
            "v": 1, "type": "record", "record": len(self.records) + 1, "at": self.stamp(),
            "worker": worker["id"], "cause": None, "by": "prompt", "changed": [], **fields,
        }  # fmt: skip
        self.records.append(made)
        return made

    def step(self, worker: Json) -> None:
        name, random = worker["id"], self.random
        how = random.choices(("call", "cast", "timer", "changed"), (60, 25, 14, 0.3))[0]
        amount = random.randint(-900, 1400)
        before = self.held.get(name, 0)
        self.held[name] = before + amount
        account = f"acc{random.randint(1, 40)}"
        verb = "Release" if amount < 0 else "Hold"
        caused = how in {"cast", "timer"} and self.records
        self.record(
            worker, how=how, input="Tick" if how == "timer" else f"{verb} {account} {abs(amount)}",
            outcome="replied" if how == "call" else "silent", output="Ok" if how == "call" else "",
            changed=[{"path": f"held.{account}", "before": before, "after": before + amount}],
            cause=max(1, len(self.records) - random.randint(0, 30)) if caused else None,
            by="" if caused else random.choice(("prompt", "script", "http 12")),
        )  # fmt: skip

    def crash(self, group: Json, worker: Json) -> None:
        amount = self.held.get(worker["id"], 0)
        error = {
            "type": "ArithmeticError", "message": f"{worker['id']}: {amount} held of 4990950",
            "places": ["bank.py:41 step", "ledger.py:52 settle", "ledger.py:88 audit"],
        }  # fmt: skip
        self.record(worker, how="call", input="Audit", outcome="crashed", error=error)
        self.report("crashed", worker, reason="crash", input="Audit", error=error)
        self.report("terminating", worker, reason="crash")
        self.report("terminated", worker, reason="crash")
        children = group["children"]
        at = children.index(worker)
        along = {"one_for_one": [worker], "rest_for_one": children[at:], "one_for_all": children}
        again = along[group["strategy"]]
        if group["strategy"] == "one_for_one":
            self.report("delayed", worker, delay_ms=800.0, attempt=1)
            for other in self.random.sample(children, min(3, len(children))):
                if other is not worker:
                    self.step(other)
            self.at += timedelta(milliseconds=800)
        names = [one["id"] for one in again]
        self.report(
            "restarting", group, strategy=group["strategy"], child=worker["id"], children=names,
            restarts=1, intensity=3, period=5.0,
        )  # fmt: skip
        for one in reversed([one for one in again if one is not worker]):
            self.report("terminated", one, reason="shutdown")
        for one in again:
            self.report("starting", one, n=2)
            self.report("started", one)

    def give_up(self) -> None:
        group = self.groups[-1]
        self.report("gave_up", group, restarts=4, intensity=3, period=5.0)
        for worker in self.ended(group):
            self.report("terminated", worker, reason="shutdown")
        self.report("exited", group, reason="shutdown")

    def ended(self, group: Json) -> Iterator[Json]:
        yield from reversed(group["children"])

    def data(self, **fields: Any) -> PageData:
        given = {
            "name": "bank", "at": self.stamp(), "ssm": "0.1.0", "python": "3.11.7",
            "tree": self.tree, "records": self.records, "reports": self.reports,
        }  # fmt: skip
        return PageData(**{**given, **fields})


def demo(
    records: int = 300, *, seed: int = 17, groups: int = 4, workers: int = 5, crash: float = 0.012
) -> PageData:
    """A history of so many inputs, at least; the last supervisor gives up at its end."""
    made = Demo(seed, records, groups, workers, crash)
    made.give_up()
    return made.data()
