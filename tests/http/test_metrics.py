"""Metrics: what whatever scrapes them relies on."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ssm_cli import Supervisor, Worker
from ssm_cli.http import metrics
from ssm_cli.http.calling import Calling
from ssm_cli.http.metrics import Counter, Metrics
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import SupervisorSpec
from tests.http.trees import wide

Samples = dict[tuple[str, str], float]
SESSIONS = Supervisor("root", "simple_one_for_one", [Worker("s", kv_store)], intensity=99)


def text_of(kept: Metrics) -> str:
    async def read() -> str:
        return b"".join([part async for part in kept.exposition()]).decode()

    return asyncio.run(read())


def scraped(kept: Metrics) -> tuple[Samples, Samples]:
    """The samples by name and node: all of them, and those of counters alone."""
    every: Samples = {}
    counters: Samples = {}
    for family in text_string_to_metric_families(text_of(kept)):
        for sample in family.samples:
            key = (sample.name, sample.labels.get("node", ""))
            assert key not in every, f"twice: {key}"
            every[key] = sample.value
            if family.type == "counter" or sample.name.endswith(("_count", "_sum")):
                counters[key] = sample.value
    return every, counters


def metrics_of(node: Node) -> Metrics:
    return Metrics(node, Calling(node))


def test_the_text_is_that_of_prometheus() -> None:
    with Node(wide(2)) as node:
        node.call("w0", b"Store x 1")
        every, _ = scraped(metrics_of(node))
        assert every["ssm_steps_total", "root/w0"] == 1.0
        assert every["ssm_running", "root"] == 1.0
        assert every["ssm_budget_left", "root"] == 1.0
        assert every["ssm_uptime_seconds", ""] > 0
        assert every["ssm_call_seconds_count", ""] == 0
        assert ("ssm_steps_total", "root") not in every


def test_a_counter_follows_one_that_begins_anew_and_never_falls() -> None:
    counter = Counter()
    totals = []
    for now, anew in ((5, False), (7, False), (2, True), (2, False), (1, False), (4, False)):
        counter.follow(now, anew=anew)
        totals.append(counter.total)
    assert totals == [5, 7, 9, 9, 9, 12]


@pytest.mark.parametrize("most", [1000, 4, 0])
def test_counters_never_fall_whatever_happens_to_the_nodes(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_NODES", most)
    with Node(SESSIONS) as node:
        kept = metrics_of(node)
        before: Samples = {}
        for turn in range(12):
            for name in (f"s{turn}", "again"):
                node.start_child("root", name)
                for _ in range(3 + turn % 3 * 50):
                    node.call(name, b"Store x 1")
            node.kill(f"s{turn}")
            _, now = scraped(kept)
            assert {key: value for key, value in before.items() if now.get(key, -1) < value} == {}
            before = now
            for name in (f"s{turn}", "again"):
                ref = node.whereis(name)
                if ref is not None:
                    node.terminate_child("root", ref)
        steps = sum(value for (name, _), value in before.items() if name == "ssm_steps_total")
        assert most == 0 or steps >= 12 * 6


@pytest.mark.parametrize("root", ["other", "root", "a.b-c"])
def test_no_two_samples_have_the_same_labels(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_NODES", 2)
    below = Supervisor("other1", children=[Worker("other2", kv_store)])
    tree: SupervisorSpec = Supervisor(
        root,
        children=[below, *wide(3).children],
    )
    with Node(tree) as node:
        every, _ = scraped(metrics_of(node))  # which looks for it
        rest = [key for key in every if key[0] == "ssm_restarts_total"]
        assert len(rest) == 3


@pytest.mark.parametrize("label", ['a"b', "a\\", "a\nb", 'a\\"b\\n', "é"])
def test_labels_are_escaped(label: str) -> None:
    (family,) = text_string_to_metric_families(metrics.sample("ssm_running", label, 1))
    assert family.samples[0].labels == {"node": label}


def test_two_scrapes_at_once_do_not_disturb_each_other() -> None:
    async def main(kept: Metrics) -> tuple[bytes, bytes]:
        async def read() -> bytes:
            return b"".join([part async for part in kept.exposition()])

        return await asyncio.gather(read(), read())

    with Node(wide(1500)) as node:
        kept = metrics_of(node)
        for text in asyncio.run(main(kept)):
            assert b'ssm_running{node="other"} 501.0\n' in text
            assert b'ssm_running{node="root/w7"} 1.0\n' in text
